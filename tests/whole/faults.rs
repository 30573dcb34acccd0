//! The promise under faults of the store: random histories, sent as Stigg sends them while the store fails in all ways of
//! [`testkit::proxy::Fault`], end in the state of the sequential model.
//!
//! Stigg retries an event without a 2XX: three times at once, and three times every 30 seconds. That time is simulated.
//! An event that fails seven times is counted as lost, and delivered once more at the end, as Stigg's support would.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use aws_config::SdkConfig;
use aws_sdk_dynamodb::config::retry::RetryPartition;
use local::{gateway, serve::Stack};
use runtime::{
    aws::{Budget, any_credentials, http_client, sdk_config},
    secret::Secret,
};
use serde_json::{Value, json};
use store::Store;
use testkit::fake_aws::Sqs;
use testkit::histories::{self, Replica, clock_at, history_of_seed, model_view, post, read_first_receipts, wipe};
use testkit::model::{BASE, CUSTOMERS, Event, FEATURES, RESOURCES};
use testkit::proxy::{Dice, Proxy};
use webhook::{Batch, Message, Queue, Webhook, WebhookSecrets};

/// Shorter than the functions' budgets, so that a hang does not take seconds.
const BUDGET: Budget = Budget {
    connect: Duration::from_millis(500),
    attempt: Duration::from_millis(500),
    total: Duration::from_millis(1_200),
    attempts: 2,
};

/// Delay of slow and late requests. Longer than an attempt's time-out.
const SLOW: Duration = Duration::from_millis(550);

/// Number of histories that run concurrently.
const WORKERS: u64 = 12;

/// Stigg's waits before each retry, in seconds.
const RETRY_WAITS: [i64; 6] = [0, 0, 0, 30, 30, 30];

#[derive(Debug, Default)]
struct Counts {
    events: AtomicUsize,
    deliveries: AtomicUsize,
    /// Deliveries that got a 503.
    refused: AtomicUsize,
    parked: AtomicUsize,
    lost: AtomicUsize,
    checks: AtomicUsize,
    /// Checks that got a 503.
    undecided: AtomicUsize,
    faults: Mutex<BTreeMap<&'static str, usize>>,
}

impl Counts {
    fn add_faults(&self, faults: BTreeMap<&'static str, usize>) {
        let mut all = self.faults.lock().unwrap();
        for (fault, more) in faults {
            *all.entry(fault).or_default() += more;
        }
    }
}

fn count(counter: &AtomicUsize, more: usize) {
    counter.fetch_add(more, Ordering::Relaxed);
}

/// A scheduled delivery: simulated time in milliseconds, position in the arrival order, index of the event, number of
/// failed tries.
type Delivery = Reverse<(i64, usize, usize, usize)>;

/// A worker's store, with a proxy and a queue. Each history starts with empty tables.
struct TestEnvironment {
    /// Without faults, directly on the store.
    replica: Replica,
    /// Reads through the proxy.
    readers: Stack,
    proxy: Proxy,
    sqs: Sqs,
    sqs_client: aws_sdk_sqs::Client,
    config: SdkConfig,
}

impl TestEnvironment {
    async fn start() -> Self {
        let replica = Replica::empty().await;
        let proxy = Proxy::start(&replica.embedded.endpoint, 0, None).await.unwrap();
        let sqs = Sqs::start().await.unwrap();
        let region = Some("us-east-1".to_owned());
        let config = sdk_config(region, any_credentials(), http_client(), Some(proxy.endpoint.clone()), BUDGET);
        let store = Store::new(aws_sdk_dynamodb::Client::new(&config), replica.embedded.store.tables().clone());
        let readers = Stack::on(store, "secret", "token", clock_at(&replica.now)).unwrap();
        Self { replica, readers, proxy, sqs_client: sqs.client(), sqs, config }
    }

    fn queue(&self) -> Queue {
        Queue::new(self.sqs_client.clone(), self.sqs.queue_url())
    }
}

/// The run of one history.
struct Run<'a> {
    environment: &'a TestEnvironment,
    /// Writes through the proxy. Has a queue in every other history.
    webhook: Webhook,
    has_queue: bool,
    /// Simulated time, in milliseconds.
    time: Arc<AtomicI64>,
    dice: Arc<Mutex<Dice>>,
    counts: &'a Counts,
}

impl<'a> Run<'a> {
    fn start(seed: u64, environment: &'a TestEnvironment, counts: &'a Counts) -> Self {
        // Clients in one process share a retry quota. Each history stands for a process of its own.
        let config = aws_sdk_dynamodb::config::Builder::from(&environment.config);
        let config = config.retry_partition(RetryPartition::new(seed.to_string())).build();
        let store = Store::new(aws_sdk_dynamodb::Client::from_conf(config), environment.replica.embedded.store.tables().clone());
        let has_queue = seed.is_multiple_of(2);
        let clock = clock_at(&environment.replica.now);
        let webhook = Webhook::new(store, secrets(), clock).with_queue(has_queue.then(|| environment.queue()));
        let (time, dice) = (Arc::new(AtomicI64::new(0)), Arc::new(Mutex::new(Dice(seed))));
        Self { environment, webhook, has_queue, time, dice, counts }
    }

