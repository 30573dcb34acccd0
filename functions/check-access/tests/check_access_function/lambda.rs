//! Runs the binary against a fake Lambda Runtime API, with the sample events.

use std::{collections::BTreeMap, path::Path};

use local::{embedded::Embedded, serve::Stack};
use runtime::clock::Clock;
use serde_json::{Value, json};
use template::sample;
use testkit::{hostile, printed::Printed, runtime_api::Lambda};

const BINARY: &str = env!("CARGO_BIN_EXE_check-access");

async fn start(embedded: &Embedded, token: &str) -> Lambda {
    start_at(&embedded.endpoint, token).await
}

async fn start_at(endpoint: &str, token: &str) -> Lambda {
    start_with(endpoint, token, &[]).await
}

async fn start_with(endpoint: &str, token: &str, settings: &[(&str, &str)]) -> Lambda {
    Lambda::start(Path::new(BINARY), variables(endpoint, token, settings)).await.unwrap()
}

fn variables(endpoint: &str, token: &str, settings: &[(&str, &str)]) -> Vec<(String, String)> {
    let tables = template::tables::local_names();
    let common = [
        ("CUSTOMERS_TABLE", tables.customers.as_str()),
        ("SUBSCRIPTIONS_TABLE", tables.subscriptions.as_str()),
        ("DYNAMODB_ENDPOINT", endpoint),
        ("CHECK_ACCESS_API_TOKEN", token),
        ("METRICS_NAMESPACE", "byos-stigg"),
    ];
    common.iter().chain(settings).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn sample_checks_are_granted_or_denied_as_their_file_names_say() {
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
    let printed = Printed::parse(&log).unwrap();
    let (start, requests) = printed.requests.split_first().unwrap();
    assert!(start["connection_milliseconds"].is_f64(), "{start}");
    assert_eq!(requests.len(), sample::events("check-access").len(), "{log}");
    assert!(!log.contains("local-token"), "{log}");
}

#[tokio::test]
async fn a_function_with_an_empty_token_does_not_start() {
    let embedded = Embedded::in_memory().await.unwrap();
    let (succeeded, printed) = start(&embedded, "").await.ended().await.unwrap();
    assert!(!succeeded && printed.contains("CHECK_ACCESS_API_TOKEN"), "{printed}");
}

/// A direct invocation needs no token: the permission to invoke the function authorizes it.
#[tokio::test]
async fn direct_invocations_have_the_same_decisions_as_http_requests() {
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
        (json!({"customerId": "c", "featureId": "f", "hasAccess": true}), "`hasAccess` is not a known field"),
        (json!([{"customerId": "c", "featureId": "f"}, {"customerId": "c", "featureId": 7}]), "`[1].featureId` must be a string"),
        (json!([5]), "`[0]` must be an object"),
        (json!(vec![&checks[0]; 101]), "`the list` must hold at most 100 checks"),
    ] {
        assert_eq!(lambda.invoke(&event).await.unwrap(), json!({ "error": error }));
    }
}

/// An event for a Lambda authorizer, in API Gateway's documented format.
fn authorizer_event(headers: Value, path_parameters: Value) -> Value {
    json!({
        "version": "2.0", "type": "REQUEST", "routeArn": "arn:aws:execute-api:eu-central-1:123456789012:abcdef123/$default/GET/use",
        "identitySource": ["one", "two"], "routeKey": "GET /use/{feature}", "rawPath": "/use/f", "rawQueryString": "",
        "headers": headers, "pathParameters": path_parameters, "stageVariables": null,
        "requestContext": {"accountId": "123456789012", "apiId": "abcdef123", "domainName": "d", "domainPrefix": "d",
            "http": {"method": "GET", "path": "/use/f", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "a"},
            "requestId": "id", "routeKey": "GET /use/{feature}", "stage": "$default", "time": "", "timeEpoch": 1583348638390_u64},
    })
}

/// The value of the header X-CUSTOMER-KEY: a customer's id and its signature.
fn customer_key(customer: &str) -> String {
    use hmac::{KeyInit as _, Mac as _};
    let mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(b"signing-secret").unwrap().chain_update(customer);
    format!("HMAC-SHA256 {customer}:{}", hex::encode(mac.finalize().into_bytes()))
}

const AUTHORIZER_BY_CUSTOMER_KEY: [(&str, &str); 3] = [
    ("AUTHORIZER_CUSTOMER", "$customerKey"),
    ("AUTHORIZER_FEATURE", "$request.path.feature"),
    ("CUSTOMER_KEY_SECRET", "signing-secret"),
];

