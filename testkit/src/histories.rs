//! Random histories of events, and a replica to deliver them to.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use domain::{
    event::{self, Received, dating::receipt_key},
    id::Id,
};
use jiff::Timestamp;
use local::{embedded::Embedded, serve::Stack};
use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};
use runtime::clock::Clock;
use serde_json::{Value, json};
use store::{Index, Projection, SHARDS, SortKeyRange, Store, Tables};

use crate::model::{BASE, CUSTOMERS, Event, FEATURES, Kind, RESOURCES, SUBSCRIPTIONS, Time};

/// Number of random histories a test runs: as many twelfths of `thorough` as the variable `BYOS_TWELFTHS` says, by default one.
pub fn count(thorough: u32) -> u32 {
    let twelfths = std::env::var("BYOS_TWELFTHS").ok().and_then(|text| text.parse().ok());
    thorough * twelfths.unwrap_or(1) / 12
}

/// Queries everything that the example's API has.
const QUERY_ALL: &str = "{
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

/// A local stack with an injected clock.
pub struct Replica {
    stack: Stack,
    pub embedded: Arc<Embedded>,
    /// The clock, in milliseconds since 1970.
    pub now: Arc<AtomicI64>,
}

impl Replica {
    pub async fn empty() -> Self {
        Self::at(Arc::new(Embedded::in_memory().await.unwrap()), BASE)
    }

    /// A stack on a store that other stacks may share. `now` is in milliseconds since 1970.
    pub fn at(embedded: Arc<Embedded>, now: i64) -> Self {
        let now = Arc::new(AtomicI64::new(now));
        let stack = Stack::on(embedded.store.clone(), "secret", "token", clock_at(&now)).unwrap();
        Self { stack, embedded, now }
    }

    /// Sends an event of API Gateway to the function of its path.
    pub async fn invoke(&self, event: Value) -> Value {
        self.stack.gateway.invoke(event).await.unwrap()
    }

    async fn post(&self, path: &str, body: &str) -> Value {
        self.invoke(post(path, body)).await
    }

    /// Delivers an event at its first receipt, or 30 hours later if it is a redelivery.
    pub async fn deliver(&self, event: &Event, is_repeat: bool) {
        let later = if is_repeat { 30 * 3_600_000 } else { 0 };
        self.now.store(event.receipt() + later, Ordering::SeqCst);
        let body = if is_repeat { event.repeated_body() } else { event.body() };
        let answer = self.post("/webhook", &body).await;
        assert_eq!(answer["statusCode"], 200, "{answer}");
    }

    /// Delivers an event up to seven times, as Stigg does, until the webhook answers 200.
    pub async fn deliver_with_retries(&self, event: &Event) {
        for _ in 0..7 {
            let answer = self.post("/webhook", &event.body()).await;
            if answer["statusCode"] == 200 {
                return;
            }
            assert_eq!(answer["statusCode"], 503, "{answer}");
        }
        panic!("seven deliveries failed: {event:?}");
    }

    /// The answers to all checks and queries, and the visible state, at a time after all events.
    pub async fn answers(&self) -> Value {
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
        let graphql = self.post("/graphql", &json!({ "query": QUERY_ALL }).to_string()).await;
        assert_eq!(graphql["statusCode"], 200, "{graphql}");
        let graphql: Value = serde_json::from_str(graphql["body"].as_str().unwrap()).unwrap();
        assert!(graphql["errors"].is_null(), "{graphql}");
        json!({ "checks": checks, "graphql": graphql, "state": visible_state(&self.embedded.store).await })
    }
}

/// A clock that reads `now`, in milliseconds since 1970.
pub fn clock_at(now: &Arc<AtomicI64>) -> Clock {
    let now = now.clone();
    Clock::of(move || Timestamp::from_millisecond(now.load(Ordering::SeqCst)).unwrap())
}

/// API Gateway's event for a POST with the secret and the token of [`Replica`].
pub fn post(path: &str, body: &str) -> Value {
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "",
        "headers": {"content-type": "application/json", "stigg-webhooks-secret": "secret", "authorization": "Bearer token"},
        "requestContext": {"http": {"method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": ""},
                           "accountId": "0", "apiId": "0", "requestId": "0", "routeKey": "$default", "stage": "$default",
                           "time": "", "timeEpoch": 0},
        "body": body, "isBase64Encoded": false,
    })
}

