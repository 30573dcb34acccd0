//! What the console is told by the command that serves it: what is known of a deployment beside its tables.

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde::Serialize;

/// A deployment, as the operator's commands know it.
pub trait Source: Send + Sync + 'static {
    /// What it is called: `the stack replica`.
    fn deployment(&self) -> String;

    /// Runs the checks of `byos doctor --read-only`.
    fn doctor(&self) -> BoxFuture<'_, Vec<Finding>>;

    /// Looks into its queues. Empty if it has none.
    fn queues(&self) -> BoxFuture<'_, Vec<Queue>>;

    /// What its functions did in the last hour. None if their metrics can't be read from here.
    fn activity(&self) -> Option<Activity>;
}

/// The result of one check of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, and needs a look.
    Warn,
    /// It does not work, or admits callers that it should refuse.
    Fail,
}

/// One check of a deployment.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What was checked.
    pub name: String,
    /// The result.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do about it.
    #[serde(rename = "mend")]
    pub fix: Option<String>,
}

/// A queue of events.
#[derive(Clone, Debug)]
pub struct Queue {
    /// Its name.
    pub name: &'static str,
    /// Why an event is in it, and how it leaves.
    pub purpose: &'static str,
    /// What is in it, or why that can't be read.
    pub content: Result<QueueContent, String>,
}

/// What is in a queue.
#[derive(Clone, Debug)]
pub struct QueueContent {
    /// Approximate number of events.
    pub count: u64,
    /// A sample of them. None if looking at them would take them from their reader.
    pub events: Option<Vec<WaitingEvent>>,
}

/// An event in a queue. It holds no personal data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingEvent {
    /// Its type.
    pub kind: Option<String>,
    /// Its messageId.
    pub message_id: Option<String>,
    /// When the webhook received it.
    pub received: Option<Timestamp>,
    /// Why this version can't apply it. None if it can.
    pub problem: Option<String>,
}

/// What the functions did in the last hour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Number of decisions: by AccessDeniedReason, and granted ones under None.
    pub decisions: BTreeMap<Option<String>, u64>,
    /// Number of events by outcome.
    pub events: BTreeMap<String, u64>,
    /// How long after their time events arrived. None if no event stated a time.
    pub lag: Option<Lag>,
}

/// Time between events and their arrival, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// Half of the events arrived within this time.
    pub median: i64,
    /// All of them arrived within this time.
    pub highest: i64,
}
