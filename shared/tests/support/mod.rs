//! What the store's tests share: an embedded store, events, and a proxy before the store that can
//! refuse requests or change answers.
#![allow(dead_code, reason = "each test file uses a part")]

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Response, StatusCode},
};
use byos::embedded::{Embedded, client};
use jiff::Timestamp;
use serde_json::Value;
use shared::{
    apply::apply,
    event::{self, Handled, Received},
    id::Id,
    store::{Outcome, Store, StoreError},
    version::Version,
};

pub(crate) fn id(text: &str) -> Id {
    Id::try_from(text).unwrap()
}

/// The version of an event on this day of November 2026.
pub(crate) fn day(day: u8) -> Version {
    Version::new(at(day), "m")
}

pub(crate) fn at(day: u8) -> Timestamp {
    format!("2026-11-{day:02}T00:00:00Z").parse().unwrap()
}

/// Writes an event, given as JSON without messageId and with `day` as its time, through the store as
/// the webhook does.
pub(crate) async fn write(store: &Store, day: u8, event: Value) -> Result<Outcome, StoreError> {
    let mut event = event;
    event["messageId"] = "m".into();
    event["timestamp"] = at(day).to_string().into();
    if event["type"] == "entitlements.updated" {
        event["entitlementsUpdatedAt"] = at(day).to_string().into();
    }
    let Received::Handled(handled) = event::parse(event.to_string().as_bytes()).unwrap() else { panic!("not handled: {event}") };
    let Handled { envelope, event, .. } = *handled;
    Ok(apply(store, &envelope, &event, at(day).into()).await?.0)
}

/// As [`write`], for an event that changes something.
pub(crate) async fn applied(store: &Store, day: u8, event: Value) {
    assert_eq!(write(store, day, event.clone()).await.unwrap(), Outcome::Applied, "{event}");
}

/// All items of a table, sorted.
pub(crate) async fn items(store: &Store, table: &str) -> Vec<String> {
    let output = store.client().scan().table_name(table).send().await.unwrap();
    let mut items: Vec<String> = output
        .items()
        .iter()
        .map(|item| {
            let mut attributes: Vec<String> = item.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
            attributes.sort();
            attributes.join(" ")
        })
        .collect();
    items.sort();
    items
}

/// Everything that is stored for customers and subscriptions.
pub(crate) async fn everything(store: &Store) -> Vec<String> {
    let mut all = items(store, &store.tables().customers).await;
    all.extend(items(store, &store.tables().subscriptions).await);
    all
}

/// What becomes of an answer on its way through the proxy: the operation, what was asked, what the
/// store answered.
pub(crate) type Rewrite = Arc<dyn Fn(&str, &Value, Value) -> Value + Send + Sync>;

#[derive(Clone)]
struct Proxy {
    endpoint: String,
    client: reqwest::Client,
    left: Arc<AtomicUsize>,
    rewrite: Rewrite,
}

/// A store before the embedded one, through a proxy.
pub(crate) struct Proxied {
    pub(crate) store: Store,
    /// How many more requests pass; the ones after that are refused.
    pub(crate) left: Arc<AtomicUsize>,
}

pub(crate) async fn proxied(embedded: &Embedded, passes: usize) -> Proxied {
    rewriting(embedded, passes, Arc::new(|_, _, answer| answer)).await
}

pub(crate) async fn rewriting(embedded: &Embedded, passes: usize, rewrite: Rewrite) -> Proxied {
    let left = Arc::new(AtomicUsize::new(passes));
    let proxy = Proxy { endpoint: embedded.endpoint.clone(), client: byos::http::client().unwrap(), left: left.clone(), rewrite };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(pass).with_state(proxy)).await });
    Proxied { store: Store::new(client(&endpoint), embedded.store.tables().clone()), left }
}

async fn pass(State(proxy): State<Proxy>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let is_let_through = proxy.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
    if !is_let_through {
        let mut response = Response::new(r#"{"__type":"com.amazon.coral.service#AccessDeniedException"}"#.into());
        *response.status_mut() = StatusCode::BAD_REQUEST;
        return response;
    }
    let operation = headers["x-amz-target"].to_str().unwrap().split('.').next_back().unwrap().to_owned();
    let asked: Value = serde_json::from_slice(&body).unwrap();
    let mut request = proxy.client.post(&proxy.endpoint);
    for name in ["x-amz-target", "content-type", "authorization", "x-amz-date"] {
        request = request.header(name, headers[name].clone());
    }
    let answer = request.body(body).send().await.unwrap();
    let status = answer.status();
    let answer = (proxy.rewrite)(&operation, &asked, answer.json().await.unwrap());
    let mut response = Response::new(answer.to_string().into());
    *response.status_mut() = status;
    response
}
