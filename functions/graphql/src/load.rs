//! Batches and caches the reads of one HTTP request: each row is read once, however many fields need it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_graphql::{
    Context,
    dataloader::{DataLoader, HashMapCache, Loader},
};
use domain::{entitlement::ScopeRegisters, id::Id, subscription::SubscriptionRegisters};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use store::{Projection, StoreError};
use tokio::sync::Semaphore;

use crate::{
    error::ApiError,
    options::Limits,
    reads::Reads,
    row::{CustomerRow, Row, SubscriptionRow},
};

/// Maximum number of concurrent DynamoDB requests per loader.
const CONCURRENCY: usize = 32;

/// How long a loader collects keys before it reads. The fields of one level resolve within microseconds.
const BATCH_DELAY: Duration = Duration::from_micros(100);

type Cached<L> = DataLoader<L, HashMapCache>;

/// The data loaders of one HTTP request, and what its queries share.
pub(crate) struct Loaders {
    pub(crate) store: Reads,
    /// One permit: lists are sorted or filtered in memory one at a time, to bound the memory.
    pub(crate) in_memory: Semaphore,
    pub(crate) row_budget: RowBudget,
    pub(crate) limits: Limits,
    /// The parts of customers that the queries read.
    pub(crate) parts: Projection,
    /// Decides which usage period is the current one.
    pub(crate) now: Timestamp,
    pub(crate) customers: Cached<CustomerLoader>,
    pub(crate) subscriptions: Cached<SubscriptionLoader>,
    pub(crate) subscription_ids: Cached<SubscriptionIdsLoader>,
    pub(crate) resources: Cached<ResourcesLoader>,
    pub(crate) resource_scopes: Cached<ResourceScopeLoader>,
}

impl std::fmt::Debug for Loaders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaders").finish_non_exhaustive()
    }
}

impl Loaders {
    pub(crate) fn new(store: Reads, limits: Limits, now: Timestamp, parts: Projection) -> Self {
        Self {
            customers: cached(CustomerLoader { store: store.clone(), parts }),
            subscriptions: cached(SubscriptionLoader(store.clone())),
            subscription_ids: cached(SubscriptionIdsLoader(store.clone())),
            resources: cached(ResourcesLoader(store.clone())),
            resource_scopes: cached(ResourceScopeLoader(store.clone())),
            store,
            in_memory: Semaphore::new(1),
            row_budget: RowBudget { used: AtomicUsize::new(0), limit: limits.rows },
            limits,
            parts,
            now,
        }
    }

    pub(crate) fn from_context<'a>(ctx: &Context<'a>) -> async_graphql::Result<&'a Arc<Self>> {
        ctx.data::<Arc<Self>>()
    }
}

fn cached<L>(loader: L) -> Cached<L> {
    DataLoader::with_cache(loader, tokio::spawn, HashMapCache::default()).delay(BATCH_DELAY).max_batch_size(usize::MAX)
}

/// Counts the rows of all lists of a response.
#[derive(Debug)]
pub(crate) struct RowBudget {
    used: AtomicUsize,
    limit: usize,
}

impl RowBudget {
    pub(crate) fn spend(&self, rows: usize) -> Result<(), ApiError> {
        let used = self.used.fetch_add(rows, Ordering::Relaxed).saturating_add(rows);
        if used > self.limit { Err(ApiError::ResponseTooManyRows { limit: self.limit }) } else { Ok(()) }
    }
}

/// A row that is read by id. Ids without a visible row are missing from the results.
pub(crate) trait LoadRow: Row {
    /// Reads rows and caches them for the request.
    fn load(loaders: &Loaders, ids: Vec<Id>) -> impl Future<Output = Result<HashMap<Id, Self>, ApiError>> + Send;

    /// Reads rows without caching them. `parts` are the parts of customers to read.
    fn read(loaders: &Loaders, ids: &[Id], parts: Projection)
    -> impl Future<Output = Result<HashMap<Id, Self>, ApiError>> + Send;
}

impl LoadRow for Arc<CustomerRow> {
    async fn load(loaders: &Loaders, ids: Vec<Id>) -> Result<HashMap<Id, Self>, ApiError> {
        Ok(loaders.customers.load_many(ids).await?)
    }

    async fn read(loaders: &Loaders, ids: &[Id], parts: Projection) -> Result<HashMap<Id, Self>, ApiError> {
        Ok(live_customers(&loaders.store, ids, parts).await?)
    }
}

impl LoadRow for Arc<SubscriptionRow> {
    async fn load(loaders: &Loaders, ids: Vec<Id>) -> Result<HashMap<Id, Self>, ApiError> {
        let registers = loaders.subscriptions.load_many(ids).await?;
        let customers = loaders.customers.load_many(customer_ids(&registers)).await?;
        Ok(visible(registers, &customers))
    }

