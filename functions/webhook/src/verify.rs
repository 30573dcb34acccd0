//! Verifies the sender of an event: source address, Stigg's secret header and, if a signing key is set, the signature.

use std::net::IpAddr;

use ipnet::IpNet;
use jiff::Timestamp;
use lambda_http::Request;
use runtime::{
    config::{self, ConfigError, optional},
    gateway::Caller,
    keyring::Secrets,
    secret::Secret,
    signature::{ID_HEADER, SIGNATURE_HEADER, SignatureError, SignedHeaders, SigningKeys, TIMESTAMP_HEADER},
};
use serde::Deserialize;

const SECRET_HEADER: &str = "stigg-webhooks-secret";

/// Why a request is not from Stigg. The message can be shown to the sender.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unverified {
    #[error("events from this address are not accepted: it is not in the list of allowed sources")]
    Source,
    #[error(
        "the webhook's secret is not set yet: copy the secret that Stigg shows for this webhook into the stack's \
         WebhookSecret (see docs/deploy.md)"
    )]
    Unset,
    #[error("the webhook's secret could not be read, so the event can't be verified; send it again")]
    Unreadable,
    #[error("the header Stigg-Webhooks-Secret is missing or wrong")]
    Secret,
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

/// The addresses that events may come from.
#[derive(Clone, Debug, Default)]
pub struct AllowedSources(Option<Vec<IpNet>>);

impl AllowedSources {
    /// Reads `WEBHOOK_ALLOWED_SOURCES`: addresses and CIDR blocks separated by commas. If it is empty, any address is allowed.
    ///
    /// # Errors
    /// If an entry is invalid.
    pub fn of_environment() -> Result<Self, ConfigError> {
        const VARIABLE: &str = "WEBHOOK_ALLOWED_SOURCES";
        let allowed = "a list of addresses and CIDR blocks, separated by commas";
        optional(VARIABLE)
            .map_or(Ok(Self::default()), |list| Self::parse(&list))
            .map_err(|_| ConfigError::Unknown { variable: VARIABLE, allowed })
    }

    fn parse(list: &str) -> Result<Self, ipnet::AddrParseError> {
        let block = |text: &str| text.parse().or_else(|error| text.parse::<IpAddr>().map(IpNet::from).map_err(|_| error));
        list.split(',').map(str::trim).map(block).collect::<Result<_, _>>().map(|blocks| Self(Some(blocks)))
    }

    /// Checks the address from which API Gateway received the request.
    pub(crate) fn check(&self, request: &Request) -> Result<(), Unverified> {
        let Some(blocks) = &self.0 else { return Ok(()) };
        let source = request.extensions().get::<Caller>().and_then(|caller| caller.source_ip);
        let is_allowed = source.is_some_and(|source| blocks.iter().any(|block| block.contains(&source)));
        if is_allowed { Ok(()) } else { Err(Unverified::Source) }
    }
}

/// The secrets that events are verified with. In Secrets Manager:
/// `{"secret": "…", "previousSecret": "", "signingKey": "", "previousSigningKey": ""}`.
#[derive(Debug)]
pub struct WebhookSecrets {
    /// None if it is not set yet: every event is then refused.
    secret: Option<Secret>,
    /// None if signatures are not required.
    signing_keys: Option<SigningKeys>,
}

impl Secrets for WebhookSecrets {
    fn of_json(json: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Stored {
            secret: String,
            previous_secret: Option<String>,
            signing_key: Option<String>,
            previous_signing_key: Option<String>,
        }
        let stored: Stored = serde_json::from_str(json).map_err(|_| "it is not JSON with a string `secret`")?;
        let signing_keys = signing_keys(stored.signing_key.as_deref(), stored.previous_signing_key.as_deref());
        Ok(Self {
            secret: Secret::new(&stored.secret, stored.previous_secret.as_deref()).ok(),
            signing_keys: signing_keys.map_err(|error| format!("its signing key {error}"))?,
        })
    }
}

impl From<Secret> for WebhookSecrets {
    fn from(secret: Secret) -> Self {
        Self { secret: Some(secret), signing_keys: None }
    }
}

impl WebhookSecrets {
    /// Reads the variables `STIGG_WEBHOOK_SECRET` and `WEBHOOK_SIGNING_KEY`, and their previous values from `…_PREVIOUS`.
    /// Without a signing key, signatures are not required.
    ///
    /// # Errors
    /// If the secret is missing, or a key is invalid.
    pub fn of_environment() -> Result<Self, ConfigError> {
        const KEY: &str = "WEBHOOK_SIGNING_KEY";
        let secret = config::secret("STIGG_WEBHOOK_SECRET", "STIGG_WEBHOOK_SECRET_PREVIOUS")?;
        let keys = signing_keys(optional(KEY).as_deref(), optional("WEBHOOK_SIGNING_KEY_PREVIOUS").as_deref());
        let keys =
            keys.map_err(|_| ConfigError::Unknown { variable: KEY, allowed: "whsec_ followed by at least 24 bytes in base64" })?;
        Ok(Self::from(secret).with_signing_keys(keys))
    }

    /// Requires a signature by one of these keys.
    #[must_use]
    pub fn with_signing_keys(self, signing_keys: Option<SigningKeys>) -> Self {
        Self { signing_keys, ..self }
    }

