//! The local stack under load: 16 senders at full speed, with duplicates and reordering, and readers beside
//! them, for 15 minutes or as many as `BYOS_LOAD_MINUTES` says. It ends with an error if one answer was not
//! what it has to be, if the process grew after its warm-up, or if the state in the end is not what a plain,
//! sequential model says.
//!
//! `cargo bench --workspace --bench load`
//!
//! The stack is a process of its own, `byos`, and so is what is measured of its memory. Senders and readers
//! share the machine's cores with it.
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

/// How many events a sender holds back, to send any of them next.
const HELD: usize = 40;

/// Of a hundred events so many are sent twice.
const TWICE: usize = 20;

/// How much the process may grow after the first third: fragments of memory, not what is kept of requests, of
/// which there are hundreds a second.
const GROWTH: f64 = 1.15;

/// The n-th event. All of it follows from n.
struct Event {
    n: u64,
    customer: usize,
    kind: Kind,
}

enum Kind {
    Created,
    Updated,
    Deleted,
    /// The features that the list holds, the first in any case.
    List([bool; FEATURES]),
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

    /// What it says of usage.
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

/// A customer as the model has it: what the events come to in order.
#[derive(Clone, Default)]
struct Customer {
    is_live: bool,
    was_deleted: bool,
    /// Usage of each feature of the newest list.
    list: Option<[Option<u64>; FEATURES]>,
}

impl Customer {
    fn take(&mut self, event: &Event) {
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
    /// Kept open: it would end when it prints to nobody.
    _printed: Lines<BufReader<ChildStdout>>,
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
        let mut printed = BufReader::new(process.stdout.take().unwrap()).lines();
        let url = printed.by_ref().map_while(Result::ok).find_map(|line| {
            let url = line.strip_prefix("The replica is served on ")?;
            Some(url.split(' ').next().unwrap_or_default().to_owned())
        });
        Self { process, url: url.expect("byos did not start"), _printed: printed, client: testkit::http::client() }
    }

    async fn post(&self, path: &str, body: String) -> Option<(u16, String)> {
        let request = self.client.post(format!("{}{path}", self.url)).header("content-type", "application/json");
        let request = request.header("stigg-webhooks-secret", "local-secret").header("authorization", "Bearer local-token");
        let answer = request.body(body).send().await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    }

    async fn json(&self, path: &str, body: Value) -> (u16, Value) {
        let (status, body) = self.post(path, body.to_string()).await.expect("no answer");
        (status, serde_json::from_str(&body).unwrap_or_default())
    }

    /// The memory that the process has, in MB.
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

/// What was answered how often, by path and status; no answer at all is 0.
#[derive(Default)]
struct Answers(Mutex<BTreeMap<(&'static str, u16), u64>>);

impl Answers {
    fn count(&self, path: &'static str, status: u16) {
        *self.0.lock().unwrap().entry((path, status)).or_default() += 1;
    }

    /// Those that are no answer to what was asked.
    fn errors(&self) -> u64 {
        let answers = self.0.lock().unwrap();
        let is_right = |path: &str, status: u16| status == 200 || (path == "/check-access" && status == 403);
        answers.iter().filter(|((path, status), _)| !is_right(path, *status)).map(|(_, count)| count).sum()
    }
}

/// Sends until it is time to stop, and then what it still holds.
async fn send(stack: Arc<Stack>, next: Arc<AtomicU64>, stop: Arc<AtomicBool>, answers: Arc<Answers>, seed: u64) {
    let mut dice = Dice(seed);
    let mut held: Vec<u64> = Vec::with_capacity(HELD);
    loop {
        while held.len() < HELD && !stop.load(Ordering::SeqCst) {
            held.push(next.fetch_add(1, Ordering::SeqCst));
        }
        if held.is_empty() {
            return;
        }
        let place = dice.below(held.len());
        let n = held.swap_remove(place);
        let body = Event::of(n).body();
        let times = if dice.chance(TWICE) { 2 } else { 1 };
        for _ in 0..times {
            // As often as Stigg does.
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
            // An error of GraphQL's is one, whatever the status says.
            Some((200, body)) if path == "/graphql" && body.contains("\"errors\"") => 500,
            Some((status, _)) => status,
            None => 0,
        };
        answers.count(path, status);
    }
}

/// How many answers are not the model's.
async fn differences(stack: &Stack, events: u64) -> usize {
    let mut customers = vec![Customer::default(); CUSTOMERS];
    for event in (0..events).map(Event::of) {
        customers[event.customer].take(&event);
    }
    let mut differences = 0;
    for (id, customer) in customers.iter().enumerate() {
        for feature in 0..FEATURES {
            let body = json!({"customerId": format!("c{id}"), "featureId": format!("f{feature}")});
            let (status, answer) = stack.json("/check-access", body).await;
            let (reason, usage) = customer.check(feature);
            let found = (answer["accessDeniedReason"].clone(), answer["currentUsage"].as_f64());
            let is_right = status == if reason.is_null() { 200 } else { 403 };
            if !is_right || found != (reason.clone(), usage.as_f64()) {
                println!("c{id} f{feature}: {answer} instead of {reason} at {usage}");
                differences += 1;
            }
        }
    }
    let live = customers.iter().filter(|customer| customer.is_live).count();
    // A page has at most a hundred.
    let query = "{ customers { totalCount } one: customers(first: 100) { nodes { customerId } }
                   other: customers(first: 100, offset: 100) { nodes { customerId } } }";
    let (_, lists) = stack.json("/graphql", json!({ "query": query })).await;
    let lists = &lists["data"];
    let shown: usize = ["one", "other"].iter().map(|page| lists[page]["nodes"].as_array().map_or(0, Vec::len)).sum();
    if lists["customers"]["totalCount"] != live || shown != live {
        println!("{} customers are counted and {shown} shown instead of {live}", lists["customers"]["totalCount"]);
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
    let most = |from: f64, to: f64| {
        memory.iter().filter(|(at, _)| (from..=to).contains(at)).map(|(_, memory)| *memory).fold(0.0, f64::max)
    };
    let (warm, last) = (most(0.0, 1.0 / 3.0), most(2.0 / 3.0, 1.0));
    println!("{SENDERS} senders and {READERS} readers for {minutes} minutes: {events} events");
    for ((path, status), count) in answers.0.lock().unwrap().iter() {
        println!("{path} {status}: {count}, {:.0} a second", *count as f64 / duration.as_secs_f64());
    }
    println!("errors: {}", answers.errors());
    println!("memory: at most {warm:.1} MB in the first third, {last:.1} MB in the last");
    println!("answers that are not the model's: {differences} of {}", CUSTOMERS * FEATURES + 1);
    let is_good = answers.errors() == 0 && differences == 0 && last <= warm * GROWTH;
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
