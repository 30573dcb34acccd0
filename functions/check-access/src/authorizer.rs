//! A Lambda authorizer for HTTP APIs: allows a request to another service if the customer has access to a feature.
//!
//! Source: Amazon API Gateway, Lambda authorizers for HTTP APIs, payload format 2.0 with simple responses.
//!
//! Of the sources of the customer id, only a signed customer key authenticates the caller. Any other source is safe only if
//! a component in front, which callers can't bypass, sets it.

use std::collections::BTreeMap;

use domain::{
    access::{AccessDeniedReason, AccessRequest, Decision},
    id::{Id, IdError},
};
use lambda_http::{Body, Response, aws_lambda_events::query_map::QueryMap, http::StatusCode};
use runtime::{
    config::{ConfigError, optional},
    reply,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::customer_key::{self, CustomerKeyError, CustomerKeys};

/// An authorizer's event.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthorizerEvent {
    version: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(rename = "routeArn")]
    _route_arn: String,
    route_key: Option<String>,
    raw_query_string: Option<String>,
    headers: Option<BTreeMap<String, String>>,
    path_parameters: Option<BTreeMap<String, String>>,
}

impl AuthorizerEvent {
    /// None if the JSON is not an authorizer's event. API Gateway sets the members that are checked; clients can't.
    pub(crate) fn read(json: &str) -> Option<Self> {
        if !json.contains(r#""routeArn""#) {
            // Saves most invocations from being parsed twice.
            return None;
        }
        let event: Self = serde_json::from_str(json).ok()?;
        (event.version == "2.0" && event.kind == "REQUEST").then_some(event)
    }

    /// The values of a part of the request. The case of a header's name is ignored.
    fn values(&self, source: &Source) -> Vec<String> {
        let of = |values: &Option<BTreeMap<String, String>>, is_named: &dyn Fn(&str) -> bool| {
            let values = values.iter().flatten().filter(|(name, _)| is_named(name));
            values.map(|(_, value)| value.clone()).collect()
        };
        match source {
            Source::Header(name) => of(&self.headers, &|other| name.eq_ignore_ascii_case(other)),
            Source::Path(name) => of(&self.path_parameters, &|other| name == other),
            Source::Query(name) => {
                let query: QueryMap = self.raw_query_string.as_deref().unwrap_or_default().parse().unwrap_or_default();
                query.all(name).unwrap_or_default().into_iter().map(str::to_owned).collect()
            }
        }
    }

    /// The only value of a part of the request. Two values are an error: the service behind the API could use the other one.
    fn value(&self, source: &Source) -> Result<Option<String>, AuthorizerError> {
        let mut values = self.values(source).into_iter();
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(AuthorizerError::Ambiguous(source.to_string())),
            (value, None) => Ok(value.filter(|value| !value.is_empty())),
        }
    }

    fn id(&self, source: &Source) -> Result<Option<Id>, AuthorizerError> {
        let id = self.value(source)?.map(Id::try_from).transpose();
        id.map_err(|error| AuthorizerError::Id(source.to_string(), error))
    }
}

/// A part of the request, in the notation of API Gateway's identity sources.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    /// `$request.header.NAME`
    Header(String),
    /// `$request.path.NAME`
    Path(String),
    /// `$request.querystring.NAME`
    Query(String),
}