    async fn read(loaders: &Loaders, ids: &[Id], parts: Projection) -> Result<HashMap<Id, Self>, ApiError> {
        let registers = loaders.subscriptions.loader().load(ids).await?;
        let customers: Vec<Id> = customer_ids(&registers).into_iter().collect();
        let customers = live_customers(&loaders.store, &customers, parts).await?;
        Ok(visible(registers, &customers))
    }
}

async fn live_customers(store: &Reads, ids: &[Id], parts: Projection) -> Result<HashMap<Id, Arc<CustomerRow>>, StoreError> {
    let rows = store.customers(ids, parts).await?;
    Ok(rows.into_iter().filter_map(|row| Some((row.customer_id.clone(), CustomerRow::from_store(row)?))).collect())
}

type Subscriptions = HashMap<Id, Arc<SubscriptionRegisters>>;

fn customer_ids(subscriptions: &Subscriptions) -> HashSet<Id> {
    subscriptions.values().filter_map(|registers| registers.customer_id().cloned()).collect()
}

fn visible(subscriptions: Subscriptions, customers: &HashMap<Id, Arc<CustomerRow>>) -> HashMap<Id, Arc<SubscriptionRow>> {
    let row = |(id, registers): (Id, Arc<SubscriptionRegisters>)| {
        let customer = customers.get(registers.customer_id()?)?;
        Some((id.clone(), SubscriptionRow::new(id, &registers, customer)?))
    };
    subscriptions.into_iter().filter_map(row).collect()
}

/// Live customers by id.
pub(crate) struct CustomerLoader {
    store: Reads,
    parts: Projection,
}

impl Loader<Id> for CustomerLoader {
    type Value = Arc<CustomerRow>;
    type Error = Arc<StoreError>;

    async fn load(&self, ids: &[Id]) -> Result<HashMap<Id, Self::Value>, Self::Error> {
        Ok(live_customers(&self.store, ids, self.parts).await?)
    }
}

/// Subscriptions by id, visible or not.
pub(crate) struct SubscriptionLoader(Reads);

impl Loader<Id> for SubscriptionLoader {
    type Value = Arc<SubscriptionRegisters>;
    type Error = Arc<StoreError>;

    async fn load(&self, ids: &[Id]) -> Result<HashMap<Id, Self::Value>, Self::Error> {
        let rows = self.0.subscriptions(ids).await?;
        Ok(rows.into_iter().map(|row| (row.subscription_id, Arc::new(row.registers))).collect())
    }
}

/// The ids of a customer's subscriptions, from the customer's pointer items.
pub(crate) struct SubscriptionIdsLoader(Reads);

impl Loader<Id> for SubscriptionIdsLoader {
    type Value = Arc<Vec<Id>>;
    type Error = Arc<StoreError>;

    async fn load(&self, ids: &[Id]) -> Result<HashMap<Id, Self::Value>, Self::Error> {
        load_each(ids, |id| async move { Ok(Arc::new(self.0.subscription_ids(&id).await?)) }).await
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ResourceKey {
    pub(crate) customer_id: Id,
    pub(crate) resource_id: Id,
}

/// The registers of one resource.
pub(crate) struct ResourceScopeLoader(Reads);

impl Loader<ResourceKey> for ResourceScopeLoader {
    type Value = Arc<ScopeRegisters>;
    type Error = Arc<StoreError>;

    async fn load(&self, keys: &[ResourceKey]) -> Result<HashMap<ResourceKey, Self::Value>, Self::Error> {
        load_each(keys, |ResourceKey { customer_id, resource_id }| async move {
            Ok(Arc::new(self.0.scope(&customer_id, &resource_id).await?))
        })
        .await
    }
}

/// The registers of all resources of a customer.
pub(crate) struct ResourcesLoader(Reads);

impl Loader<Id> for ResourcesLoader {
    type Value = Arc<BTreeMap<Id, Arc<ScopeRegisters>>>;
    type Error = Arc<StoreError>;

    async fn load(&self, ids: &[Id]) -> Result<HashMap<Id, Self::Value>, Self::Error> {
        load_each(ids, |id| async move {
            let resources = self.0.resources(&id).await?;
            Ok(Arc::new(resources.into_iter().map(|(id, scope)| (id, Arc::new(scope))).collect()))
        })
        .await
    }
}

/// One DynamoDB request per key, concurrently.
async fn load_each<K, V, F>(keys: &[K], load: impl Fn(K) -> F) -> Result<HashMap<K, V>, Arc<StoreError>>
where
    K: Clone + Eq + std::hash::Hash,
    F: Future<Output = Result<V, StoreError>>,
{
    let loads: Vec<_> = keys.iter().cloned().map(|key| (key.clone(), load(key))).collect();
    stream::iter(loads)
        .map(|(key, value)| async move { Ok((key, value.await?)) })
        .buffer_unordered(CONCURRENCY)
        .try_collect()
        .await
}
