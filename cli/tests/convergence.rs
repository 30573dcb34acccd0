//! The promise: deliver any history of events in any order, with any duplicates, and every answer and
//! the visible stored state are the same as if each had come once and in order.
//!
//! Each random history is delivered to an empty embedded store in order and in random orders with
//! repeats, through the webhook's own handler. Answers and state must be the same, and must be what
//! a plain, sequential model says, which knows nothing of registers.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod model;
mod replica;

use model::{CUSTOMERS, Event, FEATURES, Kind, RESOURCES, SUBSCRIPTIONS, Time};
use proptest::{
    prelude::*,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};
use replica::{Replica, as_the_model_says};
use serde_json::Value;

fn event() -> impl Strategy<Value = Event> {
    let kind = prop_oneof![
        2 => Just(Kind::CustomerCreated),
        2 => Just(Kind::CustomerUpdated),
        3 => Just(Kind::CustomerDeleted),
        4 => Just(Kind::EntitlementsUpdated),
        3 => Just(Kind::MeasurementReported),
        3 => Just(Kind::SubscriptionCreated),
        2 => Just(Kind::SubscriptionUpdated),
        2 => Just(Kind::SubscriptionCanceled),
        1 => Just(Kind::SubscriptionExpired),
        1 => Just(Kind::SubscriptionTrialExpired),
    ];
    let time = prop_oneof![6 => (1..9_i64).prop_map(Time::Own), 1 => Just(Time::None), 1 => Just(Time::TooFarAhead)];
    (
        (kind, time, 1..9_i64, 1..9_i64, 0..CUSTOMERS.len(), 0..SUBSCRIPTIONS.len()),
        (
            0..RESOURCES.len(),
            0..FEATURES.len(),
            prop::collection::vec(prop::option::weighted(0.7, any::<bool>()), FEATURES.len()),
        ),
        (any::<bool>(), any::<bool>(), any::<bool>(), prop::option::weighted(0.3, 0..9_u32)),
    )
        .prop_map(|(who, what, carries)| Event::random(who, what, carries))
}

/// A history, and orders of arrival: indices into it, each at least once.
fn history() -> impl Strategy<Value = (Vec<Event>, Vec<Vec<usize>>)> {
    prop::collection::vec(event(), 2..13).prop_flat_map(|mut events| {
        for (number, event) in events.iter_mut().enumerate() {
            event.number = number;
        }
        let count = events.len();
        let arrival = prop::collection::vec(0..count, 0..4)
            .prop_flat_map(move |repeats| Just((0..count).chain(repeats).collect::<Vec<_>>()).prop_shuffle());
        (Just(events), prop::collection::vec(arrival, 2))
    })
}

/// As many histories as `BYOS_HISTORIES` says, new ones each time; without it so many, the same each
/// time. Each is delivered in order to a store of its own first, where the answers must be the model's.
fn for_each_history(count: u32, check: impl AsyncFn(&[Event], &[Vec<usize>], &Value) -> Result<(), TestCaseError>) {
    let wanted = std::env::var("BYOS_HISTORIES").ok().and_then(|count| count.parse().ok());
    let cases = wanted.unwrap_or(count);
    let config = ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 400, ..ProptestConfig::default() };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut runner = match wanted {
        Some(_) => TestRunner::new(config),
        None => TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha)),
    };
    let result = runner.run(&history(), |(events, arrivals)| {
        runtime.block_on(async {
            let mut in_order: Vec<&Event> = events.iter().collect();
            in_order.sort_by_key(|event| event.version());
            let reference = Replica::empty().await;
            for event in in_order {
                reference.deliver(event, false).await;
            }
            let expected = reference.answers().await;
            prop_assert_eq!(as_the_model_says(&expected), model::answers(&events), "in order, beside the model");
            check(&events, &arrivals, &expected).await
        })
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn any_order_with_any_duplicates_ends_in_the_same_answers_and_the_same_visible_state() {
    for_each_history(100, async |events, arrivals, expected| {
        for arrival in arrivals {
            let replica = Replica::empty().await;
            let mut delivered = vec![false; events.len()];
            for index in arrival {
                replica.deliver(&events[*index], delivered[*index]).await;
                delivered[*index] = true;
            }
            prop_assert_eq!(&replica.answers().await, expected, "arrival {:?}", arrival);
        }
        Ok(())
    });
}

/// Each event twice, all of them under way at the same moment.
#[test]
fn events_at_the_same_time_end_in_the_same_answers_and_the_same_visible_state() {
    for_each_history(60, async |events, _, expected| {
        let replica = Replica::empty().await;
        let deliveries = events.iter().chain(events).map(|event| {
            let (event, embedded) = (event.clone(), replica.embedded.clone());
            tokio::spawn(async move { deliver_until_taken(&Replica::at(embedded, event.receipt()), &event).await })
        });
        for delivery in deliveries.collect::<Vec<_>>() {
            delivery.await.unwrap();
        }
        prop_assert_eq!(&replica.answers().await, expected);
        Ok(())
    });
}

/// Delivers an event as Stigg does, again where it was not taken.
async fn deliver_until_taken(replica: &Replica, event: &Event) {
    for _ in 0..7 {
        let answer = replica.post("/webhook", &event.body()).await;
        if answer["statusCode"] == 200 {
            return;
        }
        assert_eq!(answer["statusCode"], 503, "{answer}");
    }
    panic!("not taken: {event:?}");
}
