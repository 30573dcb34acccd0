//! The binary while the store fails: it answers in time, sends 200 only after all writes, and accepts the event once the
//! store recovers.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use local::{embedded::Embedded, gateway, serve::Stack};
use runtime::aws::any_credentials;
use runtime::{
    aws::{Budget, http_client, sdk_config},
    clock::Clock,
    parked::Parked,
    secret::Secret,
};
use serde_json::{Value, json};
use store::Store;
use template::sample;
use testkit::proxy::{Fault, Proxy};
use testkit::{fake_aws::Sqs, runtime_api::Lambda};
use tokio::sync::Semaphore;
use webhook::{Queue, Webhook, WebhookSecrets};

/// The function's timeout in the template. Stigg and API Gateway time out after 30 seconds.
const TIMEOUT: Duration = Duration::from_secs(28);

async fn start(embedded: &Embedded, endpoint: &str, queue: Option<(&str, &str)>) -> Lambda {
    let tables = embedded.store.tables();
    let mut variables = vec![
        ("CUSTOMERS_TABLE", tables.customers.as_str()),
        ("SUBSCRIPTIONS_TABLE", &tables.subscriptions),
        ("RECEIPTS_TABLE", &tables.receipts),
        ("DYNAMODB_ENDPOINT", endpoint),
        ("STIGG_WEBHOOK_SECRET", "local-secret"),
    ];
    if let Some((endpoint, url)) = queue {
        variables.extend([("SQS_ENDPOINT", endpoint), ("QUEUE_URL", url)]);
    }
    Lambda::start(Path::new(env!("CARGO_BIN_EXE_webhook")), variables).await.unwrap()
}

async fn timed(lambda: &Lambda, event: &Value) -> (u64, Duration) {
    let started = Instant::now();
    let answer = lambda.invoke(event).await.unwrap();
    (answer["statusCode"].as_u64().unwrap(), started.elapsed())
}

/// A sample event with another body.
fn event(body: &Value) -> Value {
    let (_, mut event) = sample::events("webhook").remove(0);
    event["body"] = body.to_string().into();
    event
}

/// An event with the lists of `count` resources. They are written one after the other, then the customer.
fn lists(customer: &str, count: usize) -> Value {
    let entitlement = |n| json!({"feature": {"id": "f", "featureType": "BOOLEAN"}, "resourceId": format!("r{n}")});
    json!({"type": "entitlements.updated", "messageId": customer, "entitlementsUpdatedAt": "2026-11-01T00:00:00Z",
           "customer": {"id": customer}, "entitlements": (0..count).map(entitlement).collect::<Vec<_>>()})
}

