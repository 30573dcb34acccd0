//! `byos doctor`.

use axum::{Router, http::StatusCode};
use serde_json::{Value, json};
use template::tables;

use crate::{
    aws::Aws,
    stack::{Local, Output},
};

/// The names of the checks with this verdict.
fn names(report: &Value, verdict: &str) -> Vec<String> {
    let checks = report["checks"].as_array().unwrap().iter().filter(|check| check["verdict"] == verdict);
    checks.map(|check| check["name"].as_str().unwrap().to_owned()).collect()
}

fn check<'a>(report: &'a Value, name: &str) -> &'a Value {
    report["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{name}: {report}"))
}

async fn items(local: &Local) -> usize {
    let tables = local.embedded.store.tables();
    let request = local.embedded.store.client().scan().table_name(&tables.customers);
    request.send().await.unwrap().items().len()
}

#[tokio::test]
async fn a_healthy_stack_passes_all_checks_and_keeps_only_tombstones_of_the_test_customer() {
    let local = Local::start().await;
    let output = local.byos(&["doctor", "--json"]).await;
    let report = output.json();
    assert_eq!((output.code, &report["warnings"], &report["failures"]), (0, &json!(0), &json!(0)), "{report:#}");
    for name in [
        "table byos-customers",
        "table byos-receipts, TTL",
        "webhook, a wrong secret",
        "clock",
        "/graphql, no token",
        "test event customer.created",
        "the test customer in the tables",
        "the test customer at /check-access",
        "the test customer's deletion in the tables",
        "the test customer's deletion at /check-access",
    ] {
        assert_eq!(check(&report, name)["verdict"], "ok");
    }
    // The tombstones in PROFILE and in USAGE.
    assert_eq!(items(&local).await, 2);
    let output = local.byos(&["doctor", "--read-only"]).await;
    assert!(
        output.code == 0 && output.out.contains("ok    webhook, a wrong secret: rejected") && !output.out.contains("test event"),
        "{output:?}"
    );
    assert_eq!(items(&local).await, 2);
}

#[tokio::test]
async fn for_a_stack_in_aws_safeguards_secrets_and_queues_are_checked_and_no_secret_is_printed() {
    let aws = Aws::start().await;
    aws.sqs.put("waits");
    aws.sqs.put_into("set-aside", "is tried");
    let receive = aws.sqs.client().receive_message().queue_url(aws.sqs.url_of("set-aside"));
    assert_eq!(receive.send().await.unwrap().messages().len(), 1);
    let output = aws.byos(&["doctor", "--stack", "replica", "--json"]).await;
    let report = output.json();
    assert_eq!((output.code, names(&report, "fail")), (3, vec![]), "{report:#}");
    assert_eq!(check(&report, "dead-letter queue")["found"], "about 1 event waits");
    assert_eq!(check(&report, "set-aside queue")["found"], "about 1 event waits, 1 of them in flight");
    assert_eq!(check(&report, "table byos-customers, deletion protection")["verdict"], "warn");
    assert!(check(&report, "dead-letter queue")["mend"].as_str().unwrap().contains("byos replay"));
    for name in ["secret of the webhook", "secret of /graphql", "secret of /check-access", "the test customer at /check-access"] {
        assert_eq!(check(&report, name)["verdict"], "ok");
    }
    assert!(!format!("{output:?}").contains("local-secret") && !format!("{output:?}").contains("local-token"));

    aws.secrets.put(Some(&json!({"secret": "", "token": ""})));
    let output = aws.byos(&["doctor", "--stack", "replica", "--json"]).await;
    let failures = ["secret of the webhook", "secret of /graphql", "secret of /check-access"];
    assert_eq!((output.code, names(&output.json(), "fail")), (1, failures.map(str::to_owned).to_vec()), "{output:?}");
}

