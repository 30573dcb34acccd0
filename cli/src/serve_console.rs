//! `byos console`: serves the operator's web console of a deployment.

mod source;

use std::time::Duration;

use clap::Args;
use console::{Console, ConsoleError};
use runtime::aws::Budget;
use tokio::net::TcpListener;

use self::source::DeploymentSource;
use crate::{
    outcome::ExitStatus,
    target::{Target, TargetError},
};

/// DynamoDB timeouts of a page: short, since a person waits for it.
const BUDGET: Budget =
    Budget { connect: Duration::from_secs(2), attempt: Duration::from_secs(4), total: Duration::from_secs(8), attempts: 3 };

/// Serve a web console of a deployment on this machine: customers and their entitlements, decisions step by step, and
/// waiting events
///
/// It reads with your AWS credentials and changes nothing. It listens on 127.0.0.1 only. The printed address contains an
/// access token, so keep it as secret as the data. Ctrl-C stops it.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  byos console --stack replica
  byos console --stack replica --port 0
  cargo run -- --seed                    the local stack has its own console")]
pub struct ConsoleOptions {
    /// Port to serve on; 0 selects a free one
    #[arg(long, env = "BYOS_CONSOLE_PORT", default_value_t = 8181)]
    pub port: u16,

    #[command(flatten)]
    pub target: Target,
}

#[derive(Debug, thiserror::Error)]
pub enum ServeConsoleError {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("the port {port} can't be used ({source}): choose another with --port")]
    Port { port: u16, source: std::io::Error },
    #[error(transparent)]
    Console(#[from] ConsoleError),
}

/// Serves until Ctrl-C or SIGTERM.
pub async fn serve_console(options: ConsoleOptions) -> Result<ExitStatus, ServeConsoleError> {
    let deployment = options.target.find().await?;
    let store = deployment.store_with_budget(BUDGET).await?;
    let port_error = |source| ServeConsoleError::Port { port: options.port, source };
    let listener = TcpListener::bind(("127.0.0.1", options.port)).await.map_err(port_error)?;
    let port = listener.local_addr().map_err(port_error)?.port();
    let stop = console::stop_signal().map_err(ConsoleError::Server)?;
    let name = deployment.name();
    let console = Console::new(store, DeploymentSource::new(deployment), port)?;
    println!("Serving the console of {name}. Ctrl-C stops it.\n\n  {}\n", console.address());
    println!("Anyone with this address can read all customers. It changes with each start.");
    console::serve(&console, listener, stop).await?;
    Ok(ExitStatus::Success)
}
