//! The operator's web page: a customer's stored data, the explanation of a check's decision, and the deployment's health.
//! Rendered by the server, without JavaScript.
//!
//! Read-only. Its two POST routes change nothing: the search is a POST because its term may be an e-mail address, which
//! must not appear in a URL; the other one runs the deployment's checks.
//!
//! It serves only browsers on this machine: see `guard.rs`.

mod check;
mod customer;
mod customers;
mod decision;
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

pub use check::requested_usage;
pub use source::{Activity, Finding, Lag, Queue, QueueContent, Source, Verdict, WaitingEvent};

use guard::Guard;
use layout::{Tab, notice, shell};

/// The path of the page "Customers"; all other paths are below it.
pub const PATH: &str = "/console";

/// Maximum bytes of a form. A search term is an e-mail address or an id.
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
    doctor: health::DoctorCache,
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console").field("port", &self.0.port).finish_non_exhaustive()
    }
}

/// An error that ends the console.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// No random numbers for the token.
    #[error("the operating system's random number generator failed: {0}")]
    Random(getrandom::Error),
    /// The HTTP server failed.
    #[error("the console's server failed: {0}")]
    Server(io::Error),
}

impl Console {
    /// Creates a console for this port of the loopback interface, with a new random token.
    ///
    /// # Errors
    /// If the operating system's random number generator fails.
    pub fn new(store: Store, source: impl Source, port: u16) -> Result<Self, ConsoleError> {
        let guard = Guard::new(port).map_err(ConsoleError::Random)?;
        Ok(Self(Arc::new(Inner { store, source: Box::new(source), guard, port, doctor: health::DoctorCache::default() })))
    }

    /// The address to open, with the token. It grants read access to the whole replica.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}{PATH}?token={}", self.0.port, self.0.guard.token())
    }

    /// The routes at and below [`PATH`], and `/`, which redirects to [`PATH`].
    pub fn router(&self) -> Router {
        let not_found = async |axum::extract::State(console): axum::extract::State<Self>| console.not_found();
        Router::new()
            .route(PATH, get(customers::page).post(customers::search))
            .route("/console/customer", get(customer::page))
            .route("/console/check", get(check::page))
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
        let main = notice("Page not found", "Check the address, or start from the search.", None);
        self.respond(StatusCode::NOT_FOUND, None, "Not found", &main)
    }

    fn bad_request(&self, tab: Tab, problem: &str) -> Response {
        let main = notice("Bad request", problem, None);
        self.respond(StatusCode::BAD_REQUEST, Some(tab), "Bad request", &main)
    }

    /// The page for a failed read. The error's sources are logged.
    fn store_failed(&self, tab: Tab, error: &StoreError) -> Response {
        let sources = std::iter::successors(std::error::Error::source(error), |&source| source.source());
        let source = sources.map(ToString::to_string).collect::<Vec<_>>().join(": ");
        tracing::warn!(kind = error.label(), source, "the console's read failed: {error}");
        let (status, advice) = match error {
            StoreError::Unavailable { .. } | StoreError::Contended => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Reload the page. If the error persists, check DynamoDB's status and throttling.",
            ),
            StoreError::Refused { .. } => (
                StatusCode::BAD_GATEWAY,
                "Check the region, the tables' names, and your credentials' permissions: docs/commands.md lists them.",
            ),
            StoreError::TooLarge | StoreError::Unreadable { .. } => {
                (StatusCode::BAD_GATEWAY, "Use the console of the version that wrote the item.")
            }
        };
        let main = notice("The store did not answer", &error.to_string(), Some(advice));
        self.respond(status, Some(tab), "Store error", &main)
    }
}

async fn asset(content_type: &'static str, content: &'static str) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static(content_type))], content).into_response()
}

/// Serves the console until `stop` completes.
///
/// # Errors
/// If the server fails.
pub async fn serve(
    console: &Console,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ConsoleError> {
    axum::serve(listener, console.router()).with_graceful_shutdown(stop).await.map_err(ConsoleError::Server)
}

/// Completes on SIGINT (Ctrl-C) or SIGTERM. The handlers are installed when this is called.
///
/// # Errors
/// If the handlers can't be installed.
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
