//! The functions' HTTP responses.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use lambda_http::{
    Body, Request, Response,
    http::{HeaderValue, StatusCode, header},
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// A JSON response with `Cache-Control: no-store`.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    let body = serde_json::to_string(body).unwrap_or_default();
    let mut response = Response::new(Body::Text(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Sets the digest of the response's body as its ETag. If the request's `If-None-Match` matches, turns the response into a
/// 304 without a body.
pub fn tag(request: &Request, response: &mut Response<Body>) {
    let digest = Sha256::digest(response.body().as_ref());
    let tag = format!("\"{}\"", BASE64_URL_SAFE_NO_PAD.encode(digest));
    // Weak comparison: RFC 9110, 13.1.2.
    let is_known =
        |header: &str| header.split(',').any(|known| matches!(known.trim(), "*") || known.trim().trim_start_matches("W/") == tag);
    if request.headers().get_all(header::IF_NONE_MATCH).iter().any(|header| header.to_str().is_ok_and(is_known)) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = Body::Empty;
        response.headers_mut().remove(header::CONTENT_TYPE);
    }
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
}

/// A 405 response with the allowed methods in `Allow`.
pub fn method_not_allowed(allowed: &'static str, body: &impl Serialize) -> Response<Body> {
    let mut response = json(StatusCode::METHOD_NOT_ALLOWED, body);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

/// A 401 response that requests a bearer token.
pub fn unauthorized(body: &impl Serialize) -> Response<Body> {
    let mut response = json(StatusCode::UNAUTHORIZED, body);
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}
