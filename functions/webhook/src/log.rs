//! What is recorded of an event.

use std::time::Instant;

use domain::event::{EventSummary, Handled};
use jiff::Timestamp;
use runtime::telemetry::{self, Details, EventDetails, Recorder, Rejection, RequestRecord, StoreUse};
use store::Store;

/// How an event came.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source<'a> {
    /// By a request with this method and path.
    Http {
        /// The method.
        method: &'a str,
        /// The path.
        path: &'a str,
    },
    /// From the queue.
    Queue,
}

/// What is known of an event so far: ids, types and outcomes, nothing of what it says.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    started: Instant,
    source: Source<'a>,
    /// Lambda's id of the invocation.
    request_id: Option<&'a str>,
    pub(crate) details: EventDetails,
    pub(crate) store_failed: bool,
    pub(crate) rejected: Option<Rejection>,
    pub(crate) problem: Option<String>,
}

impl<'a> Line<'a> {
    pub(crate) fn new(source: Source<'a>, request_id: Option<&'a str>) -> Self {
        Self {
            started: Instant::now(),
            source,
            request_id,
            details: EventDetails { metric_type: "none", ..EventDetails::default() },
            store_failed: false,
            rejected: None,
            problem: None,
        }
    }

    /// An event of a type that is not handled.
    pub(crate) fn is_ignored(&mut self, event_type: String) {
        self.details.event_type = Some(event_type);
        self.details.metric_type = "other";
    }

    /// An event that was received then.
    pub(crate) fn is_of(&mut self, handled: &Handled, received: Timestamp) {
        self.details.event_type = Some(handled.kind.as_str().to_owned());
        self.details.metric_type = handled.kind.as_str();
        self.details.message_id.clone_from(&handled.envelope.message_id);
        self.details.subject = Some(handled.event.subject().to_string());
        self.details.odd.clone_from(&handled.unexpected);
        self.details.lag_seconds = handled.envelope.time().map(|time| received.duration_since(time).as_secs());
    }

    /// An event that can't be applied, as far as it says what it is.
    pub(crate) fn is_outlined(&mut self, outline: &EventSummary) {
        self.details.event_type.clone_from(&outline.event_type);
        self.details.metric_type = match (outline.kind, &outline.event_type) {
            (Some(kind), _) => kind.as_str(),
            (None, Some(_)) => "other",
            (None, None) => "none",
        };
        self.details.message_id.clone_from(&outline.message_id);
        self.details.subject.clone_from(&outline.subject);
    }

    /// An event that is refused though it has the secret. Refused for good, sending it again will not help.
    pub(crate) fn is_refused(&mut self, outline: &EventSummary, for_good: bool) {
        self.is_outlined(outline);
        self.details.event_refused = for_good;
    }

    /// Records it. A routine event is one that was taken as it is.
    pub(crate) fn record(self, recorder: &Recorder, status: Option<u16>, outcome: &'static str, is_routine: bool, store: &Store) {
        let Self { started, source, request_id, details, store_failed, rejected, problem } = self;
        let (method, path, route) = match source {
            Source::Http { method, path } => (method, path, "/webhook"),
            Source::Queue => ("", "", "queue"),
        };
        recorder.record(&RequestRecord {
            request_id,
            method,
            path,
            route,
            status,
            outcome,
            is_routine: is_routine && !details.time_disbelieved && details.odd.count == 0,
            details: Details::Event(&details),
            store: StoreUse::of(store),
            store_failed,
            rejected,
            milliseconds: telemetry::milliseconds(started.elapsed()),
            problem: problem.as_deref(),
        });
    }
}
