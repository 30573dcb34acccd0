//! The promise: deliver any history of events in any order, with any duplicates, and every answer and
//! the visible stored state are the same as if each had come once and in order.
//!
//! Each random history is delivered to an empty embedded store in order and in random orders with
//! repeats, through the webhook's own handler. Answers and state must be the same, and must be what
//! a plain, sequential model says, which knows nothing of registers.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod model;
#[path = "../../shared/tests/support/mod.rs"]
mod support;

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicUsize, Ordering},
};

use byos::{embedded::Embedded, gateway, serve::Stack, standin::Sqs};
use jiff::Timestamp;
use model::{BASE, CUSTOMERS, Event, FEATURES, Kind, RESOURCES, SUBSCRIPTIONS, Time};
use proptest::{
    prelude::*,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};
use serde_json::{Value, json};
use shared::{
    id::Id,
    secret::Secret,
    store::{ListIndex, Range, SHARDS, Store},
    time::Clock,
};
use webhook::{Batch, Message, Queue, Webhook, WebhookSecrets};

/// A query for all that the example's API shows.
const EVERYTHING: &str = "{
    customers(orderBy: CREATED_AT_DESC) {
        totalCount
        nodes {
            customerId name email billingId createdAt updatedAt entitlements
            subscriptions { nodes { subscriptionId status } }
        }
    }
    subscriptions {
        totalCount
        nodes {
            subscriptionId customerId status planId planName startDate endDate createdAt updatedAt
            customer { customerId name }
        }
    }
}";

/// A stack whose clock the test sets.
struct Replica {
    stack: Stack,
    embedded: Arc<Embedded>,
    now: Arc<AtomicI64>,
}

impl Replica {
    async fn empty() -> Self {
        Self::at(Arc::new(Embedded::in_memory().await.unwrap()), BASE)
    }

    /// Another stack on a store that may have others.
    fn at(embedded: Arc<Embedded>, now: i64) -> Self {
        let now = Arc::new(AtomicI64::new(now));
        let stack = Stack::on(embedded.store.clone(), "secret", "token", clock_at(&now)).unwrap();
        Self { stack, embedded, now }
    }

    async fn post(&self, path: &str, body: &str) -> Value {
        self.stack.gateway.invoke(post(path, body)).await.unwrap()
    }

    /// Delivers an event at its first receipt, or some time later if it is a repeat.
    async fn deliver(&self, event: &Event, is_repeat: bool) {
        let later = if is_repeat { 30 * 3_600_000 } else { 0 };
        self.now.store(event.receipt() + later, Ordering::SeqCst);
        let answer = self.post("/webhook", &event.body()).await;
        assert_eq!(answer["statusCode"], 200, "{answer}");
    }

    /// Delivers an event as Stigg does, again where it was not taken.
    async fn deliver_until_taken(&self, event: &Event) {
        for _ in 0..7 {
            let answer = self.post("/webhook", &event.body()).await;
            if answer["statusCode"] == 200 {
                return;
            }
            assert_eq!(answer["statusCode"], 503, "{answer}");
        }
        panic!("not taken: {event:?}");
    }

    /// Every answer to every question, at a moment after all events.
    async fn answers(&self) -> Value {
        self.now.store(BASE + 6 * 3_600_000, Ordering::SeqCst);
        let mut checks = Vec::new();
        for customer in CUSTOMERS {
            for resource in RESOURCES {
                for feature in FEATURES {
                    let body = json!({"customerId": customer, "featureId": feature, "resourceId": resource, "requestedUsage": 1});
                    let answer = self.post("/check-access", &body.to_string()).await;
                    let mut body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
                    body["status"] = answer["statusCode"].clone();
                    checks.push(body);
                }
            }
        }
        let graphql = self.post("/graphql", &json!({ "query": EVERYTHING }).to_string()).await;
        assert_eq!(graphql["statusCode"], 200, "{graphql}");
        let graphql: Value = serde_json::from_str(graphql["body"].as_str().unwrap()).unwrap();
        assert!(graphql["errors"].is_null(), "{graphql}");
        json!({ "checks": checks, "graphql": graphql, "state": visible_state(&self.embedded.store).await })
    }
}

fn clock_at(now: &Arc<AtomicI64>) -> Clock {
    let now = now.clone();
    Clock::of(move || Timestamp::from_millisecond(now.load(Ordering::SeqCst)).unwrap())
}

fn post(path: &str, body: &str) -> Value {
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "",
        "headers": {"content-type": "application/json", "stigg-webhooks-secret": "secret", "authorization": "Bearer token"},
        "requestContext": {"http": {"method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": ""},
                           "accountId": "0", "apiId": "0", "requestId": "0", "routeKey": "$default", "stage": "$default",
                           "time": "", "timeEpoch": 0},
        "body": body, "isBase64Encoded": false,
    })
}

/// A webhook whose store can be cut off, with a queue for what it does not take then.
struct CutOff {
    webhook: Webhook,
    /// How many more requests reach the store.
    left: Arc<AtomicUsize>,
    sqs: Sqs,
}

impl CutOff {
    async fn from(replica: &Replica) -> Self {
        let proxied = support::proxied(&replica.embedded, usize::MAX).await;
        let sqs = Sqs::start().await.unwrap();
        let secrets = WebhookSecrets::from(Secret::new("secret", None).unwrap());
        let queue = Queue::new(sqs.client(), sqs.queue_url());
        let webhook = Webhook::new(proxied.store, secrets, clock_at(&replica.now)).with_queue(Some(queue));
        Self { webhook, left: proxied.left, sqs }
    }

