//! Converts API Gateway's events (HTTP API, payload format 2.0) to HTTP requests, and responses to API Gateway's format.
//!
//! Lambda function URLs use the same format. lambda_http's own conversion panics on a body that is not base64, on a host
//! that forms no URI, and on too many headers. A panic ends the function's process, and everyone who may invoke the
//! function can send such an event. So this module parses events itself. A malformed event reaches the handler as
//! [`Malformed`], and the handler rejects it.

use std::{collections::HashMap, net::IpAddr};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use lambda_http::{
    Body, Context, LambdaEvent, Request, RequestExt as _, Response,
    aws_lambda_events::query_map::QueryMap,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header},
};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::IgnoredAny};
use serde_json::value::RawValue;

/// Maximum bytes of a path, and of a query. API Gateway's limit for the request line and all headers is 10,240.
///
/// Source: Amazon API Gateway, quotas of HTTP APIs.
const MAX_LINE_BYTES: usize = 10_240;

/// Maximum number of headers. API Gateway's limit admits fewer, since each header takes some bytes.
const MAX_HEADERS: usize = 1_024;

/// Bytes that must be escaped in a URI's query.
const QUERY: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>');

/// Bytes that must be escaped in a URI's path.
const PATH: &AsciiSet = &QUERY.add(b'?').add(b'`').add(b'{').add(b'}');

/// The event is not a valid request. The message is sent to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Another format than API Gateway's, or an invalid HTTP method or header.
    #[error("the request is not a valid API Gateway event (payload format 2.0)")]
    Event,
    /// Exceeds API Gateway's limits.
    #[error("the request's path, query or headers exceed API Gateway's limits")]
    TooLong,
    /// `isBase64Encoded` is true, but the body is not base64.
    #[error("the body is not valid base64, but `isBase64Encoded` is true")]
    Base64,
}

/// API Gateway's data about a request's caller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The caller's address; None if the event has none.
    pub source_ip: Option<IpAddr>,
    /// The authorizer that accepted the request.
    pub authorizer: Option<Authorizer>,
}

/// API Gateway's built-in authorizers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authorizer {
    /// Accepts a JSON Web Token with the route's issuer, audience and scope.
    Jwt,
    /// Accepts a request signed by an AWS identity that may invoke the route.
    Iam,
}

/// An event in payload format 2.0. Deserializes from any JSON; malformed events are rejected later.
#[derive(Debug)]
pub struct GatewayEvent(Result<Box<Request>, Malformed>);

/// The members of an event that are used.
///
/// Source: Amazon API Gateway, "AWS Lambda proxy integrations for HTTP APIs", payload format 2.0.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    raw_path: Option<String>,
    raw_query_string: Option<String>,
    #[serde(default)]
    headers: HashMap<String, String>,
    request_context: EventContext,
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

#[derive(Deserialize)]
struct EventContext {
    http: EventHttp,
    authorizer: Option<EventAuthorizer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EventHttp {
    method: String,
    source_ip: Option<String>,
}

#[derive(Deserialize)]
struct EventAuthorizer {
    jwt: Option<IgnoredAny>,
    iam: Option<IgnoredAny>,
}

impl<'de> Deserialize<'de> for GatewayEvent {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(input).map(|event| Self::read(event.get()))
    }
}

impl GatewayEvent {
    /// Reads an event's JSON.
    pub fn read(json: &str) -> Self {
        Self(serde_json::from_str(json).map_err(|_| Malformed::Event).and_then(request).map(Box::new))
    }

    /// None if the event is a valid request.
    pub fn malformed(&self) -> Option<Malformed> {
        self.0.as_ref().err().copied()
    }

    /// The request. For a malformed event, an empty request that [`check`] rejects.
    pub fn into_request(self, context: Context) -> Request {
        let request = self.0.map_or_else(
            |malformed| {
                let mut request = Request::default();
                request.extensions_mut().insert(malformed);
                request
            },
            |request| *request,
        );
        request.with_lambda_context(context)
    }
}

