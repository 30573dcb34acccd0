//! From an event to the writes that it makes.

use jiff::Timestamp;
use shared::{
    event::{Envelope, Event},
    store::{Outcome, Store, StoreError},
    version::{ReceiptNeed, Versions, receipt_key, receipt_need, versions},
};

/// Writes what an event received at `now` says.
///
/// # Errors
/// If the store failed. The event again completes what was begun.
pub(crate) async fn apply(
    store: &Store,
    envelope: &Envelope,
    event: &Event,
    now: Timestamp,
) -> Result<(Outcome, Versions), StoreError> {
    let received = match receipt_need(envelope, now) {
        ReceiptNeed::None => now,
        ReceiptNeed::LookUp => store.first_receipt(&receipt_key(envelope)).await?.unwrap_or(now),
        ReceiptNeed::Remember => store.remember_receipt(&receipt_key(envelope), now).await?,
    };
    let versions = versions(envelope, received);
    let version = &versions.event;
    let outcome = match event {
        Event::Customer { customer_id, profile, created } => {
            store.write_profile(customer_id, version, profile, *created, now).await
        }
        Event::CustomerDeleted { customer_id } => store.delete_customer(customer_id, version, now).await,
        Event::Entitlements { customer_id, embedded, lists } => {
            store.write_lists(customer_id, version, lists, (&versions.embedded, embedded), now).await
        }
        Event::Measurement { customer_id, resource_id, feature_id, usage } => {
            store.write_usage(customer_id, resource_id.as_ref(), feature_id, version, usage, now).await
        }
        Event::Subscription { subscription_id, change, alive } => {
            let alive = alive.as_ref().map(|(customer_id, embedded)| (customer_id, embedded));
            store.write_subscription(subscription_id, version, change, alive, now).await
        }
    }?;
    Ok((outcome, versions))
}
