//! Store reads of one HTTP request: limits their concurrency, and reads each count once.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use domain::{
    access::{AccessRequest, AccessView},
    entitlement::ScopeRegisters,
    id::Id,
};
use futures_util::future::try_join_all;
use store::{CustomerRow, Index, IndexPage, Projection, SHARDS, SortKeyRange, Store, StoreError, SubscriptionRow};
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};

use crate::error::ApiError;

/// Maximum number of concurrent DynamoDB requests. Each uses a connection (a Lambda function has at most
/// 1,024 file descriptors) and up to 1 MB of response.
const MAX_CONCURRENCY: u32 = 64;

/// Maximum number of items of a BatchGetItem.
const BATCH: usize = 100;

/// Permits that a BatchGetItem takes, since its response is larger than that of other reads.
const BATCH_PERMITS: usize = 4;

/// Maximum number of items that are read at once.
const CHUNK: usize = 10 * BATCH;

/// Clones share the limit and the counts.
#[derive(Clone, Debug)]
pub(crate) struct Reads {
    store: Store,
    requests: Arc<Semaphore>,
    counts: Arc<Mutex<HashMap<Index, Arc<Count>>>>,
}

/// The number of rows of a list; None above the limit.
type Count = OnceCell<Result<Option<u64>, ApiError>>;

impl Reads {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, requests: Arc::new(Semaphore::new(MAX_CONCURRENCY as usize)), counts: Arc::default() }
    }

    /// Waits for capacity for this number of requests. Never None: the semaphore is never closed.
    async fn permit(&self, requests: usize) -> Option<SemaphorePermit<'_>> {
        let requests = u32::try_from(requests).unwrap_or(u32::MAX).min(MAX_CONCURRENCY);
        self.requests.acquire_many(requests).await.ok()
    }

    /// Reads rows by id, in chunks. `items` is the number of items per row.
    async fn rows<T, F>(&self, ids: &[Id], items: usize, read: impl Fn(Vec<Id>) -> F) -> Result<Vec<T>, StoreError>
    where
        F: Future<Output = Result<Vec<T>, StoreError>>,
    {
        let mut rows = Vec::new();
        for chunk in ids.chunks(CHUNK / items) {
            let _permit = self.permit(BATCH_PERMITS * (items * chunk.len()).div_ceil(BATCH)).await;
            rows.extend(read(chunk.to_vec()).await?);
        }
        Ok(rows)
    }

    pub(crate) async fn customers(&self, ids: &[Id], parts: Projection) -> Result<Vec<CustomerRow>, StoreError> {
        let items = if parts == Projection::Entitlements { 2 } else { 1 };
        self.rows(ids, items, |ids| async move { self.store.customers(&ids, parts).await }).await
    }

    pub(crate) async fn subscriptions(&self, ids: &[Id]) -> Result<Vec<SubscriptionRow>, StoreError> {
        self.rows(ids, 1, |ids| async move { self.store.subscriptions(&ids).await }).await
    }

    pub(crate) async fn subscription_ids(&self, customer_id: &Id) -> Result<Vec<Id>, StoreError> {
        let _permit = self.permit(1).await;
        self.store.subscription_ids(customer_id).await
    }

    pub(crate) async fn scope(&self, customer_id: &Id, resource_id: &Id) -> Result<ScopeRegisters, StoreError> {
        let _permit = self.permit(1).await;
        Ok(self.store.scope(customer_id, Some(resource_id)).await?.1)
    }

    pub(crate) async fn resources(&self, customer_id: &Id) -> Result<BTreeMap<Id, ScopeRegisters>, StoreError> {
        let _permit = self.permit(1).await;
        self.store.resources(customer_id).await
    }

    pub(crate) async fn access_view(&self, request: &AccessRequest) -> Result<AccessView, StoreError> {
        let _permit = self.permit(1).await;
        self.store.access_view(request).await
    }

    pub(crate) async fn customers_by_email(&self, email: &str, limit: usize) -> Result<Vec<Id>, StoreError> {
        let _permit = self.permit(1).await;
        self.store.customers_by_email(email, limit).await
    }

    pub(crate) async fn customers_by_billing_id(&self, billing_id: &str, limit: usize) -> Result<Vec<Id>, StoreError> {
        let _permit = self.permit(1).await;
        self.store.customers_by_billing_id(billing_id, limit).await
    }

    pub(crate) async fn query_index(
        &self,
        index: Index,
        shard: u8,
        range: &SortKeyRange,
        descending: bool,
        limit: usize,
    ) -> Result<IndexPage, StoreError> {
        let _permit = self.permit(1).await;
        self.store.query_index(index, shard, range, descending, limit).await
    }

    /// The number of rows of a list; None if it is above `limit`.
    pub(crate) async fn count(&self, index: Index, limit: u64) -> Result<Option<u64>, ApiError> {
        let count = {
            let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(counts.entry(index).or_default())
        };
        let read = || async {
            let total = &AtomicU64::new(0);
            let shards = (0..SHARDS).map(|shard| async move {
                let _permit = self.permit(1).await;
                self.store.count(index, shard, total, limit).await
            });
            try_join_all(shards).await?;
            Ok(Some(total.load(Ordering::Relaxed)).filter(|total| *total <= limit))
        };
        count.get_or_init(read).await.clone()
    }
}
