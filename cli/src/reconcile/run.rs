//! A reconciliation: a first look at all, a second at what differs, and what Stigg does not know last.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::atomic::AtomicU64,
    time::{Duration, Instant},
};

use domain::id::Id;
use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use store::{Index, IndexEntry, SHARDS, SortKeyRange};

use super::{ReconcileError, Settings, Summary, Totals, in_words};
use crate::{
    mirror::{Difference, Found, How, Mended, Mirror, Mode, Progress, Whole, extra_customer},
    report::Report,
    stigg::Records,
};

/// How many customers that differ are gathered for a second look.
const SUSPECTS: usize = 1_000;

/// How many entries of a list are read at once.
const PAGE_ENTRIES: usize = 1_000;

/// The most customers of the replica that are counted for the time left.
const COUNTED: u64 = 1_000_000;

/// Reconciles, and tells what it found.
///
/// # Errors
/// See [`ReconcileError`].
pub async fn run(
    mirror: Mirror,
    fix: bool,
    settings: Settings,
    customer: Option<&Id>,
    report: Report,
) -> Result<Totals, ReconcileError> {
    let begun = Instant::now();
    let mut run = Run {
        mirror: &mirror,
        fix,
        settings,
        report,
        totals: Totals::default(),
        suspects: Vec::new(),
        looked_at: HashSet::new(),
        unknown: Vec::new(),
        is_refusing: false,
    };
    match customer {
        Some(customer) => {
            run.totals.customers = 1;
            run.suspects.push(customer.clone());
            run.look_again(Duration::ZERO).await?;
        }
        None => run.all().await?,
    }
    run.delete_unknown().await?;
    let asked = mirror.stigg.counts();
    let Run { mut report, totals, .. } = run;
    let summary = Summary {
        totals: &totals,
        calls: asked.calls,
        throttled: asked.throttled,
        failed: asked.failed,
        seconds: begun.elapsed().as_secs_f64(),
    };
    report.summary(&summary, || in_words(&summary))?;
    Ok(totals)
}

struct Run<'a> {
    mirror: &'a Mirror,
    fix: bool,
    settings: Settings,
    report: Report,
    totals: Totals,
    /// Customers that differ at the first look.
    suspects: Vec<Id>,
    /// The customers that were looked at again, as hashes: once is enough.
    looked_at: HashSet<u64>,
    /// Customers that Stigg does not know, and when it did not.
    unknown: Vec<(Id, Timestamp)>,
    /// There are too many of them.
    is_refusing: bool,
}

