//! API Gateway's events (HTTP API, payload format 2.0) as HTTP requests, and responses in the form that it takes.
//!
//! A Lambda function URL sends the same format. lambda_http's own conversion panics on an event with a body that is
//! not base64, with a host that forms no URI, or with more headers than fit, and a panic ends the function's process.
//! Anyone who may invoke the function can send such an event. So the event is read by a plain type here; one that
//! can't be a request reaches the handler as [`Malformed`], and is rejected there.

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

/// Maximum bytes of a path, and of a query. API Gateway accepts 10,240 for the request line and all headers.
///
/// Source: Amazon API Gateway, quotas of HTTP APIs.
const MAX_LINE_BYTES: usize = 10_240;

/// Maximum number of headers. Each takes more than ten of the bytes that API Gateway accepts.
const MAX_HEADERS: usize = 1_024;

/// Bytes that a URI's query can't hold unescaped.
const QUERY: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>');

/// Bytes that a URI's path can't hold unescaped.
const PATH: &AsciiSet = &QUERY.add(b'?').add(b'`').add(b'{').add(b'}');

/// The event can't be a request. The message is fit for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It is not in API Gateway's format, or its method or a header is not valid in HTTP.
    #[error("the request can't be read: it is not in the form of API Gateway's")]
    Event,
    /// It has more than API Gateway passes on.
    #[error("the request's path, query or headers are longer than API Gateway accepts")]
    TooLong,
    /// The body is not in base64 as the event says.
    #[error("the body is not in base64, though the request says that it is")]
    Base64,
}

/// What API Gateway knows about the caller of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The caller's address; None if the event has none.
    pub source_ip: Option<IpAddr>,
    /// Which of API Gateway's authorizers accepted the request.
    pub authorizer: Option<Authorizer>,
}

/// API Gateway's built-in authorizers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authorizer {
    /// A JSON Web Token of the issuer, for the audience and scope of the route.
    Jwt,
    /// A request signed by an AWS identity that may invoke the route.
    Iam,
}

/// An event in payload format 2.0, read as a request. Any JSON can be read as one.
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

    /// Why the event can't be a request; None if it is one.
    pub fn malformed(&self) -> Option<Malformed> {
        self.0.as_ref().err().copied()
    }

    /// The request. For a malformed event an empty one, which [`check`] rejects.
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

/// The path and query as a URI, which has neither scheme nor host. What a URI can't hold is percent-encoded.
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

/// Whether the request could be read.
///
/// # Errors
/// Why it could not.
pub fn check(request: &Request) -> Result<(), Malformed> {
    request.extensions().get::<Malformed>().map_or(Ok(()), |malformed| Err(*malformed))
}

/// A response in the form that API Gateway takes from a function.
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

/// Several headers of one name become one, separated by commas.
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

impl GatewayResponse {
    /// The response as JSON, for bodies of hundreds of kilobytes: the runtime would escape them at half the speed,
    /// since it is compiled for size with the function.
    ///
    /// # Errors
    /// None in practice: text and header values always serialize.
    pub fn to_json(&self) -> serde_json::Result<Box<RawValue>> {
        serde_json::value::to_raw_value(self)
    }
}

/// Answers an event by a function's handler.
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

    /// What the handler sees of an event: what is wrong with it, its path, the parameter q and its body.
    async fn seen(event: &str) -> (Result<(), Malformed>, String, Option<String>, Vec<u8>) {
        let handle = |request: Request| async move {
            let q = request.query_string_parameters().first("q").map(str::to_owned);
            let mut response = Response::new(Body::Empty);
            response.extensions_mut().insert((check(&request), request.uri().path().to_owned(), q, request.body().to_vec()));
            response
        };
        let told = std::sync::Mutex::new(None);
        let handle = |request| {
            let answer = handle(request);
            let told = &told;
            async move {
                let response = answer.await;
                *told.lock().unwrap() = response.extensions().get().cloned();
                response
            }
        };
        let _ = answer(handle, LambdaEvent::new(GatewayEvent::read(event), Context::default())).await;
        told.into_inner().unwrap().unwrap()
    }

    #[tokio::test]
    async fn an_event_that_lambda_https_conversion_panics_on_becomes_a_request() {
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
            let seen = seen(&event(changes.clone()).to_string()).await;
            assert_eq!((seen.0, seen.1.as_str(), seen.2.as_deref()), (Ok(()), path, q), "{changes}");
        }
    }

    #[tokio::test]
    async fn a_body_is_as_it_was_sent_or_the_request_is_malformed() {
        for (body, is_base64, expected) in [
            (json!("Zm9v"), true, Ok("foo")),
            (json!("Zm9v"), false, Ok("Zm9v")),
            (json!(null), true, Ok("")),
            (json!(""), true, Ok("")),
            (json!("%"), true, Err(Malformed::Base64)),
            (json!("Zm9"), true, Err(Malformed::Base64)),
            (json!({}), false, Err(Malformed::Event)),
        ] {
            let (malformed, _, _, seen) = seen(&event(json!({"body": body, "isBase64Encoded": is_base64})).to_string()).await;
            assert_eq!(malformed.map(|()| String::from_utf8(seen).unwrap()), expected.map(str::to_owned), "{body}");
        }
    }

    #[tokio::test]
    async fn a_response_is_in_the_form_that_api_gateway_takes() {
        for (body, expected) in [
            (Body::Text("t\"é".to_owned()), json!({"isBase64Encoded": false, "body": "t\"é"})),
            (Body::Binary(b"\xff".to_vec()), json!({"isBase64Encoded": true, "body": "/w=="})),
            (Body::Empty, json!({"isBase64Encoded": false})),
        ] {
            let handle = |_| async { Response::builder().status(403).header("allow", "GET").body(body).unwrap() };
            let event = LambdaEvent::new(GatewayEvent::read(&event(json!({})).to_string()), Context::default());
            let response = answer(handle, event).await;
            let answer = serde_json::to_value(&response).unwrap();
            assert_eq!(response.to_json().unwrap().get(), serde_json::to_string(&response).unwrap());
            assert_eq!((&answer["statusCode"], &answer["headers"]["allow"]), (&json!(403), &json!("GET")));
            assert_eq!((&answer["isBase64Encoded"], answer.get("body")), (&expected["isBase64Encoded"], expected.get("body")));
        }
    }

    #[tokio::test]
    async fn an_event_that_is_none_is_malformed() {
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
            assert_eq!(seen(&event).await.0, Err(malformed), "{}", event.get(..200).unwrap_or(&event));
        }
        assert_eq!(seen(&event(json!({"headers": headers(500), "body": "x".repeat(1_000_000)})).to_string()).await.0, Ok(()));
    }
}
