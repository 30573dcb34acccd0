//! The customers of one page, whose subscriptions are read together.

use std::{collections::HashMap, sync::Arc};

use domain::id::Id;
use futures_util::future::try_join_all;
use store::{Index, IndexPage, SHARDS, SortKeyRange, shard_of};
use tokio::sync::OnceCell;

use crate::{
    error::ApiError,
    load::Loaders,
    row::{CustomerRow, SubscriptionRow},
};

type Subscriptions = HashMap<Id, Vec<Arc<SubscriptionRow>>>;

/// Customers that came together. The first of them that is asked for its subscriptions reads those
/// of all.
#[derive(Debug)]
pub(crate) struct Siblings {
    customers: Vec<Arc<CustomerRow>>,
    /// No live customer lies between the lowest and the highest of them but themselves.
    is_contiguous: bool,
    subscriptions: OnceCell<Result<Arc<Subscriptions>, ApiError>>,
}

impl Siblings {
    pub(crate) fn new(customers: Vec<Arc<CustomerRow>>, is_contiguous: bool) -> Arc<Self> {
        Arc::new(Self { customers, is_contiguous, subscriptions: OnceCell::new() })
    }

    /// The subscriptions of one of the customers.
    pub(crate) async fn subscriptions_of(&self, customer: &Id, loaders: &Loaders) -> Result<Vec<Arc<SubscriptionRow>>, ApiError> {
        let read = || async { self.read(loaders).await.map(Arc::new) };
        let subscriptions = self.subscriptions.get_or_init(read).await.clone()?;
        Ok(subscriptions.get(customer).cloned().unwrap_or_default())
    }

    async fn read(&self, loaders: &Loaders) -> Result<Subscriptions, ApiError> {
        let ids = if self.is_contiguous && self.customers.len() > 1 {
            self.listed(loaders).await?
        } else {
            self.pointed_to(loaders).await?
        };
        let registers = loaders.subscriptions.load_many(ids).await?;
        let customers: HashMap<&Id, &Arc<CustomerRow>> = self.customers.iter().map(|customer| (&customer.id, customer)).collect();
        let mut subscriptions = Subscriptions::new();
        for (id, registers) in registers {
            let customer = registers.customer_id().and_then(|id| customers.get(id));
            if let Some(row) = customer.and_then(|customer| SubscriptionRow::of(id, &registers, customer)) {
                subscriptions.entry(row.customer.id.clone()).or_default().push(row);
            }
        }
        Ok(subscriptions)
    }

    /// A contiguous range of customers is one in each shard, and so are their subscriptions, which
    /// are listed by customer in the same shards: one request a shard names them all.
    async fn listed(&self, loaders: &Loaders) -> Result<Vec<Id>, ApiError> {
        let bound = loaders.limits.candidates;
        let reads = (0..SHARDS).map(|shard| async move {
            let ids = self.customers.iter().map(|customer| &customer.id).filter(|id| shard_of(id) == shard);
            let (Some(lowest), Some(highest)) = (ids.clone().min(), ids.max()) else {
                return Ok(Vec::new());
            };
            // A subscription's key there is its customer's id, U+0000 and its own id.
            let range = SortKeyRange { above: Some(lowest.as_str().to_owned()), below: Some(format!("{highest}\u{1}")) };
            let page = loaders.store.query_index(Index::SubscriptionsByCustomer, shard, &range, false, bound);
            let IndexPage { entries, has_more } = page.await?;
            if has_more { Err(too_many(bound)) } else { Ok(entries) }
        });
        let entries = try_join_all(reads).await?;
        bounded(entries.into_iter().flatten().map(|entry| entry.id).collect(), bound)
    }

    /// One request a customer.
    async fn pointed_to(&self, loaders: &Loaders) -> Result<Vec<Id>, ApiError> {
        let customers = self.customers.iter().map(|customer| customer.id.clone());
        let pointers = loaders.pointers.load_many(customers).await?;
        let ids = pointers.values().flat_map(|ids| ids.iter().cloned());
        bounded(ids.collect(), loaders.limits.candidates)
    }
}

fn bounded(ids: Vec<Id>, bound: usize) -> Result<Vec<Id>, ApiError> {
    if ids.len() > bound { Err(too_many(bound)) } else { Ok(ids) }
}

fn too_many(bound: usize) -> ApiError {
    let instead = "ask for fewer customers at a time, or page through subscriptions in the order of CUSTOMER_ID";
    ApiError::TooManyRows { bound, instead }
}