    /// Writes what is in the queue, the newest first, as Lambda's poller would have it.
    async fn drain(&self) {
        let messages = self.sqs.messages().into_iter().rev().map(|(message_id, body)| Message { message_id, body });
        let failures = self.webhook.drain(Batch { messages: messages.collect() }, None).await;
        assert!(failures.batch_item_failures.is_empty(), "{failures:?}");
        self.sqs.delete_all_but(&[]);
    }
}

/// What readers can see in both tables: rows by the lists, and by their keys.
async fn visible_state(store: &Store) -> Value {
    let mut lists = serde_json::Map::new();
    for index in [
        ListIndex::Customers,
        ListIndex::CustomersByCreation,
        ListIndex::Subscriptions,
        ListIndex::SubscriptionsByCustomer,
        ListIndex::SubscriptionsByCreation,
    ] {
        let mut places = Vec::new();
        for shard in 0..SHARDS {
            places.extend(store.list_page(index, shard, &Range::default(), false, 100).await.unwrap().places);
        }
        places.sort();
        lists.insert(format!("{index:?}"), places.iter().map(|place| json!([place.sort, place.id])).collect());
    }
    let mut customers = serde_json::Map::new();
    for row in store.customers(&ids(&CUSTOMERS)).await.unwrap() {
        let Some(customer) = row.registers.visible() else { continue };
        let mut subscriptions = serde_json::Map::new();
        for subscription in store.subscriptions(&store.subscription_ids(&row.customer_id).await.unwrap()).await.unwrap() {
            if let Some(visible) = subscription.registers.visible(row.registers.deletion.as_ref()) {
                subscriptions.insert(subscription.subscription_id.to_string(), json!(format!("{visible:?}")));
            }
        }
        let email = customer.profile.email.clone().unwrap_or_default();
        customers.insert(
            row.customer_id.to_string(),
            json!({
                "profile": customer.profile,
                "createdAt": customer.created_at,
                "updatedAt": customer.updated_at,
                "subscriptions": subscriptions,
                "foundByEmail": store.customers_by_email(&email, 10).await.unwrap(),
            }),
        );
    }
    json!({ "lists": lists, "customers": customers })
}

fn ids(texts: &[&str]) -> Vec<Id> {
    texts.iter().map(|&text| Id::try_from(text).unwrap()).collect()
}

/// The parts of the answers that the model speaks of.
fn as_the_model_says(answers: &Value) -> Value {
    let checks = answers["checks"].as_array().unwrap().iter().map(|check| {
        let reason = &check["accessDeniedReason"];
        json!([check["customerId"], check["resourceId"], check["featureId"], reason, check["currentUsage"], check["usageLimit"]])
    });
    let listed = |name: &str| -> Vec<Value> {
        answers["state"]["lists"][name].as_array().unwrap().iter().map(|place| place[1].clone()).collect()
    };
    let mut subscriptions = listed("Subscriptions");
    subscriptions.sort_by_key(Value::to_string);
    let customers = answers["state"]["customers"].as_object().unwrap().iter().map(|(id, customer)| {
        json!({
            "id": id,
            "name": customer["profile"]["name"],
            "createdAt": customer["createdAt"],
            "subscriptions": customer["subscriptions"],
            "isFoundByEmail": customer["foundByEmail"].as_array().unwrap().contains(&json!(id)),
        })
    });
    let customers = customers.map(|mut customer| {
        customer["subscriptions"] = customer["subscriptions"].as_object().unwrap().keys().cloned().collect();
        customer
    });
    let shown = |list: &str, id: &str| -> Vec<String> {
        let nodes = answers["graphql"]["data"][list]["nodes"].as_array().unwrap();
        let mut ids: Vec<String> = nodes.iter().map(|node| node[id].as_str().unwrap().to_owned()).collect();
        assert_eq!(answers["graphql"]["data"][list]["totalCount"], ids.len());
        ids.sort();
        ids
    };
    json!({
        "shownCustomers": shown("customers", "customerId"),
        "shownSubscriptions": shown("subscriptions", "subscriptionId"),
        "checks": checks.collect::<Vec<_>>(),
        "customers": customers.collect::<Vec<_>>(),
        "listedCustomers": listed("Customers"),
        "listedSubscriptions": subscriptions,
    })
}

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
            tokio::spawn(async move { Replica::at(embedded, event.receipt()).deliver_until_taken(&event).await })
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
                if is_repeat && event.receipt_dates_it() {
                    continue;
                }
                let passes = if away.contains(&place) { (place + index) % 4 } else { usize::MAX };
                cut_off.left.store(passes, Ordering::SeqCst);
                replica.now.store(event.receipt(), Ordering::SeqCst);
                let request = post("/webhook", &event.body());
                let answer = gateway::call(|request| cut_off.webhook.handle(request), request).await.unwrap();
                prop_assert!(answer["statusCode"] == 200 || answer["statusCode"] == 202, "{}", answer);
            }
            parked.fetch_add(cut_off.sqs.messages().len(), Ordering::SeqCst);
            cut_off.left.store(usize::MAX, Ordering::SeqCst);
            replica.now.store(BASE + 5 * 3_600_000, Ordering::SeqCst);
            cut_off.drain().await;
            prop_assert_eq!(&replica.answers().await, expected, "arrival {:?}", arrival);
        }
        Ok(())
    });
    let parked = parked.into_inner();
    println!("{parked} events were parked");
    assert!(parked > 100);
}