/// The visible state of both tables: the index entries, and the items by key.
async fn visible_state(store: &Store) -> Value {
    let mut lists = serde_json::Map::new();
    for index in [
        Index::Customers,
        Index::CustomersByCreation,
        Index::Subscriptions,
        Index::SubscriptionsByCustomer,
        Index::SubscriptionsByCreation,
    ] {
        let mut entries = Vec::new();
        for shard in 0..SHARDS {
            entries.extend(store.query_index(index, shard, &SortKeyRange::default(), false, 100).await.unwrap().entries);
        }
        entries.sort();
        lists.insert(format!("{index:?}"), entries.iter().map(|entry| json!([entry.sort, entry.id])).collect());
    }
    let mut customers = serde_json::Map::new();
    for row in store.customers(&ids(&CUSTOMERS), Projection::Profiles).await.unwrap() {
        let Some(customer) = row.registers.visible() else { continue };
        let mut subscriptions = serde_json::Map::new();
        for subscription in store.subscriptions(&store.subscription_ids(&row.customer_id).await.unwrap()).await.unwrap() {
            if let Some(visible) = subscription.registers.visible(row.registers.tombstone.as_ref()) {
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

/// The part of [`Replica::answers`] that the model predicts, in the form of [`crate::model::answers`].
pub fn model_view(answers: &Value) -> Value {
    let checks = answers["checks"].as_array().unwrap().iter().map(|check| {
        let reason = &check["accessDeniedReason"];
        json!([
            check["customerId"],
            check["resourceId"],
            check["featureId"],
            reason,
            check["currentUsage"],
            check["usageLimit"],
            check["remainingBalance"]
        ])
    });
    let index_ids = |name: &str| -> Vec<Value> {
        answers["state"]["lists"][name].as_array().unwrap().iter().map(|entry| entry[1].clone()).collect()
    };
    let mut subscriptions = index_ids("Subscriptions");
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
    let nodes = |list: &str, fields: &[&str]| -> Vec<Value> {
        let nodes = answers["graphql"]["data"][list]["nodes"].as_array().unwrap();
        assert_eq!(answers["graphql"]["data"][list]["totalCount"], nodes.len());
        let row = |node: &Value| fields.iter().map(|field| node[field].clone()).collect::<Value>();
        let mut rows: Vec<Value> = nodes.iter().map(row).collect();
        rows.sort_by_key(|row| row[0].as_str().unwrap().to_owned());
        rows
    };
    json!({
        "queriedCustomers": nodes("customers", &["customerId"]).into_iter().map(|row| row[0].clone()).collect::<Vec<_>>(),
        "queriedSubscriptions": nodes("subscriptions", &["subscriptionId", "status", "planId"]),
        "checks": checks.collect::<Vec<_>>(),
        "customers": customers.collect::<Vec<_>>(),
        "indexedCustomers": index_ids("Customers"),
        "indexedSubscriptions": subscriptions,
    })
}

fn event() -> impl Strategy<Value = Event> {
    let kind = prop_oneof![
        2 => Just(Kind::CustomerCreated),
        2 => Just(Kind::CustomerUpdated),
        3 => Just(Kind::CustomerDeleted),
        4 => Just(Kind::EntitlementsUpdated),
        2 => Just(Kind::MeasurementReported),
        1 => Just(Kind::UsageExceeded),
        2 => Just(Kind::CreditBalance),
        3 => Just(Kind::SubscriptionCreated),
        2 => Just(Kind::SubscriptionUpdated),
        2 => Just(Kind::SubscriptionCanceled),
        1 => Just(Kind::SubscriptionExpired),
        1 => Just(Kind::SubscriptionTrialExpired),
    ];
    // The fourth is about three minutes after the receipt, which is within the accepted clock skew.
    let time = prop_oneof![
        6 => (1..9_i64).prop_map(Time::Own),
        1 => Just(Time::None),
        1 => Just(Time::TooFarAhead),
        1 => (1..9_i64).prop_map(|later| Time::Own(180_000 + later)),
    ];
    (
        (kind, time, 1..9_i64, 1..9_i64, 0..CUSTOMERS.len(), 0..SUBSCRIPTIONS.len()),
        (
            0..RESOURCES.len(),
            0..FEATURES.len(),
            prop::collection::vec(prop::option::weighted(0.7, any::<bool>()), FEATURES.len()),
        ),
        (
            any::<bool>(),
            any::<bool>(),
            any::<bool>(),
            prop::option::weighted(0.3, 0..9_u32),
            any::<bool>(),
            prop::bool::weighted(0.2),
        ),
    )
        .prop_map(|(target, content, flags)| Event::random(target, content, flags))
}

/// A history, and two orders of arrival. An order has the index of each event at least once.
pub fn history() -> impl Strategy<Value = (Vec<Event>, Vec<Vec<usize>>)> {
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

/// Like [`history`], reproducible from a seed.
pub fn history_of_seed(seed: u64) -> (Vec<Event>, Vec<Vec<usize>>) {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let bytes: Vec<u8> = seed.to_le_bytes().into_iter().cycle().take(32).collect();
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    history().new_tree(&mut runner).unwrap().current()
}

/// Deletes all items of all tables.
pub async fn wipe(store: &Store) {
    let Tables { customers, subscriptions, receipts } = store.tables();
    let tables: [(&String, &[&str]); 3] =
        [(customers, &["customerId", "item"]), (subscriptions, &["subscriptionId"]), (receipts, &["receipt"])];
    for (table, key) in tables {
        for mut item in store.client().scan().table_name(table).send().await.unwrap().items.unwrap_or_default() {
            item.retain(|name, _| key.contains(&name.as_str()));
            store.client().delete_item().table_name(table).set_key(Some(item)).send().await.unwrap();
        }
    }
}

/// Sets [`Event::stored_receipt`] of each event that is dated by its receipt. Fails if the stored receipt is none of the
/// event's deliveries in `received` (milliseconds since 1970).
pub async fn read_first_receipts(store: &Store, events: &mut [Event], received: Option<&[Vec<i64>]>) -> Result<(), String> {
    for (index, event) in events.iter_mut().enumerate().filter(|(_, event)| event.is_dated_by_receipt()) {
        let Received::Handled(handled) = event::parse(event.body().as_bytes()).unwrap() else { panic!("not handled: {event:?}") };
        let stored = store.first_receipt(&receipt_key(&handled.envelope)).await.unwrap();
        event.stored_receipt = stored.map(Timestamp::as_millisecond);
        if let (Some(stored), Some(received)) = (event.stored_receipt, received.map(|received| &received[index]))
            && !received.contains(&stored)
        {
            return Err(format!("the stored receipt {stored} is none of the deliveries {received:?}: {event:?}"));
        }
    }
    Ok(())
}
