//! Decides whether a 404 means that Stigg does not have a record: only if another record of the replica was found in the
//! same run, since a wrong address answers every request with 404.

use std::sync::OnceLock;

use domain::id::Id;
use store::{Index, SHARDS, SortKeyRange};
use tokio::sync::OnceCell;

use super::{SyncError, Synchronizer};
use crate::stigg::Records;

/// Maximum number of records requested per shard.
const CANDIDATES: usize = 5;

#[derive(Debug, Default)]
pub(super) struct Confirmations {
    customers: Confirmation,
    subscriptions: Confirmation,
}

#[derive(Debug, Default)]
struct Confirmation {
    /// A record of the replica that Stigg lists.
    listed: OnceLock<Id>,
    /// Whether Stigg returns one of the replica's records by id.
    is_confirmed: OnceCell<bool>,
}

impl Confirmations {
    fn of(&self, records: Records) -> &Confirmation {
        match records {
            Records::Subscriptions => &self.subscriptions,
            Records::Customers => &self.customers,
        }
    }

    pub(super) fn note(&self, records: Records, id: &Id) {
        self.of(records).listed.get_or_init(|| id.clone());
    }
}

impl Synchronizer {
    /// Whether Stigg returns another record of this kind by the same kind of request. Evaluated once per run.
    pub(super) async fn is_not_found_reliable(&self, records: Records) -> Result<bool, SyncError> {
        self.confirmations.of(records).is_confirmed.get_or_try_init(|| self.finds_any_record(records)).await.copied()
    }

    async fn finds_any_record(&self, records: Records) -> Result<bool, SyncError> {
        let mut candidates: Vec<Id> = self.confirmations.of(records).listed.get().cloned().into_iter().collect();
        let index = match records {
            Records::Subscriptions => Index::Subscriptions,
            Records::Customers => Index::Customers,
        };
        for shard in 0..SHARDS {
            let page = self.store.query_index(index, shard, &SortKeyRange::default(), false, CANDIDATES).await?;
            candidates.extend(page.entries.into_iter().map(|entry| entry.id));
        }
        for id in candidates {
            if self.stigg.record(records, id.as_str()).await?.0.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
