//! Measures the cost of requests. The functions' handlers run on the embedded store, behind a proxy that adds up the
//! consumed capacity, and get events and queries like those of events/.

use std::{
    io,
    num::NonZeroU64,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
};

use aws_sdk_dynamodb::types::AttributeValue;
use axum::{body::Bytes, http::Request};
use check_access::CheckAccess;
use graphql::{Graphql, Options};
use jiff::Timestamp;
use local::{embedded::Embedded, gateway::Gateway};
use runtime::{
    clock::Clock,
    secret::Secret,
    telemetry::{MetricLevel, Recorder, Settings, WRITE_INTERVAL},
};
use serde_json::{Map, Value, json};
use store::Store;
use testkit::printed::Captured;
use tokio::task::JoinSet;
use webhook::{Webhook, WebhookSecrets};

use crate::assumptions::{CPU_OF_A_BATCH, GRAPHQL_MEMORY_MB, MEMORY_MB};
use crate::events::{FEATURES, event, list, measurement, subscription, typical_customer};

/// Number of customers in the store for queries and storage.
const CUSTOMERS: usize = 50;

const NOW: &str = "2026-11-24T00:00:00Z";

/// The kinds of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    CustomerCreated,
    CustomerUpdated,
    CustomerDeleted,
    SubscriptionCreated,
    SubscriptionUpdated,
    SubscriptionCanceled,
    SubscriptionExpired,
    SubscriptionTrialExpired,
    Entitlements1,
    Entitlements20,
    Entitlements50,
    Measurement,
    MeasurementWithoutTime,
    Check,
    CheckOfResource,
    Batch20,
    OneCustomer,
    Page,
    PageWithEntitlements,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Webhook,
    CheckAccess,
    Graphql,
}

impl Function {
    /// As in the template.
    pub(crate) fn memory_mb(self) -> f64 {
        match self {
            Self::Webhook | Self::CheckAccess => MEMORY_MB,
            Self::Graphql => GRAPHQL_MEMORY_MB,
        }
    }
}

impl Kind {
    pub(crate) fn function(self) -> Function {
        match self {
            Self::Check | Self::CheckOfResource | Self::Batch20 => Function::CheckAccess,
            Self::OneCustomer | Self::Page | Self::PageWithEntitlements => Function::Graphql,
            _ => Function::Webhook,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CustomerCreated => "customer.created",
            Self::CustomerUpdated => "customer.updated",
            Self::CustomerDeleted => "customer.deleted, 20 features, 2 subscriptions",
            Self::SubscriptionCreated => "subscription.created",
            Self::SubscriptionUpdated => "subscription.updated",
            Self::SubscriptionCanceled => "subscription.canceled",
            Self::SubscriptionExpired => "subscription.expired",
            Self::SubscriptionTrialExpired => "subscription.trial_expired",
            Self::Entitlements1 => "entitlements.updated, 1 feature",
            Self::Entitlements20 => "entitlements.updated, 20 features",
            Self::Entitlements50 => "entitlements.updated, 50 features",
            Self::Measurement => "measurement.reported",
            Self::MeasurementWithoutTime => "measurement.reported without a time",
            Self::Check => "check, customer level",
            Self::CheckOfResource => "check, of a resource",
            Self::Batch20 => "batch of 20 checks",
            Self::OneCustomer => "query of one customer, all of it",
            Self::Page => "README query, first 50, without entitlements",
            Self::PageWithEntitlements => "README query, first 50",
        }
    }
}

/// The measured cost of one request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RequestCost {
    /// Requests to DynamoDB.
    pub(crate) requests: f64,
    pub(crate) write_units: f64,
    pub(crate) read_units: f64,
    /// The response's body.
    pub(crate) response_bytes: f64,
    /// The function's log line.
    pub(crate) log_bytes: f64,
    /// The metric lines, if they are written for this request alone.
    pub(crate) metric_bytes: f64,
    /// The function's memory.
    pub(crate) memory_mb: f64,
    /// CPU time relative to other requests with the same number of DynamoDB requests.
    pub(crate) cpu_factor: f64,
}

/// Billed bytes, with DynamoDB's overhead of 100 bytes per item and index entry.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StoredBytes {
    pub(crate) tables: f64,
    pub(crate) indexes: f64,
}

