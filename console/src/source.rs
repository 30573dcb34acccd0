//! Data about a deployment that is not in its tables. The program that serves the console implements [`Source`].

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde::Serialize;

/// Where the console gets a deployment's health from.
pub trait Source: Send + Sync + 'static {
    /// The deployment's name, such as `the stack replica`.
    fn deployment(&self) -> String;

    /// Runs the checks of `byos doctor --read-only`.
    fn doctor(&self) -> BoxFuture<'_, Vec<Finding>>;

    /// Samples the deployment's queues.
    fn queues(&self) -> BoxFuture<'_, Vec<Queue>>;

    /// The functions' activity in the last hour. None if the console can't read their metrics.
    fn activity(&self) -> Option<Activity>;
}

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// No problem.
    Ok,
    /// It works but needs attention.
    Warn,
    /// It does not work, or does not reject unauthorized callers.
    Fail,
}

/// The result of one check of a deployment.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// The check's name.
    pub name: String,
    /// The severity.
    pub verdict: Verdict,
    /// The observation.
    pub found: String,
    /// What to do about it.
    #[serde(rename = "mend")]
    pub fix: Option<String>,
}

/// A queue of events.
#[derive(Clone, Debug)]
pub struct Queue {
    /// The name to show.
    pub name: &'static str,
    /// Why events are in it, and how they leave it.
    pub purpose: &'static str,
    /// Its events, or an error message.
    pub content: Result<QueueContent, String>,
}

/// The events in a queue.
#[derive(Clone, Debug)]
pub struct QueueContent {
    /// Approximate number of events, including those in flight.
    pub count: u64,
    /// Events that a reader has received: they can't be shown until their visibility timeout ends.
    pub in_flight: u64,
    /// A sample. None if receiving events would count as an attempt to write them.
    pub events: Option<Vec<WaitingEvent>>,
}

/// An event in a queue, without personal data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WaitingEvent {
    /// The event's type.
    pub kind: Option<String>,
    /// Stigg's messageId.
    pub message_id: Option<String>,
    /// The customer's id.
    pub customer: Option<String>,
    /// The subscription's id.
    pub subscription: Option<String>,
    /// When the webhook received it.
    pub received: Option<Timestamp>,
    /// Why `byos replay` refuses it. None if it does not.
    pub problem: Option<String>,
}

/// The functions' activity in the last hour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Number of decisions by AccessDeniedReason; None for granted ones.
    pub decisions: BTreeMap<Option<String>, u64>,
    /// Number of events by outcome.
    pub events: BTreeMap<String, u64>,
    /// None if no event stated a time.
    pub lag: Option<Lag>,
}

/// Seconds from the events' times to their arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// The median.
    pub median: i64,
    /// The maximum.
    pub highest: i64,
}
