//! What the functions answer with, and how a body that can't be read is explained.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use lambda_http::{
    Body, Request, Response,
    http::{HeaderValue, StatusCode, header},
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// An answer in JSON that no cache keeps.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    let body = serde_json::to_string(body).unwrap_or_default();
    let mut response = Response::new(Body::Text(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Gives an answer the digest of its body as its ETag, and makes it a 304 without a body if the caller has that already.
pub fn tag(request: &Request, response: &mut Response<Body>) {
    let digest = Sha256::digest(response.body().as_ref());
    let tag = format!("\"{}\"", BASE64_URL_SAFE_NO_PAD.encode(digest));
    // The comparison is weak (RFC 9110, 13.1.2).
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

/// An answer to another method than the route's: 405, naming the ones it takes.
pub fn method_not_allowed(allowed: &'static str, body: &impl Serialize) -> Response<Body> {
    let mut response = json(StatusCode::METHOD_NOT_ALLOWED, body);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

/// An answer to a missing or wrong bearer token: 401, naming the scheme.
pub fn unauthorized(body: &impl Serialize) -> Response<Body> {
    let mut response = json(StatusCode::UNAUTHORIZED, body);
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

/// The most characters of a field's name that are repeated. A name that is not known here may be of any length.
const MAX_FIELD: usize = 100;

/// Names the member that could not be read, and says what is wrong with it without its value.
pub fn name_field(error: &serde_path_to_error::Error<serde_json::Error>) -> (String, String) {
    let (mut field, problem) = field_and_problem(error);
    if let Some((end, _)) = field.char_indices().nth(MAX_FIELD) {
        field.truncate(end);
        field.push('…');
    }
    (field, problem)
}

/// What is wrong with a value, without the value.
pub fn problem(error: &serde_json::Error) -> String {
    let message = error.to_string();
    // Where reading stopped in a part of a body tells nobody anything.
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
    match message.rsplit_once(", expected ") {
        Some((_, expected)) => format!("must be {}", in_words_of_json(expected)),
        None => message.to_owned(),
    }
}

fn field_and_problem(error: &serde_path_to_error::Error<serde_json::Error>) -> (String, String) {
    let message = error.inner().to_string();
    let path = error.path().to_string();
    if let Some(missing) = message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
        let field = if path == "." { missing.to_owned() } else { format!("{path}.{missing}") };
        return (field, "is missing".to_owned());
    }
    if let Some(unknown) = message.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next()) {
        // The path names the member already.
        let field = if path == "." { unknown.to_owned() } else { path };
        return (field, "is not known here".to_owned());
    }
    let field = if path == "." { "the body".to_owned() } else { path };
    let problem = match message.rsplit_once(", expected ") {
        Some((_, expected)) => format!("must be {}", in_words_of_json(expected)),
        None => message,
    };
    (field, problem)
}

/// What serde calls by Rust's names, called by JSON's.
fn in_words_of_json(expected: &str) -> &str {
    match expected {
        "f64" => "a number",
        "a sequence" => "a list",
        "a map" => "an object",
        "a boolean" => "true or false",
        expected if expected.starts_with("struct ") => "an object",
        expected => expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[expect(dead_code, reason = "only read")]
        inner: Inner,
    }

    #[derive(Debug, serde::Deserialize)]
    struct Inner {
        #[expect(dead_code, reason = "only read")]
        id: crate::id::Id,
    }

    #[test]
    fn a_field_is_named_by_its_path_and_its_value_is_not_repeated() {
        for (json, field, problem) in [
            (r#"{}"#, "inner", "is missing"),
            (r#"{"inner":{}}"#, "inner.id", "is missing"),
            (r#"{"inner":{"id":5}}"#, "inner.id", "must be a string"),
            (r#"{"inner":{"id":""}}"#, "inner.id", "must not be empty"),
            (r#"{"inner":"x, expected y"}"#, "inner", "must be an object"),
        ] {
            let json: serde_json::Value = serde_json::from_str(json).unwrap();
            let error = serde_path_to_error::deserialize::<_, Outer>(&json).unwrap_err();
            assert_eq!(name_field(&error), (field.to_owned(), problem.to_owned()), "{json}");
        }
    }

    #[test]
    fn of_a_long_name_the_beginning_is_repeated() {
        for (name, field) in [("é".repeat(100), "é".repeat(100)), ("é".repeat(101), format!("{}…", "é".repeat(100)))] {
            let json = serde_json::json!({name: 1});
            let error = serde_path_to_error::deserialize::<_, Outer>(&json).unwrap_err();
            assert_eq!(name_field(&error), (field, "is not known here".to_owned()));
        }
    }
}
