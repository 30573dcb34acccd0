//! The store against the embedded DynamoDB: what events cost, what a check reads, what deletions
//! leave, and what an interruption at any point comes to.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use byos::{embedded::Embedded, serve::Stack};
use serde_json::{Value, json};
use shared::{
    access::AccessRequest,
    entitlement::FeatureState,
    id::Id,
    store::{ListIndex, Outcome, Range, Spent, Store},
    time::Clock,
};
use support::{applied, at, day, everything, id, items, proxied, rewriting, write};

fn grant(feature: &str, limit: u32) -> Value {
    json!({"feature": {"id": feature, "featureType": "NUMBER", "meterType": "Fluctuating"}, "usageLimit": limit, "currentUsage": 1})
}

fn list(resource: Option<&str>, features: &[&str]) -> Value {
    let entitlements: Vec<Value> = features.iter().map(|feature| grant(feature, 10)).collect();
    let resource = resource.map(|id| json!({ "id": id }));
    json!({"type": "entitlements.updated", "customer": {"id": "c", "name": "n", "email": "e@example.com"},
           "resource": resource, "entitlements": entitlements})
}

fn measurement(feature: &str) -> Value {
    json!({"type": "measurement.reported", "customer": {"id": "c"}, "feature": {"id": feature}, "currentUsage": 5})
}

fn customer(kind: &str) -> Value {
    json!({"type": format!("customer.{kind}"), "id": "c", "name": "n", "email": "e@example.com", "billingId": "b"})
}

fn subscription(kind: &str, status: &str) -> Value {
    json!({"type": format!("subscription.{kind}"), "id": "s", "status": status, "startDate": "2026-01-01T00:00:00Z",
           "customer": {"id": "c", "name": "n", "email": "e@example.com", "billingId": "b"}, "plan": {"id": "p", "name": "Plan"}})
}

fn check(feature: &str, resource: Option<&str>) -> AccessRequest {
    AccessRequest {
        customer_id: id("c"),
        feature_id: id(feature),
        resource_id: resource.map(id),
        requested_usage: 0.0,
        requested_values: Vec::new(),
    }
}

async fn cost(store: &Store, n: u8, event: Value) -> (u32, f64) {
    let store = store.metered();
    assert_eq!(write(&store, n, event.clone()).await.unwrap(), Outcome::Applied, "{event}");
    let Spent { requests, capacity } = store.spent();
    (requests, capacity)
}

