//! What API Gateway calls a function with, made into a request whatever it holds.
//!
//! lambda_http's own conversion panics on what it takes for granted: a body in base64, a host and a query
//! that form a URI, no more headers than fit. A panic ends the function's process. API Gateway should
//! send no such event, but whoever may invoke the function can, and what of a request line it passes on
//! as it came is not documented. So an event is put right here before it is converted; what can't be put
//! right reaches the handler as a request that is [`Malformed`], and is refused there.

use std::fmt::Write as _;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use lambda_http::{
    Body, LambdaEvent, Request, RequestExt as _, Response,
    aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse},
    http::header,
    request::LambdaRequest,
};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// The most bytes of a path or a query. API Gateway takes 10,240 for the request line and all headers.
///
/// Source: Amazon API Gateway, quotas of HTTP APIs.
const MAX_LINE_BYTES: usize = 10_240;

/// The most headers; each takes more than ten of the bytes that API Gateway allows.
const MAX_HEADERS: usize = 1_024;

/// An event with fewer bytes can't hold so many headers that they would not fit.
const FEW_BYTES: usize = 128 * 1024;

/// A request that can't be read. The message is fit for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The event is none of API Gateway's, or a header or the method is none of HTTP's.
    #[error("the request can't be read: it is not in the form of API Gateway's")]
    Event,
    /// It has more than API Gateway passes on.
    #[error("the request's path, query or headers are longer than API Gateway takes")]
    TooLong,
    /// The body is not what the event says.
    #[error("the body is not in base64, though the request says that it is")]
    Base64,
}

/// An event of API Gateway's in payload format 2.0. Anything that is JSON can be read as one.
#[derive(Debug)]
pub struct GatewayEvent {
    request: Box<ApiGatewayV2httpRequest>,
    /// The body that was in base64.
    body: Option<Vec<u8>>,
    malformed: Option<Malformed>,
}

impl<'de> Deserialize<'de> for GatewayEvent {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(input).map(|event| Self::read(event.get()))
    }
}

impl GatewayEvent {
    /// Reads an event's JSON.
    pub fn read(json: &str) -> Self {
        Self::checked(json).unwrap_or_else(|malformed| Self { request: Box::default(), body: None, malformed: Some(malformed) })
    }

    /// What is wrong with it; None for an event that can be answered.
    pub fn malformed(&self) -> Option<Malformed> {
        self.malformed
    }

    fn checked(json: &str) -> Result<Self, Malformed> {
        if json.len() > FEW_BYTES && count_headers(json)? > MAX_HEADERS {
            return Err(Malformed::TooLong);
        }
        let mut request: Box<ApiGatewayV2httpRequest> = serde_json::from_str(json).map_err(|_| Malformed::Event)?;
        // The URI is made of path and query alone, which always form one.
        request.headers.remove(header::HOST);
        request.request_context.domain_name = None;
        let path = request.raw_path.get_or_insert_default();
        let stage = request.request_context.stage.as_deref().unwrap_or_default();
        let query = request.raw_query_string.get_or_insert_default();
        if path.len() + stage.len() > MAX_LINE_BYTES || query.len() > MAX_LINE_BYTES {
            return Err(Malformed::TooLong);
        }
        if !path.starts_with('/') {
            path.insert(0, '/');
        }
        if !query.bytes().all(is_of_queries) {
            *query = escaped(query);
        }
        let mut body = None;
        if request.is_base64_encoded {
            request.is_base64_encoded = false;
            let decoded = request.body.take().map(|text| BASE64_STANDARD.decode(text));
            body = decoded.transpose().map_err(|_| Malformed::Base64)?;
        }
        Ok(Self { request, body, malformed: None })
    }
}

/// Answers an event by a function's handler: what comes back is what Lambda hands on to API Gateway.
///
/// lambda_http's own adapter would decode and copy the body twice on its way, for it takes bodies of any
/// kind and charset; ours are texts.
pub async fn answer<F, A>(handle: F, event: LambdaEvent<GatewayEvent>) -> ApiGatewayV2httpResponse
where
    F: FnOnce(Request) -> A,
    A: Future<Output = Response<Body>>,
{
    let LambdaEvent { payload: GatewayEvent { request, body, malformed }, context } = event;
    let mut request = Request::from(LambdaRequest::ApiGatewayV2(*request)).with_lambda_context(context);
    if let Some(bytes) = body {
        *request.body_mut() = Body::Binary(bytes);
    }
    if let Some(malformed) = malformed {
        request.extensions_mut().insert(malformed);
    }
    let (parts, body) = handle(request).await.into_parts();
    let mut response = ApiGatewayV2httpResponse::default();
    response.status_code = parts.status.as_u16().into();
    response.headers = parts.headers;
    response.is_base64_encoded = matches!(body, Body::Binary(_));
    response.body = (!matches!(body, Body::Empty)).then_some(body);
    response
}

/// A response in the JSON that Lambda takes, for bodies of hundreds of kilobytes. The runtime would write the
/// same, by code that is compiled with the function and thus for size, which escapes at half the speed.
///
/// # Errors
/// If a header is not a text.
pub fn in_json(response: &ApiGatewayV2httpResponse) -> serde_json::Result<Box<RawValue>> {
    serde_json::value::to_raw_value(response)
}

/// Whether the request could be read.
///
/// # Errors
/// If it could not.
pub fn check(request: &Request) -> Result<(), Malformed> {
    request.extensions().get::<Malformed>().map_or(Ok(()), |malformed| Err(*malformed))
}

/// Whether a byte may stand in the query of a URI as it is.
fn is_of_queries(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'#' | b'<' | b'>')
}

/// The same query with what may not stand in it percent-encoded.
fn escaped(query: &str) -> String {
    query.bytes().fold(String::with_capacity(query.len() * 2), |mut escaped, byte| {
        if is_of_queries(byte) {
            escaped.push(byte.into());
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
        escaped
    })
}

/// How many headers an event holds, without keeping them.
fn count_headers(json: &str) -> Result<usize, Malformed> {
    #[derive(Deserialize)]
    struct Counted {
        headers: Option<Count>,
    }
    struct Count(usize);
    impl<'de> Deserialize<'de> for Count {
        fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
            struct Members;
            impl<'de> Visitor<'de> for Members {
                type Value = Count;

                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("headers")
                }

                fn visit_map<M: MapAccess<'de>>(self, mut members: M) -> Result<Count, M::Error> {
                    let mut count = 0;
                    while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                        count += 1;
                    }
                    Ok(Count(count))
                }
            }
            input.deserialize_map(Members)
        }
    }
    let counted: Counted = serde_json::from_str(json).map_err(|_| Malformed::Event)?;
    Ok(counted.headers.map_or(0, |Count(count)| count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lambda_http::Context;
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
    async fn what_lambda_https_conversion_would_panic_on_is_put_right() {
        for (changes, path, q) in [
            (json!({"headers": {"host": "a b"}}), "/graphql", None),
            (json!({"headers": {"host": "example.com:http"}}), "/graphql", None),
            (json!({"headers": {"host": "example.com", "x-forwarded-proto": "not a scheme"}}), "/graphql", None),
            (json!({"headers": {"host": ""}}), "/graphql", None),
            (json!({"rawPath": "graphql"}), "/graphql", None),
            (json!({"rawPath": "/a b\u{0}\u{7f}<é>\"^|"}), "/a%20b%00%7F%3C%C3%A9%3E%22^|", None),
            (json!({"rawPath": "/\\//[::1]:99999999/"}), "////[::1]:99999999/", None),
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
            assert_eq!(in_json(&response).unwrap().get(), serde_json::to_string(&response).unwrap());
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
