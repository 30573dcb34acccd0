//! The embedded store in a process of its own, and its data.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use axum::body::Bytes;
use domain::id::Id;
use dynoxide::{Database, ImportOptions};
use local::{embedded::Embedded, serve::Stack};
use runtime::clock::Clock;
use serde_json::{Value, json};
use store::shard_of;
use tempfile::TempDir;
use template::tables;

const ROLE: &str = "BENCHMARK_STORE";

/// Placeholder in the ids of the sample customer. Copies replace it.
const PLACEHOLDER: &str = "QQQQQQQ";

/// Time of all events that write the data.
pub const EVENT_TIME: &str = "2026-11-01T00:00:00Z";

/// The number of customers, and of entitlements and subscriptions of each. The customers of [`WIDE`] come on top.
#[derive(Clone, Copy, Debug)]
pub struct Data {
    pub customers: usize,
    pub entitlements: usize,
    pub subscriptions: usize,
}

/// Customers with this many entitlements each, at customer level and for the resource `site`.
pub const WIDE: [usize; 3] = [20, 100, 500];

/// The data, if this process has to serve a store.
pub fn role() -> Option<Data> {
    data_from_env(ROLE)
}

/// Parses the data from an environment variable.
pub fn data_from_env(variable: &str) -> Option<Data> {
    let role = std::env::var(variable).ok()?;
    let mut numbers = role.split(',').map(|number| number.parse().unwrap());
    let mut next = || numbers.next().unwrap();
    Some(Data { customers: next(), entitlements: next(), subscriptions: next() })
}

/// Serves a store until the parent closes this process's standard input.
pub async fn serve(data: Data) {
    let (_folder, embedded) = filled(data).await;
    println!("{}", embedded.endpoint);
    wait_for_end_of_input().await;
    embedded.stop().await;
}

pub async fn wait_for_end_of_input() {
    tokio::task::spawn_blocking(|| std::io::stdin().lines().for_each(drop)).await.unwrap();
}

/// A store on disk, and its folder. One customer is written by the webhook and then copied.
async fn filled(data: Data) -> (TempDir, Embedded) {
    let folder = tempfile::tempdir().unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let embedded = Embedded::start(Some(folder.path()), address).await.unwrap();
    write_sample_customers(&embedded, data).await;
    embedded.stop().await;
    let path = folder.path().to_owned();
    tokio::task::spawn_blocking(move || copy(&path, data.customers)).await.unwrap();
    let embedded = Embedded::start(Some(folder.path()), address).await.unwrap();
    (folder, embedded)
}

/// A store in memory. All customers are written by the webhook.
pub async fn in_memory(data: Data) -> Embedded {
    let embedded = Embedded::in_memory().await.unwrap();
    let stack = stack_on(&embedded);
    for n in 0..data.customers {
        write_customer(&stack, &format!("{n:07}"), data).await;
    }
    embedded
}

pub fn stack_on(embedded: &Embedded) -> Stack {
    Stack::on(embedded.store.clone(), "local-secret", "local-token", Clock::system()).unwrap()
}

/// Writes the customer to copy and the customers of [`WIDE`], through the webhook.
async fn write_sample_customers(embedded: &Embedded, data: Data) {
    let stack = stack_on(embedded);
    write_customer(&stack, PLACEHOLDER, data).await;
    for count in WIDE {
        let id = format!("wide-{count}");
        deliver(&stack, created(&id)).await;
        deliver(&stack, list(&id, None, count)).await;
        deliver(&stack, list(&id, Some("site"), count)).await;
    }
}

/// Writes a customer with its list and subscriptions. `suffix` is part of the ids.
async fn write_customer(stack: &Stack, suffix: &str, data: Data) {
    let id = format!("customer-{suffix}");
    deliver(stack, created(&id)).await;
    for n in 0..data.subscriptions {
        let event = json!({"type": "subscription.created", "id": format!("subscription-{suffix}-{n}"), "status": "ACTIVE",
            "timestamp": EVENT_TIME, "createdAt": EVENT_TIME, "startDate": EVENT_TIME, "customer": customer(&id),
            "plan": {"id": "plan-growth", "name": "Growth"}});
        deliver(stack, event).await;
    }
    deliver(stack, list(&id, None, data.entitlements)).await;
}

async fn deliver(stack: &Stack, event: Value) {
    let request = axum::http::Request::post("/webhook")
        .header("stigg-webhooks-secret", "local-secret")
        .header("content-type", "application/json")
        .body(Bytes::from(event.to_string()))
        .unwrap();
    let answer = stack.gateway.serve(request).await;
    assert!(answer.status().is_success(), "{}", answer.status());
}