fn request(event: Event) -> Result<Request, Malformed> {
    let EventContext { http, authorizer } = event.request_context;
    let path = event.raw_path.unwrap_or_default();
    let query = event.raw_query_string.unwrap_or_default();
    if path.len() > MAX_LINE_BYTES || query.len() > MAX_LINE_BYTES || event.headers.len() > MAX_HEADERS {
        return Err(Malformed::TooLong);
    }
    let body = match event.body {
        Some(text) if event.is_base64_encoded => Body::Binary(BASE64_STANDARD.decode(text).map_err(|_| Malformed::Base64)?),
        Some(text) => Body::Text(text),
        None => Body::Empty,
    };
    let mut request = Request::new(body);
    *request.method_mut() = Method::from_bytes(http.method.as_bytes()).map_err(|_| Malformed::Event)?;
    *request.uri_mut() = uri(&path, &query)?;
    for (name, value) in event.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Malformed::Event)?;
        let value = HeaderValue::from_str(&value).map_err(|_| Malformed::Event)?;
        if name != header::HOST {
            request.headers_mut().append(name, value);
        }
    }
    request.extensions_mut().insert(Caller {
        source_ip: http.source_ip.and_then(|address| address.parse().ok()),
        authorizer: authorizer
            .and_then(|EventAuthorizer { jwt, iam }| jwt.map(|_| Authorizer::Jwt).or_else(|| iam.map(|_| Authorizer::Iam))),
    });
    let parameters: QueryMap = query.parse().unwrap_or_default();
    Ok(request.with_query_string_parameters(parameters).with_raw_http_path(path))
}

/// A URI without scheme and host. Invalid characters are percent-encoded.
fn uri(path: &str, query: &str) -> Result<Uri, Malformed> {
    let slash = if path.starts_with('/') { "" } else { "/" };
    let path = utf8_percent_encode(path, PATH);
    let uri = match query {
        "" => format!("{slash}{path}"),
        query => format!("{slash}{path}?{}", utf8_percent_encode(query, QUERY)),
    };
    let path_and_query = uri.try_into().map_err(|_| Malformed::Event)?;
    let mut parts = lambda_http::http::uri::Parts::default();
    parts.path_and_query = Some(path_and_query);
    Uri::from_parts(parts).map_err(|_| Malformed::Event)
}

/// Checks that the request is from a valid event.
///
/// # Errors
/// If the event was malformed.
pub fn check(request: &Request) -> Result<(), Malformed> {
    request.extensions().get::<Malformed>().map_or(Ok(()), |malformed| Err(*malformed))
}

/// A response in API Gateway's format.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayResponse {
    status_code: u16,
    #[serde(serialize_with = "headers")]
    headers: HeaderMap,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Body>,
    is_base64_encoded: bool,
}

/// Joins the values of a repeated header with commas.
fn headers<S: Serializer>(headers: &HeaderMap, output: S) -> Result<S::Ok, S::Error> {
    let values = |name| headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect::<Vec<_>>().join(",");
    output.collect_map(headers.keys().map(|name| (name.as_str(), values(name))))
}

impl From<Response<Body>> for GatewayResponse {
    fn from(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        Self {
            status_code: parts.status.as_u16(),
            headers: parts.headers,
            is_base64_encoded: matches!(body, Body::Binary(_)),
            body: (!matches!(body, Body::Empty)).then_some(body),
        }
    }
}

