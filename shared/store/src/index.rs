//! Queries of the keys-only indexes. The indexes of all rows are sharded: a caller merges the pages of the shards.

use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_dynamodb::types::{ReturnConsumedCapacity, Select};

use super::{
    Store, StoreError,
    attribute::{BILLING_ID, CREATION_ORDER, CUSTOMER_ID, CUSTOMER_ORDER, EMAIL, SHARD, SUBSCRIPTION_ID},
    key::{Key, MAX_PARTITION_KEY_BYTES, number, text},
    read::id_from_key,
};
use domain::id::Id;

/// A sharded index of live customers or visible subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Index {
    /// Customers by id.
    Customers,
    /// Customers by [`super::creation_order`].
    CustomersByCreation,
    /// Subscriptions by id.
    Subscriptions,
    /// Subscriptions by [`super::customer_order`].
    SubscriptionsByCustomer,
    /// Subscriptions by [`super::creation_order`].
    SubscriptionsByCreation,
}

impl Index {
    /// The index's name and its sort key's attribute.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Customers => ("byCustomer", CUSTOMER_ID),
            Self::CustomersByCreation | Self::SubscriptionsByCreation => ("byCreation", CREATION_ORDER),
            Self::Subscriptions => ("bySubscription", SUBSCRIPTION_ID),
            Self::SubscriptionsByCustomer => ("byCustomer", CUSTOMER_ORDER),
        }
    }

    /// The attribute of the row's id.
    fn id_attribute(self) -> &'static str {
        match self {
            Self::Customers | Self::CustomersByCreation => CUSTOMER_ID,
            Self::Subscriptions | Self::SubscriptionsByCustomer | Self::SubscriptionsByCreation => SUBSCRIPTION_ID,
        }
    }

    fn table(self, store: &Store) -> &str {
        match self {
            Self::Customers | Self::CustomersByCreation => &store.tables.customers,
            Self::Subscriptions | Self::SubscriptionsByCustomer | Self::SubscriptionsByCreation => &store.tables.subscriptions,
        }
    }
}

/// Sort keys between two exclusive bounds. None means unbounded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SortKeyRange {
    pub above: Option<String>,
    pub below: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IndexEntry {
    pub sort: String,
    pub id: Id,
}

/// Entries of one shard, in the requested order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexPage {
    pub entries: Vec<IndexEntry>,
    /// Whether the range has more entries in this shard.
    pub has_more: bool,
}

impl Store {
    /// At most `limit` entries of one shard.
    pub async fn query_index(
        &self,
        index: Index,
        shard: u8,
        range: &SortKeyRange,
        descending: bool,
        limit: usize,
    ) -> Result<IndexPage, StoreError> {
        let (index_name, sort) = index.names();
        let (comparison, is_inclusive) = match (&range.above, &range.below) {
            (None, None) => ("", false),
            (Some(_), None) => (" AND #sort > :above", false),
            (None, Some(_)) => (" AND #sort < :below", false),
            // A key condition allows only one comparison of the sort key, and BETWEEN includes its bounds.
            (Some(above), Some(below)) if above < below => (" AND #sort BETWEEN :above AND :below", true),
            (Some(_), Some(_)) => {
                return Ok(IndexPage { entries: Vec::new(), has_more: false });
            }
        };
        let mut entries = Vec::new();
        let mut start: Option<Key> = None;
        loop {
            // One more shows whether there are more; with BETWEEN, two may be the bounds.
            let query_limit = limit - entries.len() + if is_inclusive { 3 } else { 1 };
            let mut request = self
                .client
                .query()
                .table_name(index.table(self))
                .index_name(index_name)
                .key_condition_expression(format!("#shard = :shard{comparison}"))
                .expression_attribute_names("#shard", SHARD)
                .expression_attribute_values(":shard", number(shard))
                .scan_index_forward(!descending)
                .limit(i32::try_from(query_limit).unwrap_or(i32::MAX))
                .set_exclusive_start_key(start)
                .return_consumed_capacity(ReturnConsumedCapacity::Total);
            if !comparison.is_empty() {
                request = request.expression_attribute_names("#sort", sort);
            }
            for (name, bound) in [(":above", &range.above), (":below", &range.below)] {
                if let Some(bound) = bound {
                    request = request.expression_attribute_values(name, text(bound));
                }
            }
            let output = self.costs.track(request.send()).await.map_err(|error| StoreError::of("Query", error))?;
            for key in output.items() {
                let sort = key.get(sort).and_then(|value| value.as_s().ok()).ok_or(StoreError::Unreadable { attribute: sort })?;
                if Some(sort) != range.above.as_ref() && Some(sort) != range.below.as_ref() {
                    entries.push(IndexEntry { sort: sort.clone(), id: id_from_key(key, index.id_attribute())? });
                }
            }
            start = output.last_evaluated_key;
            if entries.len() > limit {
                entries.truncate(limit);
                return Ok(IndexPage { entries, has_more: true });
            }
            if start.is_none() {
                return Ok(IndexPage { entries, has_more: false });
            }
        }
    }

    /// Adds the number of one shard's entries to `total`. Stops once `total`, which concurrent counts of other shards
    /// share, exceeds `bound`.
    pub async fn count(&self, index: Index, shard: u8, total: &AtomicU64, bound: u64) -> Result<(), StoreError> {
        let mut start: Option<Key> = None;
        loop {
            let request = self
                .client
                .query()
                .table_name(index.table(self))
                .index_name(index.names().0)
                .key_condition_expression("#shard = :shard")
                .expression_attribute_names("#shard", SHARD)
                .expression_attribute_values(":shard", number(shard))
                .select(Select::Count)
                .set_exclusive_start_key(start)
                .return_consumed_capacity(ReturnConsumedCapacity::Total);
            let output = self.costs.track(request.send()).await.map_err(|error| StoreError::of("Query", error))?;
            let count = u64::try_from(output.count).unwrap_or_default();
            start = output.last_evaluated_key;
            if total.fetch_add(count, Ordering::Relaxed) + count > bound || start.is_none() {
                return Ok(());
            }
        }
    }

    /// At most `limit` customers.
    pub async fn customers_by_email(&self, email: &str, limit: usize) -> Result<Vec<Id>, StoreError> {
        self.look_up("byEmail", EMAIL, email, limit).await
    }

    /// At most `limit` customers.
    pub async fn customers_by_billing_id(&self, billing_id: &str, limit: usize) -> Result<Vec<Id>, StoreError> {
        self.look_up("byBillingId", BILLING_ID, billing_id, limit).await
    }

    async fn look_up(&self, index: &str, attribute: &'static str, value: &str, limit: usize) -> Result<Vec<Id>, StoreError> {
        let mut ids = Vec::new();
        let mut start: Option<Key> = None;
        if value.is_empty() || value.len() > MAX_PARTITION_KEY_BYTES {
            return Ok(ids);
        }
        loop {
            let request = self
                .client
                .query()
                .table_name(&self.tables.customers)
                .index_name(index)
                .key_condition_expression("#value = :value")
                .expression_attribute_names("#value", attribute)
                .expression_attribute_values(":value", text(value))
                .limit(i32::try_from(limit - ids.len()).unwrap_or(i32::MAX))
                .set_exclusive_start_key(start)
                .return_consumed_capacity(ReturnConsumedCapacity::Total);
            let output = self.costs.track(request.send()).await.map_err(|error| StoreError::of("Query", error))?;
            for key in output.items() {
                ids.push(id_from_key(key, CUSTOMER_ID)?);
            }
            start = output.last_evaluated_key;
            if start.is_none() || ids.len() >= limit {
                return Ok(ids);
            }
        }
    }
}
