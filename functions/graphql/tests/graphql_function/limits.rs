//! Limits, authentication and CORS.

use std::time::{Duration, Instant};

use graphql::{Graphql, Limits, Options};
use lambda_http::http::StatusCode;
use runtime::secret::Secret;
use serde_json::{Value, json};
use store::{Store, Tables};

use crate::{
    queries::README,
    stack::{Stack, TOKEN, ask, body_of, headers, post},
};

/// The introspection query of graphql-js with all its options.
const INTROSPECTION: &str = include_str!("introspection.graphql");

fn nested(levels: usize) -> String {
    let open = "customer { subscriptions { nodes { ".repeat(levels - 1);
    let close = " } } }".repeat(levels - 1);
    format!("{{ subscriptions {{ nodes {{ {open} customer {{ customerId }} {close} }} }} }}")
}

#[tokio::test]
async fn nested_lists_over_the_complexity_limit_are_rejected_before_any_read() {
    let stack = Stack::start().await;
    for levels in [3, 7] {
        let body = json!({"query": nested(levels)}).to_string();
        let start = Instant::now();
        let (response, cost) = stack.graphql.handle_with_cost(post(&body)).await;
        println!("{levels} levels rejected in {:?}", start.elapsed());
        assert_eq!(body_of(&response)["errors"][0]["extensions"]["code"], "QUERY_TOO_COMPLEX");
        assert_eq!(cost.requests, 0);
    }
    // A subscription's customer is already loaded if the query came from that customer.
    let cached = "{ customers { nodes { subscriptions { nodes { customer { entitlements } } } } } }";
    assert_eq!(stack.data(cached, Value::Null).await["customers"]["nodes"], json!([]));
    let others = "{ customers(first: 1000) { nodes { resources { entitlementList { usageLimit } } } } }";
    assert_eq!(stack.error(others).await.0, "QUERY_TOO_COMPLEX");
    // Small pages may nest, up to the depth limit.
    let small = nested(3).replace("subscriptions {", "subscriptions(first: 3) {");
    assert_eq!(stack.data(&small, Value::Null).await["subscriptions"]["nodes"], json!([]));
    let deep = nested(7).replace("subscriptions {", "subscriptions(first: 1) {");
    assert_eq!(stack.error(&deep).await.0, "QUERY_TOO_COMPLEX");
}

#[tokio::test]
async fn the_examples_query_and_the_introspection_query_are_within_the_limits() {
    let stack = Stack::start().await;
    assert_eq!(stack.data(README, Value::Null).await["customers"]["totalCount"], 0);
    let schema = stack.data(INTROSPECTION, Value::Null).await;
    let types = schema["__schema"]["types"].as_array().unwrap();
    assert!(types.iter().any(|known| known["name"] == "Customer" && known["description"].is_string()));
    assert_eq!(schema["__schema"]["mutationType"], Value::Null);
}

#[tokio::test]
async fn introspection_can_be_disabled() {
    let stack = Stack::with(Options { introspection: false, ..Options::default() }).await;
    assert_eq!(stack.error("{ __schema { queryType { name } } }").await.0, "INTROSPECTION_DISABLED");
    assert_eq!(stack.data("{ __typename }", Value::Null).await["__typename"], "Query");
}

#[tokio::test]
async fn a_response_over_lambdas_limit_is_an_error() {
    let stack = Stack::start().await;
    stack.write_sample_data().await;
    let small = stack.with_options(Options { limits: Limits { answer: 500, ..Limits::default() }, ..Options::default() });
    let answer = ask(&small, README, Value::Null).await;
    assert_eq!(answer["errors"][0]["extensions"]["code"], "ANSWER_TOO_LARGE");
    assert_eq!(answer.get("data"), None);
}

