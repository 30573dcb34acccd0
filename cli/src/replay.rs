//! `byos replay`: writes events again that were not taken, from the stack's queues or from files.
//!
//! They are written through the store by the webhook's own code, and not sent to it: so each keeps the
//! receipt that it had, which is the time of an event that says none.

use std::{collections::HashSet, path::PathBuf};

use aws_sdk_sqs::types::Message;
use clap::{ArgAction, Args, ValueEnum};
use domain::{
    event::{self, Envelope, EventError, Handled, Received},
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
    delivery::Label,
    outcome::{self, ExitStatus},
    recorded::{self, Recorded, RecordedError},
    target::{Resources, Target, TargetError},
};

/// How many events are written beside one another: what SQS gives at once. The order does not matter.
const BESIDE: usize = 10;

/// How long a message that was received is kept from others, in seconds.
const VISIBILITY: i32 = 120;

/// How long SQS looks for messages before it says that there are none, in seconds. Without that it asks
/// only some of its servers.
const WAIT: i32 = 2;

/// One of a stack's queues that nobody empties but this command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StackQueue {
    /// Events that the store did not take for two and a half hours
    DeadLetter,
    /// Events that could not be applied
    SetAside,
}

/// Write events that the webhook could not write, from the stack's queues or from files
///
/// Replaying is safe at any time, since versions decide which event wins. But tombstones expire after 30 days: an older
/// event could resurrect a deleted customer, and is refused without --force. Refused events stay in the queue.
///
/// Exit codes: 0 if every event was written, 3 if some were refused, 1 if it stopped.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  byos replay --stack replica                     the dead-letter queue and what was set aside
  byos replay --stack replica --queue set-aside   only what was set aside
  byos replay --stack replica --queue-url URL     another queue
  byos replay parked.json --stack replica         messages of the queue, requests, or events in a file
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
    #[error("there is nothing to replay from: name files, a queue with --queue-url, or a stack that has one with --stack")]
    NoSource,
    #[error("the queue can't be read: {0}")]
    Queue(String),
    #[error("the environment of the replica can't be read: {0}")]
    Environment(#[source] StoreError),
    #[error("stopped at {name}; what was not written is where it was, and the same command goes on: {source}")]
    Store { name: String, source: StoreError },
}

/// Why an event is not written.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Recorded(#[from] RecordedError),
    #[error(transparent)]
    Event(#[from] EventError),
    #[error(transparent)]
    TooLarge(StoreError),
    #[error("it holds several events: write them from a file")]
    Several,
    #[error("it is of {time}, longer ago than a deletion is remembered; --force writes it all the same")]
    TooOld { time: String },
}

/// What became of an event.
#[derive(Debug)]
enum Became {
    Written(Outcome),
    Ignored,
    Refused(Refused),
}

/// The same for machines.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    name: &'a str,
    r#type: Option<String>,
    message_id: Option<String>,
    received_at: Option<String>,
    outcome: &'static str,
    error: Option<String>,
}

/// How many came to what.
#[derive(Debug, Default)]
struct Counts {
    applied: usize,
    stale: usize,
    ignored: usize,
    refused: usize,
}

struct Replaying<'a> {
    store: Store,
    /// The Stigg environment that the replica belongs to, if that is decided.
    environment_id: Option<Id>,
    options: &'a Replay,
    counts: Counts,
}

pub async fn replay(options: Replay) -> Result<ExitStatus, ReplayError> {
    // All files are read before the first event is written: a misspelt name is told at once.
    let events: Result<Vec<_>, _> = options.files.iter().map(|file| recorded::from_file(file)).collect();
    let events: Vec<Recorded> = events?.into_iter().flatten().collect();
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
    let mut replaying = Replaying { store, environment_id, options: &options, counts: Counts::default() };
    let result = if events.is_empty() {
        replaying.queues(&deployment.sdk.sqs().await?, &queues).await
    } else {
        replaying.files(events).await
    };
    let Counts { applied, stale, ignored, refused } = replaying.counts;
    if !options.json {
        println!("{applied} applied, {stale} stale, {ignored} ignored, {refused} refused.");
    }
    result.map(|()| if refused == 0 { ExitStatus::Success } else { ExitStatus::Findings })
}

/// The URLs of the queues that are to be emptied.
fn queues(options: &Replay, resources: &Resources) -> Vec<String> {
    if let Some(url) = &options.queue_url {
        return vec![url.clone()];
    }
    let of_stack = [(StackQueue::DeadLetter, &resources.dead_letter_queue), (StackQueue::SetAside, &resources.set_aside_queue)];
    let wanted = of_stack.into_iter().filter(|(queue, _)| options.queue.is_none_or(|wanted| wanted == *queue));
    wanted.filter_map(|(_, url)| url.clone()).collect()
}

