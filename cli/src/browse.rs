//! `byos console`: the operator's web page over a deployment.

mod operator;

use std::time::Duration;

use clap::Args;
use console::{Console, ConsoleError};
use runtime::aws::Budget;
use tokio::net::TcpListener;

pub(crate) use operator::Operator;

use crate::{
    outcome::ExitStatus,
    target::{Target, TargetError},
};

/// How long a page waits for DynamoDB: somebody looks at it.
const BUDGET: Budget =
    Budget { connect: Duration::from_secs(2), attempt: Duration::from_secs(4), total: Duration::from_secs(8), attempts: 3 };

/// Serve a web page on this machine to look at a deployment: find a customer, see what it may use, ask for a decision
/// and its steps, and look at what waits
///
/// It reads with your AWS credentials and changes nothing. It answers on 127.0.0.1 alone, to browsers that were opened
/// with the printed address: the address has a token, so it is as secret as what the pages show. Ctrl-C stops it.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  byos console --stack replica
  byos console --stack replica --port 0
  cargo run -- --seed                    the local stack has its own console")]
pub struct Browse {
    /// The port to serve on; 0 takes a free one
    #[arg(long, env = "BYOS_CONSOLE_PORT", default_value_t = 8181)]
    pub port: u16,

    #[command(flatten)]
    pub target: Target,
}

/// The console can't be served.
#[derive(Debug, thiserror::Error)]
pub enum BrowseError {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("the port {port} can't be used ({source}): take another with --port")]
    Port { port: u16, source: std::io::Error },
    #[error(transparent)]
    Console(#[from] ConsoleError),
}

/// Serves until Ctrl-C or SIGTERM.
pub async fn browse(options: Browse) -> Result<ExitStatus, BrowseError> {
    let deployment = options.target.find().await?;
    let store = deployment.store_within(BUDGET).await?;
    let port = |source| BrowseError::Port { port: options.port, source };
    let listener = TcpListener::bind(("127.0.0.1", options.port)).await.map_err(port)?;
    let bound = listener.local_addr().map_err(port)?.port();
    let stop = console::stop_signal().map_err(ConsoleError::Server)?;
    let name = deployment.name();
    let console = Console::new(store, Operator::new(deployment), bound)?;
    println!("The console of {name} is served on this machine — Ctrl-C stops it.\n\n  {}\n", console.address());
    println!("Whoever has this address may read every customer. Another start has another one.");
    console::serve(&console, listener, stop).await?;
    Ok(ExitStatus::Success)
}