/// Calls a function's handler for an event.
pub async fn answer<F, A>(handle: F, event: LambdaEvent<GatewayEvent>) -> GatewayResponse
where
    F: FnOnce(Request) -> A,
    A: Future<Output = Response<Body>>,
{
    handle(event.payload.into_request(event.context)).await.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn event(changes: Value) -> Value {
        let mut event = json!({"version": "2.0", "rawPath": "/graphql", "rawQueryString": "", "headers": {}, "isBase64Encoded": false,
            "requestContext": {"http": {"method": "POST", "path": "/", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"},
                               "stage": "$default", "timeEpoch": 0}});
        for (name, value) in changes.as_object().unwrap() {
            event[name] = value.clone();
        }
        event
    }

    /// The handler's view of an event: the result of [`check`], the path, the parameter `q`, and the body.
    async fn handled(event: &str) -> (Result<(), Malformed>, String, Option<String>, Vec<u8>) {
        let handled = std::sync::Mutex::new(None);
        let handle = |request: Request| {
            let q = request.query_string_parameters().first("q").map(str::to_owned);
            let view = (check(&request), request.uri().path().to_owned(), q, request.body().to_vec());
            *handled.lock().unwrap() = Some(view);
            async { Response::new(Body::Empty) }
        };
        let _ = answer(handle, LambdaEvent::new(GatewayEvent::read(event), Context::default())).await;
        handled.into_inner().unwrap().unwrap()
    }

    #[tokio::test]
    async fn events_that_make_lambda_http_panic_become_requests() {
        for (changes, path, q) in [
            (json!({"headers": {"host": "a b"}}), "/graphql", None),
            (json!({"headers": {"host": "example.com:http"}}), "/graphql", None),
            (json!({"headers": {"host": "example.com", "x-forwarded-proto": "not a scheme"}}), "/graphql", None),
            (json!({"headers": {"host": ""}}), "/graphql", None),
            (json!({"rawPath": "graphql"}), "/graphql", None),
            (json!({"rawPath": "/a b\u{0}\u{7f}<é>\"^|"}), "/a%20b%00%7F%3C%C3%A9%3E%22^|", None),
            (json!({"rawPath": "/\\//[::1]:99999999/"}), "/\\//[::1]:99999999/", None),
            (json!({"rawQueryString": "q={ a(b: \"<é>\") }&r=#\u{7f}"}), "/graphql", Some("{ a(b: \"<é>\") }")),
            (json!({"rawQueryString": "q=%7B%20a%20%7D+b"}), "/graphql", Some("{ a } b")),
            (json!({"rawPath": null, "rawQueryString": null}), "/", None),
        ] {
            let handled = handled(&event(changes.clone()).to_string()).await;
            assert_eq!((handled.0, handled.1.as_str(), handled.2.as_deref()), (Ok(()), path, q), "{changes}");
        }
    }

    #[tokio::test]
    async fn base64_bodies_are_decoded_or_malformed() {
        for (body, is_base64, expected) in [
            (json!("Zm9v"), true, Ok("foo")),
            (json!("Zm9v"), false, Ok("Zm9v")),
            (json!(null), true, Ok("")),
            (json!(""), true, Ok("")),
            (json!("%"), true, Err(Malformed::Base64)),
            (json!("Zm9"), true, Err(Malformed::Base64)),
            (json!({}), false, Err(Malformed::Event)),
        ] {
            let (result, _, _, decoded) = handled(&event(json!({"body": body, "isBase64Encoded": is_base64})).to_string()).await;
            assert_eq!(result.map(|()| String::from_utf8(decoded).unwrap()), expected.map(str::to_owned), "{body}");
        }
    }

    #[tokio::test]
    async fn responses_are_in_api_gateways_format() {
        for (body, expected) in [
            (Body::Text("t\"é".to_owned()), json!({"isBase64Encoded": false, "body": "t\"é"})),
            (Body::Binary(b"\xff".to_vec()), json!({"isBase64Encoded": true, "body": "/w=="})),
            (Body::Empty, json!({"isBase64Encoded": false})),
        ] {
            let handle = |_| async { Response::builder().status(403).header("allow", "GET").body(body).unwrap() };
            let event = LambdaEvent::new(GatewayEvent::read(&event(json!({})).to_string()), Context::default());
            let response = answer(handle, event).await;
            let answer = serde_json::to_value(&response).unwrap();
            assert_eq!((&answer["statusCode"], &answer["headers"]["allow"]), (&json!(403), &json!("GET")));
            assert_eq!((&answer["isBase64Encoded"], answer.get("body")), (&expected["isBase64Encoded"], expected.get("body")));
        }
    }

    #[tokio::test]
    async fn invalid_events_are_malformed() {
        let headers = |count: usize| (0..count).map(|n| (format!("x-{n}"), json!("y"))).collect::<Value>();
        for (event, malformed) in [
            ("{}".to_owned(), Malformed::Event),
            ("null".to_owned(), Malformed::Event),
            (event(json!({"headers": {"x": "a\nb"}})).to_string(), Malformed::Event),
            (event(json!({"headers": {"x y": "a"}})).to_string(), Malformed::Event),
            (event(json!({"rawPath": "/".repeat(70_000)})).to_string(), Malformed::TooLong),
            (event(json!({"rawQueryString": "q".repeat(70_000)})).to_string(), Malformed::TooLong),
            (event(json!({"headers": headers(40_000)})).to_string(), Malformed::TooLong),
        ] {
            assert_eq!(handled(&event).await.0, Err(malformed), "{}", event.get(..200).unwrap_or(&event));
        }
        let large = event(json!({"headers": headers(500), "body": "x".repeat(1_000_000)}));
        assert_eq!(handled(&large.to_string()).await.0, Ok(()));
    }
}
