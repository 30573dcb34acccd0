//! A test customer: created through the webhook, read back, and deleted.

use domain::{access::AccessRequest, customer::CustomerState, id::Id, time::to_fixed_width};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use store::Store;

use super::{Doctor, Findings, functions::post_json};
use crate::{
    delivery::{Schedule, Sender},
    send,
    target::Deployment,
};

const FEATURE: &str = "byos-doctor-feature";

/// The test customer, as a reader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CustomerView {
    /// It exists, and has access to the feature.
    Granted,
    Deleted,
    Other,
}

pub(super) async fn send_and_verify(
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
            return findings.warn(TITLE, error.to_string(), "give --secret, or --read-only to send no test events");
        }
    };
    let now = Timestamp::now();
    let customer = format!("byos-doctor-{}", now.as_nanosecond());
    let created = json!({"id": customer, "name": "byos doctor"});
    let list = json!({"customer": {"id": customer}, "resource": null,
                      "entitlements": [{"feature": {"id": FEATURE, "featureType": "BOOLEAN"}}]});
    let is_created = send(&sender, "customer.created", now, created, findings).await
        && send(&sender, "entitlements.updated", now + SignedDuration::from_millis(1), list, findings).await;
    if is_created {
        verify(deployment, store, token, &customer, CustomerView::Granted, findings).await;
    }
    // Also after a failure, since an event may have been written.
    let is_deleted =
        send(&sender, "customer.deleted", now + SignedDuration::from_millis(2), json!({"id": customer}), findings).await;
    if is_deleted {
        verify(deployment, store, token, &customer, CustomerView::Deleted, findings).await;
    }
}

/// Sends an event. Returns whether it was applied.
async fn send(sender: &Sender, kind: &str, time: Timestamp, members: Value, findings: &mut Findings) -> bool {
    let time = to_fixed_width(time);
    let mut event = json!({"type": kind, "messageId": format!("byos-doctor-{kind}-{time}"), "timestamp": time, "entitlementsUpdatedAt": time});
    if let (Value::Object(event), Value::Object(members)) = (&mut event, members) {
        event.extend(members);
    }
    let response = sender.deliver(event.to_string().as_bytes(), |_, _| {}).await.response;
    let title = format!("test event {kind}");
    let summary = response.summary();
    match response.status() {
        Some(200) if summary == "200 applied" => {
            findings.ok(title, "applied");
            true
        }
        Some(202) => {
            findings.warn(title, summary, "the webhook could not write it and parked it in the queue: see the webhook's log");
            false
        }
        Some(401) => {
            let fix = "check the secret and the signing key: the webhook uses new ones within five minutes";
            findings.fail(title, summary, fix);
            false
        }
        _ => {
            findings.fail(title, summary, "see the webhook's log");
            false
        }
    }
}

/// Reads the customer from the store, and from /check-access if there is a token.
async fn verify(
    deployment: &Deployment,
    store: Option<&Store>,
    token: Option<&String>,
    customer: &str,
    expected: CustomerView,
    findings: &mut Findings,
) {
    let subject = if expected == CustomerView::Granted { "the test customer" } else { "the test customer's deletion" };
    if let Some(store) = store {
        let title = format!("{subject} in the tables");
        match view_in_store(store, customer).await {
            Ok(view) if view == expected => findings.ok(title, "found"),
            Ok(_) => findings.fail(
                title,
                "not found",
                "the webhook writes to other tables: compare the stack's outputs with its environment variables",
            ),
            Err(error) => findings.fail(title, error, "check the tables and your permissions"),
        }
    }
    if let (Some(urls), Some(token)) = (&deployment.urls, token) {
        let title = format!("{subject} at /check-access");
        match post_json(&urls.check_access, Some(token), &json!({"customerId": customer, "featureId": FEATURE})).await {
            Ok((status, body)) if view_in_response(&body) == expected => findings.ok(title, format!("{status}, as expected")),
            Ok((401, _)) => {
                let fix = "check the token: the function uses a new one within five minutes";
                findings.fail(title, "the token is rejected", fix);
            }
            Ok((status, body)) => {
                let reason = body.get("reason").or(body.get("error")).and_then(Value::as_str).unwrap_or_default();
                findings.fail(title, format!("{status} {reason}"), "see the function's log, and check which tables it reads");
            }
            Err(error) => findings.fail(title, error, "see the function's log"),
        }
    }
}

async fn view_in_store(store: &Store, customer: &str) -> Result<CustomerView, String> {
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
        CustomerState::Archived => CustomerView::Deleted,
        CustomerState::Live if domain::access::decide(&view, &request, Timestamp::now()).has_access() => CustomerView::Granted,
        CustomerState::Live | CustomerState::Unknown => CustomerView::Other,
    })
}

fn view_in_response(body: &Value) -> CustomerView {
    match (body.get("hasAccess"), body.get("accessDeniedReason").and_then(Value::as_str)) {
        (Some(Value::Bool(true)), _) => CustomerView::Granted,
        (_, Some("CustomerIsArchived")) => CustomerView::Deleted,
        _ => CustomerView::Other,
    }
}
