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

/// The embedded DynamoDB could not be started.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    #[error("the database could not be opened: {0}")]
    Open(String),
    #[error("{address} can't be used for DynamoDB ({source}): take another with --dynamodb-port")]
    Port { address: SocketAddr, source: std::io::Error },
    #[error(transparent)]
    Tables(#[from] TablesError),
}

/// A DynamoDB in this process, with the template's tables. It stops when it is dropped.
#[derive(Debug)]
pub struct Embedded {
    /// Where it serves, for any client on this machine.
    pub endpoint: String,
    /// The replica's store on it.
    pub store: Store,
    stop: Option<oneshot::Sender<()>>,
    /// None: it is no server of this process.
    server: Option<JoinHandle<()>>,
}

/// The variable that names another DynamoDB for tests than the embedded one.
pub const ANOTHER: &str = "BYOS_DYNAMODB_ENDPOINT";

impl Embedded {
    /// One in memory, on a free port. Where [`ANOTHER`] names one, tables of its own there: so the tests
    /// show that nothing leans on this one's habits.
    pub async fn in_memory() -> Result<Self, EmbeddedError> {
        if let Some(endpoint) = optional(ANOTHER) {
            static COUNT: AtomicUsize = AtomicUsize::new(0);
            let prefix = format!("{TABLE_PREFIX}{}-{}-", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
            let store = Store::new(local_dynamodb(&endpoint), tables::names(&prefix));
            tables::create(store.client(), store.tables()).await?;
            return Ok(Self { endpoint, store, stop: None, server: None });
        }
        Self::start(None, ([127, 0, 0, 1], 0).into()).await
    }

    /// One that keeps its data in a folder, or in memory if none is given, at this address; on a free
    /// port if it names 0.
    pub async fn start(folder: Option<&Path>, address: SocketAddr) -> Result<Self, EmbeddedError> {
        let database = open(folder).map_err(EmbeddedError::Open)?;
        let taken = |source| EmbeddedError::Port { address, source };
        let listener = TcpListener::bind(address).await.map_err(taken)?;
        let endpoint = format!("http://{}", reached(listener.local_addr().map_err(taken)?));
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

    /// Stops it, once the requests under way are done.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        // Connections that clients keep open would hold it.
        if let Some(server) = &mut self.server {
            let _ = tokio::time::timeout(std::time::Duration::from_millis(500), server).await;
        }
    }
}

/// Where a listener at this address is reached from this machine.
fn reached(address: SocketAddr) -> SocketAddr {
    let host = match address.ip() {
        IpAddr::V4(every) if every.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(every) if every.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        one => one,
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
