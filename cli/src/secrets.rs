//! The secrets of a deployment, read from Secrets Manager. Their values are never printed.

use std::fmt;

use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    outcome,
    target::{Sdk, TargetError},
};

/// What the webhook is presented, as its secret in Secrets Manager holds it.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WebhookSecret {
    /// What Stigg sends in its header; empty until it is put there.
    pub secret: String,
    /// What it sent before.
    pub previous_secret: String,
    /// What a sender signs with; empty where signatures are not asked for.
    pub signing_key: String,
    /// What it signed with before.
    pub previous_signing_key: String,
}

/// A reader's token, as its secret in Secrets Manager holds it.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReaderSecret {
    /// The token.
    pub token: String,
    /// The one before.
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

/// A secret that can't be had. The message does not hold it.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("the secret {arn} can't be read: {reason}")]
    Read { arn: String, reason: String },
    #[error("the secret {arn} does not hold the JSON object that the function reads")]
    Form { arn: String },
    #[error("{what} is not known: give {option}, or --stack to read it from Secrets Manager")]
    Unknown { what: &'static str, option: &'static str },
    #[error("the secret {arn} holds no value yet: put there what Stigg shows for the webhook, as its member `secret`")]
    Unset { arn: String },
}

/// Reads a secret's present value.
pub async fn read<T: DeserializeOwned>(sdk: &Sdk, arn: &str) -> Result<T, SecretError> {
    let answer = sdk.secrets_manager().await?.get_secret_value().secret_id(arn).send().await;
    let answer = answer.map_err(|error| SecretError::Read { arn: arn.to_owned(), reason: outcome::aws_error(&error) })?;
    let value = answer.secret_string().and_then(|value| serde_json::from_str(value).ok());
    value.ok_or_else(|| SecretError::Form { arn: arn.to_owned() })
}
