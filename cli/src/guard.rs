//! Guards against writing with a key of another Stigg environment.
//!
//! Two independent guards, and each blocks every write:
//!
//! - **Witnesses.** Stigg's API does not return the environment of a key. The replica stores some customers with their
//!   creation times, and the API must return one of them unchanged.
//! - **Share of deletions.** Applies also without witnesses, and against mistakes in the right environment.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use clap::Args;
use domain::id::Id;
use jiff::Timestamp;
use serde_json::Value;
use store::{Index, SHARDS, SortKeyRange, Store, StoreError, Witness, Witnesses};

use crate::{
    report::Report,
    stigg::{CustomerRecord, Page, Records, Stigg, StiggError},
    sync::{Fatal, Synchronizer},
};

/// One in this many of the replica's customers may be deleted without `--max-deletions`.
const DELETION_SHARE: u64 = 20;

/// Deletions that are always allowed.
const ALWAYS_ALLOWED: u64 = 2;

const WITNESSES: usize = 8;

/// Index entries read per request.
const PAGE_ENTRIES: usize = 1_000;

/// Options that override the guards.
#[derive(Args, Clone, Debug, Default)]
pub struct Guards {
    /// Maximum number of customers that may be deleted or lose a subscription; if there are more, nothing is written [default: 5 % of the replica's customers, at least 2]
    #[arg(long, value_name = "N")]
    pub max_deletions: Option<u64>,

