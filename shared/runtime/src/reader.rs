//! Authentication of readers: by a bearer token, or by API Gateway's authorizer.

use lambda_http::{
    Request,
    http::{HeaderValue, StatusCode, header},
};
use serde::Deserialize;

use crate::{
    aws::FunctionEnvironment,
    config::{self, ConfigError, optional},
    gateway::{Authorizer, Caller},
    keyring::{Keyring, Secrets},
    secret::Secret,
};

/// A bearer token. In Secrets Manager: `{"token": "…", "previousToken": ""}`.
#[derive(Debug)]
pub struct ReaderToken(Secret);

impl Secrets for ReaderToken {
    fn of_json(json: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Stored {
            token: String,
            previous_token: Option<String>,
        }
        let stored: Stored = serde_json::from_str(json).map_err(|_| "the secret is not JSON with a string `token`")?;
        let secret = Secret::new(&stored.token, stored.previous_token.as_deref());
        secret.map(Self).map_err(|_| "the secret's `token` is empty".to_owned())
    }
}

/// The header with the API key of Stigg's SDKs.
const API_KEY: &str = "x-api-key";

/// How a function authenticates readers.
#[derive(Debug)]
pub enum ReaderAuth {
    /// By the bearer token in the header `Authorization`.
    Token(Keyring<ReaderToken>),
    /// By API Gateway's authorizer. The function checks that the event names it, so a route without its authorizer
    /// rejects all requests.
    Gateway(Authorizer),
}

/// Why a reader's request is rejected. The message is sent to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReaderRefusal {
    /// The token is missing or wrong.
    #[error("the bearer token in the header Authorization is missing or wrong")]
    Token,
    /// The key is wrong.
    #[error("the key in the header X-API-KEY is wrong")]
    ApiKey,
    /// API Gateway's authorizer did not accept the request.
    #[error("API Gateway's authorizer did not authorize this request")]
    NotAuthorized,
    /// The function's token can't be read from Secrets Manager.
    #[error("the function's token could not be read; try again")]
    Unreadable,
}

impl ReaderRefusal {
    /// The HTTP status of the response.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Token | Self::ApiKey | Self::NotAuthorized => StatusCode::UNAUTHORIZED,
            Self::Unreadable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The outcome in logs.
    pub fn label(self) -> &'static str {
        match self {
            Self::Token | Self::ApiKey | Self::NotAuthorized => "token_rejected",
            Self::Unreadable => "secret_unreadable",
        }
    }
}

impl From<Secret> for ReaderAuth {
    fn from(token: Secret) -> Self {
        Self::Token(ReaderToken(token).into())
    }
}

impl ReaderAuth {
    /// Reads the function's environment. `READERS_AUTH` is `token` (default), `jwt` or `iam`. The token is in the secret
    /// that `SECRET_ARN` names; if that is empty, in the variable `token` and, during a rotation, `previous`.
    ///
    /// # Errors
    /// If a variable is missing or invalid.
    pub async fn of_function(
        environment: &FunctionEnvironment,
        token: &'static str,
        previous: &'static str,
    ) -> Result<Self, ConfigError> {
        const VARIABLE: &str = "READERS_AUTH";
        match optional(VARIABLE).as_deref() {
            None | Some("token") => {
                let local = || config::secret(token, previous).map(ReaderToken);
                Ok(Self::Token(Keyring::of_function(environment, local).await?))
            }
            Some("jwt") => Ok(Self::Gateway(Authorizer::Jwt)),
            Some("iam") => Ok(Self::Gateway(Authorizer::Iam)),
            Some(_) => Err(ConfigError::Unknown { variable: VARIABLE, allowed: "token, jwt or iam" }),
        }
    }

    /// Accepts a bearer token in `Authorization`.
    ///
    /// # Errors
    /// If the request is rejected.
    pub async fn admits(&self, request: &Request) -> Result<(), ReaderRefusal> {
        self.admits_with(request, None).await
    }

    /// Accepts the token also in `X-API-KEY`, which Stigg's SDKs and OpenFeature's providers send.
    ///
    /// # Errors
    /// If the request is rejected.
    pub async fn admits_api_key(&self, request: &Request) -> Result<(), ReaderRefusal> {
        self.admits_with(request, request.headers().get(API_KEY).map(HeaderValue::as_bytes)).await
    }

