//! Writes events that waited in the queue, each with the receipt that it had. Since events commute, it
//! does not matter how late that is, nor what came in between.

use std::time::{Duration, Instant};

use domain::event::{self, EventError, Received};
use runtime::parked::Parked;
use store::{Store, StoreError, apply::Timing};

use crate::{
    Batch, BatchFailure, BatchFailures, MAX_BODY_BYTES, NotStored, Refusal, STORE_LIMIT, Taken, Webhook, Written,
    log::{Line, Source},
};

/// When the write of a batch's last message is given up: a function that Lambda stops at its 28 seconds says
/// of none of its messages that it is done.
const BATCH_LIMIT: Duration = Duration::from_secs(25);

/// What became of a message.
enum Drained {
    /// It is done with.
    Done(Taken),
    /// It is to come again, and so are those after it: the store takes nothing now.
    StoreFailed(&'static str),
    /// It is to come again, which is how it gets into the dead-letter queue.
    Failed(&'static str),
}

impl Webhook {
    /// Writes the events of a batch one by one, as far as the time goes, and says which are to come
    /// again. Once the store has failed for one, it is not asked for the rest: they come again with it.
    pub async fn drain(&self, batch: Batch, request_id: Option<&str>) -> BatchFailures {
        let started = Instant::now();
        let mut failures = BatchFailures::default();
        let mut store_takes = true;
        for message in batch.messages {
            let mut is_done = false;
            if store_takes && started.elapsed() < STORE_LIMIT {
                let store = self.store.with_cost_tracking();
                let mut line = Line::new(Source::Queue, request_id);
                let drained =
                    self.drain_one(&message.body, &store, &mut line, BATCH_LIMIT.saturating_sub(started.elapsed())).await;
                let outcome = match drained {
                    Drained::Done(taken) => taken.label(),
                    Drained::StoreFailed(label) | Drained::Failed(label) => label,
                };
                is_done = matches!(drained, Drained::Done(_));
                store_takes = !matches!(drained, Drained::StoreFailed(_));
                // An event that was parked is followed to its end, whatever is sampled.
                line.record(&self.recorder, None, outcome, false, &store);
            }
            if !is_done {
                failures.batch_item_failures.push(BatchFailure { item_identifier: message.message_id });
            }
        }
        failures
    }

    async fn drain_one(&self, message: &str, store: &Store, line: &mut Line<'_>, limit: Duration) -> Drained {
        let parked = match Parked::of_message(message, MAX_BODY_BYTES) {
            Ok(parked) => parked,
            Err(error) => {
                line.problem = Some(error.to_string());
                return Drained::Failed("not_parked");
            }
        };
        let now = self.clock.now();
        line.details.queued_seconds = Some(now.duration_since(parked.received_at).as_secs());
        let handled = match event::parse(&parked.body) {
            Ok(Received::Handled(handled)) => *handled,
            Ok(Received::Ignored { kind }) => {
                line.is_ignored(kind);
                return Drained::Done(Taken::Ignored);
            }
            // Taken by another version of the function, which could read it.
            Err(error) => return self.set_aside_parked(error, &parked, line).await,
        };
        line.is_of(&handled, parked.received_at);
        match self.write(store, &handled, Timing { received: parked.received_at, now }, limit).await {
            Ok(Written::Done(outcome, versions)) => {
                line.details.time_disbelieved = versions.is_time_rejected;
                Drained::Done(outcome.into())
            }
            Ok(Written::OtherEnvironment) => {
                drained(self.set_foreign_aside(&handled, parked.received_at, &parked.body, line).await)
            }
            Err(NotStored::Store(StoreError::TooLarge)) => {
                self.set_aside_parked(EventError::too_large_to_store(handled.kind), &parked, line).await
            }
            Err(failure) => {
                line.store_failed = true;
                line.problem = Some(failure.problem());
                if failure.is_retriable() { Drained::StoreFailed(failure.label()) } else { Drained::Failed(failure.label()) }
            }
        }
    }

    async fn set_aside_parked(&self, error: EventError, parked: &Parked, line: &mut Line<'_>) -> Drained {
        drained(self.set_aside(error, parked.received_at, &parked.body, line).await)
    }
}

fn drained(result: Result<Taken, Refusal>) -> Drained {
    match result {
        Ok(taken) => Drained::Done(taken),
        Err(refusal) => Drained::Failed(refusal.label()),
    }
}
