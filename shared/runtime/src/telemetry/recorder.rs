//! Writes the log lines and metrics of requests.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, Write},
    num::NonZeroU64,
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;
use serde::Serialize;
use tracing::Level;

use super::{
    REQUEST, RequestRecord,
    metrics::{MetricLevel, Metrics},
};
use crate::{
    clock::Clock,
    config::{ConfigError, optional},
};
use domain::time;

/// The settings of a recorder.
#[derive(Debug)]
pub struct Settings {
    /// The metrics' namespace in CloudWatch. None writes no metrics.
    pub namespace: Option<String>,
    /// Selects the metrics to write.
    pub level: MetricLevel,
    /// Of routine requests with the same outcome, one in this number is logged.
    pub one_in: NonZeroU64,
}

impl Settings {
    /// Reads `METRICS_NAMESPACE`, `METRICS_LEVEL` and `LOG_ONE_IN`.
    ///
    /// # Errors
    /// If a variable is invalid.
    pub fn of_environment() -> Result<Self, ConfigError> {
        let level = match optional("METRICS_LEVEL").as_deref() {
            None | Some("basic") => MetricLevel::Basic,
            Some("detailed") => MetricLevel::Detailed,
            Some(_) => return Err(ConfigError::Unknown { variable: "METRICS_LEVEL", allowed: "basic or detailed" }),
        };
        let unknown = |_| ConfigError::Unknown { variable: "LOG_ONE_IN", allowed: "an integer of at least 1" };
        let one_in = optional("LOG_ONE_IN").map_or(Ok(NonZeroU64::MIN), |text| text.parse().map_err(unknown))?;
        Ok(Self { namespace: optional("METRICS_NAMESPACE"), level, one_in })
    }
}

/// Logs requests, and counts them in metrics.
pub struct Recorder {
    clock: Clock,
    json: Option<Mutex<Json>>,
    observer: Option<Box<Observer>>,
}

type Observer = dyn Fn(&RequestRecord<'_>) + Send + Sync;

/// The output in JSON, and the state of sampling and metrics.
struct Json {
    output: Box<dyn Write + Send>,
    one_in: NonZeroU64,
    /// Number of routine requests so far, by outcome.
    routine: BTreeMap<&'static str, u64>,
    metrics: Option<Metrics>,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("is_json", &self.json.is_some()).finish_non_exhaustive()
    }
}

impl Recorder {
    /// One short text line per request, for a terminal. No metrics, no sampling.
    pub fn terminal() -> Self {
        Self { clock: Clock::system(), json: None, observer: None }
    }

    /// Also calls `observer` for each request.
    #[must_use]
    pub fn with_observer(self, observer: impl Fn(&RequestRecord<'_>) + Send + Sync + 'static) -> Self {
        Self { observer: Some(Box::new(observer)), ..self }
    }

    /// JSON lines on standard output, for Lambda.
    pub fn json(settings: Settings) -> Self {
        Self::to(io::stdout(), Clock::system(), settings)
    }

    /// JSON lines, with another output and clock.
    pub fn to(output: impl Write + Send + 'static, clock: Clock, settings: Settings) -> Self {
        let Settings { namespace, level, one_in } = settings;
        let metrics = namespace.map(|namespace| Metrics::new(namespace, level));
        let json = Json { output: Box::new(output), one_in, routine: BTreeMap::new(), metrics };
        Self { clock, json: Some(Mutex::new(json)), observer: None }
    }

    /// Counts a request, and logs it unless sampling omits it.
    pub fn record(&self, record: &RequestRecord<'_>) {
        if let Some(observer) = &self.observer {
            observer(record);
        }
        match &self.json {
            Some(json) => json.lock().unwrap_or_else(PoisonError::into_inner).record(record, self.clock.now()),
            None => print(record),
        }
    }

    /// Whether [`Self::flush`] can write anything.
    pub(super) fn has_metrics(&self) -> bool {
        self.json.as_ref().is_some_and(|json| json.lock().unwrap_or_else(PoisonError::into_inner).metrics.is_some())
    }

    /// Writes pending metrics.
    pub fn flush(&self) {
        if let Some(json) = &self.json {
            let mut json = json.lock().unwrap_or_else(PoisonError::into_inner);
            let lines = json.metrics.as_mut().map(|metrics| metrics.take(self.clock.now()));
            json.write(&lines.unwrap_or_default());
        }
    }
}

impl Json {
    fn record(&mut self, record: &RequestRecord<'_>, now: Timestamp) {
        let mut lines = if self.is_logged(record) { line(record, now) } else { String::new() };
        if let Some(metrics) = &mut self.metrics {
            lines.extend(metrics.count(record, now));
        }
        self.write(&lines);
    }

    /// Of routine requests with the same outcome, the first one is logged, and then every `one_in`-th.
    fn is_logged(&mut self, record: &RequestRecord<'_>) -> bool {
        if !record.is_routine {
            return is_enabled(record);
        }
        let count = self.routine.entry(record.outcome).or_default();
        let is_sampled = count.is_multiple_of(self.one_in.get());
        *count = count.wrapping_add(1);
        is_sampled && is_enabled(record)
    }

    /// Writes all lines in one call, so lines of other writers don't interleave. Ignores errors, since they can't be logged.
    fn write(&mut self, lines: &str) {
        if !lines.is_empty() {
            let _ = self.output.write_all(lines.as_bytes()).and_then(|()| self.output.flush());
        }
    }
}

/// Whether `RUST_LOG` enables the line's level.
fn is_enabled(record: &RequestRecord<'_>) -> bool {
    if record.is_error() {
        tracing::enabled!(target: REQUEST, Level::ERROR)
    } else {
        tracing::enabled!(target: REQUEST, Level::INFO)
    }
}

fn line(record: &RequestRecord<'_>, now: Timestamp) -> String {
    #[derive(Serialize)]
    struct Line<'a> {
        timestamp: String,
        level: &'static str,
        #[serde(flatten)]
        record: &'a RequestRecord<'a>,
    }
    let level = if record.is_error() { "ERROR" } else { "INFO" };
    let line = Line { timestamp: time::to_fixed_width(now), level, record };
    let mut text = serde_json::to_string(&line).unwrap_or_default();
    text.push('\n');
    text
}

fn print(record: &RequestRecord<'_>) {
    let RequestRecord { method, path, route, outcome, milliseconds, .. } = record;
    let status = record.status.map(|status| status.to_string());
    let milliseconds = format!("{milliseconds} ms");
    let path = if path.is_empty() { route } else { *path };
    let parts = [Some(*method), Some(path), status.as_deref(), Some(outcome), record.details.id(), Some(&milliseconds)];
    let parts: Vec<&str> = parts.into_iter().flatten().chain(record.problem).filter(|part| !part.is_empty()).collect();
    let text = parts.join(" ");
    if record.is_error() {
        tracing::error!(target: REQUEST, "{text}");
    } else {
        tracing::info!(target: REQUEST, "{text}");
    }
}

#[cfg(test)]
mod tests;
