//! A reconciliation: a first look at everything and a second at what differs, neither of which writes; then, with `--fix`,
//! the guard, and the writes last.

use std::{
    collections::HashSet,
    sync::atomic::AtomicU64,
    time::{Duration, Instant},
};

use domain::id::Id;
use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use store::{Index, IndexEntry, SHARDS, SortKeyRange};

use super::{ReconcileError, Settings, Summary, Totals, in_words};
use crate::{
    guard::{TooMany, hash, remember_environment},
    mirror::{Difference, Found, How, Mended, Mirror, Mode, Progress, Whole, extra_customer},
    report::Report,
    stigg::Records,
};

/// How many customers that differ are gathered for a second look.
const SUSPECTS: usize = 1_000;

/// How many entries of a list are read at once.
const PAGE_ENTRIES: usize = 1_000;

/// The most customers of the replica that are counted.
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
    settings.guards.recognize(&mirror.stigg, &mirror.store).await?;
    let mut run = Run {
        mirror: &mirror,
        fix,
        settings,
        report,
        totals: Totals::default(),
        suspects: Vec::new(),
        looked_at: HashSet::new(),
        held: None,
        to_mend: Vec::new(),
        unknown: Vec::new(),
        doubtful: 0,
    };
    match customer {
        Some(customer) => {
            run.totals.customers = 1;
            run.suspects.push(customer.clone());
            run.look_again(Duration::ZERO).await?;
        }
        None => run.all().await?,
    }
    if fix {
        run.fix(customer.is_none()).await?;
    }
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
    /// How many customers the replica has; None if they were not counted.
    held: Option<u64>,
    /// With `--fix`, the customers that differ at the second look, and what was found.
    to_mend: Vec<(Id, Found)>,
    /// Likewise the customers that Stigg does not know, and when it did not.
    unknown: Vec<(Id, Timestamp)>,
    /// Other customers for which Stigg answered 404, as for all that it was asked for.
    doubtful: usize,
}

impl Run<'_> {
    async fn all(&mut self) -> Result<(), ReconcileError> {
        // A hash of each id, eight bytes: what Stigg lists.
        let mut customers: Vec<u64> = Vec::new();
        let mut subscriptions: Vec<u64> = Vec::new();
        let held = self.count().await?;
        self.held = Some(held);
        let held = Some(held).filter(|held| (1..=COUNTED).contains(held));
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

    /// How many customers the replica has, up to [`COUNTED`] and a few more: for the time left, and the guard's share.
    async fn count(&self) -> Result<u64, ReconcileError> {
        let total = AtomicU64::new(0);
        for shard in 0..SHARDS {
            self.mirror.store.count(Index::Customers, shard, &total, COUNTED).await?;
        }
        Ok(total.into_inner())
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

    /// Looks at the suspects again, each whole, and tells what still differs; with `--fix`, keeps it until it is clear
    /// whether it may be mended.
    async fn look_again(&mut self, settle: Duration) -> Result<(), ReconcileError> {
        let looked_at = &mut self.looked_at;
        let mut suspects = std::mem::take(&mut self.suspects);
        suspects.retain(|id| looked_at.insert(hash(id)));
        if suspects.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(settle).await;
        let mirror = self.mirror.again(Mode::Look);
        let looks = suspects.into_iter().map(async |id| {
            let whole = mirror.whole_customer(&id).await;
            (id, whole)
        });
        let mut looks = stream::iter(looks).buffer_unordered(self.settings.concurrency);
        while let Some((id, whole)) = looks.next().await {
            let Whole { found, unknown_at } = whole?;
            match unknown_at {
                Some(at) if self.fix => self.unknown.push((id, at)),
                Some(_) => self.tell_difference(&extra_customer(&id))?,
                None if self.fix && !found.differences.is_empty() => self.to_mend.push((id, found)),
                None if found.is_doubtful => {
                    self.doubtful += 1;
                    self.tell(&found)?;
                }
                None => self.tell(&found)?,
            }
        }
        Ok(())
    }

    /// Mends what was found, unless the guard speaks; then nothing is written.
    async fn fix(&mut self, is_of_all: bool) -> Result<(), ReconcileError> {
        let (to_mend, unknown) = (std::mem::take(&mut self.to_mend), std::mem::take(&mut self.unknown));
        if let Err(too_many) = self.guard(&to_mend, &unknown) {
            eprintln!("byos: {too_many}");
            for (_, found) in &to_mend {
                self.tell(found)?;
            }
            for (customer_id, _) in &unknown {
                self.tell_difference(&extra_customer(customer_id))?;
            }
            return Ok(());
        }
        let mirror = self.mirror.again(Mode::Mend);
        if is_of_all {
            remember_environment(&mirror.stigg, &mirror.store).await?;
        }
        let mend = |(id, _): (Id, Found)| async {
            let whole = mirror.whole_customer(&id).await;
            (id, whole)
        };
        let mut mended = stream::iter(to_mend).map(mend).buffer_unordered(self.settings.concurrency);
        while let Some((id, whole)) = mended.next().await {
            let Whole { found, unknown_at } = whole?;
            self.tell(&found)?;
            if unknown_at.is_some() {
                // Since the second look: the next run's matter, since the guard did not count it.
                self.tell_difference(&extra_customer(&id))?;
            }
        }
        for (customer_id, at) in unknown {
            let found = mirror.delete_unknown(&customer_id, at).await?;
            self.tell(&found)?;
        }
        Ok(())
    }

    /// Whether so many customers may go or lose a subscription. A single customer always may.
    fn guard(&self, to_mend: &[(Id, Found)], unknown: &[(Id, Timestamp)]) -> Result<(), TooMany> {
        let Some(held) = self.held else { return Ok(()) };
        let is_losing = |(_, found): &&(Id, Found)| found.has_deletion() || found.is_doubtful;
        let losing = unknown.len() + self.doubtful + to_mend.iter().filter(is_losing).count();
        self.settings.guards.check(losing as u64, held)
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
