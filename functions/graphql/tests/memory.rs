//! The memory of the real process under the heaviest queries within the limits, over 9,500 customers with
//! 1.8 KB of metadata. By hand and nightly, since it fills them first:
//!
//!     cargo test --package graphql --test memory -- --ignored --nocapture
//!
//! What it measures: the growth of the process's resident memory while it answers, and how many files it
//! has open. What it does not: rows much longer than 2 KB.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use byos::{embedded::Embedded, runtime_api::Lambda, story};
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use shared::{customer::Profile, id::Id, version::Version};

const CUSTOMERS: usize = 9_500;

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
                metadata: Some(json!({ "words": words })),
                ..Profile::default()
            };
            async move {
                let version = Version::new(now + jiff::SignedDuration::from_millis(n as i64 - 1_000_000), "m");
                let id = Id::try_from(format!("customer-{n:05}")).unwrap();
                let _ = store.write_profile(&id, &version, &profile, true, now).await.unwrap();
            }
        })
        .await;
    embedded
}

fn event(body: &Value) -> Value {
    let (_, mut event) = story::events("graphql").into_iter().find(|(name, _)| name == "customer.json").unwrap();
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
            "12 orders without an index",
            aliases(12, |n| format!("customers(first: {}, orderBy: NAME_DESC) {{ nodes {{ name }} }}", n + 1)),
        ),
        ("900 counts", aliases(900, |_| "customers { totalCount }".to_owned())),
        (
            "900 decisions",
            aliases(900, |n| format!("checkAccess(customerId: \"customer-{n:05}\", featureId: \"f\") {{ hasAccess }}")),
        ),
        ("62,000 unknown arguments", json!({"query": format!("{{ customers({}) {{ totalCount }} }}", "a:1 ".repeat(62_000))})),
        ("20,000 tokens", json!({"query": format!("{{ customers({}) {{ totalCount }} }}", "a:1 ".repeat(6_600))})),
        ("5,000 rows, short", aliases(5, |n| page(n, "customerId createdAt updatedAt name email billingId crmId"))),
        ("5,000 rows with their metadata", aliases(5, |n| page(n, "customerId name metadata"))),
        ("10 long offsets", aliases(10, |_| "customers(first: 1, offset: 9499) { nodes { metadata } }".to_owned())),
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
            "1,900 aliases of metadata",
            json!({"query": format!(
                "{{ customers(first: 100) {{ nodes {{ {} }} }} }}",
                (0..1_900).map(|n| format!("m{n}: metadata ")).collect::<String>()
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
        println!("{growth:4} MB, {files:4} files, {took:?}: {what}: {code}");
        if growth > MOST_MEGABYTES {
            over.push(what);
        }
        let log = lambda.stop().await.unwrap();
        assert!(!log.contains("panicked"), "{log}");
    }
    assert_eq!(over, Vec::<&str>::new());
}
