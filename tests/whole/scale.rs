//! Compares the simulation of docs/scale.md with the real functions under the same small storm.
//!
//! The test emulates Stigg, Lambda's environments and the queue's pollers. The webhook, the SDK with its retries and the store
//! are real. The proxy in front of the embedded DynamoDB throttles like the simulated table, and API Gateway's throttle is
//! the same token bucket in both. So the test checks how the simulation models retries, parking, redelivery and draining.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use aws_config::SdkConfig;
use aws_sdk_dynamodb::config::retry::RetryPartition;
use local::gateway;
use runtime::{
    aws::{Budget, any_credentials, http_client, sdk_config},
    secret::Secret,
};
use serde_json::json;
use simulation::{
    SECOND, Time,
    bucket::Bucket,
    engine::{self, Load, Results},
    limits, milliseconds,
    random::mix,
    seconds,
    setup::{Setup, Throttle, Times},
    table::{Table, Units, WarmThroughput},
    work::Kind,
};
use store::Store;
use testkit::{
    fake_aws::Sqs,
    histories::{Replica, clock_at, post},
    model::BASE,
    proxy::{Fault, Proxy},
};
use tokio::task::JoinSet;
use webhook::{Batch, Message, Queue, Webhook, WebhookSecrets};

/// Accepted difference, relative to the simulation's figure.
const TOLERANCE: f64 = 0.2;

/// Number of lists that Stigg sends, one per customer.
const LISTS: u32 = 600;
/// Lists per second.
const RATE: f64 = 60.0;

/// Limits below the load: the table accepts half of the lists' write units, API Gateway three quarters of the lists.
fn setup() -> Setup {
    let partition = WarmThroughput { reads: limits::PARTITION_READS, writes: 24.0 };
    let unlimited = Throttle { rate: 1e6, burst: 1e6 };
    Setup {
        webhook: Throttle { rate: 45.0, burst: 30.0 },
        checks: unlimited,
        api: unlimited,
        concurrency: 1_000,
        queue_concurrency: 2,
        customers: WarmThroughput { reads: limits::NEW_TABLE_READS, writes: 4.0 * partition.writes },
        partition,
        times: Times {
            // Measured with the embedded store and a debug build.
            store_ms: vec![8.0; 2],
            invocation: 0,
            request: 0,
            start: 0,
            park: milliseconds(8.0),
            poll: milliseconds(20.0),
            visibility: 3 * SECOND,
            stigg_retries: [0.1, 0.1, 0.1, 2.0, 2.0, 2.0],
        },
        ..Setup::default()
    }
}

fn load() -> Load {
    Load {
        customers: LISTS,
        checks_before_start: 0.0,
        checks_from_start: 0.0,
        hot_share: 0.0,
        events: 0.0,
        storm: &[Kind::List],
        storm_rate: RATE,
        failure: None,
        start: 0,
        end: 0,
        max_drain_time: 120 * SECOND,
    }
}

fn event(customer: u32, kind: &str, millisecond: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(BASE + millisecond).unwrap().to_string();
    let id = format!("customer-{customer}");
    let mut event = json!({ "type": kind, "messageId": format!("{kind}-{customer}"), "timestamp": time });
    if kind == "customer.created" {
        event["id"] = id.into();
        event["name"] = "A customer".into();
    } else {
        event["entitlementsUpdatedAt"] = time.into();
        event["customer"] = json!({ "id": id, "name": "A customer" });
        event["entitlements"] = json!([{ "feature": { "id": "feature", "featureType": "BOOLEAN" } }]);
    }
    event.to_string()
}

/// The real webhook, with emulations of Stigg, API Gateway's throttle, Lambda's environments and the queue's pollers.
struct RealStack {
    setup: Setup,
    replica: Replica,
    config: SdkConfig,
    sqs: Sqs,
    started: Instant,
    api: Mutex<Bucket>,
    idle_environments: Mutex<Vec<Arc<Webhook>>>,
    /// Number of environments ever started.
    environments: AtomicU64,
    counts: Mutex<BTreeMap<&'static str, u64>>,
    /// Time at which the last message was drained, in microseconds after the start.
    last_drained: AtomicU64,
}

impl RealStack {
    /// Microseconds since the start.
    fn now(&self) -> Time {
        u64::try_from(self.started.elapsed().as_micros()).unwrap()
    }

