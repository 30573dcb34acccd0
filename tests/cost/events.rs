//! Events like those of the sample data in events/, for other customers.

use std::sync::LazyLock;

use serde_json::{Value, json};
use template::sample;

/// Entitlements and subscriptions of a customer.
pub(crate) const FEATURES: usize = 20;
const SUBSCRIPTIONS: usize = 2;

static SAMPLE: LazyLock<Vec<(String, Value)>> = LazyLock::new(|| sample::events("webhook"));

/// The sample event whose file name starts with `file`, changed to another customer and this day of January 2026.
pub(crate) fn event(file: &str, customer: usize, day: usize) -> Value {
    let (_, sample) = SAMPLE.iter().find(|(name, _)| name.starts_with(file)).unwrap();
    let mut event: Value = serde_json::from_str(sample["body"].as_str().unwrap()).unwrap();
    let id = format!("customer-{customer:04}");
    let profile = json!({"id": id, "name": "Alder Analytics GmbH", "email": format!("finance-{customer:04}@alder.example"),
                     "billingId": format!("cus_Qk7vT3pLm{customer:04}")});
    let event_customer = if file.contains("customer.") { Some(&mut event) } else { event.get_mut("customer") };
    if let Some(event_customer) = event_customer {
        for (name, value) in profile.as_object().unwrap() {
            event_customer[name] = value.clone();
        }
    }
    event["messageId"] = format!("040b084c-9b7d-40c1-b377-{day:012}").into();
    let time = format!("2026-01-{day:02}T00:00:00.000Z");
    if event.get("timestamp").is_some() {
        event["timestamp"] = time.clone().into();
    }
    if event.get("entitlementsUpdatedAt").is_some() {
        event["entitlementsUpdatedAt"] = time.into();
    }
    event
}

/// Like [`event`], with another subscription id.
pub(crate) fn subscription(file: &str, customer: usize, subscription: usize, day: usize) -> Value {
    let mut event = event(file, customer, day);
    event["id"] = format!("subscription-{customer:04}-{subscription}").into();
    event
}

/// An entitlements.updated with this many features. The sample's seven entitlements repeat under new feature ids.
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

/// A measurement of the fourth feature of [`list`].
pub(crate) fn measurement(file: &str, customer: usize, day: usize) -> Value {
    let mut event = event(file, customer, day);
    event["feature"]["id"] = "feature-api-calls-03".into();
    event
}

/// The events that create a typical customer. Pages and storage are measured on such customers.
pub(crate) fn typical_customer(customer: usize) -> Vec<Value> {
    // Later sample events carry more data than those of creation.
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
