//! The real binary, driven over Lambda's Runtime API with the files of events/.
#![allow(missing_docs)]

use std::path::Path;

use byos::{embedded::Embedded, runtime_api::Lambda, serve::Stack, story};
use serde_json::{Value, json};
use shared::time::Clock;

async fn start(embedded: &Embedded, token: &str) -> Lambda {
    let variables = [
        ("CUSTOMERS_TABLE", embedded.store.tables().customers.as_str()),
        ("DYNAMODB_ENDPOINT", &embedded.endpoint),
        ("CHECK_ACCESS_API_TOKEN", token),
    ];
    Lambda::start(Path::new(env!("CARGO_BIN_EXE_check-access")), variables).await.unwrap()
}

#[tokio::test]
async fn every_check_of_the_story_is_decided_as_its_file_is_named() {
    let embedded = Embedded::in_memory().await.unwrap();
    let stack = Stack::on(embedded.store.clone(), "local-secret", "local-token", Clock::system()).unwrap();
    stack.seed("local-secret").await.unwrap();
    let lambda = start(&embedded, "local-token").await;
    for (name, event) in story::events("check-access") {
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
    assert!(!log.contains("local-token") && log.lines().count() == story::events("check-access").len(), "{log}");
}

#[tokio::test]
async fn a_function_with_an_empty_token_does_not_start() {
    let embedded = Embedded::in_memory().await.unwrap();
    let (succeeded, printed) = start(&embedded, "").await.ended().await.unwrap();
    assert!(!succeeded && printed.contains("CHECK_ACCESS_API_TOKEN"), "{printed}");
}
