//! The real binary, driven over Lambda's Runtime API with the files of events/.
#![allow(missing_docs)]

use std::path::Path;

use byos::{embedded::Embedded, runtime_api::Lambda, story};
use serde_json::{Value, json};

fn variables(embedded: &Embedded) -> Vec<(&'static str, String)> {
    let tables = embedded.store.tables();
    vec![
        ("CUSTOMERS_TABLE", tables.customers.clone()),
        ("SUBSCRIPTIONS_TABLE", tables.subscriptions.clone()),
        ("RECEIPTS_TABLE", tables.receipts.clone()),
        ("DYNAMODB_ENDPOINT", embedded.endpoint.clone()),
        ("STIGG_WEBHOOK_SECRET", "local-secret".to_owned()),
        ("STIGG_WEBHOOK_SECRET_PREVIOUS", "".to_owned()),
    ]
}

async fn start(variables: Vec<(&'static str, String)>) -> Lambda {
    Lambda::start(Path::new(env!("CARGO_BIN_EXE_webhook")), variables).await.unwrap()
}

fn body(answer: &Value) -> Value {
    serde_json::from_str(answer["body"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn every_event_of_the_story_is_applied_once_and_stale_when_it_comes_again() {
    let embedded = Embedded::in_memory().await.unwrap();
    let lambda = start(variables(&embedded)).await;
    for (round, applied) in [(1, "applied"), (2, "stale")] {
        for (name, event) in story::events("webhook") {
            let answer = lambda.invoke(&event).await.unwrap();
            assert_eq!(answer["statusCode"], 200, "{name}: {answer}");
            let expected = match name.as_str() {
                "21-coupon.created-ignored.json" => "ignored",
                // Its subscription went with its customer, and it names none: TTL sweeps what it leaves.
                "15-subscription.expired-birch.json" => "applied",
                _ => applied,
            };
            assert_eq!(body(&answer), json!({"success": true, "outcome": expected}), "{name}, round {round}");
        }
    }
    let log = lambda.stop().await.unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2 * story::events("webhook").len(), "one line of JSON a request");
    assert!(lines.iter().all(|line| line["status"] == 200 && line["dynamodb_requests"].is_u64()));
    for personal in ["alder.example", "Alder Analytics", "local-secret"] {
        assert!(!log.contains(personal), "the log holds {personal}");
    }
}

#[tokio::test]
async fn a_function_without_its_secret_or_with_an_empty_one_does_not_start() {
    let embedded = Embedded::in_memory().await.unwrap();
    for without in [None, Some(String::new())] {
        let mut variables: Vec<_> =
            variables(&embedded).into_iter().filter(|(name, _)| *name != "STIGG_WEBHOOK_SECRET").collect();
        variables.extend(without.map(|value| ("STIGG_WEBHOOK_SECRET", value)));
        let (succeeded, printed) = start(variables).await.ended().await.unwrap();
        assert!(!succeeded && printed.contains("STIGG_WEBHOOK_SECRET"), "{printed}");
    }
}

#[tokio::test]
async fn a_store_that_can_not_be_reached_is_a_503_and_the_process_lives_on() {
    let embedded = Embedded::in_memory().await.unwrap();
    let mut unreachable = variables(&embedded);
    unreachable.retain(|(name, _)| *name != "DYNAMODB_ENDPOINT");
    unreachable.push(("DYNAMODB_ENDPOINT", "http://127.0.0.1:1".to_owned()));
    let lambda = start(unreachable).await;
    let (_, event) = story::events("webhook").remove(0);
    for _ in 0..2 {
        let answer = lambda.invoke(&event).await.unwrap();
        assert_eq!((answer["statusCode"].as_u64(), &body(&answer)["success"]), (Some(503), &json!(false)), "{answer}");
    }
}
