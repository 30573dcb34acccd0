//! The function's routes, by path and method.

use domain::id::{Id, IdError};
use lambda_http::http::{Method, StatusCode};
use percent_encoding::percent_decode_str;

const FLAGS: &str = "/ofrep/v1/evaluate/flags";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// `/check-access`
    Check,
    /// `/check-access/batch`: checks of one scope.
    Batch,
    /// `/v1/c/{customerId}/{document}`: a customer's document of Stigg's Edge API.
    Edge(Id, Document),
    /// `/api/v1/customers/{customerId}/entitlements`: all entitlements of a scope, in the form of Stigg's REST API.
    RestEntitlements(Id),
    /// `/api/v1/customers/{customerId}/entitlements/check`: one entitlement.
    RestCheck(Id),
    /// `/v1/config/{server,client}-sdk-configuration.json`
    Configuration,
    /// `/v1/paywall.json` and `/v1/p/{productId}/paywall.json`
    Paywall,
    /// `/ofrep/v1/evaluate/flags`: all flags of the OpenFeature protocol.
    Flags,
    /// `/ofrep/v1/evaluate/flags/{key}`: one flag.
    Flag(String),
}

/// A customer's documents of Stigg's Edge API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Document {
    /// `entitlements.json`
    Entitlements,
    /// `entitlements-state.json`
    State,
    /// `subscriptions.json`
    Subscriptions,
}

/// Why no route serves a request. The message can be shown to the caller.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RouteError {
    #[error("there is nothing at this path")]
    Path,
    /// Contains the method of the path's route.
    #[error("method not allowed: use {0}")]
    Method(&'static str),
    /// Stigg's REST API has the path, but the replica does not serve it.
    #[error(
        "this replica serves only GET /api/v1/customers/{{id}}/entitlements and …/entitlements/check: send all other \
         requests to Stigg's own host, with a second client"
    )]
    NotInReplica,
    #[error("the customer id in the path {0}")]
    Id(#[from] IdError),
}

impl RouteError {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Path => StatusCode::NOT_FOUND,
            Self::Method(_) | Self::NotInReplica => StatusCode::METHOD_NOT_ALLOWED,
            Self::Id(_) => StatusCode::BAD_REQUEST,
        }
    }

    /// The outcome in one word, for logs.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Path => "path_rejected",
            Self::Method(_) | Self::NotInReplica => "method_rejected",
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
                    // Stigg's SDKs don't encode slashes in ids.
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

    /// The route of a path below `/api/`. API Gateway may have decoded slashes in the id.
    fn of_rest(method: &Method, path: &str) -> Result<Self, RouteError> {
        let rest = path.strip_prefix("v1/customers/").ok_or(RouteError::NotInReplica)?;
        let route = if let Some(customer_id) = rest.strip_suffix("/entitlements/check") {
            Self::RestCheck(id(customer_id)?)
        } else if let Some(customer_id) = rest.strip_suffix("/entitlements") {
            Self::RestEntitlements(id(customer_id)?)
        } else {
            return Err(RouteError::NotInReplica);
        };
        if method == Method::GET { Ok(route) } else { Err(RouteError::Method("GET")) }
    }
}

impl Route {
    /// The path with placeholders for its parameters, for logs.
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

fn id(part: &str) -> Result<Id, RouteError> {
    Ok(Id::try_from(decoded(part)?)?)
}

/// Removes the percent-encoding. Keeps invalid escapes as they are.
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
    fn the_customer_id_ends_at_the_last_slash() {
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
    fn only_two_reads_of_the_rest_api_are_served() {
        let id = |id: &str| Id::try_from(id).unwrap();
        for (method, path, expected) in [
            ("GET", "/api/v1/customers/c/entitlements", Ok(Route::RestEntitlements(id("c")))),
            ("GET", "/api/v1/customers/c%201%2F%C3%A9/entitlements/check", Ok(Route::RestCheck(id("c 1/é")))),
            ("GET", "/api/v1/customers/c 1/é/entitlements/check", Ok(Route::RestCheck(id("c 1/é")))),
            ("GET", "/api/v1/customers//entitlements", Err(RouteError::Id(IdError::Empty))),
            ("POST", "/api/v1/customers/c/entitlements", Err(RouteError::Method("GET"))),
            ("GET", "/api/v1/customers/c", Err(RouteError::NotInReplica)),
            ("GET", "/api/v1/customers/entitlements", Err(RouteError::NotInReplica)),
            ("GET", "/api/v1/customers/c/promotional-entitlements", Err(RouteError::NotInReplica)),
            ("DELETE", "/api/v2/subscriptions/s", Err(RouteError::NotInReplica)),
            ("GET", "/api", Err(RouteError::Path)),
        ] {
            assert_eq!(Route::of(&method.parse().unwrap(), path), expected, "{method} {path}");
        }
    }

    #[test]
    fn each_path_has_one_route_and_one_method() {
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
