//! A replica that tests deliver events to and ask everything of.
#![allow(dead_code, reason = "each test file uses a part")]

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use byos::{embedded::Embedded, serve::Stack};
use jiff::Timestamp;
use serde_json::{Value, json};
use shared::{
    id::Id,
    store::{ListIndex, Range, SHARDS, Store},
    time::Clock,
};

use crate::model::{BASE, CUSTOMERS, Event, FEATURES, RESOURCES};

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
pub(crate) struct Replica {
    stack: Stack,
    pub(crate) embedded: Arc<Embedded>,
    pub(crate) now: Arc<AtomicI64>,
}

impl Replica {
    pub(crate) async fn empty() -> Self {
        Self::at(Arc::new(Embedded::in_memory().await.unwrap()), BASE)
    }

    /// Another stack on a store that may have others.
    pub(crate) fn at(embedded: Arc<Embedded>, now: i64) -> Self {
        let now = Arc::new(AtomicI64::new(now));
        let stack = Stack::on(embedded.store.clone(), "secret", "token", clock_at(&now)).unwrap();
        Self { stack, embedded, now }
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Value {
        self.stack.gateway.invoke(post(path, body)).await.unwrap()
    }

    /// Delivers an event at its first receipt, or some time later if it is a repeat.
    pub(crate) async fn deliver(&self, event: &Event, is_repeat: bool) {
        let later = if is_repeat { 30 * 3_600_000 } else { 0 };
        self.now.store(event.receipt() + later, Ordering::SeqCst);
        let answer = self.post("/webhook", &event.body()).await;
        assert_eq!(answer["statusCode"], 200, "{answer}");
    }

    /// Every answer to every question, at a moment after all events.
    pub(crate) async fn answers(&self) -> Value {
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

/// A clock that says what the test sets.
pub(crate) fn clock_at(now: &Arc<AtomicI64>) -> Clock {
    let now = now.clone();
    Clock::of(move || Timestamp::from_millisecond(now.load(Ordering::SeqCst)).unwrap())
}

/// The event that API Gateway makes of a request with the secret and the token of [`Replica`].
pub(crate) fn post(path: &str, body: &str) -> Value {
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "",
        "headers": {"content-type": "application/json", "stigg-webhooks-secret": "secret", "authorization": "Bearer token"},
        "requestContext": {"http": {"method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": ""},
                           "accountId": "0", "apiId": "0", "requestId": "0", "routeKey": "$default", "stage": "$default",
                           "time": "", "timeEpoch": 0},
        "body": body, "isBase64Encoded": false,
    })
}

/// What readers can see in both tables: rows by the lists, and by their keys.
pub(crate) async fn visible_state(store: &Store) -> Value {
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

pub(crate) fn ids(texts: &[&str]) -> Vec<Id> {
    texts.iter().map(|&text| Id::try_from(text).unwrap()).collect()
}

/// The parts of the answers that the model speaks of.
pub(crate) fn as_the_model_says(answers: &Value) -> Value {
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
    let shown = |list: &str, fields: &[&str]| -> Vec<Value> {
        let nodes = answers["graphql"]["data"][list]["nodes"].as_array().unwrap();
        assert_eq!(answers["graphql"]["data"][list]["totalCount"], nodes.len());
        let row = |node: &Value| fields.iter().map(|field| node[field].clone()).collect::<Value>();
        let mut rows: Vec<Value> = nodes.iter().map(row).collect();
        rows.sort_by_key(|row| row[0].as_str().unwrap().to_owned());
        rows
    };
    json!({
        "shownCustomers": shown("customers", &["customerId"]).into_iter().map(|row| row[0].clone()).collect::<Vec<_>>(),
        "shownSubscriptions": shown("subscriptions", &["subscriptionId", "status", "planId"]),
        "checks": checks.collect::<Vec<_>>(),
        "customers": customers.collect::<Vec<_>>(),
        "listedCustomers": listed("Customers"),
        "listedSubscriptions": subscriptions,
    })
}
