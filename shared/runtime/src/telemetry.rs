//! Logs and metrics.
//!
//! A function hands each request's [`RequestRecord`] to its [`Recorder`], which writes the log line, or not where
//! sampling leaves it out, and counts the request. The sums become CloudWatch metrics through lines in the embedded
//! metric format, so a function calls no service to send them.

mod line;
mod metrics;
mod record;
mod recorder;
mod shutdown;

use std::{sync::Arc, time::Duration};

use tracing_subscriber::{EnvFilter, filter::LevelFilter, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::config::ConfigError;
pub use line::Lines;
pub use metrics::{METRICS, Metric, MetricLevel, WRITE_INTERVAL};
pub use record::{CheckDetails, Decisions, Details, EventDetails, Function, QueryDetails, Rejection, RequestRecord, StoreUse};
pub use recorder::{Recorder, Settings};
pub use shutdown::write_at_shutdown;

/// The target of the log lines of requests.
pub const REQUEST: &str = "request";

/// The level of `RUST_LOG` (default `info`). The SDK and the embedded DynamoDB warn of every condition
/// that fails, which here is an answer and no error: their errors alone are let through.
pub fn filter() -> EnvFilter {
    filter_with_default(LevelFilter::INFO)
}

/// The same with another default.
pub fn filter_with_default(default: LevelFilter) -> EnvFilter {
    let filter = EnvFilter::builder().with_default_directive(default.into()).from_env_lossy();
    let quiet = ["aws_smithy_runtime=error", "dynoxide=error"].into_iter().filter_map(|directive| directive.parse().ok());
    quiet.fold(filter, EnvFilter::add_directive)
}

/// The most that is logged whatever `RUST_LOG` says: below this level libraries print requests whole, with
/// secrets, tokens and personal data.
pub const MOST: LevelFilter = LevelFilter::INFO;

/// Starts logging as JSON to standard output, and returns the recorder of the function's requests, with the settings
/// of the environment.
///
/// # Errors
/// If a setting is invalid.
pub fn start() -> Result<Arc<Recorder>, ConfigError> {
    tracing_subscriber::fmt().event_format(Lines).with_env_filter(filter()).finish().with(MOST).init();
    Ok(Arc::new(Recorder::json(Settings::of_environment()?)))
}

/// Logs what a start spent on its connections: on opening the one to DynamoDB, and on reading secrets
/// beside that. Lambda reports the start as a whole.
pub fn connected(took: Duration) {
    tracing::info!(connection_milliseconds = milliseconds(took), "connected");
}

/// A duration for a log line: milliseconds, to the hundredth.
pub fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e5).round() / 1e2
}
