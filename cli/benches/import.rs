//! What an import takes: its rate, the calls it makes, and the most memory.
//!
//! `cargo bench --workspace --bench import -- [CUSTOMERS] [RATE]`, with 100,000 customers and no limit if
//! nothing is said.
//!
//! Measured: an import of customers with a subscription and five entitlements each into the embedded
//! store on disk, from a fake Stigg API that answers at once; then the same again, where
//! nothing is to be written. The import runs in a process of its own, so that its memory is its own.
//!
//! Not measured: Stigg and AWS. Fake, store and import share this machine's cores, and there is no
//! network between them: with the limiter on, the rate is the limiter's.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_precision_loss)]

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    extract::{Path, Query},
    routing::get,
};
use byos::{
    import::{Checkpoint, run},
    report::Report,
    stigg::{Key, Options, Stigg},
    sync::{Mode, Synchronizer},
};
use local::embedded::Embedded;
use runtime::{aws::local_dynamodb, clock::Clock};
use serde::Deserialize;
use serde_json::{Value, json};
use store::Store;
use template::tables;

const CUSTOMERS: usize = 100_000;
const ENTITLEMENTS: usize = 5;
const PAGE: usize = 100;

/// In the environment of the process that imports: the fake's address and DynamoDB's.
const IMPORTS_FROM: &str = "BYOS_BENCH_STIGG";
const IMPORTS_INTO: &str = "BYOS_BENCH_DYNAMODB";

#[derive(Deserialize)]
struct From {
    after: Option<usize>,
}

fn page(count: usize, from: &From, record: impl Fn(usize) -> Value) -> Json<Value> {
    let start = from.after.unwrap_or_default();
    let end = (start + PAGE).min(count);
    let next = (end < count).then(|| end.to_string());
    Json(json!({"data": (start..end).map(record).collect::<Vec<_>>(), "pagination": {"next": next, "prev": null}}))
}

fn customer(n: usize) -> Value {
    json!({"id": format!("customer-{n:07}"), "name": format!("Customer number {n}"), "email": format!("billing-{n}@example.com"),
           "archivedAt": null, "createdAt": "2026-01-01T00:00:00.000Z", "updatedAt": "2026-06-01T00:00:00.000Z",
           "integrations": [{"id": "i", "vendorIdentifier": "STRIPE", "syncedEntityId": format!("cus_{n:014}")}],
           "metadata": {"region": "eu", "segment": "growth"}})
}

fn subscription(n: usize) -> Value {
    json!({"id": format!("subscription-{n:07}"), "customerId": format!("customer-{n:07}"), "planId": "plan-growth",
           "pricingType": "PAID", "status": "ACTIVE", "billingId": format!("sub_{n:014}"), "resourceId": null,
           "createdAt": "2026-01-01T00:00:00.000Z", "startDate": "2026-01-01T00:00:00.000Z", "endDate": null,
           "currentBillingPeriodStart": "2026-11-01T00:00:00.000Z", "currentBillingPeriodEnd": "2026-12-01T00:00:00.000Z",
           "paymentCollection": "NOT_REQUIRED", "addons": [], "metadata": {}})
}

fn state() -> Value {
    let entitlement = |n: usize| {
        json!({"__typename": "Entitlement", "isGranted": true, "accessDeniedReason": null, "usageLimit": 10_000, "currentUsage": 17,
               "hasUnlimitedUsage": false, "hasSoftLimit": false, "requestedUsage": 0, "resetPeriod": "MONTH", "enumValues": null,
               "usagePeriodAnchor": "2026-01-01T00:00:00.000Z", "usagePeriodStart": "2026-11-01T00:00:00.000Z",
               "usagePeriodEnd": "2026-12-01T00:00:00.000Z", "usageUpdatedAt": "2026-11-20T00:00:00.000Z",
               "feature": {"__typename": "EntitlementFeature", "refId": format!("feature-{n}"), "displayName": format!("Feature {n}"),
                           "description": null, "featureType": "NUMBER", "meterType": "Incremental", "featureUnits": "call",
                           "featureUnitsPlural": "calls", "featureStatus": "ACTIVE"}})
    };
    json!({"entitlements": (0..ENTITLEMENTS).map(entitlement).collect::<Vec<_>>(), "accessDeniedReason": null})
}

