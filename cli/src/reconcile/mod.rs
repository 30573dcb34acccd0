//! `byos reconcile`: holds the replica against what Stigg has.

mod run;

use std::{io, time::Duration};

use clap::Args;
use domain::id::{Id, IdError};
use runtime::clock::Clock;
use serde::Serialize;
use store::StoreError;

pub use run::run;

use crate::{
    consent::Consent,
    guard::{GuardError, Guards},
    outcome::ExitStatus,
    report::Report,
    stigg::{Key, KeyError, Options, Stigg, StiggError},
    sync::{Fatal, Mode, Synchronizer},
    target::{Target, TargetError},
};

/// Compare the replica with what Stigg's API says, and tell what differs
///
/// What differs at the first look may be on its way: it counts if it still does at a second. Of usage, only
/// what Stigg counted some time ago and the replica has not heard since is a difference.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  STIGG_API_KEY=… byos reconcile --stack my-replica
  STIGG_API_KEY=… byos reconcile --stack my-replica --customer customer-alder --values
  STIGG_API_KEY=… byos reconcile --stack my-replica --fix --yes --json

Exit codes: 0 both are equal, or all is mended; 1 it failed; 2 bad usage, or not confirmed; 3 differences are left, or records were passed over.")]
pub struct Reconcile {
    #[command(flatten)]
    pub target: Target,

    #[command(flatten)]
    pub stigg: Options,

    /// Read only this customer, with all that hangs on it
    #[arg(long, value_name = "ID", value_parser = id)]
    pub customer: Option<Id>,

    /// After looking at everything, write what is missing or differs, and delete what Stigg does not have
    #[arg(long)]
    pub fix: bool,

    #[command(flatten)]
    pub guards: Guards,

    #[command(flatten)]
    pub consent: Consent,

    /// After how many seconds to look a second time at what differs
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub settle: u16,

    /// Show the values that differ: names and e-mail addresses are among them
    #[arg(long)]
    pub values: bool,

    /// One JSON object a line, the summary last
    #[arg(long)]
    pub json: bool,
}

fn id(text: &str) -> Result<Id, IdError> {
    Id::try_from(text)
}

/// It could not be told whether the two are equal.
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
    #[error("results can't be written: {0}")]
    Output(#[from] io::Error),
}

impl From<StoreError> for ReconcileError {
    fn from(error: StoreError) -> Self {
        Self::Fatal(error.into())
    }
}

/// What a reconciliation found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// Customers read from Stigg.
    pub customers: u64,
    /// Subscriptions read from Stigg.
    pub subscriptions: u64,
    /// Lists of entitlements compared.
    pub lists: u64,
    /// Differences of what is missing here.
    pub missing: u64,
    /// Differences of what is extra here.
    pub extra: u64,
    /// Fields that differ.
    pub differing: u64,
    /// How many of all these were mended.
    #[serde(rename = "mended")]
    pub fixed: u64,
    /// Entitlements whose usage differs and may be on its way.
    pub usage_drift: u64,
    /// Records, or parts of one, that were passed over.
    pub skipped: u64,
}

impl Totals {
    /// Differences that are left.
    pub fn left(&self) -> u64 {
        self.missing + self.extra + self.differing - self.fixed
    }

    /// How the command ends.
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

/// What a reconciliation is asked to do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many customers are worked on at once.
    pub concurrency: usize,
    /// When to look a second time.
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
        (0, _) => "The replica says what Stigg says".to_owned(),
        (all, 0) => format!("All of {all} differences are fixed"),
        (all, left) => {
            format!("{all} differences ({missing} missing, {extra} extra, {differing} fields), {fixed} fixed, {left} left")
        }
    };
    format!(
        "{verdict}: {customers} customers, {subscriptions} subscriptions, {lists} lists of entitlements.\n\
         {usage_drift} entitlements have usage that is on its way; {skipped} records were passed over.\n\
         Stigg was asked {calls} times in {seconds:.1} s; {throttled} answers asked to wait, {failed} failed."
    )
}
