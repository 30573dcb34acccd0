//! The real binary under every fault of the store: an error in time, nothing of what it read, and the process
//! lives on; and behind an index that lags, nothing that is gone.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use local::{embedded::Embedded, serve::Stack};
use runtime::clock::Clock;
use serde_json::{Value, json};
use template::sample;
use testkit::runtime_api::Lambda;
use testkit::{
    proxy::{Fault, Proxy},
    store::applied,
};

/// The function's own limit in the template.
const LIMIT: Duration = Duration::from_secs(28);

async fn start(embedded: &Embedded, endpoint: &str) -> Lambda {
    let tables = embedded.store.tables();
    let variables = [
        ("CUSTOMERS_TABLE", tables.customers.as_str()),
        ("SUBSCRIPTIONS_TABLE", &tables.subscriptions),
        ("DYNAMODB_ENDPOINT", endpoint),
        ("GRAPHQL_API_TOKEN", "local-token"),
    ];
    Lambda::start(Path::new(env!("CARGO_BIN_EXE_graphql")), variables).await.unwrap()
}

fn query(text: &str) -> Value {
    let (_, mut event) = sample::events("graphql").into_iter().find(|(name, _)| name == "customer.json").unwrap();
    event["body"] = json!({ "query": text }).to_string().into();
    event
}

async fn timed(lambda: &Lambda, text: &str) -> (u64, Value, Duration) {
    let started = Instant::now();
    let answer = lambda.invoke(&query(text)).await.unwrap();
    let body = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    (answer["statusCode"].as_u64().unwrap(), body, started.elapsed())
}

const ALL: &str =
    "{ customers { totalCount nodes { customerId name entitlements subscriptions { nodes { subscriptionId } } } } }";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_the_store_is_an_error_in_time_and_passes_with_the_fault() {
    let embedded = Arc::new(Embedded::in_memory().await.unwrap());
    let stack = Stack::on(embedded.store.clone(), "local-secret", "local-token", Clock::system()).unwrap();
    stack.seed("local-secret").await.unwrap();
    // The last one keeps every request just within its own limit.
    let slow = Fault::Slow(Duration::from_millis(2_700));
    let tries = Fault::FAILURES.into_iter().chain([Fault::Unprocessed, slow]).map(|fault| {
        let embedded = embedded.clone();
        tokio::spawn(async move {
            let proxy = Proxy::start(&embedded.endpoint, 0, None).await.unwrap();
            let lambda = start(&embedded, &proxy.endpoint).await;
            let (_, truth, _) = timed(&lambda, ALL).await;
            assert_eq!(truth["data"]["customers"]["totalCount"], 2, "{truth}");
            proxy.fail_with(fault);
            let (status, body, took) = timed(&lambda, ALL).await;
            println!("{}: {status} after {took:.1?}, {}", fault.name(), body["errors"][0]["extensions"]["code"]);
            assert!(took < LIMIT, "{} took {took:?}", fault.name());
            if fault == slow {
                assert!(status == 504 || body == truth, "{status}: {body}");
            } else {
                assert!(body["errors"].is_array() && body["data"]["customers"]["nodes"].is_null(), "{}: {body}", fault.name());
            }
            proxy.heal();
            assert_eq!(timed(&lambda, ALL).await.1, truth, "{}", fault.name());
            lambda.stop().await.unwrap();
        })
    });
    for one in tries.collect::<Vec<_>>() {
        one.await.unwrap();
    }
}

#[tokio::test]
async fn a_read_that_is_made_in_parts_is_made_to_the_end() {
    let embedded = Embedded::in_memory().await.unwrap();
    let stack = Stack::on(embedded.store.clone(), "local-secret", "local-token", Clock::system()).unwrap();
    stack.seed("local-secret").await.unwrap();
    let proxy = Proxy::start(&embedded.endpoint, 0, None).await.unwrap();
    let lambda = start(&embedded, &proxy.endpoint).await;
    let (_, truth, _) = timed(&lambda, ALL).await;
    for fault in [Fault::HalfProcessed, Fault::Torn] {
        proxy.fail_with(fault);
        assert_eq!(timed(&lambda, ALL).await.1, truth, "{}", fault.name());
        assert!(proxy.met()[fault.name()] > 0);
    }
}

/// An index that lags still has a place for what is gone, and none yet for what has come.
#[tokio::test]
async fn behind_an_index_that_lags_nothing_is_shown_that_is_gone() {
    const LISTS: &str = "{ customers { nodes { customerId name } } subscriptions { nodes { subscriptionId } } }";
    let customer = |kind: &str, id: &str| json!({"type": format!("customer.{kind}"), "id": id, "name": format!("{kind} {id}")});
    let subscription = |id: &str, customer: &str| {
        json!({"type": "subscription.created", "id": id, "status": "ACTIVE", "startDate": "2026-01-01T00:00:00Z",
               "customer": {"id": customer, "name": "n"}, "plan": {"id": "p", "name": "Plan"}})
    };
    let embedded = Embedded::in_memory().await.unwrap();
    let proxy = Proxy::start(&embedded.endpoint, 0, None).await.unwrap();
    let lambda = start(&embedded, &proxy.endpoint).await;
    for (day, event) in [(1, customer("created", "goes")), (1, customer("created", "stays")), (2, subscription("s", "goes"))] {
        applied(&embedded.store, day, event).await;
    }
    proxy.fail_with(Fault::Lagging);
    let (_, before, _) = timed(&lambda, LISTS).await;
    assert_eq!(before["data"]["customers"]["nodes"].as_array().unwrap().len(), 2, "{before}");
    for (day, event) in [
        (3, customer("deleted", "goes")),
        (3, customer("updated", "stays")),
        (3, customer("created", "comes")),
        (4, subscription("t", "comes")),
    ] {
        applied(&embedded.store, day, event).await;
    }
    let stays = json!({"customerId": "stays", "name": "updated stays"});
    let (_, lagging, _) = timed(&lambda, LISTS).await;
    assert_eq!(lagging, json!({"data": {"customers": {"nodes": [stays]}, "subscriptions": {"nodes": []}}}));
    proxy.heal();
    let (_, after, _) = timed(&lambda, LISTS).await;
    let comes = json!({"customerId": "comes", "name": "created comes"});
    assert_eq!(
        after,
        json!({"data": {"customers": {"nodes": [comes, stays]}, "subscriptions": {"nodes": [{"subscriptionId": "t"}]}}})
    );
}
