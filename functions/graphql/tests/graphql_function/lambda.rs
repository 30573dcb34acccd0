//! The real binary, driven over Lambda's Runtime API with the files of events/.

use std::path::Path;

use local::{embedded::Embedded, serve::Stack};
use runtime::clock::Clock;
use serde_json::json;
use template::sample;
use testkit::{fake_aws::SecretsManager, hostile, printed::Printed, runtime_api::Lambda};

async fn start(embedded: &Embedded, more: &[(&'static str, &str)]) -> Lambda {
    let tables = embedded.store.tables();
    let variables = [
        ("CUSTOMERS_TABLE", tables.customers.as_str()),
        ("SUBSCRIPTIONS_TABLE", &tables.subscriptions),
        ("DYNAMODB_ENDPOINT", &embedded.endpoint),
        ("METRICS_NAMESPACE", "byos-stigg"),
    ];
    let variables = variables.into_iter().chain(more.iter().copied());
    Lambda::start(Path::new(env!("CARGO_BIN_EXE_graphql")), variables).await.unwrap()
}

#[tokio::test]
async fn every_query_of_the_story_is_answered_and_nothing_that_it_shows_is_logged() {
    let embedded = Embedded::in_memory().await.unwrap();
    let stack = Stack::on(embedded.store.clone(), "local-secret", "local-token", Clock::system()).unwrap();
    stack.seed("local-secret").await.unwrap();
    let secret = json!({"token": "another", "previousToken": "local-token"});
    let manager = SecretsManager::start(&secret).await.unwrap();
    let secret = [("SECRET_ARN", "arn:secret"), ("SECRETS_MANAGER_ENDPOINT", manager.endpoint())];
    let lambda = start(&embedded, &secret).await;
    let events = sample::events("graphql");
    for (name, event) in &events {
        let answer = lambda.invoke(event).await.unwrap();
        assert_eq!(answer["statusCode"], 200, "{name}: {answer}");
        assert!(!answer["body"].as_str().unwrap().contains(r#""errors""#), "{name}: {answer}");
    }
    let mut stranger = events[0].1.clone();
    stranger["headers"]["authorization"] = "Bearer guess".into();
    assert_eq!(lambda.invoke(&stranger).await.unwrap()["statusCode"], 401);

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
    for personal in ["alder.example", "Alder Analytics", "Cedar", "local-token", "another", "guess"] {
        assert!(!log.contains(personal), "the log holds {personal}");
    }
    println!("the longest line has {} bytes", log.lines().map(str::len).max().unwrap());
}

#[tokio::test]
async fn with_an_authorizer_of_api_gateways_it_needs_no_secret_and_looks_for_the_authorizers_word() {
    let embedded = Embedded::in_memory().await.unwrap();
    let lambda = start(&embedded, &[("READERS_AUTH", "jwt")]).await;
    let (_, mut event) = sample::events("graphql").into_iter().find(|(name, _)| name == "customer.json").unwrap();
    assert_eq!(lambda.invoke(&event).await.unwrap()["statusCode"], 401);
    event["requestContext"]["authorizer"] = json!({"jwt": {"claims": {"sub": "office"}, "scopes": ["entitlements/graphql"]}});
    assert_eq!(lambda.invoke(&event).await.unwrap()["statusCode"], 200);
    for wrong in [[("READERS_AUTH", "none")], [("READERS_AUTH", "token")]] {
        let (succeeded, printed) = start(&embedded, &wrong).await.ended().await.unwrap();
        assert!(!succeeded && (printed.contains("READERS_AUTH") || printed.contains("GRAPHQL_API_TOKEN")), "{printed}");
    }
}

#[tokio::test]
async fn whatever_the_function_is_called_with_is_answered_and_the_process_lives_on() {
    let embedded = Embedded::in_memory().await.unwrap();
    let lambda = start(&embedded, &[("GRAPHQL_API_TOKEN", "local-token")]).await;
    let (_, event) = sample::events("graphql").into_iter().find(|(name, _)| name == "customer.json").unwrap();
    for (what, event) in hostile::malformed(&event) {
        let answer = lambda.invoke(&event).await.unwrap();
        assert_eq!(answer["statusCode"], 400, "{what}: {answer}");
    }
    for (what, event) in hostile::disguised(&event) {
        let answer = lambda.invoke(&event).await.unwrap();
        assert_eq!(answer["statusCode"], 200, "{what}: {answer}");
    }
    assert_eq!(lambda.invoke(&event).await.unwrap()["statusCode"], 200);
}
