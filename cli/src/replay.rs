//! `byos replay`: writes events that the webhook could not write, from the stack's queues or from files.
//!
//! It uses the webhook's code, but does not send the events to the webhook. So each event keeps its time of receipt, which
//! is the event time if the event has none.

use std::{collections::HashSet, path::PathBuf};

use aws_sdk_sqs::types::Message;
use clap::{ArgAction, Args, ValueEnum};
use domain::{
    event::{self, Envelope, EventError, EventSummary, Handled, Received},
    id::Id,
    time::{self, to_fixed_width},
};
use futures_util::future::join_all;
use jiff::Timestamp;
use serde::Serialize;
use store::{
    GRACE_PERIOD, Outcome, Store, StoreError,
    apply::{Timing, apply},
};

use crate::{
    consent::Consent,
    outcome::{self, ExitStatus},
    queue::QueueSize,
    recorded::{self, RecordedError, RecordedEvent},
    target::{Resources, Target, TargetError},
};

/// Events written in parallel: the maximum of an SQS request. Their order does not matter.
const BATCH_SIZE: usize = 10;

/// Visibility timeout of received messages, in seconds.
const VISIBILITY_TIMEOUT: i32 = 120;

/// Wait time of a receive request (long polling), in seconds. Without it, SQS queries only some of its servers.
const WAIT_TIME: i32 = 2;

/// A queue of the stack that only this command empties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StackQueue {
    /// Parked events that failed 50 times
    DeadLetter,
    /// Events that could not be applied
    SetAside,
}

/// Write events that the webhook could not write, from the stack's queues or from files
///
/// Replaying is safe at any time, since versions decide which event wins. But tombstones expire after 30 days: an older
/// event could resurrect a deleted customer, so it is refused without --force. Refused events stay in the queue.
///
/// Exit codes: 0 if all events were written, 3 if some were refused, 1 if it stopped early.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  byos replay --stack replica                     the dead-letter queue and the set-aside queue
  byos replay --stack replica --queue set-aside   only the set-aside queue
  byos replay --stack replica --queue-url URL     another queue
  byos replay parked.json --stack replica         messages, requests or events in a file
  byos replay event.json --received-at 2026-11-20T08:00:00Z")]
pub struct Replay {
    /// Files of messages, requests or events; - is standard input [default: the stack's queues]
    #[arg(value_name = "FILE", conflicts_with_all = ["queue", "queue_url"])]
    pub files: Vec<PathBuf>,

    /// The stack's queue to empty [default: both]
    #[arg(long, value_enum, conflicts_with = "queue_url")]
    pub queue: Option<StackQueue>,

    /// Another queue to empty
    #[arg(long, value_name = "URL")]
    pub queue_url: Option<String>,

    /// Receipt time of events in files that have none [default: now]
    #[arg(long, value_name = "TIME", value_parser = received_at)]
    pub received_at: Option<Timestamp>,

    /// Also write events older than 30 days
    #[arg(long, action = ArgAction::SetTrue)]
    pub force: bool,

    /// Print a JSON object for each event
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub consent: Consent,

    #[command(flatten)]
    pub target: Target,
}

fn received_at(text: &str) -> Result<Timestamp, &'static str> {
    time::parse(text)
}

#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    Recorded(#[from] RecordedError),
    #[error("nothing to replay: give files, --queue-url, or --stack with a stack that has queues")]
    NoSource,
    #[error("can't read the queue: {0}")]
    Queue(String),
    #[error("can't read the replica's environment: {0}")]
    Environment(#[source] StoreError),
    #[error("stopped at {name}: {source}. Run the same command again to continue; no event is lost")]
    Store { name: String, source: StoreError },
}

/// Why an event is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(transparent)]
    Recorded(#[from] RecordedError),
    #[error(transparent)]
    Event(#[from] EventError),
    #[error(transparent)]
    TooLarge(StoreError),
    #[error("it contains several events: save the message to a file, and replay that")]
    Several,
    #[error("its time {time} is longer ago than tombstones are kept; --force writes it anyway")]
    TooOld { time: String },
}

#[derive(Debug)]
enum Replayed {
    Written(Outcome),
    Ignored,
    Refused(Refusal),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    name: &'a str,
    r#type: Option<String>,
    message_id: Option<String>,
    /// The customer or subscription.
    subject: Option<String>,
    received_at: Option<String>,
    outcome: &'static str,
    error: Option<String>,
}

#[derive(Debug, Default)]
struct Counts {
    applied: usize,
    stale: usize,
    ignored: usize,
    refused: usize,
    /// Messages that could not be received, since another reader has them.
    in_flight: u64,
}

struct Replayer<'a> {
    store: Store,
    /// The replica's Stigg environment, if it is set.
    environment_id: Option<Id>,
    options: &'a Replay,
    counts: Counts,
}

