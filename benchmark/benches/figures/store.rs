//! The store that is measured against, in a process of its own, and how customers come into it.

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

/// In the ids of the customer that all others are copies of.
const PLACE: &str = "QQQQQQQ";

/// When all of it was said.
pub const SAID: &str = "2026-11-01T00:00:00Z";

/// How many customers there are, with how many entitlements and subscriptions each. Beside them the ones of
/// [`WIDE`].
#[derive(Clone, Copy, Debug)]
pub struct Data {
    pub customers: usize,
    pub entitlements: usize,
    pub subscriptions: usize,
}

/// Customers with so many entitlements, at customer level and for the resource `site`.
pub const WIDE: [usize; 3] = [20, 100, 500];

/// What the process is asked to hold, if it is one of those.
pub fn role() -> Option<Data> {
    data_in(ROLE)
}

/// The data that a variable tells.
pub fn data_in(variable: &str) -> Option<Data> {
    let role = std::env::var(variable).ok()?;
    let mut numbers = role.split(',').map(|number| number.parse().unwrap());
    let mut next = || numbers.next().unwrap();
    Some(Data { customers: next(), entitlements: next(), subscriptions: next() })
}

/// Serves a store with these data until its parent closes its input.
pub async fn serve(data: Data) {
    let (_folder, embedded) = filled(data).await;
    println!("{}", embedded.endpoint);
    until_input_ends().await;
    embedded.stop().await;
}

/// Until the parent closes this process's input, or ends.
pub async fn until_input_ends() {
    tokio::task::spawn_blocking(|| std::io::stdin().lines().for_each(drop)).await.unwrap();
}

/// A store on disk with these data, and its folder.
async fn filled(data: Data) -> (TempDir, Embedded) {
    let folder = tempfile::tempdir().unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let embedded = Embedded::start(Some(folder.path()), address).await.unwrap();
    write_samples(&embedded, data).await;
    embedded.stop().await;
    let path = folder.path().to_owned();
    tokio::task::spawn_blocking(move || copy(&path, data.customers)).await.unwrap();
    let embedded = Embedded::start(Some(folder.path()), address).await.unwrap();
    (folder, embedded)
}

/// A store in memory with these data, all of them by the webhook.
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

/// The customer that others are copies of, and the wide ones, by the webhook itself.
async fn write_samples(embedded: &Embedded, data: Data) {
    let stack = stack_on(embedded);
    write_customer(&stack, PLACE, data).await;
    for count in WIDE {
        let id = format!("wide-{count}");
        deliver(&stack, created(&id)).await;
        deliver(&stack, list(&id, None, count)).await;
        deliver(&stack, list(&id, Some("site"), count)).await;
    }
}

/// A customer with everything.
async fn write_customer(stack: &Stack, own: &str, data: Data) {
    let id = format!("customer-{own}");
    deliver(stack, created(&id)).await;
    for n in 0..data.subscriptions {
        let event = json!({"type": "subscription.created", "id": format!("subscription-{own}-{n}"), "status": "ACTIVE",
            "timestamp": SAID, "createdAt": SAID, "startDate": SAID, "customer": customer(&id),
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
    event["timestamp"] = SAID.into();
    event["metadata"] = json!({"region": "eu", "segment": "growth"});
    event
}

fn list(id: &str, resource: Option<&str>, count: usize) -> Value {
    json!({"type": "entitlements.updated", "timestamp": SAID, "entitlementsUpdatedAt": SAID, "customer": customer(id),
           "resource": resource.map(|id| json!({"id": id})), "entitlements": (0..count).map(entitlement).collect::<Vec<_>>()})
}

/// The n-th entitlement of a list.
pub fn entitlement(n: usize) -> Value {
    json!({"feature": {"id": format!("feature-{n}"), "name": format!("Feature {n}"), "description": "What it is for", "status": "ACTIVE",
                       "featureType": "NUMBER", "meterType": "INCREMENTAL", "unit": "call", "units": "calls"},
           "usageLimit": 10_000_000, "currentUsage": n, "hasUnlimitedUsage": false, "hasSoftLimit": false, "resetPeriod": "MONTH",
           "usagePeriodAnchor": SAID, "usagePeriodStart": SAID, "usagePeriodEnd": "2099-12-01T00:00:00Z", "enumValues": null,
           "creditBalance": null})
}

/// Puts copies of the sample's items, with their own ids and shards, straight into the store.
fn copy(folder: &Path, customers: usize) {
    const ONCE: usize = 10_000;
    let start = Instant::now();
    let database = Database::new(folder.join("dynamodb.sqlite").to_str().unwrap()).unwrap();
    database.enable_bulk_loading().unwrap();
    let names = tables::local_names();
    let mut count = 0;
    for table in [names.customers, names.subscriptions] {
        let all = database.scan(serde_json::from_value(json!({ "TableName": table })).unwrap()).unwrap();
        let all = serde_json::to_value(all).unwrap();
        let samples = all["Items"].as_array().unwrap().iter().map(Value::to_string).filter(|item| item.contains(PLACE));
        let samples: Vec<String> = samples.collect();
        count += samples.len();
        for from in (0..customers).step_by(ONCE) {
            let copies = (from..(from + ONCE).min(customers)).flat_map(|n| {
                let own = format!("{n:07}");
                let shard = shard_of(&Id::try_from(format!("customer-{own}").as_str()).unwrap());
                samples.iter().map(move |sample| {
                    let mut item: Value = serde_json::from_str(&sample.replace(PLACE, &own)).unwrap();
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
    eprintln!("{customers} customers of {count} items were put into the store in {:.0} s", start.elapsed().as_secs_f64());
}

/// A process of this program that holds a store. It ends with this.
pub struct StoreProcess {
    process: Child,
    /// What it printed first.
    pub endpoint: String,
}

impl StoreProcess {
    /// One with these data.
    pub fn start(data: Data) -> Self {
        Self::in_role(ROLE, data)
    }

    /// One that does with these data what the variable of this name asks for.
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

    /// What it has taken of the processor.
    pub fn processor_time(&self) -> Duration {
        processor_time(self.process.id())
    }
}

impl Drop for StoreProcess {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// What all threads of a process have taken of the processor, as the scheduler counts it.
pub fn processor_time(process: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let taken = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("schedstat")).ok());
    Duration::from_nanos(taken.filter_map(|text| text.split(' ').next()?.parse::<u64>().ok()).sum())
}
