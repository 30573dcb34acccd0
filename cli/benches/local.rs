//! What the local stack takes over HTTP, and what the release binaries take to start.
//!
//! `cargo build --release --workspace && cargo bench -p byos`
//!
//! Measured: whole requests over HTTP at 16 connections, client, stand-in for API Gateway, function and
//! embedded store in one process on this machine's cores; the empty handler behind the same gateway in
//! the same run is what there is without function and store. And the binaries: size, time from the
//! start of the process to its first poll of the Runtime API, and to its first answer, with the secret in
//! a variable and in a stand-in for Secrets Manager on loopback.
//!
//! Not measured: AWS. A network, TLS, DynamoDB's own latency, and Lambda's set-up of a new environment come
//! on top there, and the client's share of the CPU goes away.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_precision_loss)]

use std::{
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use axum::{Router, body::Bytes};
use byos::{
    embedded::Embedded,
    gateway::{call, event_of, respond},
    http,
    runtime_api::Lambda,
    serve::Stack,
    standin::SecretsManager,
    story,
};
use lambda_http::{Body, Response};
use serde_json::json;
use shared::time::Clock;

const CONNECTIONS: usize = 16;
const REQUESTS: usize = 20_000;

/// For the page of customers that the example's README asks for.
const PAGES: usize = 800;
const CUSTOMERS: usize = 1_000;
const ENTITLEMENTS: usize = 20;
const SUBSCRIPTIONS: usize = 2;

struct Figures {
    what: &'static str,
    per_second: f64,
    p50: Duration,
    p99: Duration,
    /// Of the whole process: client, gateway, function and store.
    cpu: Duration,
}

async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// Sends the requests over 16 connections, each waiting for its answer before it sends the next.
async fn load(
    what: &'static str,
    url: &str,
    requests: usize,
    body: impl Fn(usize) -> String + Clone + Send + 'static,
) -> Figures {
    let client = http::builder().pool_max_idle_per_host(CONNECTIONS).build().unwrap();
    let (start, cpu) = (Instant::now(), cpu_time());
    let senders: Vec<_> = (0..CONNECTIONS)
        .map(|sender| {
            let (client, url, body) = (client.clone(), url.to_owned(), body.clone());
            tokio::spawn(async move {
                let mut times = Vec::with_capacity(requests / CONNECTIONS);
                for n in 0..requests / CONNECTIONS {
                    let start = Instant::now();
                    let request = client
                        .post(&url)
                        .header("authorization", "Bearer token")
                        .header("stigg-webhooks-secret", "secret")
                        .header("content-type", "application/json")
                        .body(body(n * CONNECTIONS + sender));
                    let response = request.send().await.unwrap();
                    assert!(response.status().is_success(), "{}", response.status());
                    response.bytes().await.unwrap();
                    times.push(start.elapsed());
                }
                times
            })
        })
        .collect();
    let mut times = Vec::with_capacity(requests);
    for sender in senders {
        times.extend(sender.await.unwrap());
    }
    let per_second = times.len() as f64 / start.elapsed().as_secs_f64();
    let cpu = (cpu_time() - cpu) / u32::try_from(times.len()).unwrap();
    times.sort();
    Figures { what, per_second, p50: times[times.len() / 2], p99: times[times.len() * 99 / 100], cpu }
}

/// User and system time of this process, as Linux counts it, in hundredths of a second.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
    Duration::from_millis(fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>() * 10)
}