    /// Fails 85 % of the requests during the outage (simulated milliseconds), and 8 % at other times.
    fn fail(&self, outage: std::ops::Range<i64>) {
        let (time, dice) = (self.time.clone(), self.dice.clone());
        self.environment.proxy.fail(move |_, _| {
            let mut dice = dice.lock().unwrap();
            let percent = if outage.contains(&time.load(Ordering::SeqCst)) { 85 } else { 8 };
            dice.chance(percent).then(|| dice.fault(SLOW))
        });
    }

    /// Delivers an event at this time, in milliseconds since 1970. Returns the status.
    async fn deliver(&self, event: &Event, received: i64) -> u64 {
        self.environment.replica.now.store(received, Ordering::SeqCst);
        let answer = gateway::call(|request| self.webhook.handle(request), post("/webhook", &event.body())).await.unwrap();
        count(&self.counts.deliveries, 1);
        answer["statusCode"].as_u64().unwrap()
    }

    /// A check under faults gives the same answer as without them, or a 503.
    async fn check(&self) -> Result<(), String> {
        // A late write would change the expected answer.
        self.environment.proxy.settled().await;
        let body = {
            let mut dice = self.dice.lock().unwrap();
            let (customer, resource) = (CUSTOMERS[dice.below(CUSTOMERS.len())], RESOURCES[dice.below(RESOURCES.len())]);
            json!({"customerId": customer, "featureId": FEATURES[dice.below(FEATURES.len())], "resourceId": resource})
        };
        let event = post("/check-access", &body.to_string());
        let answer = self.environment.readers.gateway.invoke(event.clone()).await.unwrap();
        let expected = self.environment.replica.invoke(event).await;
        count(&self.counts.checks, 1);
        match answer["statusCode"].as_u64() {
            Some(503) => count(&self.counts.undecided, 1),
            _ if answer["body"] == expected["body"] => {}
            _ => return Err(format!("{answer} instead of {expected}")),
        }
        Ok(())
    }

    /// A query under faults may lack existing nodes, but has no others.
    async fn query(&self) -> Result<(), String> {
        self.environment.proxy.settled().await;
        let query = "{ customers { nodes { customerId name } } subscriptions { nodes { subscriptionId status planId } } }";
        let event = post("/graphql", &json!({ "query": query }).to_string());
        let answer = self.environment.readers.gateway.invoke(event.clone()).await.unwrap();
        let [answer, expected] = [answer, self.environment.replica.invoke(event).await]
            .map(|answer| serde_json::from_str::<Value>(answer["body"].as_str().unwrap()).unwrap());
        for list in ["customers", "subscriptions"] {
            let [found, existing] = [&answer, &expected].map(|answer| answer["data"][list]["nodes"].as_array());
            if found.into_iter().flatten().any(|node| !existing.is_some_and(|existing| existing.contains(node))) {
                return Err(format!("{answer} instead of {expected}"));
            }
        }
        Ok(())
    }

    /// Delivers all messages of the queue as one batch, the newest event first. Failed messages stay in the queue.
    async fn drain(&self, webhook: &Webhook) {
        let messages = self.environment.sqs.messages().into_iter().rev().map(|(message_id, body)| Message { message_id, body });
        let failures = webhook.drain(Batch { messages: messages.collect() }, None).await;
        let failures: Vec<_> = failures.batch_item_failures.iter().map(|failure| failure.item_identifier.as_str()).collect();
        self.environment.sqs.delete_all_but(&failures);
        self.environment.proxy.settled().await;
    }
}

fn secrets() -> WebhookSecrets {
    WebhookSecrets::from(Secret::new("secret", None).unwrap())
}

