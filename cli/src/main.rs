//! `byos`: the replica on your machine.

use std::process::ExitCode;

use byos::serve::{Serve, serve};
use clap::{Parser, Subcommand};
use shared::telemetry;
use tracing_subscriber::{layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// A replica of Stigg's entitlements on your machine: the three functions on an embedded DynamoDB.
///
/// Without a command it serves them. The variables of GraphQL's limits and switches, and RUST_LOG, hold
/// here as in the deployed functions.
#[derive(Parser)]
#[command(name = "byos", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Subcommand)]
enum Command {
    Serve(Serve),
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { command, serve: options } = Cli::parse();
    let log = tracing_subscriber::fmt().compact().with_target(false).with_env_filter(telemetry::filter());
    log.finish().with(telemetry::MOST).init();
    let Command::Serve(options) = command.unwrap_or(Command::Serve(options));
    match serve(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("byos: {error}");
            ExitCode::FAILURE
        }
    }
}
