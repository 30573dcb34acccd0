//! Shared by the fuzz targets: the three functions on an in-process store that is empty and accepts every write, and checks of
//! each request to it.
#![forbid(unsafe_code)]

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::Client;
use aws_smithy_runtime_api::{
    client::{
        http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn},
        orchestrator::{HttpRequest, HttpResponse},
    },
    http::StatusCode,
};
use aws_smithy_types::body::SdkBody;
use check_access::{Authorizer, BrowserOrigins, CheckAccess, Options as CheckOptions, SigningSecret};
use graphql::{Graphql, Options};
use jiff::Timestamp;
use lambda_http::{Body, Request, Response, http::Method};
use serde_json::Value;
use runtime::{aws::{Budget, sdk_config}, secret::Secret, clock::Clock};
use store::{MAX_PARTITION_KEY_BYTES, MAX_SORT_KEY_BYTES, Store, Tables};
use tokio::runtime::Runtime;
use webhook::{Webhook, WebhookSecrets};

/// The webhook's secret in events/, whose files can so be seeds.
pub const SECRET: &str = "local-secret";
/// The readers' token in events/.
pub const TOKEN: &str = "local-token";
/// The fixed current time.
pub const NOW: &str = "2026-11-24T12:00:00.000Z";

/// The fixed current time, so that findings are reproducible.
pub fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// Turns on all options of check-access that are off by default.
fn check_options() -> CheckOptions {
    let origins = BrowserOrigins::parse("https://app.example.com").unwrap();
    let authorizer = Authorizer::read(|name| {
        let value = match name {
            "AUTHORIZER_CUSTOMER" => "$request.header.x-customer",
            "AUTHORIZER_FEATURE" => "$request.path.feature",
            "AUTHORIZER_RESOURCE" => "$request.querystring.resource",
            _ => return None,
        };
        Some(value.to_owned())
    });
    CheckOptions::for_browsers(origins, SigningSecret::new(SECRET, None).unwrap()).with_authorizer(authorizer.unwrap())
}

/// The three functions and their store.
pub struct Functions {
    pub webhook: Webhook,
    pub check_access: CheckAccess,
    pub graphql: Graphql,
    store: EmptyStore,
    runtime: Runtime,
}

/// The functions of this process.
pub static FUNCTIONS: LazyLock<Functions> = LazyLock::new(|| {
    let empty_store = EmptyStore::default();
    let connector = empty_store.clone();
    let http = http_client_fn(move |_, _| SharedHttpConnector::new(connector.clone()));
    let credentials = Credentials::new("local", "local", None, None, "fuzz");
    let endpoint = Some("http://store.invalid".to_owned());
    let config = sdk_config(Some("us-east-1".to_owned()), credentials, http, endpoint, Budget::WEBHOOK);
    let tables = Tables { customers: "customers".into(), subscriptions: "subscriptions".into(), receipts: "receipts".into() };
    let store = Store::new(Client::new(&config), tables);
    let clock = Clock::of(now);
    let secret = |value| Secret::new(value, None).unwrap();
    Functions {
        webhook: Webhook::new(store.clone(), WebhookSecrets::from(secret(SECRET)), clock.clone()),
        check_access: CheckAccess::new(store.clone(), secret(TOKEN), clock.clone()).with_options(check_options()),
        graphql: Graphql::new(store, secret(TOKEN), Options::default()).with_clock(clock),
        store: empty_store,
        runtime: tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap(),
    }
});

impl Functions {
    /// Runs a future. Also returns its requests to the store, after checking them.
    pub fn run<T>(&self, future: impl Future<Output = T>) -> (T, Vec<StoreRequest>) {
        let result = self.runtime.block_on(future);
        let requests = std::mem::take(&mut *self.store.0.lock().unwrap_or_else(PoisonError::into_inner));
        requests.iter().for_each(StoreRequest::check);
        (result, requests)
    }
}

/// A POST with these headers.
pub fn post(headers: &[(&'static str, &str)], body: &[u8]) -> Request {
    let mut request = Request::new(Body::Binary(body.to_vec()));
    *request.method_mut() = Method::POST;
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    request
}

/// The status and the JSON body of a response.
pub fn read(response: &Response<Body>) -> (u16, Value) {
    let json = serde_json::from_slice(response.body()).unwrap_or_else(|_| panic!("not JSON: {:?}", response.body()));
    (response.status().as_u16(), json)
}

/// A request to the store.
#[derive(Clone, Debug)]
pub struct StoreRequest {
    pub operation: String,
    pub input: Value,
}

impl StoreRequest {
    /// Panics if DynamoDB would reject the request.
    ///
    /// Source: DynamoDB's limits for keys, items and numbers.
    fn check(&self) {
        check_keys(&self.input);
        let values = self.input.get("ExpressionAttributeValues").or_else(|| self.input.get("Item"));
        if let Some(values) = values {
            assert!(values.to_string().len() < 900_000, "the item is too large for DynamoDB");
            check_values(values);
        }
    }
}

/// Keys are not empty, and not longer than DynamoDB's limits.
fn check_keys(json: &Value) {
    match json {
        Value::Object(members) => {
            for (name, value) in members {
                let limit = match name.as_str() {
                    "customerId" | "subscriptionId" | "receipt" => MAX_PARTITION_KEY_BYTES,
                    "item" | "creationOrder" | "customerOrder" => MAX_SORT_KEY_BYTES,
                    _ => {
                        check_keys(value);
                        continue;
                    }
                };
                if let Some(key) = value.get("S").and_then(Value::as_str) {
                    assert!((1..=limit).contains(&key.len()), "a key of {} bytes: {name}", key.len());
                }
            }
        }
        Value::Array(values) => values.iter().for_each(check_keys),
        _ => {}
    }
}

/// Strings fit into an item, and numbers into DynamoDB's range.
fn check_values(values: &Value) {
    let mut bytes = 0;
    for value in values.as_object().into_iter().flat_map(|values| values.values()) {
        if let Some(text) = value.get("S").and_then(Value::as_str) {
            bytes += text.len();
        }
        if let Some(number) = value.get("N") {
            let number = number.as_str().unwrap();
            let digits = number.bytes().filter(u8::is_ascii_digit).count();
            assert!(number.parse::<f64>().unwrap().is_finite() && digits <= 38, "not a number of DynamoDB: {number}");
        }
    }
    assert!(bytes < 400 * 1024, "an item of {bytes} bytes");
}

/// A DynamoDB that is empty, accepts every write, and records its requests.
#[derive(Clone, Debug, Default)]
struct EmptyStore(Arc<Mutex<Vec<StoreRequest>>>);

impl HttpConnector for EmptyStore {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let input = serde_json::from_slice(request.body().bytes().unwrap_or_default()).unwrap_or_default();
        let answer = match operation.as_str() {
            "BatchGetItem" => r#"{"Responses":{},"UnprocessedKeys":{}}"#,
            "Query" => r#"{"Items":[],"Count":0,"ScannedCount":0}"#,
            _ => "{}",
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(StoreRequest { operation, input });
        HttpConnectorFuture::ready(Ok(HttpResponse::new(StatusCode::try_from(200).unwrap(), SdkBody::from(answer))))
    }
}
