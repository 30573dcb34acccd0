//! The SDK's client, set up for a function that answers within a budget.

use std::time::Duration;

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider},
};
use aws_sdk_dynamodb::{
    Client, Config,
    config::{
        BehaviorVersion, Region, SharedHttpClient, StalledStreamProtectionConfig, retry::RetryConfig, timeout::TimeoutConfig,
    },
};
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};

use crate::config::optional;

/// How long a request to DynamoDB may take. The SDK's defaults are for servers: they would outlast
/// the function.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// For opening a connection.
    pub connect: Duration,
    /// For one attempt.
    pub attempt: Duration,
    /// For all attempts together.
    pub total: Duration,
    /// The most attempts.
    pub attempts: u32,
}

impl Budget {
    /// For a check, which stands in the path of a customer's request: an answer or none within two
    /// seconds, the second, consistent read included.
    pub const CHECK: Self = Self {
        connect: Duration::from_millis(400),
        attempt: Duration::from_millis(450),
        total: Duration::from_millis(900),
        attempts: 3,
    };
    /// For a webhook's writes: Stigg waits 30 s, API Gateway 29 s.
    pub const WEBHOOK: Self =
        Self { connect: Duration::from_secs(1), attempt: Duration::from_secs(3), total: Duration::from_secs(8), attempts: 4 };
    /// For reads by people and back offices.
    pub const READ: Self =
        Self { connect: Duration::from_secs(1), attempt: Duration::from_secs(3), total: Duration::from_secs(8), attempts: 3 };
}

/// The HTTP client under the SDK, with TLS from ring.
pub fn http_client() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new().tls_provider(tls::Provider::Rustls(CryptoMode::Ring)).build_https()
}

/// A client for DynamoDB, or for the endpoint if one is given.
pub fn connect(
    region: Option<String>,
    credentials: impl ProvideCredentials + 'static,
    endpoint: Option<String>,
    budget: Budget,
) -> Client {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(budget.connect)
        .operation_attempt_timeout(budget.attempt)
        .operation_timeout(budget.total)
        .build();
    let retries = RetryConfig::standard()
        .with_max_attempts(budget.attempts)
        .with_initial_backoff(Duration::from_millis(25))
        .with_max_backoff(budget.attempt);
    let mut config = Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(region.map(Region::new))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(http_client())
        .timeout_config(timeouts)
        .retry_config(retries)
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    config.set_endpoint_url(endpoint);
    Client::from_conf(config.build())
}

/// The client of a function: region and credentials as Lambda puts them into the environment, and
/// the endpoint in `DYNAMODB_ENDPOINT`, for trying it against another DynamoDB.
pub fn from_environment(budget: Budget) -> Client {
    let region = optional("AWS_REGION").or_else(|| optional("AWS_DEFAULT_REGION"));
    match optional("DYNAMODB_ENDPOINT") {
        Some(endpoint) if optional("AWS_ACCESS_KEY_ID").is_none() => {
            let credentials = Credentials::new("local", "local", None, None, "local endpoint");
            connect(region.or_else(|| Some("us-east-1".to_owned())), credentials, Some(endpoint), budget)
        }
        endpoint => connect(region, EnvironmentVariableCredentialsProvider::new(), endpoint, budget),
    }
}
