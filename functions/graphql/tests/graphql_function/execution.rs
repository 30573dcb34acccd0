//! Execution, section 6 of the GraphQL specification. `audit/reference.mjs` compares random queries with graphql-js.

use graphql::{Limits, Options};
use serde_json::{Value, json};

use crate::stack::{Stack, body_of, post};

/// Three customers, the first with two subscriptions.
async fn filled() -> Stack {
    let stack = Stack::start().await;
    for n in 0..3 {
        stack.customer(&format!("c{n}"), n).await;
        stack.list(&format!("c{n}"), None, n, &[("f", json!({"feature": {"id": "f", "featureType": "BOOLEAN"}}))]).await;
    }
    for (n, status) in ["ACTIVE", "EXPIRED"].into_iter().enumerate() {
        stack.subscription(&format!("s{n}"), "c0", n as i64, status).await;
    }
    stack
}

/// The text of the response.
async fn text(stack: &Stack, query: &str, variables: Value) -> String {
    let response = stack.graphql.handle(post(&json!({"query": query, "variables": variables}).to_string())).await;
    match response.body() {
        lambda_http::Body::Text(text) => text.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_variable_without_a_value_is_absent_and_not_null() {
    let stack = filled().await;
    let query = "query($s: String, $p: String, $d: String = \"plan-1\", $i: SubscriptionCondition, $n: Int) { \
                 both: subscriptions(condition: {status: $s, planId: $p}, first: $n) { totalCount } \
                 default: subscriptions(condition: {planId: $d}) { totalCount } \
                 whole: subscriptions(condition: $i) { totalCount } }";
    let count = |data: &Value, name: &str| data[name]["totalCount"].as_u64().unwrap();
    for (variables, expected) in [
        (json!({}), [2, 1, 2]),
        (json!({"s": "ACTIVE"}), [1, 1, 2]),
        (json!({"s": "ACTIVE", "p": null}), [0, 1, 2]),
        (json!({"d": null}), [2, 0, 2]),
        (json!({"d": "plan-0", "i": {"status": "EXPIRED"}}), [2, 1, 1]),
        (json!({"i": {"status": null}, "n": 0}), [2, 1, 0]),
    ] {
        let data = stack.data(query, variables.clone()).await;
        assert_eq!([count(&data, "both"), count(&data, "default"), count(&data, "whole")], expected, "{variables}");
    }
}

#[tokio::test]
async fn members_are_in_the_order_of_the_query() {
    let stack = filled().await;
    let answer = text(&stack, "{ customers { nodes { entitlements customerId name } } }", Value::Null).await;
    assert_eq!(answer.matches(r#"{"entitlements":["#).count(), 3, "{answer}");
    for n in 0..3 {
        assert!(answer.contains(&format!(r#"],"customerId":"c{n}","name":"Name of c{n}"}}"#)), "{answer}");
    }
    // A field that needs a read before one that does not, and fields that a fragment repeats.
    let query = "{ z: customers { totalCount } ...F a: __typename subscriptions { totalCount } } \
                 fragment F on Query { subscriptions { nodes { subscriptionId } } a: __typename }";
    let answer = text(&stack, query, Value::Null).await;
    let expected = r#"{"data":{"z":{"totalCount":3},"subscriptions":{"nodes":[{"subscriptionId":"s0"},{"subscriptionId":"s1"}],"totalCount":2},"a":"Query"}}"#;
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn a_field_may_have_many_aliases() {
    let stack = filled().await;
    let query = "{ customer(customerId: \"c0\") { b: name a: name name c: customerId b: name metadata m: metadata entitlements e: entitlements } }";
    let answer = text(&stack, query, Value::Null).await;
    let (row, entitlements) = answer.split_once(",\"entitlements\":").unwrap();
    let expected =
        r#"{"data":{"customer":{"b":"Name of c0","a":"Name of c0","name":"Name of c0","c":"c0","metadata":null,"m":null"#;
    assert_eq!(row, expected);
    let (one, other) = entitlements.split_once(",\"e\":").unwrap();
    assert_eq!(format!("{one}}}}}}}"), other);
}

#[tokio::test]
async fn an_object_without_members_is_empty_and_not_null() {
    let stack = filled().await;
    let query = "query($b: Boolean!) { customers(first: 2) { nodes { ...F @include(if: $b) } } customer(customerId: \"c0\") { name @skip(if: true) } \
                 none: customer(customerId: \"none\") { ...F @include(if: $b) } } fragment F on Customer { name }";
    let answer = text(&stack, query, json!({"b": false})).await;
    assert_eq!(answer, r#"{"data":{"customers":{"nodes":[{},{}]},"customer":{},"none":null}}"#);
    let answer = text(&stack, "{ customers @skip(if: true) { totalCount } }", Value::Null).await;
    assert_eq!(answer, r#"{"data":{}}"#);
}

#[tokio::test]
async fn a_failed_field_makes_its_nearest_nullable_parent_null() {
    let stack = filled().await;
    let query = "{ a: customers(first: -1) { totalCount } b: customer(customerId: \"c0\") { name } }";
    let answer = stack.ask(query, Value::Null).await;
    assert_eq!(answer["data"], json!({"a": null, "b": {"name": "Name of c0"}}));
    assert_eq!(answer["errors"][0]["path"], json!(["a"]));

    // The nearest nullable parent of `totalCount: Int!` is `customers`, that of `subscriptions` is `customer`.
    let small = stack.with_options(Options { limits: Limits { count: 1, ..Limits::default() }, ..Options::default() });
    let query = "{ customers { nodes { name } totalCount } __typename }";
    let answer = body_of(&small.handle(post(&json!({"query": query}).to_string())).await);
    assert_eq!(answer["data"], json!({"customers": null, "__typename": "Query"}));
    assert_eq!(answer["errors"][0]["path"], json!(["customers", "totalCount"]));
    let query = "{ customer(customerId: \"c0\") { name subscriptions(first: -1) { totalCount } } query { customers(last: -1) { totalCount } } }";
    let answer = stack.ask(query, Value::Null).await;
    assert_eq!(answer["data"], json!({"customer": null, "query": {"customers": null}}));
    // `data` is not null if all of its members are.
    let answer = stack.ask("{ customers(first: -1) { totalCount } }", Value::Null).await;
    assert_eq!(answer["data"], json!({"customers": null}));
}

#[tokio::test]
async fn an_int_variable_may_have_a_fraction_of_zero() {
    let stack = filled().await;
    let query = "query($n: Int) { customers(first: $n) { nodes { customerId } } }";
    let data = stack.data(query, json!({"n": 2.0})).await;
    assert_eq!(data["customers"]["nodes"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn surrogate_pairs_in_strings_are_supported() {
    let stack = filled().await;
    stack.customer("\u{1f600}", 5).await;
    let data = stack.data(r#"{ customer(customerId: "\ud83d\ude00") { customerId } }"#, Value::Null).await;
    assert_eq!(data["customer"]["customerId"], "\u{1f600}");
}
