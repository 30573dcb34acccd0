//! Runs the binary against a fake Lambda Runtime API, with the sample events.

use serde_json::json;
use template::sample;
use testkit::{fake_aws::SecretsManager, hostile, printed::Printed};

use crate::stack::{Stack, TOKEN, sample_event};

#[tokio::test]
async fn the_sample_queries_are_answered_and_no_personal_data_is_logged() {
    let stack = Stack::start().await;
    stack.write_sample_data().await;
    let secret = json!({"token": "another", "previousToken": TOKEN});
    let manager = SecretsManager::start(&secret).await.unwrap();
    let lambda = stack.start_lambda(&[("SECRET_ARN", "arn:secret"), ("SECRETS_MANAGER_ENDPOINT", manager.endpoint())]).await;
    let events = sample::events("graphql");
    for (name, event) in &events {
        let response = lambda.invoke(event).await.unwrap();
        assert_eq!(response["statusCode"], 200, "{name}: {response}");
        assert!(!response["body"].as_str().unwrap().contains(r#""errors""#), "{name}: {response}");
    }
    let mut unauthorized = events[0].1.clone();
    unauthorized["headers"]["authorization"] = "Bearer guess".into();
    assert_eq!(lambda.invoke(&unauthorized).await.unwrap()["statusCode"], 401);

    let log = lambda.shut_down().await.unwrap();
    let printed = Printed::parse(&log).unwrap();
    let (start, lines) = printed.requests.split_first().unwrap();
    assert!(start["connection_milliseconds"].is_f64(), "{log}");
    assert_eq!(lines.len(), events.len() + 1);
    assert!(
        lines
            .iter()
            .all(|line| line["request_id"].is_string() && ["/graphql", "/graphiql"].contains(&line["route"].as_str().unwrap()))
    );
    assert_eq!((&lines[events.len()]["outcome"], printed.sums("RejectedSecrets")["graphql"]), (&json!("refused"), 1.0));
    for personal in ["alder.example", "Alder Analytics", "Cedar", TOKEN, "another", "guess"] {
        assert!(!log.contains(personal), "the log contains {personal}");
    }
    println!("the longest line has {} bytes", log.lines().map(str::len).max().unwrap());
}

#[tokio::test]
async fn with_gateway_auth_the_function_needs_no_secret_and_requires_the_authorizers_claims() {
    let stack = Stack::start().await;
    let lambda = stack.start_lambda(&[("READERS_AUTH", "jwt")]).await;
    let mut event = sample_event("customer.json");
    assert_eq!(lambda.invoke(&event).await.unwrap()["statusCode"], 401);
    event["requestContext"]["authorizer"] = json!({"jwt": {"claims": {"sub": "office"}, "scopes": ["entitlements/graphql"]}});
    assert_eq!(lambda.invoke(&event).await.unwrap()["statusCode"], 200);
    for invalid in [("READERS_AUTH", "none"), ("READERS_AUTH", "token")] {
        let (succeeded, printed) = stack.start_lambda(&[invalid]).await.ended().await.unwrap();
        assert!(!succeeded && (printed.contains("READERS_AUTH") || printed.contains("GRAPHQL_API_TOKEN")), "{printed}");
    }
}

#[tokio::test]
async fn malformed_events_get_400_and_the_process_survives() {
    let stack = Stack::start().await;
    let lambda = stack.start_lambda(&[("GRAPHQL_API_TOKEN", TOKEN)]).await;
    let event = sample_event("customer.json");
    for (name, event) in hostile::malformed(&event) {
        let response = lambda.invoke(&event).await.unwrap();
        assert_eq!(response["statusCode"], 400, "{name}: {response}");
    }
    for (name, event) in hostile::unusual(&event) {
        let response = lambda.invoke(&event).await.unwrap();
        assert_eq!(response["statusCode"], 200, "{name}: {response}");
    }
    assert_eq!(lambda.invoke(&event).await.unwrap()["statusCode"], 200);
}
