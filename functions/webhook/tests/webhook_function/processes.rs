//! Concurrent processes of the webhook, and killed processes: the final state equals that of the sequential model.

use std::{path::Path, sync::Arc, time::Duration};

use local::embedded::Embedded;
use serde_json::Value;
use store::Store;
use testkit::histories::{self, Replica, history_of_seed, model_view, post, read_first_receipts, wipe};
use testkit::model::{BASE, Event};
use testkit::proxy::{Dice, Fault, Proxy};
use testkit::runtime_api::Lambda;

const PROCESSES: usize = 4;

async fn start(store: &Store, endpoint: &str) -> Lambda {
    let tables = store.tables();
    let variables = [
        ("CUSTOMERS_TABLE", tables.customers.as_str()),
        ("SUBSCRIPTIONS_TABLE", &tables.subscriptions),
        ("RECEIPTS_TABLE", &tables.receipts),
        ("DYNAMODB_ENDPOINT", endpoint),
        ("STIGG_WEBHOOK_SECRET", "secret"),
        // Nobody reads the log, and a full pipe would block the process.
        ("RUST_LOG", "off"),
    ];
    Lambda::start(Path::new(env!("CARGO_BIN_EXE_webhook")), variables).await.unwrap()
}

/// A history without events whose time is believed by the model's clock but not by the system's, or vice versa.
fn timely_history(seed: u64) -> (Vec<Event>, Vec<usize>) {
    let (mut events, mut arrivals) = history_of_seed(seed);
    let timely: Vec<usize> = (0..events.len()).filter(|&index| events[index].is_clock_independent()).collect();
    let arrival = arrivals.swap_remove(0);
    let arrival = arrival.into_iter().filter_map(|index| timely.iter().position(|&kept| kept == index)).collect();
    let mut index = 0..;
    events.retain(|_| index.next().is_some_and(|index| timely.contains(&index)));
    (events, arrival)
}

fn seeds(thorough: u32) -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number("BYOS_FIRST_HISTORY").unwrap_or(1);
    first..first + number("BYOS_HISTORIES").unwrap_or_else(|| histories::count(thorough).into())
}

async fn assert_equals_model(replica: &Replica, mut events: Vec<Event>, seed: u64) {
    read_first_receipts(&replica.embedded.store, &mut events, None).await.unwrap();
    let found = model_view(&replica.answers().await);
    assert_eq!(found, testkit::model::answers(&events), "history {seed}: {events:#?}");
}

/// Each event is delivered twice, to random processes, which work concurrently.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_processes_converge_to_the_model() {
    let embedded = Arc::new(Embedded::in_memory().await.unwrap());
    let mut lambdas = Vec::new();
    for _ in 0..PROCESSES {
        lambdas.push(Arc::new(start(&embedded.store, &embedded.endpoint).await));
    }
    let (mut deliveries, mut contended) = (0, 0);
    for seed in seeds(60) {
        wipe(&embedded.store).await;
        let (events, arrival) = timely_history(seed);
        let mut dice = Dice(seed);
        let mut bodies: Vec<Vec<String>> = vec![Vec::new(); PROCESSES];
        for index in arrival.iter().chain(arrival.iter().rev()) {
            bodies[dice.below(PROCESSES)].push(events[*index].body());
        }
        let senders: Vec<_> = lambdas
            .iter()
            .zip(bodies)
            .map(|(lambda, bodies)| {
                let lambda = lambda.clone();
                tokio::spawn(async move {
                    let mut statuses = Vec::new();
                    for body in bodies {
                        // Stigg's number of attempts.
                        for _ in 0..7 {
                            let answer = lambda.invoke(&post("/webhook", &body)).await.unwrap();
                            statuses.push(answer["statusCode"].as_u64().unwrap());
                            if statuses.last() != Some(&503) {
                                break;
                            }
                        }
                        assert_eq!(statuses.last(), Some(&200), "{body}");
                    }
                    statuses
                })
            })
            .collect();
        for sender in senders {
            let statuses = sender.await.unwrap();
            deliveries += statuses.len();
            contended += statuses.iter().filter(|status| **status == 503).count();
        }
        assert_equals_model(&Replica::at(embedded.clone(), BASE), events, seed).await;
    }
    println!("{deliveries} deliveries to {PROCESSES} processes, {contended} of them contended");
    assert!(deliveries > 500 || seeds(60) != (1..61));
}

/// The process is killed at random times. Unacknowledged events are delivered again, before or after later events.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_killed_at_any_time_loses_no_acknowledged_event() {
    let embedded = Arc::new(Embedded::in_memory().await.unwrap());
    let proxy = Proxy::start(&embedded.endpoint, 0, None).await.unwrap();
    // Slow requests, so that a kill often happens during one.
    proxy.fail_with(Fault::Slow(Duration::from_millis(3)));
    let mut lambda = start(&embedded.store, &proxy.endpoint).await;
    let (mut acknowledged, mut killed) = (0, 0);
    for seed in seeds(40) {
        wipe(&embedded.store).await;
        let (events, arrival) = timely_history(seed);
        let mut dice = Dice(seed);
        let mut waiting: Vec<usize> = arrival.into_iter().rev().collect();
        let mut kills = 0;
        while let Some(index) = waiting.pop() {
            let event = post("/webhook", &events[index].body());
            let delay = Duration::from_micros(dice.next_u64() % 40_000);
            // The limit ensures that each history ends.
            let is_killed = kills < 6 && dice.chance(60);
            lambda.first_poll().await.unwrap();
            let answer: Option<Value> = tokio::select! {
                answer = lambda.invoke(&event) => Some(answer.unwrap()),
                () = tokio::time::sleep(delay), if is_killed => None,
            };
            match answer {
                Some(answer) => {
                    assert_eq!(answer["statusCode"], 200, "{answer}");
                    acknowledged += 1;
                }
                None => {
                    let old = std::mem::replace(&mut lambda, start(&embedded.store, &proxy.endpoint).await);
                    old.stop().await.unwrap();
                    (kills, killed) = (kills + 1, killed + 1);
                    // The killed process's requests complete before any later request.
                    proxy.settled().await;
                    let position = dice.below(waiting.len() + 1);
                    waiting.insert(position, index);
                }
            }
        }
        assert_equals_model(&Replica::at(embedded.clone(), BASE), events, seed).await;
    }
    println!("{acknowledged} deliveries were acknowledged, {killed} processes were killed while they worked");
    assert!(killed > 40 || seeds(40) != (1..41));
}
