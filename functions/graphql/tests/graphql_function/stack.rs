//! One way to start the stack for every test: the embedded store, the webhook that fills it, and
//! the function under test.

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
use store::Store;
use webhook::{Webhook, WebhookSecrets};

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

/// The version of an event so many milliseconds after the beginning of the year.
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

    /// The same data under other options.
    pub(crate) fn under(&self, options: Options) -> Graphql {
        Graphql::new(self.store().clone(), Secret::new(TOKEN, None).unwrap(), options).with_clock(clock())
    }

    pub(crate) fn store(&self) -> &Store {
        &self.embedded.store
    }

    /// Delivers the story of events/webhook.
    pub(crate) async fn tell_the_story(&self) {
        let webhook = Webhook::new(self.store().clone(), WebhookSecrets::from(Secret::new(SECRET, None).unwrap()), clock());
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events/webhook");
        let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for file in files {
            let event: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
            let mut request = Request::new(Body::from(event["body"].as_str().unwrap()));
            *request.method_mut() = Method::POST;
            request.headers_mut().insert("stigg-webhooks-secret", SECRET.parse().unwrap());
            let response = webhook.handle(request).await;
            assert_eq!(response.status(), StatusCode::OK, "{}", file.display());
        }
    }

    /// A customer known by its profile, created at this time.
    pub(crate) async fn customer(&self, customer: &str, at: i64) {
        let profile = Profile { name: Some(format!("Name of {customer}")), ..Profile::default() };
        self.profile(customer, at, profile).await;
    }

    pub(crate) async fn profile(&self, customer: &str, at: i64, profile: Profile) {
        let written = self.store().write_profile(&id(customer), &version(at), &profile, true, moment()).await;
        let _ = written.unwrap();
    }

    pub(crate) async fn subscription(&self, subscription: &str, customer: &str, at: i64, status: &str) {
        let details: Details = serde_json::from_value(json!({"planId": format!("plan-{}", at % 3), "planName": "Plan"})).unwrap();
        let dates = Dates { start_date: NOW.to_owned(), ..Dates::default() };
        let change = SubscriptionChange {
            status: Some(status.to_owned()),
            dates: Some(dates),
            details: Some((id(customer), details)),
            created: true,
        };
        let written = self.store().write_subscription(&id(subscription), &version(at), &change, None, moment()).await;
        let _ = written.unwrap();
    }

    pub(crate) async fn list(&self, customer: &str, resource: Option<&str>, at: i64, grants: &[(&str, Value)]) {
        let grants = grants.iter().map(|(feature, json)| (id(feature), json.to_string())).collect();
        let lists = [List { resource_id: resource.map(id), grants }];
        let embedded = EmbeddedCustomer::default();
        let version = version(at);
        let written = self.store().write_lists(&id(customer), &version, &lists, (&version, &embedded), moment()).await;
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

    /// The whole answer to a query, which must not hold errors.
    pub(crate) async fn data(&self, query: &str, variables: Value) -> Value {
        let answer = self.ask(query, variables).await;
        assert_eq!(answer.get("errors"), None, "{query}");
        answer["data"].clone()
    }

    pub(crate) async fn ask(&self, query: &str, variables: Value) -> Value {
        ask(&self.graphql, query, variables).await
    }

    /// The code of the first error, and its message.
    pub(crate) async fn error(&self, query: &str) -> (String, String) {
        let answer = self.ask(query, Value::Null).await;
        let error = &answer["errors"][0];
        let code = error["extensions"]["code"].as_str().unwrap_or_else(|| panic!("{query}: {answer}"));
        (code.to_owned(), error["message"].as_str().unwrap().to_owned())
    }
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
