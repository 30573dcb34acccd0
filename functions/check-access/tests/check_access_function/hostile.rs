//! Hostile requests to the binary: each is rejected with a clear error, or decided by the stored data. No malformed request
//! is granted, and the process survives all of them.

use std::path::Path;

use local::{embedded::Embedded, serve::Stack};
use runtime::clock::Clock;
use serde_json::{Value, json};
use template::sample;
use testkit::{hostile, runtime_api::Lambda};

async fn start(embedded: &Embedded, token: &str, level: &str) -> Lambda {
    let tables = embedded.store.tables();
    let variables = [
        ("CUSTOMERS_TABLE", tables.customers.as_str()),
        ("SUBSCRIPTIONS_TABLE", tables.subscriptions.as_str()),
        ("DYNAMODB_ENDPOINT", &embedded.endpoint),
        ("CHECK_ACCESS_API_TOKEN", token),
        ("RUST_LOG", level),
    ];
    Lambda::start(Path::new(env!("CARGO_BIN_EXE_check-access")), variables).await.unwrap()
}

/// A sample check that is granted. Its feature is of type BOOLEAN.
fn granted() -> Value {
    sample::events("check-access").into_iter().find(|(name, _)| name == "granted-boolean.json").unwrap().1
}

fn with_body(body: impl Into<String>) -> Value {
    let mut event = granted();
    event["body"] = body.into().into();
    event
}

async fn seeded() -> Embedded {
    let embedded = Embedded::in_memory().await.unwrap();
    let stack = Stack::on(embedded.store.clone(), "local-secret", "local-token", Clock::system()).unwrap();
    stack.seed("local-secret").await.unwrap();
    embedded
}

