//! Writes parked events from the queue, each with its original receipt. Events commute, so neither the delay nor the events
//! in between matter.

use std::time::{Duration, Instant};

use domain::event::{self, EventError, Received};
use runtime::parked::Parked;
use store::{Store, StoreError, apply::Timing};

use crate::{
    Batch, BatchFailure, BatchFailures, EventOutcome, MAX_BODY_BYTES, Refusal, WRITE_TIME_LIMIT, Webhook, WriteError,
    WriteResult,
    log::{EventLog, Source},
};

/// Time limit of a batch. If Lambda stopped the function, at 28 seconds, it would redeliver all messages of the batch, the
/// written ones too.
const BATCH_TIME_LIMIT: Duration = Duration::from_secs(25);

/// The result of a message. A failure has its label for the log.
enum MessageResult {
    Done(EventOutcome),
    /// The store is not available: this message and all later ones are to be redelivered.
    StoreFailed(&'static str),
    /// The message is to be redelivered. After the last attempt, SQS moves it to the dead-letter queue.
    Failed(&'static str),
}

impl Webhook {
    /// Writes the events of a batch one by one, within the time limit. Stops at the first failure of the store. Returns the
    /// messages that are to be redelivered.
    pub async fn drain(&self, batch: Batch, request_id: Option<&str>) -> BatchFailures {
        let started = Instant::now();
        let mut failures = BatchFailures::default();
        let mut is_store_available = true;
        for message in batch.messages {
            let mut is_done = false;
            if is_store_available && started.elapsed() < WRITE_TIME_LIMIT {
                let store = self.store.with_cost_tracking();
                let mut log = EventLog::new(Source::Queue, request_id);
                let time_left = BATCH_TIME_LIMIT.saturating_sub(started.elapsed());
                let result = self.drain_message(&message.body, &store, &mut log, time_left).await;
                let outcome = match result {
                    MessageResult::Done(outcome) => outcome.label(),
                    MessageResult::StoreFailed(label) | MessageResult::Failed(label) => label,
                };
                is_done = matches!(result, MessageResult::Done(_));
                is_store_available = !matches!(result, MessageResult::StoreFailed(_));
                // Not routine: sampling must not hide the end of a parked event.
                log.record(&self.recorder, None, outcome, false, &store);
            }
            if !is_done {
                failures.batch_item_failures.push(BatchFailure { item_identifier: message.message_id });
            }
        }
        failures
    }

    async fn drain_message(&self, message: &str, store: &Store, log: &mut EventLog<'_>, limit: Duration) -> MessageResult {
        let parked = match Parked::of_message(message, MAX_BODY_BYTES) {
            Ok(parked) => parked,
            Err(error) => {
                log.problem = Some(error.to_string());
                return MessageResult::Failed("not_parked");
            }
        };
        let now = self.clock.now();
        log.details.queued_seconds = Some(now.duration_since(parked.received_at).as_secs());
        let handled = match event::parse(&parked.body) {
            Ok(Received::Handled(handled)) => *handled,
            Ok(Received::Ignored { kind }) => {
                log.set_ignored(kind);
                return MessageResult::Done(EventOutcome::Ignored);
            }
            // Another version of the function parked it, which could parse it.
            Err(error) => return self.set_aside_parked(error, &parked, log).await,
        };
        log.set_event(&handled, parked.received_at);
        match self.write(store, &handled, Timing { received: parked.received_at, now }, limit).await {
            Ok(WriteResult::Done(outcome, versions)) => {
                log.details.time_disbelieved = versions.is_time_rejected;
                MessageResult::Done(outcome.into())
            }
            Ok(WriteResult::OtherEnvironment) => {
                message_result(self.set_aside_other_environment(&handled, parked.received_at, &parked.body, log).await)
            }
            Err(WriteError::Store(StoreError::TooLarge)) => {
                self.set_aside_parked(EventError::too_large_to_store(handled.kind), &parked, log).await
            }
            Err(failure) => {
                log.store_failed = true;
                log.problem = Some(failure.problem());
                if failure.is_retriable() {
                    MessageResult::StoreFailed(failure.label())
                } else {
                    MessageResult::Failed(failure.label())
                }
            }
        }
    }

    async fn set_aside_parked(&self, error: EventError, parked: &Parked, log: &mut EventLog<'_>) -> MessageResult {
        message_result(self.set_aside(error, parked.received_at, &parked.body, log).await)
    }
}

fn message_result(result: Result<EventOutcome, Refusal>) -> MessageResult {
    match result {
        Ok(outcome) => MessageResult::Done(outcome),
        Err(refusal) => MessageResult::Failed(refusal.label()),
    }
}
