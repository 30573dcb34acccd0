//! Deletes a customer: writes the tombstone, then sweeps all registers at or below it.

use std::collections::HashMap;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;

use super::{
    MAX_CONCURRENT_REQUESTS, Outcome, Store, StoreError,
    attribute::ITEM,
    item::Item,
    key::{PROFILE_ITEM, SUBSCRIPTIONS, customer_key, usage_item},
};
use domain::{id::Id, version::Version};

impl Store {
    /// Removes the customer's registers at or below this version. Newer ones stay.
    ///
    /// Stale if the tombstone has this version or a higher one. The sweep runs in any case, to complete an interrupted
    /// delivery.
    pub async fn delete_customer(&self, customer_id: &Id, version: &Version, now: Timestamp) -> Result<Outcome, StoreError> {
        let (outcome, tombstone) = self.write_tombstone(customer_id, version, now).await?;
        let mut items: HashMap<String, Item> = HashMap::new();
        for item in self.query_prefix(customer_id, "", &[], true).await? {
            items.insert(item.text(ITEM).ok_or(StoreError::Unreadable { attribute: ITEM })?.to_owned(), item);
        }
        items.remove(PROFILE_ITEM);
        // The customer level's USAGE item gets the tombstone even if it does not exist: see the module `scope`.
        items.entry(usage_item(None)).or_default();
        let (pointers, scopes): (Vec<_>, Vec<_>) = items.into_iter().partition(|(item, _)| item.starts_with(SUBSCRIPTIONS));
        let sweep = |(item, found): (String, Item)| {
            let (key, tombstone) = (customer_key(customer_id, item), &tombstone);
            async move { self.sweep_scope(&key, found, tombstone, now).await }
        };
        stream::iter(scopes).map(Ok).try_for_each_concurrent(MAX_CONCURRENT_REQUESTS, sweep).await?;
        let subscription_ids = pointers.iter().filter_map(|(item, _)| Id::try_from(item.strip_prefix(SUBSCRIPTIONS)?).ok());
        self.sweep_subscriptions(customer_id, subscription_ids.collect(), &tombstone, now).await?;
        Ok(outcome)
    }
}
