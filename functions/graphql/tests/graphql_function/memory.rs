//! Memory of the process under the most expensive queries within the limits, over 9,500 customers with 1.8 KB of metadata,
//! of which 2,000 have a list of 20 entitlements and two subscriptions. Runs nightly:
//!
//!     cargo test --workspace --test graphql_function memory -- --ignored --nocapture
//!
//! Measures the growth of the resident memory during a query, and the open files. Does not measure rows much longer than
//! 2 KB.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use domain::customer::Profile;
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};

use crate::stack::{Stack, TOKEN, event_with_body, event_with_query, lambda_body};

const CUSTOMERS: usize = 9_500;

/// Customers with entitlements and subscriptions.
const SUBSCRIBED: usize = 2_000;

/// The limit that docs/graphql.md states.
const MAX_MEGABYTES: u64 = 100;

async fn filled() -> Stack {
    let stack = Stack::start().await;
    let words: Value = (0..60).map(|n| format!("a word and a half {n:012}")).collect();
    let write = async |n: usize| {
        let profile = Profile {
            name: Some(format!("Name {}", n % 700)),
            email: Some(format!("{n}@example.com")),
            metadata: serde_json::from_value(json!({ "words": words })).unwrap(),
            ..Profile::default()
        };
        let (customer, at) = (format!("customer-{n:05}"), n as i64);
        stack.profile(&customer, at, profile, true).await;
        if n < SUBSCRIBED {
            let entitlements = entitlements();
            let list: Vec<_> = entitlements.iter().map(|(id, json)| (id.as_str(), json.clone())).collect();
            stack.list(&customer, None, at, &list).await;
            for m in 0..2 {
                let details = json!({"planId": "plan", "planName": "Plan", "metadata": {"words": "word ".repeat(200)}});
                stack.subscription_with(&format!("subscription-{n:05}-{m}"), &customer, at, "ACTIVE", details).await;
            }
        }
    };
    stream::iter(0..CUSTOMERS).for_each_concurrent(8, write).await;
    stack
}

/// Twenty entitlements in Stigg's form, 650 bytes each.
fn entitlements() -> Vec<(String, Value)> {
    let entitlement = |n: usize| {
        let feature = json!({"id": format!("feature-{n:02}"), "name": format!("Feature {n}"), "description": "What it is for. ".repeat(12),
            "featureType": "NUMBER", "meterType": "INCREMENTAL", "unit": "call", "units": "calls", "status": "ACTIVE"});
        let entitlement = json!({"feature": feature, "usageLimit": 1_000 + n, "hasUnlimitedUsage": false, "hasSoftLimit": false,
            "currentUsage": n, "usagePeriodAnchor": "2026-01-01T00:00:00Z", "usagePeriodEnd": "2026-12-01T00:00:00Z",
            "resetPeriod": "MONTH"});
        (format!("feature-{n:02}"), entitlement)
    };
    (0..20).map(entitlement).collect()
}

/// A value of /proc/<process>/status in KiB.
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
#[ignore = "writes 9,500 customers"]
async fn queries_within_the_limits_use_no_more_memory_than_documented() {
    let stack = filled().await;
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
            "4,000 rows with the counts of their subscriptions",
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
        // A new process for each query, so that none reuses memory of another.
        let lambda = stack.start_lambda(&[("GRAPHQL_API_TOKEN", TOKEN), ("GRAPHQL_TIME_LIMIT_SECONDS", "120")]).await;
        let process = lambda.process_id().unwrap();
        lambda.invoke(&event_with_query("{ customers(first: 1) { nodes { name } } }")).await.unwrap();
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
        let (answer, duration) = lambda.invoke_timed(&event_with_body(body.to_string())).await.unwrap();
        watch.abort();
        let growth = (status(process, "VmHWM") - before) / 1_024;
        let code = lambda_body(&answer)["errors"][0]["extensions"]["code"].as_str().unwrap_or("answered").to_owned();
        let files = most_files.load(Ordering::Relaxed);
        println!("{growth:4} MB on {:3}, {files:4} files, {duration:?}: {what}: {code}", before / 1_024);
        if growth > MAX_MEGABYTES {
            over.push(what);
        }
        let log = lambda.stop().await.unwrap();
        assert!(!log.contains("panicked"), "{log}");
    }
    assert_eq!(over, Vec::<&str>::new());
}
