//! The line that is logged for an event, and the metrics in it.

use std::time::Instant;

use domain::event::{EventSummary, Handled, UnexpectedMembers};
use jiff::Timestamp;
use runtime::telemetry::{self, Count, Metric, MetricSet};
use store::{Store, StoreCost};

/// The webhook's metrics.
pub static METRICS: MetricSet = MetricSet {
    function: "webhook",
    own: &[
        Metric { name: "Events", unit: "Count", dimensions: &["EventType", "Outcome"], value: Count::Requests },
        Metric { name: "EventLag", unit: "Seconds", dimensions: &[], value: Count::Field("lag_seconds") },
        Metric { name: "DisbelievedTimes", unit: "Count", dimensions: &[], value: Count::Where("time_disbelieved") },
        Metric { name: "OddMembers", unit: "Count", dimensions: &[], value: Count::Field("odd_members") },
        Metric { name: "RefusedEvents", unit: "Count", dimensions: &[], value: Count::Where("event_refused") },
        Metric { name: "RejectedSources", unit: "Count", dimensions: &[], value: Count::Where("source_rejected") },
    ],
};

/// What is known of an event when its line is logged: ids, types and outcomes, nothing of what it says.
#[derive(Debug)]
pub(crate) struct Line {
    started: Instant,
    /// Lambda's id of the invocation.
    pub(crate) request_id: Option<String>,
    pub(crate) event_type: Option<String>,
    /// The same in one of few words, for a metric's dimension: whoever sends can't make up new ones.
    pub(crate) metric_type: &'static str,
    pub(crate) message_id: Option<String>,
    pub(crate) subject: Option<String>,
    pub(crate) lag_seconds: Option<i64>,
    pub(crate) disbelieved: bool,
    /// Members that count as absent because of their values: how many, and the paths of the first ones.
    pub(crate) odd: UnexpectedMembers,
    /// It had the secret and is refused for good: it is lost, unless Stigg's support sends it again.
    pub(crate) refused: bool,
    /// How long it waited in the queue.
    pub(crate) queued_seconds: Option<i64>,
    pub(crate) store_failed: bool,
    pub(crate) secret_rejected: bool,
    pub(crate) source_rejected: bool,
    pub(crate) problem: Option<String>,
}

impl Line {
    pub(crate) fn new(request_id: Option<String>) -> Self {
        Self {
            started: Instant::now(),
            request_id,
            event_type: None,
            metric_type: "none",
            message_id: None,
            subject: None,
            lag_seconds: None,
            disbelieved: false,
            odd: UnexpectedMembers::default(),
            refused: false,
            queued_seconds: None,
            store_failed: false,
            secret_rejected: false,
            source_rejected: false,
            problem: None,
        }
    }

    /// An event of a type that is not handled.
    pub(crate) fn is_ignored(&mut self, event_type: String) {
        self.event_type = Some(event_type);
        self.metric_type = "other";
    }

    /// An event that was received then.
    pub(crate) fn is_of(&mut self, handled: &Handled, received: Timestamp) {
        self.event_type = Some(handled.kind.as_str().to_owned());
        self.metric_type = handled.kind.as_str();
        self.message_id.clone_from(&handled.envelope.message_id);
        self.subject = Some(handled.event.subject().to_string());
        self.odd.clone_from(&handled.unexpected);
        self.lag_seconds = handled.envelope.time().map(|time| received.duration_since(time).as_secs());
    }

    /// An event that can't be applied, as far as it says what it is.
    pub(crate) fn is_outlined(&mut self, outline: &EventSummary) {
        self.event_type.clone_from(&outline.event_type);
        self.metric_type = match (outline.kind, &outline.event_type) {
            (Some(kind), _) => kind.as_str(),
            (None, Some(_)) => "other",
            (None, None) => "none",
        };
        self.message_id.clone_from(&outline.message_id);
        self.subject.clone_from(&outline.subject);
    }

    /// An event that is refused though it has the secret. Refused for good, sending it again will not help.
    pub(crate) fn is_refused(&mut self, outline: &EventSummary, for_good: bool) {
        self.is_outlined(outline);
        self.refused = for_good;
    }

    /// Logs it, with the status that was answered, if there is somebody who gets one.
    pub(crate) fn log(self, status: Option<u16>, outcome: &str, store: &Store) {
        let StoreCost { requests, capacity } = store.cost();
        macro_rules! log {
            ($level:ident) => {
                tracing::$level!(
                    target: telemetry::REQUEST,
                    request_id = self.request_id,
                    status,
                    outcome,
                    event_type = self.event_type,
                    message_id = self.message_id,
                    subject = self.subject,
                    lag_seconds = self.lag_seconds,
                    queued_seconds = self.queued_seconds,
                    time_disbelieved = self.disbelieved,
                    odd_members = (self.odd.count > 0).then_some(self.odd.count),
                    odd_paths = (self.odd.count > 0).then(|| self.odd.paths.join(", ")),
                    event_refused = self.refused.then_some(true),
                    store_failed = self.store_failed.then_some(true),
                    secret_rejected = self.secret_rejected.then_some(true),
                    source_rejected = self.source_rejected.then_some(true),
                    dynamodb_requests = requests,
                    dynamodb_capacity = capacity,
                    dynamodb_milliseconds = (requests > 0).then(|| telemetry::milliseconds(store.time_in_flight())),
                    milliseconds = telemetry::milliseconds(self.started.elapsed()),
                    problem = self.problem,
                    Function = METRICS.function,
                    EventType = self.metric_type,
                    Outcome = outcome,
                    "event {outcome}"
                )
            };
        }
        if self.refused { log!(error) } else { log!(info) }
    }
}
