//! What the fuzz targets share: the three functions on a store that is empty and takes every write, within
//! the process, and what must hold of whatever they ask of it.
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

/// The secret and the token of the files in events/, so that these can be seeds.
pub const SECRET: &str = "local-secret";
/// The same, of the readers.
pub const TOKEN: &str = "local-token";
/// The present.
pub const NOW: &str = "2026-11-24T12:00:00.000Z";

/// The present, to everything under test: a finding can be run again.
pub fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// What the check-access function has off by default, on.
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

/// The three functions, and what they asked of the store.
pub struct Functions {
    pub webhook: Webhook,
    pub check_access: CheckAccess,
    pub graphql: Graphql,
    asked: EmptyStore,
    runtime: Runtime,
}

/// The functions of this process.
pub static FUNCTIONS: LazyLock<Functions> = LazyLock::new(|| {
    let asked = EmptyStore::default();
    let connector = asked.clone();
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
        asked,
        runtime: tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap(),
    }
});

impl Functions {
    /// Runs it to its end, and answers with what it asked of the store.
    pub fn run<T>(&self, future: impl Future<Output = T>) -> (T, Vec<Asked>) {
        let result = self.runtime.block_on(future);
        let asked = std::mem::take(&mut *self.asked.0.lock().unwrap_or_else(PoisonError::into_inner));
        asked.iter().for_each(Asked::check);
        (result, asked)
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

/// The status of a response and its body, which is JSON.
pub fn read(response: &Response<Body>) -> (u16, Value) {
    let json = serde_json::from_slice(response.body()).unwrap_or_else(|_| panic!("no JSON: {:?}", response.body()));
    (response.status().as_u16(), json)
}

/// A request to the store.
#[derive(Clone, Debug)]
pub struct Asked {
    pub operation: String,
    pub input: Value,
}

impl Asked {
    /// What DynamoDB would refuse is never asked.
    ///
    /// Source: DynamoDB's limits for keys, items and numbers.
    fn check(&self) {
        check_keys(&self.input);
        let values = self.input.get("ExpressionAttributeValues").or_else(|| self.input.get("Item"));
        if let Some(values) = values {
            assert!(values.to_string().len() < 900_000, "an item larger than DynamoDB takes");
            check_values(values);
        }
    }
}

/// Keys are not empty, and at most as long as DynamoDB takes them.
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

/// Texts fit an item, numbers DynamoDB's range.
fn check_values(values: &Value) {
    let mut bytes = 0;
    for value in values.as_object().into_iter().flat_map(|values| values.values()) {
        if let Some(text) = value.get("S").and_then(Value::as_str) {
            bytes += text.len();
        }
        if let Some(number) = value.get("N") {
            let number = number.as_str().unwrap();
            let digits = number.bytes().filter(u8::is_ascii_digit).count();
            assert!(number.parse::<f64>().unwrap().is_finite() && digits <= 38, "no number of DynamoDB's: {number}");
        }
    }
    assert!(bytes < 400 * 1024, "an item of {bytes} bytes");
}

/// A DynamoDB that holds nothing, takes everything, and remembers what it was asked.
#[derive(Clone, Debug, Default)]
struct EmptyStore(Arc<Mutex<Vec<Asked>>>);

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
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Asked { operation, input });
        HttpConnectorFuture::ready(Ok(HttpResponse::new(StatusCode::try_from(200).unwrap(), SdkBody::from(answer))))
    }
}
