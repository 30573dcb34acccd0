//! Logs: JSON on Lambda, one object a line, for CloudWatch Logs Insights to query.

use tracing_subscriber::EnvFilter;

/// Starts logging as JSON to standard output, at the level of `RUST_LOG` (default `info`).
pub fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().json().flatten_event(true).with_current_span(false).with_env_filter(filter).init();
}
