//! `byos environment`: which Stigg environment the replica belongs to.

use clap::Args;
use domain::{
    id::{Id, IdError},
    time::to_fixed_width,
};
use serde_json::json;
use store::{Environment, StoreError};

use crate::{
    consent::Consent,
    outcome::ExitStatus,
    target::{Target, TargetError},
};

/// Show or change the Stigg environment that the replica belongs to
///
/// The first recent event decides it, and the webhook sets events of any other aside. Imports and
/// reconciliations recognize it by some customers that they remember.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  byos environment --stack my-replica
  byos environment --stack my-replica --set 2f07a7fa-1219-4ca7-85ba-1caccd0d4857
  byos environment --stack my-replica --forget     the next recent event decides it anew")]
pub struct EnvironmentOptions {
    /// Belong to the environment with this id, as `environmentId` of events names it
    #[arg(long, value_name = "ID", value_parser = id)]
    pub set: Option<Id>,

    /// Let the next recent event decide
    #[arg(long, conflicts_with = "set")]
    pub forget: bool,

    /// Print a JSON object
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub consent: Consent,

    #[command(flatten)]
    pub target: Target,
}

fn id(text: &str) -> Result<Id, IdError> {
    Id::try_from(text)
}

/// The environment can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Shows or changes it.
pub async fn environment(options: EnvironmentOptions) -> Result<ExitStatus, EnvironmentError> {
    let deployment = options.target.find().await?;
    let store = deployment.store().await?;
    if options.set.is_some() || options.forget {
        if !options.consent.ask(&deployment, &store).await {
            return Ok(ExitStatus::NotConfirmed);
        }
        store.replace_environment_id(options.set.as_ref()).await?;
    }
    let Environment { environment_id, witnesses } = store.environment().await?;
    if options.json {
        let witnesses = witnesses.map(|witnesses| {
            let customers: Vec<&Id> = witnesses.customers.iter().map(|witness| &witness.customer_id).collect();
            json!({ "readAt": to_fixed_width(witnesses.read_at), "customers": customers })
        });
        println!("{}", json!({ "environmentId": environment_id, "witnesses": witnesses }));
        return Ok(ExitStatus::Success);
    }
    match environment_id {
        Some(id) => println!("Environment {id}"),
        None => println!("No environment yet: the next recent event decides"),
    }
    match witnesses {
        Some(witnesses) => {
            println!(
                "Recognized by {} customers, as Stigg showed them at {}",
                witnesses.customers.len(),
                to_fixed_width(witnesses.read_at)
            );
        }
        None => println!("No customers to recognize it by: there was no import yet"),
    }
    Ok(ExitStatus::Success)
}
