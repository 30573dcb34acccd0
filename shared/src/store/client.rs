//! The SDK's client for DynamoDB.

use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_dynamodb::Client;

pub use crate::aws::{Budget, http_client};
use crate::aws::{FunctionEnvironment, sdk_config};

/// A client for DynamoDB, or for the endpoint if one is given.
pub fn connect(
    region: Option<String>,
    credentials: impl ProvideCredentials + 'static,
    endpoint: Option<String>,
    budget: Budget,
) -> Client {
    Client::new(&sdk_config(region, credentials, http_client(), endpoint, budget))
}

/// The client of a function; `DYNAMODB_ENDPOINT` names another DynamoDB than AWS's.
pub fn from_environment(environment: &FunctionEnvironment, budget: Budget) -> Client {
    Client::new(&environment.service("DYNAMODB_ENDPOINT", budget))
}
