//! The promise: deliver any history of events in any order, with any duplicates, and every answer and the visible state
//! are the same as if each event had come once and in order.
//!
//! Each random history is delivered to empty stores through the webhook's handler: once in order, and in random orders
//! with duplicates. Answers and state must be equal, and must match a sequential model without registers.

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
use testkit::histories::{self, Replica, clock_at, history, model_view, post};
use testkit::model::{BASE, Event};
use webhook::{Batch, Message, Queue, Webhook, WebhookSecrets};

/// A webhook with a queue, and a store that can be cut off.
struct InterruptibleWebhook {
    webhook: Webhook,
    /// Number of requests that still reach the store.
    requests_left: Arc<AtomicUsize>,
    sqs: Sqs,
}

impl InterruptibleWebhook {
    async fn on_store_of(replica: &Replica) -> Self {
        let proxied = testkit::store::proxied(&replica.embedded, usize::MAX).await;
        let sqs = Sqs::start().await.unwrap();
        let secrets = WebhookSecrets::from(Secret::new("secret", None).unwrap());
        let queue = Queue::new(sqs.client(), sqs.queue_url());
        let webhook = Webhook::new(proxied.store, secrets, clock_at(&replica.now)).with_queue(Some(queue));
        Self { webhook, requests_left: proxied.requests_left, sqs }
    }

    /// Delivers all messages of the queue as one batch, as Lambda's poller does. The newest event comes first.
    async fn drain(&self) {
        let messages = self.sqs.messages().into_iter().rev().map(|(message_id, body)| Message { message_id, body });
        let failures = self.webhook.drain(Batch { messages: messages.collect() }, None).await;
        assert!(failures.batch_item_failures.is_empty(), "{failures:?}");
        self.sqs.delete_all_but(&[]);
    }
}

/// Runs `check` on [`histories::count`] histories with a fixed seed, or on `BYOS_HISTORIES` histories with a random seed.
/// Each history is first delivered in order, where the answers must match the model. `check` gets the events, the orders of
/// arrival and the expected answers.
fn for_each_history(count: u32, check: impl AsyncFn(&[Event], &[Vec<usize>], &Value) -> Result<(), TestCaseError>) {
    let requested = std::env::var("BYOS_HISTORIES").ok().and_then(|count| count.parse().ok());
    let cases = requested.unwrap_or_else(|| histories::count(count));
    let config = ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 400, ..ProptestConfig::default() };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut runner = match requested {
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
            prop_assert_eq!(model_view(&expected), testkit::model::answers(&events), "delivered in order");
            check(&events, &arrivals, &expected).await
        })
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn any_order_with_any_duplicates_gives_the_same_answers_and_visible_state() {
    for_each_history(100, async |events, arrivals, expected| {
        for arrival in arrivals {
            let replica = Replica::empty().await;
            let mut delivered = vec![false; events.len()];
            for index in arrival {
                let is_repeat = std::mem::replace(&mut delivered[*index], true);
                replica.deliver(&events[*index], is_repeat).await;
            }
            prop_assert_eq!(&replica.answers().await, expected, "arrival {:?}", arrival);
        }
        Ok(())
    });
}

/// Each event is delivered twice, and all deliveries are concurrent.
#[test]
fn concurrent_deliveries_give_the_same_answers_and_visible_state() {
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

/// The store is cut off in the middle of a history, also in the middle of an event, and recovers. The events parked in
/// between are written after all others.
#[test]
fn events_parked_during_an_outage_give_the_same_answers_and_visible_state() {
    let parked = AtomicUsize::new(0);
    for_each_history(60, async |events, arrivals, expected| {
        for arrival in arrivals {
            let replica = Replica::empty().await;
            let interruptible = InterruptibleWebhook::on_store_of(&replica).await;
            let outage = arrival.len() / 3..arrival.len() * 5 / 6;
            let mut delivered = vec![false; events.len()];
            for (position, index) in arrival.iter().enumerate() {
                let (event, is_repeat) = (&events[*index], std::mem::replace(&mut delivered[*index], true));
                // Stigg redelivers no acknowledged event, and a receipt that exists only in the queue can't date another
                // delivery.
                if is_repeat && event.is_dated_by_receipt() {
                    continue;
                }
                let passes = if outage.contains(&position) { (position + index) % 4 } else { usize::MAX };
                interruptible.requests_left.store(passes, Ordering::SeqCst);
                replica.now.store(event.receipt(), Ordering::SeqCst);
                let request = post("/webhook", &event.body());
                let answer = gateway::call(|request| interruptible.webhook.handle(request), request).await.unwrap();
                prop_assert!(answer["statusCode"] == 200 || answer["statusCode"] == 202, "{}", answer);
            }
            parked.fetch_add(interruptible.sqs.messages().len(), Ordering::SeqCst);
            interruptible.requests_left.store(usize::MAX, Ordering::SeqCst);
            replica.now.store(BASE + 5 * 3_600_000, Ordering::SeqCst);
            interruptible.drain().await;
            prop_assert_eq!(&replica.answers().await, expected, "arrival {:?}", arrival);
        }
        Ok(())
    });
    let parked = parked.into_inner();
    println!("{parked} events were parked");
    assert!(parked > histories::count(60) as usize);
}
