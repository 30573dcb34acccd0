//! Which answer a request asks for, by its path and method.

use domain::id::{Id, IdError};
use lambda_http::http::{Method, StatusCode};
use percent_encoding::percent_decode_str;

const FLAGS: &str = "/ofrep/v1/evaluate/flags";

/// The routes of the function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// `/check-access`: one decision.
    Check,
    /// `/check-access/batch`: many decisions on one scope.
    Batch,
    /// `/v1/c/{customerId}/{document}`: a document of Stigg's Edge API on a customer.
    Edge(Id, Document),
    /// `/api/v1/customers/{customerId}/entitlements`: all of a scope, as Stigg's REST API answers.
    RestEntitlements(Id),
    /// `/api/v1/customers/{customerId}/entitlements/check`: one.
    RestCheck(Id),
    /// `/v1/config/{server,client}-sdk-configuration.json`.
    Configuration,
    /// `/v1/paywall.json` and `/v1/p/{productId}/paywall.json`.
    Paywall,
    /// `/ofrep/v1/evaluate/flags`: all flags of OpenFeature's protocol.
    Flags,
    /// `/ofrep/v1/evaluate/flags/{key}`: one.
    Flag(String),
}

/// The documents of Stigg's Edge API on a customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Document {
    /// `entitlements.json`.
    Entitlements,
    /// `entitlements-state.json`.
    State,
    /// `subscriptions.json`.
    Subscriptions,
}

/// No route serves the request. The message is fit for the caller.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RouteError {
    /// No route has this path.
    #[error("there is nothing at this path")]
    Path,
    /// The path's route has another method.
    #[error("only {0} is taken here")]
    Method(&'static str),
    /// It is for another part of Stigg's REST API.
    #[error(
        "this replica answers GET /api/v1/customers/{{id}}/entitlements and …/entitlements/check alone: writes and all \
         other reads of the API are for Stigg's own host, so keep a second client with its address for those"
    )]
    Stigg,
    /// The path holds an invalid id.
    #[error("the customer's id in the path {0}")]
    Id(#[from] IdError),
}

impl RouteError {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Path => StatusCode::NOT_FOUND,
            Self::Method(_) | Self::Stigg => StatusCode::METHOD_NOT_ALLOWED,
            Self::Id(_) => StatusCode::BAD_REQUEST,
        }
    }

    /// The outcome in one word, for logs.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Path => "path_rejected",
            Self::Method(_) | Self::Stigg => "method_rejected",
            Self::Id(_) => "request_rejected",
        }
    }
}

impl Route {
    /// The route of a request. `path` is as the client sent it, percent-encoding included.
    pub(crate) fn of(method: &Method, path: &str) -> Result<Self, RouteError> {
        let route = match path {
            "/check-access" => Self::Check,
            "/check-access/batch" => Self::Batch,
            "/v1/config/server-sdk-configuration.json" | "/v1/config/client-sdk-configuration.json" => Self::Configuration,
            "/v1/paywall.json" => Self::Paywall,
            FLAGS => Self::Flags,
            _ => {
                if let Some(rest) = path.strip_prefix("/api/") {
                    return Self::of_rest(method, rest);
                } else if let Some(rest) = path.strip_prefix("/v1/c/") {
                    // Stigg's SDKs don't encode an id's slashes.
                    let (customer_id, document) = rest.rsplit_once('/').ok_or(RouteError::Path)?;
                    let document = match document {
                        "entitlements.json" => Document::Entitlements,
                        "entitlements-state.json" => Document::State,
                        "subscriptions.json" => Document::Subscriptions,
                        _ => return Err(RouteError::Path),
                    };
                    Self::Edge(id(customer_id)?, document)
                } else if path.strip_prefix("/v1/p/").is_some_and(|rest| rest.ends_with("/paywall.json")) {
                    Self::Paywall
                } else if let Some(key) = path.strip_prefix(FLAGS).and_then(|rest| rest.strip_prefix('/')) {
                    Self::Flag(decoded(key)?)
                } else {
                    return Err(RouteError::Path);
                }
            }
        };
        let expected = match route {
            Self::Check | Self::Batch | Self::Flags | Self::Flag(_) => "POST",
            Self::Edge(..) | Self::Configuration | Self::Paywall | Self::RestEntitlements(_) | Self::RestCheck(_) => "GET",
        };
        if method.as_str() == expected { Ok(route) } else { Err(RouteError::Method(expected)) }
    }

    /// The route of a request to Stigg's REST API. API Gateway may have decoded an id's slashes.
    fn of_rest(method: &Method, path: &str) -> Result<Self, RouteError> {
        let rest = path.strip_prefix("v1/customers/").ok_or(RouteError::Stigg)?;
        let route = if let Some(customer_id) = rest.strip_suffix("/entitlements/check") {
            Self::RestCheck(id(customer_id)?)
        } else if let Some(customer_id) = rest.strip_suffix("/entitlements") {
            Self::RestEntitlements(id(customer_id)?)
        } else {
            return Err(RouteError::Stigg);
        };
        if method == Method::GET { Ok(route) } else { Err(RouteError::Method("GET")) }
    }
}

impl Route {
    /// The route without the path's parameters, for logs.
    pub(crate) fn template(&self) -> &'static str {
        match self {
            Self::Check => "/check-access",
            Self::Batch => "/check-access/batch",
            Self::Edge(_, Document::Entitlements) => "/v1/c/{customerId}/entitlements.json",
            Self::Edge(_, Document::State) => "/v1/c/{customerId}/entitlements-state.json",
            Self::Edge(_, Document::Subscriptions) => "/v1/c/{customerId}/subscriptions.json",
            Self::Configuration => "/v1/config/{document}",
            Self::Paywall => "/v1/paywall.json",
            Self::RestEntitlements(_) => "/api/v1/customers/{id}/entitlements",
            Self::RestCheck(_) => "/api/v1/customers/{id}/entitlements/check",
            Self::Flags => FLAGS,
            Self::Flag(_) => "/ofrep/v1/evaluate/flags/{key}",
        }
    }
}