pub async fn replay(options: Replay) -> Result<ExitStatus, ReplayError> {
    // Reads all files before the first event is written, so that a wrong file name fails early.
    let events: Result<Vec<_>, _> = options.files.iter().map(|file| recorded::from_file(file)).collect();
    let events: Vec<RecordedEvent> = events?.into_iter().flatten().collect();
    let deployment = options.target.find().await?;
    let queues = queues(&options, &deployment.resources);
    if events.is_empty() && queues.is_empty() {
        return Err(ReplayError::NoSource);
    }
    let store = deployment.store().await?;
    if !options.consent.ask(&deployment, &store).await {
        return Ok(ExitStatus::NotConfirmed);
    }
    let environment_id = store.environment().await.map_err(ReplayError::Environment)?.environment_id;
    let mut replayer = Replayer { store, environment_id, options: &options, counts: Counts::default() };
    let result = if events.is_empty() {
        replayer.queues(&deployment.sdk.sqs().await?, &queues).await
    } else {
        replayer.files(events).await
    };
    let Counts { applied, stale, ignored, refused, in_flight } = replayer.counts;
    if !options.json {
        println!("{applied} applied, {stale} stale, {ignored} ignored, {refused} refused.");
    }
    if in_flight > 0 {
        eprintln!(
            "byos: about {in_flight} more are in flight: another reader has them. Run this again in {VISIBILITY_TIMEOUT} seconds"
        );
    }
    result.map(|()| if refused == 0 && in_flight == 0 { ExitStatus::Success } else { ExitStatus::Findings })
}

/// The URLs of the queues to empty.
fn queues(options: &Replay, resources: &Resources) -> Vec<String> {
    if let Some(url) = &options.queue_url {
        return vec![url.clone()];
    }
    let stack_queues =
        [(StackQueue::DeadLetter, &resources.dead_letter_queue), (StackQueue::SetAside, &resources.set_aside_queue)];
    let selected = stack_queues.into_iter().filter(|(queue, _)| options.queue.is_none_or(|option| option == *queue));
    selected.filter_map(|(_, url)| url.clone()).collect()
}

