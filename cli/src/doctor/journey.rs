//! A customer of its own, sent the way that Stigg's events take, asked for, and deleted again.

use domain::{access::AccessRequest, customer::CustomerState, id::Id, time::to_fixed_width};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use store::Store;

use super::{Doctor, Findings, functions::ask};
use crate::{
    delivery::{Schedule, Sender},
    send,
    target::Deployment,
};

const FEATURE: &str = "byos-doctor-feature";

/// What is seen of the customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Granted,
    Deleted,
    Otherwise,
}

pub(super) async fn take(
    options: &Doctor,
    deployment: &Deployment,
    store: Option<&Store>,
    token: Option<&String>,
    findings: &mut Findings,
) {
    const TITLE: &str = "test events";
    let sender = send::sender(deployment, options.secret.as_deref(), options.signing_key.as_deref(), Schedule::ONCE).await;
    let sender = match sender {
        Ok(sender) => sender,
        Err(error) => {
            return findings.warn(TITLE, error.to_string(), "give --secret to have events sent, or --read-only to leave it out");
        }
    };
    let now = Timestamp::now();
    let customer = format!("byos-doctor-{}", now.as_nanosecond());
    let created = json!({"id": customer, "name": "byos doctor"});
    let list = json!({"customer": {"id": customer}, "resource": null,
                      "entitlements": [{"feature": {"id": FEATURE, "featureType": "BOOLEAN"}}]});
    let is_taken = send(&sender, "customer.created", now, created, findings).await
        && send(&sender, "entitlements.updated", now + SignedDuration::from_millis(1), list, findings).await;
    if is_taken {
        look(deployment, store, token, &customer, Seen::Granted, findings).await;
    }
    // Also after a failure: something may have been written.
    let is_deleted =
        send(&sender, "customer.deleted", now + SignedDuration::from_millis(2), json!({"id": customer}), findings).await;
    if is_deleted {
        look(deployment, store, token, &customer, Seen::Deleted, findings).await;
    }
}

/// Sends one event, and says whether it is written.
async fn send(sender: &Sender, kind: &str, time: Timestamp, more: Value, findings: &mut Findings) -> bool {
    let time = to_fixed_width(time);
    let mut event = json!({"type": kind, "messageId": format!("byos-doctor-{kind}-{time}"), "timestamp": time, "entitlementsUpdatedAt": time});
    if let (Value::Object(event), Value::Object(more)) = (&mut event, more) {
        event.extend(more);
    }
    let answer = sender.deliver(event.to_string().as_bytes(), |_, _| {}).await.answer;
    let title = format!("test event {kind}");
    let words = answer.words();
    match answer.status() {
        Some(200) if words == "200 applied" => {
            findings.ok(title, "applied");
            true
        }
        Some(202) => {
            findings.warn(title, words, "the store did not take it, so it waits in the queue: look at the webhook's log");
            false
        }
        Some(401) => {
            findings.fail(title, words, "the webhook has another secret or signing key: a new one is taken within five minutes");
            false
        }
        _ => {
            findings.fail(title, words, "look at the webhook's log");
            false
        }
    }
}

/// Looks for the customer through the store, and through /check-access where there is a token.
async fn look(
    deployment: &Deployment,
    store: Option<&Store>,
    token: Option<&String>,
    customer: &str,
    expected: Seen,
    findings: &mut Findings,
) {
    let what = if expected == Seen::Granted { "the test customer" } else { "the test customer's deletion" };
    if let Some(store) = store {
        let title = format!("{what} in the tables");
        match in_store(store, customer).await {
            Ok(seen) if seen == expected => findings.ok(title, "there"),
            Ok(_) => findings.fail(
                title,
                "not there",
                "the webhook writes to other tables: compare the stack's outputs with its variables",
            ),
            Err(error) => findings.fail(title, error, "check the tables and the permissions of whoever looks"),
        }
    }
    if let (Some(urls), Some(token)) = (&deployment.urls, token) {
        let title = format!("{what} at /check-access");
        match ask(&urls.check_access, Some(token), &json!({"customerId": customer, "featureId": FEATURE})).await {
            Ok((status, answer)) if seen_in(&answer) == expected => findings.ok(title, format!("{status}, as it should be")),
            Ok((401, _)) => {
                findings.fail(title, "the token is refused", "check the token: a new one is taken within five minutes")
            }
            Ok((status, answer)) => {
                let reason = answer.get("reason").or(answer.get("error")).and_then(Value::as_str).unwrap_or_default();
                findings.fail(title, format!("{status} {reason}"), "look at the function's log, and at the table it reads");
            }
            Err(error) => findings.fail(title, error, "look at the function's log"),
        }
    }
}

async fn in_store(store: &Store, customer: &str) -> Result<Seen, String> {
    let id = |text: &str| Id::try_from(text).map_err(|error| error.to_string());
    let request = AccessRequest {
        customer_id: id(customer)?,
        feature_id: id(FEATURE)?,
        resource_id: None,
        requested_usage: 0.0,
        requested_values: Vec::new(),
    };
    let view = store.access_view(&request).await.map_err(|error| error.to_string())?;
    Ok(match view.customer_state {
        CustomerState::Archived => Seen::Deleted,
        CustomerState::Live if domain::access::decide(&view, &request, Timestamp::now()).has_access() => Seen::Granted,
        CustomerState::Live | CustomerState::Unknown => Seen::Otherwise,
    })
}

fn seen_in(answer: &Value) -> Seen {
    match (answer.get("hasAccess"), answer.get("accessDeniedReason").and_then(Value::as_str)) {
        (Some(Value::Bool(true)), _) => Seen::Granted,
        (_, Some("CustomerIsArchived")) => Seen::Deleted,
        _ => Seen::Otherwise,
    }
}
