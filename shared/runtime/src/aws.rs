//! The common configuration of the functions' AWS clients: region, credentials, endpoint, HTTP client, timeouts, retries.

use std::{env, ffi::OsString, fs, path::Path, time::Duration};

use aws_config::{SdkConfig, environment::EnvironmentVariableCredentialsProvider, retry::RetryConfig, timeout::TimeoutConfig};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider},
};
use aws_sdk_dynamodb::{
    config::{BehaviorVersion, Region, SharedHttpClient, StalledStreamProtectionConfig},
    error::{ProvideErrorMetadata, SdkError},
};
use aws_smithy_http_client::tls::{self, TlsContext, TrustStore, rustls_provider::CryptoMode};

use crate::config::optional;

/// Timeouts and retries of a call to AWS. The SDK's defaults exceed the functions' timeouts.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Timeout of opening a connection.
    pub connect: Duration,
    /// Timeout of one attempt.
    pub attempt: Duration,
    /// Timeout of all attempts together.
    pub total: Duration,
    /// Maximum number of attempts.
    pub attempts: u32,
}

impl Budget {
    /// For checks, which are part of a customer's request. Two reads (the second is strongly consistent) end within two
    /// seconds.
    pub const CHECK: Self = Self {
        connect: Duration::from_millis(400),
        attempt: Duration::from_millis(450),
        total: Duration::from_millis(900),
        attempts: 3,
    };
    /// For the webhook's writes. Stigg and API Gateway time out after 30 s.
    pub const WEBHOOK: Self =
        Self { connect: Duration::from_secs(1), attempt: Duration::from_secs(3), total: Duration::from_secs(8), attempts: 4 };
    /// For GraphQL's reads.
    pub const READ: Self =
        Self { connect: Duration::from_secs(1), attempt: Duration::from_secs(3), total: Duration::from_secs(8), attempts: 3 };
    /// For reading a secret while a request waits.
    pub const SECRET: Self = Self {
        connect: Duration::from_millis(400),
        attempt: Duration::from_millis(600),
        total: Duration::from_millis(900),
        attempts: 2,
    };
    /// For parking an event in the queue, after the store has used most of the webhook's time.
    pub const QUEUE: Self = Self {
        connect: Duration::from_secs(1),
        attempt: Duration::from_millis(2_500),
        total: Duration::from_secs(5),
        attempts: 3,
    };
}

/// The SDK's HTTP client, with TLS by ring.
pub fn http_client() -> SharedHttpClient {
    let trust_store = match replacement_certificates(env::var_os("SSL_CERT_FILE")) {
        Some(pem) => {
            tracing::warn!("the file that SSL_CERT_FILE names is missing: using the system's certificates");
            TrustStore::empty().with_pem_certificate(pem)
        }
        None => TrustStore::default(),
    };
    aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
        .tls_context(TlsContext::builder().with_trust_store(trust_store).build().unwrap_or_default())
        .build_https()
}

/// The system's certificates in PEM, if `SSL_CERT_FILE` names a missing file: the SDK would trust no certificate, and
/// all calls would fail. None if the SDK should load its default.
fn replacement_certificates(ssl_cert_file: Option<OsString>) -> Option<Vec<u8>> {
    let is_missing = ssl_cert_file.is_some_and(|file| !Path::new(&file).exists());
    // The probe reads SSL_CERT_FILE too, but skips a missing file.
    let found = is_missing.then(openssl_probe::probe)?.cert_file?;
    fs::read(found).ok()
}

/// The configuration of a client. The endpoint is AWS's if None.
pub fn sdk_config(
    region: Option<String>,
    credentials: impl ProvideCredentials + 'static,
    http_client: SharedHttpClient,
    endpoint: Option<String>,
    budget: Budget,
) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(budget.connect)
        .operation_attempt_timeout(budget.attempt)
        .operation_timeout(budget.total)
        .build();
    let retries = RetryConfig::standard()
        .with_max_attempts(budget.attempts)
        .with_initial_backoff(Duration::from_millis(25))
        .with_max_backoff(budget.attempt);
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(region.map(Region::new))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(http_client)
        .timeout_config(timeouts)
        .retry_config(retries)
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    config.set_endpoint_url(endpoint);
    config.build()
}

/// A DynamoDB client. The endpoint is AWS's if None.
pub fn dynamodb(
    region: Option<String>,
    credentials: impl ProvideCredentials + 'static,
    endpoint: Option<String>,
    budget: Budget,
) -> aws_sdk_dynamodb::Client {
    aws_sdk_dynamodb::Client::new(&sdk_config(region, credentials, http_client(), endpoint, budget))
}

/// A client for a DynamoDB emulator that accepts any credentials.
pub fn local_dynamodb(endpoint: &str) -> aws_sdk_dynamodb::Client {
    dynamodb(Some("us-east-1".to_owned()), any_credentials(), Some(endpoint.to_owned()), Budget::WEBHOOK)
}

/// A function's DynamoDB client. The variable `DYNAMODB_ENDPOINT` replaces AWS's endpoint.
pub fn function_dynamodb(environment: &FunctionEnvironment, budget: Budget) -> aws_sdk_dynamodb::Client {
    aws_sdk_dynamodb::Client::new(&environment.service("DYNAMODB_ENDPOINT", budget))
}

/// Placeholder credentials, for emulators that accept any.
pub fn any_credentials() -> SharedCredentialsProvider {
    SharedCredentialsProvider::new(Credentials::new("local", "local", None, None, "local endpoint"))
}

/// Region and credentials from Lambda's environment variables, and one HTTP client for all services.
#[derive(Clone, Debug)]
pub struct FunctionEnvironment {
    region: Option<String>,
    http_client: SharedHttpClient,
}

impl FunctionEnvironment {
    /// The environment of this process.
    pub fn read() -> Self {
        Self { region: optional("AWS_REGION").or_else(|| optional("AWS_DEFAULT_REGION")), http_client: http_client() }
    }

    /// The configuration of a service's client. The variable, if set, names the endpoint of an emulator, which accepts any
    /// credentials.
    pub fn service(&self, endpoint_variable: &str, budget: Budget) -> SdkConfig {
        let Self { region, http_client } = self.clone();
        match optional(endpoint_variable) {
            Some(endpoint) if optional("AWS_ACCESS_KEY_ID").is_none() => {
                let region = region.or_else(|| Some("us-east-1".to_owned()));
                sdk_config(region, any_credentials(), http_client, Some(endpoint), budget)
            }
            endpoint => sdk_config(region, EnvironmentVariableCredentialsProvider::new(), http_client, endpoint, budget),
        }
    }
}

/// The reason of a failed call, for logs: AWS's error code, or why there was no response. Contains no part of a response's
/// body.
pub fn problem<E: ProvideErrorMetadata>(error: &SdkError<E>) -> String {
    match error {
        SdkError::ServiceError(error) => error.err().code().unwrap_or("an error without a code").to_owned(),
        SdkError::TimeoutError(_) => "timeout".to_owned(),
        SdkError::DispatchFailure(_) => "no connection".to_owned(),
        SdkError::ConstructionFailure(_) => "the request could not be built".to_owned(),
        _ => "the response could not be read".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_certificates_replace_a_missing_file() {
        assert_eq!(replacement_certificates(None), None);
        let present = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        assert_eq!(replacement_certificates(Some(present.into())), None);
        let system = openssl_probe::probe().cert_file.map(|file| fs::read(file).unwrap());
        assert_eq!(replacement_certificates(Some("/no/such/file".into())), system);
    }
}