pub(crate) struct Measured {
    costs: Vec<(Kind, RequestCost)>,
    /// Per customer.
    pub(crate) stored: StoredBytes,
    /// Size of an entry in the index `byCustomer` of Customers, which `totalCount` reads.
    pub(crate) index_entry_bytes: f64,
}

impl Measured {
    pub(crate) fn cost_of(&self, kind: Kind) -> RequestCost {
        let (_, cost) = self.costs.iter().find(|(other, _)| *other == kind).unwrap();
        let cpu_factor = if kind == Kind::Batch20 { CPU_OF_A_BATCH } else { 1.0 };
        RequestCost { memory_mb: kind.function().memory_mb(), cpu_factor, ..*cost }
    }
}

/// Adds a request to DynamoDB.
fn add(cost: &mut RequestCost, operation: &str, answer: &Value) {
    if answer["__type"].as_str().is_some_and(|error| error.ends_with("ConditionalCheckFailedException")) {
        // DynamoDB reports no capacity for a failed condition, and bills the size of the stored item.
        let bytes: usize =
            answer["Item"].as_object().into_iter().flatten().map(|(name, value)| name.len() + value.to_string().len()).sum();
        cost.requests += 1.0;
        cost.write_units += (bytes as f64 / 1_024.0).ceil().max(1.0);
        return;
    }
    let consumed = &answer["ConsumedCapacity"];
    let tables = consumed.as_array().map_or_else(|| std::slice::from_ref(consumed), Vec::as_slice);
    let units =
        |table: &Value| table["CapacityUnits"].as_f64().unwrap_or_else(|| panic!("{operation} reports no capacity: {answer}"));
    let units: f64 = tables.iter().map(units).sum();
    cost.requests += 1.0;
    match operation {
        "GetItem" | "BatchGetItem" | "Query" => cost.read_units += units,
        "UpdateItem" | "DeleteItem" | "PutItem" => cost.write_units += units,
        other => panic!("unexpected operation {other}"),
    }
}

/// The functions on one store, with and without cost tracking.
struct Stacks {
    tracked: Gateway,
    cost: Arc<Mutex<RequestCost>>,
    output: Captured,
    untracked: Arc<Gateway>,
    embedded: Embedded,
}

impl Stacks {
    async fn start() -> Self {
        let embedded = Embedded::in_memory().await.unwrap();
        let cost = Arc::<Mutex<RequestCost>>::default();
        let sum = Arc::clone(&cost);
        let tracked = testkit::store::proxied_with_rewrite(
            &embedded,
            usize::MAX,
            Arc::new(move |operation, _, answer| {
                add(&mut sum.lock().unwrap(), operation, &answer);
                answer
            }),
        );
        let output = Captured::default();
        // The clock advances so that each request writes its metrics.
        let seconds = AtomicI64::new(0);
        let clock = Clock::of(move || {
            NOW.parse::<Timestamp>().unwrap() + WRITE_INTERVAL * i32::try_from(seconds.fetch_add(1, Ordering::Relaxed)).unwrap()
        });
        let settings = Settings { namespace: Some("byos-stigg".to_owned()), level: MetricLevel::Basic, one_in: NonZeroU64::MIN };
        let recorder = Arc::new(Recorder::to(output.clone(), clock, settings));
        let tracked = gateway(tracked.await.store, &recorder);
        let untracked = Arc::new(gateway(embedded.store.clone(), &recorder));
        Self { tracked, cost, output, untracked, embedded }
    }

    async fn send(&self, path: &str, body: &Value) -> RequestCost {
        *self.cost.lock().unwrap() = RequestCost::default();
        self.output.take();
        let response_bytes = send(&self.tracked, path, body).await as f64;
        let output = self.output.take();
        let length = |is_metric: bool| -> f64 {
            let lines = output.split_inclusive('\n').filter(|line| line.contains("\"_aws\"") == is_metric);
            lines.map(|line| normalize(line).len() as f64).sum()
        };
        RequestCost { response_bytes, log_bytes: length(false), metric_bytes: length(true), ..*self.cost.lock().unwrap() }
    }
}

/// Replaces the request id by one of Lambda's length, and times by a constant, so that lengths are the same in each run.
fn normalize(line: &str) -> String {
    let mut line: Map<String, Value> = serde_json::from_str(line).unwrap();
    for (name, value) in [
        ("request_id", json!("00000000-0000-4000-8000-000000000000")),
        ("milliseconds", json!(12.34)),
        ("dynamodb_milliseconds", json!(12.34)),
    ] {
        if let Some(member) = line.get_mut(name) {
            *member = value;
        }
    }
    format!("{}\n", Value::Object(line))
}

