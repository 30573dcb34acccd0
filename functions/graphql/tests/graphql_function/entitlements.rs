//! Entitlements as JSON and typed, and access checks.

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};

use crate::stack::{Stack, post, version};

fn metered(feature: &str, more: Value) -> (&str, Value) {
    let mut entitlement =
        json!({"feature": {"id": feature, "name": "Calls", "featureType": "NUMBER", "meterType": "Incremental"}});
    entitlement.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    (feature, entitlement)
}

const LIST: &str = "{ customer(customerId: \"c\") { entitlements entitlementList { feature { featureId name featureType meterType } \
                    usageLimit currentUsage usagePeriodStart usagePeriodEnd hasUnlimitedUsage hasSoftLimit resetPeriod enumValues \
                    creditBalance { remainingBalance } } } }";

#[tokio::test]
async fn entitlements_are_the_newest_list_with_current_usage() {
    let stack = Stack::start().await;
    stack.customer("c", 0).await;
    stack.list("c", None, 1, &[metered("gone", json!({}))]).await;
    let grants = [
        metered("b", json!({"usageLimit": 10, "currentUsage": 1, "hasSoftLimit": true})),
        metered(
            "a",
            json!({"usageLimit": 5, "usagePeriodAnchor": "2026-01-01T00:00:00Z", "usagePeriodEnd": "2026-02-01T00:00:00Z", "resetPeriod": "MONTH", "currentUsage": 4}),
        ),
    ];
    stack.list("c", None, 2, &grants).await;
    stack.usage("c", "b", 3, json!({"currentUsage": 7.5})).await;
    stack.usage("c", "unknown", 3, json!({"currentUsage": 1})).await;
    let customer = &stack.data(LIST, Value::Null).await["customer"];
    let json = customer["entitlements"].as_array().unwrap();
    let features: Vec<_> = json.iter().map(|entitlement| entitlement["feature"]["id"].as_str().unwrap()).collect();
    assert_eq!(features, ["a", "b"]);
    assert_eq!(
        (&json[1]["currentUsage"], &json[1]["usageLimit"], &json[1]["creditBalance"]),
        (&json!(7.5), &json!(10), &Value::Null)
    );
    let typed = &customer["entitlementList"];
    assert_eq!(typed[1]["currentUsage"], 7.5);
    assert_eq!(typed[1]["hasSoftLimit"], true);
    // The reported period has ended: in the current one, usage is 0.
    assert_eq!((&json[0]["currentUsage"], &typed[0]["currentUsage"]), (&json!(4), &json!(0.0)));
    assert_eq!(typed[0]["usagePeriodStart"], "2026-11-01T00:00:00.000Z");
    assert_eq!(typed[0]["usagePeriodEnd"], "2026-12-01T00:00:00.000Z");
}

#[tokio::test]
async fn without_a_list_or_with_an_empty_one_there_are_no_entitlements() {
    let stack = Stack::start().await;
    stack.customer("c", 0).await;
    assert_eq!(stack.data(LIST, Value::Null).await["customer"]["entitlements"], json!([]));
    stack.list("c", None, 1, &[metered("a", json!({}))]).await;
    stack.list("c", None, 2, &[]).await;
    let customer = &stack.data(LIST, Value::Null).await["customer"];
    assert_eq!((&customer["entitlements"], &customer["entitlementList"]), (&json!([]), &json!([])));
}

#[tokio::test]
async fn data_older_than_a_tombstone_stays_hidden_after_a_revival() {
    let stack = Stack::start().await;
    stack.customer("c", 1).await;
    stack.list("c", None, 2, &[metered("a", json!({}))]).await;
    stack.list("c", Some("r"), 2, &[metered("a", json!({}))]).await;
    stack.subscription("s", "c", 2, "ACTIVE").await;
    stack.delete("c", 3).await;
    let query = "{ customer(customerId: \"c\") { createdAt entitlements resources { resourceId } subscriptions { totalCount } } \
                 subscription(subscriptionId: \"s\") { status } customers { totalCount } subscriptions { totalCount } }";
    let gone = stack.data(query, Value::Null).await;
    assert_eq!(
        gone,
        json!({"customer": null, "subscription": null, "customers": {"totalCount": 0}, "subscriptions": {"totalCount": 0}})
    );
    stack.list("c", None, 4, &[metered("b", json!({}))]).await;
    let revived = stack.data(query, Value::Null).await;
    let customer = &revived["customer"];
    assert_eq!(customer["createdAt"], Value::Null);
    assert_eq!(customer["entitlements"].as_array().unwrap().len(), 1);
    assert_eq!((&customer["resources"], &customer["subscriptions"]["totalCount"]), (&json!([]), &json!(0)));
    assert_eq!(revived["customers"]["totalCount"], 1);
}

