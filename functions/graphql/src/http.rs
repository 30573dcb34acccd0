//! GraphQL over HTTP: which queries a request holds, and which content type it accepts.

use std::{borrow::Cow, io::Read};

use flate2::read::{GzDecoder, ZlibDecoder};
use lambda_http::{
    Body, Request, RequestExt as _,
    http::{HeaderMap, StatusCode, header},
};
use serde_json::{Map, Value};

use crate::{options::Limits, run::GraphqlRequest};

/// The media types that answers come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Media {
    /// `application/graphql-response+json`: the status tells a refused query from one carried out.
    GraphqlResponse,
    /// `application/json`: the older form, in which a well-formed request is answered with 200.
    Json,
}

impl Media {
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
        }
    }

    /// The one that the request prefers. Without a preference for the newer one it is the older one, which
    /// every client of the example understands; so it is for a request that accepts neither, such as a
    /// browser's.
    pub(crate) fn accepted(headers: &HeaderMap) -> Self {
        let accepts = headers.get_all(header::ACCEPT).iter();
        let ranges: Vec<(String, f32)> =
            accepts.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(range).collect();
        // The most specific range that names a type gives its quality.
        let quality = |name: &str| {
            let quality_of = |wanted: &str| ranges.iter().find(|(range, _)| range == wanted).map(|(_, quality)| *quality);
            quality_of(name).or_else(|| quality_of("application/*")).or_else(|| quality_of("*/*")).unwrap_or(0.0)
        };
        let graphql = quality("application/graphql-response+json");
        let json = quality("application/json");
        let is_named = ranges.iter().any(|(range, _)| range == "application/graphql-response+json");
        let is_preferred = graphql > json || (is_named && graphql > 0.0 && graphql >= json);
        if is_preferred { Self::GraphqlResponse } else { Self::Json }
    }
}

fn range(text: &str) -> (String, f32) {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default().to_ascii_lowercase();
    let quality = parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |q| q.parse().ok());
    (name, quality.unwrap_or(0.0))
}

/// The queries of an HTTP request.
#[derive(Debug)]
pub(crate) struct Queries {
    /// In their order; one without a query is answered with its own error.
    pub(crate) each: Vec<Result<GraphqlRequest, Unreadable>>,
    /// Whether they came as an array, and are answered with one.
    pub(crate) is_batch: bool,
}

/// A request that holds no query: its status and what is wrong with it.
#[derive(Debug)]
pub(crate) struct Unreadable {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
}

fn bad(message: impl Into<String>) -> Unreadable {
    Unreadable { status: StatusCode::BAD_REQUEST, message: message.into() }
}

fn unsupported(message: impl Into<String>) -> Unreadable {
    Unreadable { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, message: message.into() }
}

fn one(members: Map<String, Value>) -> Result<Queries, Unreadable> {
    Ok(Queries { each: vec![Ok(graphql_request(members)?)], is_batch: false })
}

/// The query in the URL of a GET.
pub(crate) fn of_get(request: &Request) -> Result<Queries, Unreadable> {
    let parameters = request.query_string_parameters();
    let members = ["query", "operationName", "variables", "extensions"].into_iter().filter_map(|name| {
        let text = parameters.first(name)?;
        Some((name.to_owned(), Value::from(text)))
    });
    one(members.collect())
}

/// The query, or the batch of them, in the body of a POST.
pub(crate) fn of_post(request: &Request, limits: &Limits) -> Result<Queries, Unreadable> {
    let body: &[u8] = match request.body() {
        Body::Text(text) => text.as_bytes(),
        Body::Binary(bytes) => bytes,
        _ => &[],
    };
    let format = Format::of(request.headers())?;
    let body = decoded(request.headers(), body, limits.body)?;
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&body);
    match format {
        Format::Json => of_json(body, limits),
        Format::Query => {
            let query = std::str::from_utf8(body).map_err(|_| bad("the body must be UTF-8"))?;
            one([("query".to_owned(), Value::from(query))].into_iter().collect())
        }
        Format::Form => one(form_urlencoded::parse(body).map(|(name, value)| (name.into_owned(), Value::from(value))).collect()),
    }
}

