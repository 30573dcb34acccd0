//! A reconciliation: a first pass over everything and a second over differences, both read-only; then, with `--fix`, the
//! guard and the writes.

use std::{
    collections::HashSet,
    sync::atomic::AtomicU64,
    time::{Duration, Instant},
};

use domain::id::Id;
use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use store::{Index, IndexEntry, SHARDS, SortKeyRange};

use super::{ReconcileError, Settings, Summary, Totals, summary_text};
use crate::{
    guard::{TooManyDeletions, hash, store_witnesses},
    report::Report,
    stigg::Records,
    sync::{Comparison, Difference, DifferenceKind, FixStatus, InspectedCustomer, Mode, Progress, Synchronizer, extra_customer},
};

/// Number of customers with differences that starts a second pass.
const MAX_SUSPECTS: usize = 1_000;

/// Index entries read per request.
const PAGE_ENTRIES: usize = 1_000;

/// The replica's customers are counted up to about this number.
const MAX_COUNTED: u64 = 1_000_000;

pub async fn run(
    synchronizer: Synchronizer,
    fix: bool,
    settings: Settings,
    customer: Option<&Id>,
    report: Report,
) -> Result<Totals, ReconcileError> {
    let start = Instant::now();
    settings.guards.recognize(&synchronizer.stigg, &synchronizer.store).await?;
    let mut run = Run {
        synchronizer: &synchronizer,
        fix,
        settings,
        report,
        totals: Totals::default(),
        suspects: Vec::new(),
        rechecked: HashSet::new(),
        replica_customers: None,
        to_fix: Vec::new(),
        unknown: Vec::new(),
        unconfirmed: 0,
        not_compared: None,
    };
    match customer {
        Some(customer) => {
            run.totals.customers = 1;
            run.suspects.push(customer.clone());
            run.second_pass(Duration::ZERO).await?;
            if let Some(reason) = run.not_compared {
                return Err(ReconcileError::NotCompared { customer_id: customer.clone(), reason });
            }
        }
        None => run.all().await?,
    }
    if fix {
        run.fix(customer.is_none()).await?;
    }
    let requests = synchronizer.stigg.counts();
    let Run { mut report, totals, .. } = run;
    let summary = Summary {
        totals: &totals,
        calls: requests.calls,
        throttled: requests.throttled,
        failed: requests.failed,
        seconds: start.elapsed().as_secs_f64(),
    };
    report.summary(&summary, || summary_text(&summary))?;
    Ok(totals)
}

struct Run<'a> {
    synchronizer: &'a Synchronizer,
    fix: bool,
    settings: Settings,
    report: Report,
    totals: Totals,
    /// Customers with differences in the first pass.
    suspects: Vec<Id>,
    /// Hashes of the customers that had their second pass.
    rechecked: HashSet<u64>,
    /// Number of the replica's customers. None if they were not counted.
    replica_customers: Option<u64>,
    /// With `--fix`, the customers with differences in the second pass.
    to_fix: Vec<(Id, Comparison)>,
    /// With `--fix`, customers unknown to Stigg, and the time of its answer.
    unknown: Vec<(Id, Timestamp)>,
    /// Customers for which Stigg answered an unconfirmed 404.
    unconfirmed: usize,
    /// Why a customer was not compared completely. A run of one customer then has no result.
    not_compared: Option<String>,
}

