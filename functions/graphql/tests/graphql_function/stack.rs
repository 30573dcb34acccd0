//! The function over an embedded store, as a library or as its binary, and helpers that write test data.

use std::{collections::HashMap, path::Path};

use domain::{
    customer::{Embedded as EmbeddedCustomer, Profile},
    entitlement::Usage,
    event::{List, SubscriptionChange},
    id::Id,
    subscription::{Dates, Details},
    version::Version,
};
use graphql::{Graphql, Options};
use lambda_http::{
    Body, Request, RequestExt as _, Response,
    http::{HeaderMap, Method, StatusCode},
};
use local::embedded::Embedded;
use runtime::{clock::Clock, secret::Secret};
use serde_json::{Value, json};
use store::{CustomerChange, Store, SubscriptionWrite};
use template::sample;
use testkit::runtime_api::Lambda;

pub(crate) const TOKEN: &str = "local-token";
pub(crate) const SECRET: &str = "local-secret";
pub(crate) const NOW: &str = "2026-11-23T14:00:00.000Z";

pub(crate) struct Stack {
    pub(crate) embedded: Embedded,
    pub(crate) graphql: Graphql,
}

pub(crate) fn id(text: &str) -> Id {
    Id::try_from(text).unwrap()
}

/// The version of an event this number of milliseconds after the start of 2026.
pub(crate) fn version(at: i64) -> Version {
    let start: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    Version::new(start + jiff::SignedDuration::from_millis(at), "m")
}

pub(crate) fn moment() -> jiff::Timestamp {
    NOW.parse().unwrap()
}

impl Stack {
    pub(crate) async fn start() -> Self {
        Self::with(Options::default()).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let embedded = Embedded::in_memory().await.unwrap();
        let token = Secret::new(TOKEN, None).unwrap();
        let graphql = Graphql::new(embedded.store.clone(), token, options).with_clock(clock());
        Self { embedded, graphql }
    }

    /// The function over the same data with other options.
    pub(crate) fn with_options(&self, options: Options) -> Graphql {
        Graphql::new(self.store().clone(), Secret::new(TOKEN, None).unwrap(), options).with_clock(clock())
    }

    pub(crate) fn store(&self) -> &Store {
        &self.embedded.store
    }

    pub(crate) async fn write_sample_data(&self) {
        let stack = local::serve::Stack::on(self.store().clone(), SECRET, TOKEN, clock()).unwrap();
        stack.seed(SECRET).await.unwrap();
    }

