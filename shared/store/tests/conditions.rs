//! The store on the embedded DynamoDB: the cost of events and checks, the remains of deletions, delayed writes, and
//! interruptions.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    slice,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{
    access::AccessRequest,
    event::{self, Event, Received},
    id::Id,
    version::Version,
};
use futures_util::{StreamExt as _, stream};
use local::embedded::Embedded;
use serde_json::{Value, json};
use store::{
    CustomerChange, Environment, Index, Outcome, Projection, SHARDS, SortKeyRange, Store, StoreCost, SubscriptionWrite, Witness,
    Witnesses,
};
use testkit::{
    proxy::Fault,
    store::{applied, at, day, everything, id, items, proxied, write},
};

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

fn parsed(event: Value) -> Event {
    match event::parse(event.to_string().as_bytes()) {
        Ok(Received::Handled(handled)) => handled.event,
        other => panic!("{other:?}"),
    }
}

async fn cost(store: &Store, n: u8, event: Value) -> (u32, f64) {
    let store = store.with_cost_tracking();
    assert_eq!(write(&store, n, event.clone()).await.unwrap(), Outcome::Applied, "{event}");
    let StoreCost { requests, capacity } = store.cost();
    (requests, capacity)
}

#[tokio::test]
async fn events_cost_the_requests_and_units_that_docs_cost_assumes() {
    let embedded = Embedded::in_memory().await.unwrap();
    let store = &embedded.store;
    let many: Vec<String> = (0..50).map(|n| format!("f{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let trial_expired = json!({"type": "subscription.trial_expired", "id": "s", "status": "ACTIVE"});
    let expired = json!({"type": "subscription.expired", "id": "s", "status": "ACTIVE", "startDate": "2026-01-01T00:00:00Z"});
    let mut differences = Vec::new();
    for (what, n, event, expected) in [
        // The item, and an entry in each of four indexes.
        ("customer.created", 1, customer("created"), (1, 5.0)),
        ("customer.updated", 2, customer("updated"), (1, 1.0)),
        // The pointer, the customer, and the subscription with an entry in each of three indexes.
        ("subscription.created", 3, subscription("created", "IN_TRIAL"), (3, 6.0)),
        // The subscription and the customer.
        ("subscription.updated", 4, subscription("updated", "ACTIVE"), (2, 2.0)),
        // The list and the embedded customer are in one item.
        ("entitlements.updated, 1 feature", 5, list(None, &["f0"]), (1, 1.0)),
        ("entitlements.updated, 50 features", 6, list(None, &many), (1, 2.0)),
        // An update that fails because the item is missing, the item, a read of the customer, the removal of the item's
        // expiry, and the customer.
        ("entitlements.updated, new resource", 7, list(Some("r"), &["f0"]), (5, 5.0)),
        ("entitlements.updated, resource, 1 feature", 8, list(Some("r"), &["f0"]), (2, 3.0)),
        ("measurement.reported", 9, measurement("f0"), (1, 1.0)),
        ("subscription.canceled", 10, subscription("canceled", "CANCELED"), (1, 1.0)),
        ("subscription.trial_expired", 11, trial_expired, (1, 1.0)),
        ("subscription.expired", 12, expired, (1, 1.0)),
        // Two reads, the tombstone with four index entries, the resource, usage, the subscription with three index entries,
        // and its pointer.
        ("customer.deleted", 13, customer("deleted"), (8, 16.0)),
    ] {
        let actual = cost(store, n, event).await;
        println!("{what}: {} requests, {} capacity units", actual.0, actual.1);
        if actual != expected {
            differences.push(format!("{what}: {actual:?} instead of {expected:?}"));
        }
    }
    assert!(differences.is_empty(), "{differences:#?}");
}

/// An import writes registers of several events together.
#[tokio::test]
async fn a_new_customer_with_its_list_is_one_request_and_a_new_subscription_three() {
    let embedded = Embedded::in_memory().await.unwrap();
    let (created, shown) = (day(1), day(2));
    let Event::Customer { customer_id, profile, .. } = parsed(customer("updated")) else { panic!("no customer") };
    let Event::Entitlements { lists, .. } = parsed(list(None, &["f0"])) else { panic!("no list") };
    let list = Some((&shown, &lists[0]));
    let customer =
        CustomerChange { profile: Some((&shown, &profile)), creation: Some(&created), list, ..CustomerChange::default() };
    let Event::Subscription { subscription_id, change, .. } = parsed(subscription("updated", "ACTIVE")) else {
        panic!("no subscription")
    };
    let subscription = SubscriptionWrite { change: &change, version: &shown, creation: Some(&created) };
    for (expected, requests) in [(Outcome::Applied, [1, 3]), (Outcome::Stale, [1, 4])] {
        let store = embedded.store.with_cost_tracking();
        assert_eq!(store.write_customer(&customer_id, &customer, at(2)).await.unwrap(), expected);
        assert_eq!(store.cost().requests, requests[0]);
        let store = embedded.store.with_cost_tracking();
        assert_eq!(store.write_subscription(&subscription_id, subscription, None, at(2)).await.unwrap(), expected);
        assert_eq!(store.cost().requests, requests[1]);
    }
    let row = embedded.store.customers(slice::from_ref(&customer_id), Projection::Entitlements).await.unwrap().remove(0);
    let seen = row.registers.visible().unwrap();
    assert_eq!((seen.created_at.as_deref(), seen.updated_at.as_str()), (Some(created.time_text()), shown.time_text()));
    assert_eq!(row.scope.list.unwrap().version, shown);
    let row = embedded.store.subscriptions(&[subscription_id]).await.unwrap().remove(0);
    let seen = row.registers.visible(None).unwrap();
    assert_eq!((seen.created_at.as_deref(), seen.updated_at.as_str()), (Some(created.time_text()), shown.time_text()));
}

#[tokio::test]
async fn a_check_is_one_request_for_any_number_of_entitlements() {
    let (customer_level, with_resource) = (1.0, 1.5);
    for count in [5, 20, 100] {
        let embedded = Embedded::in_memory().await.unwrap();
        applied(&embedded.store, 1, customer("created")).await;
        let features: Vec<String> = (0..count).map(|n| format!("f{n}")).collect();
        let features: Vec<&str> = features.iter().map(String::as_str).collect();
        applied(&embedded.store, 2, list(None, &features)).await;
        applied(&embedded.store, 2, list(Some("r"), &features)).await;
        applied(&embedded.store, 3, measurement("f0")).await;
        for (resource, max_capacity) in [(None, customer_level), (Some("r"), with_resource)] {
            let store = embedded.store.with_cost_tracking();
            let view = store.access_view(&check("f0", resource)).await.unwrap();
            assert!(view.entitlement.is_some());
            let cost = store.cost();
            assert_eq!(cost.requests, 1);
            assert!(cost.capacity <= max_capacity, "{count} entitlements: {cost:?}");
            // A denied check is one request too.
            let store = embedded.store.with_cost_tracking();
            assert_eq!(store.access_view(&check("absent", resource)).await.unwrap().entitlement, None);
            assert_eq!(store.cost().requests, 1);
        }
    }
}

/// A list is one register in one item, written by one request.
#[tokio::test]
async fn readers_never_see_a_part_of_a_list() {
    let embedded = Embedded::in_memory().await.unwrap();
    applied(&embedded.store, 1, customer("created")).await;
    let features: Vec<String> = (0..300).map(|n| format!("f{n:03}")).collect();
    let old: Vec<&str> = features.iter().take(200).map(String::as_str).collect();
    let new: Vec<&str> = features.iter().skip(100).map(String::as_str).collect();
    applied(&embedded.store, 2, list(None, &old)).await;
    let reader = embedded.store.clone();
    let (old_list, new_list) = (old.join(","), new.join(","));
    let reads = tokio::spawn(async move {
        let mut reads = Vec::new();
        while reads.last() != Some(&new_list) && reads.len() < 10_000 {
            let row = reader.customers(&[id("c")], Projection::Entitlements).await.unwrap().pop().unwrap();
            let list = row.scope.visible_list(None).unwrap();
            reads.push(list.value.iter().map(|(feature, _)| feature).collect::<Vec<_>>().join(","));
        }
        reads
    });
    applied(&embedded.store, 3, list(None, &new)).await;
    let mut reads = reads.await.unwrap();
    reads.dedup();
    assert!(reads == [old_list, new.join(",")] || reads == [new.join(",")], "{} lists", reads.len());
    let unavailable = proxied(&embedded, 0).await;
    assert!(write(&unavailable.store, 4, list(None, &old)).await.is_err());
    assert_eq!(embedded.store.access_view(&check("f250", None)).await.unwrap().list, Some(200));
}

/// The capacity of frequent requests depends on the size of these items. The list and the usage have Stigg's documented form.
#[tokio::test]
async fn hot_items_keep_their_byte_budgets() {
    let embedded = Embedded::in_memory().await.unwrap();
    let store = &embedded.store;
    applied(store, 1, customer("created")).await;
    let names: Vec<String> = (0..20).map(|n| format!("feature-number-{n:02}")).collect();
    let entitlement = |name: &String| {
        json!({
            "feature": {"id": name, "name": format!("Feature {name}"), "description": "What this feature is about, in a few words",
                        "featureType": "NUMBER", "meterType": "FLUCTUATING", "unit": "unit", "units": "units", "status": "ACTIVE",
                        "enumConfiguration": null},
            "usageLimit": 1_000, "hasUnlimitedUsage": false, "hasSoftLimit": false, "currentUsage": 10,
            "usagePeriodAnchor": "2026-01-01T00:00:00.000Z", "usagePeriodStart": "2026-11-01T00:00:00.000Z",
            "usagePeriodEnd": "2026-12-01T00:00:00.000Z", "resetPeriod": "MONTH",
            "resetPeriodConfiguration": {"accordingTo": "SubscriptionStart"}, "enumValues": null, "creditBalance": null,
        })
    };
    let mut event = list(None, &[]);
    event["entitlements"] = names.iter().map(entitlement).collect();
    applied(store, 2, event).await;
    let digest = "d".repeat(32);
    for name in names.iter().take(8) {
        let usage = serde_json::from_value(json!({
            "currentUsage": 1_234, "usagePeriodAnchor": "2026-01-01T00:00:00Z", "usagePeriodStart": "2026-11-01T00:00:00Z",
            "usagePeriodEnd": "2026-12-01T00:00:00Z", "resetPeriod": "MONTH",
        }))
        .unwrap();
        // The longest version: an event without a time, with its receipt's messageId and digest.
        let version = Version::new(at(3), &format!("8c8a5f3c-0b3f-4c58-9d6f-1f3f3a1c2b4d|{digest}"));
        assert_eq!(store.write_usage(&id("c"), None, &id(name), &version, &usage, at(3)).await.unwrap(), Outcome::Applied);
    }
    let output = store.client().scan().table_name(&store.tables().customers).send().await.unwrap();
    for (name, budget) in [("PROFILE", 4_096), ("USAGE#", 1_024)] {
        let item = output.items().iter().find(|item| item["item"].as_s().unwrap() == name).unwrap();
        let length = |value: &AttributeValue| match value {
            AttributeValue::S(text) | AttributeValue::N(text) => text.len(),
            AttributeValue::B(bytes) => bytes.as_ref().len(),
            other => panic!("{other:?}"),
        };
        let bytes: usize = item.iter().map(|(name, value)| name.len() + length(value)).sum();
        println!("{name}: {bytes} bytes");
        assert!(bytes <= budget, "{name} has {bytes} bytes");
    }
}

/// All remaining items are tombstones: they expire and have no personal data, list or index key.
fn assert_only_tombstones(left: &[String], count: usize) {
    assert_eq!(left.len(), count, "{left:#?}");
    for item in left {
        assert!(item.contains("tombstone") && item.contains("expiresAt"), "{item}");
        assert!(!item.contains("example.com") && !item.contains("shard") && !item.contains("list="), "{item}");
    }
}

#[tokio::test]
async fn a_deletion_leaves_only_tombstones_and_a_revival_removes_their_expiry() {
    let embedded = Embedded::in_memory().await.unwrap();
    let store = &embedded.store;
    for event in
        [customer("created"), subscription("created", "ACTIVE"), list(None, &["f"]), list(Some("r"), &["f"]), measurement("f")]
    {
        applied(store, 1, event).await;
    }
    assert_eq!(write(store, 2, customer("deleted")).await.unwrap(), Outcome::Applied);
    // PROFILE, RESOURCE, USAGE and the subscription.
    assert_only_tombstones(&everything(store).await, 4);

    for event in [customer("updated"), subscription("created", "ACTIVE"), list(Some("r"), &["f"]), measurement("f")] {
        applied(store, 3, event).await;
    }
    let left = everything(store).await;
    assert!(left.len() == 5 && left.iter().all(|item| !item.contains("expiresAt")), "{left:#?}");
}

#[tokio::test]
async fn late_events_from_before_a_deletion_leave_only_tombstones() {
    let embedded = Embedded::in_memory().await.unwrap();
    let store = &embedded.store;
    applied(store, 5, customer("deleted")).await;
    let before = everything(store).await;
    assert_only_tombstones(&before, 2);
    for event in [customer("created"), customer("updated"), list(None, &["f"]), measurement("f")] {
        assert_eq!(write(store, 3, event.clone()).await.unwrap(), Outcome::Stale, "{event}");
        assert_eq!(everything(store).await, before, "{event}");
    }
    // A subscription and a resource that the deletion did not find become tombstones.
    for (count, event) in [(3, subscription("created", "ACTIVE")), (4, list(Some("r"), &["f"]))] {
        assert_eq!(write(store, 3, event.clone()).await.unwrap(), Outcome::Stale, "{event}");
        assert_only_tombstones(&everything(store).await, count);
    }
}

/// The deletion is interrupted after the tombstone. Then the subscription's event and the deletion are delivered again.
#[tokio::test]
async fn a_redelivered_event_keeps_the_pointer_of_an_unswept_subscription() {
    let embedded = Embedded::in_memory().await.unwrap();
    let store = &embedded.store;
    applied(store, 1, customer("created")).await;
    applied(store, 2, subscription("created", "ACTIVE")).await;
    let cut_off = proxied(&embedded, 2).await;
    assert!(write(&cut_off.store, 5, customer("deleted")).await.is_err());
    assert_eq!(write(store, 2, subscription("created", "ACTIVE")).await.unwrap(), Outcome::Stale);
    assert_eq!(write(store, 5, customer("deleted")).await.unwrap(), Outcome::Stale);
    assert_only_tombstones(&everything(store).await, 3);
}

/// A cancellation after a deletion does not resurrect the customer. It is in the indexes once the customer is live again.
#[tokio::test]
async fn a_subscription_is_in_the_indexes_only_while_its_customer_is_live() {
    let embedded = Embedded::in_memory().await.unwrap();
    let store = &embedded.store;
    let listed = || indexed(store, Index::Subscriptions);
    applied(store, 1, customer("created")).await;
    applied(store, 2, subscription("created", "ACTIVE")).await;
    assert_eq!(listed().await, [id("s")]);
    applied(store, 3, customer("deleted")).await;
    applied(store, 4, subscription("canceled", "CANCELED")).await;
    assert_eq!(listed().await, Vec::<Id>::new());
    applied(store, 5, customer("updated")).await;
    assert_eq!(listed().await, [id("s")]);
    let stored = items(store, &store.tables().subscriptions).await;
    assert!(!stored[0].contains("expiresAt"), "{stored:?}");
    applied(store, 6, customer("deleted")).await;
    assert_eq!(listed().await, Vec::<Id>::new());
}

async fn indexed(store: &Store, index: Index) -> Vec<Id> {
    let mut ids = Vec::new();
    for shard in 0..SHARDS {
        let page = store.query_index(index, shard, &SortKeyRange::default(), false, 10).await.unwrap();
        ids.extend(page.entries.into_iter().map(|entry| entry.id));
    }
    ids
}

/// DynamoDB may execute a request after its sender timed out. Here each write of each event is delayed until a deletion is
/// done.
#[tokio::test]
async fn delayed_writes_do_not_resurrect_anything_after_a_deletion() {
    let mut resource_measurement = measurement("f");
    resource_measurement["resource"] = json!({"id": "r"});
    let events = [
        customer("updated"),
        subscription("created", "ACTIVE"),
        subscription("canceled", "CANCELED"),
        list(None, &["f"]),
        list(Some("r"), &["f"]),
        measurement("f"),
        resource_measurement,
    ];
    let late = events.iter().flat_map(|event| (0..6).map(move |held| delayed_write(event.clone(), held)));
    // Each has its own DynamoDB. With more than six at once, the client times out.
    let writes: usize = stream::iter(late).buffer_unordered(6).collect::<Vec<_>>().await.into_iter().sum();
    println!("{writes} delayed writes");
    assert!(writes > 12);
}

/// Delays one write of an event until a deletion is done. Returns 0 if the event has fewer writes.
async fn delayed_write(event: Value, held: usize) -> usize {
    let embedded = Embedded::in_memory().await.unwrap();
    let store = &embedded.store;
    applied(store, 1, customer("created")).await;
    let proxied = proxied(&embedded, usize::MAX).await;
    let writes = AtomicUsize::new(0);
    proxied.proxy.fail(move |operation, _| {
        let is_write = ["UpdateItem", "PutItem", "DeleteItem"].contains(&operation);
        (is_write && writes.fetch_add(1, Ordering::SeqCst) == held).then_some(Fault::Late(Duration::from_millis(1_500)))
    });
    if tokio::time::timeout(Duration::from_millis(700), write(&proxied.store, 3, event.clone())).await.is_ok() {
        return 0;
    }
    applied(store, 5, customer("deleted")).await;
    proxied.proxy.settled().await;
    for index in [Index::Customers, Index::Subscriptions, Index::SubscriptionsByCustomer] {
        assert_eq!(indexed(store, index).await, [], "{event} {held}");
    }
    for item in everything(store).await {
        assert!(item.contains("expiresAt") || item.contains("SUBSCRIPTION#"), "{event} {held}: {item}");
    }
    applied(store, 6, customer("updated")).await;
    for resource in [None, Some("r")] {
        assert_eq!(store.access_view(&check("f", resource)).await.unwrap().entitlement, None, "{event} {held}");
    }
    assert_eq!(indexed(store, Index::Subscriptions).await, [], "{event} {held}");
    1
}

/// One process removes the mark of a waiting subscription with a delay. In the meantime another process deletes the customer
/// and sets the mark again.
#[tokio::test]
async fn a_delayed_removal_does_not_remove_a_newer_waiting_mark() {
    let embedded = Embedded::in_memory().await.unwrap();
    let store = &embedded.store;
    applied(store, 1, customer("created")).await;
    applied(store, 5, customer("deleted")).await;
    applied(store, 9, subscription("canceled", "CANCELED")).await;
    let proxied = proxied(&embedded, usize::MAX).await;
    let is_held = Arc::new(AtomicBool::new(false));
    let held = is_held.clone();
    proxied.proxy.fail(move |operation, request| {
        let is_removal = operation == "UpdateItem"
            && request["UpdateExpression"].to_string().contains("REMOVE")
            && request["ExpressionAttributeNames"].to_string().contains("\"waiting\"");
        held.fetch_or(is_removal, Ordering::SeqCst);
        is_removal.then_some(Fault::Late(Duration::from_millis(1_000)))
    });
    let other = proxied.store.clone();
    let revival = tokio::spawn(async move { write(&other, 7, customer("updated")).await });
    while !is_held.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(indexed(store, Index::Subscriptions).await, [id("s")]);
    applied(store, 8, customer("deleted")).await;
    assert_eq!(indexed(store, Index::Subscriptions).await, []);
    assert_eq!(revival.await.unwrap().unwrap(), Outcome::Applied);
    applied(store, 10, customer("updated")).await;
    assert_eq!(indexed(store, Index::Subscriptions).await, [id("s")]);
    let stored = items(store, &store.tables().subscriptions).await;
    assert!(!stored[0].contains("expiresAt"), "{stored:?}");
}

/// Each event is interrupted after any number of requests.
#[tokio::test]
async fn a_redelivery_completes_an_event_interrupted_at_any_request() {
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
    let uninterrupted = Embedded::in_memory().await.unwrap();
    for (n, event) in history.clone() {
        let _ = write(&uninterrupted.store, n, event).await.unwrap();
    }
    let expected = everything(&uninterrupted.store).await;
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
    assert!(store.access_view(&request).await.unwrap().entitlement.is_some());
    assert_eq!(store.subscription_ids(&id(&longest)).await.unwrap(), [id(&longest)]);
}

#[tokio::test]
async fn the_first_receipt_is_kept() {
    let embedded = Embedded::in_memory().await.unwrap();
    let store = &embedded.store;
    assert_eq!(store.first_receipt("m").await.unwrap(), None);
    assert_eq!(store.get_or_create_receipt("m", at(1), at(1)).await.unwrap(), at(1));
    assert_eq!(store.get_or_create_receipt("m", at(2), at(2)).await.unwrap(), at(1));
    assert_eq!(store.first_receipt("m").await.unwrap(), Some(at(1)));
    let stored = items(store, &store.tables().receipts).await;
    assert!(stored.len() == 1 && stored[0].contains("expiresAt"), "{stored:?}");
}

#[tokio::test]
async fn empty_and_too_long_emails_are_not_index_keys_and_do_not_fail_the_event() {
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

/// Deletes a subscription that Stigg does not know. The first attempt is interrupted after any number of requests.
#[tokio::test]
async fn a_repeated_deletion_of_a_subscription_completes_it_and_newer_events_win() {
    for successes in 0..5 {
        let embedded = Embedded::in_memory().await.unwrap();
        let store = &embedded.store;
        applied(store, 1, customer("created")).await;
        applied(store, 2, subscription("created", "ACTIVE")).await;
        let (subscription_id, customer_id) = (id("s"), id("c"));
        let delete = async |store: &Store| store.delete_subscription(&subscription_id, &customer_id, &day(5), at(5)).await;
        let stored = async || store.stored_customer(&customer_id).await.unwrap().unwrap().subscriptions;

        let _ = delete(&proxied(&embedded, successes).await.store).await;
        let _ = delete(store).await.unwrap();
        assert_eq!(stored().await.len(), 0, "after {successes} requests");
        assert_eq!(write(store, 4, subscription("canceled", "CANCELED")).await.unwrap(), Outcome::Stale);
        assert_eq!(write(store, 4, json!({"type": "subscription.expired", "id": "s"})).await.unwrap(), Outcome::Stale);
        assert_eq!(stored().await.len(), 0, "a late event is stored");
        applied(store, 6, subscription("updated", "ACTIVE")).await;
        assert!(matches!(&stored().await[..], [subscription] if subscription.is_listed));
        assert_eq!(delete(store).await.unwrap(), Outcome::Stale);
        assert!(matches!(&stored().await[..], [subscription] if subscription.is_listed), "a newer event is deleted");
        let other = id("other");
        assert_eq!(store.delete_subscription(&subscription_id, &other, &day(7), at(7)).await.unwrap(), Outcome::Stale);
        assert!(matches!(&stored().await[..], [subscription] if subscription.is_listed), "another customer's is deleted");
    }
}

#[tokio::test]
async fn the_first_environment_is_kept_until_it_is_replaced_and_no_customer_shares_its_item() {
    let embedded = Embedded::in_memory().await.unwrap();
    let store = &embedded.store;
    let (first, second) = (id("first"), id("second"));
    assert_eq!(store.environment().await.unwrap(), Environment::default());
    assert_eq!(store.remember_environment_id(&first).await.unwrap(), first);
    assert_eq!(store.remember_environment_id(&second).await.unwrap(), first);
    store.replace_environment_id(Some(&second)).await.unwrap();
    let customers = vec![Witness { customer_id: id("c"), created_at: at(1) }];
    let witnesses = Witnesses { read_at: at(2), customers };
    store.replace_witnesses(&witnesses).await.unwrap();
    let remembered = Environment { environment_id: Some(second), witnesses: Some(witnesses.clone()) };
    assert_eq!(store.environment().await.unwrap(), remembered);
    store.replace_environment_id(None).await.unwrap();
    assert_eq!(store.environment().await.unwrap(), Environment { environment_id: None, witnesses: Some(witnesses) });
    assert!(Id::try_from("\0").is_err());
    // A customer may have the item's name as its id.
    applied(store, 1, json!({"type": "customer.created", "id": "ENVIRONMENT"})).await;
    assert_eq!(store.remember_environment_id(&first).await.unwrap(), first);
}
