//! The embedded DynamoDB: a server in this process, in memory or on disk.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use dynoxide::Database;
use runtime::{aws::local_dynamodb, config::optional};
use store::Store;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use template::{
    local::TABLE_PREFIX,
    tables::{self, TablesError},
};

#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    #[error("can't open the database: {0}")]
    Open(String),
    #[error("{address} can't be used for DynamoDB ({source}): choose another with --dynamodb-port")]
    Port { address: SocketAddr, source: std::io::Error },
    #[error(transparent)]
    Tables(#[from] TablesError),
}

/// A DynamoDB in this process, with the template's tables. Stops when dropped.
#[derive(Debug)]
pub struct Embedded {
    /// Reachable for any client on this machine.
    pub endpoint: String,
    pub store: Store,
    stop: Option<oneshot::Sender<()>>,
    /// None if [`ENDPOINT_VARIABLE`] is set.
    server: Option<JoinHandle<()>>,
}

/// Variable with the endpoint of a DynamoDB that tests use instead of the embedded one.
pub const ENDPOINT_VARIABLE: &str = "BYOS_DYNAMODB_ENDPOINT";

impl Embedded {
    /// In memory, on a free port. If [`ENDPOINT_VARIABLE`] is set, creates new tables at that endpoint instead, so that the
    /// tests don't depend on the embedded implementation.
    pub async fn in_memory() -> Result<Self, EmbeddedError> {
        if let Some(endpoint) = optional(ENDPOINT_VARIABLE) {
            static COUNT: AtomicUsize = AtomicUsize::new(0);
            let prefix = format!("{TABLE_PREFIX}{}-{}-", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
            let store = Store::new(local_dynamodb(&endpoint), tables::names(&prefix));
            tables::create(store.client(), store.tables()).await?;
            return Ok(Self { endpoint, store, stop: None, server: None });
        }
        Self::start(None, ([127, 0, 0, 1], 0).into()).await
    }

    /// Stores its data in `folder`, or in memory if that is None. Port 0 selects a free port.
    pub async fn start(folder: Option<&Path>, address: SocketAddr) -> Result<Self, EmbeddedError> {
        let database = open(folder).map_err(EmbeddedError::Open)?;
        let port_error = |source| EmbeddedError::Port { address, source };
        let listener = TcpListener::bind(address).await.map_err(port_error)?;
        let endpoint = format!("http://{}", reachable_address(listener.local_addr().map_err(port_error)?));
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            if let Err(error) = dynoxide::server::serve_with_shutdown(listener, database, stopped).await {
                tracing::error!(error, "the embedded DynamoDB stopped");
            }
        });
        let store = Store::new(local_dynamodb(&endpoint), tables::local_names());
        tables::create(store.client(), store.tables()).await?;
        Ok(Self { endpoint, store, stop: Some(stop), server: Some(server) })
    }

    /// Waits for requests in progress, but at most half a second: clients keep idle connections open.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        if let Some(server) = &mut self.server {
            let _ = tokio::time::timeout(std::time::Duration::from_millis(500), server).await;
        }
    }
}

/// The address at which this machine reaches a listener: the loopback address for 0.0.0.0 and [::].
fn reachable_address(address: SocketAddr) -> SocketAddr {
    let host = match address.ip() {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        specific => specific,
    };
    (host, address.port()).into()
}

fn open(folder: Option<&Path>) -> Result<Database, String> {
    let Some(folder) = folder else {
        return Database::memory().map_err(|error| error.to_string());
    };
    std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let file = folder.join("dynamodb.sqlite");
    let path = file.to_str().ok_or_else(|| format!("{}: the path is not UTF-8", folder.display()))?;
    Database::new(path).map_err(|error| format!("{path}: {error}"))
}
