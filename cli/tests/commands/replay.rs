//! `byos replay`.

use std::{
    process::Stdio,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use domain::time::to_fixed_width;
use jiff::{SignedDuration, Timestamp};
use runtime::parked::Parked;
use serde_json::{Value, json};
use testkit::{
    fake_aws::Sqs,
    proxy::{Fault, Proxy},
};

use crate::{aws::Aws, stack::Local};

fn ago(days: i64) -> Timestamp {
    Timestamp::now() - SignedDuration::from_hours(days * 24)
}

fn created(id: &str, time: Option<Timestamp>) -> Value {
    json!({"type": "customer.created", "messageId": format!("m-{id}"), "timestamp": time.map(to_fixed_width), "id": id})
}

fn parked(event: &Value, received_at: Timestamp) -> String {
    let kind = event["type"].as_str().unwrap().to_owned();
    Parked { received_at, kind, message_id: None, body: event.to_string().into_bytes() }.to_message().unwrap()
}

/// Fills the queue: an event with a time, one without, an ignored one, one of 31 days ago, a malformed message, and more
/// events.
fn fill(sqs: &Sqs, received_at: Timestamp) {
    sqs.put(parked(&created("timed", Some(ago(2))), received_at));
    sqs.put(parked(&created("untimed", None), received_at));
    sqs.put(parked(&json!({"type": "coupon.created"}), received_at));
    sqs.put(parked(&created("old", Some(ago(31))), received_at));
    sqs.put("nonsense");
    for n in 0..12 {
        sqs.put(parked(&created(&format!("customer-{n}"), Some(ago(1))), received_at));
    }
}

async fn standing(local: &Local, customer: &str) -> Value {
    local.byos(&["show", customer, "--json"]).await.json()["standing"].clone()
}

#[tokio::test]
async fn queued_events_are_written_with_their_receipts_and_removed_from_the_queue() {
    let aws = Aws::start().await;
    let received_at = ago(3);
    fill(&aws.sqs, received_at);
    let output = aws.byos(&["replay", "--yes", "--stack", "replica", "--json"]).await;
    let lines = output.json_lines();
    let count = |outcome: &str| lines.iter().filter(|line| line["outcome"] == outcome).count();
    assert_eq!((output.code, count("applied"), count("ignored"), count("refused")), (3, 14, 1, 2), "{output:?}");
    let old = lines.iter().find(|line| line["messageId"] == "m-old").unwrap();
    assert!(old["error"].as_str().unwrap().contains("--force"), "{old}");

    let page = aws.local.byos(&["show", "untimed", "--json"]).await.json();
    assert_eq!(page["registers"]["profile"]["time"], to_fixed_width(received_at));
    assert_eq!(standing(&aws.local, "old").await, "unknown");

    // Only refused messages stay in the queue. They can be received at once.
    assert_eq!(aws.sqs.messages().len(), 2);
    let output = aws.byos(&["replay", "--yes", "--stack", "replica", "--force"]).await;
    assert!(output.code == 3 && output.out.ends_with("1 applied, 0 stale, 0 ignored, 1 refused.\n"), "{output:?}");
    assert_eq!(standing(&aws.local, "old").await, "live");
    assert_eq!(aws.sqs.messages().iter().map(|(_, body)| body.as_str()).collect::<Vec<_>>(), ["nonsense"]);
}

#[tokio::test]
async fn set_aside_events_are_written_if_they_can_be_applied_and_stay_otherwise() {
    let aws = Aws::start().await;
    let broken = json!({"type": "customer.created", "name": "without an id"});
    aws.sqs.put_into("set-aside", parked(&created("set-aside", None), ago(2)));
    aws.sqs.put_into("set-aside", parked(&broken, ago(2)));
    let dead_letter = parked(&created("dead-letter", Some(ago(1))), ago(1));
    aws.sqs.put(dead_letter.clone());

    let output = aws.byos(&["replay", "--yes", "--stack", "replica", "--queue", "dead-letter"]).await;
    assert!(output.code == 0 && output.out.ends_with("1 applied, 0 stale, 0 ignored, 0 refused.\n"), "{output:?}");
    assert_eq!(standing(&aws.local, "set-aside").await, "unknown");
    assert_eq!((aws.sqs.messages().len(), aws.sqs.messages_of("set-aside").len()), (0, 2));

    aws.sqs.put(dead_letter);
    let output = aws.byos(&["replay", "--yes", "--stack", "replica"]).await;
    assert!(output.code == 3 && output.out.ends_with("1 applied, 1 stale, 0 ignored, 1 refused.\n"), "{output:?}");
    let page = aws.local.byos(&["show", "set-aside", "--json"]).await.json();
    let received = page["registers"]["profile"]["time"].as_str().unwrap().parse::<Timestamp>().unwrap();
    assert!(received < ago(1), "the original receipt is not kept: {received}");
    aws.sqs.expire_visibility_timeouts();
    assert_eq!((aws.sqs.messages().len(), aws.sqs.messages_of("set-aside").len()), (0, 1));
}

#[tokio::test]
async fn a_queue_whose_messages_another_reader_has_does_not_count_as_empty() {
    let aws = Aws::start().await;
    aws.sqs.put_into("set-aside", parked(&created("c", Some(ago(1))), ago(1)));
    let receive = aws.sqs.client().receive_message().queue_url(aws.sqs.url_of("set-aside"));
    assert_eq!(receive.send().await.unwrap().messages().len(), 1);
    let replay = ["replay", "--yes", "--stack", "replica"];
    let output = aws.byos(&replay).await;
    assert!(output.code == 3 && output.err.contains("about 1 more are in flight"), "{output:?}");
    aws.sqs.expire_visibility_timeouts();
    let output = aws.byos(&replay).await;
    assert!(output.code == 0 && output.out.contains("customer.created  c  applied"), "{output:?}");
}

#[tokio::test]
async fn events_stay_in_the_queue_if_the_store_fails() {
    let local = Local::start().await;
    let sqs = Sqs::start().await.unwrap();
    sqs.put(parked(&created("c", Some(ago(1))), ago(1)));
    let arguments = ["replay", "--queue-url", &sqs.queue_url(), "--sqs-endpoint", sqs.endpoint()];
    let tables = ["--customers-table", "none", "--subscriptions-table", "none", "--receipts-table", "none"];
    let output = local.byos(&[&arguments[..], &tables[..]].concat()).await;
    assert!(output.code == 1 && output.err.contains("DynamoDB refused GetItem"), "{output:?}");
    sqs.expire_visibility_timeouts();
    assert_eq!(sqs.messages().len(), 1);
    let output = local.byos(&arguments).await;
    assert!(output.code == 0 && output.out.ends_with("1 applied, 0 stale, 0 ignored, 0 refused.\n"), "{output:?}");
    sqs.expire_visibility_timeouts();
    assert!(sqs.messages().is_empty());
}

#[tokio::test]
async fn the_receipt_of_an_event_in_a_file_is_its_received_at_or_the_option() {
    let local = Local::start().await;
    let (in_file, by_option) = (ago(5), ago(4));
    let with_receipt = json!({"receivedAt": to_fixed_width(in_file), "body": created("in-file", None)});
    let lines = format!("{with_receipt}\n{}\n", created("by-option", None));
    let output = local.byos_with(&["replay", "-", "--received-at", &to_fixed_width(by_option)], &[], &lines).await;
    assert_eq!(output.code, 0, "{output:?}");
    for (customer, expected) in [("in-file", in_file), ("by-option", by_option)] {
        let page = local.byos(&["show", customer, "--json"]).await.json();
        assert_eq!(page["registers"]["profile"]["time"], to_fixed_width(expected), "{customer}");
    }
    // A second replay is stale even with another receipt, since the first one is stored.
    let output = local.byos_with(&["replay", "-"], &[], &lines).await;
    assert!(output.out.ends_with("0 applied, 2 stale, 0 ignored, 0 refused.\n"), "{output:?}");
}

#[tokio::test]
async fn the_oldest_time_of_a_list_counts_for_the_age_limit() {
    let local = Local::start().await;
    let list = json!({"type": "entitlements.updated", "timestamp": to_fixed_width(ago(31)), "entitlementsUpdatedAt": to_fixed_width(ago(1)),
                      "customer": {"id": "c"}, "entitlements": []});
    let output = local.byos_with(&["replay", "-"], &[], &list.to_string()).await;
    assert!(output.code == 3 && output.out.contains("refused"), "{output:?}");
}

#[tokio::test]
async fn replay_requires_either_files_or_a_queue() {
    let local = Local::start().await;
    let output = local.byos(&["replay"]).await;
    assert!(output.code == 1 && output.err.contains("--queue-url"), "{output:?}");
    assert_eq!(local.byos(&["replay", "file", "--queue-url", "http://127.0.0.1:1"]).await.code, 2);
}

/// DynamoDB hangs after a number of requests, and the command is killed then.
#[tokio::test]
async fn a_killed_replay_has_removed_only_durable_events_from_the_queues() {
    let mut was_partly_done = false;
    for successes in [0, 1, 2, 5, 9, 13_usize] {
        let aws = Aws::start().await;
        let customers: Vec<String> = (0..12).map(|n| format!("customer-{n}")).collect();
        let bodies: Vec<String> = customers.iter().map(|customer| parked(&created(customer, Some(ago(1))), ago(1))).collect();
        for (n, body) in bodies.iter().enumerate() {
            aws.sqs.put_into(if n % 2 == 0 { "events" } else { "set-aside" }, body.clone());
        }
        let proxy = Proxy::start(&aws.local.embedded.endpoint, 0, None).await.unwrap();
        let left = AtomicUsize::new(successes);
        proxy.fail(move |_, _| {
            let is_exhausted = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err();
            is_exhausted.then_some(Fault::Hang)
        });
        let mut process = tokio::process::Command::new(env!("CARGO_BIN_EXE_byos"))
            .args(["replay", "--yes", "--stack", "replica"])
            .env_clear()
            .envs(aws.environment())
            .env("AWS_ENDPOINT_URL_DYNAMODB", &proxy.endpoint)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        // Waits until a request hangs, or the command ends.
        for _ in 0..200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if proxy.fault_counts().contains_key("Hang") || process.try_wait().unwrap().is_some() {
                break;
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        process.kill().await.unwrap();
        aws.sqs.expire_visibility_timeouts();
        let waiting: Vec<String> =
            ["events", "set-aside"].iter().flat_map(|queue| aws.sqs.messages_of(queue)).map(|(_, body)| body).collect();
        let mut written = 0;
        for (customer, body) in customers.iter().zip(&bodies) {
            let is_written = standing(&aws.local, customer).await == "live";
            assert!(is_written || waiting.contains(body), "{customer} is lost, killed after {successes} requests");
            written += usize::from(is_written);
        }
        was_partly_done |= (1..customers.len()).contains(&written);
        // Another run completes the replay.
        let output = aws.byos(&["replay", "--yes", "--stack", "replica"]).await;
        assert_eq!((output.code, aws.sqs.messages().len(), aws.sqs.messages_of("set-aside").len()), (0, 0, 0), "{output:?}");
        for customer in &customers {
            assert_eq!(standing(&aws.local, customer).await, "live", "{customer}");
        }
    }
    assert!(was_partly_done);
}

#[tokio::test]
async fn events_of_another_environment_stay_in_the_queue() {
    let aws = Aws::start().await;
    let event = |id: &str, environment: &str| {
        let mut event = created(id, Some(ago(1)));
        event["environmentId"] = environment.into();
        parked(&event, ago(1))
    };
    aws.sqs.put_into("set-aside", event("own", "production"));
    aws.sqs.put_into("set-aside", event("foreign", "staging"));
    let output = aws.byos(&["environment", "--set", "production", "--yes", "--stack", "replica"]).await;
    assert_eq!(output.code, 0, "{output:?}");
    let output = aws.byos(&["replay", "--yes", "--stack", "replica"]).await;
    assert!(output.code == 3 && output.out.contains("`environmentId` is not the environment of this replica"), "{output:?}");
    assert_eq!((standing(&aws.local, "own").await, standing(&aws.local, "foreign").await), ("live".into(), "unknown".into()));
    aws.sqs.expire_visibility_timeouts();
    assert_eq!(aws.sqs.messages_of("set-aside").len(), 1);
}
