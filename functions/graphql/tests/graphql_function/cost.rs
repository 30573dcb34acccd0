//! DynamoDB requests per query: the number does not grow with the page.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::stack::{Stack, body_of, post};

const SHARDS: u32 = 4;

const PAGE: &str = "query($first: Int, $after: Cursor, $by: [CustomersOrderBy!]) { customers(first: $first, after: $after, orderBy: $by) { \
                    nodes { customerId name subscriptions { nodes { subscriptionId planName } } } } }";

/// `subscriptions` is the number per customer. Each customer has a list of entitlements.
async fn filled(customers: usize, subscriptions: usize) -> Stack {
    let stack = Stack::start().await;
    for n in 0..customers {
        let customer = format!("customer-{n:03}");
        stack.customer(&customer, n as i64).await;
        for m in 0..subscriptions {
            stack.subscription(&format!("subscription-{n:03}-{m}"), &customer, (n * 10 + m) as i64, "ACTIVE").await;
        }
        stack
            .list(&customer, None, n as i64, &[("feature", json!({"feature": {"id": "feature", "featureType": "BOOLEAN"}}))])
            .await;
    }
    stack
}

/// The data, the DynamoDB requests and the capacity units.
async fn cost(stack: &Stack, query: &str, variables: Value) -> (Value, u32, f64) {
    let body = json!({"query": query, "variables": variables}).to_string();
    let (response, cost) = stack.graphql.handle_with_cost(post(&body)).await;
    let answer = body_of(&response);
    assert_eq!(answer.get("errors"), None, "{query}");
    (answer["data"].clone(), cost.requests, cost.capacity)
}

#[tokio::test]
async fn a_page_of_customers_with_subscriptions_costs_two_requests_per_shard_and_one_per_100_rows() {
    let stack = filled(120, 2).await;
    for (first, more) in [(10, json!({})), (50, json!({})), (100, json!({})), (50, json!({"by": "PRIMARY_KEY_DESC"}))] {
        let mut variables = more;
        variables["first"] = first.into();
        let (data, requests, capacity) = cost(&stack, PAGE, variables).await;
        let nodes = data["customers"]["nodes"].as_array().unwrap();
        assert_eq!(nodes.len(), first as usize);
        assert!(nodes.iter().all(|node| node["subscriptions"]["nodes"].as_array().unwrap().len() == 2));
        let subscriptions = 2 * first as u32;
        println!("customers(first: {first}) with subscriptions: {requests} requests, {capacity} units");
        assert_eq!(requests, 2 * SHARDS + 1 + subscriptions.div_ceil(100), "first: {first}");
    }
}

#[tokio::test]
async fn page_info_costs_requests_only_if_selected() {
    let stack = filled(120, 0).await;
    let info = "pageInfo { hasNextPage hasPreviousPage endCursor }";
    let (data, requests, _) = cost(&stack, &format!("{{ customers(first: 100) {{ {info} }} }}"), Value::Null).await;
    assert_eq!(data["customers"]["pageInfo"]["hasNextPage"], true);
    assert_eq!(requests, SHARDS + 1 + 1, "the 101st row");

    let after = json!({"after": data["customers"]["pageInfo"]["endCursor"]});
    let query = |fields: &str| format!("query($after: Cursor) {{ customers(first: 10, after: $after) {{ {fields} }} }}");
    let (_, requests, _) = cost(&stack, &query("nodes { name } pageInfo { hasNextPage }"), after.clone()).await;
    assert_eq!(requests, SHARDS + 1);
    let (data, requests, _) = cost(&stack, &query(info), after.clone()).await;
    assert_eq!(data["customers"]["pageInfo"]["hasPreviousPage"], true);
    assert_eq!(requests, SHARDS + 2, "the cursor's row");
    stack.delete("customer-099", 1_000).await;
    let (data, requests, _) = cost(&stack, &query(info), after).await;
    assert_eq!(data["customers"]["pageInfo"]["hasPreviousPage"], true);
    assert_eq!(requests, SHARDS + 2 + SHARDS + 1, "the row before the deleted one");
}

#[tokio::test]
async fn fields_that_are_not_selected_cost_no_requests() {
    let stack = filled(60, 1).await;
    let shards = SHARDS;
    for (query, expected) in [
        ("{ customers(first: 50) { nodes { customerId } } }", shards + 1),
        ("{ customers(first: 50) { totalCount } }", shards),
        ("{ customers(first: 50) { totalCount nodes { customerId } } }", 2 * shards + 1),
        ("{ customers(first: 50) { pageInfo { hasNextPage hasPreviousPage } } }", shards + 1),
        ("{ customers(first: 100) { nodes { customerId } pageInfo { hasNextPage } } }", shards + 1),
        ("{ customers(first: 50) { nodes { customerId entitlements } } }", shards + 1),
        ("{ customers(first: 50) { nodes { entitlements entitlementList { usageLimit } } } }", shards + 1),
        ("{ customers(first: 0) { nodes { customerId } pageInfo { hasNextPage } } }", 0),
        ("{ subscriptions(first: 50) { nodes { subscriptionId customer { name } } } }", shards + 2),
        ("{ subscriptions(first: 50, orderBy: CREATED_AT_DESC) { nodes { subscriptionId } } }", shards + 2),
        ("{ subscriptions(first: 50, orderBy: CUSTOMER_ID_ASC) { nodes { subscriptionId } } }", shards + 2),
        ("{ customer(customerId: \"customer-001\") { name } }", 1),
        ("{ customer(customerId: \"customer-001\") { name subscriptions { totalCount nodes { status } } } }", 3),
        ("{ a: customer(customerId: \"customer-001\") { name } b: customer(customerId: \"customer-002\") { name } }", 1),
        ("{ subscription(subscriptionId: \"subscription-001-0\") { customer { name } } }", 2),
        ("{ customers(condition: {customerId: \"customer-001\"}) { totalCount nodes { name } } }", 1),
        ("{ subscriptions(condition: {customerId: \"customer-001\"}, orderBy: STATUS_DESC) { nodes { status } } }", 3),
        ("{ checkAccess(customerId: \"customer-001\", featureId: \"feature\") { hasAccess } }", 1),
        ("{ __schema { queryType { name } } }", 0),
    ] {
        let (_, requests, capacity) = cost(&stack, query, Value::Null).await;
        println!("{requests:3} requests {capacity:6} units  {query}");
        assert_eq!(requests, expected, "{query}");
    }
}

#[tokio::test]
async fn subscriptions_of_a_page_in_another_order_cost_one_request_per_customer() {
    let stack = filled(20, 2).await;
    let query = "{ customers(first: 10, orderBy: CREATED_AT_ASC) { nodes { subscriptions { nodes { subscriptionId } } } } }";
    let (data, requests, _) = cost(&stack, query, Value::Null).await;
    assert_eq!(data["customers"]["nodes"][9]["subscriptions"]["nodes"][1]["subscriptionId"], "subscription-009-1");
    assert_eq!(requests, SHARDS + 1 + 10 + 1);
}

#[tokio::test]
async fn concurrent_queries_have_separate_costs() {
    let stack = Arc::new(filled(5, 1).await);
    let requests = |query: &'static str| {
        let stack = Arc::clone(&stack);
        tokio::spawn(async move { cost(&stack, query, Value::Null).await.1 })
    };
    let (one, other) =
        (requests("{ customers { totalCount } }"), requests("{ customer(customerId: \"customer-001\") { name } }"));
    assert_eq!((one.await.unwrap(), other.await.unwrap()), (SHARDS, 1));
}