impl Run<'_> {
    async fn all(&mut self) -> Result<(), ReconcileError> {
        // Hashes of the ids that Stigg lists, eight bytes each.
        let mut customers: Vec<u64> = Vec::new();
        let mut subscriptions: Vec<u64> = Vec::new();
        let count = self.count().await?;
        self.replica_customers = Some(count);
        let expected = Some(count).filter(|count| (1..=MAX_COUNTED).contains(count));
        self.report.begin("customers", expected);
        self.first_pass(Records::Customers, &mut customers).await?;
        self.report.begin("subscriptions", None);
        self.first_pass(Records::Subscriptions, &mut subscriptions).await?;
        self.report.begin("records of the replica", expected);
        customers.sort_unstable();
        subscriptions.sort_unstable();
        self.add_extra(Index::Customers, &customers).await?;
        self.add_extra(Index::Subscriptions, &subscriptions).await?;
        self.second_pass(self.settings.settle).await
    }

    /// Counts the replica's customers up to about [`MAX_COUNTED`], for the progress bar and the guard.
    async fn count(&self) -> Result<u64, ReconcileError> {
        let total = AtomicU64::new(0);
        for shard in 0..SHARDS {
            self.synchronizer.store.count(Index::Customers, shard, &total, MAX_COUNTED).await?;
        }
        Ok(total.into_inner())
    }

    async fn first_pass(&mut self, records: Records, listed: &mut Vec<u64>) -> Result<(), ReconcileError> {
        let (synchronizer, concurrency) = (self.synchronizer, self.settings.concurrency);
        let on_progress = async |progress: Progress| -> Result<(), ReconcileError> {
            match progress {
                Progress::Record { ids, comparison } => {
                    self.report.step();
                    match records {
                        Records::Customers => self.totals.customers += 1,
                        Records::Subscriptions => self.totals.subscriptions += 1,
                    }
                    match ids {
                        Some((id, customer_id)) => {
                            listed.push(hash(&id));
                            self.suspect_or_report(customer_id, comparison)
                        }
                        None => self.report_comparison(&comparison),
                    }
                }
                Progress::Page { .. } if self.suspects.len() >= MAX_SUSPECTS => self.second_pass(self.settings.settle).await,
                Progress::Page { .. } => Ok(()),
            }
        };
        synchronizer.compare_all(records, None, concurrency, on_progress).await
    }

    /// Queues a customer with differences for the second pass.
    fn suspect_or_report(&mut self, customer_id: Id, comparison: Comparison) -> Result<(), ReconcileError> {
        if !comparison.differences.is_empty() || !comparison.skipped.is_empty() {
            self.suspects.push(customer_id);
            return Ok(());
        }
        self.report_comparison(&comparison)
    }

    /// Compares the suspects again with all their data, and reports what still differs. With `--fix`, keeps the
    /// differences until the guard has decided.
    async fn second_pass(&mut self, settle: Duration) -> Result<(), ReconcileError> {
        let rechecked = &mut self.rechecked;
        let mut suspects = std::mem::take(&mut self.suspects);
        suspects.retain(|id| rechecked.insert(hash(id)));
        if suspects.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(settle).await;
        let synchronizer = self.synchronizer.with_mode(Mode::Compare);
        let inspections = suspects.into_iter().map(async |id| {
            let inspected = synchronizer.inspect_customer(&id).await;
            (id, inspected)
        });
        let mut inspections = stream::iter(inspections).buffer_unordered(self.settings.concurrency);
        while let Some((id, inspected)) = inspections.next().await {
            let InspectedCustomer { comparison, not_compared, unknown_at } = inspected?;
            self.not_compared = not_compared.or(self.not_compared.take());
            match unknown_at {
                Some(at) if self.fix => self.unknown.push((id, at)),
                Some(_) => self.report_difference(&extra_customer(&id))?,
                None if self.fix && !comparison.differences.is_empty() => self.to_fix.push((id, comparison)),
                None if comparison.is_unconfirmed => {
                    self.unconfirmed += 1;
                    self.report_comparison(&comparison)?;
                }
                None => self.report_comparison(&comparison)?,
            }
        }
        Ok(())
    }

    /// Fixes the differences; writes nothing if the guard refuses.
    async fn fix(&mut self, is_full_run: bool) -> Result<(), ReconcileError> {
        let (to_fix, unknown) = (std::mem::take(&mut self.to_fix), std::mem::take(&mut self.unknown));
        if let Err(error) = self.guard(&to_fix, &unknown) {
            eprintln!("byos: {error}");
            for (_, comparison) in &to_fix {
                self.report_comparison(comparison)?;
            }
            for (customer_id, _) in &unknown {
                self.report_difference(&extra_customer(customer_id))?;
            }
            return Ok(());
        }
        let synchronizer = self.synchronizer.with_mode(Mode::Fix);
        if is_full_run {
            store_witnesses(&synchronizer.stigg, &synchronizer.store).await?;
        }
        let fix = |(id, _): (Id, Comparison)| async {
            let inspected = synchronizer.inspect_customer(&id).await;
            (id, inspected)
        };
        let mut fixed = stream::iter(to_fix).map(fix).buffer_unordered(self.settings.concurrency);
        while let Some((id, inspected)) = fixed.next().await {
            let InspectedCustomer { comparison, unknown_at, .. } = inspected?;
            self.report_comparison(&comparison)?;
            if unknown_at.is_some() {
                // Unknown only since the second pass, so the guard did not count it: left to the next run.
                self.report_difference(&extra_customer(&id))?;
            }
        }
        for (customer_id, at) in unknown {
            let comparison = synchronizer.delete_unknown(&customer_id, at).await?;
            self.report_comparison(&comparison)?;
        }
        Ok(())
    }

    /// Checks the number of deletions. Not applied to a single customer.
    fn guard(&self, to_fix: &[(Id, Comparison)], unknown: &[(Id, Timestamp)]) -> Result<(), TooManyDeletions> {
        let Some(total) = self.replica_customers else { return Ok(()) };
        let is_affected = |(_, comparison): &&(Id, Comparison)| comparison.has_deletion() || comparison.is_unconfirmed;
        let affected = unknown.len() + self.unconfirmed + to_fix.iter().filter(is_affected).count();
        self.settings.guards.check(affected as u64, total)
    }

    /// Adds customers of the replica that Stigg does not list, or whose subscriptions it does not list, to the suspects.
    async fn add_extra(&mut self, index: Index, listed: &[u64]) -> Result<(), ReconcileError> {
        let store = &self.synchronizer.store;
        for shard in 0..SHARDS {
            let mut range = SortKeyRange::default();
            loop {
                let page = store.query_index(index, shard, &range, false, PAGE_ENTRIES).await?;
                let unlisted: Vec<Id> = page
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
                        let rows = store.subscriptions(&unlisted).await?;
                        rows.iter().filter_map(|row| row.registers.customer_id().cloned()).collect()
                    }
                    _ => unlisted,
                };
                self.suspects.extend(customers);
                if self.suspects.len() >= MAX_SUSPECTS {
                    self.second_pass(self.settings.settle).await?;
                }
                range.above = page.entries.last().map(|IndexEntry { sort, .. }| sort.clone());
                if !page.has_more {
                    break;
                }
            }
        }
        Ok(())
    }

    fn report_comparison(&mut self, comparison: &Comparison) -> Result<(), ReconcileError> {
        for difference in &comparison.differences {
            self.report_difference(difference)?;
        }
        for skipped in &comparison.skipped {
            self.totals.skipped += 1;
            self.report.skipped(skipped)?;
        }
        self.totals.lists += comparison.lists;
        self.totals.usage_drift += comparison.drift;
        Ok(())
    }

    fn report_difference(&mut self, difference: &Difference) -> Result<(), ReconcileError> {
        match difference.kind {
            DifferenceKind::Missing => self.totals.missing += 1,
            DifferenceKind::Extra => self.totals.extra += 1,
            DifferenceKind::Differs => self.totals.differing += 1,
        }
        self.totals.fixed += u64::from(difference.fixed == FixStatus::Yes);
        Ok(self.report.difference(difference)?)
    }
}