    /// Continue although the key belongs to another environment than the last import, and store the new environment
    #[arg(long)]
    pub accept_environment: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    #[error(
        "the key belongs to another environment than the replica: Stigg does not return the customers of the last import. \
         Nothing was written. To switch the replica to this environment, add --accept-environment"
    )]
    OtherEnvironment,
    #[error(transparent)]
    TooManyDeletions(#[from] TooManyDeletions),
    #[error(transparent)]
    Fatal(#[from] Fatal),
}

impl From<StoreError> for GuardError {
    fn from(error: StoreError) -> Self {
        Self::Fatal(error.into())
    }
}

impl From<StiggError> for GuardError {
    fn from(error: StiggError) -> Self {
        Self::Fatal(Fatal::Stigg(error))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{affected} of {total} customers of the replica would be deleted or lose a subscription, since Stigg does not know them or \
     has archived them; at most {allowed} may. Nothing was written. Check that the key belongs to the replica's environment. \
     To delete them, add --max-deletions {affected}"
)]
pub struct TooManyDeletions {
    /// Customers that would be deleted or lose a subscription.
    pub affected: u64,
    /// The replica's customers.
    pub total: u64,
    pub allowed: u64,
}

impl Guards {
    /// Checks the number of customers that would be deleted or lose a subscription, of the replica's `total`.
    pub fn check(&self, affected: u64, total: u64) -> Result<(), TooManyDeletions> {
        let allowed = self.max_deletions.unwrap_or((total / DELETION_SHARE).max(ALWAYS_ALLOWED));
        if affected > allowed { Err(TooManyDeletions { affected, total, allowed }) } else { Ok(()) }
    }

    /// Checks that the API belongs to the replica's environment, if the replica has witnesses.
    pub async fn recognize(&self, stigg: &Stigg, store: &Store) -> Result<(), GuardError> {
        let witnesses = if self.accept_environment { None } else { store.environment().await?.witnesses };
        let Some(Witnesses { read_at, customers }) = witnesses else { return Ok(()) };
        let mut is_contradicted = false;
        for witness in customers {
            match check_witness(stigg.record(Records::Customers, witness.customer_id.as_str()).await, &witness, read_at)? {
                WitnessCheck::Confirmed => return Ok(()),
                WitnessCheck::Contradicted => is_contradicted = true,
                WitnessCheck::Inconclusive => {}
            }
        }
        if is_contradicted { Err(GuardError::OtherEnvironment) } else { Ok(()) }
    }

    /// Before an import writes: checks that the API belongs to the replica's environment and has the replica's customers.
    /// Then stores witnesses.
    pub async fn before_import(&self, synchronizer: &Synchronizer, report: &mut Report) -> Result<(), GuardError> {
        let Synchronizer { stigg, store, .. } = synchronizer;
        self.recognize(stigg, store).await?;
        // Read before Stigg's pages, which may lack a customer that is created in the meantime.
        let replica_customers = live_customers(store).await?;
        let mut page = stigg.page(Records::Customers, None, None).await?;
        let witnesses = witnesses(&page);
        if !replica_customers.is_empty() {
            report.begin("pages of customers, before anything is written", None);
            let mut stigg_customers = live_on_page(&page);
            while let Some(next) = page.next {
                page = stigg.page(Records::Customers, None, Some(&next)).await?;
                stigg_customers.extend(live_on_page(&page));
                report.step();
            }
            stigg_customers.sort_unstable();
            let missing = replica_customers.iter().filter(|id| stigg_customers.binary_search(id).is_err()).count();
            self.check(missing as u64, replica_customers.len() as u64)?;
        }
        replace_witnesses(store, witnesses).await
    }
}

/// Stores witnesses of the API's environment.
pub async fn store_witnesses(stigg: &Stigg, store: &Store) -> Result<(), GuardError> {
    replace_witnesses(store, witnesses(&stigg.page(Records::Customers, None, None).await?)).await
}

/// Keeps the stored witnesses if there are no new ones.
async fn replace_witnesses(store: &Store, witnesses: Witnesses) -> Result<(), GuardError> {
    if !witnesses.customers.is_empty() {
        store.replace_witnesses(&witnesses).await?;
    }
    Ok(())
}

enum WitnessCheck {
    /// The API returns it unchanged.
    Confirmed,
    /// The API does not know it, or it has another creation time, which is not after the replica read it.
    Contradicted,
    /// It was recreated later, or can't be read.
    Inconclusive,
}

fn check_witness(
    response: Result<(Option<Value>, Timestamp), StiggError>,
    witness: &Witness,
    read_at: Timestamp,
) -> Result<WitnessCheck, StiggError> {
    let record = match response {
        Ok((Some(record), _)) => record,
        Ok((None, _)) => return Ok(WitnessCheck::Contradicted),
        Err(error) if error.is_fatal() => return Err(error),
        Err(_) => return Ok(WitnessCheck::Inconclusive),
    };
    Ok(match CustomerRecord::read(&record).ok().and_then(|record| record.created_at) {
        Some(created_at) if created_at == witness.created_at => WitnessCheck::Confirmed,
        Some(created_at) if created_at <= read_at => WitnessCheck::Contradicted,
        _ => WitnessCheck::Inconclusive,
    })
}

fn records(page: &Page) -> impl Iterator<Item = CustomerRecord> {
    page.records.iter().filter_map(|record| CustomerRecord::read(record).ok())
}

/// Hashes of the ids of live customers on a page.
fn live_on_page(page: &Page) -> Vec<u64> {
    records(page).filter(|record| !record.is_archived).map(|record| hash(&record.id)).collect()
}

/// Witnesses from a page. Live customers first, since Stigg may remove archived ones.
fn witnesses(page: &Page) -> Witnesses {
    let mut records: Vec<CustomerRecord> = records(page).collect();
    records.sort_by_key(|record| record.is_archived);
    let witness = |record: CustomerRecord| Some(Witness { created_at: record.created_at?, customer_id: record.id });
    Witnesses { read_at: page.read_at, customers: records.into_iter().filter_map(witness).take(WITNESSES).collect() }
}

/// Hashes of the ids of the replica's live customers.
async fn live_customers(store: &Store) -> Result<Vec<u64>, StoreError> {
    let mut ids = Vec::new();
    for shard in 0..SHARDS {
        let mut range = SortKeyRange::default();
        loop {
            let page = store.query_index(Index::Customers, shard, &range, false, PAGE_ENTRIES).await?;
            ids.extend(page.entries.iter().map(|entry| hash(&entry.id)));
            range.above = page.entries.last().map(|entry| entry.sort.clone());
            if !page.has_more {
                break;
            }
        }
    }
    Ok(ids)
}

/// A hash of an id, since the ids of all customers are kept in memory. If two ids share a hash, one extra customer goes
/// unnoticed.
pub fn hash(id: &Id) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_percent_of_the_customers_may_be_deleted_and_always_two() {
        let guards = Guards::default();
        for (affected, total, is_allowed) in
            [(2, 0, true), (2, 2, true), (3, 59, false), (3, 60, true), (4, 60, false), (5_001, 100_000, false)]
        {
            assert_eq!(guards.check(affected, total).is_ok(), is_allowed, "{affected} of {total}");
        }
        let none = Guards { max_deletions: Some(0), ..Guards::default() };
        assert!(none.check(1, 1_000).is_err() && none.check(0, 1_000).is_ok());
    }
}
