//! `byos show`.

use serde_json::{Value, json};

use crate::stack::Local;

#[tokio::test]
async fn shown_checks_equal_the_decisions_of_check_access() {
    let local = Local::with_sample_data().await;
    let page = local.byos(&["show", "customer-alder", "--json"]).await.json();
    let mut checks = 0;
    for scope in page["scopes"].as_array().unwrap() {
        for entitlement in scope["entitlements"].as_array().unwrap() {
            let request =
                json!({"customerId": "customer-alder", "featureId": entitlement["featureId"], "resourceId": scope["resourceId"]});
            let answer = local.check_access(&request).await;
            for member in ["hasAccess", "accessDeniedReason", "reason", "currentUsage", "usageLimit", "usagePeriodEnd"] {
                assert_eq!(entitlement["check"][member], answer[member], "{request} {member}");
            }
            let mut one_more = request;
            one_more["requestedUsage"] = 1.into();
            let is_denied = local.check_access(&one_more).await["hasAccess"] == json!(false);
            assert_eq!(entitlement["deniesOneMore"], json!(is_denied && answer["hasAccess"] == json!(true)), "{one_more}");
            checks += 1;
        }
    }
    assert_eq!(checks, 9);
}

#[tokio::test]
async fn each_register_names_the_event_that_wrote_it() {
    let local = Local::with_sample_data().await;
    let page = local.byos(&["show", "customer-alder", "--json"]).await.json();
    assert_eq!((&page["standing"], &page["visible"]["name"]), (&json!("live"), &json!("Alder Analytics GmbH")));
    let profile = &page["registers"]["profile"];
    assert_eq!(profile["version"], "2026-10-05T13:44:09.200Z|980615c4-60b9-4757-8f96-c50a18473a00");
    assert_eq!(
        (&profile["time"], &profile["messageId"]),
        (&json!("2026-10-05T13:44:09.200Z"), &json!("980615c4-60b9-4757-8f96-c50a18473a00"))
    );
    let own = &page["scopes"][0];
    assert_eq!((&own["list"]["value"], &page["registers"]["tombstone"]), (&json!(7), &Value::Null));
    assert_eq!(own["entitlements"].as_array().unwrap().iter().filter(|one| one["grant"].is_object()).count(), 7);
    assert_eq!(page["scopes"][1]["resourceId"], "site-berlin");
    let subscription = &page["subscriptions"][0];
    assert_eq!((&subscription["hidden"], &subscription["isListed"]), (&Value::Null, &json!(true)));
    assert_eq!(subscription["details"]["value"]["customerId"], "customer-alder");

    let text = local.byos(&["show", "customer-alder"]).await.out;
    for expected in [
        "Customer customer-alder: live, as of 20",
        "profile       2026-10-05T13:44:09.200Z 980615c4-60b9-4757-8f96-c50a18473a00",
        "  feature-seats: granted, but one more is denied\n",
        "Entitlements of the resource site-berlin",
        "subscription-alder-growth: visible\n",
    ] {
        assert!(text.contains(expected), "{expected} is not in {text}");
    }
}

#[tokio::test]
async fn a_deleted_customer_shows_its_tombstone_and_an_unknown_one_exits_with_3() {
    let local = Local::with_sample_data().await;
    let output = local.byos(&["show", "customer-birch", "--json"]).await;
    let page = output.json();
    assert_eq!((output.code, &page["standing"], &page["visible"]), (0, &json!("deleted"), &Value::Null));
    assert!(page["registers"]["tombstone"]["messageId"].is_string() && page["expiresAt"].is_string(), "{page}");
    let output = local.byos(&["show", "nobody"]).await;
    assert!(
        output.code == 3 && output.out.contains("Nothing is stored for the customer nobody in the DynamoDB on http://127.0.0.1:"),
        "{output:?}"
    );
    let output = local.byos(&["show", "nobody", "--json"]).await;
    assert_eq!((output.code, &output.json()["standing"]), (3, &json!("unknown")));
    assert_eq!(local.byos(&["show", ""]).await.code, 2);
}

#[tokio::test]
async fn hidden_data_is_shown_with_the_reason() {
    let local = Local::start().await;
    let event = |kind: &str, more: Value| {
        let mut event = json!({"type": kind, "messageId": "m", "timestamp": "2026-11-01T00:00:00Z", "customer": {"id": "c"}});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    };
    local
        .send(&[
            event("subscription.created", json!({"id": "s", "status": "ACTIVE", "plan": {"id": "p"}})),
            event("measurement.reported", json!({"feature": {"id": "f"}, "resource": {"id": "r"}, "currentUsage": 3})),
        ])
        .await;
    let page = local.byos(&["show", "c", "--json"]).await.json();
    let subscription = &page["subscriptions"][0];
    assert!(subscription["hidden"].as_str().unwrap().contains("incomplete"), "{page}");
    assert!(subscription["expiresAt"].is_string() && subscription["dates"].is_null());
    // Usage of a resource without a list.
    assert_eq!((&page["scopes"][1]["resourceId"], &page["scopes"][1]["list"]), (&json!("r"), &Value::Null));
    let usage = &page["scopes"][1]["entitlements"][0];
    assert_eq!((&usage["grant"], &usage["usage"]["value"]["currentUsage"]), (&Value::Null, &json!(3.0)));
    assert_eq!(usage["check"]["accessDeniedReason"], "CustomerResourceNotFound");
}
