//! Metrics: aggregated in the process, and written in CloudWatch's embedded metric format.
//!
//! Source: Amazon CloudWatch, "Specification: Embedded metric format".

use std::collections::{BTreeMap, btree_map::Entry};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::{Decisions, Details, EventDetails, Rejection, RequestRecord};
use domain::time;

/// Minimum time between writes, except for urgent metrics and full lists of values. Bounds the counts that a crash can lose.
pub const WRITE_INTERVAL: SignedDuration = SignedDuration::from_secs(10);

/// Maximum number of values in a list, by the specification.
const MAX_VALUES: usize = 100;

/// A metric.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Metric {
    /// CloudWatch's name of the metric.
    pub name: &'static str,
    /// CloudWatch's name of the unit.
    pub unit: &'static str,
    /// The names of the dimensions.
    pub dimensions: &'static [&'static str],
    /// The lowest level at which it is written.
    pub level: MetricLevel,
    /// Written immediately, because it counts problems and an alarm must not be delayed.
    is_urgent: bool,
}

/// Selects the metrics to write. CloudWatch bills a metric for each hour in which it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MetricLevel {
    /// The alarms' metrics, events by outcome, and granted and denied decisions.
    Basic,
    /// Also decisions by reason, events by type, store latency, and members of unexpected types.
    Detailed,
}

const fn basic(name: &'static str, unit: &'static str, dimensions: &'static [&'static str]) -> Metric {
    Metric { name, unit, dimensions, level: MetricLevel::Basic, is_urgent: false }
}

const fn urgent(name: &'static str, dimensions: &'static [&'static str]) -> Metric {
    Metric { name, unit: "Count", dimensions, level: MetricLevel::Basic, is_urgent: true }
}

const fn detailed(name: &'static str, unit: &'static str, dimensions: &'static [&'static str]) -> Metric {
    Metric { name, unit, dimensions, level: MetricLevel::Detailed, is_urgent: false }
}

static EVENTS: Metric = basic("Events", "Count", &["Outcome"]);
static EVENTS_BY_TYPE: Metric = detailed("Events", "Count", &["EventType", "Outcome"]);
static EVENT_LAG: Metric = basic("EventLag", "Seconds", &[]);
static DISBELIEVED_TIMES: Metric = urgent("DisbelievedTimes", &[]);
static ODD_MEMBERS: Metric = detailed("OddMembers", "Count", &[]);
static REFUSED_EVENTS: Metric = urgent("RefusedEvents", &[]);
static FOREIGN_EVENTS: Metric = urgent("ForeignEvents", &[]);
static REJECTED_SOURCES: Metric = urgent("RejectedSources", &[]);
static DECISIONS: Metric = basic("Decisions", "Count", &["Reason"]);
static STORE_ERRORS: Metric = urgent("StoreErrors", &[]);
static STORE_LATENCY: Metric = detailed("StoreLatency", "Milliseconds", &["Function"]);
static REJECTED_SECRETS: Metric = urgent("RejectedSecrets", &["Function"]);
static SERVER_ERRORS: Metric = urgent("ServerErrors", &["Function"]);

/// All metrics.
pub static METRICS: [&Metric; 13] = [
    &EVENTS,
    &EVENTS_BY_TYPE,
    &EVENT_LAG,
    &DISBELIEVED_TIMES,
    &ODD_MEMBERS,
    &REFUSED_EVENTS,
    &FOREIGN_EVENTS,
    &REJECTED_SOURCES,
    &DECISIONS,
    &STORE_ERRORS,
    &STORE_LATENCY,
    &REJECTED_SECRETS,
    &SERVER_ERRORS,
];

/// The reason of denied decisions at [`MetricLevel::Basic`].
const DENIED: &str = "Denied";

/// A metric with the values of its dimensions.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Series {
    metric: &'static Metric,
    values: Vec<&'static str>,
}

#[derive(Debug)]
enum Sum {
    Count(u64),
    /// The single values, for exact percentiles.
    Values(Vec<f64>),
}

/// The metrics of one minute.
#[derive(Debug, Default)]
struct Sums(BTreeMap<Series, Sum>);