/// The functions with the options of a deployment.
fn gateway(store: Store, recorder: &Arc<Recorder>) -> Gateway {
    let clock = Clock::of(|| NOW.parse().unwrap());
    let token = Secret::new("token", None).unwrap();
    let secrets = WebhookSecrets::from(Secret::new("secret", None).unwrap());
    let recorder = || Arc::clone(recorder);
    Gateway::new(
        Webhook::new(store.clone(), secrets, clock.clone()).with_recorder(recorder()),
        Graphql::new(store.clone(), token.clone(), Options::default()).with_clock(clock.clone()).with_recorder(recorder()),
        CheckAccess::new(store, token, clock).with_recorder(recorder()),
    )
}

/// Returns the length of the response's body. Fails if the request has no effect or gets an error.
async fn send(gateway: &Gateway, path: &str, body: &Value) -> usize {
    let request = Request::post(path)
        .header("stigg-webhooks-secret", "secret")
        .header("authorization", "Bearer token")
        .header("content-type", "application/json")
        .body(Bytes::from(body.to_string()))
        .unwrap();
    let response = gateway.serve(request).await;
    let status = response.status();
    let answer = axum::body::to_bytes(response.into_body(), 8 << 20).await.unwrap();
    let text = String::from_utf8_lossy(&answer);
    assert!(status.is_success() && !text.contains("\"stale\"") && !text.contains("\"errors\""), "{path} {body}: {text}");
    answer.len()
}

fn query(text: &str) -> Value {
    json!({ "query": text })
}

/// The query of the example's README for a page of 50, without totalCount.
fn page(entitlements: &str) -> Value {
    query(&format!(
        "query CustomersAndSubscriptions {{ customers(first: 50) {{ nodes {{ createdAt updatedAt customerId name email {entitlements}
         subscriptions(condition: {{status: \"ACTIVE\"}}) {{ nodes {{ createdAt updatedAt subscriptionId planId planName status
         startDate endDate }} }} }} }} }}"
    ))
}

const ONE_CUSTOMER: &str =
    "{ customer(customerId: \"customer-0003\") { createdAt updatedAt customerId name email billingId entitlements
                   subscriptions { nodes { subscriptionId planId planName status startDate endDate } } } }";

/// A check of each of the customer's features.
fn batch(customer: usize) -> Value {
    let list = list(customer, FEATURES, None, 2);
    let features = list["entitlements"].as_array().unwrap().iter();
    let checks: Value = features.map(|entitlement| json!({"featureId": entitlement["feature"]["id"]})).collect();
    json!({"customerId": list["customer"]["id"], "checks": checks})
}

/// Sends the events and checks in order and returns their costs. Steps without a kind only prepare the store.
async fn event_and_check_costs(stacks: &Stacks) -> Vec<(Kind, RequestCost)> {
    let check = |resource: Value| json!({"customerId": "customer-0001", "featureId": "feature-sso-00", "resourceId": resource});
    let steps = [
        // A deployed function reads the replica's environment at start, this one at the first event.
        (None, "/webhook", event("01-customer.created", 9_999, 1)),
        (Some(Kind::CustomerCreated), "/webhook", event("01-customer.created", 0, 1)),
        (Some(Kind::CustomerUpdated), "/webhook", event("10-customer.updated", 0, 2)),
        (Some(Kind::SubscriptionCreated), "/webhook", subscription("12-subscription.created", 0, 0, 3)),
        (None, "/webhook", subscription("12-subscription.created", 0, 1, 4)),
        (Some(Kind::SubscriptionUpdated), "/webhook", subscription("07-subscription.updated", 0, 0, 5)),
        (None, "/webhook", list(0, FEATURES, None, 6)),
        (Some(Kind::Entitlements20), "/webhook", list(0, FEATURES, None, 7)),
        (Some(Kind::Measurement), "/webhook", measurement("05-measurement.reported", 0, 8)),
        (Some(Kind::SubscriptionCanceled), "/webhook", subscription("14-subscription.canceled", 0, 0, 10)),
        (Some(Kind::SubscriptionTrialExpired), "/webhook", subscription("20-subscription.trial_expired", 0, 0, 11)),
        (Some(Kind::SubscriptionExpired), "/webhook", subscription("15-subscription.expired", 0, 0, 12)),
        (Some(Kind::CustomerDeleted), "/webhook", event("17-customer.deleted", 0, 13)),
        (None, "/webhook", event("01-customer.created", 1, 1)),
        (None, "/webhook", list(1, 1, None, 2)),
        (Some(Kind::Entitlements1), "/webhook", list(1, 1, None, 3)),
        (None, "/webhook", list(1, 1, Some("site-berlin"), 4)),
        (Some(Kind::Check), "/check-access", check(Value::Null)),
        (Some(Kind::CheckOfResource), "/check-access", check("site-berlin".into())),
        (None, "/webhook", event("01-customer.created", 3, 1)),
        (None, "/webhook", list(3, FEATURES, None, 2)),
        (Some(Kind::Batch20), "/check-access/batch", batch(3)),
        (None, "/webhook", event("01-customer.created", 2, 1)),
        (None, "/webhook", list(2, 50, None, 2)),
        (Some(Kind::Entitlements50), "/webhook", list(2, 50, None, 3)),
        (Some(Kind::MeasurementWithoutTime), "/webhook", measurement("09-measurement.reported", 2, 4)),
    ];
    let mut costs = Vec::new();
    for (kind, path, body) in steps {
        let cost = stacks.send(path, &body).await;
        costs.extend(kind.map(|kind| (kind, cost)));
    }
    costs
}

