//! `byos reconcile`: compares the replica with Stigg, and fixes it.

mod run;

use std::{io, time::Duration};

use clap::Args;
use domain::id::Id;
use runtime::clock::Clock;
use serde::Serialize;
use store::StoreError;

pub use run::run;

use crate::{
    arguments::id,
    consent::Consent,
    guard::{GuardError, Guards},
    outcome::ExitStatus,
    report::Report,
    stigg::{Key, KeyError, Options, Stigg, StiggError},
    sync::{Fatal, Mode, Synchronizer},
    target::{Target, TargetError},
};

/// Compare the replica with Stigg's API, and report differences
///
/// A difference is reported if it persists in a second pass, since an event may be in flight. Usage is a difference
/// only if both sides are older than this read.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  STIGG_API_KEY=… byos reconcile --stack my-replica
  STIGG_API_KEY=… byos reconcile --stack my-replica --customer customer-alder --values
  STIGG_API_KEY=… byos reconcile --stack my-replica --fix --yes --json

Exit codes: 0 no differences, or all are fixed; 1 failed, or --customer was not compared; 2 bad usage, or not confirmed; 3 differences remain, or records were skipped.")]
pub struct Reconcile {
    #[command(flatten)]
    pub target: Target,

    #[command(flatten)]
    pub stigg: Options,

    /// Compare only this customer, with its subscriptions and entitlements
    #[arg(long, value_name = "ID", value_parser = id)]
    pub customer: Option<Id>,

    /// After the comparison, write what is missing or differs, and delete what Stigg does not have
    #[arg(long)]
    pub fix: bool,

    #[command(flatten)]
    pub guards: Guards,

    #[command(flatten)]
    pub consent: Consent,

    /// Seconds before the second pass over differences
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub settle: u16,

    /// Print the values that differ, which may include names and e-mail addresses
    #[arg(long)]
    pub values: bool,

    /// Print one JSON object per line, the summary last
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    Stigg(#[from] StiggError),
    #[error(transparent)]
    Fatal(#[from] Fatal),
    #[error(transparent)]
    Guard(#[from] GuardError),
    #[error("{customer_id} was not compared: {reason}")]
    NotCompared { customer_id: Id, reason: String },
    #[error("can't write results: {0}")]
    Output(#[from] io::Error),
}

impl From<StoreError> for ReconcileError {
    fn from(error: StoreError) -> Self {
        Self::Fatal(error.into())
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// Customers read from Stigg.
    pub customers: u64,
    /// Subscriptions read from Stigg.
    pub subscriptions: u64,
    /// Lists of entitlements compared.
    pub lists: u64,
    /// Missing in the replica.
    pub missing: u64,
    /// Not in Stigg.
    pub extra: u64,
    /// Fields that differ.
    pub differing: u64,
    /// Fixed differences.
    #[serde(rename = "mended")]
    pub fixed: u64,
    /// Entitlements whose usage differs and may still be updated by an event in flight.
    pub usage_drift: u64,
    /// Records, or parts of one, that were skipped.
    pub skipped: u64,
}

impl Totals {
    /// Differences that were not fixed.
    pub fn left(&self) -> u64 {
        self.missing + self.extra + self.differing - self.fixed
    }

    pub fn exit_status(&self) -> ExitStatus {
        if self.left() == 0 && self.skipped == 0 { ExitStatus::Success } else { ExitStatus::Findings }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary<'a> {
    #[serde(flatten)]
    totals: &'a Totals,
    calls: u64,
    throttled: u64,
    failed: u64,
    seconds: f64,
}

#[derive(Clone, Debug)]
pub struct Settings {
    /// Customers compared in parallel.
    pub concurrency: usize,
    /// Delay before the second pass.
    pub settle: Duration,
    /// What may be written.
    pub guards: Guards,
}

/// Reconciles all customers, or one.
pub async fn reconcile(options: Reconcile) -> Result<ExitStatus, ReconcileError> {
    let key = Key::from_environment()?;
    let deployment = options.target.find().await?;
    let store = deployment.store().await?;
    if options.fix && !options.consent.ask(&deployment, &store).await {
        return Ok(ExitStatus::NotConfirmed);
    }
    let stigg = Stigg::new(&options.stigg, key, Clock::system())?;
    let synchronizer = Synchronizer::new(stigg, store, Mode::Compare);
    let settings = Settings {
        concurrency: options.stigg.concurrency.into(),
        settle: Duration::from_secs(options.settle.into()),
        guards: options.guards,
    };
    let report = Report::new(options.json, options.values);
    Ok(run(synchronizer, options.fix, settings, options.customer.as_ref(), report).await?.exit_status())
}

fn summary_text(summary: &Summary<'_>) -> String {
    let Summary { totals, calls, throttled, failed, seconds } = summary;
    let Totals { customers, subscriptions, lists, missing, extra, differing, fixed, usage_drift, skipped } = totals;
    let verdict = match (missing + extra + differing, totals.left()) {
        (0, _) if *skipped > 0 => format!("No differences found, but {skipped} records were skipped"),
        (0, _) => "The replica equals Stigg".to_owned(),
        (all, 0) => format!("All {all} differences are fixed"),
        (all, left) => {
            format!("{all} differences ({missing} missing, {extra} extra, {differing} fields), {fixed} fixed, {left} left")
        }
    };
    format!(
        "{verdict}: {customers} customers, {subscriptions} subscriptions, {lists} lists of entitlements.\n\
         {usage_drift} entitlements have usage that events may still update; {skipped} records were skipped.\n\
         {calls} requests to Stigg in {seconds:.1} s: {throttled} throttled, {failed} failed."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_replica_equals_stigg_only_if_no_record_was_skipped() {
        let verdict = |skipped| {
            let totals = Totals { customers: 3, skipped, ..Totals::default() };
            summary_text(&Summary { totals: &totals, calls: 1, throttled: 0, failed: 0, seconds: 1.0 })
        };
        assert!(verdict(0).starts_with("The replica equals Stigg: 3 customers"), "{}", verdict(0));
        assert!(verdict(2).starts_with("No differences found, but 2 records were skipped: 3 customers"), "{}", verdict(2));
    }
}
