//! The lists: keys-only indexes, spread over shards, from which pages are merged.

use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_dynamodb::types::{ReturnConsumedCapacity, Select};

use super::{
    Store, StoreError,
    attribute::{BILLING_ID, CREATION_ORDER, CUSTOMER_ID, CUSTOMER_ORDER, EMAIL, SHARD, SUBSCRIPTION_ID},
    customer::MAX_LOOK_UP_BYTES,
    key::{Key, number, text},
    read::id_in,
};
use domain::id::Id;

/// An index that lists live customers or visible subscriptions, a shard at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ListIndex {
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

impl ListIndex {
    /// The index's name and its sort key.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Customers => ("byCustomer", CUSTOMER_ID),
            Self::CustomersByCreation | Self::SubscriptionsByCreation => ("byCreation", CREATION_ORDER),
            Self::Subscriptions => ("bySubscription", SUBSCRIPTION_ID),
            Self::SubscriptionsByCustomer => ("byCustomer", CUSTOMER_ORDER),
        }
    }

    /// What it lists: the attribute that holds the row's id.
    fn row(self) -> &'static str {
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

/// A part of a list: sort keys strictly between two, either of which may be open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// The sort key that all lie above.
    pub above: Option<String>,
    /// The sort key that all lie below.
    pub below: Option<String>,
}

/// A row's place in a list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Its sort key.
    pub sort: String,
    /// The row.
    pub id: Id,
}

/// A page of one shard of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexPage {
    /// The places, in the order asked for.
    pub places: Vec<Place>,
    /// Whether the shard holds more of the range behind them.
    pub has_more: bool,
}

impl Store {
    /// At most `limit` places of a range of one shard, ascending or descending.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn list_page(
        &self,
        index: ListIndex,
        shard: u8,
        range: &Range,
        descending: bool,
        limit: usize,
    ) -> Result<IndexPage, StoreError> {
        let (index_name, sort) = index.names();
        let (comparison, is_inclusive) = match (&range.above, &range.below) {
            (None, None) => ("", false),
            (Some(_), None) => (" AND #sort > :above", false),
            (None, Some(_)) => (" AND #sort < :below", false),
            // A key condition takes one comparison of the sort key, and BETWEEN holds its ends.
            (Some(above), Some(below)) if above < below => (" AND #sort BETWEEN :above AND :below", true),
            (Some(_), Some(_)) => {
                return Ok(IndexPage { places: Vec::new(), has_more: false });
            }
        };
        let mut places = Vec::new();
        let mut start: Option<Key> = None;
        loop {
            // One more tells whether there is more; with BETWEEN, two may be the ends.
            let wanted = limit - places.len() + if is_inclusive { 3 } else { 1 };
            let mut request = self
                .client
                .query()
                .table_name(index.table(self))
                .index_name(index_name)
                .key_condition_expression(format!("#shard = :shard{comparison}"))
                .expression_attribute_names("#shard", SHARD)
                .expression_attribute_values(":shard", number(shard))
                .scan_index_forward(!descending)
                .limit(i32::try_from(wanted).unwrap_or(i32::MAX))
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
            let output = self.send(request.send()).await.map_err(|error| StoreError::of("Query", error))?;
            for key in output.items() {
                let sort = key.get(sort).and_then(|value| value.as_s().ok()).ok_or(StoreError::Unreadable { attribute: sort })?;
                if Some(sort) != range.above.as_ref() && Some(sort) != range.below.as_ref() {
                    places.push(Place { sort: sort.clone(), id: id_in(key, index.row())? });
                }
            }
            start = output.last_evaluated_key;
            if places.len() > limit {
                places.truncate(limit);
                return Ok(IndexPage { places, has_more: true });
            }
            if start.is_none() {
                return Ok(IndexPage { places, has_more: false });
            }
        }
    }

    /// Adds to `total` how many rows one shard of a list holds. Stops once `total`, which shards counted
    /// side by side share, is more than `bound`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn count(&self, index: ListIndex, shard: u8, total: &AtomicU64, bound: u64) -> Result<(), StoreError> {
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
            let output = self.send(request.send()).await.map_err(|error| StoreError::of("Query", error))?;
            let count = u64::try_from(output.count).unwrap_or_default();
            start = output.last_evaluated_key;
            if total.fetch_add(count, Ordering::Relaxed) + count > bound || start.is_none() {
                return Ok(());
            }
        }
    }

    /// The customers with this e-mail address, at most `limit`, by id.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn customers_by_email(&self, email: &str, limit: usize) -> Result<Vec<Id>, StoreError> {
        self.look_up("byEmail", EMAIL, email, limit).await
    }

    /// The customers with this id in the billing provider, at most `limit`, by id.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn customers_by_billing_id(&self, billing_id: &str, limit: usize) -> Result<Vec<Id>, StoreError> {
        self.look_up("byBillingId", BILLING_ID, billing_id, limit).await
    }

    async fn look_up(&self, index: &str, attribute: &'static str, value: &str, limit: usize) -> Result<Vec<Id>, StoreError> {
        let mut ids = Vec::new();
        let mut start: Option<Key> = None;
        if value.is_empty() || value.len() > MAX_LOOK_UP_BYTES {
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
            let output = self.send(request.send()).await.map_err(|error| StoreError::of("Query", error))?;
            for key in output.items() {
                ids.push(id_in(key, CUSTOMER_ID)?);
            }
            start = output.last_evaluated_key;
            if start.is_none() || ids.len() >= limit {
                return Ok(ids);
            }
        }
    }
}
