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
    /// Maximum number of customers that may be deleted or lose a subscription; above it nothing is written [5 % of the replica's customers, at least 2]
    #[arg(long, value_name = "N")]
    pub max_deletions: Option<u64>,

    /// Continue although the key is of another environment than the last import's, and store the new one
    #[arg(long)]
    pub accept_environment: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    #[error(
        "the key is of another environment than the replica: Stigg does not return the customers of the last import. Nothing \
         was written. To switch the replica to this environment, add --accept-environment"
    )]
    OtherEnvironment,
    #[error(transparent)]
    TooMany(#[from] TooMany),
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

/// More customers would go than may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "Stigg does not know, or has archived, {losing} of {held} customers of the replica, or subscriptions of theirs, and at most \
     {allowed} may go: nothing was written. Is the key one of the replica's environment? If they are to go, add \
     --max-deletions {losing}"
)]
pub struct TooMany {
    /// Customers that would go or lose a subscription.
    pub losing: u64,
    /// Customers of the replica.
    pub held: u64,
    /// How many may.
    pub allowed: u64,
}

impl Guards {
    /// Whether so many of the replica's customers may go or lose a subscription.
    ///
    /// # Errors
    /// If they may not.
    pub fn check(&self, losing: u64, held: u64) -> Result<(), TooMany> {
        let allowed = self.max_deletions.unwrap_or((held / DELETION_SHARE).max(ALWAYS_ALLOWED));
        if losing > allowed { Err(TooMany { losing, held, allowed }) } else { Ok(()) }
    }

    /// Makes sure that the API is of the environment that the replica remembers, if it remembers one.
    pub async fn recognize(&self, stigg: &Stigg, store: &Store) -> Result<(), GuardError> {
        let witnesses = if self.accept_environment { None } else { store.environment().await?.witnesses };
        let Some(Witnesses { read_at, customers }) = witnesses else { return Ok(()) };
        let mut is_contradicted = false;
        for witness in customers {
            match check_witness(stigg.record(Records::Customers, witness.customer_id.as_str()).await, &witness, read_at)? {
                WitnessCheck::Same => return Ok(()),
                WitnessCheck::Other => is_contradicted = true,
                WitnessCheck::None => {}
            }
        }
        if is_contradicted { Err(GuardError::OtherEnvironment) } else { Ok(()) }
    }

    /// Makes sure, before an import writes, that the API is of the replica's environment and shows the replica's
    /// customers; then remembers the environment.
    pub async fn before_import(&self, synchronizer: &Synchronizer, report: &mut Report) -> Result<(), GuardError> {
        let Synchronizer { stigg, store, .. } = synchronizer;
        self.recognize(stigg, store).await?;
        // Before Stigg is asked: a customer that is created meanwhile need not be on its pages.
        let held = held(store).await?;
        let mut page = stigg.page(Records::Customers, None, None).await?;
        let witnesses = witnesses(&page);
        if !held.is_empty() {
            report.begin("pages of customers, before anything is written", None);
            let mut listed = live(&page);
            while let Some(next) = page.next {
                page = stigg.page(Records::Customers, None, Some(&next)).await?;
                listed.extend(live(&page));
                report.step();
            }
            listed.sort_unstable();
            let losing = held.iter().filter(|id| listed.binary_search(id).is_err()).count();
            self.check(losing as u64, held.len() as u64)?;
        }
        remember(store, witnesses).await
    }
}

/// Remembers the environment that the API shows.
pub async fn remember_environment(stigg: &Stigg, store: &Store) -> Result<(), GuardError> {
    remember(store, witnesses(&stigg.page(Records::Customers, None, None).await?)).await
}

async fn remember(store: &Store, witnesses: Witnesses) -> Result<(), GuardError> {
    if !witnesses.customers.is_empty() {
        store.replace_witnesses(&witnesses).await?;
    }
    Ok(())
}

/// What the API says of a witness.
enum WitnessCheck {
    /// It is as it was.
    Same,
    /// It is unknown, or was created at another time before the replica saw it.
    Other,
    /// It was created anew since, or can't be read.
    None,
}

fn check_witness(
    answer: Result<(Option<Value>, Timestamp), StiggError>,
    witness: &Witness,
    seen_at: Timestamp,
) -> Result<WitnessCheck, StiggError> {
    let record = match answer {
        Ok((Some(record), _)) => record,
        Ok((None, _)) => return Ok(WitnessCheck::Other),
        Err(error) if error.is_fatal() => return Err(error),
        Err(_) => return Ok(WitnessCheck::None),
    };
    Ok(match CustomerRecord::read(&record).ok().and_then(|record| record.created_at) {
        Some(created_at) if created_at == witness.created_at => WitnessCheck::Same,
        Some(created_at) if created_at <= seen_at => WitnessCheck::Other,
        _ => WitnessCheck::None,
    })
}

fn records(page: &Page) -> impl Iterator<Item = CustomerRecord> {
    page.records.iter().filter_map(|record| CustomerRecord::read(record).ok())
}

/// Hashes of the ids of the live customers on a page.
fn live(page: &Page) -> Vec<u64> {
    records(page).filter(|record| !record.is_archived).map(|record| hash(&record.id)).collect()
}

/// Witnesses from a page; live customers first, since archived ones may be forgotten sooner.
fn witnesses(page: &Page) -> Witnesses {
    let mut records: Vec<CustomerRecord> = records(page).collect();
    records.sort_by_key(|record| record.is_archived);
    let witness = |record: CustomerRecord| Some(Witness { created_at: record.created_at?, customer_id: record.id });
    Witnesses { read_at: page.read_at, customers: records.into_iter().filter_map(witness).take(WITNESSES).collect() }
}

/// Hashes of the ids of the replica's live customers.
async fn held(store: &Store) -> Result<Vec<u64>, StoreError> {
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
    fn one_customer_in_twenty_may_go_and_two_of_any_number() {
        let guards = Guards::default();
        for (losing, held, may) in
            [(2, 0, true), (2, 2, true), (3, 59, false), (3, 60, true), (4, 60, false), (5_001, 100_000, false)]
        {
            assert_eq!(guards.check(losing, held).is_ok(), may, "{losing} of {held}");
        }
        let none = Guards { max_deletions: Some(0), ..Guards::default() };
        assert!(none.check(1, 1_000).is_err() && none.check(0, 1_000).is_ok());
    }
}
