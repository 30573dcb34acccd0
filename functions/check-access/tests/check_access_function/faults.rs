//! Checks under every fault of the store, and beside writers: a 503 in time or the true decision, never a
//! wrong yes, and never a mixture of two.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use local::{embedded::Embedded, serve::Stack};
use runtime::clock::Clock;
use serde_json::{Value, json};
use template::sample;
use testkit::proxy::{Fault, Proxy};
use testkit::runtime_api::Lambda;

/// Far above the two seconds that are promised, and far below what the SDK would take by itself: the machine
/// that tests run on may be busy.
const GENEROUS: Duration = Duration::from_secs(8);

async fn start(embedded: &Embedded, endpoint: &str) -> Lambda {
    let variables = [
        ("CUSTOMERS_TABLE", embedded.store.tables().customers.as_str()),
        ("SUBSCRIPTIONS_TABLE", embedded.store.tables().subscriptions.as_str()),
        ("DYNAMODB_ENDPOINT", endpoint),
        ("CHECK_ACCESS_API_TOKEN", "local-token"),
    ];
    Lambda::start(Path::new(env!("CARGO_BIN_EXE_check-access")), variables).await.unwrap()
}

fn check(name: &str) -> Value {
    sample::events("check-access").into_iter().find(|(file, _)| file == name).unwrap().1
}

async fn timed(lambda: &Lambda, event: &Value) -> (u64, bool, Duration) {
    let started = Instant::now();
    let answer = lambda.invoke(event).await.unwrap();
    let decides = answer["body"].as_str().unwrap().contains("hasAccess");
    (answer["statusCode"].as_u64().unwrap(), decides, started.elapsed())
}

