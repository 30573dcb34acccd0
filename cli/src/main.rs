//! `byos`: the operator's commands.

use std::{error::Error, process::ExitCode};

use byos::{
    check::{Check, check},
    compare::{Compare, compare},
    doctor::{Doctor, doctor},
    environment::{EnvironmentOptions, environment},
    import::{Import, import},
    outcome::{ExitStatus, in_one_line},
    reconcile::{Reconcile, reconcile},
    replay::{Replay, replay},
    send::{Send, send},
    serve_console::{ConsoleOptions, serve_console},
    show::{Show, show},
    target::Target,
};
use clap::{CommandFactory as _, Parser, Subcommand, error::ErrorKind};
use runtime::telemetry;
use tracing_subscriber::{filter::LevelFilter, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// Operate a replica of Stigg's entitlements: the local stack or a deployment on AWS
#[derive(Parser)]
#[command(name = "byos", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Explains that the local stack is another program
    #[command(hide = true, disable_help_flag = true)]
    Serve {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
        _options: Vec<String>,
    },
    Send(Box<Send>),
    Show(Box<Show>),
    Check(Box<Check>),
    Console(Box<ConsoleOptions>),
    Compare(Box<Compare>),
    Replay(Box<Replay>),
    Doctor(Box<Doctor>),
    Import(Import),
    Reconcile(Reconcile),
    Environment(Box<EnvironmentOptions>),
}

impl Command {
    fn target(&self) -> Option<&Target> {
        match self {
            Self::Serve { .. } => None,
            Self::Console(options) => Some(&options.target),
            Self::Compare(options) => Some(&options.target),
            Self::Send(options) => Some(&options.target),
            Self::Show(options) => Some(&options.target),
            Self::Check(options) => Some(&options.target),
            Self::Replay(options) => Some(&options.target),
            Self::Doctor(options) => Some(&options.target),
            Self::Import(options) => Some(&options.target),
            Self::Reconcile(options) => Some(&options.target),
            Self::Environment(options) => Some(&options.target),
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    if let Some(conflict) = command.target().and_then(Target::conflict) {
        Cli::command().error(ErrorKind::ArgumentConflict, conflict).exit();
    }
    log();
    let status: Result<ExitStatus, Box<dyn Error>> = match command {
        Command::Serve { .. } => {
            eprintln!("byos: the local stack is another program: start it with `cargo run` in the repository");
            return ExitCode::from(2);
        }
        Command::Send(options) => send(*options).await.map_err(Into::into),
        Command::Show(options) => show(*options).await.map_err(Into::into),
        Command::Check(options) => check(*options).await.map_err(Into::into),
        Command::Console(options) => serve_console(*options).await.map_err(Into::into),
        Command::Compare(options) => compare(*options).await.map_err(Into::into),
        Command::Replay(options) => replay(*options).await.map_err(Into::into),
        Command::Doctor(options) => doctor(*options).await.map_err(Into::into),
        Command::Import(options) => import(options).await.map_err(Into::into),
        Command::Environment(options) => environment(*options).await.map_err(Into::into),
        Command::Reconcile(options) => reconcile(options).await.map_err(Into::into),
    };
    status.map_or_else(
        |error| {
            eprintln!("byos: {}", in_one_line(error.as_ref()));
            ExitCode::FAILURE
        },
        Into::into,
    )
}

/// Logs warnings and errors to standard error; standard output is for results.
fn log() {
    let log = tracing_subscriber::fmt().compact().with_target(false).with_writer(std::io::stderr);
    let log = log.with_env_filter(telemetry::filter_with_default(LevelFilter::WARN));
    log.finish().with(telemetry::MAX_LEVEL).init();
}
