//! Requests of pages in browsers, below `/browser`: the read side of Stigg's Edge API, for one signed customer.
//!
//! The paths are apart from those of servers, so that API Gateway can throttle them apart, and a browser's request can't
//! reach a route that shows other customers.

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

/// What the paths begin with; the rest is the path of Stigg's Edge API.
const PREFIX: &str = "/browser";

/// The headers that Stigg's JavaScript SDK sends.
const ALLOWED_HEADERS: &str = "x-api-key, x-api-version, x-customer-key, source, content-type";

/// How long a browser may keep the answer to a preflight, in seconds. Chromium keeps none for longer.
const PREFLIGHT_SECONDS: &str = "7200";

/// The origins whose pages may ask.
#[derive(Clone, Debug)]
pub struct BrowserOrigins(Vec<HeaderValue>);

impl BrowserOrigins {
    /// The origins of a list with commas in between. None if it is empty or not a list of origins.
    pub fn parse(text: &str) -> Option<Self> {
        let origin = |text: &str| {
            let (scheme, host) = text.split_once("://")?;
            let is_origin = matches!(scheme, "http" | "https") && !host.is_empty() && !host.contains(['/', '*', ' ']);
            HeaderValue::from_str(text).ok().filter(|_| is_origin)
        };
        text.split(',').map(|text| origin(text.trim())).collect::<Option<_>>().map(Self)
    }

    /// As `BROWSER_ORIGINS` says; None where it is not set.
    pub(crate) fn of_function() -> Result<Option<Self>, ConfigError> {
        const VARIABLE: &str = "BROWSER_ORIGINS";
        let allowed = "origins such as https://app.example.com, with commas in between";
        let origins = optional(VARIABLE).map(|text| Self::parse(&text));
        origins.map(|origins| origins.ok_or(ConfigError::Unknown { variable: VARIABLE, allowed })).transpose()
    }

    /// Adds the headers that let a page of one of these origins read the response. Any other page can't.
    pub(crate) fn allow(&self, asked: &HeaderMap, response: &mut Response<Body>) {
        let headers = response.headers_mut();
        headers.insert(header::VARY, HeaderValue::from_static("origin"));
        if let Some(origin) = asked.get(header::ORIGIN).filter(|origin| self.0.contains(origin)) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        }
    }
}

/// The path of Stigg's Edge API that a browser's request asks for. None for any other request.
pub(crate) fn path(path: &str) -> Option<&str> {
    path.strip_prefix(PREFIX).filter(|rest| rest.starts_with("/v1/"))
}

/// The answer to a preflight: which method and headers the page may send.
pub(crate) fn preflight() -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(ALLOWED_HEADERS));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_SECONDS));
    response
}

/// Whether Stigg's JavaScript SDK would deny what the replica denies. That SDK decides by type, usage and limit alone, and
/// reads neither `isGranted` nor these reasons: shown such an entitlement, it would grant. Left out, it is denied.
pub(crate) fn can_be_shown(feature: &Feature<'_>) -> bool {
    use AccessDeniedReason as Reason;
    !matches!(feature.decision.denied, Some(Reason::InsufficientCredits | Reason::Unknown))
}

/// Whether a request may have the document of its route. A document on a customer needs that customer's signature; the
/// publishable key in `X-API-KEY` proves nothing and is not read. The SDK's configuration is empty, and it asks for that
/// before it knows a customer.
pub(crate) async fn admits(keys: &CustomerKeys, request: &Request, route: &Route) -> Result<(), CustomerKeyError> {
    match route {
        Route::Edge(customer_id, _) => keys.admits(request.headers().get(customer_key::HEADER), customer_id).await,
        Route::Configuration | Route::Paywall => Ok(()),
        // None of them is below /v1/.
        Route::Check | Route::Batch | Route::RestEntitlements(_) | Route::RestCheck(_) | Route::Flags | Route::Flag(_) => {
            Err(CustomerKeyError::Missing)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_read_or_rejected() {
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
    fn only_the_paths_of_the_edge_api_are_below_the_prefix() {
        for (asked, expected) in [
            ("/browser/v1/c/c/entitlements.json", Some("/v1/c/c/entitlements.json")),
            ("/browser/check-access", None),
            ("/browser", None),
            ("/browserv1/", None),
            ("/v1/c/c/entitlements.json", None),
        ] {
            assert_eq!(path(asked), expected, "{asked}");
        }
    }
}
