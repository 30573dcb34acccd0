//! Customer keys: signed customer ids, which authenticate a caller that can't keep a secret, such as a web page.
//!
//! The header `X-CUSTOMER-KEY` is `HMAC-SHA256 <customerId>:<signature>`. The signature is the HMAC-SHA256 of the customer
//! id in hexadecimal. The company's own back end computes it for the logged-in user.
//!
//! Source: the header of Stigg's JavaScript SDK, and "Hardening client-side access" in Stigg's documentation.

use std::fmt;

use domain::id::Id;
use hmac::{Hmac, KeyInit as _, Mac as _};
use lambda_http::http::{HeaderValue, StatusCode};
use runtime::{
    aws::FunctionEnvironment,
    config::{ConfigError, optional},
    keyring::{Keyring, Secrets},
    secret::EmptySecret,
};
use serde::Deserialize;
use sha2::Sha256;

/// The header of the customer key.
pub(crate) const HEADER: &str = "x-customer-key";

const SCHEME: &str = "HMAC-SHA256 ";

/// The environment variable with the signing secret's ARN in Secrets Manager.
pub(crate) const SECRET_ARN: &str = "CUSTOMER_KEY_SECRET_ARN";

/// The secret that customer keys are signed with and, during a rotation, the previous one. In Secrets Manager:
/// `{"signingSecret": "…", "previousSigningSecret": ""}`.
#[derive(Clone)]
pub struct SigningSecret(Vec<Hmac<Sha256>>);

impl SigningSecret {
    /// Accepts signatures by `current`, and by `previous` unless it is absent or empty.
    ///
    /// # Errors
    /// If `current` is empty.
    pub fn new(current: &str, previous: Option<&str>) -> Result<Self, EmptySecret> {
        if current.is_empty() {
            return Err(EmptySecret);
        }
        let secrets = [Some(current), previous.filter(|secret| !secret.is_empty())];
        let macs = secrets.into_iter().flatten().map(|secret| Hmac::new_from_slice(secret.as_bytes()));
        macs.collect::<Result<_, _>>().map(Self).map_err(|_| EmptySecret)
    }

    /// The customer of a key. None if the signature is invalid. Compares with all secrets, in constant time.
    fn customer(&self, key: &[u8]) -> Option<Id> {
        let key = std::str::from_utf8(key).ok()?.strip_prefix(SCHEME)?;
        // Ids may contain colons.
        let (customer_id, signature) = key.rsplit_once(':')?;
        let signature = hex::decode(signature).ok()?;
        let is_signed_with = |mac: &Hmac<Sha256>| mac.clone().chain_update(customer_id).verify_slice(&signature).is_ok();
        let is_signed = self.0.iter().fold(false, |any, mac| any | is_signed_with(mac));
        if is_signed { Id::try_from(customer_id).ok() } else { None }
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(redacted)")
    }
}

impl Secrets for SigningSecret {
    fn of_json(json: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Stored {
            signing_secret: String,
            previous_signing_secret: Option<String>,
        }
        let stored: Stored = serde_json::from_str(json).map_err(|_| "it is not JSON with a string `signingSecret`")?;
        let secret = Self::new(&stored.signing_secret, stored.previous_signing_secret.as_deref());
        secret.map_err(|_| "its `signingSecret` is empty".to_owned())
    }
}

/// Verifies customer keys.
#[derive(Debug)]
pub(crate) struct CustomerKeys(Keyring<SigningSecret>);

impl From<SigningSecret> for CustomerKeys {
    fn from(secret: SigningSecret) -> Self {
        Self(secret.into())
    }
}

/// Why a customer key is rejected. The message can be shown to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CustomerKeyError {
    #[error("the header X-CUSTOMER-KEY is missing")]
    Missing,
    #[error("the header X-CUSTOMER-KEY is not a valid signature of a customer id")]
    Invalid,
    #[error("the header X-CUSTOMER-KEY is signed for another customer")]
    OtherCustomer,
    #[error("the function's signing secret could not be read, so no signature can be verified: retry later")]
    Unreadable,
}

impl CustomerKeyError {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Missing | Self::Invalid => StatusCode::UNAUTHORIZED,
            Self::OtherCustomer => StatusCode::FORBIDDEN,
            Self::Unreadable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The outcome in one word, for logs.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Missing | Self::Invalid | Self::OtherCustomer => "customer_key_rejected",
            Self::Unreadable => "secret_unreadable",
        }
    }
}

