use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
    time::Duration,
};

use jiff::SignedDuration;
use proptest::prelude::*;
use serde_json::Value;
use testkit::printed::{Captured, Printed, sums};

use super::*;
use crate::telemetry::{CheckDetails, Decisions, Details, EventDetails, JsonLines, Rejection, StoreUse, WRITE_INTERVAL};
use domain::{access::AccessDeniedReason, event::UnexpectedMembers};
use store::StoreCost;

/// A recorder with a test clock and captured output.
struct TestRecorder {
    printed: Captured,
    now: Arc<Mutex<Timestamp>>,
    recorder: Recorder,
}

impl TestRecorder {
    fn new(settings: Settings) -> Self {
        let printed = Captured::default();
        let now = Arc::new(Mutex::new("2026-11-24T10:00:30Z".parse().unwrap()));
        let clock = Arc::clone(&now);
        let recorder = Recorder::to(printed.clone(), Clock::of(move || *clock.lock().unwrap()), settings);
        Self { printed, now, recorder }
    }

    fn advance(&self, milliseconds: i64) {
        *self.now.lock().unwrap() += SignedDuration::from_millis(milliseconds);
    }

    /// Output since the last call: request lines and metric lines.
    fn take_printed(&self) -> (Vec<Value>, Vec<Value>) {
        let Printed { requests, metrics } = Printed::parse(&self.printed.take()).unwrap();
        metrics.iter().for_each(assert_is_embedded_metric);
        (requests, metrics)
    }

    fn record(&self, record: &RequestRecord<'_>) {
        let subscriber = tracing_subscriber::fmt().event_format(JsonLines).with_writer(io::sink).finish();
        tracing::subscriber::with_default(subscriber, || self.recorder.record(record));
    }

    fn check(&self, denied: Option<AccessDeniedReason>) {
        let details = CheckDetails { decisions: Decisions::from_iter([denied]), ..CheckDetails::default() };
        let outcome = denied.map_or("granted", AccessDeniedReason::as_str);
        self.record(&RequestRecord { outcome, ..record(Details::Check(&details)) });
    }
}

fn settings(level: MetricLevel, one_in: u64) -> Settings {
    Settings { namespace: Some("stack".to_owned()), level, one_in: NonZeroU64::new(one_in).unwrap() }
}

