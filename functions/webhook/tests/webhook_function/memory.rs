//! The binary's additional memory for the largest events, compared with a small one.
#![cfg(target_os = "linux")]

use std::path::Path;

use local::embedded::Embedded;
use template::sample;
use testkit::{fake_aws::Sqs, runtime_api::Lambda};

/// Of the function's 128 MB, the process itself uses about 20.
const MAX_GROWTH: u64 = 40 * 1024 * 1024;

/// An event of the maximum size.
fn filled(before: &str, unit: &str, after: &str) -> String {
    let count = (webhook::MAX_BODY_BYTES - before.len() - after.len()) / unit.len();
    format!("{before}{}{after}", unit.repeat(count))
}

/// A value of /proc/<process>/status in bytes.
fn status(process: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[tokio::test]
async fn any_event_of_4_mib_takes_less_than_40_mib() {
    let embedded = Embedded::in_memory().await.unwrap();
    let sqs = Sqs::start().await.unwrap();
    let tables = embedded.store.tables();
    let variables = [
        ("CUSTOMERS_TABLE", tables.customers.clone()),
        ("SUBSCRIPTIONS_TABLE", tables.subscriptions.clone()),
        ("RECEIPTS_TABLE", tables.receipts.clone()),
        ("DYNAMODB_ENDPOINT", embedded.endpoint.clone()),
        ("STIGG_WEBHOOK_SECRET", "local-secret".to_owned()),
        ("SET_ASIDE_QUEUE_URL", sqs.url_of("set-aside")),
        ("SQS_ENDPOINT", sqs.endpoint().to_owned()),
    ];
    let customer = r#"{"type":"customer.updated","id":"c","#;
    let list = r#"{"type":"entitlements.updated","customer":{"id":"c"},"resource":null,"entitlements":["#;
    let features = |description: &str, count: usize| {
        let feature = |n| format!(r#"{{"feature":{{"id":"{n:05}","featureType":"BOOLEAN","description":"{description}"}}}}"#);
        format!("{list}{}]}}", (0..count).map(feature).collect::<Vec<_>>().join(","))
    };
    let (_, small) = sample::events("webhook").remove(0);
    for (what, body, status_code) in [
        ("numbers in crmId", filled(&format!(r#"{customer}"crmId":["#), "0,", "0]}"), 202),
        ("objects in an unknown member", filled(&format!(r#"{customer}"unknown":["#), "{},", "{}]}"), 200),
        ("objects with a member in an unknown member", filled(&format!(r#"{customer}"unknown":["#), r#"{"":0},"#, "0]}"), 200),
        ("unknown members", filled(customer, r#""a":0,"#, r#""b":0}"#), 200),
        ("members of metadata", filled(&format!(r#"{customer}"metadata":{{"#), r#""a":0,"#, r#""b":0}}"#), 202),
        (
            "add-ons",
            filled(
                r#"{"type":"subscription.updated","id":"s","customer":{"id":"c"},"plan":{"id":"p"},"addons":["#,
                "{},",
                "{}]}",
            ),
            202,
        ),
        ("a long name", filled(&format!(r#"{customer}"name":""#), "x", "\"}"), 202),
        ("numbers in a list", filled(list, "0,", "0]}"), 202),
        ("objects in a list", filled(list, "{},", "{}]}"), 202),
        (
            "credit wallets in a list",
            filled(
                list,
                r#"{"currency":{"currencyId":"tokens"},"usageLimit":10,"currentUsage":3,"hasSoftLimit":false},"#,
                "{}]}",
            ),
            202,
        ),
        ("features in a list", filled(list, r#"{"feature":{"id":"a"}},"#, r#"{"feature":{"id":"b"}}]}"#), 202),
        ("the maximum number of features", features("", 10_000), 200),
        ("more than the maximum number of features", features("", webhook::MAX_BODY_BYTES / 84), 202),
        ("features with long descriptions", features(&"x".repeat(2_000), 2_000), 200),
        ("an entitlement with members", filled(&format!(r#"{list}{{"feature":{{"id":"a"}}"#), r#","a":0"#, "}]}"), 202),
        ("an unhandled type", filled(r#"{"type":"coupon.created","a":["#, "{},", "{}]}"), 200),
        ("invalid JSON", filled(&format!(r#"{customer}"crmId":["#), "0,", "}"), 400),
    ] {
        let lambda = Lambda::start(Path::new(env!("CARGO_BIN_EXE_webhook")), variables.clone()).await.unwrap();
        let process = lambda.process_id().unwrap();
        assert_eq!(lambda.invoke(&small).await.unwrap()["statusCode"], 200);
        let baseline = status(process, "VmRSS");
        let mut event = small.clone();
        event["body"] = body.into();
        let answer = lambda.invoke(&event).await.unwrap();
        let growth = status(process, "VmHWM") - baseline;
        println!("{what}: {:.1} MB above the baseline of {:.1} MB", growth as f64 / 1e6, baseline as f64 / 1e6);
        assert_eq!(answer["statusCode"], status_code, "{what}: {answer}");
        assert!(growth < MAX_GROWTH, "{what}: {growth} bytes");
    }
}