async fn serve_stigg(count: usize) -> String {
    let state = state();
    let plan = json!({"data": {"id": "plan-growth", "displayName": "Growth", "pricingType": "PAID", "status": "PUBLISHED"}});
    let router = Router::new()
        .route("/api/v1/customers", get(move |Query(from): Query<From>| async move { page(count, &from, customer) }))
        .route("/api/v1/subscriptions", get(move |Query(from): Query<From>| async move { page(count, &from, subscription) }))
        .route("/api/v1/plans/{id}", get(move |Path(_): Path<String>| async move { Json(plan) }))
        .route("/v1/c/{id}/entitlements-state.json", get(move |Path(_): Path<String>| async move { Json(state) }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// The process that imports. It prints its own summary.
async fn import(stigg_url: &str, dynamodb: &str, rate: u32) {
    let url: reqwest::Url = stigg_url.parse().unwrap();
    let options = Options {
        stigg_url: url.clone(),
        stigg_edge_url: url,
        rate,
        concurrency: 32,
        lag: 60,
        timeout: 30,
        backoff: Duration::from_millis(500),
    };
    let stigg = Stigg::new(&options, Key::new("key").unwrap(), Clock::system()).unwrap();
    let synchronizer = Synchronizer::new(stigg, Store::new(local_dynamodb(dynamodb), tables::local_names()), Mode::Import);
    let folder = tempfile::tempdir().unwrap();
    let mut checkpoint = Checkpoint::open(&folder.path().join("state"), false, stigg_url, "table").unwrap();
    run(&synchronizer, &mut checkpoint, 32, None, &mut Report::new(true, false)).await.unwrap();
}

/// The most memory that this process had, as Linux counts it.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok())
}

async fn measure(count: usize, rate: u32) {
    let folder = tempfile::tempdir().unwrap();
    let embedded = Embedded::start(Some(folder.path()), ([127, 0, 0, 1], 0).into()).await.unwrap();
    let stigg = serve_stigg(count).await;
    println!(
        "{count} customers, {}:\n",
        if rate == 0 { "no limit".to_owned() } else { format!("at most {rate} requests a second") }
    );
    println!("| | customers/s | calls | writes | seconds | most memory |\n|---|---|---|---|---|---|");
    for what in ["import", "again"] {
        let start = Instant::now();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--bench", &count.to_string(), &rate.to_string()])
            .env(IMPORTS_FROM, &stigg)
            .env(IMPORTS_INTO, &embedded.endpoint)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = tokio::task::spawn_blocking(|| child.wait_with_output()).await.unwrap().unwrap();
        let seconds = start.elapsed().as_secs_f64();
        let lines = String::from_utf8(output.stdout).unwrap();
        let summary: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
        let memory: f64 = lines.lines().last().unwrap().parse().unwrap();
        assert_eq!((&summary["customers"], &summary["skipped"]), (&json!(count), &json!(0)), "{summary}");
        let (calls, writes, rate) = (&summary["calls"], &summary["writes"], count as f64 / seconds);
        println!("| {what} | {rate:.0} | {calls} | {writes} | {seconds:.0} | {:.1} MB |", memory / 1e3);
    }
    println!();
    embedded.stop().await;
}

fn main() {
    // `cargo test --benches` only asks whether it builds.
    let arguments: Vec<String> = std::env::args().collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let mut numbers = arguments.iter().filter_map(|argument| argument.parse::<usize>().ok());
    let (count, rate) = (numbers.next().unwrap_or(CUSTOMERS), u32::try_from(numbers.next().unwrap_or(0)).unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    match (std::env::var(IMPORTS_FROM), std::env::var(IMPORTS_INTO)) {
        (Ok(stigg), Ok(dynamodb)) => {
            runtime.block_on(import(&stigg, &dynamodb, rate));
            println!("{}", peak_memory().unwrap_or_default());
        }
        _ => runtime.block_on(measure(count, rate)),
    }
}