/// A thousand customers with twenty entitlements and two subscriptions each.
async fn populate(stack: &Stack) {
    let deliver = async |event: serde_json::Value| {
        let request = axum::http::Request::post("/webhook")
            .header("stigg-webhooks-secret", "secret")
            .header("content-type", "application/json")
            .body(Bytes::from(event.to_string()))
            .unwrap();
        assert!(stack.gateway.serve(request).await.status().is_success());
    };
    let entitlements: Vec<_> = (0..ENTITLEMENTS)
        .map(|n| {
            json!({"feature": {"id": format!("feature-{n}"), "name": format!("Feature {n}"), "description": null, "status": "ACTIVE",
                               "featureType": "NUMBER", "meterType": "INCREMENTAL", "unit": "call", "units": "calls"},
                   "usageLimit": 1_000, "currentUsage": n, "hasUnlimitedUsage": false, "hasSoftLimit": false, "resetPeriod": "MONTH",
                   "usagePeriodAnchor": "2026-11-01T00:00:00Z", "usagePeriodStart": "2026-11-01T00:00:00Z",
                   "usagePeriodEnd": "2026-12-01T00:00:00Z", "enumValues": null, "creditBalance": null})
        })
        .collect();
    for n in 0..CUSTOMERS {
        let customer =
            json!({"id": format!("page-{n:04}"), "name": format!("Customer {n}"), "email": format!("{n}@example.com")});
        let mut created = customer.clone();
        created["type"] = "customer.created".into();
        created["timestamp"] = "2026-11-01T00:00:00Z".into();
        deliver(created).await;
        for s in 0..SUBSCRIPTIONS {
            deliver(json!({"type": "subscription.created", "id": format!("subscription-{n:04}-{s}"), "status": "ACTIVE",
                           "timestamp": "2026-11-01T00:00:00Z", "startDate": "2026-11-01T00:00:00Z", "customer": customer,
                           "plan": {"id": "plan", "name": "Plan"}}))
            .await;
        }
        deliver(json!({"type": "entitlements.updated", "entitlementsUpdatedAt": "2026-11-01T00:00:00Z", "customer": customer,
                       "resource": null, "entitlements": entitlements}))
        .await;
    }
}

async fn over_http() {
    let embedded = Embedded::in_memory().await.unwrap();
    let stack = Stack::on(embedded.store.clone(), "secret", "token", Clock::system()).unwrap();
    stack.seed("secret").await.unwrap();
    let url = serve(stack.router()).await;
    let empty = serve(Router::new().fallback(|request: axum::extract::Request| async move {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        let request = axum::http::Request::from_parts(parts, Bytes::from_iter(body));
        respond(call(|_| async { Response::new(Body::Text("{}".to_owned())) }, event_of(request)).await)
    }))
    .await;
    let check = json!({"customerId": "customer-alder", "featureId": "feature-api-calls", "requestedUsage": 1}).to_string();
    let update = |n: usize| {
        json!({"type": "customer.updated", "messageId": n.to_string(), "timestamp": "2026-11-01T00:00:00Z",
               "id": format!("customer-{}", n % 1_000), "name": "Name", "email": "name@example.com", "billingId": null,
               "metadata": {"region": "eu"}})
        .to_string()
    };
    let one = "query One($id: String!) { customer(customerId: $id) { customerId name email
        subscriptions { nodes { subscriptionId planId planName status startDate endDate } } } }";
    let page = "query CustomersAndSubscriptions { customers(first: 50) { totalCount nodes { createdAt updatedAt
        customerId name email entitlements subscriptions(condition: {status: \"ACTIVE\"}) { nodes { createdAt updatedAt
        subscriptionId planId planName status startDate endDate } } } } }";
    let nested =
        (0..7).fold("subscriptionId".to_owned(), |inner, _| format!("customer {{ subscriptions {{ nodes {{ {inner} }} }} }}"));
    let nested = format!("{{ subscriptions {{ nodes {{ {nested} }} }} }}");
    let one = json!({"query": one, "variables": {"id": "page-0500"}}).to_string();
    let [page, nested] = [page, &nested].map(|query| json!({ "query": query }).to_string());
    let empty_body = check.clone();
    let mut figures = vec![
        load("empty handler", &empty, REQUESTS, move |_| empty_body.clone()).await,
        load("check-access", &format!("{url}/check-access"), REQUESTS, move |_| check.clone()).await,
        load("customer.updated", &format!("{url}/webhook"), REQUESTS, update).await,
    ];
    populate(&stack).await;
    let graphql = format!("{url}/graphql");
    figures.push(load("one customer with subscriptions", &graphql, REQUESTS / 2, move |_| one.clone()).await);
    figures.push(load("README query, first: 50", &graphql, PAGES, move |_| page.clone()).await);
    figures.push(load("seven nested levels, refused", &graphql, REQUESTS / 2, move |_| nested.clone()).await);
    println!("Over HTTP at {CONNECTIONS} connections:\n");
    println!("| | requests/s | of the empty handler's | p50 | p99 | CPU of the whole process |\n|---|---|---|---|---|---|");
    for Figures { what, per_second, p50, p99, cpu } in &figures {
        let ratio = per_second / figures[0].per_second;
        let [p50, p99, cpu] = [p50, p99, cpu].map(|time| time.as_secs_f64() * 1e3);
        println!("| {what} | {per_second:.0} | {ratio:.2} | {p50:.2} ms | {p99:.2} ms | {cpu:.2} ms |");
    }
}

