//! Hostile queries to the binary: each gets a GraphQL error with a code, shows no customer that was not selected, and the
//! process survives all of them.

use serde_json::{Value, json};
use testkit::hostile;

use crate::stack::{Stack, TOKEN, event_with_body, lambda_body, sample_event};

async fn sample_stack() -> Stack {
    let stack = Stack::start().await;
    stack.write_sample_data().await;
    stack
}

fn query(query: impl Into<String>, variables: Value) -> String {
    json!({"query": query.into(), "variables": variables}).to_string()
}

#[tokio::test]
async fn hostile_queries_get_an_error_with_a_code() {
    let stack = sample_stack().await;
    let lambda = stack.start_lambda(&[("GRAPHQL_API_TOKEN", TOKEN)]).await;
    let by_id = "query($id: String!) { customer(customerId: $id) { name } }";
    let page = "query($n: Int, $c: Cursor) { customers(first: $n, after: $c) { totalCount } }";
    let fragments: String = (0..60).map(|n| format!("fragment f{n} on Query {{ ...f{m} ...f{m} }} ", m = n + 1)).collect();
    for (request, code) in [
        (String::new(), "BAD_REQUEST"),
        ("\u{feff}{}".to_owned(), "BAD_REQUEST"),
        (query(format!("{{ customers({}) {{ totalCount }} }}", "a:1 ".repeat(62_000)), Value::Null), "QUERY_TOO_COMPLEX"),
        ("[".repeat(200_000), "BAD_REQUEST"),
        (format!("{{\"query\":\"{{__typename}}\",\"variables\":{}1{}}}", "{\"a\":".repeat(200), "}".repeat(200)), "BAD_REQUEST"),
        (r#"{"query":"\ud800"}"#.to_owned(), "BAD_REQUEST"),
        (r#"{"query":"{ __typename }","variables":{"n":1e999}}"#.to_owned(), "BAD_REQUEST"),
        (query("{".repeat(10_000), Value::Null), "QUERY_TOO_COMPLEX"),
        (query(format!("{{ a(b: {}1{}) }}", "[".repeat(5_000), "]".repeat(5_000)), Value::Null), "QUERY_TOO_COMPLEX"),
        (query("", Value::Null), "GRAPHQL_PARSE_FAILED"),
        (query("\u{0}", Value::Null), "GRAPHQL_PARSE_FAILED"),
        (query("{ a(b: \"", Value::Null), "GRAPHQL_PARSE_FAILED"),
        (query("{ a(b: \"\"\"", Value::Null), "GRAPHQL_PARSE_FAILED"),
        (query(format!("{{ {} }}", "q: query ".repeat(3_000)), Value::Null), "QUERY_TOO_COMPLEX"),
        (
            query(format!("{{ {} }}", (0..3_000).map(|n| format!("a{n}: __typename ")).collect::<String>()), Value::Null),
            "QUERY_TOO_COMPLEX",
        ),
        (query(format!("{{ ...f0 }} {fragments} fragment f60 on Query {{ __typename }}"), Value::Null), "QUERY_TOO_COMPLEX"),
        (query("{ ...a } fragment a on Query { ...a }", Value::Null), "GRAPHQL_VALIDATION_FAILED"),
        (query("mutation { deleteCustomer(id: \"c\") }", Value::Null), "GRAPHQL_VALIDATION_FAILED"),
        (query("subscription { customers { totalCount } }", Value::Null), "GRAPHQL_VALIDATION_FAILED"),
        (query(page, json!({"n": 2_147_483_648_i64})), "BAD_USER_INPUT|GRAPHQL_VALIDATION_FAILED"),
        (query(page, json!({"n": -1})), "BAD_USER_INPUT|GRAPHQL_VALIDATION_FAILED"),
        (query(page, json!({"n": 1.5})), "BAD_USER_INPUT|GRAPHQL_VALIDATION_FAILED"),
        (query(page, json!({"n": "101"})), "BAD_USER_INPUT"),
        (query(page, json!({"c": "bm9uZQ=="})), "INVALID_CURSOR"),
        (query(page, json!({"c": "\u{0}"})), "INVALID_CURSOR"),
        (query(by_id, json!({"id": {"S": "c"}})), "BAD_USER_INPUT|GRAPHQL_VALIDATION_FAILED"),
        (query(by_id, json!({"id": null})), "BAD_USER_INPUT"),
        (json!(vec![json!({"query": "{ __typename }"}); 11]).to_string(), "BAD_REQUEST"),
    ] {
        let what = request.get(..200).unwrap_or(&request);
        let response = lambda.invoke(&event_with_body(request.clone())).await.unwrap();
        let body = lambda_body(&response);
        assert!(matches!(response["statusCode"].as_u64(), Some(200 | 400)), "{what}: {response}");
        let actual = body["errors"][0]["extensions"]["code"].as_str().unwrap();
        assert!(code.split('|').any(|code| code == actual), "{what}: {body}");
        assert!(body["errors"][0]["message"].as_str().unwrap().len() < 1_000, "{what}");
    }
    // Invalid ids match nothing and are no error, as in the example.
    for id in ["", "\u{0}", "a\u{0}b", &"x".repeat(4_096), "PROFILE", "#", "' OR 1=1"] {
        let response = lambda.invoke(&event_with_body(query(by_id, json!({ "id": id })))).await.unwrap();
        let body = lambda_body(&response);
        assert!(body["data"]["customer"].is_null(), "{id:?}: {body}");
    }
    let response = lambda.invoke(&event_with_body(format!("{{\"query\":\"{}\"}}", "x".repeat(300_000)))).await.unwrap();
    assert_eq!(response["statusCode"], 413);
    assert_eq!(lambda.invoke(&sample_event("customer.json")).await.unwrap()["statusCode"], 200);
    let log = lambda.stop().await.unwrap();
    assert!(!log.contains("panicked"), "{log}");
}

#[tokio::test]
async fn every_method_is_rejected_without_a_valid_token() {
    let stack = sample_stack().await;
    let lambda = stack.start_lambda(&[("GRAPHQL_API_TOKEN", TOKEN)]).await;
    let batch = json!([{"query": "{ customers { totalCount } }"}, {"query": "{ __schema { types { name } } }"}]).to_string();
    let mut rejected = 0;
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "QUERY"] {
        for authorization in [
            None,
            Some(""),
            Some("Bearer"),
            Some("Bearer "),
            Some("Bearer local-toke"),
            Some("Bearer local-token "),
            Some("Basic local-token"),
            Some("local-token"),
        ] {
            for body in [&batch, "{\"query\":\"{ customers { totalCount } }\"}", "{"] {
                let mut event = event_with_body(body);
                event["requestContext"]["http"]["method"] = method.into();
                event["rawQueryString"] = "query={customers{totalCount}}".into();
                let headers = event["headers"].as_object_mut().unwrap();
                headers.remove("authorization");
                headers.extend(authorization.map(|value| ("authorization".to_owned(), json!(value))));
                let response = lambda.invoke(&event).await.unwrap();
                assert_eq!(response["statusCode"], 401, "{method} {authorization:?}: {response}");
                assert_eq!(response["headers"]["www-authenticate"], "Bearer", "{response}");
                let body = lambda_body(&response);
                assert_eq!(body["errors"][0]["extensions"]["code"], "UNAUTHENTICATED");
                assert_eq!(body.get("data"), None);
                rejected += 1;
            }
        }
    }
    println!("{rejected} rejected");
    // GraphiQL is public and shows no data.
    let mut page = sample_event("graphiql.json");
    page["headers"].as_object_mut().unwrap().remove("authorization");
    let response = lambda.invoke(&page).await.unwrap();
    assert!(response["statusCode"] == 200 && !response.to_string().contains("alder"), "{response}");
}

#[tokio::test]
async fn no_secret_or_personal_data_is_logged_at_any_level() {
    let stack = sample_stack().await;
    for level in
        ["error", "info", "debug", "trace", "trace,lambda_runtime=trace,aws_smithy_runtime=trace,async_graphql=trace,hyper=trace"]
    {
        let lambda = stack.start_lambda(&[("GRAPHQL_API_TOKEN", "m4rk-token"), ("RUST_LOG", level)]).await;
        let bodies = [
            sample_event("customer.json")["body"].as_str().unwrap().to_owned(),
            query(
                "query($id: String!) { customer(customerId: $id) { name email billingId metadata } }",
                json!({"id": "m4rk-value"}),
            ),
            query("{ customers(condition: {email: \"m4rk-value\"}) { nodes { name } } }", Value::Null),
            query("query q($c: Cursor) { customers(after: $c) { totalCount } }", json!({"c": "m4rk-value"})),
            query("{ customer(customerId: 5, other: \"m4rk-value\") { name } }", Value::Null),
            json!({"query": "query q { __typename }", "operationName": "m4rk-value"}).to_string(),
            "m4rk-value".to_owned(),
        ];
        for body in bodies {
            for token in ["m4rk-token", "m4rk-guess"] {
                let mut event = event_with_body(body.clone());
                event["headers"]["authorization"] = format!("Bearer {token}").into();
                event["rawQueryString"] = "query=m4rk-value".into();
                let _ = lambda.invoke(&event).await.unwrap();
            }
        }
        let mut event = event_with_body("m4rk-value");
        event["headers"]["authorization"] = "Bearer m4rk-token".into();
        for (_, event) in hostile::malformed(&event) {
            let _ = lambda.invoke(&event).await.unwrap();
        }
        let log = lambda.stop().await.unwrap();
        // Metrics are written at every level.
        let is_logged = log.lines().any(|line| !line.contains(r#""_aws":"#));
        assert_eq!(is_logged, level != "error", "{level}: {log}");
        for marker in ["m4rk-token", "m4rk-guess", "m4rk-value", "alder.example", "Alder Analytics"] {
            assert!(!log.contains(marker), "{level}: the log contains {marker}");
        }
    }
}
