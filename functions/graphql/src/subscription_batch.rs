//! Reads the subscriptions of all customers of a page together.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use domain::id::Id;
use futures_util::future::try_join_all;
use store::{Index, IndexPage, SortKeyRange, shard_of};
use tokio::sync::OnceCell;

use crate::{
    error::ApiError,
    load::Loaders,
    row::{CustomerRow, SubscriptionRow},
};

/// Subscriptions by customer id.
type Subscriptions = HashMap<Id, Vec<Arc<SubscriptionRow>>>;

/// A batch loader: the first customer whose subscriptions are selected reads those of the whole page.
#[derive(Debug)]
pub(crate) struct SubscriptionBatch {
    customers: Vec<Arc<CustomerRow>>,
    /// Whether `customers` has all live customers between its lowest and its highest id.
    is_contiguous: bool,
    subscriptions: OnceCell<Result<Arc<Subscriptions>, ApiError>>,
}

impl SubscriptionBatch {
    pub(crate) fn new(customers: Vec<Arc<CustomerRow>>, is_contiguous: bool) -> Arc<Self> {
        Arc::new(Self { customers, is_contiguous, subscriptions: OnceCell::new() })
    }

    pub(crate) async fn subscriptions_of(&self, customer: &Id, loaders: &Loaders) -> Result<Vec<Arc<SubscriptionRow>>, ApiError> {
        let read = || async { self.read(loaders).await.map(Arc::new) };
        let subscriptions = self.subscriptions.get_or_init(read).await.clone()?;
        Ok(subscriptions.get(customer).cloned().unwrap_or_default())
    }

    async fn read(&self, loaders: &Loaders) -> Result<Subscriptions, ApiError> {
        let ids = if self.is_contiguous && self.customers.len() > 1 {
            self.ids_from_index(loaders).await?
        } else {
            self.ids_from_pointers(loaders).await?
        };
        let registers = loaders.subscriptions.load_many(ids).await?;
        let customers: HashMap<&Id, &Arc<CustomerRow>> = self.customers.iter().map(|customer| (&customer.id, customer)).collect();
        let mut subscriptions = Subscriptions::new();
        for (id, registers) in registers {
            let customer = registers.customer_id().and_then(|id| customers.get(id));
            if let Some(row) = customer.and_then(|customer| SubscriptionRow::new(id, &registers, customer)) {
                subscriptions.entry(row.customer.id.clone()).or_default().push(row);
            }
        }
        Ok(subscriptions)
    }

    /// One request per shard. The index of subscriptions by customer has the same shards as the customers,
    /// so a contiguous range of customers is one range of each shard.
    async fn ids_from_index(&self, loaders: &Loaders) -> Result<Vec<Id>, ApiError> {
        let limit = loaders.limits.candidates;
        // The lowest and the highest id of each shard.
        let mut bounds: BTreeMap<u8, (&Id, &Id)> = BTreeMap::new();
        for id in self.customers.iter().map(|customer| &customer.id) {
            let (lowest, highest) = bounds.entry(shard_of(id)).or_insert((id, id));
            (*lowest, *highest) = ((*lowest).min(id), (*highest).max(id));
        }
        let reads = bounds.into_iter().map(|(shard, (lowest, highest))| async move {
            // The sort key is the customer id, U+0000 and the subscription id.
            let range = SortKeyRange { above: Some(lowest.as_str().to_owned()), below: Some(format!("{highest}\u{1}")) };
            let page = loaders.store.query_index(Index::SubscriptionsByCustomer, shard, &range, false, limit);
            let IndexPage { entries, has_more } = page.await?;
            if has_more { Err(too_many(limit)) } else { Ok(entries) }
        });
        let entries = try_join_all(reads).await?;
        at_most(limit, entries.into_iter().flatten().map(|entry| entry.id).collect())
    }

    /// One request per customer.
    async fn ids_from_pointers(&self, loaders: &Loaders) -> Result<Vec<Id>, ApiError> {
        let customers = self.customers.iter().map(|customer| customer.id.clone());
        let ids = loaders.subscription_ids.load_many(customers).await?;
        at_most(loaders.limits.candidates, ids.values().flat_map(|ids| ids.iter().cloned()).collect())
    }
}

fn at_most(limit: usize, ids: Vec<Id>) -> Result<Vec<Id>, ApiError> {
    if ids.len() > limit { Err(too_many(limit)) } else { Ok(ids) }
}

fn too_many(limit: usize) -> ApiError {
    let suggestion = "request fewer customers at a time, or page through subscriptions in the order CUSTOMER_ID";
    ApiError::TooManyRows { limit, suggestion }
}