#[tokio::test]
async fn errors_of_the_store_and_timeouts_show_no_internals() {
    let unavailable = runtime::aws::local_dynamodb("http://127.0.0.1:9");
    let tables = Tables { customers: "secret-table".to_owned(), subscriptions: String::new(), receipts: String::new() };
    let options = Options { limits: Limits { time: Duration::ZERO, ..Limits::default() }, ..Options::default() };
    let token = || Secret::new(TOKEN, None).unwrap();
    let graphql = Graphql::new(Store::new(unavailable.clone(), tables.clone()), token(), Options::default());
    let answer = ask(&graphql, "{ customers { totalCount } }", Value::Null).await;
    let error = &answer["errors"][0];
    assert_eq!(error["extensions"], json!({"code": "SERVICE_UNAVAILABLE"}));
    assert_eq!(error["message"], "the store did not answer: retry the query later");
    assert_eq!(error["path"], json!(["customers", "totalCount"]));
    assert_eq!(answer["data"], json!({"customers": null}));

    let without_time = Graphql::new(Store::new(unavailable, tables), token(), options);
    let response = without_time.handle(post(r#"{"query":"{ customers { totalCount } }"}"#)).await;
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(body_of(&response)["errors"][0]["extensions"]["code"], "TIMEOUT");
}

#[tokio::test]
async fn at_most_64_dynamodb_requests_are_concurrent() {
    // A store that accepts connections and never answers.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hanging = runtime::aws::local_dynamodb(&format!("http://{}", listener.local_addr().unwrap()));
    let connections = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok(Ok((connection, _))) = tokio::time::timeout(Duration::from_secs(1), listener.accept()).await {
            held.push(connection);
        }
        held.len()
    });
    let tables = Tables { customers: "c".to_owned(), subscriptions: "s".to_owned(), receipts: String::new() };
    let limits = Limits { time: Duration::from_millis(700), ..Limits::default() };
    let options = Options { limits, ..Options::default() };
    let graphql = Graphql::new(Store::new(hanging, tables), Secret::new(TOKEN, None).unwrap(), options);
    let checks: String = (0..120)
        .map(|n| {
            format!(
                "a{n}: checkAccess(customerId: \"c{n}\", featureId: \"f\") {{ hasAccess }} b{n}: customers(condition: {{email: \"{n}\"}}) \
                 {{ totalCount }} c{n}: customers {{ totalCount }} "
            )
        })
        .collect();
    let response = graphql.handle(post(&json!({"query": format!("{{ {checks} }}")}).to_string())).await;
    assert_eq!(body_of(&response)["errors"][0]["extensions"]["code"], "TIMEOUT");
    assert_eq!(connections.await.unwrap(), 64);
}

#[tokio::test]
async fn a_list_is_counted_once_per_request_up_to_the_limit() {
    let stack = Stack::start().await;
    for n in 0..40 {
        stack.customer(&format!("c{n}"), n).await;
    }
    let counts: String = (0..500).map(|n| format!("a{n}: customers {{ totalCount }} ")).collect();
    let body = json!({"query": format!("{{ {counts} }}")}).to_string();
    let (response, cost) = stack.graphql.handle_with_cost(post(&body)).await;
    assert_eq!(body_of(&response)["data"]["a499"]["totalCount"], 40);
    assert_eq!(cost.requests, 4);
    for (count, is_counted) in [(40, true), (39, false)] {
        let few = stack.with_options(Options { limits: Limits { count, ..Limits::default() }, ..Options::default() });
        let answer = ask(&few, "{ customers { totalCount } }", Value::Null).await;
        assert_eq!(answer.get("errors").is_none(), is_counted, "{answer}");
    }
}

#[tokio::test]
async fn cors_allows_the_configured_origin_only() {
    let stack = Stack::start().await;
    let query = r#"{"query":"{ __typename }"}"#;
    let response = stack.graphql.handle(post(query)).await;
    assert!(response.headers().get("access-control-allow-origin").is_none());

    let origin = Some("https://console.example.com".to_owned());
    let open = stack.with_options(Options { cors_origin: origin, ..Options::default() });
    let response = open.handle(post(query)).await;
    assert_eq!(response.headers()["access-control-allow-origin"], "https://console.example.com");
    let mut preflight = post("");
    *preflight.method_mut() = "OPTIONS".parse().unwrap();
    preflight.headers_mut().remove("authorization");
    let response = open.handle(preflight).await;
    assert_eq!(
        (response.status(), &response.headers()["access-control-allow-methods"]),
        (StatusCode::NO_CONTENT, &"GET, POST".parse().unwrap())
    );
    assert!(headers(&[]).get("origin").is_none());
}
