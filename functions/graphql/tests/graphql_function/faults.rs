//! Faults of the store: the function returns an error within Lambda's time limit, no partial data, and recovers.

use std::time::{Duration, Instant};

use graphql::{Graphql, Limits, Options};
use lambda_http::http::StatusCode;
use runtime::{
    aws::{Budget, any_credentials, dynamodb},
    secret::Secret,
};
use serde_json::{Value, json};
use store::Store;
use testkit::{
    proxy::{Fault, Proxy},
    runtime_api::Lambda,
    store::applied,
};

use crate::stack::{Stack, TOKEN, body_of, event_with_query, lambda_body, post};

/// The function's timeout in the template.
const TIMEOUT: Duration = Duration::from_secs(28);

async fn start(stack: &Stack) -> (Proxy, Lambda) {
    let proxy = Proxy::start(&stack.embedded.endpoint, 0, None).await.unwrap();
    let lambda = stack.start_lambda(&[("GRAPHQL_API_TOKEN", TOKEN), ("DYNAMODB_ENDPOINT", &proxy.endpoint)]).await;
    (proxy, lambda)
}

async fn query(lambda: &Lambda, text: &str) -> Value {
    lambda_body(&lambda.invoke(&event_with_query(text)).await.unwrap())
}

const ALL: &str =
    "{ customers { totalCount nodes { customerId name entitlements subscriptions { nodes { subscriptionId } } } } }";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_store_is_an_error_without_data_and_the_function_recovers() {
    let stack = std::sync::Arc::new(Stack::start().await);
    stack.write_sample_data().await;
    // Slow answers are tested in this process, with shorter time limits.
    let faults = Fault::FAILURES.into_iter().filter(|fault| !matches!(fault, Fault::Slow(_))).chain([Fault::Unprocessed]);
    let tests = faults.map(|fault| {
        let stack = stack.clone();
        tokio::spawn(async move {
            let (proxy, lambda) = start(&stack).await;
            let complete = query(&lambda, ALL).await;
            assert_eq!(complete["data"]["customers"]["totalCount"], 2, "{complete}");
            proxy.fail_with(fault);
            let started = Instant::now();
            let failed = query(&lambda, ALL).await;
            let duration = started.elapsed();
            println!("{}: {} after {duration:.1?}", fault.name(), failed["errors"][0]["extensions"]["code"]);
            assert!(duration < TIMEOUT, "{} took {duration:?}", fault.name());
            assert!(failed["errors"].is_array() && failed["data"]["customers"]["nodes"].is_null(), "{}: {failed}", fault.name());
            proxy.heal();
            assert_eq!(query(&lambda, ALL).await, complete, "{}", fault.name());
            lambda.stop().await.unwrap();
        })
    });
    for test in tests.collect::<Vec<_>>() {
        test.await.unwrap();
    }
}

/// All time limits are a third of the function's.
#[tokio::test]
async fn a_slow_store_is_an_error_or_a_complete_answer_in_time() {
    let third = |duration: Duration| duration / 3;
    let stack = Stack::start().await;
    stack.write_sample_data().await;
    let proxy = Proxy::start(&stack.embedded.endpoint, 0, None).await.unwrap();
    let Budget { connect, attempt, total, attempts } = Budget::READ;
    let budget = Budget { connect: third(connect), attempt: third(attempt), total: third(total), attempts };
    let client = dynamodb(Some("us-east-1".to_owned()), any_credentials(), Some(proxy.endpoint.clone()), budget);
    let store = Store::new(client, stack.store().tables().clone());
    let limits = Limits { time: third(Limits::default().time), ..Limits::default() };
    let graphql = Graphql::new(store, Secret::new(TOKEN, None).unwrap(), Options { limits, ..Options::default() });
    let request = json!({"query": ALL}).to_string();
    let complete = body_of(&graphql.handle(post(&request)).await);
    assert_eq!(complete["data"]["customers"]["totalCount"], 2, "{complete}");

    // Longer than an attempt, and within an attempt but several in a row.
    for (delay, is_within_an_attempt) in [(attempt * 4 / 3, false), (attempt * 3 / 4, true)] {
        proxy.fail_with(Fault::Slow(third(delay)));
        let started = Instant::now();
        let response = graphql.handle(post(&request)).await;
        let (duration, body) = (started.elapsed(), body_of(&response));
        println!("delayed by {:?}: {} after {duration:.1?}", third(delay), response.status());
        assert!(duration < third(TIMEOUT), "{duration:?}");
        if is_within_an_attempt {
            assert!(response.status() == StatusCode::GATEWAY_TIMEOUT || body == complete, "{body}");
        } else {
            assert!(body["errors"].is_array() && body["data"]["customers"]["nodes"].is_null(), "{body}");
        }
    }
    proxy.heal();
    assert_eq!(body_of(&graphql.handle(post(&request)).await), complete);
}

#[tokio::test]
async fn incomplete_reads_of_dynamodb_are_completed() {
    let stack = Stack::start().await;
    stack.write_sample_data().await;
    let (proxy, lambda) = start(&stack).await;
    let complete = query(&lambda, ALL).await;
    for fault in [Fault::HalfProcessed, Fault::Torn] {
        proxy.fail_with(fault);
        assert_eq!(query(&lambda, ALL).await, complete, "{}", fault.name());
        assert!(proxy.fault_counts()[fault.name()] > 0);
    }
}

/// A lagging index still has entries of deleted rows, and none of new ones.
#[tokio::test]
async fn deleted_rows_are_hidden_while_the_index_lags() {
    const LISTS: &str = "{ customers { nodes { customerId name } } subscriptions { nodes { subscriptionId } } }";
    let customer = |kind: &str, id: &str| json!({"type": format!("customer.{kind}"), "id": id, "name": format!("{kind} {id}")});
    let subscription = |id: &str, customer: &str| {
        json!({"type": "subscription.created", "id": id, "status": "ACTIVE", "startDate": "2026-01-01T00:00:00Z",
               "customer": {"id": customer, "name": "n"}, "plan": {"id": "p", "name": "Plan"}})
    };
    let stack = Stack::start().await;
    let (proxy, lambda) = start(&stack).await;
    for (day, event) in [(1, customer("created", "goes")), (1, customer("created", "stays")), (2, subscription("s", "goes"))] {
        applied(stack.store(), day, event).await;
    }
    proxy.fail_with(Fault::Lagging);
    let before = query(&lambda, LISTS).await;
    assert_eq!(before["data"]["customers"]["nodes"].as_array().unwrap().len(), 2, "{before}");
    for (day, event) in [
        (3, customer("deleted", "goes")),
        (3, customer("updated", "stays")),
        (3, customer("created", "comes")),
        (4, subscription("t", "comes")),
    ] {
        applied(stack.store(), day, event).await;
    }
    let stays = json!({"customerId": "stays", "name": "updated stays"});
    let lagging = query(&lambda, LISTS).await;
    assert_eq!(lagging, json!({"data": {"customers": {"nodes": [stays]}, "subscriptions": {"nodes": []}}}));
    proxy.heal();
    let after = query(&lambda, LISTS).await;
    let comes = json!({"customerId": "comes", "name": "created comes"});
    assert_eq!(
        after,
        json!({"data": {"customers": {"nodes": [comes, stays]}, "subscriptions": {"nodes": [{"subscriptionId": "t"}]}}})
    );
}
