//! What the store's tests share: an embedded store, events, and a proxy before the store that can
//! refuse requests or change answers.

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

/// The version of an event on this day of November 2026.
pub fn day(day: u8) -> Version {
    Version::new(at(day), "m")
}

pub fn at(day: u8) -> Timestamp {
    format!("2026-11-{day:02}T00:00:00Z").parse().unwrap()
}

/// Writes an event, given as JSON without messageId and with `day` as its time, through the store as
/// the webhook does.
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

/// As [`write`], for an event that changes something.
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

/// Everything that is stored for customers and subscriptions.
pub async fn everything(store: &Store) -> Vec<String> {
    let mut all = items(store, &store.tables().customers).await;
    all.extend(items(store, &store.tables().subscriptions).await);
    all
}

/// A store before the embedded one, through a proxy.
pub struct Proxied {
    pub store: Store,
    pub proxy: Proxy,
    /// How many more requests pass; the ones after that are refused.
    pub left: Arc<AtomicUsize>,
}

pub async fn proxied(embedded: &Embedded, passes: usize) -> Proxied {
    behind(embedded, passes, None).await
}

pub async fn rewriting(embedded: &Embedded, passes: usize, rewrite: Rewrite) -> Proxied {
    behind(embedded, passes, Some(rewrite)).await
}

async fn behind(embedded: &Embedded, passes: usize, rewrite: Option<Rewrite>) -> Proxied {
    let proxy = Proxy::start(&embedded.endpoint, 0, rewrite).await.unwrap();
    let left = proxy.left.clone();
    left.store(passes, Ordering::SeqCst);
    Proxied { store: Store::new(local_dynamodb(&proxy.endpoint), embedded.store.tables().clone()), proxy, left }
}