    fn count(&self, outcome: &'static str) {
        *self.counts.lock().unwrap().entry(outcome).or_default() += 1;
    }

    fn counted(&self, outcome: &'static str) -> u64 {
        self.counts.lock().unwrap().get(outcome).copied().unwrap_or_default()
    }

    /// The environment that became idle last, or a new one. Each has its own retry quota.
    fn environment(&self) -> Arc<Webhook> {
        if let Some(webhook) = self.idle_environments.lock().unwrap().pop() {
            return webhook;
        }
        let number = self.environments.fetch_add(1, Ordering::SeqCst);
        let config = aws_sdk_dynamodb::config::Builder::from(&self.config);
        let config = config.retry_partition(RetryPartition::new(format!("scale-{number}"))).build();
        let store = Store::new(aws_sdk_dynamodb::Client::from_conf(config), self.replica.embedded.store.tables().clone());
        let secrets = WebhookSecrets::from(Secret::new("secret", None).unwrap());
        let queue = Queue::new(self.sqs.client(), self.sqs.queue_url());
        Arc::new(Webhook::new(store, secrets, clock_at(&Arc::new(AtomicI64::new(BASE + 60_000)))).with_queue(Some(queue)))
    }

    /// Delivers a list up to seven times, as Stigg does.
    async fn deliver(&self, customer: u32) {
        let body = event(customer, "entitlements.updated", 1);
        for wait in self.setup.times.stigg_retries.into_iter().map(Some).chain([None]) {
            if self.api.lock().unwrap().take(self.now(), 1.0) {
                let webhook = self.environment();
                let answer = gateway::call(|request| webhook.handle(request), post("/webhook", &body)).await.unwrap();
                self.idle_environments.lock().unwrap().push(webhook);
                match answer["statusCode"].as_u64() {
                    Some(200) => return self.count("applied"),
                    Some(202) => return self.count("parked"),
                    _ => self.count("failed"),
                }
            } else {
                self.count("refused");
            }
            let Some(wait) = wait else { return self.count("lost") };
            tokio::time::sleep(Duration::from_secs_f64(wait)).await;
        }
    }

    /// Polls the queue forever, as Lambda's pollers do.
    async fn poll(self: Arc<Self>) {
        let client = self.sqs.client();
        loop {
            tokio::time::sleep(Duration::from_micros(self.setup.times.poll)).await;
            let received =
                client.receive_message().queue_url(self.sqs.queue_url()).max_number_of_messages(10).send().await.unwrap();
            let received = received.messages.unwrap_or_default();
            if received.is_empty() {
                continue;
            }
            let bodies: BTreeMap<String, String> =
                received.iter().map(|message| (message.message_id.clone().unwrap(), message.body.clone().unwrap())).collect();
            let messages = bodies.iter().map(|(id, body)| Message { message_id: id.clone(), body: body.clone() }).collect();
            let webhook = self.environment();
            let failures = webhook.drain(Batch { messages }, None).await.batch_item_failures;
            self.idle_environments.lock().unwrap().push(webhook);
            for _ in failures.len()..bodies.len() {
                self.count("drained");
                self.last_drained.store(self.now(), Ordering::SeqCst);
            }
            for message in &received {
                let handle = message.receipt_handle.clone().unwrap();
                client.delete_message().queue_url(self.sqs.queue_url()).receipt_handle(handle).send().await.unwrap();
            }
            let failed: Vec<String> = failures.iter().map(|failure| bodies[&failure.item_identifier].clone()).collect();
            let (stack, visibility) = (self.clone(), Duration::from_micros(self.setup.times.visibility));
            tokio::spawn(async move {
                tokio::time::sleep(visibility).await;
                failed.into_iter().for_each(|body| stack.sqs.put(body));
            });
        }
    }
}

