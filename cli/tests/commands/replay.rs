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

/// A queue with an event that has a time, one without, one that is ignored, one of 31 days ago, and what
/// is no event.
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
async fn a_queue_is_written_with_its_receipts_and_emptied_of_what_was_written() {
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

    // what was refused is still there, and the rest is not
    aws.sqs.expire_visibility_timeouts();
    assert_eq!(aws.sqs.messages().len(), 2);
    let output = aws.byos(&["replay", "--yes", "--stack", "replica", "--force"]).await;
    assert!(output.code == 3 && output.out.ends_with("1 applied, 0 stale, 0 ignored, 1 refused.\n"), "{output:?}");
    assert_eq!(standing(&aws.local, "old").await, "live");
    aws.sqs.expire_visibility_timeouts();
    assert_eq!(aws.sqs.messages().iter().map(|(_, body)| body.as_str()).collect::<Vec<_>>(), ["nonsense"]);
}

#[tokio::test]
async fn what_was_set_aside_is_written_once_it_can_be_applied_and_else_stays() {
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
    assert!(received < ago(1), "it keeps its receipt: {received}");
    aws.sqs.expire_visibility_timeouts();
    assert_eq!((aws.sqs.messages().len(), aws.sqs.messages_of("set-aside").len()), (0, 1));
}

#[tokio::test]
async fn what_the_store_does_not_take_stays_in_the_queue() {
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
async fn an_event_in_a_file_has_the_receipt_that_it_says_or_that_is_given() {
    let local = Local::start().await;
    let (said, given) = (ago(5), ago(4));
    let lines =
        format!("{}\n{}\n", json!({"receivedAt": to_fixed_width(said), "body": created("said", None)}), created("given", None));
    let output = local.byos_with(&["replay", "-", "--received-at", &to_fixed_width(given)], &[], &lines).await;
    assert_eq!(output.code, 0, "{output:?}");
    for (customer, expected) in [("said", said), ("given", given)] {
        let page = local.byos(&["show", customer, "--json"]).await.json();
        assert_eq!(page["registers"]["profile"]["time"], to_fixed_width(expected), "{customer}");
    }
    // again, it is stale, whatever is given: the first receipt is remembered
    let output = local.byos_with(&["replay", "-"], &[], &lines).await;
    assert!(output.out.ends_with("0 applied, 2 stale, 0 ignored, 0 refused.\n"), "{output:?}");
}

#[tokio::test]
async fn a_list_is_as_old_as_the_oldest_of_its_times() {
    let local = Local::start().await;
    let list = json!({"type": "entitlements.updated", "timestamp": to_fixed_width(ago(31)), "entitlementsUpdatedAt": to_fixed_width(ago(1)),
                      "customer": {"id": "c"}, "entitlements": []});
    let output = local.byos_with(&["replay", "-"], &[], &list.to_string()).await;
    assert!(output.code == 3 && output.out.contains("refused"), "{output:?}");
}

#[tokio::test]
async fn without_files_or_a_queue_there_is_nothing_to_replay() {
    let local = Local::start().await;
    let output = local.byos(&["replay"]).await;
    assert!(output.code == 1 && output.err.contains("--queue-url"), "{output:?}");
    assert_eq!(local.byos(&["replay", "file", "--queue-url", "http://127.0.0.1:1"]).await.code, 2);
}

/// The command is killed while DynamoDB hangs, after so many requests. Whatever has left a queue by then is written.
#[tokio::test]
async fn nothing_leaves_a_queue_before_its_write_is_durable_wherever_the_command_is_killed() {
    let mut was_partly_done = false;
    for passes in [0, 1, 2, 5, 9, 13_usize] {
        let aws = Aws::start().await;
        let customers: Vec<String> = (0..12).map(|n| format!("customer-{n}")).collect();
        let bodies: Vec<String> = customers.iter().map(|customer| parked(&created(customer, Some(ago(1))), ago(1))).collect();
        for (n, body) in bodies.iter().enumerate() {
            aws.sqs.put_into(if n % 2 == 0 { "events" } else { "set-aside" }, body.clone());
        }
        let proxy = Proxy::start(&aws.local.embedded.endpoint, 0, None).await.unwrap();
        let left = AtomicUsize::new(passes);
        proxy.fail(move |_, _| {
            let passes = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            passes.is_err().then_some(Fault::Hang)
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
        // Those that passed are done by the time that nothing more happens.
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
            assert!(is_written || waiting.contains(body), "{customer} is lost, killed after {passes} requests");
            written += usize::from(is_written);
        }
        was_partly_done |= (1..customers.len()).contains(&written);
        // The same command completes it.
        let output = aws.byos(&["replay", "--yes", "--stack", "replica"]).await;
        assert_eq!((output.code, aws.sqs.messages().len(), aws.sqs.messages_of("set-aside").len()), (0, 0, 0), "{output:?}");
        for customer in &customers {
            assert_eq!(standing(&aws.local, customer).await, "live", "{customer}");
        }
    }
    assert!(was_partly_done);
}

#[tokio::test]
async fn an_event_of_another_environment_stays_in_its_queue() {
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
