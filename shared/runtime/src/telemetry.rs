//! Logs on Lambda: one object of JSON a line, for CloudWatch Logs Insights to query. The line of a
//! request holds its metrics too, in CloudWatch's embedded metric format: CloudWatch reads them out of
//! the log, and a function calls nobody to send them.

mod line;
mod metrics;

use std::time::Duration;

use tracing_subscriber::{EnvFilter, filter::LevelFilter, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::config::optional;
pub use line::Lines;
pub use metrics::{Count, Metric, MetricSet};

/// The target of a request's line, which says in its field `Function` whose metrics it becomes.
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

/// Starts logging as JSON to standard output. Where `METRICS_NAMESPACE` is set, the lines of requests
/// become these metrics there.
pub fn start(metrics: &'static MetricSet) {
    let lines = Lines::new(optional("METRICS_NAMESPACE"), vec![metrics]);
    tracing_subscriber::fmt().event_format(lines).with_env_filter(filter()).finish().with(MOST).init();
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
