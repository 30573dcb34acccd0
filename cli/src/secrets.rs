//! Reads a deployment's secrets from Secrets Manager. Their values are never printed.

use std::fmt;

use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    outcome,
    target::{Sdk, TargetError},
};

/// The webhook's secret, as stored in Secrets Manager.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WebhookSecret {
    /// The value of Stigg's header. Empty until the operator sets it.
    pub secret: String,
    pub previous_secret: String,
    /// Empty if signatures are not required.
    pub signing_key: String,
    pub previous_signing_key: String,
}

/// A reader's token, as stored in Secrets Manager.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReaderSecret {
    pub token: String,
    pub previous_token: String,
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(redacted)")
    }
}

impl fmt::Debug for ReaderSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReaderSecret(redacted)")
    }
}

/// The messages never contain the secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("can't read the secret {arn}: {reason}")]
    Read { arn: String, reason: String },
    #[error("the secret {arn} is not the JSON object that the function reads")]
    Format { arn: String },
    #[error("{secret} is unknown: give {option}, or --stack to read it from Secrets Manager")]
    Unknown { secret: &'static str, option: &'static str },
    #[error("the secret {arn} is not set yet: store the secret that Stigg shows for the webhook in its member `secret`")]
    Unset { arn: String },
}

/// Reads a secret's current value.
pub async fn read<T: DeserializeOwned>(sdk: &Sdk, arn: &str) -> Result<T, SecretError> {
    let response = sdk.secrets_manager().await?.get_secret_value().secret_id(arn).send().await;
    let response = response.map_err(|error| SecretError::Read { arn: arn.to_owned(), reason: outcome::aws_error(&error) })?;
    let value = response.secret_string().and_then(|value| serde_json::from_str(value).ok());
    value.ok_or_else(|| SecretError::Format { arn: arn.to_owned() })
}
