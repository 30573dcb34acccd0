//! `byos show`: shows everything that the replica stores about a customer.

mod text;

use clap::Args;
use console::report::Report;
pub(crate) use console::text::plain;
use domain::id::Id;
use jiff::Timestamp;
use store::StoreError;

use crate::{
    arguments::id,
    outcome::ExitStatus,
    target::{Target, TargetError},
};

/// Show a customer as stored: its visible state, the event behind each part, and the decision and reason of a check of
/// each feature
///
/// Each part is a register with the version of its last write: the event's time and messageId, by which the event can
/// be found in Stigg and in the webhook's log. Reads are strongly consistent. The output contains personal data.
///
/// Exit codes: 0; 3 if nothing is stored for the customer.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  byos show customer-alder
  byos show customer-alder --stack replica
  byos show customer-alder --json | jq '.scopes[].entitlements[] | {featureId, check}'")]
pub struct Show {
    /// The customer's id
    #[arg(value_name = "CUSTOMER", value_parser = id)]
    pub customer: Id,

    /// Print a JSON object
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub target: Target,
}

#[derive(Debug, thiserror::Error)]
pub enum ShowError {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub async fn show(options: Show) -> Result<ExitStatus, ShowError> {
    let deployment = options.target.find().await?;
    let store = deployment.store().await?;
    let stored = store.stored_customer(&options.customer).await?;
    let is_known = stored.is_some();
    let page = Report::of(&options.customer, &stored.unwrap_or_default(), Timestamp::now())?;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&page).unwrap_or_default());
    } else if is_known {
        print!("{}", text::of(&page));
    } else {
        println!("Nothing is stored for the customer {} in {}.", plain(options.customer.as_str()), deployment.name());
    }
    Ok(if is_known { ExitStatus::Success } else { ExitStatus::Findings })
}
