//! The memory of the real process under the heaviest queries within the limits, over 9,500 customers with
//! 1.8 KB of metadata, of which 2,000 have a list of 20 entitlements and two subscriptions. By hand and nightly, since it fills them first:
//!
//!     cargo test --package graphql --test memory -- --ignored --nocapture
//!
//! What it measures: the growth of the process's resident memory while it answers, and how many files it
//! has open. What it does not: rows much longer than 2 KB.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use domain::{
    customer::{Embedded as EmbeddedCustomer, Profile},
    event::{List, SubscriptionChange},
    id::Id,
    subscription::Dates,
    version::Version,
};
use futures_util::{StreamExt as _, stream};
use local::embedded::Embedded;
use serde_json::{Value, json};
use template::sample;
use testkit::runtime_api::Lambda;

const CUSTOMERS: usize = 9_500;

/// Of these, so many have entitlements and subscriptions.
const SUBSCRIBED: usize = 2_000;

/// The bound that docs/graphql.md states.
const MOST_MEGABYTES: u64 = 100;

async fn filled() -> Embedded {
    let embedded = Embedded::in_memory().await.unwrap();
    let now: jiff::Timestamp = "2026-11-23T14:00:00Z".parse().unwrap();
    let words: Value = (0..60).map(|n| format!("a word and a half {n:012}")).collect();
    let store = &embedded.store;
    stream::iter(0..CUSTOMERS)
        .for_each_concurrent(8, |n| {
            let profile = Profile {
                name: Some(format!("Name {}", n % 700)),
                email: Some(format!("{n}@example.com")),
                metadata: serde_json::from_value(json!({ "words": words })).unwrap(),
                ..Profile::default()
            };
            async move {
                let version = Version::new(now + jiff::SignedDuration::from_millis(n as i64 - 1_000_000), "m");
                let id = Id::try_from(format!("customer-{n:05}")).unwrap();
                let _ = store.write_profile(&id, &version, &profile, true, now).await.unwrap();
                if n >= SUBSCRIBED {
                    return;
                }
                let list = List { resource_id: None, grants: list() };
                let embedded = (&version, &EmbeddedCustomer::default());
                let _ = store.write_lists(&id, &version, &[list], embedded, now).await.unwrap();
                for m in 0..2 {
                    let subscription = Id::try_from(format!("subscription-{n:05}-{m}")).unwrap();
                    let details = json!({"planId": "plan", "planName": "Plan", "metadata": { "words": "word ".repeat(200) }});
                    let change = SubscriptionChange {
                        status: Some("ACTIVE".to_owned()),
                        dates: Some(Dates { start_date: "2026-11-23T14:00:00.000Z".to_owned(), ..Dates::default() }),
                        details: Some((id.clone(), serde_json::from_value(details).unwrap())),
                        created: true,
                    };
                    let _ = store.write_subscription(&subscription, &version, &change, None, now).await.unwrap();
                }
            }
        })
        .await;
    embedded
}

/// Twenty entitlements of Stigg's form, 650 bytes each.
fn list() -> Vec<(Id, String)> {
    let grant = |n: usize| {
        let feature = json!({"id": format!("feature-{n:02}"), "name": format!("Feature {n}"), "description": "What it is for. ".repeat(12),
            "featureType": "NUMBER", "meterType": "INCREMENTAL", "unit": "call", "units": "calls", "status": "ACTIVE"});
        let grant = json!({"feature": feature, "usageLimit": 1_000 + n, "hasUnlimitedUsage": false, "hasSoftLimit": false, "currentUsage": n,
            "usagePeriodAnchor": "2026-01-01T00:00:00Z", "usagePeriodEnd": "2026-12-01T00:00:00Z", "resetPeriod": "MONTH"});
        (Id::try_from(format!("feature-{n:02}")).unwrap(), grant.to_string())
    };
    (0..20).map(grant).collect()
}

fn event(body: &Value) -> Value {
    let (_, mut event) = sample::events("graphql").into_iter().find(|(name, _)| name == "customer.json").unwrap();
    event["body"] = body.to_string().into();
    event
}

