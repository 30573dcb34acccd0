//! The deployment that a command speaks to, once it is found.

use std::time::Duration;

use aws_sdk_dynamodb::config::{retry::RetryConfig, timeout::TimeoutConfig};
use runtime::aws::{Budget, dynamodb};
use store::{Store, Tables};

use super::{PATIENT, Sdk, TargetError};
use crate::{http, outcome};
use runtime::aws::any_credentials;
use template::tables;

/// How long the local stack may take to say where its DynamoDB is.
const LOCAL_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the three functions answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Urls {
    /// Takes events.
    pub webhook: String,
    /// Answers queries.
    pub graphql: String,
    /// Decides.
    pub check_access: String,
}

impl Urls {
    /// Under the API's address. One of the functions' own addresses will do for that.
    pub fn under(api: &str) -> Self {
        let paths = ["/webhook", "/graphql", "/check-access"];
        let api = api.trim_end_matches('/');
        let api = paths.into_iter().find_map(|path| api.strip_suffix(path)).unwrap_or(api);
        Self { webhook: format!("{api}/webhook"), graphql: format!("{api}/graphql"), check_access: format!("{api}/check-access") }
    }
}

/// What a deployment has beside its tables and addresses, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// The webhook's secret in Secrets Manager.
    pub webhook_secret: Option<String>,
    /// The secret of `/graphql`.
    pub graphql_secret: Option<String>,
    /// The secret of `/check-access`.
    pub check_access_secret: Option<String>,
    /// The queue of events that the store did not take.
    pub event_queue: Option<String>,
    /// The queue of events that it never took.
    pub dead_letter_queue: Option<String>,
    /// The queue of events that could not be applied.
    pub set_aside_queue: Option<String>,
}

/// Where a deployment is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A stack in AWS.
    Stack(String),
    /// Named tables or addresses elsewhere.
    Named,
    /// This machine.
    Local,
}

/// The deployment that a command speaks to.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// Where it is.
    pub place: Place,
    /// Where its functions answer; None where only tables were named.
    pub urls: Option<Urls>,
    /// What it has beside.
    pub resources: Resources,
    /// AWS's services, as this command reaches them.
    pub sdk: Sdk,
    /// The stack's ARN, which names region and account.
    pub arn: Option<String>,
    pub(super) tables: Option<Tables>,
    pub(super) dynamodb_endpoint: Option<String>,
    /// The local stack's address, which tells where its DynamoDB is.
    pub(super) local_api: Option<String>,
}

impl Deployment {
    /// Its store.
    ///
    /// # Errors
    /// If its tables are not known, or it is the local stack and that is not served.
    pub async fn store(&self) -> Result<Store, TargetError> {
        self.store_within(PATIENT).await
    }

    /// Its store, with another budget of time.
    pub async fn store_within(&self, budget: Budget) -> Result<Store, TargetError> {
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

    /// AWS's DynamoDB, or another one by AWS's credentials.
    async fn dynamodb(&self, endpoint: Option<String>, budget: Budget) -> Result<aws_sdk_dynamodb::Client, TargetError> {
        let chain = self.sdk.chain().await?;
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(budget.connect)
            .operation_attempt_timeout(budget.attempt)
            .operation_timeout(budget.total);
        let mut config = aws_sdk_dynamodb::config::Builder::from(chain)
            .timeout_config(timeouts.build())
            .retry_config(RetryConfig::standard().with_max_attempts(budget.attempts));
        if endpoint.is_some() {
            config.set_endpoint_url(endpoint);
        }
        Ok(aws_sdk_dynamodb::Client::from_conf(config.build()))
    }

    /// Where the local stack has its DynamoDB, as it says itself.
    async fn local_dynamodb(&self) -> Result<String, TargetError> {
        let url = self.local_api.clone().unwrap_or_default();
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

    /// Its tables, as far as they were named.
    pub fn tables(&self) -> Option<&Tables> {
        self.tables.as_ref()
    }

    /// What it is called in messages.
    pub fn name(&self) -> String {
        match (&self.place, &self.local_api, &self.dynamodb_endpoint) {
            (Place::Stack(stack), _, _) => format!("the stack {stack}"),
            (Place::Local, Some(api), None) => format!("the local stack on {api}"),
            (_, _, Some(endpoint)) => format!("the DynamoDB on {endpoint}"),
            (_, Some(api), _) => api.clone(),
            (_, None, None) => "the tables in AWS".to_owned(),
        }
    }
}
