//! The log record of an event.

use std::time::Instant;

use domain::event::{EventSummary, Handled};
use jiff::Timestamp;
use runtime::telemetry::{self, Details, EventDetails, Recorder, Rejection, RequestRecord, StoreUse};
use store::Store;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Source<'a> {
    Http { method: &'a str, path: &'a str },
    Queue,
}

/// Collects the log fields of an event while it is handled: ids, types and outcomes, no content.
#[derive(Debug)]
pub(crate) struct EventLog<'a> {
    started: Instant,
    source: Source<'a>,
    /// Lambda's id of the invocation.
    request_id: Option<&'a str>,
    pub(crate) details: EventDetails,
    pub(crate) store_failed: bool,
    pub(crate) rejected: Option<Rejection>,
    pub(crate) problem: Option<String>,
}

impl<'a> EventLog<'a> {
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

    /// The event's type is not supported.
    pub(crate) fn set_ignored(&mut self, event_type: String) {
        self.details.event_type = Some(event_type);
        self.details.metric_type = "other";
    }

    pub(crate) fn set_event(&mut self, handled: &Handled, received: Timestamp) {
        self.details.event_type = Some(handled.kind.as_str().to_owned());
        self.details.metric_type = handled.kind.as_str();
        self.details.message_id.clone_from(&handled.envelope.message_id);
        self.details.subject = Some(handled.event.subject().to_string());
        self.details.odd.clone_from(&handled.unexpected);
        self.details.lag_seconds = handled.envelope.time().map(|time| received.duration_since(time).as_secs());
    }

    /// For an event that can't be applied.
    pub(crate) fn set_summary(&mut self, summary: &EventSummary) {
        self.details.event_type.clone_from(&summary.event_type);
        self.details.metric_type = match (summary.kind, &summary.event_type) {
            (Some(kind), _) => kind.as_str(),
            (None, Some(_)) => "other",
            (None, None) => "none",
        };
        self.details.message_id.clone_from(&summary.message_id);
        self.details.subject.clone_from(&summary.subject);
    }

    /// For an event that is refused although its sender is verified. `is_final` is whether sending it again is useless.
    pub(crate) fn set_refused(&mut self, summary: &EventSummary, is_final: bool) {
        self.set_summary(summary);
        self.details.event_refused = is_final;
    }

    /// An event with a rejected time or unexpected members is never routine.
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