fn record(details: Details<'_>) -> RequestRecord<'_> {
    RequestRecord {
        request_id: Some("r"),
        method: "POST",
        path: "/secret-path",
        route: "/route",
        status: Some(200),
        outcome: "answered",
        details,
        store: StoreUse::new(StoreCost { requests: 1, capacity: 0.5 }, Duration::from_millis(4)),
        store_failed: false,
        rejected: None,
        milliseconds: 5.0,
        problem: None,
        is_routine: true,
    }
}

/// Checks a line against the specification of the embedded metric format.
fn assert_is_embedded_metric(line: &Value) {
    assert!(line["_aws"]["Timestamp"].as_i64().unwrap() % 60_000 == 0);
    let mut names = BTreeSet::new();
    for directive in line["_aws"]["CloudWatchMetrics"].as_array().unwrap() {
        assert_eq!(directive["Namespace"], "stack");
        let name = directive["Metrics"][0]["Name"].as_str().unwrap();
        assert!(names.insert(name), "{name} twice in {line}");
        let is_list = |value: &Value| {
            value.as_array().is_some_and(|values| (1..=100).contains(&values.len()) && values.iter().all(Value::is_number))
        };
        assert!(line[name].is_number() || is_list(&line[name]), "{line}");
        let dimensions = directive["Dimensions"][0].as_array().unwrap();
        assert!(dimensions.iter().all(|name| line[name.as_str().unwrap()].is_string()), "{line}");
    }
}

#[test]
fn sampling_omits_only_routine_requests() {
    let recorder = TestRecorder::new(settings(MetricLevel::Basic, 100));
    let details = CheckDetails::default();
    for n in 0..1_000 {
        recorder.check(None);
        if n % 10 == 0 {
            recorder.check(Some(AccessDeniedReason::CustomerNotFound));
            recorder.record(&RequestRecord { outcome: "refused", is_routine: false, ..record(Details::Check(&details)) });
        }
    }
    recorder.recorder.flush();
    let (requests, metrics) = recorder.take_printed();
    let count = |outcome: &str| requests.iter().filter(|line| line["outcome"] == outcome).count();
    assert_eq!((count("granted"), count("CustomerNotFound"), count("refused")), (10, 1, 100));
    let expected = [("Granted".to_owned(), 1_000.0), ("Denied".to_owned(), 100.0)];
    assert_eq!(sums(&metrics, "Decisions"), BTreeMap::from(expected));
}

#[test]
fn a_line_has_the_documented_fields_without_the_path() {
    let recorder = TestRecorder::new(settings(MetricLevel::Basic, 1));
    let details = EventDetails {
        event_type: Some("customer.updated".to_owned()),
        subject: Some("c".to_owned()),
        odd: UnexpectedMembers { count: 2, paths: vec!["a".to_owned(), "b".to_owned()] },
        event_refused: true,
        ..EventDetails::default()
    };
    let rejected = Some(Rejection::Secret);
    recorder.record(&RequestRecord { rejected, status: Some(400), is_routine: false, ..record(Details::Event(&details)) });
    let (requests, _) = recorder.take_printed();
    let expected = serde_json::json!({
        "timestamp": "2026-11-24T10:00:30.000Z", "level": "ERROR", "request_id": "r", "route": "/route", "status": 400,
        "outcome": "answered", "event_type": "customer.updated", "subject": "c", "odd_members": 2, "odd_paths": "a, b",
        "event_refused": true, "dynamodb_requests": 1, "dynamodb_capacity": 0.5, "dynamodb_milliseconds": 4.0,
        "rejected": "secret", "milliseconds": 5.0,
    });
    assert_eq!(requests, [expected]);
}

#[test]
fn metrics_are_written_by_the_first_request_after_ten_seconds() {
    let recorder = TestRecorder::new(settings(MetricLevel::Basic, u64::MAX));
    recorder.check(None);
    assert_eq!(recorder.take_printed().1.len(), 1, "the first request writes");
    for (milliseconds, lines) in [(1, 0), (9_998, 0), (1, 1), (9_999, 0), (1, 1), (3_600_000, 1), (100, 0)] {
        recorder.advance(milliseconds);
        recorder.check(None);
        assert_eq!(recorder.take_printed().1.len(), lines, "after {milliseconds} ms");
    }
    // A clock that is set back does not delay the write.
    recorder.advance(-86_400_000);
    recorder.check(None);
    assert_eq!(sums(&recorder.take_printed().1, "Decisions")["Granted"], 2.0);
}

#[test]
fn urgent_metrics_are_written_immediately_with_all_pending_ones() {
    let recorder = TestRecorder::new(settings(MetricLevel::Basic, 1));
    let details = CheckDetails::default();
    let failed = |record: RequestRecord<'_>| recorder.record(&RequestRecord { is_routine: false, ..record });
    recorder.check(None);
    recorder.take_printed();
    recorder.check(None);
    failed(RequestRecord { rejected: Some(Rejection::Secret), status: Some(401), ..record(Details::Check(&details)) });
    let (_, metrics) = recorder.take_printed();
    assert_eq!((sums(&metrics, "Decisions")["Granted"], sums(&metrics, "RejectedSecrets")["check-access"]), (1.0, 1.0));
    failed(RequestRecord { store_failed: true, status: Some(503), ..record(Details::Check(&details)) });
    let (_, metrics) = recorder.take_printed();
    assert_eq!((sums(&metrics, "StoreErrors")[""], sums(&metrics, "ServerErrors")["check-access"]), (1.0, 1.0));
    for (details, metric) in [
        (EventDetails { time_disbelieved: true, ..EventDetails::default() }, "DisbelievedTimes"),
        (EventDetails { event_refused: true, ..EventDetails::default() }, "RefusedEvents"),
    ] {
        failed(record(Details::Event(&details)));
        assert_eq!(sums(&recorder.take_printed().1, metric)[""], 1.0);
    }
    let details = EventDetails::default();
    failed(RequestRecord { rejected: Some(Rejection::Source), ..record(Details::Event(&details)) });
    assert_eq!(sums(&recorder.take_printed().1, "RejectedSources")[""], 1.0);
}

#[test]
fn each_minute_has_separate_counts() {
    let recorder = TestRecorder::new(settings(MetricLevel::Basic, 1));
    recorder.check(None);
    recorder.take_printed();
    recorder.advance(9_000);
    recorder.check(None);
    recorder.advance(23_000);
    recorder.check(None);
    let (_, metrics) = recorder.take_printed();
    let minutes: Vec<_> = metrics.iter().map(|line| line["_aws"]["Timestamp"].as_i64().unwrap() / 60_000).collect();
    assert_eq!((metrics.len(), minutes[1] - minutes[0]), (2, 1));
    assert_eq!(sums(&metrics[..1], "Decisions")["Granted"], 1.0);
}

#[test]
fn detailed_metrics_have_reasons_types_and_store_latency() {
    let recorder = TestRecorder::new(settings(MetricLevel::Detailed, 1));
    recorder.check(Some(AccessDeniedReason::CustomerNotFound));
    let odd = UnexpectedMembers { count: 2, paths: vec![] };
    let details = EventDetails { metric_type: "customer.updated", odd, lag_seconds: Some(-3), ..EventDetails::default() };
    recorder.record(&RequestRecord { outcome: "applied", ..record(Details::Event(&details)) });
    recorder.recorder.flush();
    let (_, metrics) = recorder.take_printed();
    assert_eq!(sums(&metrics, "Decisions")["CustomerNotFound"], 1.0);
    assert_eq!(
        sums(&metrics, "Events"),
        BTreeMap::from([("applied".to_owned(), 1.0), ("customer.updated,applied".to_owned(), 1.0)])
    );
    assert_eq!((sums(&metrics, "OddMembers")[""], sums(&metrics, "EventLag")[""]), (2.0, -3.0));
    assert_eq!(sums(&metrics, "StoreLatency")["check-access"], 4.0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Random requests at random times, then an orderly shutdown.
    #[test]
    fn no_count_is_lost(requests in prop::collection::vec((0..3_i64, 0..9_000_i64, 0..5_u8, 1..8_usize), 1..200)) {
        let recorder = TestRecorder::new(settings(MetricLevel::Basic, u64::MAX));
        let (mut granted, mut denied, mut applied, mut lags, mut failed) = (0.0, 0.0, 0.0, 0.0, 0.0);
        let (mut written_at, mut metrics) = (None::<Timestamp>, Vec::new());
        for (pace, milliseconds, kind, count) in requests {
            recorder.advance(milliseconds * pace / 2);
            match kind {
                0 | 1 => {
                    let decisions = (0..count).map(|n| (n % 2 == 1).then_some(AccessDeniedReason::Unknown));
                    let details = CheckDetails { decisions: decisions.collect(), ..CheckDetails::default() };
                    recorder.record(&record(Details::Check(&details)));
                    granted += count.div_ceil(2) as f64;
                    denied += (count / 2) as f64;
                }
                2 | 3 => {
                    let details = EventDetails { lag_seconds: Some(count as i64), ..EventDetails::default() };
                    recorder.record(&RequestRecord { outcome: "applied", ..record(Details::Event(&details)) });
                    applied += 1.0;
                    lags += count as f64;
                }
                _ => {
                    let details = CheckDetails::default();
                    recorder.record(&RequestRecord { store_failed: true, is_routine: false, ..record(Details::Check(&details)) });
                    failed += 1.0;
                }
            }
            let now = *recorder.now.lock().unwrap();
            let (_, lines) = recorder.take_printed();
            if !lines.is_empty() {
                let is_full = sums(&lines, "Events").values().sum::<f64>() >= 100.0;
                let is_due = written_at.is_none_or(|written_at| now.duration_since(written_at) >= WRITE_INTERVAL);
                prop_assert!(is_due || kind == 4 || is_full, "written too early");
                written_at = Some(now);
                metrics.extend(lines);
            }
        }
        recorder.recorder.flush();
        metrics.extend(recorder.take_printed().1);
        let sum = |metric: &str, values: &str| sums(&metrics, metric).get(values).copied().unwrap_or_default();
        prop_assert_eq!((sum("Decisions", "Granted"), sum("Decisions", "Denied")), (granted, denied));
        prop_assert_eq!((sum("Events", "applied"), sum("EventLag", ""), sum("StoreErrors", "")), (applied, lags, failed));
    }
}