/// Writes [`CUSTOMERS`] typical customers.
async fn populate(stacks: &Stacks) {
    const WRITERS: usize = 4;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let gateway = Arc::clone(&stacks.untracked);
        writers.spawn(async move {
            for event in (writer..CUSTOMERS).step_by(WRITERS).flat_map(typical_customer) {
                send(&gateway, "/webhook", &event).await;
            }
        });
    }
    writers.join_all().await;
}

/// The billed bytes and the number of items of a table or an index.
async fn scan_size(store: &Store, table: &str, index: Option<&str>) -> (f64, usize) {
    let length = |value: &AttributeValue| match value {
        AttributeValue::S(text) | AttributeValue::N(text) => text.len(),
        AttributeValue::B(bytes) => bytes.as_ref().len(),
        other => panic!("unexpected attribute {other:?}"),
    };
    let scan = store.client().scan().table_name(table).set_index_name(index.map(str::to_owned));
    let items: Result<Vec<_>, _> = scan.into_paginator().items().send().collect().await;
    let items = items.unwrap();
    let bytes = items.iter().map(|item| item.iter().map(|(name, value)| name.len() + length(value)).sum::<usize>() + 100);
    (bytes.sum::<usize>() as f64, items.len())
}

/// The stored bytes per customer, and the size of an entry of `byCustomer`.
async fn storage(store: &Store) -> (StoredBytes, f64) {
    let mut sum = StoredBytes::default();
    let mut index_entry_bytes = 0.0;
    for table in [&store.tables().customers, &store.tables().subscriptions] {
        sum.tables += scan_size(store, table, None).await.0;
        let described = store.client().describe_table().table_name(table).send().await.unwrap();
        for index in described.table().unwrap().global_secondary_indexes() {
            let (bytes, entries) = scan_size(store, table, index.index_name()).await;
            sum.indexes += bytes;
            if (table, index.index_name()) == (&store.tables().customers, Some("byCustomer")) {
                // Reads are billed without the overhead of 100 bytes.
                index_entry_bytes = bytes / entries as f64 - 100.0;
            }
        }
    }
    let customers = CUSTOMERS as f64;
    (StoredBytes { tables: sum.tables / customers, indexes: sum.indexes / customers }, index_entry_bytes)
}

pub(crate) async fn measure() -> Measured {
    // Request lines are only written at level INFO.
    tracing_subscriber::fmt().with_max_level(tracing_subscriber::filter::LevelFilter::INFO).with_writer(io::sink).init();
    let mut costs = event_and_check_costs(&Stacks::start().await).await;
    let stacks = Stacks::start().await;
    populate(&stacks).await;
    for (kind, body) in
        [(Kind::OneCustomer, query(ONE_CUSTOMER)), (Kind::Page, page("")), (Kind::PageWithEntitlements, page("entitlements"))]
    {
        costs.push((kind, stacks.send("/graphql", &body).await));
    }
    let (stored, index_entry_bytes) = storage(&stacks.embedded.store).await;
    Measured { costs, stored, index_entry_bytes }
}
