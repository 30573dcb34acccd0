//! Applies an event: reads its receipt, derives its versions, writes its registers.

use jiff::Timestamp;

use crate::{CustomerChange, Outcome, Store, StoreError, SubscriptionWrite};
use domain::event::{
    Envelope, Event,
    dating::{ReceiptNeed, Versions, receipt_key, receipt_need, versions},
};

/// When an event was received and when it is written: different for an event that waited in a queue.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// The time of an event without a time of its own.
    pub received: Timestamp,
    /// Expiry times count from it.
    pub now: Timestamp,
}

impl From<Timestamp> for Timing {
    fn from(now: Timestamp) -> Self {
        Self { received: now, now }
    }
}

/// Writes an event's registers. After an error, the same event again completes an interrupted write.
pub async fn apply(
    store: &Store,
    envelope: &Envelope,
    event: &Event,
    Timing { received, now }: Timing,
) -> Result<(Outcome, Versions), StoreError> {
    let first_received = match receipt_need(envelope, received) {
        ReceiptNeed::None => received,
        ReceiptNeed::Get => store.first_receipt(&receipt_key(envelope)).await?.unwrap_or(received),
        ReceiptNeed::GetOrCreate => store.get_or_create_receipt(&receipt_key(envelope), received, now).await?,
    };
    let versions = versions(envelope, first_received);
    let version = &versions.event;
    let outcome = match event {
        Event::Customer { customer_id, profile, created } => {
            let creation = created.then_some(version);
            let change = CustomerChange { profile: Some((version, profile)), creation, ..CustomerChange::default() };
            store.write_customer(customer_id, &change, now).await
        }
        Event::CustomerDeleted { customer_id } => store.delete_customer(customer_id, version, now).await,
        Event::Entitlements { customer_id, lists, live_customer } => {
            let embedded = live_customer.as_ref().map(|embedded| (&versions.embedded, embedded));
            store.write_lists(customer_id, version, lists, embedded, now).await
        }
        Event::Measurement { customer_id, resource_id, feature_id, usage } => {
            store.write_usage(customer_id, resource_id.as_ref(), feature_id, version, usage, now).await
        }
        Event::CreditBalance { customer_id, resource_id, currency_id, balance } => {
            store.write_balance(customer_id, resource_id.as_ref(), currency_id.as_str(), version, balance, now).await
        }
        Event::Subscription { subscription_id, change, created, live_customer } => {
            let write = SubscriptionWrite { version, change, creation: created.then_some(version) };
            let live_customer = live_customer.as_ref().map(|(customer_id, embedded)| (customer_id, embedded));
            store.write_subscription(subscription_id, write, live_customer, now).await
        }
    }?;
    Ok((outcome, versions))
}