    /// Checks the secret and, if signing keys are set, the signature.
    pub(crate) fn verify(&self, request: &Request, now: Timestamp) -> Result<(), Unverified> {
        let header = |name: &str| request.headers().get(name);
        let secret = self.secret.as_ref().ok_or(Unverified::Unset)?;
        if !header(SECRET_HEADER).is_some_and(|presented| secret.accepts(presented.as_bytes())) {
            return Err(Unverified::Secret);
        }
        if let Some(keys) = &self.signing_keys {
            let text = |name: &str| header(name).and_then(|value| value.to_str().ok());
            let headers =
                SignedHeaders { id: text(ID_HEADER), timestamp: text(TIMESTAMP_HEADER), signature: text(SIGNATURE_HEADER) };
            keys.verify(headers, request.body(), now)?;
        }
        Ok(())
    }
}

fn signing_keys(current: Option<&str>, previous: Option<&str>) -> Result<Option<SigningKeys>, runtime::signature::KeyError> {
    current.filter(|key| !key.is_empty()).map(|current| SigningKeys::new(current, previous)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lambda_http::{Body, Context};
    use runtime::gateway::GatewayEvent;
    use runtime::signature::SigningKey;
    use serde_json::json;

    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const BODY: &str = r#"{"type":"customer.created","id":"c"}"#;

    fn request(source: &str, headers: &[(&str, &str)]) -> Request {
        let context = json!({"http": {"method": "POST", "path": "/webhook", "protocol": "HTTP/1.1", "sourceIp": source},
            "accountId": "0", "apiId": "0", "requestId": "0", "stage": "$default", "timeEpoch": 0});
        let headers: serde_json::Map<_, _> = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
        let event = json!({"version": "2.0", "routeKey": "$default", "rawPath": "/webhook", "rawQueryString": "",
            "headers": headers, "requestContext": context, "body": BODY, "isBase64Encoded": false});
        GatewayEvent::read(&event.to_string()).into_request(Context::default())
    }

    #[test]
    fn only_listed_addresses_may_send_events_if_there_is_a_list() {
        let list = AllowedSources::parse("18.119.35.43, 10.0.0.0/8,2001:db8::/32").unwrap();
        for (source, is_allowed) in [
            ("18.119.35.43", true),
            ("18.119.35.44", false),
            ("10.200.1.2", true),
            ("2001:db8::1", true),
            ("2001:db9::1", false),
            ("", false),
            ("somewhere", false),
        ] {
            let expected = if is_allowed { Ok(()) } else { Err(Unverified::Source) };
            assert_eq!(list.check(&request(source, &[])), expected, "{source}");
            assert_eq!(AllowedSources::default().check(&request(source, &[])), Ok(()));
        }
        for list in ["10.0.0.0/33", "stigg.io", "10.0.0.1;10.0.0.2", ","] {
            assert!(AllowedSources::parse(list).is_err(), "{list}");
        }
    }

    #[test]
    fn with_a_signing_key_a_signature_is_required_beside_the_secret() {
        let now: Timestamp = "2026-11-24T05:00:00Z".parse().unwrap();
        let signature = SigningKey::parse(KEY).unwrap().sign("m", now.as_second(), BODY.as_bytes());
        let timestamp = now.as_second().to_string();
        let secret = ("stigg-webhooks-secret", "secret");
        let signed = [secret, (ID_HEADER, "m"), (TIMESTAMP_HEADER, &timestamp), (SIGNATURE_HEADER, &signature)];
        let secrets = |key: &str| WebhookSecrets::of_json(&json!({"secret": "secret", "signingKey": key}).to_string()).unwrap();
        assert_eq!(secrets("").verify(&request("", &[secret]), now), Ok(()));
        assert_eq!(secrets(KEY).verify(&request("", &signed), now), Ok(()));
        let missing = Unverified::Signature(SignatureError::Header(ID_HEADER));
        assert_eq!(secrets(KEY).verify(&request("", &[secret]), now), Err(missing));
        assert_eq!(secrets(KEY).verify(&request("", &signed[1..]), now), Err(Unverified::Secret));
    }

    #[test]
    fn an_empty_secret_counts_as_not_set_and_every_event_is_refused() {
        let empty = WebhookSecrets::of_json(r#"{"secret":"","previousSecret":"p","signingKey":""}"#).unwrap();
        for presented in ["", "p"] {
            let refused = empty.verify(&request("", &[("stigg-webhooks-secret", presented)]), Timestamp::now());
            assert_eq!(refused, Err(Unverified::Unset));
        }
        for json in ["", "secret-in-plain", r#"{"secret":null}"#, r#"{"secret":"s","signingKey":"key-in-plain"}"#] {
            assert!(!WebhookSecrets::of_json(json).unwrap_err().contains("plain"));
        }
    }

    #[test]
    fn the_signature_covers_the_body_byte_for_byte() {
        let now = Timestamp::now();
        let signature = SigningKey::parse(KEY).unwrap().sign("m", now.as_second(), BODY.as_bytes());
        let timestamp = now.as_second().to_string();
        let headers = [
            ("stigg-webhooks-secret", "secret"),
            (ID_HEADER, "m"),
            (TIMESTAMP_HEADER, timestamp.as_str()),
            (SIGNATURE_HEADER, signature.as_str()),
        ];
        let mut request = request("", &headers);
        *request.body_mut() = Body::Text(BODY.replace(':', ": "));
        let secrets = WebhookSecrets::of_json(&json!({"secret": "secret", "signingKey": KEY}).to_string()).unwrap();
        assert_eq!(secrets.verify(&request, now), Err(Unverified::Signature(SignatureError::Mismatch)));
    }
}
