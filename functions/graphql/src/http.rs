//! GraphQL over HTTP: which queries a request holds, and which content type it accepts.

use lambda_http::{
    Body, Request, RequestExt as _,
    http::{HeaderMap, StatusCode, header},
};
use serde_json::{Map, Value};

use crate::{options::Limits, run::Asked};

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

    /// The one that the request likes best; None if it accepts neither.
    ///
    /// A request that accepts anything, or says nothing, gets the older form: it is what every client
    /// of the example understands.
    pub(crate) fn accepted(headers: &HeaderMap) -> Option<Self> {
        let mut accepts = headers.get_all(header::ACCEPT).iter().peekable();
        if accepts.peek().is_none() {
            return Some(Self::Json);
        }
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
        if graphql > json || (is_named && graphql > 0.0 && graphql >= json) {
            Some(Self::GraphqlResponse)
        } else if json > 0.0 {
            Some(Self::Json)
        } else {
            None
        }
    }
}

fn range(text: &str) -> (String, f32) {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default().to_ascii_lowercase();
    let quality = parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |q| q.parse().ok());
    (name, quality.unwrap_or(0.0))
}

/// What a request asks.
#[derive(Debug)]
pub(crate) enum Questions {
    /// One query.
    One(Asked),
    /// Several at once.
    Batch(Vec<Asked>),
}

/// A request that is none: its status and what is wrong with it.
#[derive(Debug)]
pub(crate) struct Unreadable {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
}

fn bad(message: impl Into<String>) -> Unreadable {
    Unreadable { status: StatusCode::BAD_REQUEST, message: message.into() }
}

/// The query in the URL of a GET.
pub(crate) fn of_get(request: &Request) -> Result<Questions, Unreadable> {
    let parameters = request.query_string_parameters();
    let object = |name: &str| match parameters.first(name).filter(|json| !json.is_empty()) {
        None => Ok(Value::Null),
        Some(json) => serde_json::from_str(json).map_err(|_| bad(format!("{name} must be a JSON object"))),
    };
    let text = |name: &str| parameters.first(name).map_or(Value::Null, Value::from);
    let members = [
        ("query", text("query")),
        ("operationName", text("operationName")),
        ("variables", object("variables")?),
        ("extensions", object("extensions")?),
    ];
    let members = members.map(|(name, value)| (name.to_owned(), value));
    asked(members.into_iter().collect()).map(Questions::One)
}

/// The query, or the batch of them, in the body of a POST.
pub(crate) fn of_post(request: &Request, limits: &Limits) -> Result<Questions, Unreadable> {
    let body: &[u8] = match request.body() {
        Body::Text(text) => text.as_bytes(),
        Body::Binary(bytes) => bytes,
        _ => &[],
    };
    if body.len() > limits.body {
        let message = format!("the body must be at most {} bytes long", limits.body);
        return Err(Unreadable { status: StatusCode::PAYLOAD_TOO_LARGE, message });
    }
    check_content_type(request.headers())?;
    let json = serde_json::from_slice(body).map_err(|_| bad("the body must be JSON"))?;
    match json {
        Value::Object(members) => asked(members).map(Questions::One),
        Value::Array(batch) if batch.is_empty() => Err(bad("a batch must hold a query")),
        Value::Array(batch) if batch.len() > limits.batch => {
            Err(bad(format!("a batch must hold at most {} queries", limits.batch)))
        }
        Value::Array(batch) => {
            let each = batch.into_iter().map(|item| match item {
                Value::Object(members) => asked(members),
                _ => Err(bad("each query of a batch must be a JSON object")),
            });
            each.collect::<Result<_, _>>().map(Questions::Batch)
        }
        _ => Err(bad("the body must be a JSON object, or an array of them")),
    }
}

fn check_content_type(headers: &HeaderMap) -> Result<(), Unreadable> {
    let unsupported = |message: &str| Unreadable { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, message: message.to_owned() };
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let Some(content_type) = content_type else {
        return Err(unsupported("the content type must be application/json"));
    };
    let mut parts = content_type.split(';').map(str::trim);
    if !parts.next().is_some_and(|media| media.eq_ignore_ascii_case("application/json")) {
        return Err(unsupported("the content type must be application/json"));
    }
    let charset = parts.find_map(|part| part.to_ascii_lowercase().strip_prefix("charset=").map(str::to_owned));
    match charset.as_deref().map(|charset| charset.trim_matches('"')) {
        None | Some("utf-8" | "utf8") => Ok(()),
        Some(_) => Err(unsupported("the charset must be utf-8")),
    }
}

/// A query with its members' types checked.
fn asked(mut members: Map<String, Value>) -> Result<Asked, Unreadable> {
    let mut take = |name: &str| members.remove(name).unwrap_or_default();
    let Value::String(query) = take("query") else {
        return Err(bad("query must be given, and be a text"));
    };
    let operation_name = match take("operationName") {
        Value::Null => None,
        Value::String(name) => Some(name),
        _ => return Err(bad("operationName must be a text")),
    };
    let variables = match take("variables") {
        Value::Null => Map::new(),
        Value::Object(variables) => variables,
        _ => return Err(bad("variables must be a JSON object")),
    };
    match take("extensions") {
        Value::Null | Value::Object(_) => Ok(Asked { query, operation_name, variables }),
        _ => Err(bad("extensions must be a JSON object")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_media_type_is_the_one_that_the_request_likes_best() {
        for (accept, expected) in [
            (None, Some(Media::Json)),
            (Some("*/*"), Some(Media::Json)),
            (Some("application/*"), Some(Media::Json)),
            (Some("application/json"), Some(Media::Json)),
            (Some("application/json; charset=utf-8"), Some(Media::Json)),
            (Some("application/graphql-response+json"), Some(Media::GraphqlResponse)),
            (
                Some("application/graphql-response+json; charset=utf-8, application/json; charset=utf-8"),
                Some(Media::GraphqlResponse),
            ),
            (Some("application/json, application/graphql-response+json;q=0.9"), Some(Media::Json)),
            (Some("Application/GraphQL-Response+JSON;q=0.5"), Some(Media::GraphqlResponse)),
            (Some("text/html"), None),
            (Some("application/json;q=0"), None),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT, accept.parse().unwrap());
            }
            assert_eq!(Media::accepted(&headers), expected, "{accept:?}");
        }
    }
}
