//! Events in the words of the sample data of events/, for customers of our own.

use std::sync::LazyLock;

use serde_json::{Value, json};
use template::sample;

/// Entitlements and subscriptions of the model's customer.
pub(crate) const FEATURES: usize = 20;
const SUBSCRIPTIONS: usize = 2;

static STORY: LazyLock<Vec<(String, Value)>> = LazyLock::new(|| sample::events("webhook"));

/// The event of the sample data whose file's name begins so, of a customer of ours, on this day of January.
pub(crate) fn event(file: &str, customer: usize, day: usize) -> Value {
    let (_, told) = STORY.iter().find(|(name, _)| name.starts_with(file)).unwrap();
    let mut event: Value = serde_json::from_str(told["body"].as_str().unwrap()).unwrap();
    let id = format!("customer-{customer:04}");
    let who = json!({"id": id, "name": "Alder Analytics GmbH", "email": format!("finance-{customer:04}@alder.example"),
                     "billingId": format!("cus_Qk7vT3pLm{customer:04}")});
    let of = if file.contains("customer.") { Some(&mut event) } else { event.get_mut("customer") };
    if let Some(of) = of {
        for (name, value) in who.as_object().unwrap() {
            of[name] = value.clone();
        }
    }
    event["messageId"] = format!("040b084c-9b7d-40c1-b377-{day:012}").into();
    let at = format!("2026-01-{day:02}T00:00:00.000Z");
    if event.get("timestamp").is_some() {
        event["timestamp"] = at.clone().into();
    }
    if event.get("entitlementsUpdatedAt").is_some() {
        event["entitlementsUpdatedAt"] = at.into();
    }
    event
}

/// One of a subscription.
pub(crate) fn subscription(file: &str, customer: usize, subscription: usize, day: usize) -> Value {
    let mut event = event(file, customer, day);
    event["id"] = format!("subscription-{customer:04}-{subscription}").into();
    event
}

/// The seven features of the sample data over and over, under ids of their own.
pub(crate) fn list(customer: usize, features: usize, resource: Option<&str>, day: usize) -> Value {
    let mut event = event("08-entitlements.updated", customer, day);
    let sample = event["entitlements"].as_array().unwrap().clone();
    let entitlements = sample.iter().cycle().take(features).enumerate().map(|(n, entitlement)| {
        let mut entitlement = entitlement.clone();
        let id = format!("{}-{n:02}", entitlement["feature"]["id"].as_str().unwrap());
        entitlement["feature"]["id"] = id.into();
        entitlement
    });
    event["entitlements"] = entitlements.collect();
    event["resource"] = resource.map_or(Value::Null, |id| json!({ "id": id }));
    event
}

/// The fourth feature's usage.
pub(crate) fn measurement(file: &str, customer: usize, day: usize) -> Value {
    let mut event = event(file, customer, day);
    event["feature"]["id"] = "feature-api-calls-03".into();
    event
}

/// What makes the model's customer, which a page is of and storage is reckoned by.
pub(crate) fn history(customer: usize) -> Vec<Value> {
    // What a later event of the sample data carries, as if the first had carried it already.
    let mut created = event("10-customer.updated", customer, 1);
    created["type"] = "customer.created".into();
    let mut events = vec![created];
    for n in 0..SUBSCRIPTIONS {
        let mut created = subscription("07-subscription.updated", customer, n, 2);
        created["type"] = "subscription.created".into();
        events.push(created);
    }
    events.push(list(customer, FEATURES, None, 3));
    events.push(measurement("05-measurement.reported", customer, 4));
    events
}