impl Replaying<'_> {
    async fn queues(&mut self, sqs: &aws_sdk_sqs::Client, urls: &[String]) -> Result<(), ReplayError> {
        for url in urls {
            self.queue(sqs, url).await?;
        }
        Ok(())
    }

    async fn files(&mut self, events: Vec<Recorded>) -> Result<(), ReplayError> {
        for events in events.chunks(BESIDE) {
            let written = join_all(events.iter().map(|event| self.write(event))).await;
            for (event, became) in events.iter().zip(written) {
                self.tell(&event.name, Some(event), &became?);
            }
        }
        Ok(())
    }

    /// Empties the queue. What is refused is left in it, and comes again for nobody here.
    async fn queue(&mut self, sqs: &aws_sdk_sqs::Client, url: &str) -> Result<(), ReplayError> {
        let mut seen = HashSet::new();
        loop {
            let request = sqs.receive_message().queue_url(url).max_number_of_messages(BESIDE as i32);
            let answer = request.visibility_timeout(VISIBILITY).wait_time_seconds(WAIT).send().await;
            let messages = answer.map_err(|error| ReplayError::Queue(outcome::aws_error(&error)))?.messages.unwrap_or_default();
            // One that was left comes again when its time is over: then all the others have come.
            let new: Vec<Message> = messages.into_iter().filter(|message| seen.insert(message.message_id.clone())).collect();
            if new.is_empty() {
                return Ok(());
            }
            let written = join_all(new.iter().map(|message| self.write_message(message))).await;
            let mut stopped = None;
            for (message, became) in new.iter().zip(written) {
                let name = message.message_id().unwrap_or_default();
                match became {
                    Ok((event, became)) => {
                        if !matches!(became, Became::Refused(_)) {
                            let request = sqs.delete_message().queue_url(url);
                            let request = request.set_receipt_handle(message.receipt_handle.clone());
                            request.send().await.map_err(|error| ReplayError::Queue(outcome::aws_error(&error)))?;
                        }
                        self.tell(name, event.as_ref(), &became);
                    }
                    // Those beside it were written, so they are deleted all the same.
                    Err(error) => stopped = stopped.or(Some(error)),
                }
            }
            if let Some(error) = stopped {
                return Err(error);
            }
        }
    }

    async fn write_message(&self, message: &Message) -> Result<(Option<Recorded>, Became), ReplayError> {
        let name = message.message_id().unwrap_or_default();
        let events = match recorded::from_json(name, message.body().unwrap_or_default().as_bytes()) {
            Ok(events) => events,
            Err(error) => return Ok((None, Became::Refused(error.into()))),
        };
        match <[Recorded; 1]>::try_from(events) {
            Ok([event]) => {
                let became = self.write(&event).await?;
                Ok((Some(event), became))
            }
            // A message is deleted whole, so it has to be written whole.
            Err(_) => Ok((None, Became::Refused(Refused::Several))),
        }
    }

    async fn write(&self, event: &Recorded) -> Result<Became, ReplayError> {
        let now = Timestamp::now();
        let received = event.received.or(self.options.received_at).unwrap_or(now);
        let Handled { envelope, event: said, kind, .. } = match event::parse(&event.body) {
            Ok(Received::Handled(handled)) => *handled,
            Ok(Received::Ignored { .. }) => return Ok(Became::Ignored),
            Err(error) => return Ok(Became::Refused(error.into())),
        };
        if let (Some(own), Some(named)) = (&self.environment_id, &envelope.environment_id)
            && own != named
        {
            return Ok(Became::Refused(Refused::Event(EventError::OtherEnvironment { kind: kind.as_str() })));
        }
        let time = oldest(&envelope, received);
        if now.duration_since(time) > GRACE_PERIOD && !self.options.force {
            return Ok(Became::Refused(Refused::TooOld { time: to_fixed_width(time) }));
        }
        let written = apply(&self.store, &envelope, &said, Timing { received, now }).await;
        match written {
            Ok((outcome, _)) => Ok(Became::Written(outcome)),
            Err(error @ StoreError::TooLarge) => Ok(Became::Refused(Refused::TooLarge(error))),
            Err(source) => Err(ReplayError::Store { name: event.name.clone(), source }),
        }
    }

    /// Counts what became of an event, and prints it.
    fn tell(&mut self, name: &str, event: Option<&Recorded>, became: &Became) {
        let (count, outcome, error) = match became {
            Became::Written(Outcome::Applied) => (&mut self.counts.applied, "applied", None),
            Became::Written(Outcome::Stale) => (&mut self.counts.stale, "stale", None),
            Became::Ignored => (&mut self.counts.ignored, "ignored", None),
            Became::Refused(refused) => (&mut self.counts.refused, "refused", Some(refused.to_string())),
        };
        *count += 1;
        let Label { r#type, message_id } = event.map(|event| Label::of(&event.body)).unwrap_or_default();
        if self.options.json {
            let received_at = event.and_then(|event| event.received).map(to_fixed_width);
            let line = Line { name, r#type, message_id, received_at, outcome, error };
            println!("{}", serde_json::to_string(&line).unwrap_or_default());
        } else {
            let kind = r#type.unwrap_or_default();
            let error = error.map(|error| format!(": {error}")).unwrap_or_default();
            println!("{name}  {kind}  {outcome}{error}");
        }
    }
}

/// The oldest time that an event would write with: a list's customer has one of its own.
fn oldest(envelope: &Envelope, received: Timestamp) -> Timestamp {
    [envelope.time(), envelope.timestamp].into_iter().flatten().min().unwrap_or(received)
}
