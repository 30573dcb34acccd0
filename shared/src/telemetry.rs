//! Logs: JSON on Lambda, one object a line, for CloudWatch Logs Insights to query.

use std::time::Duration;

use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// The level of `RUST_LOG`, or this one without it. The SDK and the embedded DynamoDB warn of every condition
/// that fails, which here is an answer and no error: their errors alone are let through.
pub fn filter(default: LevelFilter) -> EnvFilter {
    let filter = EnvFilter::builder().with_default_directive(default.into()).from_env_lossy();
    let quiet = ["aws_smithy_runtime=error", "dynoxide=error"].into_iter().filter_map(|directive| directive.parse().ok());
    quiet.fold(filter, EnvFilter::add_directive)
}

/// Starts logging as JSON to standard output.
pub fn start() {
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_env_filter(filter(LevelFilter::INFO))
        .init();
}

/// A duration for a log line: milliseconds, to the hundredth.
pub fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e5).round() / 1e2
}