#[tokio::test]
async fn the_authorizer_allows_a_request_exactly_if_a_check_grants_it_to_the_signed_customer() {
    let embedded = Embedded::in_memory().await.unwrap();
    let stack = Stack::on(embedded.store.clone(), "local-secret", "local-token", Clock::system()).unwrap();
    stack.seed("local-secret").await.unwrap();
    let lambda = start_with(&embedded.endpoint, "local-token", &AUTHORIZER_BY_CUSTOMER_KEY).await;
    let (mut granted, mut denied) = (0, 0);
    for (name, event) in sample::events("check-access") {
        let check: Value = serde_json::from_str(event["body"].as_str().unwrap()).unwrap();
        let (customer, feature) = (check["customerId"].as_str().unwrap(), check["featureId"].as_str().unwrap());
        let decision = lambda.invoke(&json!({"customerId": customer, "featureId": feature})).await.unwrap();
        let mut event = authorizer_event(json!({"x-customer-key": customer_key(customer)}), json!({"feature": feature}));
        let answer = lambda.invoke(&event).await.unwrap();
        assert_eq!(answer["isAuthorized"], decision["hasAccess"], "{name}: {answer}");
        let context = &answer["context"];
        assert_eq!((&context["customerId"], &context["featureId"]), (&json!(customer), &json!(feature)));
        assert_eq!(
            (context.get("accessDeniedReason").unwrap_or(&Value::Null), context.get("currentUsage").unwrap_or(&Value::Null)),
            (&decision["accessDeniedReason"], &decision["currentUsage"])
        );
        assert!(!context.as_object().unwrap().values().any(Value::is_null), "{answer}");
        *(if decision["hasAccess"] == true { &mut granted } else { &mut denied }) += 1;
        // API Gateway sends null if no identity source is configured.
        event["identitySource"] = Value::Null;
        assert_eq!(lambda.invoke(&event).await.unwrap(), answer);
    }
    assert!(granted > 2 && denied > 2, "{granted} {denied}");
    let key = customer_key("customer-alder");
    let feature = json!({"feature": "feature-sso"});
    for (headers, path_parameters, error) in [
        (json!({}), feature.clone(), "the header X-CUSTOMER-KEY is missing"),
        (json!(null), feature.clone(), "the header X-CUSTOMER-KEY is missing"),
        (json!({"x-customer-key": "customer-alder"}), feature.clone(), "not a valid signature"),
        (json!({"x-customer-key": key.replace("alder", "birch")}), feature.clone(), "not a valid signature"),
        (json!({"x-customer-key": format!("{key},{key}")}), feature.clone(), "not a valid signature"),
        (json!({"x-customer-key": key, "X-Customer-Key": key}), feature.clone(), "more than one"),
        (json!({"x-customer-key": key}), json!(null), "the request has no $request.path.feature"),
        (json!({"x-customer-key": key}), json!({"feature": ""}), "the request has no $request.path.feature"),
        (json!({"x-customer-key": key}), json!({"feature": "x".repeat(501)}), "$request.path.feature must be at most 500 bytes"),
        (json!({"x-customer-key": key}), json!({"feature": "a\u{0}"}), "must not contain the character U+0000"),
    ] {
        let answer = lambda.invoke(&authorizer_event(headers, path_parameters)).await.unwrap();
        assert_eq!(answer["isAuthorized"], false, "{answer}");
        assert!(answer["context"]["error"].as_str().unwrap().contains(error), "{answer}");
    }
    let log = lambda.stop().await.unwrap();
    assert!(!log.contains("signing-secret") && !log.contains("HMAC-SHA256") && !log.contains("panicked"), "{log}");
}

