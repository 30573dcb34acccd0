//! GraphQL over HTTP: parses requests and negotiates the response's media type.
//!
//! async-graphql's parsers (`receive_batch_body`, `parse_query_string`) are not used. They reject a whole batch for one
//! malformed request, reject `variables` as a string, which the example accepts, accept a request without `query`, and
//! read `operation_name` instead of `operationName` from a URL.

use std::{borrow::Cow, io::Read};

use flate2::read::{GzDecoder, ZlibDecoder};
use lambda_http::{
    Body, Request, RequestExt as _,
    http::{HeaderMap, StatusCode, header},
};
use serde_json::{Map, Value};

use crate::{options::Limits, run::GraphqlRequest};

/// The media type of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MediaType {
    /// `application/graphql-response+json`: an invalid query has status 400.
    GraphqlResponse,
    /// `application/json`: every well-formed request has status 200.
    Json,
}

impl MediaType {
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
        }
    }

    /// Negotiates by `Accept`. Without a preference, and if neither is accepted, it is application/json, which clients of
    /// the example expect.
    pub(crate) fn accepted(headers: &HeaderMap) -> Self {
        let accepts = headers.get_all(header::ACCEPT).iter();
        let ranges: Vec<(String, f32)> =
            accepts.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(media_range).collect();
        // The most specific range decides.
        let quality = |name: &str| {
            let quality_of = |media_type: &str| ranges.iter().find(|(range, _)| range == media_type).map(|(_, quality)| *quality);
            quality_of(name).or_else(|| quality_of("application/*")).or_else(|| quality_of("*/*")).unwrap_or(0.0)
        };
        let graphql = quality("application/graphql-response+json");
        let json = quality("application/json");
        let is_named = ranges.iter().any(|(range, _)| range == "application/graphql-response+json");
        let is_preferred = graphql > json || (is_named && graphql > 0.0 && graphql >= json);
        if is_preferred { Self::GraphqlResponse } else { Self::Json }
    }
}

/// A media range and its quality.
fn media_range(text: &str) -> (String, f32) {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default().to_ascii_lowercase();
    let quality = parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |q| q.parse().ok());
    (name, quality.unwrap_or(0.0))
}

/// The GraphQL requests of an HTTP request.
#[derive(Debug)]
pub(crate) struct Batch {
    /// A malformed request of an array gets an error of its own.
    pub(crate) requests: Vec<Result<GraphqlRequest, RequestError>>,
    /// Whether the body is an array; the response is one too.
    pub(crate) is_array: bool,
}

/// A malformed request.
#[derive(Debug)]
pub(crate) struct RequestError {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
}

fn bad_request(message: impl Into<String>) -> RequestError {
    RequestError { status: StatusCode::BAD_REQUEST, message: message.into() }
}

fn unsupported_media_type(message: impl Into<String>) -> RequestError {
    RequestError { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, message: message.into() }
}

fn single(members: Map<String, Value>) -> Result<Batch, RequestError> {
    Ok(Batch { requests: vec![Ok(graphql_request(members)?)], is_array: false })
}

/// Reads the URL.
pub(crate) fn parse_get(request: &Request) -> Result<Batch, RequestError> {
    let parameters = request.query_string_parameters();
    let members = ["query", "operationName", "variables", "extensions"].into_iter().filter_map(|name| {
        let text = parameters.first(name)?;
        Some((name.to_owned(), Value::from(text)))
    });
    single(members.collect())
}

/// Reads the body.
pub(crate) fn parse_post(request: &Request, limits: &Limits) -> Result<Batch, RequestError> {
    let body: &[u8] = match request.body() {
        Body::Text(text) => text.as_bytes(),
        Body::Binary(bytes) => bytes,
        _ => &[],
    };
    let format = Format::from_content_type(request.headers())?;
    let body = decompress(request.headers(), body, limits.body)?;
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&body);
    match format {
        Format::Json => parse_json(body, limits),
        Format::Query => {
            let query = std::str::from_utf8(body).map_err(|_| bad_request("the body must be UTF-8"))?;
            single([("query".to_owned(), Value::from(query))].into_iter().collect())
        }
        Format::Form => {
            single(form_urlencoded::parse(body).map(|(name, value)| (name.into_owned(), Value::from(value))).collect())
        }
    }
}