impl Sums {
    fn add(&mut self, metric: &'static Metric, values: &[&'static str], count: u64) {
        match self.0.entry(Series { metric, values: values.to_vec() }) {
            Entry::Vacant(entry) => {
                entry.insert(Sum::Count(count));
            }
            Entry::Occupied(mut entry) => {
                if let Sum::Count(sum) = entry.get_mut() {
                    *sum += count;
                }
            }
        }
    }

    fn observe(&mut self, metric: &'static Metric, values: &[&'static str], value: f64) {
        let sum = self.0.entry(Series { metric, values: values.to_vec() }).or_insert_with(|| Sum::Values(Vec::new()));
        if let Sum::Values(observed) = sum {
            observed.push(value);
        }
    }

    /// Counts a request. Returns true if the sums must be written now: an urgent metric was counted, or a list is full.
    fn count(&mut self, record: &RequestRecord<'_>, level: MetricLevel) -> bool {
        let function = [record.details.function().as_str()];
        let mut is_urgent = false;
        let mut add_if = |holds: bool, metric: &'static Metric, values: &[&'static str]| {
            if holds {
                self.add(metric, values, 1);
                is_urgent |= metric.is_urgent;
            }
        };
        add_if(record.store_failed, &STORE_ERRORS, &[]);
        add_if(record.rejected == Some(Rejection::Secret), &REJECTED_SECRETS, &function);
        add_if(record.rejected == Some(Rejection::Source), &REJECTED_SOURCES, &[]);
        add_if(record.status.is_some_and(|status| status >= 500), &SERVER_ERRORS, &function);
        if let Details::Event(EventDetails { time_disbelieved, event_refused, other_environment, .. }) = record.details {
            add_if(*time_disbelieved, &DISBELIEVED_TIMES, &[]);
            add_if(*event_refused, &REFUSED_EVENTS, &[]);
            add_if(*other_environment, &FOREIGN_EVENTS, &[]);
            add_if(true, &EVENTS, &[record.outcome]);
        }
        let is_detailed = level >= MetricLevel::Detailed;
        match record.details {
            Details::Event(event) => {
                if let Some(seconds) = event.lag_seconds {
                    self.observe(&EVENT_LAG, &[], seconds as f64);
                }
                if is_detailed {
                    self.add(&EVENTS_BY_TYPE, &[event.metric_type, record.outcome], 1);
                    if event.odd.count > 0 {
                        self.add(&ODD_MEMBERS, &[], event.odd.count as u64);
                    }
                }
            }
            Details::Check(check) => {
                for (reason, count) in check.decisions.by_reason() {
                    let reason = if is_detailed || reason == Decisions::GRANTED { reason } else { DENIED };
                    self.add(&DECISIONS, &[reason], count);
                }
            }
            Details::Query(_) => {}
        }
        if is_detailed && let Some(milliseconds) = record.store.milliseconds() {
            self.observe(&STORE_LATENCY, &function, milliseconds);
        }
        is_urgent || self.0.values().any(|sum| matches!(sum, Sum::Values(values) if values.len() >= MAX_VALUES))
    }

    /// Formats the sums as lines. Metrics share a line unless they need different values of a dimension.
    fn into_lines(self, namespace: &str, minute: i64, now: Timestamp) -> String {
        let mut lines: Vec<(Map<String, Value>, Vec<Value>)> = Vec::new();
        for (Series { metric, values }, sum) in self.0 {
            let dimensions = || metric.dimensions.iter().copied().zip(values.iter().copied());
            let fits = |members: &Map<String, Value>| {
                let agrees = |(name, value)| members.get(name).is_none_or(|other| other == value);
                !members.contains_key(metric.name) && dimensions().all(agrees)
            };
            let at = lines.iter().position(|(members, _)| fits(members));
            if at.is_none() {
                lines.push((Map::new(), Vec::new()));
            }
            let line = match at {
                Some(at) => lines.get_mut(at),
                None => lines.last_mut(),
            };
            let Some((members, directives)) = line else { continue };
            members.extend(dimensions().map(|(name, value)| (name.to_owned(), value.into())));
            let sum = match sum {
                Sum::Count(count) => count.into(),
                Sum::Values(values) => values.into(),
            };
            members.insert(metric.name.to_owned(), sum);
            directives.push(json!({
                "Namespace": namespace,
                "Dimensions": [metric.dimensions],
                "Metrics": [{ "Name": metric.name, "Unit": metric.unit }],
            }));
        }
        lines.into_iter().fold(String::new(), |mut text, (mut members, directives)| {
            // Without these members, Lambda adds its own time and level.
            members.insert("timestamp".to_owned(), time::to_fixed_width(now).into());
            members.insert("level".to_owned(), "INFO".into());
            members.insert(
                "_aws".to_owned(),
                json!({ "Timestamp": minute * MILLISECONDS_A_MINUTE, "CloudWatchMetrics": directives }),
            );
            text.push_str(&Value::Object(members).to_string());
            text.push('\n');
            text
        })
    }
}

const MILLISECONDS_A_MINUTE: i64 = 60_000;

/// The metrics of a process, by minute, which is CloudWatch's resolution.
#[derive(Debug)]
pub(super) struct Metrics {
    namespace: String,
    level: MetricLevel,
    minutes: BTreeMap<i64, Sums>,
    written_at: Option<Timestamp>,
}

impl Metrics {
    pub(super) fn new(namespace: String, level: MetricLevel) -> Self {
        Self { namespace, level, minutes: BTreeMap::new(), written_at: None }
    }

    /// Counts a request. Returns lines to write if the last write is [`WRITE_INTERVAL`] ago or the request is urgent.
    ///
    /// Lambda freezes the process between requests, so only a request can trigger a write.
    pub(super) fn count(&mut self, record: &RequestRecord<'_>, now: Timestamp) -> Option<String> {
        let minute = now.as_millisecond().div_euclid(MILLISECONDS_A_MINUTE);
        let must_write = self.minutes.entry(minute).or_default().count(record, self.level);
        // A clock that is set back must not delay the metrics.
        let is_recent = |written_at: &Timestamp| *written_at <= now && now.duration_since(*written_at) < WRITE_INTERVAL;
        if must_write || !self.written_at.as_ref().is_some_and(is_recent) { Some(self.take(now)) } else { None }
    }

    /// Removes all pending metrics, and returns their lines.
    pub(super) fn take(&mut self, now: Timestamp) -> String {
        self.written_at = Some(now);
        let minutes = std::mem::take(&mut self.minutes);
        minutes.into_iter().map(|(minute, sums)| sums.into_lines(&self.namespace, minute, now)).collect()
    }
}
