//! The query of the Node example's README.

use crate::stack::Stack;
use serde_json::{Value, json};

/// The query of the example's README, unchanged.
pub(crate) const README: &str = "query CustomersAndSubscriptions { customers { totalCount nodes { createdAt updatedAt customerId name email \
                      entitlements subscriptions(condition: {status: \"ACTIVE\"}) { nodes { createdAt updatedAt subscriptionId \
                      planId planName status startDate endDate } } } } }";

#[tokio::test]
async fn the_query_of_the_examples_readme_is_answered() {
    let stack = Stack::start().await;
    stack.write_sample_data().await;
    let data = stack.data(README, Value::Null).await;
    println!("{}", serde_json::to_string_pretty(&data).unwrap());
    let customers = &data["customers"];
    assert_eq!(customers["totalCount"], 2);
    let ids: Vec<_> = customers["nodes"].as_array().unwrap().iter().map(|node| node["customerId"].as_str().unwrap()).collect();
    assert_eq!(ids, ["customer-alder", "customer-cedar"]);
    let alder = &customers["nodes"][0];
    let features: Vec<_> = alder["entitlements"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entitlement| entitlement["feature"]["id"].as_str().unwrap())
        .collect();
    assert!(features.is_sorted() && features.contains(&"feature-seats") && !features.contains(&"feature-onboarding-call"));
    assert_eq!(alder["subscriptions"]["nodes"].as_array().unwrap().len(), 1);
    assert_eq!(customers["nodes"][1]["subscriptions"]["nodes"], json!([]));
}