/// A figure of /proc/<process>/status, in KiB.
fn status(process: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn aliases(count: usize, field: impl Fn(usize) -> String) -> Value {
    let fields: String = (0..count).map(|n| format!("a{n}: {} ", field(n))).collect();
    json!({"query": format!("{{ {fields} }}")})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "fills 9,500 customers"]
async fn no_query_within_the_limits_takes_more_memory_than_documented() {
    let embedded = filled().await;
    let tables = embedded.store.tables();
    let variables = [
        ("CUSTOMERS_TABLE", tables.customers.as_str()),
        ("SUBSCRIPTIONS_TABLE", &tables.subscriptions),
        ("DYNAMODB_ENDPOINT", &embedded.endpoint),
        ("GRAPHQL_API_TOKEN", "local-token"),
        ("GRAPHQL_TIME_LIMIT_SECONDS", "120"),
    ];
    let page = |n: usize, fields: &str| format!("customers(first: 1000, offset: {}) {{ nodes {{ {fields} }} }}", n * 1_000);
    let mut over = Vec::new();
    for (what, body) in [
        ("an order without an index", json!({"query": "{ customers(first: 10, orderBy: NAME_ASC) { nodes { name } } }"})),
        (
            "a condition without an index",
            json!({"query": "{ customers(condition: {name: \"none\"}) { totalCount nodes { name } } }"}),
        ),
        (
            "6 orders without an index",
            aliases(6, |n| format!("customers(first: {}, orderBy: NAME_DESC) {{ nodes {{ name }} }}", n + 1)),
        ),
        ("800 counts", aliases(800, |_| "customers { totalCount }".to_owned())),
        (
            "350 decisions",
            aliases(350, |n| format!("checkAccess(customerId: \"customer-{n:05}\", featureId: \"f\") {{ hasAccess }}")),
        ),
        ("62,000 unknown arguments", json!({"query": format!("{{ customers({}) {{ totalCount }} }}", "a:1 ".repeat(62_000))})),
        ("5,000 tokens", json!({"query": format!("{{ customers({}) {{ totalCount }} }}", "a:1 ".repeat(1_650))})),
        ("4,000 rows, short", aliases(4, |n| page(n, "customerId createdAt updatedAt name email billingId crmId"))),
        ("4,000 rows with their metadata", aliases(4, |n| page(n, "customerId name metadata"))),
        ("5 long offsets", aliases(5, |_| "customers(first: 1, offset: 9499) { nodes { metadata } }".to_owned())),
        ("1,000 lists of entitlements", json!({"query": "{ customers(first: 1000) { nodes { entitlements } } }"})),
        (
            "250 lists, as JSON and typed",
            json!({"query": "{ customers(first: 250) { nodes { entitlements entitlementList { usageLimit } } } }"}),
        ),
        (
            "a customer's list beside each subscription",
            json!({"query": format!(
                "{{ customers(first: 150) {{ nodes {{ subscriptions(first: 50) {{ nodes {{ {} }} }} }} }} }}",
                (0..2).map(|n| format!("c{n}: customer {{ a: entitlements b: entitlements c: entitlements }} ")).collect::<String>()
            )}),
        ),
        (
            "1,000 customers with 2,000 subscriptions",
            json!({"query": "{ customers(first: 1000) { nodes { metadata subscriptions(first: 5) { nodes { metadata planName } } } } }"}),
        ),
        (
            "600 customers' resources",
            aliases(600, |n| format!("customer(customerId: \"customer-{n:05}\") {{ resources {{ resourceId }} }}")),
        ),
        (
            "4,000 rows that are kept",
            aliases(4, |n| {
                let order = ["PRIMARY_KEY_ASC", "PRIMARY_KEY_DESC", "CREATED_AT_ASC", "CREATED_AT_DESC"][n];
                format!(
                    "customers(first: 1000, orderBy: {order}) {{ nodes {{ customerId name subscriptions {{ totalCount }} }} }}"
                )
            }),
        ),
        (
            "1,600 aliases of metadata",
            json!({"query": format!(
                "{{ customers(first: 100) {{ nodes {{ {} }} }} }}",
                (0..1_600).map(|n| format!("m{n}: metadata ")).collect::<String>()
            )}),
        ),
    ] {
        // A process of its own for each, so that none builds on what another left.
        let lambda = Lambda::start(Path::new(env!("CARGO_BIN_EXE_graphql")), variables).await.unwrap();
        let process = lambda.process_id().unwrap();
        lambda.invoke(&event(&json!({"query": "{ customers(first: 1) { nodes { name } } }"}))).await.unwrap();
        std::fs::write(format!("/proc/{process}/clear_refs"), "5").unwrap();
        let before = status(process, "VmRSS");
        let most_files = Arc::new(AtomicUsize::new(0));
        let watch = tokio::spawn({
            let most_files = Arc::clone(&most_files);
            async move {
                loop {
                    let files = std::fs::read_dir(format!("/proc/{process}/fd")).map_or(0, Iterator::count);
                    most_files.fetch_max(files, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
        });
        let (answer, took) = lambda.invoke_timed(&event(&body)).await.unwrap();
        watch.abort();
        let growth = (status(process, "VmHWM") - before) / 1_024;
        let said: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        let code = said["errors"][0]["extensions"]["code"].as_str().unwrap_or("answered");
        let files = most_files.load(Ordering::Relaxed);
        println!("{growth:4} MB on {:3}, {files:4} files, {took:?}: {what}: {code}", before / 1_024);
        if growth > MOST_MEGABYTES {
            over.push(what);
        }
        let log = lambda.stop().await.unwrap();
        assert!(!log.contains("panicked"), "{log}");
    }
    assert_eq!(over, Vec::<&str>::new());
}
