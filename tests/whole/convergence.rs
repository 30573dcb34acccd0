//! The promise: deliver any history of events in any order, with any duplicates, and every answer and
//! the visible stored state are the same as if each had come once and in order.
//!
//! Each random history is delivered to an empty embedded store in order and in random orders with
//! repeats, through the webhook's own handler. Answers and state must be the same, and must be what
//! a plain, sequential model says, which knows nothing of registers.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use local::gateway;
use proptest::{
    prelude::*,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};
use runtime::secret::Secret;
use serde_json::Value;
use testkit::fake_aws::Sqs;
use testkit::histories::{self, Replica, model_view, clock_at, history, post};
use testkit::model::{BASE, Event};
use webhook::{Batch, Message, Queue, Webhook, WebhookSecrets};

/// A webhook whose store can be cut off, with a queue for what it does not take then.
struct CutOff {
    webhook: Webhook,
    /// How many more requests reach the store.
    left: Arc<AtomicUsize>,
    sqs: Sqs,
}

impl CutOff {
    async fn from(replica: &Replica) -> Self {
        let proxied = testkit::store::proxied(&replica.embedded, usize::MAX).await;
        let sqs = Sqs::start().await.unwrap();
        let secrets = WebhookSecrets::from(Secret::new("secret", None).unwrap());
        let queue = Queue::new(sqs.client(), sqs.queue_url());
        let webhook = Webhook::new(proxied.store, secrets, clock_at(&replica.now)).with_queue(Some(queue));
        Self { webhook, left: proxied.requests_left, sqs }
    }

    /// Writes what is in the queue, the newest first, as Lambda's poller would have it.
    async fn drain(&self) {
        let messages = self.sqs.messages().into_iter().rev().map(|(message_id, body)| Message { message_id, body });
        let failures = self.webhook.drain(Batch { messages: messages.collect() }, None).await;
        assert!(failures.batch_item_failures.is_empty(), "{failures:?}");
        self.sqs.delete_all_but(&[]);
    }
}

/// Runs [`histories::count`] histories, the same each time; with `BYOS_HISTORIES` that many new ones. Each is delivered in
/// order to a store of its own first, where the answers must be the model's.
fn for_each_history(count: u32, check: impl AsyncFn(&[Event], &[Vec<usize>], &Value) -> Result<(), TestCaseError>) {
    let wanted = std::env::var("BYOS_HISTORIES").ok().and_then(|count| count.parse().ok());
    let cases = wanted.unwrap_or_else(|| histories::count(count));
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
            prop_assert_eq!(model_view(&expected), testkit::model::answers(&events), "in order, beside the model");
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
            tokio::spawn(async move { Replica::at(embedded, event.receipt()).deliver_with_retries(&event).await })
        });
        for delivery in deliveries.collect::<Vec<_>>() {
            delivery.await.unwrap();
        }
        prop_assert_eq!(&replica.answers().await, expected);
        Ok(())
    });
}

/// The store is cut off in the middle of a history, and in the middle of an event, and comes back. What it
/// did not take was parked, and is written after everything else.
#[test]
fn events_that_were_parked_while_the_store_was_away_end_in_the_same_answers() {
    let parked = AtomicUsize::new(0);
    for_each_history(60, async |events, arrivals, expected| {
        for arrival in arrivals {
            let replica = Replica::empty().await;
            let cut_off = CutOff::from(&replica).await;
            let away = arrival.len() / 3..arrival.len() * 5 / 6;
            let mut delivered = vec![false; events.len()];
            for (place, index) in arrival.iter().enumerate() {
                let (event, is_repeat) = (&events[*index], std::mem::replace(&mut delivered[*index], true));
                // Stigg sends nothing again that was taken, and a receipt that only the queue knows of can't date
                // another delivery.
                if is_repeat && event.is_dated_by_receipt() {
                    continue;
                }
                let passes = if away.contains(&place) { (place + index) % 4 } else { usize::MAX };
                cut_off.requests_left.store(passes, Ordering::SeqCst);
                replica.now.store(event.receipt(), Ordering::SeqCst);
                let request = post("/webhook", &event.body());
                let answer = gateway::call(|request| cut_off.webhook.handle(request), request).await.unwrap();
                prop_assert!(answer["statusCode"] == 200 || answer["statusCode"] == 202, "{}", answer);
            }
            parked.fetch_add(cut_off.sqs.messages().len(), Ordering::SeqCst);
            cut_off.requests_left.store(usize::MAX, Ordering::SeqCst);
            replica.now.store(BASE + 5 * 3_600_000, Ordering::SeqCst);
            cut_off.drain().await;
            prop_assert_eq!(&replica.answers().await, expected, "arrival {:?}", arrival);
        }
        Ok(())
    });
    let parked = parked.into_inner();
    println!("{parked} events were parked");
    assert!(parked > histories::count(60) as usize);
}