impl Source {
    fn parse(text: &str) -> Option<Self> {
        let (part, name) = text.strip_prefix("$request.")?.split_once('.')?;
        let name = Some(name).filter(|name| !name.is_empty())?.to_owned();
        match part {
            "header" => Some(Self::Header(name)),
            "path" => Some(Self::Path(name)),
            "querystring" => Some(Self::Query(name)),
            _ => None,
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (part, name) = match self {
            Self::Header(name) => ("header", name),
            Self::Path(name) => ("path", name),
            Self::Query(name) => ("querystring", name),
        };
        write!(f, "$request.{part}.{name}")
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum CustomerSource {
    /// `$customerKey`: the customer of the key in `X-CUSTOMER-KEY`.
    Signed,
    Request(Source),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum FeatureSource {
    Fixed(Id),
    Request(Source),
    /// `{"GET /reports":"feature-reports"}`: feature ids by route key.
    Routes(BTreeMap<String, Id>),
}

/// The authorizer's configuration: the source of each part of a check.
#[derive(Clone, Debug, PartialEq)]
pub struct Authorizer {
    customer: CustomerSource,
    feature: FeatureSource,
    resource: Option<Source>,
    requested_usage: f64,
}

/// Why there is no decision. The request is then denied.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AuthorizerError {
    #[error("no authorizer is configured: AuthorizerCustomer and AuthorizerFeature are not set")]
    NotConfigured,
    #[error("the request has no {0}")]
    Missing(String),
    #[error("the request has more than one {0}")]
    Ambiguous(String),
    #[error("{0} {1}")]
    Id(String, IdError),
    #[error("no feature is set for this route")]
    Route,
    #[error(transparent)]
    CustomerKey(#[from] CustomerKeyError),
}

impl AuthorizerError {
    /// For the log. The response to API Gateway has no status.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::CustomerKey(error) => error.status(),
            Self::NotConfigured | Self::Route => StatusCode::FORBIDDEN,
            Self::Missing(_) | Self::Ambiguous(_) | Self::Id(..) => StatusCode::BAD_REQUEST,
        }
    }

    /// The outcome in one word, for logs.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::CustomerKey(error) => error.label(),
            Self::NotConfigured | Self::Route => "authorizer_not_configured",
            Self::Missing(_) | Self::Ambiguous(_) | Self::Id(..) => "request_rejected",
        }
    }
}

impl Authorizer {
    /// Reads the function's environment variables.
    pub(crate) fn of_function() -> Result<Option<Self>, ConfigError> {
        Self::read(optional)
    }

    /// Reads the variables `AUTHORIZER_CUSTOMER`, `AUTHORIZER_FEATURE`, `AUTHORIZER_RESOURCE` and
    /// `AUTHORIZER_REQUESTED_USAGE`. None if the first is not set.
    ///
    /// # Errors
    /// If a value is invalid, or the feature is missing.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, ConfigError> {
        let unknown = |variable, allowed| ConfigError::Unknown { variable, allowed };
        let Some(customer) = variable("AUTHORIZER_CUSTOMER") else { return Ok(None) };
        let customer = match customer.as_str() {
            "$customerKey" => Some(CustomerSource::Signed),
            source => Source::parse(source).map(CustomerSource::Request),
        };
        let feature = variable("AUTHORIZER_FEATURE").ok_or(ConfigError::Missing("AUTHORIZER_FEATURE"))?;
        let feature = match feature.get(..1) {
            Some("$") => Source::parse(&feature).map(FeatureSource::Request),
            Some("{") => serde_json::from_str(&feature).ok().map(FeatureSource::Routes),
            _ => Id::try_from(feature).ok().map(FeatureSource::Fixed),
        };
        let resource = variable("AUTHORIZER_RESOURCE").map(|text| {
            let allowed = "$request.header.NAME, $request.path.NAME or $request.querystring.NAME";
            Source::parse(&text).ok_or(unknown("AUTHORIZER_RESOURCE", allowed))
        });
        let usage = variable("AUTHORIZER_REQUESTED_USAGE").map_or(Some(0.0), |text| text.parse::<f64>().ok());
        let allowed = "a finite number, not below 0";
        Ok(Some(Self {
            customer: customer.ok_or(unknown(
                "AUTHORIZER_CUSTOMER",
                "$customerKey, $request.header.NAME, $request.path.NAME or $request.querystring.NAME",
            ))?,
            feature: feature.ok_or(unknown(
                "AUTHORIZER_FEATURE",
                "a feature id, a source such as $request.path.NAME, or a JSON object of feature ids by route key",
            ))?,
            resource: resource.transpose()?,
            requested_usage: usage
                .filter(|usage| usage.is_finite() && *usage >= 0.0)
                .ok_or(unknown("AUTHORIZER_REQUESTED_USAGE", allowed))?,
        }))
    }

    pub(crate) fn needs_customer_keys(&self) -> bool {
        self.customer == CustomerSource::Signed
    }

    /// The check for an event. Every configured part must be present: without its resource, the check would be of the
    /// customer level.
    pub(crate) async fn request(
        &self,
        event: &AuthorizerEvent,
        keys: Option<&CustomerKeys>,
    ) -> Result<AccessRequest, AuthorizerError> {
        let id = |source: &Source| event.id(source)?.ok_or_else(|| AuthorizerError::Missing(source.to_string()));
        let customer_id = match &self.customer {
            CustomerSource::Request(source) => id(source)?,
            CustomerSource::Signed => {
                let key = event.value(&Source::Header(customer_key::HEADER.to_owned()))?;
                keys.ok_or(AuthorizerError::NotConfigured)?.customer(key.as_deref().map(str::as_bytes)).await?
            }
        };
        let feature_id = match &self.feature {
            FeatureSource::Fixed(feature_id) => feature_id.clone(),
            FeatureSource::Request(source) => id(source)?,
            FeatureSource::Routes(routes) => {
                let feature_id = event.route_key.as_ref().and_then(|route| routes.get(route));
                feature_id.cloned().ok_or(AuthorizerError::Route)?
            }
        };
        Ok(AccessRequest {
            customer_id,
            feature_id,
            resource_id: self.resource.as_ref().map(id).transpose()?,
            requested_usage: self.requested_usage,
            requested_values: Vec::new(),
        })
    }
}