/// A part of the path as an id.
fn id(part: &str) -> Result<Id, RouteError> {
    Ok(Id::try_from(decoded(part)?)?)
}

/// A part of the path without its percent-encoding. What is no encoding stays as it is.
fn decoded(part: &str) -> Result<String, RouteError> {
    let text = percent_decode_str(part).decode_utf8().map_err(|_| RouteError::Path)?;
    Ok(text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(customer_id: &str, document: Document) -> Result<Route, RouteError> {
        Ok(Route::Edge(Id::try_from(customer_id).unwrap(), document))
    }

    #[test]
    fn a_customers_id_is_what_stands_before_the_last_slash() {
        let long = "x".repeat(501);
        for (path, expected) in [
            ("/v1/c/c/entitlements.json", edge("c", Document::Entitlements)),
            ("/v1/c/c%201/%C3%A9/entitlements-state.json", edge("c 1/é", Document::State)),
            ("/v1/c/c 1/é/subscriptions.json", edge("c 1/é", Document::Subscriptions)),
            ("/v1/c/a%2Fb%23%3F/entitlements.json", edge("a/b#?", Document::Entitlements)),
            ("/v1/c/../entitlements.json", edge("..", Document::Entitlements)),
            ("/v1/c//entitlements.json/entitlements.json", edge("/entitlements.json", Document::Entitlements)),
            ("/v1/c/100%/entitlements.json", edge("100%", Document::Entitlements)),
            ("/v1/c/entitlements.json", Err(RouteError::Path)),
            ("/v1/c//entitlements.json", Err(RouteError::Id(IdError::Empty))),
            ("/v1/c/%00/entitlements.json", Err(RouteError::Id(IdError::Nul))),
            (&format!("/v1/c/{long}/entitlements.json"), Err(RouteError::Id(IdError::TooLong))),
            ("/v1/c/%FF/entitlements.json", Err(RouteError::Path)),
            ("/v1/c/c/other.json", Err(RouteError::Path)),
            ("/v1/c/c/entitlements%2Ejson", Err(RouteError::Path)),
        ] {
            assert_eq!(Route::of(&Method::GET, path), expected, "{path}");
        }
    }

    #[test]
    fn of_the_rest_api_two_reads_are_served_and_no_more() {
        let id = |id: &str| Id::try_from(id).unwrap();
        for (method, path, expected) in [
            ("GET", "/api/v1/customers/c/entitlements", Ok(Route::RestEntitlements(id("c")))),
            ("GET", "/api/v1/customers/c%201%2F%C3%A9/entitlements/check", Ok(Route::RestCheck(id("c 1/é")))),
            ("GET", "/api/v1/customers/c 1/é/entitlements/check", Ok(Route::RestCheck(id("c 1/é")))),
            ("GET", "/api/v1/customers//entitlements", Err(RouteError::Id(IdError::Empty))),
            ("POST", "/api/v1/customers/c/entitlements", Err(RouteError::Method("GET"))),
            ("GET", "/api/v1/customers/c", Err(RouteError::Stigg)),
            ("GET", "/api/v1/customers/entitlements", Err(RouteError::Stigg)),
            ("GET", "/api/v1/customers/c/promotional-entitlements", Err(RouteError::Stigg)),
            ("DELETE", "/api/v2/subscriptions/s", Err(RouteError::Stigg)),
            ("GET", "/api", Err(RouteError::Path)),
        ] {
            assert_eq!(Route::of(&method.parse().unwrap(), path), expected, "{method} {path}");
        }
    }

    #[test]
    fn a_path_and_its_method_have_one_route() {
        for (method, path, expected) in [
            ("POST", "/check-access", Ok(Route::Check)),
            ("POST", "/check-access/batch", Ok(Route::Batch)),
            ("GET", "/v1/config/server-sdk-configuration.json", Ok(Route::Configuration)),
            ("GET", "/v1/config/client-sdk-configuration.json", Ok(Route::Configuration)),
            ("GET", "/v1/paywall.json", Ok(Route::Paywall)),
            ("GET", "/v1/p/a/b/paywall.json", Ok(Route::Paywall)),
            ("POST", "/v1/c/c/entitlements.json", Err(RouteError::Method("GET"))),
            ("POST", "/ofrep/v1/evaluate/flags", Ok(Route::Flags)),
            ("POST", "/ofrep/v1/evaluate/flags/f/num%20x", Ok(Route::Flag("f/num x".to_owned()))),
            ("GET", "/ofrep/v1/evaluate/flags/f", Err(RouteError::Method("POST"))),
            ("POST", "/ofrep/v1/evaluate/flagsf", Err(RouteError::Path)),
            ("GET", "/v1/config/other.json", Err(RouteError::Path)),
            ("GET", "/v1", Err(RouteError::Path)),
            ("GET", "/check-access", Err(RouteError::Method("POST"))),
            ("PUT", "/check-access/batch", Err(RouteError::Method("POST"))),
            ("POST", "/check-access/", Err(RouteError::Path)),
            ("POST", "/check-access/batch/x", Err(RouteError::Path)),
            ("POST", "/", Err(RouteError::Path)),
            ("GET", "", Err(RouteError::Path)),
        ] {
            assert_eq!(Route::of(&method.parse().unwrap(), path), expected, "{method} {path}");
        }
    }
}
