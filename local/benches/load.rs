//! A load test of the local stack: 16 senders at full speed, with duplicates and out of order, and concurrent readers. It
//! lasts 15 minutes, or `BYOS_LOAD_MINUTES`. It fails if a response is an error, if the process's memory grows after the
//! warm-up, or if the final state differs from a sequential model.
//!
//! `cargo bench --workspace --bench load`
//!
//! The stack is a process of its own, the binary `local`, whose memory is measured. Senders and readers use the same cores.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Lines},
    process::{Child, ChildStdout, Command, ExitCode, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use testkit::proxy::Dice;

const SENDERS: u64 = 16;
const READERS: u64 = 4;
const CUSTOMERS: usize = 200;
const FEATURES: usize = 5;

/// Number of events that a sender holds. It sends a random one of them next, so events are out of order.
const HELD_EVENTS: usize = 40;

/// Percentage of events that are sent twice.
const DUPLICATE_PERCENT: usize = 20;

/// Accepted growth of the memory after the first third. It allows fragmentation, but no leak: there are hundreds of requests
/// a second.
const MAX_GROWTH: f64 = 1.15;

/// The n-th event. All fields are derived from n.
struct Event {
    n: u64,
    customer: usize,
    kind: Kind,
}

enum Kind {
    Created,
    Updated,
    Deleted,
    /// The list's features. The first is always granted.
    List([bool; FEATURES]),
    /// The usage of a feature.
    Measured(usize),
}

impl Event {
    fn of(n: u64) -> Self {
        let mut dice = Dice(n);
        let customer = dice.below(CUSTOMERS);
        let kind = match dice.below(100) {
            0..4 => Kind::Deleted,
            4..10 => Kind::Created,
            10..25 => Kind::Updated,
            25..40 => Kind::List(std::array::from_fn(|feature| feature == 0 || dice.chance(70))),
            _ => Kind::Measured(dice.below(FEATURES)),
        };
        Self { n, customer, kind }
    }

    /// The usage in a measurement or a list.
    fn usage(&self) -> u64 {
        self.n % 1_500
    }

    fn body(&self) -> String {
        let base: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let time = (base + jiff::SignedDuration::from_millis(self.n.try_into().unwrap())).to_string();
        let customer = json!({"id": format!("c{}", self.customer), "name": format!("name {}", self.n), "email": "e@example.com"});
        let mut event = match &self.kind {
            Kind::Created | Kind::Updated | Kind::Deleted => customer,
            Kind::List(features) => {
                let grant = |feature: usize| {
                    let id = json!({"id": format!("f{feature}"), "featureType": "NUMBER", "meterType": "Fluctuating"});
                    json!({"feature": id, "usageLimit": 1_000, "currentUsage": self.usage()})
                };
                let entitlements: Vec<_> = (0..FEATURES).filter(|feature| features[*feature]).map(grant).collect();
                json!({"customer": customer, "resource": null, "entitlements": entitlements, "entitlementsUpdatedAt": time})
            }
            Kind::Measured(feature) => {
                json!({"customer": {"id": customer["id"]}, "feature": {"id": format!("f{feature}")}, "currentUsage": self.usage()})
            }
        };
        event["type"] = match self.kind {
            Kind::Created => "customer.created",
            Kind::Updated => "customer.updated",
            Kind::Deleted => "customer.deleted",
            Kind::List(_) => "entitlements.updated",
            Kind::Measured(_) => "measurement.reported",
        }
        .into();
        event["messageId"] = format!("{:012}", self.n).into();
        event["timestamp"] = time.into();
        event.to_string()
    }
}

/// The model's customer, after events in order.
#[derive(Clone, Default)]
struct Customer {
    is_live: bool,
    was_deleted: bool,
    /// The usage of each feature of the newest list. None for a feature that is not granted.
    list: Option<[Option<u64>; FEATURES]>,
}

impl Customer {
    fn apply(&mut self, event: &Event) {
        match &event.kind {
            Kind::Created | Kind::Updated => self.is_live = true,
            Kind::Deleted => *self = Self { was_deleted: true, ..Self::default() },
            Kind::List(features) => {
                self.is_live = true;
                self.list = Some(features.map(|has| has.then(|| event.usage())));
            }
            Kind::Measured(feature) => {
                if let Some(Some(usage)) = self.list.as_mut().map(|list| list[*feature].as_mut()) {
                    *usage = event.usage();
                }
            }
        }
    }

    /// The expected reason, null if access is granted, and the expected usage.
    fn check(&self, feature: usize) -> (Value, Value) {
        let (reason, usage) = match &self.list {
            _ if !self.is_live && self.was_deleted => ("CustomerIsArchived", None),
            _ if !self.is_live => ("CustomerNotFound", None),
            None => ("NoActiveSubscription", None),
            Some(list) => match list[feature] {
                None => ("NoFeatureEntitlementInSubscription", None),
                Some(usage) if usage <= 1_000 => return (Value::Null, usage.into()),
                Some(usage) => ("RequestedUsageExceedingLimit", Some(usage)),
            },
        };
        (reason.into(), usage.into())
    }
}

struct Stack {
    process: Child,
    /// Kept open, since the process would end if it could not print.
    _output: Lines<BufReader<ChildStdout>>,
    url: String,
    client: reqwest::Client,
}

impl Stack {
    fn start() -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_local"))
            .args(["--port", "0"])
            .env("RUST_LOG", "off")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap()).lines();
        let url = output.by_ref().map_while(Result::ok).find_map(|line| {
            let url = line.strip_prefix("The replica is served on ")?;
            Some(url.split(' ').next().unwrap_or_default().to_owned())
        });
        Self { process, url: url.expect("the local stack did not start"), _output: output, client: testkit::http::client() }
    }

    async fn post(&self, path: &str, body: String) -> Option<(u16, String)> {
        let request = self.client.post(format!("{}{path}", self.url)).header("content-type", "application/json");
        let request = request.header("stigg-webhooks-secret", "local-secret").header("authorization", "Bearer local-token");
        let answer = request.body(body).send().await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    }

    async fn json(&self, path: &str, body: Value) -> (u16, Value) {
        let (status, body) = self.post(path, body.to_string()).await.expect("no response");
        (status, serde_json::from_str(&body).unwrap_or_default())
    }

    /// Resident memory of the process, in MiB.
    fn memory(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0) / 1_024.0
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Number of responses by path and status. Status 0 means no response.
#[derive(Default)]
struct Answers(Mutex<BTreeMap<(&'static str, u16), u64>>);

impl Answers {
    fn count(&self, path: &'static str, status: u16) {
        *self.0.lock().unwrap().entry((path, status)).or_default() += 1;
    }

    /// Number of responses that are neither a 200 nor a denied check.
    fn errors(&self) -> u64 {
        let answers = self.0.lock().unwrap();
        let is_success = |path: &str, status: u16| status == 200 || (path == "/check-access" && status == 403);
        answers.iter().filter(|((path, status), _)| !is_success(path, *status)).map(|(_, count)| count).sum()
    }
}

/// Sends events until `stop` is set, then the events that it still holds.
async fn send(stack: Arc<Stack>, next: Arc<AtomicU64>, stop: Arc<AtomicBool>, answers: Arc<Answers>, seed: u64) {
    let mut dice = Dice(seed);
    let mut held: Vec<u64> = Vec::with_capacity(HELD_EVENTS);
    loop {
        while held.len() < HELD_EVENTS && !stop.load(Ordering::SeqCst) {
            held.push(next.fetch_add(1, Ordering::SeqCst));
        }
        if held.is_empty() {
            return;
        }
        let index = dice.below(held.len());
        let n = held.swap_remove(index);
        let body = Event::of(n).body();
        let times = if dice.chance(DUPLICATE_PERCENT) { 2 } else { 1 };
        for _ in 0..times {
            // Seven tries, as Stigg does.
            for _ in 0..7 {
                let status = stack.post("/webhook", body.clone()).await.map_or(0, |answer| answer.0);
                answers.count("/webhook", status);
                if status == 200 {
                    break;
                }
            }
        }
    }
}

async fn read(stack: Arc<Stack>, stop: Arc<AtomicBool>, answers: Arc<Answers>, seed: u64) {
    let mut dice = Dice(seed);
    while !stop.load(Ordering::SeqCst) {
        let (customer, feature) = (dice.below(CUSTOMERS), dice.below(FEATURES));
        let (path, body) = if dice.chance(98) {
            ("/check-access", json!({"customerId": format!("c{customer}"), "featureId": format!("f{feature}")}))
        } else {
            ("/graphql", json!({"query": "{ customers(first: 20) { totalCount nodes { customerId name entitlements } } }"}))
        };
        let status = match stack.post(path, body.to_string()).await {
            // A GraphQL error has status 200. Count it as 500.
            Some((200, body)) if path == "/graphql" && body.contains("\"errors\"") => 500,
            Some((status, _)) => status,
            None => 0,
        };
        answers.count(path, status);
    }
}

/// Compares all checks and the list of customers with the model. Returns the number of differences.
async fn differences(stack: &Stack, events: u64) -> usize {
    let mut customers = vec![Customer::default(); CUSTOMERS];
    for event in (0..events).map(Event::of) {
        customers[event.customer].apply(&event);
    }
    let mut differences = 0;
    for (id, customer) in customers.iter().enumerate() {
        for feature in 0..FEATURES {
            let body = json!({"customerId": format!("c{id}"), "featureId": format!("f{feature}")});
            let (status, answer) = stack.json("/check-access", body).await;
            let (reason, usage) = customer.check(feature);
            let found = (answer["accessDeniedReason"].clone(), answer["currentUsage"].as_f64());
            let is_expected_status = status == if reason.is_null() { 200 } else { 403 };
            if !is_expected_status || found != (reason.clone(), usage.as_f64()) {
                println!("c{id} f{feature}: {answer} instead of {reason} at {usage}");
                differences += 1;
            }
        }
    }
    let live = customers.iter().filter(|customer| customer.is_live).count();
    // A page has at most 100 rows, so two pages are needed.
    let query = "{ customers { totalCount } first: customers(first: 100) { nodes { customerId } }
                   second: customers(first: 100, offset: 100) { nodes { customerId } } }";
    let (_, lists) = stack.json("/graphql", json!({ "query": query })).await;
    let lists = &lists["data"];
    let shown: usize = ["first", "second"].iter().map(|page| lists[page]["nodes"].as_array().map_or(0, Vec::len)).sum();
    if lists["customers"]["totalCount"] != live || shown != live {
        println!("totalCount is {} and the pages have {shown} customers instead of {live}", lists["customers"]["totalCount"]);
        differences += 1;
    }
    differences
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let minutes = std::env::var("BYOS_LOAD_MINUTES").ok().and_then(|text| text.parse::<f64>().ok()).unwrap_or(15.0);
    let duration = Duration::from_secs_f64(minutes * 60.0);
    let stack = Arc::new(Stack::start());
    let (next, stop, answers) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)), Arc::new(Answers::default()));
    let mut tasks = Vec::new();
    for seed in 0..SENDERS {
        tasks.push(tokio::spawn(send(stack.clone(), next.clone(), stop.clone(), answers.clone(), seed)));
    }
    for seed in 0..READERS {
        tasks.push(tokio::spawn(read(stack.clone(), stop.clone(), answers.clone(), 1_000 + seed)));
    }
    let started = Instant::now();
    let mut memory: Vec<(f64, f64)> = Vec::new();
    while started.elapsed() < duration {
        tokio::time::sleep(Duration::from_secs(1)).await;
        memory.push((started.elapsed().as_secs_f64() / duration.as_secs_f64(), stack.memory()));
        if memory.len().is_multiple_of(60) {
            println!("{} s: {} events, {:.1} MB", memory.len(), next.load(Ordering::SeqCst), stack.memory());
        }
    }
    stop.store(true, Ordering::SeqCst);
    for task in tasks {
        task.await.unwrap();
    }
    let events = next.load(Ordering::SeqCst);
    let differences = differences(&stack, events).await;
    let peak = |from: f64, to: f64| {
        memory.iter().filter(|(at, _)| (from..=to).contains(at)).map(|(_, memory)| *memory).fold(0.0, f64::max)
    };
    let (warm, last) = (peak(0.0, 1.0 / 3.0), peak(2.0 / 3.0, 1.0));
    println!("{SENDERS} senders and {READERS} readers for {minutes} minutes: {events} events");
    for ((path, status), count) in answers.0.lock().unwrap().iter() {
        println!("{path} {status}: {count}, {:.0} a second", *count as f64 / duration.as_secs_f64());
    }
    println!("errors: {}", answers.errors());
    println!("peak memory: {warm:.1} MB in the first third, {last:.1} MB in the last");
    println!("differences from the model: {differences} of {}", CUSTOMERS * FEATURES + 1);
    let is_good = answers.errors() == 0 && differences == 0 && last <= warm * MAX_GROWTH;
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