fn parse_json(body: &[u8], limits: &Limits) -> Result<Batch, RequestError> {
    match serde_json::from_slice(body).map_err(|_| bad_request("the body must be JSON"))? {
        Value::Object(members) => single(members),
        Value::Array(batch) if batch.len() > limits.batch => {
            Err(bad_request(format!("a batch must hold at most {} queries", limits.batch)))
        }
        Value::Array(batch) => {
            let requests = batch.into_iter().map(|item| match item {
                Value::Object(members) => graphql_request(members),
                _ => Err(bad_request("each query of a batch must be a JSON object")),
            });
            Ok(Batch { requests: requests.collect(), is_array: true })
        }
        _ => Err(bad_request("the body must be a JSON object, or an array of them")),
    }
}

/// The format of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    /// Only the query text.
    Query,
    /// An HTML form with the members of the JSON format.
    Form,
}

impl Format {
    fn from_content_type(headers: &HeaderMap) -> Result<Self, RequestError> {
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let content_type = content_type.to_ascii_lowercase();
        let mut parts = content_type.split(';').map(str::trim);
        let format = match parts.next() {
            Some("application/json") => Self::Json,
            Some("application/graphql") => Self::Query,
            Some("application/x-www-form-urlencoded") => Self::Form,
            _ => return Err(unsupported_media_type("the content type must be application/json")),
        };
        match parts.find_map(|part| part.strip_prefix("charset=")).map(|charset| charset.trim_matches('"')) {
            None | Some("utf-8" | "utf8") => Ok(format),
            Some(_) => Err(unsupported_media_type("the charset must be utf-8")),
        }
    }
}

/// Decompresses the body. `limit` is its maximum length in bytes, compressed and decompressed.
fn decompress<'a>(headers: &HeaderMap, body: &'a [u8], limit: usize) -> Result<Cow<'a, [u8]>, RequestError> {
    let too_long = || RequestError {
        status: StatusCode::PAYLOAD_TOO_LARGE,
        message: format!("the body must be at most {limit} bytes long"),
    };
    if body.len() > limit {
        return Err(too_long());
    }
    let encoding = headers.get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap_or_default().to_ascii_lowercase());
    let decoder: &mut dyn Read = match encoding.as_deref() {
        None | Some("" | "identity") => return Ok(Cow::Borrowed(body)),
        Some("gzip" | "x-gzip") => &mut GzDecoder::new(body),
        Some("deflate") => &mut ZlibDecoder::new(body),
        Some(_) => return Err(unsupported_media_type("the content encoding must be gzip, deflate or identity")),
    };
    let mut decoded = Vec::new();
    let limit_and_one = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    decoder
        .take(limit_and_one)
        .read_to_end(&mut decoded)
        .map_err(|_| bad_request("the body does not match its content-encoding"))?;
    if decoded.len() > limit { Err(too_long()) } else { Ok(Cow::Owned(decoded)) }
}

/// Checks the types of the members. `variables` and `extensions` may be strings that contain a JSON object, as in a URL.
fn graphql_request(mut members: Map<String, Value>) -> Result<GraphqlRequest, RequestError> {
    let Some(Value::String(query)) = members.remove("query") else {
        return Err(bad_request("query is required and must be a string"));
    };
    let operation_name = match members.remove("operationName").unwrap_or_default() {
        Value::Null => None,
        Value::String(name) => Some(name).filter(|name| !name.is_empty()),
        _ => return Err(bad_request("operationName must be a string")),
    };
    let mut object = |name: &str| {
        let json = match members.remove(name).unwrap_or_default() {
            Value::String(text) if text.is_empty() => Value::Null,
            Value::String(text) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
            json => json,
        };
        match json {
            Value::Null => Ok(Map::new()),
            Value::Object(members) => Ok(members),
            _ => Err(bad_request(format!("{name} must be a JSON object"))),
        }
    };
    let (variables, _) = (object("variables")?, object("extensions")?);
    Ok(GraphqlRequest { query, operation_name, variables })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_media_type_is_negotiated_by_the_accept_header() {
        for (accept, expected) in [
            (None, MediaType::Json),
            (Some("*/*"), MediaType::Json),
            (Some("application/*"), MediaType::Json),
            (Some("application/json"), MediaType::Json),
            (Some("application/json; charset=utf-8"), MediaType::Json),
            (Some("application/graphql-response+json"), MediaType::GraphqlResponse),
            (
                Some("application/graphql-response+json; charset=utf-8, application/json; charset=utf-8"),
                MediaType::GraphqlResponse,
            ),
            (Some("application/json, application/graphql-response+json;q=0.9"), MediaType::Json),
            (Some("Application/GraphQL-Response+JSON;q=0.5"), MediaType::GraphqlResponse),
            (Some("text/html"), MediaType::Json),
            (Some("application/json;q=0"), MediaType::Json),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT, accept.parse().unwrap());
            }
            assert_eq!(MediaType::accepted(&headers), expected, "{accept:?}");
        }
    }
}
