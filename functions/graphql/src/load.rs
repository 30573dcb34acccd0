//! What one request reads: every row once, however often the query comes by it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use async_graphql::dataloader::{DataLoader, HashMapCache, Loader};
use domain::{entitlement::ScopeRegisters, id::Id, subscription::SubscriptionRegisters};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use store::{Projection, StoreError};

use tokio::sync::Semaphore;

use crate::{options::Limits, page::Answered, reads::Reads, row::CustomerRow};

/// How many requests to DynamoDB one loader has under way at once.
const CONCURRENT: usize = 32;

/// How long a loader waits for others to ask: the fields of one level ask within microseconds.
const GATHERING: Duration = Duration::from_micros(100);

type Cached<L> = DataLoader<L, HashMapCache>;

/// What one request reads with.
pub(crate) struct Loaders {
    pub(crate) store: Reads,
    /// Lists that are sorted in memory are read one after the other.
    pub(crate) in_memory: Semaphore,
    /// What the answer holds so far.
    pub(crate) answered: Answered,
    pub(crate) limits: Limits,
    /// The parts of customers that the request needs.
    pub(crate) parts: Projection,
    /// The moment that usage counts at.
    pub(crate) now: Timestamp,
    pub(crate) customers: Cached<Customers>,
    pub(crate) subscriptions: Cached<Subscriptions>,
    pub(crate) pointers: Cached<Pointers>,
    pub(crate) resources: Cached<Resources>,
    pub(crate) scopes: Cached<Scopes>,
}

impl std::fmt::Debug for Loaders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaders").finish_non_exhaustive()
    }
}

impl Loaders {
    /// `parts` are the parts of customers that the request needs.
    pub(crate) fn new(store: Reads, limits: Limits, now: Timestamp, parts: Projection) -> Self {
        Self {
            customers: cached(Customers { store: store.clone(), parts }),
            subscriptions: cached(Subscriptions(store.clone())),
            pointers: cached(Pointers(store.clone())),
            resources: cached(Resources(store.clone())),
            scopes: cached(Scopes(store.clone())),
            store,
            in_memory: Semaphore::new(1),
            answered: Answered::default(),
            limits,
            parts,
            now,
        }
    }
}

fn cached<L>(loader: L) -> Cached<L> {
    DataLoader::with_cache(loader, tokio::spawn, HashMapCache::default()).delay(GATHERING).max_batch_size(usize::MAX)
}

/// Live customers by id.
pub(crate) struct Customers {
    store: Reads,
    parts: Projection,
}

impl Loader<Id> for Customers {
    type Value = Arc<CustomerRow>;
    type Error = Arc<StoreError>;

    async fn load(&self, ids: &[Id]) -> Result<HashMap<Id, Self::Value>, Self::Error> {
        let rows = self.store.customers(ids, self.parts).await?;
        Ok(rows.into_iter().filter_map(|row| Some((row.customer_id.clone(), CustomerRow::of(row)?))).collect())
    }
}

/// Subscriptions by id, visible or not.
pub(crate) struct Subscriptions(Reads);

impl Loader<Id> for Subscriptions {
    type Value = Arc<SubscriptionRegisters>;
    type Error = Arc<StoreError>;

    async fn load(&self, ids: &[Id]) -> Result<HashMap<Id, Self::Value>, Self::Error> {
        let rows = self.0.subscriptions(ids).await?;
        Ok(rows.into_iter().map(|row| (row.subscription_id, Arc::new(row.registers))).collect())
    }
}

/// The ids of a customer's subscriptions, as its pointers name them.
pub(crate) struct Pointers(Reads);

impl Loader<Id> for Pointers {
    type Value = Arc<Vec<Id>>;
    type Error = Arc<StoreError>;

    async fn load(&self, ids: &[Id]) -> Result<HashMap<Id, Self::Value>, Self::Error> {
        each(ids, |id| async move { Ok(Arc::new(self.0.subscription_ids(&id).await?)) }).await
    }
}

/// A resource of a customer's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ResourceOf {
    pub(crate) customer_id: Id,
    pub(crate) resource_id: Id,
}

/// The registers of single resources.
pub(crate) struct Scopes(Reads);

impl Loader<ResourceOf> for Scopes {
    type Value = Arc<ScopeRegisters>;
    type Error = Arc<StoreError>;

    async fn load(&self, keys: &[ResourceOf]) -> Result<HashMap<ResourceOf, Self::Value>, Self::Error> {
        each(keys, |ResourceOf { customer_id, resource_id }| async move {
            Ok(Arc::new(self.0.scope(&customer_id, &resource_id).await?))
        })
        .await
    }
}

/// All resources of a customer's.
pub(crate) struct Resources(Reads);

impl Loader<Id> for Resources {
    type Value = Arc<BTreeMap<Id, Arc<ScopeRegisters>>>;
    type Error = Arc<StoreError>;

    async fn load(&self, ids: &[Id]) -> Result<HashMap<Id, Self::Value>, Self::Error> {
        each(ids, |id| async move {
            let resources = self.0.resources(&id).await?;
            Ok(Arc::new(resources.into_iter().map(|(id, scope)| (id, Arc::new(scope))).collect()))
        })
        .await
    }
}

/// One request for each, beside one another.
async fn each<K, V, F>(keys: &[K], load: impl Fn(K) -> F) -> Result<HashMap<K, V>, Arc<StoreError>>
where
    K: Clone + Eq + std::hash::Hash,
    F: Future<Output = Result<V, StoreError>>,
{
    let loads: Vec<_> = keys.iter().cloned().map(|key| (key.clone(), load(key))).collect();
    stream::iter(loads)
        .map(|(key, value)| async move { Ok((key, value.await?)) })
        .buffer_unordered(CONCURRENT)
        .try_collect()
        .await
}