#[tokio::test]
async fn the_authorizer_reads_a_check_from_the_configured_parts_of_the_request() {
    let embedded = Embedded::in_memory().await.unwrap();
    let stack = Stack::on(embedded.store.clone(), "local-secret", "local-token", Clock::system()).unwrap();
    stack.seed("local-secret").await.unwrap();
    let settings = [
        ("AUTHORIZER_CUSTOMER", "$request.header.X-Customer"),
        ("AUTHORIZER_FEATURE", r#"{"GET /use/{feature}":"feature-sensors"}"#),
        ("AUTHORIZER_RESOURCE", "$request.path.site"),
        ("AUTHORIZER_REQUESTED_USAGE", "1"),
    ];
    let lambda = start_with(&embedded.endpoint, "local-token", &settings).await;
    let check = |usage| json!({"customerId": "customer-alder", "featureId": "feature-sensors", "resourceId": "site-berlin", "requestedUsage": usage});
    let decision = lambda.invoke(&check(1)).await.unwrap();
    let headers = json!({"x-customer": "customer-alder"});
    let answer = lambda.invoke(&authorizer_event(headers.clone(), json!({"site": "site-berlin"}))).await.unwrap();
    assert_eq!(answer["context"]["resourceId"], "site-berlin");
    assert_eq!((&answer["isAuthorized"], &json!(true)), (&decision["hasAccess"], &decision["hasAccess"]), "{answer} {decision}");
    let answer = lambda.invoke(&authorizer_event(headers, json!({}))).await.unwrap();
    assert_eq!(answer, json!({"isAuthorized": false, "context": {"error": "the request has no $request.path.site"}}));
    let lambda = start_with(
        &embedded.endpoint,
        "local-token",
        &[("AUTHORIZER_REQUESTED_USAGE", "1000000")].iter().chain(&settings[..3]).copied().collect::<Vec<_>>(),
    )
    .await;
    let headers = json!({"x-customer": "customer-alder"});
    let answer = lambda.invoke(&authorizer_event(headers, json!({"site": "site-berlin"}))).await.unwrap();
    assert_eq!(answer["context"]["accessDeniedReason"], "RequestedUsageExceedingLimit", "{answer}");
}

#[tokio::test]
async fn the_authorizer_denies_if_it_is_not_configured_or_the_store_fails() {
    let embedded = Embedded::in_memory().await.unwrap();
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hanging = format!("http://{}", silent.local_addr().unwrap());
    let event = authorizer_event(json!({"x-customer-key": customer_key("customer-alder")}), json!({"feature": "feature-sso"}));
    for (endpoint, settings, error) in [
        (embedded.endpoint.as_str(), &[] as &[_], "no authorizer is configured"),
        ("http://127.0.0.1:1", &AUTHORIZER_BY_CUSTOMER_KEY, "the replica's store did not answer"),
        (&hanging, &AUTHORIZER_BY_CUSTOMER_KEY, "the replica's store did not answer"),
    ] {
        let answer = start_with(endpoint, "local-token", settings).await.invoke(&event).await.unwrap();
        assert_eq!(answer["isAuthorized"], false, "{answer}");
        assert!(answer["context"]["error"].as_str().unwrap().starts_with(error), "{answer}");
    }
    for settings in
        [&AUTHORIZER_BY_CUSTOMER_KEY[..2], &[("BROWSER_ORIGINS", "https://app.example.com")], &[("BROWSER_ORIGINS", "*")]]
    {
        let (succeeded, printed) = start_with(&embedded.endpoint, "local-token", settings).await.ended().await.unwrap();
        let variable = if settings[0].1 == "*" { "BROWSER_ORIGINS" } else { "CUSTOMER_KEY_SECRET_ARN" };
        assert!(!succeeded && printed.contains(variable), "{settings:?}: {printed}");
    }
}

/// The store refuses connections, or accepts them and never answers.
#[tokio::test]
async fn checks_without_a_store_are_a_503_without_a_decision() {
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
async fn malformed_events_are_answered_and_the_process_survives() {
    let embedded = Embedded::in_memory().await.unwrap();
    let stack = Stack::on(embedded.store.clone(), "local-secret", "local-token", Clock::system()).unwrap();
    stack.seed("local-secret").await.unwrap();
    let lambda = start(&embedded, "local-token").await;
    let (_, event) = sample::events("check-access").into_iter().find(|(name, _)| name == "granted-boolean.json").unwrap();
    for (what, event) in hostile::malformed(&event) {
        let answer = lambda.invoke(&event).await.unwrap();
        assert_eq!(answer["statusCode"], 400, "{what}: {answer}");
    }
    for (what, event) in hostile::unusual(&event) {
        let answer = lambda.invoke(&event).await.unwrap();
        let expected = if what.starts_with("a path") { 404 } else { 200 };
        assert_eq!(answer["statusCode"], expected, "{what}: {answer}");
    }
    assert_eq!(lambda.invoke(&event).await.unwrap()["statusCode"], 200);
}

/// Counts the decisions in a response's body by reason.
fn count(body: &Value, decisions: &mut BTreeMap<String, f64>) {
    match body {
        Value::Array(items) => items.iter().for_each(|item| count(item, decisions)),
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
async fn all_routes_count_decisions_by_reason_and_shutdown_loses_none() {
    let embedded = Embedded::in_memory().await.unwrap();
    let stack = Stack::on(embedded.store.clone(), "local-secret", "local-token", Clock::system()).unwrap();
    stack.seed("local-secret").await.unwrap();
    let settings = [("LOG_ONE_IN", "100"), ("METRICS_LEVEL", "detailed")];
    let lambda = start_with(&embedded.endpoint, "local-token", &settings).await;
    let mut expected = BTreeMap::new();
    let checks: Vec<Value> = sample::events("check-access")
        .iter()
        .map(|(_, event)| serde_json::from_str(event["body"].as_str().unwrap()).unwrap())
        .collect();
    for event in checks.iter().chain([&json!(checks)]) {
        count(&lambda.invoke(event).await.unwrap(), &mut expected);
    }
    let (_, event) = sample::events("check-access").remove(0);
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
    assert_eq!(logged, 3, "one in 100 of about 250 is logged");
}

#[tokio::test]
async fn a_killed_process_loses_only_counts_since_the_last_write() {
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

/// Emulators of Lambda have no Extensions API.
#[tokio::test]
async fn the_function_works_without_the_extensions_api() {
    let embedded = Embedded::in_memory().await.unwrap();
    let variables = variables(&embedded.endpoint, "local-token", &[]);
    let lambda = Lambda::start_without_extensions(Path::new(BINARY), variables).await.unwrap();
    for _ in 0..2 {
        assert_eq!(lambda.invoke(&json!({"customerId": "c", "featureId": "f"})).await.unwrap()["hasAccess"], false);
    }
    let process = lambda.process_id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &process]).status().unwrap().success());
    let (succeeded, log) = lambda.ended().await.unwrap();
    assert!(succeeded && log.contains("the extension could not be registered: 404"), "{log}");
    assert_eq!(Printed::parse(&log).unwrap().sums("Decisions")["Denied"], 2.0);
}