    async fn admits_with(&self, request: &Request, api_key: Option<&[u8]>) -> Result<(), ReaderRefusal> {
        match self {
            Self::Token(keyring) => {
                let bearer = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
                let refusal = if api_key.is_some() { ReaderRefusal::ApiKey } else { ReaderRefusal::Token };
                let accepts = |ReaderToken(token): &ReaderToken| {
                    let is_accepted = token.accepts_bearer(bearer) || api_key.is_some_and(|key| token.accepts(key));
                    is_accepted.then_some(()).ok_or(refusal)
                };
                keyring.check(accepts).await.map_err(|_| ReaderRefusal::Unreadable)?
            }
            Self::Gateway(authorizer) => {
                let accepted_by = request.extensions().get::<Caller>().and_then(|caller| caller.authorizer);
                if accepted_by == Some(*authorizer) { Ok(()) } else { Err(ReaderRefusal::NotAuthorized) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::GatewayEvent;
    use lambda_http::Context;
    use serde_json::{Value, json};

    fn request(authorization: Option<&str>, authorizer: Value) -> Request {
        let mut context = json!({"http": {"method": "POST", "path": "/check-access", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"},
            "accountId": "0", "apiId": "0", "requestId": "0", "stage": "$default", "timeEpoch": 0});
        if !authorizer.is_null() {
            context["authorizer"] = authorizer;
        }
        let headers = authorization.map(|value| json!({ "authorization": value })).unwrap_or(json!({}));
        let event = json!({"version": "2.0", "routeKey": "$default", "rawPath": "/check-access", "rawQueryString": "",
            "headers": headers, "requestContext": context, "isBase64Encoded": false});
        GatewayEvent::read(&event.to_string()).into_request(Context::default())
    }

    #[tokio::test]
    async fn token_auth_requires_a_valid_token() {
        let auth = ReaderAuth::from(Secret::new("token", Some("previous")).unwrap());
        let authorized = json!({"jwt": {"claims": {}, "scopes": null}, "iam": {"userArn": "arn"}});
        for authorization in ["Bearer token", "Bearer previous"] {
            assert_eq!(auth.admits(&request(Some(authorization), Value::Null)).await, Ok(()));
        }
        for authorization in [None, Some("Bearer other"), Some("token")] {
            assert_eq!(auth.admits(&request(authorization, authorized.clone())).await, Err(ReaderRefusal::Token));
        }
    }

    #[tokio::test]
    async fn an_api_key_is_accepted_only_by_admits_api_key() {
        let auth = ReaderAuth::from(Secret::new("token", Some("previous")).unwrap());
        for (key, expected) in [("token", Ok(())), ("previous", Ok(())), ("Bearer token", Err(ReaderRefusal::ApiKey))] {
            let mut request = request(None, Value::Null);
            request.headers_mut().insert("X-API-KEY", key.parse().unwrap());
            assert_eq!(auth.admits_api_key(&request).await, expected, "{key}");
            assert_eq!(auth.admits(&request).await, Err(ReaderRefusal::Token), "{key}");
        }
        assert_eq!(auth.admits_api_key(&request(Some("Bearer token"), Value::Null)).await, Ok(()));
        assert_eq!(auth.admits_api_key(&request(None, Value::Null)).await, Err(ReaderRefusal::Token));
        let by_gateway = ReaderAuth::Gateway(Authorizer::Jwt);
        assert_eq!(by_gateway.admits_api_key(&request(None, Value::Null)).await, Err(ReaderRefusal::NotAuthorized));
    }

    #[tokio::test]
    async fn gateway_auth_requires_the_configured_authorizer() {
        let jwt = json!({"jwt": {"claims": {"sub": "service"}, "scopes": ["replica/check-access"]}});
        let iam = json!({"iam": {"accessKey": "A", "accountId": "0", "callerId": "c", "userArn": "arn", "userId": "u"}});
        for (authorizer, right, wrong) in [(Authorizer::Jwt, &jwt, &iam), (Authorizer::Iam, &iam, &jwt)] {
            let auth = ReaderAuth::Gateway(authorizer);
            assert_eq!(auth.admits(&request(None, right.clone())).await, Ok(()), "{authorizer:?}");
            for other in [wrong.clone(), json!({"lambda": {"jwt": "x"}}), json!({}), Value::Null] {
                let refused = auth.admits(&request(Some("Bearer token"), other.clone())).await;
                assert_eq!(refused, Err(ReaderRefusal::NotAuthorized), "{authorizer:?}: {other}");
            }
        }
    }

    #[test]
    fn errors_about_the_secret_do_not_contain_its_values() {
        assert!(ReaderToken::of_json(r#"{"token":"t","previousToken":""}"#).unwrap().0.accepts(b"t"));
        for json in ["", "token-in-plain", r#"{"token":""}"#, r#"{"token":null}"#, r#"{"other":"token-in-plain"}"#] {
            let problem = ReaderToken::of_json(json).unwrap_err();
            assert!(!problem.contains("plain"), "{problem}");
        }
    }
}