#[tokio::test]
async fn data_older_than_a_tombstone_is_hidden_before_it_is_swept() {
    let stack = Stack::start().await;
    stack.list("c", None, 1, &[metered("a", json!({})), metered("b", json!({}))]).await;
    stack.subscription("s", "c", 1, "ACTIVE").await;
    stack.customer("c", 5).await;
    stack.list("c", None, 5, &[metered("b", json!({}))]).await;
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let set = |item: &str, update: &str, value: &str| {
        let request = stack.store().client().update_item().table_name(&stack.store().tables().customers);
        let request = request.key("customerId", text("c")).key("item", text(item)).update_expression(update);
        request.expression_attribute_values(":version", text(value)).send()
    };
    set("PROFILE", "SET tombstone = :version", version(3).as_str()).await.unwrap();
    set("PROFILE", "SET listVersion = :version", version(4).as_str()).await.unwrap();
    let query = "{ customer(customerId: \"c\") { entitlementList { feature { featureId } } subscriptions { totalCount } } \
                 subscription(subscriptionId: \"s\") { status } subscriptions { nodes { subscriptionId } } \
                 customers { nodes { subscriptions { totalCount } } } }";
    let data = stack.data(query, Value::Null).await;
    let nothing = json!({"totalCount": 0});
    assert_eq!(data["customer"], json!({"entitlementList": [{"feature": {"featureId": "b"}}], "subscriptions": nothing}));
    assert_eq!((&data["subscription"], &data["subscriptions"]["nodes"]), (&Value::Null, &json!([])));
    assert_eq!(data["customers"]["nodes"][0]["subscriptions"], nothing);
}

#[tokio::test]
async fn resources_have_their_own_entitlements_and_access_checks_are_answered() {
    let stack = Stack::start().await;
    stack.write_sample_data().await;
    let query = "{ customer(customerId: \"customer-alder\") { name metadata resources { resourceId entitlementList { feature { featureId } } } \
                 site: entitlementList(resourceId: \"site-berlin\") { usageLimit currentUsage } \
                 none: entitlementList(resourceId: \"nowhere\") { usageLimit } \
                 subscriptions { nodes { isTrialSubscription billingPeriod addons { addonId quantity } resourceId } } } \
                 seats: checkAccess(customerId: \"customer-alder\", featureId: \"feature-seats\", requestedUsage: 1) { hasAccess \
                 accessDeniedReason reason currentUsage usageLimit } \
                 nobody: checkAccess(customerId: \"nobody\", featureId: \"f\") { hasAccess accessDeniedReason } }";
    let data = stack.data(query, Value::Null).await;
    let alder = &data["customer"];
    assert_eq!(alder["resources"][0]["resourceId"], "site-berlin");
    assert_eq!(alder["site"][1], json!({"usageLimit": 20.0, "currentUsage": 12.0}));
    assert_eq!(alder["none"], json!([]));
    assert_eq!(alder["subscriptions"]["nodes"][0]["addons"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&data["seats"]["hasAccess"], &data["seats"]["accessDeniedReason"]),
        (&json!(false), &json!("RequestedUsageExceedingLimit"))
    );
    assert_eq!(data["nobody"], json!({"hasAccess": false, "accessDeniedReason": "CustomerNotFound"}));
}

#[tokio::test]
async fn a_customer_with_its_entitlements_is_one_dynamodb_request() {
    let stack = Stack::start().await;
    stack.customer("c", 0).await;
    stack.list("c", None, 1, &[metered("a", json!({})), metered("b", json!({}))]).await;
    stack.usage("c", "a", 2, json!({"currentUsage": 7})).await;
    let body = json!({"query": "{ customer(customerId: \"c\") { entitlements entitlementList { currentUsage } } }"}).to_string();
    let (response, cost) = stack.graphql.handle_with_cost(post(&body)).await;
    assert_eq!(cost.requests, 1);
    let answer: Value = serde_json::from_slice(response.body()).unwrap();
    assert_eq!(answer["data"]["customer"]["entitlements"][0]["currentUsage"], 7, "{answer}");
    assert_eq!(answer["data"]["customer"]["entitlementList"][0]["currentUsage"], 7.0, "{answer}");
}