impl Run<'_> {
    async fn all(&mut self) -> Result<(), ReconcileError> {
        // A hash of each id, eight bytes: what Stigg lists. Should two ids share one, an extra one goes
        // unnoticed, and nothing worse.
        let mut customers: Vec<u64> = Vec::new();
        let mut subscriptions: Vec<u64> = Vec::new();
        let held = self.count().await?;
        self.report.begin("customers", held);
        self.first_look(Records::Customers, &mut customers).await?;
        self.report.begin("subscriptions", None);
        self.first_look(Records::Subscriptions, &mut subscriptions).await?;
        self.report.begin("the replica's own", held);
        customers.sort_unstable();
        subscriptions.sort_unstable();
        self.what_else(Index::Customers, &customers).await?;
        self.what_else(Index::Subscriptions, &subscriptions).await?;
        self.look_again(self.settings.settle).await
    }

    /// How many customers the replica has, for the time left.
    async fn count(&self) -> Result<Option<u64>, ReconcileError> {
        let total = AtomicU64::new(0);
        for shard in 0..SHARDS {
            self.mirror.store.count(Index::Customers, shard, &total, COUNTED).await?;
        }
        Ok(Some(total.into_inner()).filter(|total| (1..=COUNTED).contains(total)))
    }

    async fn first_look(&mut self, records: Records, listed: &mut Vec<u64>) -> Result<(), ReconcileError> {
        let (mirror, concurrency) = (self.mirror, self.settings.concurrency);
        let on = async |progress: Progress| -> Result<(), ReconcileError> {
            match progress {
                Progress::Record { ids, found } => {
                    self.report.step();
                    match records {
                        Records::Customers => self.totals.customers += 1,
                        Records::Subscriptions | Records::Plans => self.totals.subscriptions += 1,
                    }
                    match ids {
                        Some((id, customer_id)) => {
                            listed.push(hash(&id));
                            self.note(customer_id, found)
                        }
                        None => self.tell(&found),
                    }
                }
                Progress::Page { .. } if self.suspects.len() >= SUSPECTS => self.look_again(self.settings.settle).await,
                Progress::Page { .. } => Ok(()),
            }
        };
        mirror.walk(records, None, concurrency, on).await
    }

    /// Takes what the first look at a record came to: what differs is looked at again.
    fn note(&mut self, customer_id: Id, found: Found) -> Result<(), ReconcileError> {
        if !found.differences.is_empty() || !found.skipped.is_empty() {
            self.suspects.push(customer_id);
            return Ok(());
        }
        self.tell(&found)
    }

    /// Looks at the suspects again, each whole, and mends what still differs if that is asked for.
    async fn look_again(&mut self, settle: Duration) -> Result<(), ReconcileError> {
        let looked_at = &mut self.looked_at;
        let mut suspects = std::mem::take(&mut self.suspects);
        suspects.retain(|id| looked_at.insert(hash(id)));
        if suspects.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(settle).await;
        let mirror = self.mirror.again(if self.fix { Mode::Mend } else { Mode::Look });
        let looks = suspects.into_iter().map(async |id| {
            let whole = mirror.whole_customer(&id).await;
            (id, whole)
        });
        let mut looks = stream::iter(looks).buffer_unordered(self.settings.concurrency);
        while let Some((id, whole)) = looks.next().await {
            let Whole { found, unknown_at } = whole?;
            self.tell(&found)?;
            if let Some(at) = unknown_at {
                self.unknown(id, at)?;
            }
        }
        Ok(())
    }

    /// Keeps a customer that Stigg does not know until it is clear how many there are.
    fn unknown(&mut self, customer_id: Id, at: Timestamp) -> Result<(), ReconcileError> {
        self.unknown.push((customer_id, at));
        if !self.fix || self.is_refusing || self.unknown.len() > self.settings.max_deletions {
            self.is_refusing = self.fix;
            for (customer_id, _) in std::mem::take(&mut self.unknown) {
                self.tell_difference(&extra_customer(&customer_id))?;
            }
        }
        Ok(())
    }

    /// Deletes the customers that Stigg does not know, unless there are too many: so many missing at
    /// once are rather a key of another environment.
    async fn delete_unknown(&mut self) -> Result<(), ReconcileError> {
        if self.is_refusing {
            eprintln!(
                "byos: Stigg does not know more than {} customers of the replica, so none was deleted: is the key one of the same \
                 environment? If it is, raise --max-deletions",
                self.settings.max_deletions
            );
        }
        for (customer_id, at) in std::mem::take(&mut self.unknown) {
            let found = self.mirror.delete_unknown(&customer_id, at).await?;
            self.tell(&found)?;
        }
        Ok(())
    }

    /// Goes through a list of the replica's for what Stigg did not list.
    async fn what_else(&mut self, index: Index, listed: &[u64]) -> Result<(), ReconcileError> {
        let store = &self.mirror.store;
        for shard in 0..SHARDS {
            let mut range = SortKeyRange::default();
            loop {
                let page = store.query_index(index, shard, &range, false, PAGE_ENTRIES).await?;
                let beside: Vec<Id> = page
                    .entries
                    .iter()
                    .map(|entry| &entry.id)
                    .filter(|id| listed.binary_search(&hash(id)).is_err())
                    .cloned()
                    .collect();
                for _ in &page.entries {
                    self.report.step();
                }
                let customers = match index {
                    Index::Subscriptions => {
                        let rows = store.subscriptions(&beside).await?;
                        rows.iter().filter_map(|row| row.registers.customer_id().cloned()).collect()
                    }
                    _ => beside,
                };
                self.suspects.extend(customers);
                if self.suspects.len() >= SUSPECTS {
                    self.look_again(self.settings.settle).await?;
                }
                range.above = page.entries.last().map(|IndexEntry { sort, .. }| sort.clone());
                if !page.has_more {
                    break;
                }
            }
        }
        Ok(())
    }

    fn tell(&mut self, found: &Found) -> Result<(), ReconcileError> {
        for difference in &found.differences {
            self.tell_difference(difference)?;
        }
        for skipped in &found.skipped {
            self.totals.skipped += 1;
            self.report.skipped(skipped)?;
        }
        self.totals.lists += found.lists;
        self.totals.usage_drift += found.drift;
        Ok(())
    }

    fn tell_difference(&mut self, difference: &Difference) -> Result<(), ReconcileError> {
        match difference.difference {
            How::Missing => self.totals.missing += 1,
            How::Extra => self.totals.extra += 1,
            How::Differs => self.totals.differing += 1,
        }
        self.totals.mended += u64::from(difference.mended == Mended::Yes);
        Ok(self.report.difference(difference)?)
    }
}

fn hash(id: &Id) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}
