//! What requests take, measured: the functions' own handlers, on the embedded store behind a proxy
//! that adds up the capacity that DynamoDB tells, with the sample data of events/ as what is sent.

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
use crate::events::{FEATURES, event, history, list, measurement, subscription};

/// Customers in the store when a page is read.
const CUSTOMERS: usize = 50;

const NOW: &str = "2026-11-24T00:00:00Z";

/// What is asked of the functions.
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

/// The three functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Webhook,
    CheckAccess,
    Graphql,
}

impl Function {
    /// The function's memory, as in the template.
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

/// What one request took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Taken {
    /// Requests to DynamoDB.
    pub(crate) requests: f64,
    pub(crate) write_units: f64,
    pub(crate) read_units: f64,
    /// The answer's body.
    pub(crate) bytes: f64,
    /// The line that the function logs.
    pub(crate) line: f64,
    /// The lines with its metrics, if they are written with it alone.
    pub(crate) metrics: f64,
    /// Memory of the function that answers.
    pub(crate) memory_mb: f64,
    /// Its CPU time, as a multiple of that of another request with as many requests to DynamoDB.
    pub(crate) cpu_factor: f64,
}

/// Bytes that DynamoDB bills, its own of each item and index entry included.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stored {
    pub(crate) tables: f64,
    pub(crate) indexes: f64,
}

pub(crate) struct Measured {
    pub(crate) taken: Vec<(Kind, Taken)>,
    /// For each customer.
    pub(crate) stored: Stored,
    /// An entry of the list of customers, which `totalCount` reads.
    pub(crate) listed: f64,
}

impl Measured {
    pub(crate) fn of(&self, kind: Kind) -> Taken {
        let (_, taken) = self.taken.iter().find(|(other, _)| *other == kind).unwrap();
        let cpu_factor = if kind == Kind::Batch20 { CPU_OF_A_BATCH } else { 1.0 };
        Taken { memory_mb: kind.function().memory_mb(), cpu_factor, ..*taken }
    }
}

/// Adds what a request to DynamoDB took to the rest.
fn add(taken: &mut Taken, operation: &str, answer: &Value) {
    if answer["__type"].as_str().is_some_and(|error| error.ends_with("ConditionalCheckFailedException")) {
        // DynamoDB reports no capacity for it, and bills the size of the item as it is.
        let bytes: usize =
            answer["Item"].as_object().into_iter().flatten().map(|(name, value)| name.len() + value.to_string().len()).sum();
        taken.requests += 1.0;
        taken.write_units += (bytes as f64 / 1_024.0).ceil().max(1.0);
        return;
    }
    let consumed = &answer["ConsumedCapacity"];
    let tables = consumed.as_array().map_or_else(|| std::slice::from_ref(consumed), Vec::as_slice);
    let units =
        |table: &Value| table["CapacityUnits"].as_f64().unwrap_or_else(|| panic!("{operation} tells no capacity: {answer}"));
    let units: f64 = tables.iter().map(units).sum();
    taken.requests += 1.0;
    match operation {
        "GetItem" | "BatchGetItem" | "Query" => taken.read_units += units,
        "UpdateItem" | "DeleteItem" | "PutItem" => taken.write_units += units,
        other => panic!("{other} is neither a read nor a write"),
    }
}

/// The functions on one store, by two ways: behind the meter, and past it.
struct Stacks {
    metered: Gateway,
    taken: Arc<Mutex<Taken>>,
    printed: Captured,
    direct: Arc<Gateway>,
    embedded: Embedded,
}

impl Stacks {
    async fn start() -> Self {
        let embedded = Embedded::in_memory().await.unwrap();
        let taken = Arc::<Mutex<Taken>>::default();
        let summed = Arc::clone(&taken);
        let metered = testkit::store::proxied_with_rewrite(
            &embedded,
            usize::MAX,
            Arc::new(move |operation, _, answer| {
                add(&mut summed.lock().unwrap(), operation, &answer);
                answer
            }),
        );
        let printed = Captured::default();
        // With each request the metrics are due.
        let seconds = AtomicI64::new(0);
        let clock = Clock::of(move || {
            NOW.parse::<Timestamp>().unwrap() + WRITE_INTERVAL * i32::try_from(seconds.fetch_add(1, Ordering::Relaxed)).unwrap()
        });
        let settings = Settings { namespace: Some("byos-stigg".to_owned()), level: MetricLevel::Basic, one_in: NonZeroU64::MIN };
        let recorder = Arc::new(Recorder::to(printed.clone(), clock, settings));
        let metered = gateway(metered.await.store, &recorder);
        let direct = Arc::new(gateway(embedded.store.clone(), &recorder));
        Self { metered, taken, printed, direct, embedded }
    }