#[tokio::test]
async fn each_event_costs_what_the_bill_is_reckoned_with() {
    let embedded = Embedded::in_memory().await.unwrap();
    let store = &embedded.store;
    let many: Vec<String> = (0..50).map(|n| format!("f{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let trial_expired = json!({"type": "subscription.trial_expired", "id": "s", "status": "ACTIVE"});
    let expired = json!({"type": "subscription.expired", "id": "s", "status": "ACTIVE", "startDate": "2026-01-01T00:00:00Z"});
    let mut rows = Vec::new();
    for (what, n, event, expected) in [
        // a row, and a place in each of the four indexes
        ("customer.created", 1, customer("created"), (1, 5.0)),
        ("customer.updated", 2, customer("updated"), (1, 1.0)),
        // pointer, subscription with a place in each of the three indexes, the customer it shows
        ("subscription.created", 3, subscription("created", "IN_TRIAL"), (3, 6.0)),
        ("subscription.updated", 4, subscription("updated", "ACTIVE"), (3, 3.0)),
        // a grant for each feature, and the list with the customer it shows
        ("entitlements.updated, 1 feature", 5, list(None, &["f0"]), (2, 2.0)),
        ("entitlements.updated, 50 features", 6, list(None, &many), (51, 51.0)),
        ("entitlements.updated, resource, 1 feature", 7, list(Some("r"), &["f0"]), (3, 3.0)),
        ("measurement.reported", 8, measurement("f0"), (1, 1.0)),
        // pointer, subscription, a consistent look at the customer
        ("subscription.canceled", 9, subscription("canceled", "CANCELED"), (3, 3.0)),
        ("subscription.trial_expired", 10, trial_expired, (2, 2.0)),
        ("subscription.expired", 11, expired, (2, 2.0)),
        // the register with four places in indexes, one query, 53 items, the subscription with three
        ("customer.deleted, 53 items", 12, customer("deleted"), (56, 65.0)),
    ] {
        let spent = cost(store, n, event).await;
        println!("{what}: {} requests, {} capacity units", spent.0, spent.1);
        if spent != expected {
            rows.push(format!("{what}: {spent:?} instead of {expected:?}"));
        }
    }
    assert!(rows.is_empty(), "{rows:#?}");
}

#[tokio::test]
async fn a_check_is_one_request_and_one_read_unit_however_many_entitlements_there_are() {
    for count in [5, 50, 500] {
        let embedded = Embedded::in_memory().await.unwrap();
        applied(&embedded.store, 1, customer("created")).await;
        let features: Vec<String> = (0..count).map(|n| format!("f{n}")).collect();
        let features: Vec<&str> = features.iter().map(String::as_str).collect();
        applied(&embedded.store, 2, list(None, &features)).await;
        applied(&embedded.store, 2, list(Some("r"), &features)).await;
        for (resource, capacity) in [(None, 1.0), (Some("r"), 1.5)] {
            let store = embedded.store.metered();
            let view = store.access_view(&check("f0", resource)).await.unwrap();
            assert!(matches!(view.feature, FeatureState::Granted(_)));
            assert_eq!(store.spent(), Spent { requests: 1, capacity }, "{count} entitlements");
        }
    }
}

#[tokio::test]
async fn a_check_that_sees_a_new_list_beside_an_old_grant_reads_once_more_consistently() {
    let embedded = Embedded::in_memory().await.unwrap();
    applied(&embedded.store, 1, list(None, &["f"])).await;
    // The proxy keeps the feature's item as it first saw it, for reads that are not consistent.
    let old = Arc::new(Mutex::new(None::<Value>));
    let consistent = Arc::new(AtomicBool::new(false));
    let rewrite = {
        let (old, consistent) = (old.clone(), consistent.clone());
        Arc::new(move |operation: &str, asked: &Value, mut answer: Value| {
            if operation == "BatchGetItem" {
                let table = asked["RequestItems"].as_object().unwrap().keys().next().unwrap().clone();
                if asked["RequestItems"][&table]["ConsistentRead"] == true {
                    consistent.store(true, Ordering::SeqCst);
                    return answer;
                }
                let mut old = old.lock().unwrap();
                for item in answer["Responses"][&table].as_array_mut().unwrap() {
                    if item["item"]["S"].as_str().unwrap().starts_with("ENTITLEMENT#") {
                        *item = old.get_or_insert_with(|| item.clone()).clone();
                    }
                }
            }
            answer
        })
    };
    let lagging = rewriting(&embedded, usize::MAX, rewrite).await.store;
    lagging.access_view(&check("f", None)).await.unwrap();
    assert!(!consistent.load(Ordering::SeqCst));
    applied(&embedded.store, 2, list(None, &["f"])).await;

    let store = lagging.metered();
    let view = store.access_view(&check("f", None)).await.unwrap();
    assert!(matches!(view.feature, FeatureState::Granted(_)), "{view:?}");
    assert!(consistent.load(Ordering::SeqCst));
    assert_eq!(store.spent().requests, 2);
    // A grant that really is revoked takes two requests, too, and no more.
    applied(&embedded.store, 3, list(None, &["g"])).await;
    let store = embedded.store.metered();
    assert_eq!(store.access_view(&check("f", None)).await.unwrap().feature, FeatureState::Revoked);
    assert_eq!(store.spent().requests, 2);
}

/// Even a consistent BatchGetItem reads each item at a moment of its own.
#[tokio::test]
async fn a_check_does_not_deny_because_another_list_came_between_its_two_items() {
    let embedded = Embedded::in_memory().await.unwrap();
    applied(&embedded.store, 1, list(None, &["f"])).await;
    let old = embedded.store.client().get_item().table_name(&embedded.store.tables().customers);
    let old = old.key("customerId", string("c")).key("item", string("ENTITLEMENT#0##f")).send().await.unwrap();
    let old = old.item().unwrap()["grantVersion"].as_s().unwrap().clone();
    applied(&embedded.store, 2, list(None, &["f"])).await;
    // The first read sees the second list and the first grant; the second read sees the second grant, and
    // the version of a third list.
    let rewrite = move |operation: &str, asked: &Value, mut answer: Value| {
        if operation == "BatchGetItem" {
            let (table, wanted) = asked["RequestItems"].as_object().unwrap().iter().next().unwrap();
            for item in answer["Responses"][table].as_array_mut().unwrap() {
                match (wanted["ConsistentRead"] == true, item["item"]["S"] == "PROFILE") {
                    (true, true) => item["listVersion"]["S"] = day(3).as_str().into(),
                    (false, false) => item["grantVersion"]["S"] = old.clone().into(),
                    _ => {}
                }
            }
        }
        answer
    };
    let store = rewriting(&embedded, usize::MAX, Arc::new(rewrite)).await.store.metered();
    let view = store.access_view(&check("f", None)).await.unwrap();
    assert!(matches!(view.feature, FeatureState::Granted(_)), "{view:?}");
    assert_eq!(store.spent().requests, 2);
}

fn string(value: &str) -> aws_sdk_dynamodb::types::AttributeValue {
    aws_sdk_dynamodb::types::AttributeValue::S(value.to_owned())
}

#[tokio::test]
async fn hot_items_keep_their_byte_budgets() {
    let embedded = Embedded::in_memory().await.unwrap();
    let stack = Stack::on(embedded.store.clone(), "secret", "token", Clock::system()).unwrap();
    stack.seed("secret").await.unwrap();
    let output = embedded.store.client().scan().table_name(&embedded.store.tables().customers).send().await.unwrap();
    let mut with_both = 0;
    for item in output.items() {
        let text = |value: &aws_sdk_dynamodb::types::AttributeValue| value.as_s().or(value.as_n()).map_or(0, String::len);
        let bytes: usize = item.iter().map(|(name, value)| name.len() + text(value)).sum();
        let name = item["item"].as_s().unwrap();
        let budget = if name == "PROFILE" { 4_096 } else { 1_024 };
        println!("{bytes} bytes: {name}");
        with_both += usize::from(item.contains_key("grant") && item.contains_key("usage"));
        assert!(bytes <= budget, "{name} has {bytes} bytes");
    }
    assert!(with_both > 0);
}

#[tokio::test]
async fn a_deletion_leaves_its_register_alone_and_a_revival_takes_its_end_away() {
    let embedded = Embedded::in_memory().await.unwrap();
    let store = &embedded.store;
    for event in
        [customer("created"), subscription("created", "ACTIVE"), list(None, &["f"]), list(Some("r"), &["f"]), measurement("f")]
    {
        applied(store, 1, event).await;
    }
    assert_eq!(write(store, 2, customer("deleted")).await.unwrap(), Outcome::Applied);
    let left = everything(store).await;
    assert_eq!(left.len(), 1, "{left:#?}");
    assert!(left[0].contains("deletionVersion") && left[0].contains("expiresAt"), "{left:#?}");
    assert!(!left[0].contains("example.com") && !left[0].contains("shard"), "{left:#?}");

    applied(store, 3, customer("updated")).await;
    let left = everything(store).await;
    assert!(left.len() == 1 && left[0].contains("deletionVersion") && !left[0].contains("expiresAt"), "{left:#?}");
}

#[tokio::test]
async fn what_comes_late_from_before_a_deletion_leaves_no_trace() {
    let embedded = Embedded::in_memory().await.unwrap();
    let store = &embedded.store;
    applied(store, 5, customer("deleted")).await;
    let before = everything(store).await;
    for event in
        [customer("created"), customer("updated"), subscription("created", "ACTIVE"), list(None, &["f"]), list(Some("r"), &["f"])]
    {
        assert_eq!(write(store, 3, event.clone()).await.unwrap(), Outcome::Stale, "{event}");
        assert_eq!(everything(store).await, before, "{event}");
    }
    // A measurement stays one write; TTL sweeps it.
    applied(store, 3, measurement("f")).await;
    let stray: Vec<String> = everything(store).await.into_iter().filter(|item| !before.contains(item)).collect();
    assert!(stray.len() == 1 && stray[0].contains("expiresAt"), "{stray:#?}");
}

/// The cancellation that follows a deletion brings nobody back, and is listed if the customer comes
/// back.
#[tokio::test]
async fn a_subscription_is_listed_exactly_while_its_customer_is_live() {
    let embedded = Embedded::in_memory().await.unwrap();
    let store = &embedded.store;
    let listed = async || {
        let mut ids = Vec::new();
        for shard in 0..shared::store::SHARDS {
            let page = store.list_page(ListIndex::Subscriptions, shard, &Range::default(), false, 10).await.unwrap();
            ids.extend(page.places.into_iter().map(|place| place.id));
        }
        ids
    };
    applied(store, 1, customer("created")).await;
    applied(store, 2, subscription("created", "ACTIVE")).await;
    assert_eq!(listed().await, [id("s")]);
    applied(store, 3, customer("deleted")).await;
    applied(store, 4, subscription("canceled", "CANCELED")).await;
    assert_eq!(listed().await, Vec::<Id>::new());
    applied(store, 5, customer("updated")).await;
    assert_eq!(listed().await, [id("s")]);
    assert!(everything(store).await.iter().all(|item| !item.contains("unlisted") && !item.contains("expiresAt")));
    applied(store, 6, customer("deleted")).await;
    assert_eq!(listed().await, Vec::<Id>::new());
}

/// An event whose handling is cut off after any number of requests is completed by its redelivery.
#[tokio::test]
async fn an_interruption_at_any_request_is_completed_by_the_redelivery() {
    let history = [
        (1, customer("created")),
        (2, subscription("created", "ACTIVE")),
        (3, list(None, &["f", "g"])),
        (3, list(Some("r"), &["f"])),
        (4, customer("deleted")),
        (5, subscription("canceled", "CANCELED")),
        (6, list(Some("r"), &["f"])),
        (7, list(None, &["f"])),
        (8, customer("updated")),
        (3, subscription("updated", "ACTIVE")),
        (9, customer("deleted")),
        (8, list(Some("r2"), &["h"])),
        (7, subscription("updated", "ACTIVE")),
    ];
    let whole = Embedded::in_memory().await.unwrap();
    for (n, event) in history.clone() {
        let _ = write(&whole.store, n, event).await.unwrap();
    }
    let expected = everything(&whole.store).await;
    let mut interruptions = 0;
    for cut in 0..40 {
        let embedded = Embedded::in_memory().await.unwrap();
        let mut was_cut = false;
        for (n, event) in history.clone() {
            let cut_off = proxied(&embedded, cut).await;
            if write(&cut_off.store, n, event.clone()).await.is_err() {
                was_cut = true;
                interruptions += 1;
                let _ = write(&embedded.store, n, event).await.unwrap();
            }
        }
        assert_eq!(everything(&embedded.store).await, expected, "cut off after {cut} requests");
        if !was_cut {
            println!("{interruptions} interruptions");
            assert!(interruptions > 30);
            return;
        }
    }
    panic!("an event takes more than 40 requests");
}

#[tokio::test]
async fn the_longest_ids_are_stored_and_found() {
    let embedded = Embedded::in_memory().await.unwrap();
    let store = &embedded.store;
    let longest = "#".repeat(Id::MAX_BYTES);
    let mut events = [list(Some(&longest), &[&longest]), subscription("created", "ACTIVE")];
    events[0]["customer"]["id"] = longest.clone().into();
    events[1]["customer"]["id"] = longest.clone().into();
    events[1]["id"] = longest.clone().into();
    for event in events {
        assert_eq!(write(store, 1, event).await.unwrap(), Outcome::Applied);
    }
    let request = AccessRequest { customer_id: id(&longest), ..check(&longest, Some(&longest)) };
    assert!(matches!(store.access_view(&request).await.unwrap().feature, FeatureState::Granted(_)));
    assert_eq!(store.subscription_ids(&id(&longest)).await.unwrap(), [id(&longest)]);
}

#[tokio::test]
async fn a_receipt_is_remembered_as_it_first_was() {
    let embedded = Embedded::in_memory().await.unwrap();
    let store = &embedded.store;
    assert_eq!(store.first_receipt("m").await.unwrap(), None);
    assert_eq!(store.remember_receipt("m", at(1), at(1)).await.unwrap(), at(1));
    assert_eq!(store.remember_receipt("m", at(2), at(2)).await.unwrap(), at(1));
    assert_eq!(store.first_receipt("m").await.unwrap(), Some(at(1)));
    let stored = items(store, &store.tables().receipts).await;
    assert!(stored.len() == 1 && stored[0].contains("expiresAt"), "{stored:?}");
}

#[tokio::test]
async fn an_empty_or_overlong_email_is_no_key_and_takes_no_event_down() {
    let embedded = Embedded::in_memory().await.unwrap();
    let store = &embedded.store;
    for (n, email) in [(1, "".to_owned()), (2, "e".repeat(3_000)), (3, "e@example.com".to_owned())] {
        let mut event = customer("updated");
        event["email"] = email.into();
        assert_eq!(write(store, n, event).await.unwrap(), Outcome::Applied);
    }
    assert_eq!(store.customers_by_email("e@example.com", 10).await.unwrap(), [id("c")]);
    assert_eq!(store.customers_by_email("", 10).await.unwrap(), Vec::<Id>::new());
    assert_eq!(day(1).time(), at(1));
}

#[tokio::test]
async fn features_that_are_read_consistently_are_the_same_ones_whole() {
    let embedded = Embedded::in_memory().await.unwrap();
    let store = &embedded.store;
    applied(store, 1, list(None, &["f", "g"])).await;
    for scope in [Some(None), None] {
        let rows = store.features_consistently(&id("c"), scope).await.unwrap();
        assert!(rows.len() == 2 && rows.iter().all(|row| row.grant.is_some()), "{rows:?}");
    }
}

#[tokio::test]
async fn a_long_list_that_is_cut_off_goes_on_with_the_next_delivery() {
    let embedded = Embedded::in_memory().await.unwrap();
    let features: Vec<String> = (0..700).map(|n| format!("f{n}")).collect();
    let long = list(None, &features.iter().map(String::as_str).collect::<Vec<_>>());
    let cut_off = proxied(&embedded, 400).await;
    assert!(write(&cut_off.store, 2, long.clone()).await.is_err());
    // What is left of it, a look at what is not, and the list itself.
    let rest = proxied(&embedded, 340).await;
    applied(&rest.store, 2, long).await;
    let rows = embedded.store.features(&id("c"), Some(None)).await.unwrap();
    assert_eq!(rows.iter().filter(|row| row.grant.is_some()).count(), 700);
}
