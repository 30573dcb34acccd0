//! What the local stack takes over HTTP, and what the release binaries take to start.
//!
//! `cargo build --release --workspace && cargo bench -p byos`
//!
//! Measured: whole requests over HTTP at 16 connections, client, stand-in for API Gateway, function and
//! embedded store in one process on this machine's cores; the empty handler behind the same gateway in
//! the same run is what there is without function and store. And the binaries: size, time from the
//! start of the process to its first poll of the Runtime API, and to its first answer.
//!
//! Not measured: AWS. A network, DynamoDB's own latency, and Lambda's set-up of a new environment come
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
    runtime_api::Lambda,
    serve::Stack,
    story,
};
use lambda_http::{Body, Response};
use serde_json::json;
use shared::time::Clock;

const CONNECTIONS: usize = 16;
const REQUESTS: usize = 20_000;

struct Figures {
    what: &'static str,
    per_second: f64,
    p50: Duration,
    p99: Duration,
}

async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// Sends the requests over 16 connections, each waiting for its answer before it sends the next.
async fn load(what: &'static str, url: &str, body: impl Fn(usize) -> String + Clone + Send + 'static) -> Figures {
    let client = reqwest::Client::builder().pool_max_idle_per_host(CONNECTIONS).build().unwrap();
    let start = Instant::now();
    let senders: Vec<_> = (0..CONNECTIONS)
        .map(|sender| {
            let (client, url, body) = (client.clone(), url.to_owned(), body.clone());
            tokio::spawn(async move {
                let mut times = Vec::with_capacity(REQUESTS / CONNECTIONS);
                for n in 0..REQUESTS / CONNECTIONS {
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
    let mut times = Vec::with_capacity(REQUESTS);
    for sender in senders {
        times.extend(sender.await.unwrap());
    }
    let per_second = times.len() as f64 / start.elapsed().as_secs_f64();
    times.sort();
    Figures { what, per_second, p50: times[times.len() / 2], p99: times[times.len() * 99 / 100] }
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
    let graphql =
        json!({"query": "{ customer(customerId: \"customer-alder\") { name entitlements subscriptions { nodes { status } } } }"});
    let graphql = graphql.to_string();
    let empty_body = check.clone();
    let figures = [
        load("empty handler", &empty, move |_| empty_body.clone()).await,
        load("check-access", &format!("{url}/check-access"), move |_| check.clone()).await,
        load("customer.updated", &format!("{url}/webhook"), update).await,
        load("one customer by GraphQL", &format!("{url}/graphql"), move |_| graphql.clone()).await,
    ];
    println!("{REQUESTS} requests each over HTTP at {CONNECTIONS} connections:\n");
    println!("| | requests/s | of the empty handler's | p50 | p99 |\n|---|---|---|---|---|");
    for Figures { what, per_second, p50, p99 } in &figures {
        let ratio = per_second / figures[0].per_second;
        println!(
            "| {what} | {per_second:.0} | {ratio:.2} | {:.2} ms | {:.2} ms |",
            p50.as_secs_f64() * 1e3,
            p99.as_secs_f64() * 1e3
        );
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
        "\nThe binaries, median of {STARTS} starts:\n\n| | size | gzip -9 | start to first poll | to first answer |\n|---|---|---|---|---|"
    );
    for (name, route, file) in [
        ("webhook", "webhook", "01-customer.created-alder.json"),
        ("check-access", "check-access", "granted-metered.json"),
        ("graphql", "graphql", "customer.json"),
    ] {
        let binary = release().join(name);
        let Ok(bytes) = std::fs::read(&binary) else {
            println!("| {name} | not built: cargo build --release --workspace | | | |");
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
        let (mut polls, mut answers) = (Vec::new(), Vec::new());
        for _ in 0..STARTS {
            let start = Instant::now();
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
            "| {name} | {:.2} MB | {:.2} MB | {:.1} ms | {:.1} ms |",
            bytes.len() as f64 / 1e6,
            gzipped(&bytes) as f64 / 1e6,
            polls[STARTS / 2].as_secs_f64() * 1e3,
            answers[STARTS / 2].as_secs_f64() * 1e3,
        );
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
