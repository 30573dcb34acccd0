//! The operator's web page: what the replica holds of a customer, why a check is decided as it is, and how the
//! deployment is. Rendered by the server, without JavaScript.
//!
//! It only reads. It has two routes for POST and neither changes anything: a search, whose term may be an e-mail
//! address and so must not stand in a URL, and a run of the deployment's checks.
//!
//! It is for this machine alone: see [`guard`].

mod ask;
mod customer;
mod evidence;
mod find;
mod guard;
mod health;
mod history;
mod layout;
pub mod report;
mod source;
pub mod text;
mod url;

use std::{fmt, io, sync::Arc};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{HeaderValue, StatusCode, header},
    middleware::from_fn_with_state,
    response::{IntoResponse as _, Redirect, Response},
    routing::{any, get},
};
use maud::Markup;
use store::{Store, StoreError};
use tokio::net::TcpListener;

pub use ask::requested_usage;
pub use source::{Activity, Finding, Lag, Queue, QueueContent, Source, Verdict, WaitingEvent};

use guard::Guard;
use layout::{Tab, notice, shell};

/// The path of the first page; the others are below it.
pub const PATH: &str = "/console";

/// The most bytes of a form. A search term is at most an e-mail address or an id.
const MAX_FORM_BYTES: usize = 16 * 1024;

const STYLE: &str = include_str!("style.css");
const ICON: &str = include_str!("icon.svg");

/// The console of one deployment. Cheap to clone.
#[derive(Clone)]
pub struct Console(Arc<Inner>);

struct Inner {
    store: Store,
    source: Box<dyn Source>,
    guard: Guard,
    port: u16,
    doctor: health::Doctor,
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console").field("port", &self.0.port).finish_non_exhaustive()
    }
}

/// The console could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// The operating system has no random numbers.
    #[error("the system gives no random numbers for the console's token: {0}")]
    Random(getrandom::Error),
    /// The server stopped by itself.
    #[error("the console stopped: {0}")]
    Server(io::Error),
}

impl Console {
    /// A console that is reached at this port of loopback, with a new random token.
    ///
    /// # Errors
    /// If the system gives no random numbers.
    pub fn new(store: Store, source: impl Source, port: u16) -> Result<Self, ConsoleError> {
        let guard = Guard::new(port).map_err(ConsoleError::Random)?;
        Ok(Self(Arc::new(Inner { store, source: Box::new(source), guard, port, doctor: health::Doctor::default() })))
    }

    /// The address to open, with the token. Whoever has it may read everything that the replica holds.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}{PATH}?token={}", self.0.port, self.0.guard.token())
    }

    /// The routes: `/`, which leads to the first page, and everything at and below [`PATH`].
    pub fn router(&self) -> Router {
        let not_found = async |axum::extract::State(console): axum::extract::State<Self>| console.not_found();
        Router::new()
            .route(PATH, get(find::page).post(find::search))
            .route("/console/customer", get(customer::page))
            .route("/console/ask", get(ask::page))
            .route("/console/history", get(history::page))
            .route("/console/health", get(health::page).post(health::run))
            .route(url::STYLE_PATH, get(|| asset("text/css; charset=utf-8", STYLE)))
            .route(url::ICON_PATH, get(|| asset("image/svg+xml", ICON)))
            .route("/console/{*rest}", any(not_found))
            .layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
            .layer(from_fn_with_state(self.clone(), guard::check))
            .route("/", get(|| async { Redirect::to(PATH) }))
            .with_state(self.clone())
    }

    fn respond(&self, status: StatusCode, tab: Option<Tab>, title: &str, main: &Markup) -> Response {
        (status, shell(&self.0.source.deployment(), tab, title, main)).into_response()
    }

    fn ok(&self, tab: Tab, title: &str, main: &Markup) -> Response {
        self.respond(StatusCode::OK, Some(tab), title, main)
    }

    fn not_found(&self) -> Response {
        let main = notice("There is no such page", "Check the address, or start from the search.", None);
        self.respond(StatusCode::NOT_FOUND, None, "Not found", &main)
    }

    fn bad_request(&self, tab: Tab, what: &str) -> Response {
        let main = notice("The address is not complete", what, None);
        self.respond(StatusCode::BAD_REQUEST, Some(tab), "Bad request", &main)
    }

    /// The page for a read that failed. The details of it go to the log.
    fn store_failed(&self, tab: Tab, error: &StoreError) -> Response {
        let sources = std::iter::successors(std::error::Error::source(error), |&source| source.source());
        let source = sources.map(ToString::to_string).collect::<Vec<_>>().join(": ");
        tracing::warn!(kind = error.label(), source, "the console could not read: {error}");
        let (status, advice) = match error {
            StoreError::Unavailable { .. } | StoreError::Contended => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Nothing is shown rather than a part. Reload the page; if it persists, look at DynamoDB's status and throttling.",
            ),
            StoreError::Refused { .. } => (
                StatusCode::BAD_GATEWAY,
                "Check the region, the tables' names, and that your credentials may read the tables: docs/commands.md lists the \
                 permissions.",
            ),
            StoreError::TooLarge | StoreError::Unreadable { .. } => {
                (StatusCode::BAD_GATEWAY, "Use the console of the version that wrote it.")
            }
        };
        let main = notice("The store did not answer", &error.to_string(), Some(advice));
        self.respond(status, Some(tab), "Store error", &main)
    }
}

async fn asset(content_type: &'static str, content: &'static str) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static(content_type))], content).into_response()
}

/// Serves the console alone, until `stop`.
///
/// # Errors
/// If the server stops by itself.
pub async fn serve(
    console: &Console,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ConsoleError> {
    axum::serve(listener, console.router()).with_graceful_shutdown(stop).await.map_err(ConsoleError::Server)
}

/// Ends with Ctrl-C or SIGTERM, which are listened for from this call on.
///
/// # Errors
/// If the system refuses to deliver signals.
#[cfg(unix)]
pub fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

#[cfg(not(unix))]
pub fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    Ok(async { drop(tokio::signal::ctrl_c().await) })
}