fn of_json(body: &[u8], limits: &Limits) -> Result<Queries, Unreadable> {
    match serde_json::from_slice(body).map_err(|_| bad("the body must be JSON"))? {
        Value::Object(members) => one(members),
        Value::Array(batch) if batch.len() > limits.batch => {
            Err(bad(format!("a batch must hold at most {} queries", limits.batch)))
        }
        Value::Array(batch) => {
            let each = batch.into_iter().map(|item| match item {
                Value::Object(members) => graphql_request(members),
                _ => Err(bad("each query of a batch must be a JSON object")),
            });
            Ok(Queries { each: each.collect(), is_batch: true })
        }
        _ => Err(bad("the body must be a JSON object, or an array of them")),
    }
}

/// The form of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    /// The text of a query alone.
    Query,
    /// A form of a page, with the same members as JSON.
    Form,
}

impl Format {
    fn of(headers: &HeaderMap) -> Result<Self, Unreadable> {
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let content_type = content_type.to_ascii_lowercase();
        let mut parts = content_type.split(';').map(str::trim);
        let format = match parts.next() {
            Some("application/json") => Self::Json,
            Some("application/graphql") => Self::Query,
            Some("application/x-www-form-urlencoded") => Self::Form,
            _ => return Err(unsupported("the content type must be application/json")),
        };
        match parts.find_map(|part| part.strip_prefix("charset=")).map(|charset| charset.trim_matches('"')) {
            None | Some("utf-8" | "utf8") => Ok(format),
            Some(_) => Err(unsupported("the charset must be utf-8")),
        }
    }
}

/// A body as it was before it was compressed, at most `limit` bytes long.
fn decoded<'a>(headers: &HeaderMap, body: &'a [u8], limit: usize) -> Result<Cow<'a, [u8]>, Unreadable> {
    let too_long =
        || Unreadable { status: StatusCode::PAYLOAD_TOO_LARGE, message: format!("the body must be at most {limit} bytes long") };
    if body.len() > limit {
        return Err(too_long());
    }
    let encoding = headers.get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap_or_default().to_ascii_lowercase());
    let decoder: &mut dyn Read = match encoding.as_deref() {
        None | Some("" | "identity") => return Ok(Cow::Borrowed(body)),
        Some("gzip" | "x-gzip") => &mut GzDecoder::new(body),
        Some("deflate") => &mut ZlibDecoder::new(body),
        Some(_) => return Err(unsupported("the content encoding must be gzip, deflate or identity")),
    };
    let mut decoded = Vec::new();
    let one_more = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    decoder.take(one_more).read_to_end(&mut decoded).map_err(|_| bad("the body is not in the encoding that its header says"))?;
    if decoded.len() > limit { Err(too_long()) } else { Ok(Cow::Owned(decoded)) }
}

/// A query with its members' types checked. variables and extensions may be the text of a JSON object,
/// as in a URL.
fn graphql_request(mut members: Map<String, Value>) -> Result<GraphqlRequest, Unreadable> {
    let Some(Value::String(query)) = members.remove("query") else {
        return Err(bad("query must be given, and be a text"));
    };
    let operation_name = match members.remove("operationName").unwrap_or_default() {
        Value::Null => None,
        Value::String(name) => Some(name).filter(|name| !name.is_empty()),
        _ => return Err(bad("operationName must be a text")),
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
            _ => Err(bad(format!("{name} must be a JSON object"))),
        }
    };
    let (variables, _) = (object("variables")?, object("extensions")?);
    Ok(GraphqlRequest { query, operation_name, variables })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_media_type_is_the_one_that_the_request_likes_best() {
        for (accept, expected) in [
            (None, Media::Json),
            (Some("*/*"), Media::Json),
            (Some("application/*"), Media::Json),
            (Some("application/json"), Media::Json),
            (Some("application/json; charset=utf-8"), Media::Json),
            (Some("application/graphql-response+json"), Media::GraphqlResponse),
            (Some("application/graphql-response+json; charset=utf-8, application/json; charset=utf-8"), Media::GraphqlResponse),
            (Some("application/json, application/graphql-response+json;q=0.9"), Media::Json),
            (Some("Application/GraphQL-Response+JSON;q=0.5"), Media::GraphqlResponse),
            (Some("text/html"), Media::Json),
            (Some("application/json;q=0"), Media::Json),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT, accept.parse().unwrap());
            }
            assert_eq!(Media::accepted(&headers), expected, "{accept:?}");
        }
    }
}
