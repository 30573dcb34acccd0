//! `byos environment`: shows or changes the replica's Stigg environment.

use clap::Args;
use domain::{id::Id, time::to_fixed_width};
use serde_json::json;
use store::{Environment, StoreError};

use crate::{
    arguments::id,
    consent::Consent,
    outcome::ExitStatus,
    target::{Target, TargetError},
};

/// Show or change the replica's Stigg environment
///
/// The first recent event sets it. The webhook then sets events of other environments aside. Imports and reconciliations
/// recognize the environment by some of its customers, which the replica stores.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  byos environment --stack my-replica
  byos environment --stack my-replica --set 2f07a7fa-1219-4ca7-85ba-1caccd0d4857
  byos environment --stack my-replica --forget     the next recent event sets it again")]
pub struct EnvironmentOptions {
    /// Set the environment to this id: the `environmentId` of its events
    #[arg(long, value_name = "ID", value_parser = id)]
    pub set: Option<Id>,

    /// Remove the id, so that the next recent event sets it
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

#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

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
        None => println!("No environment yet: the next recent event sets it"),
    }
    match witnesses {
        Some(witnesses) => {
            println!(
                "Recognized by {} customers, read from Stigg at {}",
                witnesses.customers.len(),
                to_fixed_width(witnesses.read_at)
            );
        }
        None => println!("No customers to recognize it by: nothing was imported yet"),
    }
    Ok(ExitStatus::Success)
}