/// API Gateway's simple response.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Authorization<C> {
    is_authorized: bool,
    /// Available to the service behind the API and to the access log as `$context.authorizer.NAME`.
    context: C,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DecisionContext<'a> {
    customer_id: &'a Id,
    feature_id: &'a Id,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_id: Option<&'a Id>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_denied_reason: Option<AccessDeniedReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_usage: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage_limit: Option<&'a Value>,
}

/// The response to a decision.
pub(crate) fn decided(status: StatusCode, request: &AccessRequest, decision: &Decision) -> Response<Body> {
    let context = DecisionContext {
        customer_id: &request.customer_id,
        feature_id: &request.feature_id,
        resource_id: request.resource_id.as_ref(),
        access_denied_reason: decision.denied,
        current_usage: decision.snapshot.current_usage.as_ref(),
        usage_limit: decision.snapshot.usage_limit.as_ref(),
    };
    reply::json(status, &Authorization { is_authorized: decision.has_access(), context })
}

/// The response if there is no decision: a denial.
pub(crate) fn denied(status: StatusCode, error: String) -> Response<Body> {
    #[derive(Serialize)]
    struct ErrorContext {
        error: String,
    }
    reply::json(status, &Authorization { is_authorized: false, context: ErrorContext { error } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn authorizer(variables: &[(&str, &str)]) -> Result<Option<Authorizer>, String> {
        let variable = |name: &str| {
            let value = variables.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned());
            value.filter(|value| !value.is_empty())
        };
        Authorizer::read(variable).map_err(|error| error.to_string())
    }

    fn event(changes: Value) -> AuthorizerEvent {
        let mut event = json!({
            "version": "2.0", "type": "REQUEST", "routeArn": "arn:aws:execute-api:r:0:a/$default/GET/r", "routeKey": "GET /r/{c}",
            "identitySource": ["c"], "rawPath": "/r/c", "rawQueryString": "f=q%2B1&twice=a&twice=b&none=",
            "headers": {"x-customer": "h", "empty": ""}, "pathParameters": {"c": "p"},
        });
        event.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        AuthorizerEvent::read(&event.to_string()).unwrap()
    }

    #[test]
    fn only_authorizer_events_are_recognized() {
        for json in [
            json!({"version": "2.0", "type": "REQUEST", "rawPath": "/"}),
            json!({"version": "1.0", "type": "REQUEST", "routeArn": "a"}),
            json!({"version": "2.0", "type": "TOKEN", "routeArn": "a"}),
            json!({"version": "2.0", "headers": {"type": "REQUEST", "routeArn": "a"}}),
            json!({"version": "2.0", "type": "REQUEST", "body": r#"{"routeArn":"a"}"#}),
            json!(["routeArn"]),
        ] {
            assert!(AuthorizerEvent::read(&json.to_string()).is_none(), "{json}");
        }
    }

    #[tokio::test]
    async fn each_part_is_read_from_its_configured_source_or_the_request_is_rejected() {
        let routes = r#"{"GET /r/{c}":"routed"}"#;
        for (customer, feature, resource, expected) in [
            ("$request.header.X-Customer", "fixed", "", Ok(("h", "fixed", None))),
            ("$request.path.c", "$request.querystring.f", "$request.path.c", Ok(("p", "q+1", Some("p")))),
            ("$request.path.c", routes, "", Ok(("p", "routed", None))),
            ("$request.path.c", r#"{"GET /other":"f"}"#, "", Err("no feature is set for this route")),
            ("$request.path.C", "f", "", Err("the request has no $request.path.C")),
            ("$request.header.empty", "f", "", Err("the request has no $request.header.empty")),
            ("$request.querystring.none", "f", "", Err("the request has no $request.querystring.none")),
            ("$request.querystring.twice", "f", "", Err("the request has more than one $request.querystring.twice")),
            ("$request.path.c", "f", "$request.header.x-resource", Err("the request has no $request.header.x-resource")),
            ("$customerKey", "f", "", Err("no authorizer is configured: AuthorizerCustomer and AuthorizerFeature are not set")),
        ] {
            let variables =
                [("AUTHORIZER_CUSTOMER", customer), ("AUTHORIZER_FEATURE", feature), ("AUTHORIZER_RESOURCE", resource)];
            let check = authorizer(&variables).unwrap().unwrap().request(&event(json!({})), None).await;
            let check = check.map_err(|error| error.to_string());
            let check = check
                .as_ref()
                .map(|check| (check.customer_id.as_str(), check.feature_id.as_str(), check.resource_id.as_ref().map(Id::as_str)));
            assert_eq!(check, expected.map_err(str::to_owned).as_ref().copied(), "{customer} {feature} {resource}");
        }
        let cased = event(json!({"headers": {"X-Customer": "a", "x-customer": "b"}}));
        let variables = [("AUTHORIZER_CUSTOMER", "$request.header.x-customer"), ("AUTHORIZER_FEATURE", "f")];
        let check = authorizer(&variables).unwrap().unwrap().request(&cased, None).await;
        assert_eq!(check.unwrap_err(), AuthorizerError::Ambiguous("$request.header.x-customer".to_owned()));
    }

    #[test]
    fn invalid_settings_are_rejected_by_name() {
        assert_eq!(authorizer(&[("AUTHORIZER_FEATURE", "f")]), Ok(None));
        for (name, value) in [
            ("AUTHORIZER_CUSTOMER", "customer-alder"),
            ("AUTHORIZER_CUSTOMER", "$request.body.customer"),
            ("AUTHORIZER_CUSTOMER", "$request.header."),
            ("AUTHORIZER_FEATURE", "$customerKey"),
            ("AUTHORIZER_FEATURE", r#"{"GET /":""}"#),
            ("AUTHORIZER_FEATURE", "{"),
            ("AUTHORIZER_RESOURCE", "site"),
            ("AUTHORIZER_REQUESTED_USAGE", "-1"),
            ("AUTHORIZER_REQUESTED_USAGE", "NaN"),
            ("AUTHORIZER_REQUESTED_USAGE", "one"),
        ] {
            let variables = [(name, value), ("AUTHORIZER_CUSTOMER", "$customerKey"), ("AUTHORIZER_FEATURE", "f")];
            let error = authorizer(&variables).unwrap_err();
            assert!(error.contains(name), "{value}: {error}");
        }
        let error = authorizer(&[("AUTHORIZER_CUSTOMER", "$customerKey")]).unwrap_err();
        assert!(error.contains("AUTHORIZER_FEATURE"), "{error}");
    }
}
