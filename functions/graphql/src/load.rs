//! What one request reads: every row once, however often the query comes by it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_graphql::dataloader::{DataLoader, HashMapCache, Loader};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use shared::{
    id::Id,
    store::{FeatureRow, ResourceRow, StoreError},
    subscription::SubscriptionRegisters,
};

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
    /// The moment that usage counts at.
    pub(crate) now: Timestamp,
    pub(crate) customers: Cached<Customers>,
    pub(crate) subscriptions: Cached<Subscriptions>,
    pub(crate) pointers: Cached<Pointers>,
    pub(crate) features: Cached<Features>,
    pub(crate) resources: Cached<Resources>,
}

impl std::fmt::Debug for Loaders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaders").finish_non_exhaustive()
    }
}

impl Loaders {
    /// `with_profiles` says whether anything of what customers are like is asked for.
    pub(crate) fn new(store: Reads, limits: Limits, now: Timestamp, with_profiles: bool) -> Self {
        Self {
            customers: cached(Customers { store: store.clone(), with_profiles }),
            subscriptions: cached(Subscriptions(store.clone())),
            pointers: cached(Pointers(store.clone())),
            features: cached(Features(store.clone())),
            resources: cached(Resources(store.clone())),
            store,
            in_memory: Semaphore::new(1),
            answered: Answered::default(),
            limits,
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
    with_profiles: bool,
}

impl Loader<Id> for Customers {
    type Value = Arc<CustomerRow>;
    type Error = Arc<StoreError>;

    async fn load(&self, ids: &[Id]) -> Result<HashMap<Id, Self::Value>, Self::Error> {
        let rows = if self.with_profiles {
            self.store.customers(ids).await?
        } else {
            self.store.customers_without_profiles(ids).await?
        };
        let live =
            rows.into_iter().filter_map(|row| Some((row.customer_id.clone(), CustomerRow::of(row.customer_id, row.registers)?)));
        Ok(live.collect())
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

/// The features of a customer in one scope.
pub(crate) struct Features(Reads);

/// A customer and one of its lists of entitlements.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FeaturesOf {
    pub(crate) customer_id: Id,
    pub(crate) scope: Scope,
}

/// Which of a customer's lists of entitlements.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    /// The customer's own.
    Customer,
    /// One of its resources'.
    Resource(Id),
}

impl Scope {
    pub(crate) fn resource_id(&self) -> Option<&Id> {
        match self {
            Self::Customer => None,
            Self::Resource(id) => Some(id),
        }
    }
}

impl Loader<FeaturesOf> for Features {
    type Value = Arc<Vec<FeatureRow>>;
    type Error = Arc<StoreError>;

    async fn load(&self, keys: &[FeaturesOf]) -> Result<HashMap<FeaturesOf, Self::Value>, Self::Error> {
        each(keys, |FeaturesOf { customer_id, scope }| async move {
            let rows = self.0.features(&customer_id, Some(scope.resource_id())).await?;
            Ok(Arc::new(rows))
        })
        .await
    }
}

/// A customer's resources.
pub(crate) struct Resources(Reads);

impl Loader<Id> for Resources {
    type Value = Arc<Vec<ResourceRow>>;
    type Error = Arc<StoreError>;

    async fn load(&self, ids: &[Id]) -> Result<HashMap<Id, Self::Value>, Self::Error> {
        each(ids, |id| async move { Ok(Arc::new(self.0.resources(&id).await?)) }).await
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