/// Runs the storm against the real webhook. Returns the counts by outcome, the number of throttled requests, and the seconds
/// from the last first delivery until the queue was empty.
async fn run_real_stack(setup: Setup) -> (BTreeMap<&'static str, u64>, u64, f64) {
    let replica = Replica::empty().await;
    for customer in 0..LISTS {
        let answer = replica.invoke(post("/webhook", &event(customer, "customer.created", 0))).await;
        assert_eq!(answer["statusCode"], 200, "{answer}");
    }
    let proxy = Proxy::start(&replica.embedded.endpoint, 0, None).await.unwrap();
    let region = Some("us-east-1".to_owned());
    let config = sdk_config(region, any_credentials(), http_client(), Some(proxy.endpoint.clone()), Budget::WEBHOOK);
    let table = Mutex::new(Table::with_partitions(setup.customers, setup.partition, setup.table_quota));
    let started = Instant::now();
    proxy.fail(move |operation, input| {
        let customer = input["Key"]["customerId"]["S"].as_str().or(input["Item"]["customerId"]["S"].as_str())?;
        let customer: u64 = customer.strip_prefix("customer-")?.parse().unwrap();
        assert_eq!(operation, "UpdateItem", "a list must be one request");
        let now = u64::try_from(started.elapsed().as_micros()).unwrap();
        (!table.lock().unwrap().take(now, mix(customer), Units::Write(3.0))).then_some(Fault::THROUGHPUT)
    });
    let api = Mutex::new(Bucket::new(setup.webhook.rate, setup.webhook.burst));
    let real = Arc::new(RealStack {
        setup,
        replica,
        config,
        sqs: Sqs::start().await.unwrap(),
        started,
        api,
        idle_environments: Mutex::default(),
        environments: AtomicU64::new(0),
        counts: Mutex::default(),
        last_drained: AtomicU64::new(0),
    });
    let pollers: Vec<_> = (0..real.setup.queue_concurrency).map(|_| tokio::spawn(real.clone().poll())).collect();
    let mut stigg = JoinSet::new();
    for customer in 0..LISTS {
        let due = started + Duration::from_secs_f64(f64::from(customer) / RATE);
        tokio::time::sleep_until(due.into()).await;
        let real = real.clone();
        stigg.spawn(async move { real.deliver(customer).await });
    }
    let sent = real.now();
    stigg.join_all().await;
    // All parked events must be drained.
    let mut waited = 0;
    while real.counted("parked") > real.counted("drained") {
        assert!(waited < 600, "{:?}", real.counts);
        waited += 1;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    pollers.iter().for_each(tokio::task::JoinHandle::abort);
    let throttled = proxy.fault_counts().get("ProvisionedThroughputExceededException").copied().unwrap_or_default() as u64;
    let drained = real.last_drained.load(Ordering::SeqCst).saturating_sub(sent) as f64 / SECOND as f64;
    let counts = real.counts.lock().unwrap().clone();
    // Every acknowledged event must be visible.
    let mut granted = 0;
    for customer in 0..LISTS {
        let body = json!({ "customerId": format!("customer-{customer}"), "featureId": "feature" });
        let answer = real.replica.invoke(post("/check-access", &body.to_string())).await;
        granted += u64::from(answer["statusCode"] == 200);
    }
    assert_eq!(granted, u64::from(LISTS) - real.counted("lost"));
    (counts, throttled, drained)
}

/// `cargo test --workspace --test whole scale -- --ignored --nocapture` prints both sides.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "compares real times, which only idle cores have: .ci/nightly runs it"]
async fn the_simulation_matches_the_functions_in_a_small_storm() {
    let results: Results = engine::run(&setup(), &load(), 1);
    let (counts, throttled, drained) = run_real_stack(setup()).await;
    let count = |outcome| counts.get(outcome).copied().unwrap_or_default();
    assert_eq!(count("failed"), 0, "{counts:?}");
    let mut differences = Vec::new();
    for (figure, simulated, real, min_tolerance) in [
        ("refused by the API", results.refused_by_api as f64, count("refused") as f64, 5.0),
        ("lost", results.lost as f64, count("lost") as f64, 5.0),
        ("requests throttled", results.throttled as f64, throttled as f64, 5.0),
        ("parked", results.parked as f64, count("parked") as f64, 5.0),
        ("applied at once", (results.events - results.parked - results.lost) as f64, count("applied") as f64, 5.0),
        ("drained after, s", results.drained_after.unwrap_or(seconds(1e3)) as f64 / SECOND as f64, drained, 1.0),
    ] {
        println!("{figure}: {simulated:.1} simulated, {real:.1} real");
        if (simulated - real).abs() > (simulated * TOLERANCE).max(min_tolerance) {
            differences.push(format!("{figure}: {simulated:.1} simulated, {real:.1} real"));
        }
    }
    assert!(differences.is_empty(), "{differences:?}");
}
