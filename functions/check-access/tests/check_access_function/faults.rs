//! Checks while the store fails or is written to: a 503 in time or a decision on consistent data, and never a wrong grant.

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

/// Well above the promised two seconds, because the test's machine may be busy, and well below the SDK's default timeout.
const MAX_DURATION: Duration = Duration::from_secs(8);

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
    let has_decision = answer["body"].as_str().unwrap().contains("hasAccess");
    (answer["statusCode"].as_u64().unwrap(), has_decision, started.elapsed())
}

async fn seeded() -> Arc<Embedded> {
    let embedded = Embedded::in_memory().await.unwrap();
    let stack = Stack::on(embedded.store.clone(), "local-secret", "local-token", Clock::system()).unwrap();
    stack.seed("local-secret").await.unwrap();
    Arc::new(embedded)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_store_fault_is_a_503_in_time_without_a_decision() {
    let embedded = seeded().await;
    let tasks = Fault::FAILURES.into_iter().chain([Fault::Unprocessed]).map(|fault| {
        let embedded = embedded.clone();
        tokio::spawn(async move {
            let proxy = Proxy::start(&embedded.endpoint, 0, None).await.unwrap();
            let lambda = start(&embedded, &proxy.endpoint).await;
            proxy.fail_with(fault);
            for name in ["granted-metered.json", "denied-unknown-customer.json"] {
                let (status, has_decision, duration) = timed(&lambda, &check(name)).await;
                println!("{} {name}: {status} after {duration:.2?}", fault.name());
                assert_eq!((status, has_decision), (503, false), "{} {name}", fault.name());
                assert!(duration < MAX_DURATION, "{} {name} took {duration:?}", fault.name());
            }
            proxy.heal();
            assert_eq!(timed(&lambda, &check("granted-metered.json")).await.0, 200);
            let log = lambda.stop().await.unwrap();
            assert_eq!(log.matches("\"store_failed\":true").count(), 2, "{log}");
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn unprocessed_keys_are_read_again() {
    let embedded = seeded().await;
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

/// The n-th list. All its numbers and times are derived from n.
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

/// All lists contain `always`, every other list contains `sometimes`. The proxy makes BatchGetItem read its items at
/// different times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checks_during_writes_never_mix_two_lists() {
    const LISTS: u32 = 300;
    let embedded = Embedded::in_memory().await.unwrap();
    let proxy = Proxy::start(&embedded.endpoint, 0, None).await.unwrap();
    let stack = Stack::on(store_through(&embedded, &proxy), "secret", "token", Clock::system()).unwrap();
    let writer = Stack::on(embedded.store.clone(), "local-secret", "token", Clock::system()).unwrap();
    proxy.fail_with(Fault::Torn);
    let done = Arc::new(AtomicBool::new(false));
    write_list(&writer, 1).await;
    let checkers: Vec<_> = ["always", "sometimes", "always", "sometimes"]
        .into_iter()
        .map(|feature| {
            let (gateway, done) = (stack.gateway.clone(), done.clone());
            tokio::spawn(async move {
                let mut answers = Vec::new();
                while !done.load(Ordering::SeqCst) {
                    let mut event = check("granted-metered.json");
                    event["body"] = json!({"customerId": "c", "featureId": feature}).to_string().into();
                    event["headers"]["authorization"] = "Bearer token".into();
                    let answer = gateway.invoke(event).await.unwrap();
                    let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
                    answers.push((feature, answer["statusCode"].as_u64().unwrap(), body));
                }
                answers
            })
        })
        .collect();
    for n in 2..=LISTS {
        write_list(&writer, n).await;
    }
    done.store(true, Ordering::SeqCst);
    let (mut checks, mut lists) = (0, BTreeSet::new());
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
            let entitlement = list("c", &[feature], u32::try_from(n).unwrap())["entitlements"][0].clone();
            for number in ["usageLimit", "currentUsage"] {
                assert_eq!(body[number], entitlement[number], "{body}");
            }
            for bound in ["usagePeriodStart", "usagePeriodEnd"] {
                let [shown, stored] =
                    [&body, &entitlement].map(|json| json[bound].as_str().unwrap().parse::<jiff::Timestamp>().unwrap());
                assert_eq!(shown, stored, "{body}");
            }
            assert!(n >= newest, "list {n} after list {newest}");
            newest = n;
            lists.insert(n);
        }
    }
    println!("{checks} checks during {LISTS} writes read {} of the lists", lists.len());
    assert!(checks > 100 && lists.len() > 20);
}

fn store_through(embedded: &Embedded, proxy: &Proxy) -> store::Store {
    store::Store::new(runtime::aws::local_dynamodb(&proxy.endpoint), embedded.store.tables().clone())
}

/// Sends the n-th list to the webhook, with a time of n milliseconds.
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
