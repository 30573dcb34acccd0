//! When a 404 counts as "Stigg does not know it": only if another record of the replica was found in the same run. A
//! wrong address answers every request with 404.

use std::sync::OnceLock;

use domain::id::Id;
use store::{Index, SHARDS, SortKeyRange};
use tokio::sync::OnceCell;

use super::{SyncError, Synchronizer};
use crate::stigg::Records;

/// How many records of each shard are asked for until Stigg knows one.
const CANDIDATES: usize = 5;

/// What a run knows of the replica's records at Stigg, by kind.
#[derive(Debug, Default)]
pub(super) struct Confirmations {
    customers: Confirmation,
    subscriptions: Confirmation,
}

#[derive(Debug, Default)]
struct Confirmation {
    /// A record of the replica that Stigg has listed.
    listed: OnceLock<Id>,
    /// Whether Stigg has found one of the replica's records by its id.
    is_confirmed: OnceCell<bool>,
}

impl Confirmations {
    fn of(&self, records: Records) -> &Confirmation {
        match records {
            Records::Subscriptions => &self.subscriptions,
            Records::Customers => &self.customers,
        }
    }

    /// Notes a record of the replica that Stigg lists.
    pub(super) fn note(&self, records: Records, id: &Id) {
        self.of(records).listed.get_or_init(|| id.clone());
    }
}

impl Synchronizer {
    /// Whether a 404 counts: Stigg finds another record of this kind that the replica has, by the same kind of request.
    /// Asks once a run.
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