/// The number of a customer's items.
async fn items(embedded: &Embedded, customer: &str) -> i32 {
    let query = embedded.store.client().query().table_name(&embedded.store.tables().customers);
    let query = query.key_condition_expression("customerId = :c");
    let query = query.expression_attribute_values(":c", aws_sdk_dynamodb::types::AttributeValue::S(customer.to_owned()));
    query.send().await.unwrap().count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_store_fault_is_a_503_in_time_or_a_202_with_a_queue_until_the_store_recovers() {
    let embedded = Arc::new(Embedded::in_memory().await.unwrap());
    let tasks = Fault::FAILURES.into_iter().flat_map(|fault| [(fault, false), (fault, true)]).map(|(fault, has_queue)| {
        let embedded = embedded.clone();
        tokio::spawn(async move {
            let proxy = Proxy::start(&embedded.endpoint, 0, None).await.unwrap();
            let sqs = Sqs::start().await.unwrap();
            let url = sqs.queue_url();
            let lambda = start(&embedded, &proxy.endpoint, has_queue.then_some((sqs.endpoint(), url.as_str()))).await;
            let customer = format!("{}-{has_queue}", fault.name());
            let event = event(&lists(&customer, 3));
            proxy.fail_with(fault);
            let (status, duration) = timed(&lambda, &event).await;
            println!("{customer}: {status} after {duration:.1?}, {:?}", proxy.fault_counts());
            assert_eq!((status, sqs.messages().len()), if has_queue { (202, 1) } else { (503, 0) }, "{customer}");
            assert!(duration < TIMEOUT, "{customer} took {duration:?}");
            proxy.heal();
            proxy.settled().await;
            assert_eq!(timed(&lambda, &event).await.0, 200, "{customer}");
            assert_eq!(items(&embedded, &customer).await, 4, "{customer}");
            lambda.stop().await.unwrap();
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

/// Each request to the store is just within its timeout, so an event with many requests takes too long. The queue can hang
/// too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_store_and_a_hanging_queue_are_answered_before_the_functions_timeout() {
    let embedded = Embedded::in_memory().await.unwrap();
    let proxy = Proxy::start(&embedded.endpoint, 0, None).await.unwrap();
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("http://{}", silent.local_addr().unwrap());
    let sqs = Sqs::start().await.unwrap();
    let (url, silent_url) = (sqs.queue_url(), format!("{silent}/000000000000/events"));
    let alone = start(&embedded, &proxy.endpoint, None).await;
    let with_queue = start(&embedded, &proxy.endpoint, Some((sqs.endpoint(), &url))).await;
    let with_silent_queue = start(&embedded, &proxy.endpoint, Some((&silent, &silent_url))).await;
    let draining = start(&embedded, &proxy.endpoint, None).await;
    proxy.fail_with(Fault::Slow(Duration::from_millis(2_500)));

    let [one, other, third] = ["a", "b", "c"].map(|customer| event(&lists(customer, 20)));
    // The second event can't be written within the time that the first one leaves.
    let records = [("d", 1), ("e", 20)].map(|(customer, count)| {
        let body = lists(customer, count).to_string().into_bytes();
        let kind = "entitlements.updated".to_owned();
        let parked = Parked { received_at: jiff::Timestamp::now(), kind, message_id: None, body };
        json!({"messageId": customer, "body": parked.to_message().unwrap(), "eventSource": "aws:sqs"})
    });
    let batch = json!({ "Records": records });
    let drain = async {
        let started = Instant::now();
        (draining.invoke(&batch).await, started.elapsed())
    };
    let (alone, with_queue, with_silent_queue, (drained, drain)) =
        tokio::join!(timed(&alone, &one), timed(&with_queue, &other), timed(&with_silent_queue, &third), drain);
    println!(
        "slow store: {alone:?}, with a queue: {with_queue:?}, with a hanging queue: {with_silent_queue:?}, a batch: {drain:?}"
    );
    assert_eq!((alone.0, with_queue.0, with_silent_queue.0), (503, 202, 503));
    assert_eq!(drained.unwrap()["batchItemFailures"], json!([{"itemIdentifier": "e"}]));
    for duration in [alone.1, with_queue.1, with_silent_queue.1, drain] {
        assert!(duration < TIMEOUT, "{duration:?}");
    }
}

/// Checks and events share the account's concurrent executions. While DynamoDB's writes hang, a burst of events occupies all
/// of them. Each event is parked soon enough that a waiting check is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checks_are_answered_while_events_wait_for_a_hanging_store() {
    const EXECUTIONS: usize = 10;
    let embedded = Embedded::in_memory().await.unwrap();
    let stack = Stack::on(embedded.store.clone(), "local-secret", "local-token", Clock::system()).unwrap();
    stack.seed("local-secret").await.unwrap();
    let proxy = Proxy::start(&embedded.endpoint, 0, None).await.unwrap();
    proxy.fail(|operation, _| (operation == "UpdateItem").then_some(Fault::Hang));
    // The SDK's timeout is the function's, so only the webhook's own time limit ends the wait.
    let budget = Budget { connect: Duration::from_secs(1), attempt: TIMEOUT, total: TIMEOUT, attempts: 1 };
    let region = Some("us-east-1".to_owned());
    let config = sdk_config(region, any_credentials(), http_client(), Some(proxy.endpoint.clone()), budget);
    let store = Store::new(aws_sdk_dynamodb::Client::new(&config), embedded.store.tables().clone());
    let sqs = Sqs::start().await.unwrap();
    let queue = Queue::new(sqs.client(), sqs.queue_url());
    let secrets = WebhookSecrets::from(Secret::new("local-secret", None).unwrap());
    let webhook = Arc::new(Webhook::new(store, secrets, Clock::system()).with_queue(Some(queue)));

    let account = Arc::new(Semaphore::new(EXECUTIONS));
    let events: Vec<_> = (0..EXECUTIONS)
        .map(|n| {
            let event = event(&json!({"type": "customer.created", "id": format!("c{n}"), "messageId": "m"}));
            let (account, webhook) = (account.clone(), webhook.clone());
            tokio::spawn(async move {
                let _execution = account.acquire().await.unwrap();
                gateway::call(|request| webhook.handle(request), event).await.unwrap()
            })
        })
        .collect();
    while account.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    let started = Instant::now();
    let (_, check) = sample::events("check-access").into_iter().find(|(name, _)| name == "granted-boolean.json").unwrap();
    let answer = {
        let _execution = account.acquire().await.unwrap();
        stack.gateway.invoke(check).await.unwrap()
    };
    let duration = started.elapsed();
    println!("a check was answered after {duration:.1?}");
    assert_eq!(answer["statusCode"], 200, "{answer}");
    assert!(duration < TIMEOUT / 3, "{duration:?}");
    for event in events {
        assert_eq!(event.await.unwrap()["statusCode"], 202);
    }
    assert_eq!(sqs.messages().len(), EXECUTIONS);
}

/// Fails the n-th and all later requests of an event, for each n.
#[tokio::test]
async fn a_200_is_sent_only_after_the_last_write() {
    let embedded = Embedded::in_memory().await.unwrap();
    let proxy = Proxy::start(&embedded.endpoint, 0, None).await.unwrap();
    let lambda = start(&embedded, &proxy.endpoint, None).await;
    let mut failed = 0;
    for successes in 0..30 {
        let customer = format!("c{successes}");
        let left = Arc::new(AtomicUsize::new(successes));
        proxy.fail(move |_, _| {
            let passes = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
            (!passes).then_some(Fault::INTERNAL)
        });
        let (status, _) = timed(&lambda, &event(&lists(&customer, 3))).await;
        proxy.heal();
        if status == 200 {
            assert_eq!(items(&embedded, &customer).await, 4, "{successes} requests");
            break;
        }
        assert_eq!(status, 503, "{successes} requests");
        failed += 1;
    }
    println!("{failed} requests");
    assert!((4..30).contains(&failed), "{failed}");
}