fn customer(id: &str) -> Value {
    json!({"id": id, "name": format!("The customer {id}"), "email": format!("billing@{id}.example")})
}

fn created(id: &str) -> Value {
    let mut event = customer(id);
    event["type"] = "customer.created".into();
    event["timestamp"] = EVENT_TIME.into();
    event["metadata"] = json!({"region": "eu", "segment": "growth"});
    event
}

fn list(id: &str, resource: Option<&str>, count: usize) -> Value {
    json!({"type": "entitlements.updated", "timestamp": EVENT_TIME, "entitlementsUpdatedAt": EVENT_TIME, "customer": customer(id),
           "resource": resource.map(|id| json!({"id": id})), "entitlements": (0..count).map(entitlement).collect::<Vec<_>>()})
}

/// The n-th entitlement of a list.
pub fn entitlement(n: usize) -> Value {
    json!({"feature": {"id": format!("feature-{n}"), "name": format!("Feature {n}"), "description": "What it is for", "status": "ACTIVE",
                       "featureType": "NUMBER", "meterType": "INCREMENTAL", "unit": "call", "units": "calls"},
           "usageLimit": 10_000_000, "currentUsage": n, "hasUnlimitedUsage": false, "hasSoftLimit": false, "resetPeriod": "MONTH",
           "usagePeriodAnchor": EVENT_TIME, "usagePeriodStart": EVENT_TIME, "usagePeriodEnd": "2099-12-01T00:00:00Z", "enumValues": null,
           "creditBalance": null})
}

/// Copies the sample customer's items directly into the store's database, with new ids and shards.
fn copy(folder: &Path, customers: usize) {
    const BATCH: usize = 10_000;
    let start = Instant::now();
    let database = Database::new(folder.join("dynamodb.sqlite").to_str().unwrap()).unwrap();
    database.enable_bulk_loading().unwrap();
    let names = tables::local_names();
    let mut count = 0;
    for table in [names.customers, names.subscriptions] {
        let all = database.scan(serde_json::from_value(json!({ "TableName": table })).unwrap()).unwrap();
        let all = serde_json::to_value(all).unwrap();
        let samples = all["Items"].as_array().unwrap().iter().map(Value::to_string).filter(|item| item.contains(PLACEHOLDER));
        let samples: Vec<String> = samples.collect();
        count += samples.len();
        for from in (0..customers).step_by(BATCH) {
            let copies = (from..(from + BATCH).min(customers)).flat_map(|n| {
                let suffix = format!("{n:07}");
                let shard = shard_of(&Id::try_from(format!("customer-{suffix}").as_str()).unwrap());
                samples.iter().map(move |sample| {
                    let mut item: Value = serde_json::from_str(&sample.replace(PLACEHOLDER, &suffix)).unwrap();
                    if let Some(member) = item.get_mut("shard") {
                        *member = json!({ "N": shard.to_string() });
                    }
                    serde_json::from_value(item).unwrap()
                })
            });
            let options = ImportOptions { record_streams: false, set_cached_at: false };
            database.import_items(&table, copies.collect(), options).unwrap();
        }
    }
    database.disable_bulk_loading().unwrap();
    eprintln!("copied {customers} customers of {count} items in {:.0} s", start.elapsed().as_secs_f64());
}

/// A child process that serves a store. It ends when this is dropped.
pub struct StoreProcess {
    process: Child,
    /// The URL that it printed.
    pub endpoint: String,
}

impl StoreProcess {
    pub fn start(data: Data) -> Self {
        Self::in_role(ROLE, data)
    }

    /// Starts this program with `role` as a variable, which selects what it serves.
    pub fn in_role(role: &str, data: Data) -> Self {
        let Data { customers, entitlements, subscriptions } = data;
        let mut process = Command::new(std::env::current_exe().unwrap())
            .arg("--bench")
            .env(role, format!("{customers},{entitlements},{subscriptions}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut endpoint = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut endpoint).unwrap();
        Self { process, endpoint: endpoint.trim().to_owned() }
    }

    pub fn cpu_time(&self) -> Duration {
        cpu_time(self.process.id())
    }
}

impl Drop for StoreProcess {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// CPU time of all threads of a process, from the scheduler.
pub fn cpu_time(process: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let statistics = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("schedstat")).ok());
    Duration::from_nanos(statistics.filter_map(|text| text.split(' ').next()?.parse::<u64>().ok()).sum())
}
