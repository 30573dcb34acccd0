//! Runs the binary against a fake Lambda Runtime API, with the sample events.

use std::path::Path;

use jiff::Timestamp;
use local::embedded::Embedded;
use runtime::signature::SigningKey;
use serde_json::{Value, json};
use template::sample;
use testkit::{
    fake_aws::{SecretsManager, Sqs},
    hostile,
    printed::Printed,
    runtime_api::Lambda,
};

fn variables(embedded: &Embedded) -> Vec<(&'static str, String)> {
    let tables = embedded.store.tables();
    vec![
        ("CUSTOMERS_TABLE", tables.customers.clone()),
        ("SUBSCRIPTIONS_TABLE", tables.subscriptions.clone()),
        ("RECEIPTS_TABLE", tables.receipts.clone()),
        ("DYNAMODB_ENDPOINT", embedded.endpoint.clone()),
        ("STIGG_WEBHOOK_SECRET", "local-secret".to_owned()),
        ("STIGG_WEBHOOK_SECRET_PREVIOUS", "".to_owned()),
        ("METRICS_NAMESPACE", "byos-stigg".to_owned()),
    ]
}

async fn start(variables: Vec<(&'static str, String)>) -> Lambda {
    Lambda::start(Path::new(env!("CARGO_BIN_EXE_webhook")), variables).await.unwrap()
}

fn body(answer: &Value) -> Value {
    serde_json::from_str(answer["body"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn sample_events_are_applied_and_redeliveries_are_stale() {
    let embedded = Embedded::in_memory().await.unwrap();
    let lambda = start(variables(&embedded)).await;
    for (round, applied) in [(1, "applied"), (2, "stale")] {
        for (name, event) in sample::events("webhook") {
            let answer = lambda.invoke(&event).await.unwrap();
            assert_eq!(answer["statusCode"], 200, "{name}: {answer}");
            let expected = match name.as_str() {
                "21-coupon.created-ignored.json" => "ignored",
                _ => applied,
            };
            assert_eq!(body(&answer), json!({"success": true, "outcome": expected}), "{name}, round {round}");
        }
    }
    let log = lambda.shut_down().await.unwrap();
    let printed = Printed::parse(&log).unwrap();
    let (start, lines) = printed.requests.split_first().unwrap();
    assert!(start["connection_milliseconds"].is_f64(), "{log}");
    assert_eq!(lines.len(), 2 * sample::events("webhook").len(), "one line per request");
    assert!(lines.iter().all(|line| line["status"] == 200 && line["dynamodb_requests"].is_u64()));
    assert!(lines.iter().all(|line| line["request_id"].is_string() && line["route"] == "/webhook"));
    let count = |outcome: &str| lines.iter().filter(|line| line["outcome"] == outcome).count() as f64;
    let expected = ["applied", "ignored", "stale"].map(|outcome| (outcome.to_owned(), count(outcome)));
    assert_eq!(printed.sums("Events"), expected.into(), "each event is counted, the last ones at shutdown");
    let lag: f64 = lines.iter().filter_map(|line| line["lag_seconds"].as_f64()).sum();
    assert_eq!(printed.sums("EventLag")[""], lag);
    assert!(printed.sums("StoreLatency").is_empty(), "only with METRICS_LEVEL=detailed");
    for personal in ["alder.example", "Alder Analytics", "local-secret"] {
        assert!(!log.contains(personal), "the log contains {personal}");
    }
}

#[tokio::test]
async fn a_function_with_a_missing_or_empty_secret_does_not_start() {
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
async fn an_unreachable_store_is_a_503_and_the_process_survives() {
    let embedded = Embedded::in_memory().await.unwrap();
    let lambda = start(without_store(&embedded)).await;
    let (_, event) = sample::events("webhook").remove(0);
    for _ in 0..2 {
        let answer = lambda.invoke(&event).await.unwrap();
        assert_eq!((answer["statusCode"].as_u64(), &body(&answer)["success"]), (Some(503), &json!(false)), "{answer}");
    }
}

fn without_store(embedded: &Embedded) -> Vec<(&'static str, String)> {
    let mut variables = variables(embedded);
    variables.retain(|(name, _)| *name != "DYNAMODB_ENDPOINT");
    variables.push(("DYNAMODB_ENDPOINT", "http://127.0.0.1:1".to_owned()));
    variables
}

/// The batch that Lambda would create from the queue's messages.
fn batch(sqs: &Sqs) -> Value {
    let records = sqs.messages().into_iter().map(|(id, body)| {
        json!({"messageId": id, "receiptHandle": id, "body": body, "attributes": {"ApproximateReceiveCount": "1"}, "messageAttributes": {},
               "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:events", "awsRegion": "us-east-1"})
    });
    json!({ "Records": records.collect::<Vec<_>>() })
}

fn failures(answer: &Value) -> Vec<&str> {
    answer["batchItemFailures"].as_array().unwrap().iter().map(|failure| failure["itemIdentifier"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn events_are_parked_while_the_store_fails_and_applied_afterwards() {
    let embedded = Embedded::in_memory().await.unwrap();
    let sqs = Sqs::start().await.unwrap();
    let queue = [("QUEUE_URL", sqs.queue_url()), ("SQS_ENDPOINT", sqs.endpoint().to_owned())];
    let cut_off = start(without_store(&embedded).into_iter().chain(queue.clone()).collect()).await;
    let events: Vec<_> = sample::events("webhook").into_iter().take(3).collect();
    for (name, event) in &events {
        let answer = cut_off.invoke(event).await.unwrap();
        assert_eq!(
            (&answer["statusCode"], body(&answer)),
            (&json!(202), json!({"success": true, "outcome": "queued"})),
            "{name}"
        );
    }
    sqs.put("not an event");
    assert_eq!(sqs.messages().len(), 4);

    // While the store fails, all messages stay in the queue.
    let answer = cut_off.invoke(&batch(&sqs)).await.unwrap();
    assert_eq!(failures(&answer).len(), 4, "{answer}");
    let log = cut_off.stop().await.unwrap();
    assert!(log.contains("\"outcome\":\"queued\"") && log.contains("\"StoreErrors\":1"), "{log}");
    assert!(!log.contains("alder.example") && !log.contains("Alder Analytics"), "{log}");

    let lambda = start(variables(&embedded).into_iter().chain(queue).collect()).await;
    let answer = lambda.invoke(&batch(&sqs)).await.unwrap();
    assert_eq!(failures(&answer), ["message-4"], "{answer}");
    let log = lambda.stop().await.unwrap();
    assert_eq!(log.matches("\"outcome\":\"applied\"").count(), 3, "{log}");
    assert!(log.lines().nth(1).unwrap().contains("\"queued_seconds\":"), "{log}");
    assert!(log.contains("\"outcome\":\"not_parked\""), "{log}");
}

#[tokio::test]
async fn an_event_that_can_be_neither_stored_nor_queued_is_a_503() {
    let embedded = Embedded::in_memory().await.unwrap();
    let sqs = Sqs::start().await.unwrap();
    sqs.set_available(false);
    let queue = [("QUEUE_URL", sqs.queue_url()), ("SQS_ENDPOINT", sqs.endpoint().to_owned())];
    let lambda = start(without_store(&embedded).into_iter().chain(queue).collect()).await;
    let (_, event) = sample::events("webhook").remove(0);
    let answer = lambda.invoke(&event).await.unwrap();
    let error = "the event could neither be stored nor queued; send it again";
    assert_eq!((&answer["statusCode"], &body(&answer)["error"]), (&json!(503), &json!(error)), "{answer}");
    assert!(sqs.messages().is_empty());

    // Too large for a message even when compressed.
    sqs.set_available(true);
    let noise = noise(1_500_000);
    let features = noise.as_bytes().chunks(100_000).enumerate().map(|(n, noise)| {
        let noise = std::str::from_utf8(noise).unwrap();
        json!({"feature": {"id": format!("f{n}"), "featureType": "BOOLEAN", "description": noise}})
    });
    let list = json!({"type": "entitlements.updated", "customer": {"id": "c"}, "resource": null, "entitlements": features.collect::<Vec<_>>()});
    let mut large = event.clone();
    large["body"] = list.to_string().into();
    let answer = lambda.invoke(&large).await.unwrap();
    assert_eq!((&answer["statusCode"], sqs.messages().len()), (&json!(503), 0), "{answer}");
    assert!(lambda.stop().await.unwrap().contains("too large for the queue"));
}

#[tokio::test]
async fn an_event_with_an_invalid_optional_member_is_applied_and_the_log_names_the_member() {
    let embedded = Embedded::in_memory().await.unwrap();
    let lambda = start(variables(&embedded)).await;
    let (_, event) = sample::events("webhook").remove(0);
    let list = |customer: Value, entitlement: Value| {
        let boolean = json!({"feature": {"id": "f", "featureType": "BOOLEAN"}});
        json!({"type": "entitlements.updated", "customer": customer, "resource": null, "entitlements": [boolean, entitlement]})
    };
    let metered = json!({"id": "g", "featureType": "NUMBER", "meterType": "FLUCTUATING"});
    let canceled = json!({"type": "subscription.canceled", "id": "s", "customer": {"id": "c"}, "plan": {"id": "p"}, "startDate": "2026-09-01"});
    let canceled = |name: &str, value: Value| {
        let mut event = canceled.clone();
        event[name] = value;
        event
    };
    let c = || json!({"id": "c"});
    let cases = [
        (list(c(), json!({"feature": metered, "usagePeriodStart": "2026-09-01"})), None),
        (list(json!({"id": "c", "billingId": 5}), json!({"feature": metered})), Some("customer.billingId")),
        (
            list(c(), json!({"feature": {"id": "g", "featureType": "BOOLEAN"}, "enumValues": [{}]})),
            Some("entitlements[1].enumValues"),
        ),
        (list(c(), json!({"feature": null, "creditBalance": {"remainingBalance": 5}})), Some("entitlements[1].feature")),
        (json!({"type": "customer.updated", "id": "c", "timestamp": ""}), Some("timestamp")),
        (canceled("isTrialSubscription", json!("m4rk")), Some("isTrialSubscription")),
        (canceled("addons", json!({})), Some("addons")),
        (canceled("endDate", json!("")), Some("endDate")),
    ];
    for (n, (sent, _)) in cases.iter().enumerate() {
        let mut sent = sent.clone();
        sent["messageId"] = n.to_string().into();
        let mut event = event.clone();
        event["body"] = sent.to_string().into();
        let answer = lambda.invoke(&event).await.unwrap();
        assert_eq!((&answer["statusCode"], &body(&answer)["outcome"]), (&json!(200), &json!("applied")), "{sent}: {answer}");
    }
    let log = lambda.stop().await.unwrap();
    assert!(!log.contains("m4rk"), "{log}");
    let printed = Printed::parse(&log).unwrap();
    assert_eq!(printed.requests.len(), 1 + cases.len(), "{log}");
    for (line, (sent, path)) in printed.requests.iter().skip(1).zip(&cases) {
        assert_eq!(line["odd_paths"].as_str(), *path, "{sent}");
        assert_eq!(line["odd_members"].as_u64(), path.map(|_| 1), "{sent}");
    }
}

#[tokio::test]
async fn a_known_event_that_can_not_be_applied_is_set_aside_unchanged() {
    let embedded = Embedded::in_memory().await.unwrap();
    let sqs = Sqs::start().await.unwrap();
    let queues = [("SET_ASIDE_QUEUE_URL", sqs.url_of("set-aside")), ("SQS_ENDPOINT", sqs.endpoint().to_owned())];
    let with_queue = start(variables(&embedded).into_iter().chain(queues).collect()).await;
    let alone = start(variables(&embedded)).await;
    let (_, event) = sample::events("webhook").remove(0);
    let send = async |lambda: &Lambda, sent: &str| {
        let mut event = event.clone();
        event["body"] = sent.into();
        let answer = lambda.invoke(&event).await.unwrap();
        let reply = body(&answer);
        let outcome = reply["outcome"].as_str().or(reply["error"].as_str()).unwrap().to_owned();
        (answer["statusCode"].as_u64().unwrap(), outcome)
    };
    let entitlement = json!({"feature": {"id": "f", "featureType": "NUMBER", "meterType": "FLUCTUATING"}, "usageLimit": "m4rk"});
    let list = json!({"type": "entitlements.updated", "messageId": "m", "customer": {"id": "c"}, "entitlements": [entitlement]})
        .to_string();
    let noise = noise(1_500_000);
    let large = |text: &str| json!({"type": "customer.updated", "messageId": "m", "id": "c", "metadata": text}).to_string();
    for (sent, refusal) in [
        (list.clone(), 400),
        (json!({"type": "customer.updated", "messageId": "m", "name": "m4rk"}).to_string(), 400),
        (r#"{"type":"customer.updated","messageId":"m","id":"c","metadata":1e999}"#.to_owned(), 400),
        (large(&"m4rk".repeat(200_000)), 413),
    ] {
        let before = sqs.messages_of("set-aside").len();
        assert_eq!(send(&with_queue, &sent).await, (202, "set_aside".to_owned()), "{:.100}", sent);
        let messages = sqs.messages_of("set-aside");
        assert_eq!(messages.len(), before + 1);
        let parked = runtime::parked::Parked::of_message(&messages[before].1, 1_000_000).unwrap();
        assert_eq!((parked.body, parked.message_id.as_deref()), (sent.clone().into_bytes(), Some("m")));
        assert_eq!(send(&alone, &sent).await.0, refusal, "{:.100}", sent);
    }
    // Too large for the queue, over 4 MiB, invalid JSON, and no type.
    for (sent, status) in [
        (large(&noise), 413),
        (large(&"m4rk".repeat(1_100_000)), 413),
        (r#"{"type":"customer.updated","messageId":"m","id":"c","name":"m4rk"#.to_owned(), 400),
        (r#"{"messageId":"m","id":"c","name":"m4rk"}"#.to_owned(), 400),
    ] {
        assert_eq!(send(&with_queue, &sent).await.0, status, "{:.100}", sent);
    }
    assert_eq!(sqs.messages_of("set-aside").len(), 4);
    sqs.set_available(false);
    assert_eq!(send(&with_queue, &list).await.0, 503, "Stigg redelivers it");

    let log = with_queue.stop().await.unwrap();
    assert!(!log.contains("m4rk"), "{log}");
    let printed = Printed::parse(&log).unwrap();
    let lines: Vec<&Value> = printed.requests.iter().skip(1).collect();
    let outcomes: Vec<_> =
        lines.iter().map(|line| (line["outcome"].as_str().unwrap(), line["level"].as_str().unwrap())).collect();
    let (set_aside, refused) = outcomes.split_at(4);
    assert_eq!(set_aside, [("set_aside", "INFO"); 4]);
    assert_eq!(
        refused,
        [
            ("too_large", "ERROR"),
            ("too_large", "ERROR"),
            ("event_refused", "ERROR"),
            ("event_refused", "ERROR"),
            ("not_set_aside", "INFO")
        ]
    );
    for line in &lines {
        assert_eq!(line["message_id"], "m", "{line}");
        assert_eq!(line["event_refused"].as_bool(), (line["level"] == "ERROR").then_some(true), "{line}");
    }
    assert_eq!(printed.sums("RefusedEvents")[""], 4.0);
    let subjects: Vec<_> = lines.iter().map(|line| line["subject"].as_str()).collect();
    assert_eq!(subjects, [Some("c"), None, Some("c"), Some("c"), Some("c"), Some("c"), Some("c"), Some("c"), Some("c")]);
}

/// Text that gzip can hardly compress.
fn noise(length: usize) -> String {
    let mut state = 1_u32;
    let character = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b'0' + u8::try_from(state >> 26).unwrap() % 64)
    });
    character.map(|character| if character == '\\' { '-' } else { character }).take(length).collect()
}

#[tokio::test]
async fn the_secret_is_read_from_secrets_manager_and_an_unset_one_is_a_503_that_names_it() {
    let embedded = Embedded::in_memory().await.unwrap();
    let manager = SecretsManager::start(&json!({"secret": "", "previousSecret": "", "signingKey": "", "previousSigningKey": ""}))
        .await
        .unwrap();
    let in_manager = |manager: &SecretsManager| -> Vec<_> {
        let secret = [("SECRET_ARN", "arn:secret".to_owned()), ("SECRETS_MANAGER_ENDPOINT", manager.endpoint().to_owned())];
        // The variable STIGG_WEBHOOK_SECRET is ignored then.
        variables(&embedded).into_iter().chain(secret).collect()
    };
    let (_, event) = sample::events("webhook").remove(0);
    let lambda = start(in_manager(&manager)).await;
    let answer = lambda.invoke(&event).await.unwrap();
    assert_eq!(answer["statusCode"], 503, "{answer}");
    assert!(body(&answer)["error"].as_str().unwrap().contains("WebhookSecret"), "{answer}");
    assert_eq!(manager.reads(), 1, "read at start, and not again within 30 seconds");

    manager.put(Some(&json!({"secret": "another", "previousSecret": "local-secret"})));
    let lambda = start(in_manager(&manager)).await;
    assert_eq!(lambda.invoke(&event).await.unwrap()["statusCode"], 200);
    manager.put(None);
    let lambda = start(in_manager(&manager)).await;
    let answer = lambda.invoke(&event).await.unwrap();
    assert_eq!(answer["statusCode"], 503, "all requests are rejected while the secret is unknown: {answer}");
    let log = lambda.stop().await.unwrap();
    assert!(log.contains("ResourceNotFoundException") && log.contains("secret_unreadable"), "{log}");
}

#[tokio::test]
async fn with_a_signing_key_only_signed_events_are_accepted() {
    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let embedded = Embedded::in_memory().await.unwrap();
    let key = [("WEBHOOK_SIGNING_KEY", KEY.to_owned())];
    let lambda = start(variables(&embedded).into_iter().chain(key).collect()).await;
    let (_, unsigned) = sample::events("webhook").remove(0);
    let now = Timestamp::now().as_second();
    let signed = |seconds: i64| {
        let mut event = unsigned.clone();
        let signature = SigningKey::parse(KEY).unwrap().sign("m", seconds, event["body"].as_str().unwrap().as_bytes());
        event["headers"]["webhook-id"] = "m".into();
        event["headers"]["webhook-timestamp"] = seconds.to_string().into();
        event["headers"]["webhook-signature"] = signature.into();
        event
    };
    let mut changed = signed(now);
    changed["body"] = changed["body"].as_str().unwrap().replace("Alder", "Elder").into();
    for (what, event, status) in [
        ("unsigned", unsigned.clone(), 401),
        ("old", signed(now - 400), 401),
        ("changed", changed, 401),
        ("signed", signed(now), 200),
    ] {
        let answer = lambda.invoke(&event).await.unwrap();
        assert_eq!(answer["statusCode"], status, "{what}: {answer}");
    }
    let log = lambda.stop().await.unwrap();
    assert_eq!(log.matches("\"RejectedSecrets\":1").count(), 3, "{log}");
}

#[tokio::test]
async fn events_from_other_than_the_allowed_addresses_are_rejected() {
    let embedded = Embedded::in_memory().await.unwrap();
    let (_, event) = sample::events("webhook").remove(0);
    for (sources, status) in [("18.119.35.43", 403), ("18.119.35.43,203.0.113.0/24", 200)] {
        let sources = [("WEBHOOK_ALLOWED_SOURCES", sources.to_owned())];
        let lambda = start(variables(&embedded).into_iter().chain(sources).collect()).await;
        assert_eq!(lambda.invoke(&event).await.unwrap()["statusCode"], status);
        let log = lambda.stop().await.unwrap();
        assert_eq!(log.contains("\"RejectedSources\":1"), status == 403, "{log}");
    }
    let invalid = [("WEBHOOK_ALLOWED_SOURCES", "18.119.35.43;10.0.0.1".to_owned())];
    let lambda = start(variables(&embedded).into_iter().chain(invalid).collect()).await;
    let (succeeded, printed) = lambda.ended().await.unwrap();
    assert!(!succeeded && printed.contains("WEBHOOK_ALLOWED_SOURCES"), "{printed}");
}

#[tokio::test]
async fn malformed_events_are_answered_and_the_process_survives() {
    let embedded = Embedded::in_memory().await.unwrap();
    let lambda = start(variables(&embedded)).await;
    let (_, event) = sample::events("webhook").remove(0);
    for (what, event) in hostile::malformed(&event) {
        let answer = lambda.invoke(&event).await.unwrap();
        assert_eq!(answer["statusCode"], 400, "{what}: {answer}");
    }
    for (what, event) in hostile::unusual(&event) {
        let answer = lambda.invoke(&event).await.unwrap();
        assert_eq!(answer["statusCode"], 200, "{what}: {answer}");
    }
    assert_eq!(lambda.invoke(&event).await.unwrap()["statusCode"], 200);
    let log = lambda.stop().await.unwrap();
    assert_eq!(log.matches("\"outcome\":\"malformed\"").count(), hostile::malformed(&event).len(), "{log}");
}

#[tokio::test]
async fn sampling_logs_one_in_n_routine_events_and_counts_all() {
    let embedded = Embedded::in_memory().await.unwrap();
    let sampling = [("LOG_ONE_IN", "10".to_owned())];
    let lambda = start(variables(&embedded).into_iter().chain(sampling).collect()).await;
    let (_, event) = sample::events("webhook").remove(0);
    let mut unauthorized = event.clone();
    unauthorized["headers"]["stigg-webhooks-secret"] = "guess".into();
    for _ in 0..31 {
        assert_eq!(lambda.invoke(&event).await.unwrap()["statusCode"], 200);
        assert_eq!(lambda.invoke(&unauthorized).await.unwrap()["statusCode"], 401);
    }
    let printed = Printed::parse(&lambda.shut_down().await.unwrap()).unwrap();
    let count = |outcome: &str| printed.requests.iter().filter(|line| line["outcome"] == outcome).count();
    assert_eq!((count("applied"), count("stale"), count("secret_rejected")), (1, 3, 31));
    let events = printed.sums("Events");
    assert_eq!((events["applied"], events["stale"], events["secret_rejected"]), (1.0, 30.0, 31.0));
    assert_eq!(printed.sums("RejectedSecrets")["webhook"], 31.0);
    for invalid in ["0", "-1", "many"] {
        let sampling = [("LOG_ONE_IN", invalid.to_owned())];
        let lambda = start(variables(&embedded).into_iter().chain(sampling).collect()).await;
        let (succeeded, printed) = lambda.ended().await.unwrap();
        assert!(!succeeded && printed.contains("LOG_ONE_IN"), "{printed}");
    }
}
