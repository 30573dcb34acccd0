//! `cargo run`: serves the local stack.

use std::process::ExitCode;

use clap::Parser;
use local::serve::{Serve, serve};
use runtime::telemetry;
use tracing_subscriber::{layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// A replica of Stigg's entitlements on your machine: the three functions on an embedded DynamoDB.
///
/// The environment variables of the deployed functions, such as GraphQL's limits and RUST_LOG, apply here too.
#[derive(Parser)]
#[command(name = "local", version)]
struct Local {
    #[command(flatten)]
    serve: Serve,
}

/// The deployed functions use the C library's allocator, which needs less memory and starts faster.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let Local { serve: options } = Local::parse();
    let log = tracing_subscriber::fmt().compact().with_target(false).with_env_filter(telemetry::filter());
    log.finish().with(telemetry::MAX_LEVEL).init();
    match serve(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("local: {error}");
            ExitCode::FAILURE
        }
    }
}