impl Replayer<'_> {
    async fn queues(&mut self, sqs: &aws_sdk_sqs::Client, urls: &[String]) -> Result<(), ReplayError> {
        for url in urls {
            self.queue(sqs, url).await?;
        }
        Ok(())
    }

    async fn files(&mut self, events: Vec<RecordedEvent>) -> Result<(), ReplayError> {
        for events in events.chunks(BATCH_SIZE) {
            let replayed = join_all(events.iter().map(|event| self.write(event))).await;
            for (event, replayed) in events.iter().zip(replayed) {
                self.report(&event.name, Some(event), &replayed?);
            }
        }
        Ok(())
    }

    /// Empties the queue, except for refused messages. Those can then be received again at once.
    async fn queue(&mut self, sqs: &aws_sdk_sqs::Client, url: &str) -> Result<(), ReplayError> {
        let mut refused = Vec::new();
        let result = self.messages(sqs, url, &mut refused).await;
        for handle in refused {
            let request = sqs.change_message_visibility().queue_url(url).receipt_handle(handle).visibility_timeout(0);
            request.send().await.map_err(|error| ReplayError::Queue(outcome::aws_error(&error)))?;
        }
        result
    }

    /// Collects the receipt handles of refused messages.
    async fn messages(&mut self, sqs: &aws_sdk_sqs::Client, url: &str, refused: &mut Vec<String>) -> Result<(), ReplayError> {
        let mut seen = HashSet::new();
        loop {
            let request = sqs.receive_message().queue_url(url).max_number_of_messages(BATCH_SIZE as i32);
            let response = request.visibility_timeout(VISIBILITY_TIMEOUT).wait_time_seconds(WAIT_TIME).send().await;
            let messages = response.map_err(|error| ReplayError::Queue(outcome::aws_error(&error)))?.messages.unwrap_or_default();
            // Refused messages are received again after their visibility timeout. If only those remain, the queue is done.
            let new: Vec<Message> = messages.into_iter().filter(|message| seen.insert(message.message_id.clone())).collect();
            if new.is_empty() {
                if seen.is_empty() {
                    self.counts.in_flight += QueueSize::of(sqs, url).await.map_err(ReplayError::Queue)?.in_flight;
                }
                return Ok(());
            }
            let replayed = join_all(new.iter().map(|message| self.write_message(message))).await;
            let mut stopped = None;
            for (message, replayed) in new.iter().zip(replayed) {
                let name = message.message_id().unwrap_or_default();
                match replayed {
                    Ok((event, replayed)) => {
                        if matches!(replayed, Replayed::Refused(_)) {
                            refused.extend(message.receipt_handle.clone());
                        } else {
                            let request = sqs.delete_message().queue_url(url);
                            let request = request.set_receipt_handle(message.receipt_handle.clone());
                            request.send().await.map_err(|error| ReplayError::Queue(outcome::aws_error(&error)))?;
                        }
                        self.report(name, event.as_ref(), &replayed);
                    }
                    // The other messages of the batch were written, so they are still deleted.
                    Err(error) => stopped = stopped.or(Some(error)),
                }
            }
            if let Some(error) = stopped {
                return Err(error);
            }
        }
    }

    async fn write_message(&self, message: &Message) -> Result<(Option<RecordedEvent>, Replayed), ReplayError> {
        let name = message.message_id().unwrap_or_default();
        let events = match recorded::from_json(name, message.body().unwrap_or_default().as_bytes()) {
            Ok(events) => events,
            Err(error) => return Ok((None, Replayed::Refused(error.into()))),
        };
        match <[RecordedEvent; 1]>::try_from(events) {
            Ok([event]) => {
                let replayed = self.write(&event).await?;
                Ok((Some(event), replayed))
            }
            // A message can only be deleted as a whole, which would lose the events that are not written yet.
            Err(_) => Ok((None, Replayed::Refused(Refusal::Several))),
        }
    }

    async fn write(&self, recorded: &RecordedEvent) -> Result<Replayed, ReplayError> {
        let now = Timestamp::now();
        let received = recorded.received_at.or(self.options.received_at).unwrap_or(now);
        let Handled { envelope, event, .. } = match replayable(&recorded.body, self.environment_id.as_ref()) {
            Ok(Some(handled)) => *handled,
            Ok(None) => return Ok(Replayed::Ignored),
            Err(refusal) => return Ok(Replayed::Refused(refusal)),
        };
        if let (false, Err(refusal)) = (self.options.force, check_age(&envelope, received, now)) {
            return Ok(Replayed::Refused(refusal));
        }
        match apply(&self.store, &envelope, &event, Timing { received, now }).await {
            Ok((outcome, _)) => Ok(Replayed::Written(outcome)),
            Err(error @ StoreError::TooLarge) => Ok(Replayed::Refused(Refusal::TooLarge(error))),
            Err(source) => Err(ReplayError::Store { name: recorded.name.clone(), source }),
        }
    }

    /// Counts and prints the result of an event.
    fn report(&mut self, name: &str, event: Option<&RecordedEvent>, replayed: &Replayed) {
        let (count, outcome, error) = match replayed {
            Replayed::Written(Outcome::Applied) => (&mut self.counts.applied, "applied", None),
            Replayed::Written(Outcome::Stale) => (&mut self.counts.stale, "stale", None),
            Replayed::Ignored => (&mut self.counts.ignored, "ignored", None),
            Replayed::Refused(refusal) => (&mut self.counts.refused, "refused", Some(refusal.to_string())),
        };
        *count += 1;
        let summary = event.map(|event| EventSummary::of(&event.body)).unwrap_or_default();
        let EventSummary { event_type: r#type, message_id, subject, .. } = summary;
        if self.options.json {
            let received_at = event.and_then(|event| event.received_at).map(to_fixed_width);
            let line = Line { name, r#type, message_id, subject, received_at, outcome, error };
            println!("{}", serde_json::to_string(&line).unwrap_or_default());
        } else {
            let (kind, subject) = (r#type.unwrap_or_default(), console::text::plain(&subject.unwrap_or_default()));
            let error = error.map(|error| format!(": {error}")).unwrap_or_default();
            println!("{name}  {kind}  {subject}  {outcome}{error}");
        }
    }
}

/// Parses an event of the replica's environment. None if its type is not handled.
pub(crate) fn replayable(body: &[u8], environment_id: Option<&Id>) -> Result<Option<Box<Handled>>, Refusal> {
    let Received::Handled(handled) = event::parse(body)? else { return Ok(None) };
    match (environment_id, &handled.envelope.environment_id) {
        (Some(expected), Some(actual)) if expected != actual => {
            Err(EventError::OtherEnvironment { kind: handled.kind.as_str() }.into())
        }
        _ => Ok(Some(handled)),
    }
}

/// Refuses an event from before the oldest tombstones.
pub(crate) fn check_age(envelope: &Envelope, received: Timestamp, now: Timestamp) -> Result<(), Refusal> {
    let time = oldest_time(envelope, received);
    if now.duration_since(time) > GRACE_PERIOD { Err(Refusal::TooOld { time: to_fixed_width(time) }) } else { Ok(()) }
}

/// The oldest time of the registers that an event writes. The customer in a list has a time of its own.
fn oldest_time(envelope: &Envelope, received: Timestamp) -> Timestamp {
    [envelope.time(), envelope.timestamp].into_iter().flatten().min().unwrap_or(received)
}
