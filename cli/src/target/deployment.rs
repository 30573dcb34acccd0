//! A resolved deployment: its store, URLs and other resources.

use std::time::Duration;

use aws_sdk_dynamodb::config::{retry::RetryConfig, timeout::TimeoutConfig};
use runtime::aws::{Budget, dynamodb};
use store::{Store, Tables};

use super::{COMMAND_BUDGET, Sdk, TargetError};
use crate::{http, outcome};
use runtime::aws::any_credentials;
use template::tables;

/// Timeout for reading the DynamoDB endpoint of the local stack.
const LOCAL_TIMEOUT: Duration = Duration::from_secs(5);

/// The URLs of the three functions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Urls {
    pub webhook: String,
    pub graphql: String,
    pub check_access: String,
}

impl Urls {
    /// `api` is the address of the API or of one of its functions.
    pub fn of_api(api: &str) -> Self {
        let paths = ["/webhook", "/graphql", "/check-access"];
        let api = api.trim_end_matches('/');
        let api = paths.into_iter().find_map(|path| api.strip_suffix(path)).unwrap_or(api);
        Self { webhook: format!("{api}/webhook"), graphql: format!("{api}/graphql"), check_access: format!("{api}/check-access") }
    }
}

/// ARNs of secrets and URLs of queues, if they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    pub webhook_secret: Option<String>,
    pub graphql_secret: Option<String>,
    pub check_access_secret: Option<String>,
    /// Parked events: the store failed.
    pub event_queue: Option<String>,
    /// Parked events that failed 50 times.
    pub dead_letter_queue: Option<String>,
    /// Events that can't be applied.
    pub set_aside_queue: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeploymentKind {
    /// A stack in AWS, by name.
    Stack(String),
    /// Tables or addresses given by options, not on this machine.
    Explicit,
    /// On this machine.
    Local,
}

#[derive(Clone, Debug)]
pub struct Deployment {
    pub kind: DeploymentKind,
    /// None if only tables were given.
    pub urls: Option<Urls>,
    pub resources: Resources,
    pub sdk: Sdk,
    /// The stack's ARN, which contains region and account.
    pub arn: Option<String>,
    pub(super) tables: Option<Tables>,
    pub(super) dynamodb_endpoint: Option<String>,
    /// `--url` or the local stack's address. None for a stack in AWS, or if only tables were given.
    pub(super) api_url: Option<String>,
}

impl Deployment {
    /// # Errors
    /// If the tables are unknown, or the local stack is not running.
    pub async fn store(&self) -> Result<Store, TargetError> {
        self.store_with_budget(COMMAND_BUDGET).await
    }

    /// Like [`Self::store`], with other timeouts.
    pub async fn store_with_budget(&self, budget: Budget) -> Result<Store, TargetError> {
        let endpoint = match (&self.dynamodb_endpoint, &self.tables) {
            (Some(endpoint), _) => Some(endpoint.clone()),
            (None, Some(_)) => None,
            (None, None) => Some(self.local_dynamodb().await?),
        };
        let tables = self.tables.clone().unwrap_or_else(tables::local_names);
        let client = match endpoint {
            Some(endpoint) if template::local::is_local(&endpoint) => {
                dynamodb(Some("us-east-1".to_owned()), any_credentials(), Some(endpoint), budget)
            }
            endpoint => self.dynamodb(endpoint, budget).await?,
        };
        Ok(Store::new(client, tables))
    }

    /// A DynamoDB client with AWS credentials. The default endpoint is that of AWS.
    async fn dynamodb(&self, endpoint: Option<String>, budget: Budget) -> Result<aws_sdk_dynamodb::Client, TargetError> {
        let config = self.sdk.config().await?;
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(budget.connect)
            .operation_attempt_timeout(budget.attempt)
            .operation_timeout(budget.total);
        let mut config = aws_sdk_dynamodb::config::Builder::from(config)
            .timeout_config(timeouts.build())
            .retry_config(RetryConfig::standard().with_max_attempts(budget.attempts));
        if endpoint.is_some() {
            config.set_endpoint_url(endpoint);
        }
        Ok(aws_sdk_dynamodb::Client::from_conf(config.build()))
    }

    /// The endpoint of the local stack's DynamoDB, from a response header.
    async fn local_dynamodb(&self) -> Result<String, TargetError> {
        let url = self.api_url.clone().unwrap_or_default();
        if !template::local::is_local(&url) {
            return Err(TargetError::TablesUnknown(url));
        }
        let not_served =
            |error: reqwest::Error| TargetError::NotServed { url: url.clone(), reason: outcome::in_one_line(&error) };
        let client = http::client().map_err(not_served)?;
        let response = client.get(&url).timeout(LOCAL_TIMEOUT).send().await.map_err(not_served)?;
        let endpoint = response.headers().get(template::local::DYNAMODB_HEADER).and_then(|value| value.to_str().ok());
        endpoint.map(str::to_owned).ok_or(TargetError::NotLocalStack(url))
    }

    /// None if the tables are still unknown: those of the local stack.
    pub fn tables(&self) -> Option<&Tables> {
        self.tables.as_ref()
    }

    /// The deployment's name in messages.
    pub fn name(&self) -> String {
        match (&self.kind, &self.api_url, &self.dynamodb_endpoint) {
            (DeploymentKind::Stack(stack), _, _) => format!("the stack {stack}"),
            (DeploymentKind::Local, Some(url), None) => format!("the local stack on {url}"),
            (_, _, Some(endpoint)) => format!("the DynamoDB on {endpoint}"),
            (_, Some(url), _) => url.clone(),
            (_, None, None) => "the tables in AWS".to_owned(),
        }
    }
}