async fn told() -> Arc<Embedded> {
    let embedded = Embedded::in_memory().await.unwrap();
    let stack = Stack::on(embedded.store.clone(), "local-secret", "local-token", Clock::system()).unwrap();
    stack.seed("local-secret").await.unwrap();
    Arc::new(embedded)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_the_store_is_a_503_within_two_seconds_and_never_a_decision() {
    let embedded = told().await;
    let tries = Fault::FAILURES.into_iter().chain([Fault::Unprocessed]).map(|fault| {
        let embedded = embedded.clone();
        tokio::spawn(async move {
            let proxy = Proxy::start(&embedded.endpoint, 0, None).await.unwrap();
            let lambda = start(&embedded, &proxy.endpoint).await;
            proxy.fail_with(fault);
            for name in ["granted-metered.json", "denied-unknown-customer.json"] {
                let (status, decides, took) = timed(&lambda, &check(name)).await;
                println!("{} {name}: {status} after {took:.2?}", fault.name());
                assert_eq!((status, decides), (503, false), "{} {name}", fault.name());
                assert!(took < GENEROUS, "{} {name} took {took:?}", fault.name());
            }
            proxy.heal();
            assert_eq!(timed(&lambda, &check("granted-metered.json")).await.0, 200);
            let log = lambda.stop().await.unwrap();
            assert_eq!(log.matches("\"store_failed\":true").count(), 2, "{log}");
        })
    });
    for one in tries.collect::<Vec<_>>() {
        one.await.unwrap();
    }
}

/// A read that is made in parts is made to the end.
#[tokio::test]
async fn keys_that_are_left_unprocessed_are_asked_for_again() {
    let embedded = told().await;
    let proxy = Proxy::start(&embedded.endpoint, 0, None).await.unwrap();
    let lambda = start(&embedded, &proxy.endpoint).await;
    for fault in [Fault::HalfProcessed, Fault::Torn] {
        proxy.fail_with(fault);
        for (name, event) in sample::events("check-access") {
            let expected = if name.starts_with("granted") { 200 } else { 403 };
            assert_eq!(timed(&lambda, &event).await.0, expected, "{} {name}", fault.name());
        }
    }
}

/// The n-th list: every number in it tells n.
fn list(customer: &str, features: &[&str], n: u32) -> Value {
    let grant = |feature: &&str| {
        let time = |hours: u32| {
            let base: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
            (base + jiff::SignedDuration::from_hours(hours.into())).to_string()
        };
        json!({"feature": {"id": feature, "featureType": "NUMBER", "meterType": "Fluctuating"}, "usageLimit": 10 * n, "currentUsage": n,
               "usagePeriodStart": time(n), "usagePeriodEnd": time(1_000_000 + n)})
    };
    json!({"type": "entitlements.updated", "customer": {"id": customer, "name": "n"}, "resource": null,
           "entitlements": features.iter().map(grant).collect::<Vec<_>>()})
}

/// Every list holds `always`, every other one `sometimes`. BatchGetItem reads its items at different moments.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_beside_writers_sees_a_feature_as_one_list_or_the_other_had_it() {
    const LISTS: u32 = 300;
    let embedded = Embedded::in_memory().await.unwrap();
    let proxy = Proxy::start(&embedded.endpoint, 0, None).await.unwrap();
    let stack = Stack::on(store_behind(&embedded, &proxy), "secret", "token", Clock::system()).unwrap();
    let writer = Stack::on(embedded.store.clone(), "local-secret", "token", Clock::system()).unwrap();
    proxy.fail_with(Fault::Torn);
    let written = Arc::new(AtomicBool::new(false));
    write_list(&writer, 1).await;
    let checkers: Vec<_> = ["always", "sometimes", "always", "sometimes"]
        .into_iter()
        .map(|feature| {
            let (gateway, written) = (stack.gateway.clone(), written.clone());
            tokio::spawn(async move {
                let mut seen = Vec::new();
                while !written.load(Ordering::SeqCst) {
                    let mut event = check("granted-metered.json");
                    event["body"] = json!({"customerId": "c", "featureId": feature}).to_string().into();
                    event["headers"]["authorization"] = "Bearer token".into();
                    let answer = gateway.invoke(event).await.unwrap();
                    let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
                    seen.push((feature, answer["statusCode"].as_u64().unwrap(), body));
                }
                seen
            })
        })
        .collect();
    for n in 2..=LISTS {
        write_list(&writer, n).await;
    }
    written.store(true, Ordering::SeqCst);
    let (mut checks, mut states) = (0, BTreeSet::new());
    for checker in checkers {
        let mut newest = 0;
        for (feature, status, body) in checker.await.unwrap() {
            checks += 1;
            if feature == "sometimes" && status == 403 {
                assert_eq!(body["accessDeniedReason"], "NoFeatureEntitlementInSubscription", "{body}");
                continue;
            }
            assert_eq!(status, 200, "{feature}: {body}");
            let n = body["currentUsage"].as_u64().unwrap();
            let state = list("c", &[feature], u32::try_from(n).unwrap())["entitlements"][0].clone();
            for number in ["usageLimit", "currentUsage"] {
                assert_eq!(body[number], state[number], "{body}");
            }
            for bound in ["usagePeriodStart", "usagePeriodEnd"] {
                let [shown, stored] =
                    [&body, &state].map(|json| json[bound].as_str().unwrap().parse::<jiff::Timestamp>().unwrap());
                assert_eq!(shown, stored, "{body}");
            }
            assert!(n >= newest, "list {n} after list {newest}");
            newest = n;
            states.insert(n);
        }
    }
    println!("{checks} checks beside {LISTS} lists saw {} of them", states.len());
    assert!(checks > 100 && states.len() > 20);
}

fn store_behind(embedded: &Embedded, proxy: &Proxy) -> store::Store {
    store::Store::new(runtime::aws::local_dynamodb(&proxy.endpoint), embedded.store.tables().clone())
}

/// Each list a millisecond after the one before, as the webhook writes it.
async fn write_list(stack: &Stack, n: u32) {
    let features: &[&str] = if n.is_multiple_of(2) { &["always"] } else { &["always", "sometimes"] };
    let mut event = list("c", features, n);
    let base: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    event["entitlementsUpdatedAt"] = (base + jiff::SignedDuration::from_millis(n.into())).to_string().into();
    event["messageId"] = n.to_string().into();
    let mut request = sample::events("webhook").remove(0).1;
    request["body"] = event.to_string().into();
    let answer = stack.gateway.invoke(request).await.unwrap();
    assert_eq!(answer["statusCode"], 200, "{answer}");
}