    async fn ask(&self, path: &str, body: &Value) -> Taken {
        *self.taken.lock().unwrap() = Taken::default();
        self.printed.take();
        let bytes = ask(&self.metered, path, body).await as f64;
        let printed = self.printed.take();
        let length = |of_metrics: bool| -> f64 {
            let lines = printed.split_inclusive('\n').filter(|line| line.contains("\"_aws\"") == of_metrics);
            lines.map(|line| as_on_lambda(line).len() as f64).sum()
        };
        Taken { bytes, line: length(false), metrics: length(true), ..*self.taken.lock().unwrap() }
    }
}

/// The line with Lambda's id of the invocation, and with the same times in each run.
fn as_on_lambda(line: &str) -> String {
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

/// The functions as they are deployed, on this store.
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

async fn ask(gateway: &Gateway, path: &str, body: &Value) -> usize {
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

/// The query of the example's README, for a page, without totalCount.
fn page(entitlements: &str) -> Value {
    query(&format!(
        "query CustomersAndSubscriptions {{ customers(first: 50) {{ nodes {{ createdAt updatedAt customerId name email {entitlements}
         subscriptions(condition: {{status: \"ACTIVE\"}}) {{ nodes {{ createdAt updatedAt subscriptionId planId planName status
         startDate endDate }} }} }} }} }}"
    ))
}

const ONE: &str = "{ customer(customerId: \"customer-0003\") { createdAt updatedAt customerId name email billingId entitlements
                   subscriptions { nodes { subscriptionId planId planName status startDate endDate } } } }";

/// A check of each of the customer's features.
fn batch(customer: usize) -> Value {
    let list = list(customer, FEATURES, None, 2);
    let features = list["entitlements"].as_array().unwrap().iter();
    let checks: Value = features.map(|entitlement| json!({"featureId": entitlement["feature"]["id"]})).collect();
    json!({"customerId": list["customer"]["id"], "checks": checks})
}

/// Every kind of request, each on what the ones before it left.
async fn requests(stacks: &Stacks) -> Vec<(Kind, Taken)> {
    let check = |resource: Value| json!({"customerId": "customer-0001", "featureId": "feature-sso-00", "resourceId": resource});
    let steps = [
        // A deployed process reads the replica's environment while it starts, this one with the first event.
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
    let mut taken = Vec::new();
    for (kind, path, body) in steps {
        let spent = stacks.ask(path, &body).await;
        taken.extend(kind.map(|kind| (kind, spent)));
    }
    taken
}

/// Customers with all that the model's customer has.
async fn populate(stacks: &Stacks) {
    const WRITERS: usize = 4;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let stack = Arc::clone(&stacks.direct);
        writers.spawn(async move {
            for event in (writer..CUSTOMERS).step_by(WRITERS).flat_map(history) {
                ask(&stack, "/webhook", &event).await;
            }
        });
    }
    writers.join_all().await;
}

async fn stored(store: &Store, table: &str, index: Option<&str>) -> (f64, usize) {
    let length = |value: &AttributeValue| match value {
        AttributeValue::S(text) | AttributeValue::N(text) => text.len(),
        AttributeValue::B(bytes) => bytes.as_ref().len(),
        other => panic!("no item of these has {other:?}"),
    };
    let scan = store.client().scan().table_name(table).set_index_name(index.map(str::to_owned));
    let items: Result<Vec<_>, _> = scan.into_paginator().items().send().collect().await;
    let items = items.unwrap();
    let bytes = items.iter().map(|item| item.iter().map(|(name, value)| name.len() + length(value)).sum::<usize>() + 100);
    (bytes.sum::<usize>() as f64, items.len())
}

async fn storage(store: &Store) -> (Stored, f64) {
    let mut sum = Stored::default();
    let mut listed = 0.0;
    for table in [&store.tables().customers, &store.tables().subscriptions] {
        sum.tables += stored(store, table, None).await.0;
        let described = store.client().describe_table().table_name(table).send().await.unwrap();
        for index in described.table().unwrap().global_secondary_indexes() {
            let (bytes, entries) = stored(store, table, index.index_name()).await;
            sum.indexes += bytes;
            if (table, index.index_name()) == (&store.tables().customers, Some("byCustomer")) {
                // Reads are of the item alone.
                listed = bytes / entries as f64 - 100.0;
            }
        }
    }
    let each = CUSTOMERS as f64;
    (Stored { tables: sum.tables / each, indexes: sum.indexes / each }, listed)
}

pub(crate) async fn measure() -> Measured {
    // The lines of requests follow the level of the log.
    tracing_subscriber::fmt().with_max_level(tracing_subscriber::filter::LevelFilter::INFO).with_writer(io::sink).init();
    let mut taken = requests(&Stacks::start().await).await;
    let stacks = Stacks::start().await;
    populate(&stacks).await;
    for (kind, body) in
        [(Kind::OneCustomer, query(ONE)), (Kind::Page, page("")), (Kind::PageWithEntitlements, page("entitlements"))]
    {
        taken.push((kind, stacks.ask("/graphql", &body).await));
    }
    let (stored, listed) = storage(&stacks.embedded.store).await;
    Measured { taken, stored, listed }
}
