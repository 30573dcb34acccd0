//! What the functions of the local stack did in the last hour, from the lines that they log. Deployed functions
//! have CloudWatch for that.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use console::{Activity, Lag};
use runtime::telemetry::REQUEST;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::layer::{Context, Layer};

const HOUR: Duration = Duration::from_secs(3_600);

/// The most requests that are remembered.
const REMEMBERED: usize = 100_000;

/// Remembers the requests of the last hour, as a layer of the log. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Arc<Mutex<VecDeque<(Instant, Line)>>>);

/// The fields of a request's line that are counted.
#[derive(Clone, Debug, Default)]
struct Line {
    function: Option<String>,
    /// `Granted`, or an AccessDeniedReason.
    reason: Option<String>,
    outcome: Option<String>,
    lag_seconds: Option<i64>,
}

impl Recorder {
    /// What happened in the last hour.
    pub fn last_hour(&self) -> Activity {
        let mut activity = Activity::default();
        let mut lags = Vec::new();
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, line) in lines.iter().filter(|(at, _)| at.elapsed() < HOUR) {
            if let Some(reason) = &line.reason {
                *activity.decisions.entry(Some(reason.clone()).filter(|reason| reason != "Granted")).or_default() += 1;
            }
            if let (Some("webhook"), Some(outcome)) = (line.function.as_deref(), &line.outcome) {
                *activity.events.entry(outcome.clone()).or_default() += 1;
                lags.extend(line.lag_seconds);
            }
        }
        lags.sort_unstable();
        let median = lags.get(lags.len() / 2).copied();
        activity.lag = median.zip(lags.last().copied()).map(|(median, highest)| Lag { median, highest });
        activity
    }
}

impl<S: Subscriber> Layer<S> for Recorder {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() != REQUEST {
            return;
        }
        let mut line = Line::default();
        event.record(&mut line);
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while lines.len() >= REMEMBERED || lines.front().is_some_and(|(at, _)| at.elapsed() >= HOUR) {
            lines.pop_front();
        }
        lines.push_back((Instant::now(), line));
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        let text = match field.name() {
            "Function" => &mut self.function,
            "Reason" => &mut self.reason,
            "outcome" => &mut self.outcome,
            _ => return,
        };
        *text = Some(value.to_owned());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        if field.name() == "lag_seconds" {
            self.lag_seconds = Some(value);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn decisions_are_counted_by_reason_and_events_by_outcome_with_their_lag() {
        let recorder = Recorder::default();
        let subscriber = tracing_subscriber::fmt().with_writer(std::io::sink).finish().with(recorder.clone());
        tracing::subscriber::with_default(subscriber, || {
            for reason in [Some("Granted"), Some("Granted"), Some("CustomerNotFound"), None] {
                tracing::info!(target: REQUEST, Function = "check-access", outcome = "x", Reason = reason.map(str::to_owned), "check");
            }
            for lag in [Some(1_i64), Some(2), Some(90), None] {
                tracing::info!(target: REQUEST, Function = "webhook", outcome = "applied", lag_seconds = lag, "event");
            }
            tracing::info!(Function = "webhook", outcome = "applied", "another target");
        });
        let activity = recorder.last_hour();
        let decisions: Vec<_> = activity.decisions.iter().map(|(reason, count)| (reason.as_deref(), *count)).collect();
        assert_eq!(decisions, [(None, 2), (Some("CustomerNotFound"), 1)]);
        assert_eq!(activity.events.into_iter().collect::<Vec<_>>(), [("applied".to_owned(), 4)]);
        assert_eq!(activity.lag, Some(Lag { median: 2, highest: 90 }));
    }
}
