//! The real binary, driven over Lambda's Runtime API with the files of events/.

use std::path::Path;

use local::{embedded::Embedded, serve::Stack};
use runtime::clock::Clock;
use serde_json::{Value, json};
use template::sample;
use testkit::{hostile, runtime_api::Lambda};

async fn start(embedded: &Embedded, token: &str) -> Lambda {
    start_at(&embedded.endpoint, token).await
}

async fn start_at(endpoint: &str, token: &str) -> Lambda {
    let tables = template::tables::local_names();
    let variables = [
        ("CUSTOMERS_TABLE", tables.customers.as_str()),
        ("SUBSCRIPTIONS_TABLE", tables.subscriptions.as_str()),
        ("DYNAMODB_ENDPOINT", endpoint),
        ("CHECK_ACCESS_API_TOKEN", token),
        ("METRICS_NAMESPACE", "byos-stigg"),
    ];
    Lambda::start(Path::new(env!("CARGO_BIN_EXE_check-access")), variables).await.unwrap()
}

#[tokio::test]
async fn every_check_of_the_story_is_decided_as_its_file_is_named() {
    let embedded = Embedded::in_memory().await.unwrap();
    let stack = Stack::on(embedded.store.clone(), "local-secret", "local-token", Clock::system()).unwrap();
    stack.seed("local-secret").await.unwrap();
    let lambda = start(&embedded, "local-token").await;
    for (name, event) in sample::events("check-access") {
        let answer = lambda.invoke(&event).await.unwrap();
        let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        let is_granted = name.starts_with("granted");
        assert_eq!(answer["statusCode"], if is_granted { 200 } else { 403 }, "{name}: {body}");
        assert_eq!(
            (&body["hasAccess"], body["accessDeniedReason"].is_null()),
            (&json!(is_granted), is_granted),
            "{name}: {body}"
        );
    }
    let log = lambda.stop().await.unwrap();
    println!("the longest line has {} bytes", log.lines().map(str::len).max().unwrap());
    let (start, requests) = log.split_once('\n').unwrap();
    assert!(serde_json::from_str::<Value>(start).unwrap()["connection_milliseconds"].is_f64(), "{start}");
    assert_eq!(requests.lines().count(), sample::events("check-access").len(), "{log}");
    assert!(!log.contains("local-token"), "{log}");
}

#[tokio::test]
async fn a_function_with_an_empty_token_does_not_start() {
    let embedded = Embedded::in_memory().await.unwrap();
    let (succeeded, printed) = start(&embedded, "").await.ended().await.unwrap();
    assert!(!succeeded && printed.contains("CHECK_ACCESS_API_TOKEN"), "{printed}");
}

/// Without a token: the permission to invoke the function is the authorization.
#[tokio::test]
async fn plain_checks_are_decided_as_over_http() {
    let embedded = Embedded::in_memory().await.unwrap();
    let stack = Stack::on(embedded.store.clone(), "local-secret", "local-token", Clock::system()).unwrap();
    stack.seed("local-secret").await.unwrap();
    let lambda = start(&embedded, "local-token").await;
    let (mut checks, mut decisions) = (Vec::new(), Vec::new());
    for (name, event) in sample::events("check-access") {
        let check: Value = serde_json::from_str(event["body"].as_str().unwrap()).unwrap();
        let over_http = lambda.invoke(&event).await.unwrap();
        let decision: Value = serde_json::from_str(over_http["body"].as_str().unwrap()).unwrap();
        assert_eq!(lambda.invoke(&check).await.unwrap(), decision, "{name}");
        checks.push(check);
        decisions.push(decision);
    }
    assert_eq!(lambda.invoke(&json!(checks)).await.unwrap(), json!(decisions));
    for (event, error) in [
        (json!({"customerId": "c"}), "`featureId` is missing"),
        (json!({"customerId": "c", "featureId": "f", "hasAccess": true}), "`hasAccess` is not known here"),
        (json!([{"customerId": "c", "featureId": "f"}, {"customerId": "c", "featureId": 7}]), "`[1].featureId` must be a string"),
        (json!([5]), "`[0]` must be an object"),
        (json!(vec![&checks[0]; 101]), "`the list` must hold at most 100 checks"),
    ] {
        assert_eq!(lambda.invoke(&event).await.unwrap(), json!({ "error": error }));
    }
}

/// Neither a store that refuses connections nor one that never answers makes a check grant.
#[tokio::test]
async fn a_store_that_does_not_answer_is_a_503_and_never_a_yes() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hanging = format!("http://{}", silent.local_addr().unwrap());
    for endpoint in ["http://127.0.0.1:1", &hanging] {
        let lambda = start_at(endpoint, "local-token").await;
        for (name, event) in sample::events("check-access").into_iter().take(2) {
            let answer = lambda.invoke(&event).await.unwrap();
            assert_eq!(answer["statusCode"], 503, "{name}: {answer}");
            assert!(!answer["body"].as_str().unwrap().contains("hasAccess"), "{answer}");
        }
        let log = lambda.stop().await.unwrap();
        let slowest =
            log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()?["milliseconds"].as_f64()).fold(0.0, f64::max);
        println!("{endpoint}: {slowest} ms at most");
    }
}

#[tokio::test]
async fn whatever_the_function_is_called_with_is_answered_and_the_process_lives_on() {
    let embedded = Embedded::in_memory().await.unwrap();
    let stack = Stack::on(embedded.store.clone(), "local-secret", "local-token", Clock::system()).unwrap();
    stack.seed("local-secret").await.unwrap();
    let lambda = start(&embedded, "local-token").await;
    let (_, event) = sample::events("check-access").into_iter().find(|(name, _)| name == "granted-boolean.json").unwrap();
    for (what, event) in hostile::malformed(&event) {
        let answer = lambda.invoke(&event).await.unwrap();
        assert_eq!(answer["statusCode"], 400, "{what}: {answer}");
    }
    for (what, event) in hostile::disguised(&event) {
        let answer = lambda.invoke(&event).await.unwrap();
        let expected = if what.starts_with("a path") { 404 } else { 200 };
        assert_eq!(answer["statusCode"], expected, "{what}: {answer}");
    }
    assert_eq!(lambda.invoke(&event).await.unwrap()["statusCode"], 200);
}
