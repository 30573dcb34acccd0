//! Logs and metrics.
//!
//! A function passes the [`RequestRecord`] of each request to its [`Recorder`], which writes the log line, unless
//! sampling omits it, and counts the request. The counts are written as log lines in CloudWatch's embedded metric format,
//! so sending metrics needs no call.

mod line;
mod metrics;
mod record;
mod recorder;
mod shutdown;

use std::{sync::Arc, time::Duration};

use tracing_subscriber::{EnvFilter, filter::LevelFilter, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::config::ConfigError;
pub use line::JsonLines;
pub use metrics::{METRICS, Metric, MetricLevel, WRITE_INTERVAL};
pub use record::{CheckDetails, Decisions, Details, EventDetails, Function, QueryDetails, Rejection, RequestRecord, StoreUse};
pub use recorder::{Recorder, Settings};
pub use shutdown::write_at_shutdown;

/// The target of the log lines of requests.
pub const REQUEST: &str = "request";

/// The filter of `RUST_LOG` (default `info`). From the SDK and the embedded DynamoDB, only errors are logged: they warn of
/// every failed condition, which is an expected answer here.
pub fn filter() -> EnvFilter {
    filter_with_default(LevelFilter::INFO)
}

/// The same, with another default.
pub fn filter_with_default(default: LevelFilter) -> EnvFilter {
    let filter = EnvFilter::builder().with_default_directive(default.into()).from_env_lossy();
    let quiet = ["aws_config=error", "aws_smithy_runtime=error", "dynoxide=error"]
        .into_iter()
        .filter_map(|directive| directive.parse().ok());
    quiet.fold(filter, EnvFilter::add_directive)
}

/// The most verbose level that is supported, whatever `RUST_LOG` says. On more verbose levels, libraries log complete
/// requests, including secrets, tokens and personal data.
pub const MAX_LEVEL: LevelFilter = LevelFilter::INFO;

/// Starts JSON logging to standard output. Returns the recorder, configured by the environment.
///
/// # Errors
/// If a variable is invalid.
pub fn start() -> Result<Arc<Recorder>, ConfigError> {
    tracing_subscriber::fmt().event_format(JsonLines).with_env_filter(filter()).finish().with(MAX_LEVEL).init();
    Ok(Arc::new(Recorder::json(Settings::of_environment()?)))
}

/// Logs the part of a cold start that opened the connection to DynamoDB and, concurrently, read the secrets. Lambda reports
/// the whole cold start.
pub fn connected(took: Duration) {
    tracing::info!(connection_milliseconds = milliseconds(took), "connected");
}

/// Milliseconds with two decimals, for log lines.
pub fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e5).round() / 1e2
}