/// The folder that the release binaries are built into.
fn release() -> PathBuf {
    let executable = std::env::current_exe().unwrap();
    executable.ancestors().nth(2).unwrap().to_owned()
}

async fn binaries() {
    const STARTS: usize = 15;
    println!(
        "\nThe binaries, median of {STARTS} starts, the connection to the store opened before the first poll:\n\n\
         | | size | gzip -9 | its secret | start to first poll | to first answer |\n|---|---|---|---|---|---|"
    );
    for (name, route, file) in [
        ("webhook", "webhook", "01-customer.created-alder.json"),
        ("check-access", "check-access", "granted-metered.json"),
        ("graphql", "graphql", "customer.json"),
    ] {
        let binary = release().join(name);
        let Ok(bytes) = std::fs::read(&binary) else {
            println!("| {name} | not built: cargo build --release --workspace | | | | |");
            continue;
        };
        let embedded = Embedded::in_memory().await.unwrap();
        let stack = Stack::on(embedded.store.clone(), "local-secret", "local-token", Clock::system()).unwrap();
        stack.seed("local-secret").await.unwrap();
        let tables = embedded.store.tables();
        let variables = [
            ("CUSTOMERS_TABLE", tables.customers.as_str()),
            ("SUBSCRIPTIONS_TABLE", &tables.subscriptions),
            ("RECEIPTS_TABLE", &tables.receipts),
            ("DYNAMODB_ENDPOINT", &embedded.endpoint),
            ("STIGG_WEBHOOK_SECRET", "local-secret"),
            ("GRAPHQL_API_TOKEN", "local-token"),
            ("CHECK_ACCESS_API_TOKEN", "local-token"),
        ];
        let (_, event) = story::events(route).into_iter().find(|(name, _)| name == file).unwrap();
        let manager = SecretsManager::start(&json!({"secret": "local-secret", "token": "local-token"})).await.unwrap();
        let in_manager = [("SECRET_ARN", "arn:secret"), ("SECRETS_MANAGER_ENDPOINT", manager.endpoint())];
        let (megabytes, compressed) = (bytes.len() as f64 / 1e6, gzipped(&bytes) as f64 / 1e6);
        for (secret, more) in [("in a variable", &in_manager[..0]), ("in Secrets Manager", &in_manager)] {
            let (mut polls, mut answers) = (Vec::new(), Vec::new());
            for _ in 0..STARTS {
                let start = Instant::now();
                let variables = variables.into_iter().chain(more.iter().copied());
                let mut lambda = Lambda::start(&binary, variables).await.unwrap();
                polls.push(lambda.first_poll().await.unwrap());
                let answer = lambda.invoke(&event).await.unwrap();
                answers.push(start.elapsed());
                assert_eq!(answer["statusCode"], 200, "{answer}");
                lambda.stop().await.unwrap();
            }
            polls.sort();
            answers.sort();
            println!(
                "| {name} | {megabytes:.2} MB | {compressed:.2} MB | {secret} | {:.1} ms | {:.1} ms |",
                polls[STARTS / 2].as_secs_f64() * 1e3,
                answers[STARTS / 2].as_secs_f64() * 1e3,
            );
        }
    }
}

/// How large it is once compressed as a deployment package is.
fn gzipped(bytes: &[u8]) -> usize {
    let mut gzip = Command::new("gzip").args(["-9", "-c"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = gzip.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&bytes));
    let size = gzip.wait_with_output().unwrap().stdout.len();
    writer.join().unwrap().unwrap();
    size
}

fn main() {
    // `cargo test --benches` only asks whether it builds.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        over_http().await;
        binaries().await;
    });
}