impl CustomerKeys {
    /// Reads the signing secret from Secrets Manager if `CUSTOMER_KEY_SECRET_ARN` is set, else from `CUSTOMER_KEY_SECRET` and
    /// `CUSTOMER_KEY_SECRET_PREVIOUS`. None if neither is set.
    pub(crate) async fn of_function(environment: &FunctionEnvironment) -> Result<Option<Self>, ConfigError> {
        const LOCAL: &str = "CUSTOMER_KEY_SECRET";
        let (arn, local) = (optional(SECRET_ARN), optional(LOCAL));
        if arn.is_none() && local.is_none() {
            return Ok(None);
        }
        let local = || {
            let previous = optional("CUSTOMER_KEY_SECRET_PREVIOUS");
            SigningSecret::new(&local.unwrap_or_default(), previous.as_deref()).map_err(|_| ConfigError::Missing(LOCAL))
        };
        Ok(Some(Self(Keyring::of_variable(environment, SECRET_ARN, local).await?)))
    }

    /// The customer that a key is signed for.
    pub(crate) async fn customer(&self, key: Option<&[u8]>) -> Result<Id, CustomerKeyError> {
        let key = key.ok_or(CustomerKeyError::Missing)?;
        let customer = |secret: &SigningSecret| secret.customer(key).ok_or(CustomerKeyError::Invalid);
        self.0.check(customer).await.map_err(|_| CustomerKeyError::Unreadable)?
    }

    /// Checks that a key is signed for this customer.
    pub(crate) async fn admits(&self, key: Option<&HeaderValue>, customer_id: &Id) -> Result<(), CustomerKeyError> {
        let signed = self.customer(key.map(HeaderValue::as_bytes)).await?;
        if signed == *customer_id { Ok(()) } else { Err(CustomerKeyError::OtherCustomer) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // HMAC-SHA256 of "customer-alder" by "signing-secret", computed with another implementation (Python's hmac).
    const SIGNATURE: &str = "2c8f330bd97dc70855ec3350239ed47fef7752446ce6645ccab1915fb64379f3";

    #[test]
    fn a_signature_admits_its_customer_and_nothing_else_does() {
        let secret = SigningSecret::new("signing-secret", None).unwrap();
        let key = |customer: &str, signature: &str| format!("HMAC-SHA256 {customer}:{signature}");
        let customer = |key: &str| secret.customer(key.as_bytes()).map(|id| id.to_string());
        assert_eq!(customer(&key("customer-alder", SIGNATURE)).as_deref(), Some("customer-alder"));
        assert_eq!(customer(&key("customer-alder", &SIGNATURE.to_uppercase())).as_deref(), Some("customer-alder"));
        for wrong in [
            key("customer-birch", SIGNATURE),
            key("customer-alder:", SIGNATURE),
            key(" customer-alder", SIGNATURE),
            key("customer-alder", &SIGNATURE.replace('a', "b")),
            key("customer-alder", SIGNATURE.get(..62).unwrap()),
            key("customer-alder", &format!("{SIGNATURE}00")),
            key("customer-alder", &format!("{SIGNATURE},{SIGNATURE}")),
            key("customer-alder", ""),
            format!("customer-alder:{SIGNATURE}"),
            format!("HMAC-SHA256 {SIGNATURE}"),
            String::new(),
        ] {
            assert_eq!(customer(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn both_secrets_of_a_rotation_are_accepted_and_an_empty_one_never_is() {
        let key = format!("HMAC-SHA256 customer-alder:{SIGNATURE}");
        for (current, previous, is_valid) in [
            ("signing-secret", Some("other"), true),
            ("other", Some("signing-secret"), true),
            ("other", Some(""), false),
            ("other", None, false),
        ] {
            let secret = SigningSecret::new(current, previous).unwrap();
            assert_eq!(secret.customer(key.as_bytes()).is_some(), is_valid, "{current} {previous:?}");
        }
        assert_eq!(SigningSecret::new("", Some("signing-secret")).unwrap_err(), EmptySecret);
    }

    #[test]
    fn an_id_with_colons_ends_at_the_last_one() {
        let secret = SigningSecret::new("s", None).unwrap();
        let mac = Hmac::<Sha256>::new_from_slice(b"s").unwrap().chain_update("a:b").finalize().into_bytes();
        let customer = secret.customer(format!("HMAC-SHA256 a:b:{}", hex::encode(mac)).as_bytes()).unwrap();
        assert_eq!(customer.as_str(), "a:b");
    }

    #[test]
    fn the_stored_secret_is_parsed_and_never_printed() {
        assert_eq!(
            format!("{:?}", SigningSecret::of_json(r#"{"signingSecret":"s","previousSigningSecret":""}"#)),
            "Ok(SigningSecret(redacted))"
        );
        for json in ["", "secret-in-plain", r#"{"signingSecret":""}"#, r#"{"token":"secret-in-plain"}"#] {
            let problem = SigningSecret::of_json(json).unwrap_err();
            assert!(!problem.contains("plain"), "{problem}");
        }
    }
}