    /// Starts the function's binary over this store. `variables` are added to its environment.
    pub(crate) async fn start_lambda(&self, variables: &[(&'static str, &str)]) -> Lambda {
        let tables = self.store().tables();
        let defaults = [
            ("CUSTOMERS_TABLE", tables.customers.as_str()),
            ("SUBSCRIPTIONS_TABLE", &tables.subscriptions),
            ("DYNAMODB_ENDPOINT", &self.embedded.endpoint),
            ("METRICS_NAMESPACE", "byos-stigg"),
        ];
        let variables = defaults.into_iter().chain(variables.iter().copied());
        Lambda::start(Path::new(env!("CARGO_BIN_EXE_graphql")), variables).await.unwrap()
    }

    pub(crate) async fn customer(&self, customer: &str, at: i64) {
        let profile = Profile { name: Some(format!("Name of {customer}")), ..Profile::default() };
        self.profile(customer, at, profile, true).await;
    }

    pub(crate) async fn profile(&self, customer: &str, at: i64, profile: Profile, is_creation: bool) {
        let version = version(at);
        let creation = is_creation.then_some(&version);
        let change = CustomerChange { profile: Some((&version, &profile)), creation, ..CustomerChange::default() };
        let written = self.store().write_customer(&id(customer), &change, moment()).await;
        let _ = written.unwrap();
    }

    pub(crate) async fn subscription(&self, subscription: &str, customer: &str, at: i64, status: &str) {
        let details = json!({"planId": format!("plan-{}", at % 3), "planName": "Plan"});
        self.subscription_with(subscription, customer, at, status, details).await;
    }

    pub(crate) async fn subscription_with(&self, subscription: &str, customer: &str, at: i64, status: &str, details: Value) {
        let details: Details = serde_json::from_value(details).unwrap();
        let dates = Dates { start_date: NOW.to_owned(), ..Dates::default() };
        let change =
            SubscriptionChange { status: Some(status.to_owned()), dates: Some(dates), details: Some((id(customer), details)) };
        let version = version(at);
        let write = SubscriptionWrite { change: &change, version: &version, creation: Some(&version) };
        let written = self.store().write_subscription(&id(subscription), write, None, moment()).await;
        let _ = written.unwrap();
    }

    pub(crate) async fn list(&self, customer: &str, resource: Option<&str>, at: i64, grants: &[(&str, Value)]) {
        let stored = grants.iter().map(|(feature, json)| (id(feature), json.to_string())).collect();
        let lists = [List { resource_id: resource.map(id), grants: stored }];
        let embedded = EmbeddedCustomer::default();
        let version = version(at);
        let embedded = (!grants.is_empty()).then_some((&version, &embedded));
        let written = self.store().write_lists(&id(customer), &version, &lists, embedded, moment()).await;
        let _ = written.unwrap();
    }

    pub(crate) async fn usage(&self, customer: &str, feature: &str, at: i64, usage: Value) {
        let usage: Usage = serde_json::from_value(usage).unwrap();
        let written = self.store().write_usage(&id(customer), None, &id(feature), &version(at), &usage, moment()).await;
        let _ = written.unwrap();
    }

    pub(crate) async fn delete(&self, customer: &str, at: i64) {
        let _ = self.store().delete_customer(&id(customer), &version(at), moment()).await.unwrap();
    }

    /// The data of a response, which must not have errors.
    pub(crate) async fn data(&self, query: &str, variables: Value) -> Value {
        let response = self.ask(query, variables).await;
        assert_eq!(response.get("errors"), None, "{query}");
        response["data"].clone()
    }

    pub(crate) async fn ask(&self, query: &str, variables: Value) -> Value {
        ask(&self.graphql, query, variables).await
    }

    /// Code and message of the first error.
    pub(crate) async fn error(&self, query: &str) -> (String, String) {
        let response = self.ask(query, Value::Null).await;
        let error = &response["errors"][0];
        let code = error["extensions"]["code"].as_str().unwrap_or_else(|| panic!("{query}: {response}"));
        (code.to_owned(), error["message"].as_str().unwrap().to_owned())
    }
}

/// An API Gateway event of events/graphql.
pub(crate) fn sample_event(name: &str) -> Value {
    sample::events("graphql").into_iter().find(|(other, _)| other == name).unwrap().1
}

pub(crate) fn event_with_body(body: impl Into<String>) -> Value {
    let mut event = sample_event("customer.json");
    event["body"] = body.into().into();
    event
}

pub(crate) fn event_with_query(query: impl Into<String>) -> Value {
    event_with_body(json!({"query": query.into()}).to_string())
}

/// The body of a response in API Gateway's form.
pub(crate) fn lambda_body(response: &Value) -> Value {
    serde_json::from_str(response["body"].as_str().unwrap()).unwrap()
}

pub(crate) fn clock() -> Clock {
    Clock::of(moment)
}

pub(crate) async fn ask(graphql: &Graphql, query: &str, variables: Value) -> Value {
    let body = json!({"query": query, "variables": variables}).to_string();
    let response = graphql.handle(post(&body)).await;
    assert_eq!(response.status(), StatusCode::OK, "{query}");
    body_of(&response)
}

pub(crate) fn post(body: &str) -> Request {
    let mut request = Request::new(Body::from(body));
    *request.method_mut() = Method::POST;
    *request.headers_mut() = headers(&[("content-type", "application/json")]);
    request
}

pub(crate) fn get(parameters: &[(&str, &str)]) -> Request {
    let mut request = Request::new(Body::Empty);
    *request.headers_mut() = headers(&[]);
    let parameters: HashMap<String, String> =
        parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    request.with_query_string_parameters(parameters)
}

pub(crate) fn headers(more: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", format!("Bearer {TOKEN}").parse().unwrap());
    for (name, value) in more {
        headers.insert(*name, value.parse().unwrap());
    }
    headers
}

pub(crate) fn body_of(response: &Response<Body>) -> Value {
    match response.body() {
        Body::Text(text) => serde_json::from_str(text).unwrap(),
        other => panic!("{other:?}"),
    }
}