#[tokio::test]
async fn check_access_is_not_called_with_another_functions_token() {
    let aws = Aws::start().await;
    aws.secrets.deny("arn:check-access");
    let report = aws.byos(&["doctor", "--stack", "replica", "--json"]).await.json();
    assert_eq!(names(&report, "fail"), Vec::<String>::new(), "{report:#}");
    assert_eq!(check(&report, "secret of /check-access")["verdict"], "warn");
    assert!(!report.to_string().contains("the test customer at /check-access"), "{report:#}");
}

#[tokio::test]
async fn a_wrong_token_secret_or_table_is_reported_with_its_fix() {
    let local = Local::start().await;
    let output = local.byos(&["doctor", "--json", "--token", "another"]).await;
    assert_eq!((output.code, names(&output.json(), "fail").len()), (1, 2), "{output:?}");
    assert_eq!(check(&output.json(), "the test customer at /check-access")["found"], "the token is rejected");

    let output = local.byos(&["doctor", "--json", "--secret", "another"]).await;
    let failures = ["test event customer.created", "test event customer.deleted"];
    assert_eq!((output.code, names(&output.json(), "fail")), (1, failures.map(str::to_owned).to_vec()), "{output:?}");

    // A table with a wrong key and without indexes and TTL, and a missing table.
    let client = local.embedded.store.client();
    let request = client.create_table().table_name("bare").billing_mode(aws_sdk_dynamodb::types::BillingMode::PayPerRequest);
    let key = |name: &str, kind| {
        aws_sdk_dynamodb::types::KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap()
    };
    let attribute = |name: &str| {
        let text = aws_sdk_dynamodb::types::ScalarAttributeType::S;
        aws_sdk_dynamodb::types::AttributeDefinition::builder().attribute_name(name).attribute_type(text).build().unwrap()
    };
    let request = request.key_schema(key("customerId", aws_sdk_dynamodb::types::KeyType::Hash));
    request.attribute_definitions(attribute("customerId")).send().await.unwrap();
    let receipts = tables::local_names().receipts;
    let output = local
        .byos(&[
            "doctor",
            "--json",
            "--read-only",
            "--customers-table",
            "bare",
            "--subscriptions-table",
            "none",
            "--receipts-table",
            &receipts,
        ])
        .await;
    let report = output.json();
    assert_eq!(names(&report, "fail"), ["table bare", "table bare, TTL", "table none"], "{report:#}");
    let bare = check(&report, "table bare")["found"].as_str().unwrap();
    assert!(bare.contains("its key is not customerId and item") && bare.contains("the index byEmail is missing"), "{bare}");
    assert!(check(&report, "table bare, TTL")["mend"].as_str().unwrap().contains("AttributeName=expiresAt"));
}

#[tokio::test]
async fn the_webhooks_response_to_a_wrong_secret_is_explained() {
    let local = Local::start().await;
    for (status, expected, code) in [
        (StatusCode::OK, "accepts any secret", 1),
        (StatusCode::SERVICE_UNAVAILABLE, "if the secret is not set yet", 1),
        (StatusCode::FORBIDDEN, "allowed sources", 3),
        (StatusCode::NOT_FOUND, "check the address", 1),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(move || async move { (status, "{}") })).await });
        let output: Output = local.byos(&["doctor", "--url", &url, "--json"]).await;
        let report = output.json();
        assert_eq!(output.code, code, "{report:#}");
        assert!(check(&report, "webhook, a wrong secret")["mend"].as_str().unwrap().contains(expected), "{report:#}");
        assert!(!names(&report, "ok").iter().any(|name| name.starts_with("test event")), "{report:#}");
        // API Gateway's authorizers answer 403.
        assert_eq!(
            names(&report, "fail").contains(&"/check-access, no token".to_owned()),
            status != StatusCode::FORBIDDEN,
            "{report:#}"
        );
    }
    let output = local.byos(&["doctor", "--url", "http://127.0.0.1:1", "--json"]).await;
    assert!(
        output.code == 1 && check(&output.json(), "webhook, a wrong secret")["found"].as_str().unwrap().starts_with("no answer"),
        "{output:?}"
    );
}
