//! Requests from web pages, below `/browser`: the read side of Stigg's Edge API, for the customer that a signature proves.
//!
//! Browsers have paths of their own. API Gateway can throttle these separately, and a browser's request can't reach a route
//! that returns other customers.

use domain::access::AccessDeniedReason;
use lambda_http::{
    Body, Request, Response,
    http::{HeaderMap, HeaderValue, StatusCode, header},
};
use runtime::config::{ConfigError, optional};

use crate::{
    customer_key::{self, CustomerKeyError, CustomerKeys},
    route::Route,
    scope::Feature,
};

/// The rest of the path is a path of Stigg's Edge API.
const PREFIX: &str = "/browser";

/// The headers that Stigg's JavaScript SDK sends.
const ALLOWED_HEADERS: &str = "x-api-key, x-api-version, x-customer-key, source, content-type";

/// How long a browser may cache a preflight, in seconds: Chromium's maximum.
const PREFLIGHT_SECONDS: &str = "7200";

/// The origins whose pages may read responses.
#[derive(Clone, Debug)]
pub struct BrowserOrigins(Vec<HeaderValue>);

impl BrowserOrigins {
    /// Parses origins separated by commas. None if there are none, or one is invalid.
    pub fn parse(text: &str) -> Option<Self> {
        let origin = |text: &str| {
            let (scheme, host) = text.split_once("://")?;
            let is_origin = matches!(scheme, "http" | "https") && !host.is_empty() && !host.contains(['/', '*', ' ']);
            HeaderValue::from_str(text).ok().filter(|_| is_origin)
        };
        text.split(',').map(|text| origin(text.trim())).collect::<Option<_>>().map(Self)
    }

    /// Reads `BROWSER_ORIGINS`. None if it is not set.
    pub(crate) fn of_function() -> Result<Option<Self>, ConfigError> {
        const VARIABLE: &str = "BROWSER_ORIGINS";
        let allowed = "origins such as https://app.example.com, separated by commas";
        let origins = optional(VARIABLE).map(|text| Self::parse(&text));
        origins.map(|origins| origins.ok_or(ConfigError::Unknown { variable: VARIABLE, allowed })).transpose()
    }

    /// Adds the CORS headers that let a page of one of these origins read the response.
    pub(crate) fn allow(&self, request: &HeaderMap, response: &mut Response<Body>) {
        let headers = response.headers_mut();
        headers.insert(header::VARY, HeaderValue::from_static("origin"));
        if let Some(origin) = request.get(header::ORIGIN).filter(|origin| self.0.contains(origin)) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        }
    }
}

/// The path of Stigg's Edge API in a browser's request. None for other requests.
pub(crate) fn edge_path(path: &str) -> Option<&str> {
    path.strip_prefix(PREFIX).filter(|rest| rest.starts_with("/v1/"))
}

/// The response to a CORS preflight.
pub(crate) fn preflight() -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(ALLOWED_HEADERS));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_SECONDS));
    response
}

/// Whether an entitlement may be sent to Stigg's JavaScript SDK. That SDK decides by type, usage and limit alone and ignores
/// `isGranted`, so it would grant an entitlement that is denied for one of these reasons. It denies an entitlement that is
/// missing.
pub(crate) fn can_be_shown(feature: &Feature<'_>) -> bool {
    use AccessDeniedReason as Reason;
    !matches!(feature.decision.denied, Some(Reason::InsufficientCredits | Reason::Unknown))
}

/// Checks whether a request may read the document of its route. A customer's document requires a signature for that
/// customer; the publishable key in `X-API-KEY` proves nothing and is ignored. The SDK's configuration has no data, and the
/// SDK requests it before it knows the customer.
pub(crate) async fn admits(keys: &CustomerKeys, request: &Request, route: &Route) -> Result<(), CustomerKeyError> {
    match route {
        Route::Edge(customer_id, _) => keys.admits(request.headers().get(customer_key::HEADER), customer_id).await,
        Route::Configuration | Route::Paywall => Ok(()),
        // Not reachable: the paths of these routes are not below /v1/.
        Route::Check | Route::Batch | Route::RestEntitlements(_) | Route::RestCheck(_) | Route::Flags | Route::Flag(_) => {
            Err(CustomerKeyError::Missing)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lists_of_origins_are_accepted() {
        for (text, expected) in [
            ("https://app.example.com", Some(1)),
            ("https://app.example.com, http://localhost:3000", Some(2)),
            ("", None),
            ("*", None),
            ("https://*.example.com", None),
            ("app.example.com", None),
            ("https://app.example.com/", None),
            ("https://app.example.com,", None),
            ("null", None),
        ] {
            assert_eq!(BrowserOrigins::parse(text).map(|origins| origins.0.len()), expected, "{text}");
        }
    }

    #[test]
    fn only_paths_of_the_edge_api_are_accepted_below_the_prefix() {
        for (path, expected) in [
            ("/browser/v1/c/c/entitlements.json", Some("/v1/c/c/entitlements.json")),
            ("/browser/check-access", None),
            ("/browser", None),
            ("/browserv1/", None),
            ("/v1/c/c/entitlements.json", None),
        ] {
            assert_eq!(edge_path(path), expected, "{path}");
        }
    }
}