/// Runs one history with faults. Fails if an answer or the final state is wrong.
async fn run(seed: u64, environment: &TestEnvironment, counts: &Counts) -> Result<(), String> {
    let (mut events, arrivals) = history_of_seed(seed);
    wipe(&environment.replica.embedded.store).await;
    let run = Run::start(seed, environment, counts);
    count(&counts.events, events.len());

    let mut deliveries = BinaryHeap::<Delivery>::new();
    let mut time = 0;
    for (turn, index) in arrivals[0].iter().enumerate() {
        let mut dice = run.dice.lock().unwrap();
        time += i64::try_from(dice.below(20_000)).unwrap();
        deliveries.push(Reverse((time, turn, *index, 0)));
    }
    let outage = {
        let mut dice = run.dice.lock().unwrap();
        let begin = i64::try_from(dice.below(usize::try_from(time).unwrap() + 1)).unwrap();
        // Stigg retries for 90 s. Some outages are longer.
        let longest = if dice.chance(15) { 150_000 } else { 45_000 };
        begin..begin + i64::try_from(dice.below(longest)).unwrap()
    };
    run.fail(outage);

    let mut first_delivery: Vec<Option<i64>> = vec![None; events.len()];
    let mut received: Vec<Vec<i64>> = vec![Vec::new(); events.len()];
    let mut given_up = Vec::new();
    while let Some(Reverse((time, turn, index, tries))) = deliveries.pop() {
        run.time.store(time, Ordering::SeqCst);
        let event = &events[index];
        let at = event.receipt() + time - *first_delivery[index].get_or_insert(time);
        received[index].push(at);
        match run.deliver(event, at).await {
            200 => {}
            202 => count(&counts.parked, 1),
            503 => {
                count(&counts.refused, 1);
                match RETRY_WAITS.get(tries) {
                    Some(wait) => deliveries.push(Reverse((time + wait * 1_000, turn, index, tries + 1))),
                    None => given_up.push(index),
                }
            }
            status => return Err(format!("{status} for {event:?}")),
        }
        if tries == 0 && turn % 4 == 3 {
            run.check().await?;
        }
        if tries == 0 && turn % 6 == 5 {
            run.query().await?;
        }
    }
    // The queue is drained while the store still fails, and again after it has recovered.
    if run.has_queue {
        run.drain(&run.webhook).await;
    }
    environment.proxy.settled().await;
    environment.proxy.heal();
    let later = BASE + 5 * 3_600_000;
    environment.replica.now.store(later, Ordering::SeqCst);
    let recovered = Webhook::new(environment.replica.embedded.store.clone(), secrets(), clock_at(&environment.replica.now));
    run.drain(&recovered).await;
    if !environment.sqs.messages().is_empty() {
        return Err("a message is left in the queue".to_owned());
    }
    count(&counts.lost, given_up.len());
    for index in given_up {
        received[index].push(later);
        let answer = environment.replica.invoke(post("/webhook", &events[index].body())).await;
        if answer["statusCode"] != 200 {
            return Err(format!("{answer} after the faults"));
        }
    }

    read_first_receipts(&environment.replica.embedded.store, &mut events, Some(&received)).await?;
    let answers = environment.replica.answers().await;
    for list in ["customers", "subscriptions"] {
        let page = &answers["graphql"]["data"][list];
        if page["totalCount"] != page["nodes"].as_array().unwrap().len() {
            let stored = testkit::store::everything(&environment.replica.embedded.store).await;
            return Err(format!("{list}: {page:#}\n{stored:#?}\n{events:#?}"));
        }
    }
    let (found, expected) = (model_view(&answers), testkit::model::answers(&events));
    if found != expected {
        return Err(format!("{found:#}\ninstead of\n{expected:#}\n{events:#?}"));
    }
    Ok(())
}

/// The seed of a history is its number. `BYOS_FIRST_HISTORY` is the first one, `BYOS_HISTORIES` their number.
#[test]
fn random_histories_under_random_faults_end_in_the_models_state() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (first, histories) =
        (number("BYOS_FIRST_HISTORY").unwrap_or(1), number("BYOS_HISTORIES").unwrap_or_else(|| histories::count(1_000).into()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (counts, next, failed) = (Arc::new(Counts::default()), Arc::new(AtomicU64::new(first)), Arc::new(AtomicBool::new(false)));
    let started = Instant::now();
    let failures = runtime.block_on(async {
        let workers: Vec<_> = (0..WORKERS)
            .map(|_| {
                let (counts, next, failed) = (counts.clone(), next.clone(), failed.clone());
                tokio::spawn(async move {
                    let environment = TestEnvironment::start().await;
                    loop {
                        let seed = next.fetch_add(1, Ordering::SeqCst);
                        if seed >= first + histories || failed.load(Ordering::SeqCst) {
                            counts.add_faults(environment.proxy.fault_counts());
                            return None;
                        }
                        if (seed - first) % 100 == 99 {
                            println!("history {seed} starts after {:.0?}", started.elapsed());
                        }
                        if let Err(failure) = run(seed, &environment, &counts).await {
                            failed.store(true, Ordering::SeqCst);
                            return Some(format!("BYOS_FIRST_HISTORY={seed} BYOS_HISTORIES=1: {failure}"));
                        }
                    }
                })
            })
            .collect();
        let mut failures = Vec::new();
        for worker in workers {
            failures.extend(worker.await.unwrap());
        }
        failures
    });
    println!("{histories} histories from {first} in {:.0?}: {counts:?}", started.elapsed());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    let faults = counts.faults.lock().unwrap();
    let of = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    if histories >= 1_000 {
        // Every kind of fault and every outcome occurred.
        assert!(faults.len() == 14 && faults.values().all(|count| *count > 20), "{faults:?}");
        assert!(of(&counts.refused) > 500 && of(&counts.parked) > 200 && of(&counts.lost) > 0 && of(&counts.undecided) > 20);
    }
}
