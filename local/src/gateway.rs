//! A fake of an API Gateway HTTP API. Converts each request to the event that Lambda would get, and calls the function that
//! serves the path, with the functions' own conversion.

use std::sync::Arc;

use axum::{body::Bytes, http};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use check_access::CheckAccess;
use graphql::Graphql;
use jiff::Timestamp;
use lambda_http::{Body, Context, LambdaEvent, Request, Response};
use runtime::gateway::{self, GatewayEvent};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use webhook::Webhook;

/// API Gateway's limit of a request body.
pub const MAX_BODY_BYTES: usize = 10 * 1024 * 1024;

/// Path prefixes of the check-access function, which answers 404 for unknown paths below them.
const CHECK_ACCESS_PREFIXES: [&str; 5] = ["/check-access", "/v1/", "/ofrep/", "/api/", "/browser/"];

#[derive(Clone, Debug)]
pub struct Gateway {
    webhook: Arc<Webhook>,
    graphql: Arc<Graphql>,
    check_access: Arc<CheckAccess>,
}

#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    #[error("no function serves {0}")]
    NoRoute(String),
    #[error("the function's response is invalid for API Gateway: {0}")]
    InvalidResponse(String),
}

impl Gateway {
    pub fn new(webhook: Webhook, graphql: Graphql, check_access: CheckAccess) -> Self {
        Self { webhook: Arc::new(webhook), graphql: Arc::new(graphql), check_access: Arc::new(check_access) }
    }

    /// Calls the function that serves the path of an API Gateway event (payload format 2.0), like Lambda. Returns the proxy
    /// response.
    pub async fn invoke(&self, event: Value) -> Result<Value, GatewayError> {
        let path = event.get("rawPath").and_then(Value::as_str).unwrap_or_default().to_owned();
        match path.as_str() {
            "/webhook" => call(|request| self.webhook.handle(request), event).await,
            "/graphql" | "/graphiql" => call(|request| self.graphql.handle(request), event).await,
            path if CHECK_ACCESS_PREFIXES.iter().any(|prefix| path.starts_with(prefix)) => {
                call(|request| self.check_access.handle(request), event).await
            }
            _ => Err(GatewayError::NoRoute(path)),
        }
    }

    /// Serves an HTTP request by the function of its path.
    pub async fn serve(&self, request: http::Request<Bytes>) -> http::Response<axum::body::Body> {
        respond(self.invoke(event_of(request)).await)
    }
}

/// Calls a function with an event, like Lambda.
pub async fn call<F, A>(function: F, event: Value) -> Result<Value, GatewayError>
where
    F: FnOnce(Request) -> A,
    A: Future<Output = Response<Body>>,
{
    let event = LambdaEvent::new(GatewayEvent::read(&event.to_string()), Context::default());
    let response = gateway::answer(function, event).await;
    serde_json::to_value(response).map_err(|error| GatewayError::InvalidResponse(error.to_string()))
}

/// The HTTP response for a function's result.
pub fn respond(result: Result<Value, GatewayError>) -> http::Response<axum::body::Body> {
    result.and_then(response_of).unwrap_or_else(|error| {
        let (status, message) = match error {
            GatewayError::NoRoute(_) => (http::StatusCode::NOT_FOUND, "Not Found"),
            GatewayError::InvalidResponse(_) => (http::StatusCode::BAD_GATEWAY, "Internal Server Error"),
        };
        tracing::info!(status = status.as_u16(), "{error}");
        let mut response = http::Response::new(json!({ "message": message }).to_string().into());
        *response.status_mut() = status;
        response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        response
    })
}

/// Converts a request to an API Gateway event, payload format 2.0.
pub fn event_of(request: http::Request<Bytes>) -> Value {
    let (request, body) = request.into_parts();
    let mut headers = Map::new();
    for name in request.headers.keys() {
        let values = request.headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        headers.insert(name.to_string(), values.collect::<Vec<_>>().join(",").into());
    }
    let (method, path) = (request.method.as_str(), request.uri.path());
    let now = Timestamp::now();
    let (body, is_base64) = match std::str::from_utf8(&body) {
        Ok(text) if is_text(&request.headers) => (text.to_owned(), false),
        _ => (BASE64_STANDARD.encode(body), true),
    };
    json!({
        "version": "2.0",
        "routeKey": format!("{method} {path}"),
        "rawPath": path,
        "rawQueryString": request.uri.query().unwrap_or_default(),
        "headers": headers,
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "local",
            "domainName": "localhost",
            "domainPrefix": "local",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": header_text(&request.headers, &http::header::USER_AGENT),
            },
            "requestId": format!("local-{}", now.as_nanosecond()),
            "routeKey": format!("{method} {path}"),
            "stage": "$default",
            "time": now.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
            "timeEpoch": now.as_millisecond(),
        },
        "body": (!body.is_empty()).then_some(body),
        "isBase64Encoded": is_base64,
    })
}

fn header_text<'a>(headers: &'a http::HeaderMap, name: &http::HeaderName) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Whether API Gateway forwards the body as text, by its content type.
fn is_text(headers: &http::HeaderMap) -> bool {
    let kind =
        header_text(headers, &http::header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_text = kind.starts_with("text/") || kind.ends_with("json") || kind.ends_with("xml") || kind.ends_with("javascript");
    is_text && !headers.contains_key(http::header::CONTENT_ENCODING)
}

/// Converts a proxy response to an HTTP response.
fn response_of(response: Value) -> Result<http::Response<axum::body::Body>, GatewayError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct ProxyResponse {
        status_code: u16,
        #[serde(default)]
        headers: Map<String, Value>,
        #[serde(default)]
        multi_value_headers: Map<String, Value>,
        body: Option<String>,
        #[serde(default)]
        is_base64_encoded: bool,
    }
    let invalid = |reason: &dyn ToString| GatewayError::InvalidResponse(reason.to_string());
    let proxy: ProxyResponse = serde_json::from_value(response).map_err(|error| invalid(&error))?;
    let body = proxy.body.unwrap_or_default();
    let body =
        if proxy.is_base64_encoded { BASE64_STANDARD.decode(body).map_err(|error| invalid(&error))? } else { body.into_bytes() };
    let mut response = http::Response::builder().status(proxy.status_code);
    for (name, value) in proxy.headers.iter().chain(&proxy.multi_value_headers) {
        match value {
            Value::Array(values) => {
                for value in values {
                    response = response.header(name, value.as_str().unwrap_or_default());
                }
            }
            value => response = response.header(name, value.as_str().unwrap_or_default()),
        }
    }
    response.body(body.into()).map_err(|error| invalid(&error))
}
