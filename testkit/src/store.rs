//! Support for tests of the store: events by day, the stored items, and a store behind a proxy that can refuse requests or
//! rewrite responses.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

pub use crate::proxy::{Proxy, Rewrite};
use domain::{
    event::{self, Handled, Received},
    id::Id,
    version::Version,
};
use jiff::Timestamp;
use local::embedded::Embedded;
use runtime::aws::local_dynamodb;
use serde_json::Value;
use store::{Outcome, Store, StoreError, apply::apply};

pub fn id(text: &str) -> Id {
    Id::try_from(text).unwrap()
}

/// The version of an event at the start of this day of November 2026.
pub fn day(day: u8) -> Version {
    Version::new(at(day), "m")
}

pub fn at(day: u8) -> Timestamp {
    format!("2026-11-{day:02}T00:00:00Z").parse().unwrap()
}

/// Parses an event and writes it as the webhook does. Sets its messageId, and its time to `day`.
pub async fn write(store: &Store, day: u8, event: Value) -> Result<Outcome, StoreError> {
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

/// Like [`write()`], and asserts that the event was applied.
pub async fn applied(store: &Store, day: u8, event: Value) {
    assert_eq!(write(store, day, event.clone()).await.unwrap(), Outcome::Applied, "{event}");
}

/// All items of a table, sorted.
pub async fn items(store: &Store, table: &str) -> Vec<String> {
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

/// All items of the Customers and the Subscriptions table.
pub async fn everything(store: &Store) -> Vec<String> {
    let mut all = items(store, &store.tables().customers).await;
    all.extend(items(store, &store.tables().subscriptions).await);
    all
}

/// A store whose requests pass a proxy in front of the embedded DynamoDB.
pub struct Proxied {
    pub store: Store,
    pub proxy: Proxy,
    /// Number of requests that still pass. Later ones are denied.
    pub requests_left: Arc<AtomicUsize>,
}

/// The first `passes` requests pass.
pub async fn proxied(embedded: &Embedded, passes: usize) -> Proxied {
    start_proxied(embedded, passes, None).await
}

pub async fn proxied_with_rewrite(embedded: &Embedded, passes: usize, rewrite: Rewrite) -> Proxied {
    start_proxied(embedded, passes, Some(rewrite)).await
}

async fn start_proxied(embedded: &Embedded, passes: usize, rewrite: Option<Rewrite>) -> Proxied {
    let proxy = Proxy::start(&embedded.endpoint, 0, rewrite).await.unwrap();
    let requests_left = proxy.requests_left.clone();
    requests_left.store(passes, Ordering::SeqCst);
    Proxied { store: Store::new(local_dynamodb(&proxy.endpoint), embedded.store.tables().clone()), proxy, requests_left }
}
