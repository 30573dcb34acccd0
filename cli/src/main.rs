//! `byos`: the replica on your machine, and the commands of its operator.

use std::{error::Error, process::ExitCode};

use byos::{
    check::{Check, check},
    compare::{Compare, compare},
    doctor::{Doctor, doctor},
    import::{Import, import},
    outcome::{Ended, in_one_line},
    reconcile::{Reconcile, reconcile},
    replay::{Replay, replay},
    send::{Send, send},
    serve::{Serve, serve},
    show::{Show, show},
};
use clap::{Parser, Subcommand};
use shared::telemetry;
use tracing_subscriber::{filter::LevelFilter, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// A replica of Stigg's entitlements on your machine: the three functions on an embedded DynamoDB.
///
/// Without a command it serves them. The variables of GraphQL's limits and switches, of browsers and of the
/// authorizer (as in template.yaml), and RUST_LOG hold here as in the deployed functions.
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
    Send(Box<Send>),
    Show(Box<Show>),
    Check(Box<Check>),
    Compare(Box<Compare>),
    Replay(Box<Replay>),
    Doctor(Box<Doctor>),
    Import(Import),
    Reconcile(Reconcile),
}

/// The functions have the C library's, which takes less memory and is quicker to start.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { command, serve: options } = Cli::parse();
    let command = command.unwrap_or(Command::Serve(options));
    log(matches!(command, Command::Serve(_)));
    let ended: Result<Ended, Box<dyn Error>> = match command {
        Command::Serve(options) => serve(options).await.map(|()| Ended::Well).map_err(Into::into),
        Command::Send(options) => send(*options).await.map_err(Into::into),
        Command::Show(options) => show(*options).await.map_err(Into::into),
        Command::Check(options) => check(*options).await.map_err(Into::into),
        Command::Compare(options) => compare(*options).await.map_err(Into::into),
        Command::Replay(options) => replay(*options).await.map_err(Into::into),
        Command::Doctor(options) => doctor(*options).await.map_err(Into::into),
        Command::Import(options) => import(options).await.map_err(Into::into),
        Command::Reconcile(options) => reconcile(options).await.map_err(Into::into),
    };
    ended.map_or_else(
        |error| {
            eprintln!("byos: {}", in_one_line(error.as_ref()));
            ExitCode::FAILURE
        },
        Into::into,
    )
}

/// The stack's log lines are what it has to say. A command's own words go to standard output, so its
/// log goes beside them, and only what is wrong.
fn log(is_serving: bool) {
    let log = tracing_subscriber::fmt().compact().with_target(false);
    if is_serving {
        log.with_env_filter(telemetry::filter()).finish().with(telemetry::MOST).init();
    } else {
        let log = log.with_env_filter(telemetry::filter_with_default(LevelFilter::WARN));
        log.with_writer(std::io::stderr).finish().with(telemetry::MOST).init();
    }
}
