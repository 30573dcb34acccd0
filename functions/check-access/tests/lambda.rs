//! The real binary, driven over Lambda's Runtime API with the files of events/.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::{collections::BTreeMap, path::Path};

use byos::{embedded::Embedded, hostile, printed::Printed, runtime_api::Lambda, serve::Stack, story};
use serde_json::{Value, json};
use shared::time::Clock;

async fn start(embedded: &Embedded, token: &str) -> Lambda {
    start_with(&embedded.endpoint, token, &[]).await
}

async fn start_at(endpoint: &str, token: &str) -> Lambda {
    start_with(endpoint, token, &[]).await
}

async fn start_with(endpoint: &str, token: &str, more: &[(&'static str, &'static str)]) -> Lambda {
    Lambda::start(Path::new(BINARY), variables(endpoint, token, more)).await.unwrap()
}

const BINARY: &str = env!("CARGO_BIN_EXE_check-access");

fn variables(endpoint: &str, token: &str, more: &[(&'static str, &'static str)]) -> Vec<(&'static str, String)> {
    let tables = byos::tables::local_names();
    let variables = [
        ("CUSTOMERS_TABLE", tables.customers.as_str()),
        ("SUBSCRIPTIONS_TABLE", tables.subscriptions.as_str()),
        ("DYNAMODB_ENDPOINT", endpoint),
        ("CHECK_ACCESS_API_TOKEN", token),
        ("METRICS_NAMESPACE", "byos-stigg"),
    ];
    variables.into_iter().chain(more.iter().copied()).map(|(name, value)| (name, value.to_owned())).collect()
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
    println!("the longest line has {} bytes", log.lines().map(str::len).max().unwrap());
    let printed = Printed::parse(&log).unwrap();
    let (start, requests) = printed.requests.split_first().unwrap();
    assert!(start["connection_milliseconds"].is_f64(), "{start}");
    assert_eq!(requests.len(), story::events("check-access").len(), "{log}");
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
    for (name, event) in story::events("check-access") {
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
        for (name, event) in story::events("check-access").into_iter().take(2) {
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
    let (_, event) = story::events("check-access").into_iter().find(|(name, _)| name == "granted-boolean.json").unwrap();
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

/// The decisions in an answer's body, by reason.
fn count(body: &Value, decisions: &mut BTreeMap<String, f64>) {
    match body {
        Value::Array(parts) => parts.iter().for_each(|part| count(part, decisions)),
        Value::Object(members) => {
            let granted = members.get("hasAccess").or(members.get("isGranted")).or(members.get("value"));
            if let Some(granted) = granted.and_then(Value::as_bool) {
                let denied = if granted { None } else { members.get("accessDeniedReason").or(members.get("variant")) };
                let reason = denied.map_or("Granted", |denied| denied.as_str().unwrap());
                *decisions.entry(reason.to_owned()).or_default() += 1.0;
            } else {
                members.values().for_each(|member| count(member, decisions));
            }
        }
        _ => {}
    }
}

#[tokio::test]
async fn decisions_of_every_route_are_counted_by_reason_and_none_is_lost_at_shutdown() {
    let embedded = Embedded::in_memory().await.unwrap();
    let stack = Stack::on(embedded.store.clone(), "local-secret", "local-token", Clock::system()).unwrap();
    stack.seed("local-secret").await.unwrap();
    let settings = [("LOG_ONE_IN", "100"), ("METRICS_LEVEL", "detailed")];
    let lambda = start_with(&embedded.endpoint, "local-token", &settings).await;
    let mut expected = BTreeMap::new();
    let checks: Vec<Value> = story::events("check-access")
        .iter()
        .map(|(_, event)| serde_json::from_str(event["body"].as_str().unwrap()).unwrap())
        .collect();
    for event in checks.iter().chain([&json!(checks)]) {
        count(&lambda.invoke(event).await.unwrap(), &mut expected);
    }
    let (_, event) = story::events("check-access").remove(0);
    let mut granted = 0;
    for (method, path, body) in [
        ("POST", "/check-access/batch", json!({"customerId": "customer-alder"})),
        ("POST", "/check-access/batch", json!({"customerId": "customer-alder", "checks": [{"featureId": "none"}]})),
        ("POST", "/ofrep/v1/evaluate/flags", json!({"context": {"targetingKey": "customer-alder"}})),
        ("POST", "/ofrep/v1/evaluate/flags/feature-api-calls", json!({"context": {"targetingKey": "customer-alder"}})),
        ("POST", "/ofrep/v1/evaluate/flags/feature-api-calls.limit", json!({"context": {"targetingKey": "customer-alder"}})),
        ("GET", "/v1/c/customer-alder/entitlements.json", Value::Null),
    ] {
        let mut event = event.clone();
        (event["rawPath"], event["body"]) = (path.into(), body.to_string().into());
        (event["requestContext"]["http"]["method"], event["requestContext"]["http"]["path"]) = (method.into(), path.into());
        let answer = lambda.invoke(&event).await.unwrap();
        assert_eq!(answer["statusCode"], 200, "{path}: {answer}");
        let before: f64 = expected.values().sum();
        count(&serde_json::from_str(answer["body"].as_str().unwrap()).unwrap(), &mut expected);
        assert_eq!(expected.values().sum::<f64>() > before, !path.ends_with(".limit"), "{path}: {answer}");
    }
    let check = json!({"customerId": "customer-alder", "featureId": "feature-api-calls"});
    for _ in 0..250 {
        let answer = lambda.invoke(&check).await.unwrap();
        granted += usize::from(answer["hasAccess"] == true);
        count(&answer, &mut expected);
    }
    assert_eq!(granted, 250);
    let printed = Printed::parse(&lambda.shut_down().await.unwrap()).unwrap();
    assert_eq!(printed.sums("Decisions"), expected);
    let logged = printed.requests.iter().filter(|line| line["outcome"] == "granted").count();
    assert_eq!(logged, 3, "of some 250 the first, the 101st and the 201st");
}

/// The bound of what a crash loses: what was counted since the last write.
#[tokio::test]
async fn a_process_that_is_killed_loses_what_it_had_not_written() {
    let embedded = Embedded::in_memory().await.unwrap();
    let lambda = start(&embedded, "local-token").await;
    let check = json!({"customerId": "c", "featureId": "f"});
    for _ in 0..3 {
        assert_eq!(lambda.invoke(&check).await.unwrap()["hasAccess"], false);
    }
    let printed = Printed::parse(&lambda.stop().await.unwrap()).unwrap();
    let denied = printed.sums("Decisions")["Denied"];
    assert!((1.0..3.0).contains(&denied), "{denied}");
}

/// Where Lambda's Extensions API is missing, as in emulators, the function works without it.
#[tokio::test]
async fn a_function_that_can_register_no_extension_answers_all_the_same() {
    let embedded = Embedded::in_memory().await.unwrap();
    let variables = variables(&embedded.endpoint, "local-token", &[]);
    let lambda = Lambda::start_without_extensions(Path::new(BINARY), variables).await.unwrap();
    for _ in 0..2 {
        assert_eq!(lambda.invoke(&json!({"customerId": "c", "featureId": "f"})).await.unwrap()["hasAccess"], false);
    }
    let process = lambda.process_id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &process]).status().unwrap().success());
    let (succeeded, log) = lambda.ended().await.unwrap();
    assert!(succeeded && log.contains("no extension could be registered: 404"), "{log}");
    assert_eq!(Printed::parse(&log).unwrap().sums("Decisions")["Denied"], 2.0);
}