#[tokio::test]
async fn hostile_checks_are_rejected_or_denied() {
    let embedded = seeded().await;
    let lambda = start(&embedded, "local-token", "info").await;
    let check: Value = serde_json::from_str(granted()["body"].as_str().unwrap()).unwrap();
    let (customer, feature) = (check["customerId"].as_str().unwrap(), check["featureId"].as_str().unwrap());
    let with = |members: Value| {
        let mut body = check.clone();
        body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        body.to_string()
    };
    let raw = |members: &str| format!(r#"{{"customerId":"{customer}","featureId":"{feature}"{members}}}"#);
    let not_json = "the body is not JSON";
    let long = "x".repeat(4_096);
    for (body, error) in [
        (String::new(), not_json),
        ("\u{feff}{}".to_owned(), not_json),
        ("[".repeat(60_000), not_json),
        (raw(&format!(r#","requestedValues":{}{}"#, "[".repeat(200), "]".repeat(200))), not_json),
        (raw(r#","requestedUsage":1e999"#), not_json),
        (raw(r#","requestedUsage":-Infinity"#), not_json),
        (raw(r#","requestedUsage":NaN"#), not_json),
        (raw(r#","resourceId":"\ud800""#), not_json),
        (with(json!({"requestedUsage": -5e-324})), "`requestedUsage` must be a finite number, not below 0"),
        (with(json!({"requestedUsage": true})), "`requestedUsage` must be a number"),
        (with(json!({"requestedUsage": {}})), "`requestedUsage` must be a number"),
        (with(json!({"customerId": "a\u{0}b"})), "`customerId` must not contain the character U+0000"),
        (with(json!({"customerId": long})), "`customerId` must be at most 500 bytes long"),
        (with(json!({"featureId": long})), "`featureId` must be at most 500 bytes long"),
        (with(json!({"resourceId": long})), "`resourceId` must be at most 500 bytes long"),
        (with(json!({"resourceId": ""})), "`resourceId` must not be empty"),
        (with(json!({"customerId": [customer]})), "`customerId` must be a string"),
        (with(json!({"hasAccess": true})), "`hasAccess` is not a known field"),
        (with(json!({"__proto__": {"hasAccess": true}})), "`__proto__` is not a known field"),
        (with(json!({"requestedValues": [null]})), "`requestedValues[0]` must be a string"),
    ] {
        let answer = lambda.invoke(&with_body(body.clone())).await.unwrap();
        let reply: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        let message = reply["error"].as_str().unwrap();
        assert_eq!(answer["statusCode"], 400, "{}: {reply}", body.get(..200).unwrap_or(&body));
        assert!(message.starts_with(error) && message.len() < 200, "{}: {reply}", body.get(..200).unwrap_or(&body));
        assert_eq!(reply.get("hasAccess"), None);
    }
    let too_long = with(json!({"requestedValues": vec![long.as_str(); 20]}));
    assert_eq!(lambda.invoke(&with_body(too_long)).await.unwrap()["statusCode"], 413);

    for denied in [
        json!({"customerId": format!("{customer}#")}),
        json!({"customerId": format!("{customer}\u{1}")}),
        json!({"customerId": format!(" {customer}")}),
        json!({"customerId": customer.to_uppercase()}),
        json!({"customerId": "PROFILE"}),
        json!({"featureId": format!("{feature}#")}),
        json!({"featureId": "#"}),
        json!({"featureId": "__proto__"}),
        json!({"featureId": format!("0##{feature}")}),
        json!({"resourceId": "#"}),
        json!({"resourceId": "PROFILE"}),
        json!({"resourceId": format!("0##{feature}")}),
        json!({"resourceId": "x".repeat(500), "featureId": "x".repeat(500), "customerId": "x".repeat(500)}),
    ] {
        let answer = lambda.invoke(&with_body(with(denied.clone()))).await.unwrap();
        let decision: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        assert_eq!((&answer["statusCode"], &decision["hasAccess"]), (&json!(403), &json!(false)), "{denied}: {decision}");
    }
    // The last value of a duplicate member counts.
    let duplicate = raw(r#","customerId":"nobody""#);
    assert_eq!(lambda.invoke(&with_body(duplicate)).await.unwrap()["statusCode"], 403);

    assert_eq!(lambda.invoke(&granted()).await.unwrap()["statusCode"], 200);
    let log = lambda.stop().await.unwrap();
    assert!(!log.contains("panicked"), "{log}");
}

#[tokio::test]
async fn hostile_paths_and_queries_are_rejected_or_match_no_customer() {
    let embedded = seeded().await;
    let lambda = start(&embedded, "local-token", "info").await;
    let request = |method: &str, path: &str, query: &str| {
        let mut event = with_body("");
        (event["rawPath"], event["rawQueryString"]) = (path.into(), query.into());
        (event["requestContext"]["http"]["method"], event["requestContext"]["http"]["path"]) = (method.into(), path.into());
        event
    };
    let long = "x".repeat(501);
    let many = |count: usize| vec!["resourceIds=r"; count].join("&");
    for (path, query, status) in [
        ("/v1/c/../entitlements.json", "", 200),
        ("/v1/c/../../check-access", "", 404),
        ("/v1/c/customer-alder/../entitlements.json", "", 200),
        ("/v1/c/customer-alder#/entitlements.json", "", 200),
        ("/v1/c/customer-alder%23/entitlements-state.json", "", 200),
        ("/v1/c/ customer-alder/subscriptions.json", "", 200),
        ("/v1/c/CUSTOMER-ALDER/subscriptions.json", "", 200),
        ("/v1/c/\u{202e}%/entitlements.json", "", 200),
        ("/v1/c//entitlements.json", "", 400),
        ("/v1/c/%00/entitlements.json", "", 400),
        ("/v1/c/\u{0}/entitlements.json", "", 400),
        ("/v1/c/%FF%FE/entitlements.json", "", 404),
        (&format!("/v1/c/{long}/entitlements.json"), "", 400),
        ("/v1/c/entitlements.json", "", 404),
        ("/v1/c/customer-alder/paywall.json", "", 404),
        ("/v1/customers/customer-alder/entitlements", "", 404),
        ("/v1/", "", 404),
        ("/v1", "", 404),
        ("/api/v1/customers/CUSTOMER-ALDER/entitlements", "", 200),
        ("/api/v1/customers/customer-alder%23/entitlements/check", "featureId=feature-sso", 200),
        ("/api/v1/customers/customer-alder/../x/entitlements/check", "featureId=feature-sso", 200),
        ("/api/v1/customers/customer-alder/entitlements/check", "featureId=%00", 400),
        ("/api/v1/customers/customer-alder/entitlements/check", "featureId=feature-sso&currencyId=c", 400),
        ("/api/v1/customers/customer-alder/entitlements/check", "featureId=feature-sso&requestedUsage=NaN", 400),
        ("/api/v1/customers/customer-alder/entitlements/check", "featureId=feature-sso&reserveAmount=1", 400),
        ("/api/v1/customers/%00/entitlements", "", 400),
        ("/api/v1/customers/customer-alder/entitlements/", "", 405),
        ("/api/v1/customers/customer-alder", "", 405),
        ("/api/../v1/c/customer-alder/entitlements.json", "", 405),
        ("/browser/v1/c/customer-alder/entitlements.json", "", 404),
        ("/browser/check-access", "", 404),
        ("//v1/c/customer-alder/entitlements.json", "", 404),
        ("/V1/c/customer-alder/entitlements.json", "", 404),
        ("/v1/c/customer-alder/entitlements.json", "resourceId=%00", 400),
        ("/v1/c/customer-alder/entitlements.json", "featureId=f&requestedUsage=1e999", 400),
        ("/v1/c/customer-alder/entitlements.json", "featureId=f&requestedUsage=-0.1", 400),
        ("/v1/c/customer-alder/subscriptions.json", &many(101), 400),
        ("/v1/c/customer-alder/subscriptions.json", &many(10_000), 400),
    ] {
        let answer = lambda.invoke(&request("GET", path, query)).await.unwrap();
        let reply: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        assert_eq!(answer["statusCode"], status, "{path}: {reply}");
        assert_eq!(reply["error"].is_string(), status != 200, "{path}: {reply}");
        // No path names an existing customer.
        let member = reply["data"].as_object().map(|data| data.values().next().unwrap().clone()).unwrap_or_default();
        let entitlements = reply["data"].get("entitlements").or(member.get("entitlements")).unwrap_or(&member);
        assert_ne!(reply["data"]["isGranted"], true, "{path}: {reply}");
        assert!(entitlements.as_array().is_none_or(Vec::is_empty), "{path}: {reply}");
    }
    let flag = lambda.invoke(&request("POST", &format!("/ofrep/v1/evaluate/flags/{long}"), "")).await.unwrap();
    assert_eq!(flag["statusCode"], 400, "{flag}");
    for method in ["PUT", "DELETE", "HEAD", "OPTIONS", "POST"] {
        let answer = lambda.invoke(&request(method, "/v1/c/customer-alder/entitlements.json", "")).await.unwrap();
        assert_eq!((&answer["statusCode"], &answer["headers"]["allow"]), (&json!(405), &json!("GET")), "{method}");
    }
    assert_eq!(lambda.invoke(&granted()).await.unwrap()["statusCode"], 200);
    let log = lambda.stop().await.unwrap();
    assert!(!log.contains("panicked"), "{log}");
}

#[tokio::test]
async fn logs_contain_no_secret_or_body_at_any_level() {
    let embedded = seeded().await;
    for level in ["error", "info", "debug", "trace", "trace,lambda_runtime=trace,aws_smithy_runtime=trace,hyper=trace"] {
        let lambda = start(&embedded, "m4rk-token", level).await;
        let bodies = [
            granted()["body"].as_str().unwrap().to_owned(),
            json!({"customerId": "c", "featureId": "f", "requestedValues": ["m4rk-value"]}).to_string(),
            json!({"customerId": "c", "featureId": "f", "m4rk-value": "m4rk-value"}).to_string(),
            json!({"customerId": "c", "featureId": ["m4rk-value"]}).to_string(),
            "m4rk-value".to_owned(),
        ];
        for body in bodies {
            for token in ["m4rk-token", "m4rk-guess"] {
                let mut event = with_body(body.clone());
                event["headers"]["authorization"] = format!("Bearer {token}").into();
                event["rawQueryString"] = "token=m4rk-value".into();
                let _ = lambda.invoke(&event).await.unwrap();
            }
        }
        let mut event = with_body("m4rk-value");
        event["headers"]["authorization"] = "Bearer m4rk-token".into();
        for (_, event) in hostile::malformed(&event) {
            let _ = lambda.invoke(&event).await.unwrap();
        }
        let log = lambda.stop().await.unwrap();
        assert_eq!(log.is_empty(), level == "error", "{level}: {log}");
        for marker in ["m4rk-token", "m4rk-guess", "m4rk-value"] {
            assert!(!log.contains(marker), "{level}: the log contains {marker}");
        }
    }
}
