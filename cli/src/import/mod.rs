//! `byos import`: fills the replica from Stigg's API.

mod checkpoint;

use std::{io, path::PathBuf, time::Instant};

use clap::Args;
use runtime::clock::Clock;
use serde::{Deserialize, Serialize};

pub use checkpoint::{Checkpoint, CheckpointError};

use crate::{
    consent::Consent,
    guard::{GuardError, Guards},
    outcome::ExitStatus,
    report::Report,
    stigg::{Key, KeyError, Options, Records, Stigg, StiggError},
    sync::{Comparison, Fatal, Mode, Progress, Synchronizer},
    target::{Target, TargetError},
};

/// Read all customers, subscriptions and entitlements from Stigg's API, and write what the replica lacks
///
/// Connect the webhook first: it delivers changes during the import, and versions decide which write wins.
/// The import can be repeated at any time, and writes only differences.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  STIGG_API_KEY=… byos import --stack my-replica
  STIGG_API_KEY=… byos import --stack my-replica --resume        after Ctrl-C, a crash or an outage
  STIGG_API_KEY=… byos import --stack my-replica --yes --rate 90 --expect 1000000

Exit codes: 0 imported completely; 1 failed, continue with --resume; 2 bad usage, or not confirmed; 3 records were skipped.")]
pub struct Import {
    #[command(flatten)]
    pub target: Target,

    #[command(flatten)]
    pub stigg: Options,

    /// Checkpoint file; removed when the import is complete
    #[arg(long, value_name = "FILE", default_value = "byos-import.json")]
    pub state: PathBuf,

    /// Continue from the checkpoint file
    #[arg(long)]
    pub resume: bool,

    /// Approximate number of customers, to estimate the remaining time; Stigg's API does not return it
    #[arg(long, value_name = "N")]
    pub expect: Option<u64>,

    #[command(flatten)]
    pub guards: Guards,

    #[command(flatten)]
    pub consent: Consent,

    /// Print one JSON object per line, the summary last
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Customers read.
    pub customers: u64,
    /// Subscriptions read.
    pub subscriptions: u64,
    /// Entitlement lists read.
    pub lists: u64,
    /// Writes of customers with their lists, subscriptions, and lists of resources.
    pub writes: u64,
    /// Records, or parts of one, that were skipped.
    pub skipped: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    Stigg(#[from] StiggError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Guard(#[from] GuardError),
    #[error("{0}. Imported data is kept: continue with --resume")]
    Fatal(#[from] Fatal),
    #[error("interrupted. Imported data is kept: continue with --resume")]
    Interrupted,
    #[error("can't write results: {0}")]
    Output(#[from] io::Error),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary<'a> {
    #[serde(flatten)]
    counts: &'a Counts,
    calls: u64,
    throttled: u64,
    failed: u64,
    seconds: f64,
}

pub async fn import(options: Import) -> Result<ExitStatus, ImportError> {
    let key = Key::from_environment()?;
    let deployment = options.target.find().await?;
    let store = deployment.store().await?;
    if !options.consent.ask(&deployment, &store).await {
        return Ok(ExitStatus::NotConfirmed);
    }
    let stigg = Stigg::new(&options.stigg, key, Clock::system())?;
    let mut checkpoint =
        Checkpoint::open(&options.state, options.resume, options.stigg.stigg_url.as_str(), &store.tables().customers)?;
    let synchronizer = Synchronizer::new(stigg, store, Mode::Import);
    let mut report = Report::new(options.json, false);
    if let Err(error) = options.guards.before_import(&synchronizer, &mut report).await {
        if !options.resume {
            checkpoint.remove()?;
        }
        return Err(error.into());
    }
    let run = run(&synchronizer, &mut checkpoint, options.stigg.concurrency.into(), options.expect, &mut report);
    tokio::select! {
        counts = run => {
            let is_complete = counts?.skipped == 0;
            Ok(if is_complete { ExitStatus::Success } else { ExitStatus::Findings })
        }
        _ = tokio::signal::ctrl_c() => Err(ImportError::Interrupted),
    }
}

/// Imports from the checkpoint. Customers first: subscriptions are visible only with their customer.
pub async fn run(
    synchronizer: &Synchronizer,
    checkpoint: &mut Checkpoint,
    concurrency: usize,
    expected: Option<u64>,
    report: &mut Report,
) -> Result<Counts, ImportError> {
    let start = Instant::now();
    for records in [Records::Customers, Records::Subscriptions] {
        if checkpoint.position.records != records {
            continue;
        }
        let (what, total) = match records {
            Records::Customers => {
                ("customers", expected.map(|expected| expected.saturating_sub(checkpoint.position.counts.customers)))
            }
            Records::Subscriptions => ("subscriptions", None),
        };
        report.begin(what, total);
        let from = checkpoint.position.from.take();
        // Counts are saved when a page is done, so that a repeated page counts once.
        let mut counts = checkpoint.position.counts.clone();
        let on_progress = async |progress: Progress| -> Result<(), ImportError> {
            match progress {
                Progress::Record { comparison, .. } => {
                    count(&mut counts, records, &comparison);
                    report.step();
                    for skipped in &comparison.skipped {
                        report.skipped(skipped)?;
                    }
                }
                Progress::Page { next } => {
                    let position = &mut checkpoint.position;
                    position.counts.clone_from(&counts);
                    if next.is_none() && records == Records::Customers {
                        position.records = Records::Subscriptions;
                    }
                    let is_last = next.is_none() && records == Records::Subscriptions;
                    position.from = next;
                    if is_last { checkpoint.remove()? } else { checkpoint.save()? }
                }
            }
            Ok(())
        };
        synchronizer.compare_all(records, from, concurrency, on_progress).await?;
    }
    let counts = checkpoint.position.counts.clone();
    let requests = synchronizer.stigg.counts();
    let summary = Summary {
        counts: &counts,
        calls: requests.calls,
        throttled: requests.throttled,
        failed: requests.failed,
        seconds: start.elapsed().as_secs_f64(),
    };
    report.summary(&summary, || summary_text(&summary))?;
    Ok(counts)
}

fn count(counts: &mut Counts, records: Records, comparison: &Comparison) {
    match records {
        Records::Customers => counts.customers += 1,
        Records::Subscriptions => counts.subscriptions += 1,
    }
    counts.lists += comparison.lists;
    counts.writes += comparison.writes;
    counts.skipped += comparison.skipped.len() as u64;
}

fn summary_text(summary: &Summary<'_>) -> String {
    let Summary { counts, calls, throttled, failed, seconds } = summary;
    let Counts { customers, subscriptions, lists, writes, skipped } = counts;
    format!(
        "Imported {customers} customers, {subscriptions} subscriptions and {lists} entitlement lists: {writes} writes, \
         {skipped} skipped.\n{calls} requests to Stigg in {seconds:.1} s: {throttled} throttled, {failed} failed."
    )
}
