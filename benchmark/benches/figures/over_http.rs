//! The local stack over HTTP with its store in the same process, comparable with the Node example's measurement.
//!
//! The part is skipped if there is no `wrk`.

use std::process::{Command, Stdio};

use axum::{Router, body::Bytes};
use lambda_http::{Body, Response};
use local::gateway::{call, event_of, respond};
use serde_json::{Value, json};

use crate::{
    Options,
    functions::DATA,
    scenario::{ONE_CUSTOMER, README_QUERY, stigg_body},
    store::{Data, StoreProcess, data_from_env, in_memory, stack_on, wait_for_end_of_input},
    table::Table,
};

const ROLE: &str = "BENCHMARK_STACK";

const CONNECTIONS: [usize; 3] = [1, 16, 64];

/// Duration of a measurement.
const SECONDS: usize = 5;

/// Requests per second of the Node example at 16 connections, on a machine of this kind. Its database ran in another process.
const NODE: [(&str, f64); 5] = [
    ("check-access", 2_478.0),
    ("customer.updated", 2_288.0),
    ("measurement.reported", 1_323.0),
    ("one customer", 1_733.0),
    ("README query, first: 50", 105.0),
];

/// The data, if this process has to serve the stack.
pub fn role() -> Option<Data> {
    data_from_env(ROLE)
}

/// Serves the stack, and an empty handler at `/empty`.
pub async fn serve(data: Data) {
    let embedded = in_memory(data).await;
    let stack = stack_on(&embedded);
    let empty = Router::new().route(
        "/empty",
        axum::routing::post(|request: axum::extract::Request| async move {
            let (parts, body) = request.into_parts();
            let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
            let request = axum::http::Request::from_parts(parts, Bytes::from_iter(body));
            respond(call(|_| async { Response::new(Body::Text("{}".to_owned())) }, event_of(request)).await)
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("http://{}", listener.local_addr().unwrap());
    let router = empty.merge(stack.router());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    wait_for_end_of_input().await;
}

/// The script for wrk. It replaces `@ID@` in the body by a customer's id, and `@TIME@` by increasing times on this day.
fn script(body: &str, day: usize) -> String {
    format!(
        r#"local body, n = {body:?}, 0
local headers = {{ ["content-type"] = "application/json", ["authorization"] = "Bearer local-token",
                  ["stigg-webhooks-secret"] = "local-secret" }}
request = function()
  n = n + 1
  local id = string.format("customer-%07d", (n * 7919) % {customers})
  local time = string.format("2026-12-{day:02}T%02d:%02d:%02d.%03dZ", n / 3600000 % 24, n / 60000 % 60, n / 1000 % 60, n % 1000)
  return wrk.format("POST", nil, headers, (body:gsub("@ID@", id):gsub("@TIME@", time)))
end
done = function(summary, latency)
  io.write(string.format("figures %d %d %d %d %d\n", summary.requests, summary.duration, latency:percentile(50),
    latency:percentile(99), summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout))
end
"#,
        customers = DATA.customers,
    )
}

/// The figures of one kind of request. Latencies are in milliseconds.
struct Figures {
    per_second: f64,
    p50: f64,
    p99: f64,
    /// CPU time of the stack's process per request, in microseconds.
    cpu: f64,
}

fn load(url: &str, script: &str, connections: usize, seconds: usize, stack: &StoreProcess) -> Figures {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("requests.lua");
    std::fs::write(&file, script).unwrap();
    let before = stack.cpu_time();
    let mut command = Command::new("wrk");
    command.args([
        "--threads",
        "1",
        "--connections",
        &connections.to_string(),
        "--timeout",
        "30s",
        "--duration",
        &format!("{seconds}s"),
        "--script",
    ]);
    let output = command.arg(&file).arg(url).output().unwrap();
    let cpu_time = stack.cpu_time() - before;
    let printed = String::from_utf8(output.stdout).unwrap();
    let line = printed.lines().find_map(|line| line.strip_prefix("figures ")).unwrap_or_else(|| panic!("{printed}"));
    let numbers: Vec<f64> = line.split(' ').map(|number| number.parse().unwrap()).collect();
    assert!(numbers[4] == 0.0, "{url}: {} errors: {printed}", numbers[4]);
    Figures {
        per_second: numbers[0] / numbers[1] * 1e6,
        p50: numbers[2] / 1e3,
        p99: numbers[3] / 1e3,
        cpu: cpu_time.as_secs_f64() * 1e6 / numbers[0],
    }
}

pub async fn run(options: &Options) -> Value {
    if Command::new("wrk").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("HTTP is skipped: wrk is not installed.\n");
        return Value::Null;
    }
    let stack = StoreProcess::in_role(ROLE, DATA);
    let check = json!({"customerId": "@ID@", "featureId": "feature-0", "requestedUsage": 1}).to_string();
    let event = |file, change: fn(&mut Value)| {
        let mut body = stigg_body(file);
        body["timestamp"] = "@TIME@".into();
        body["messageId"] = "message-@TIME@".into();
        change(&mut body);
        body.to_string()
    };
    let query = |query: &str| json!({"query": query, "variables": {"id": "@ID@"}}).to_string();
    let kinds = [
        ("an empty handler", "/empty", check.clone()),
        ("check-access", "/check-access", check),
        ("customer.updated", "/webhook", event("10-customer.updated", |body| body["id"] = "@ID@".into())),
        (
            "measurement.reported",
            "/webhook",
            event("05-measurement", |body| {
                body["customer"]["id"] = "@ID@".into();
                body["feature"]["id"] = "feature-0".into();
            }),
        ),
        ("one customer", "/graphql", query(ONE_CUSTOMER)),
        ("README query, first: 50", "/graphql", query(README_QUERY)),
    ];
    let mut table = Table::new(&[
        "request",
        "connections",
        "requests/s",
        "ratio to empty",
        "ratio to Node",
        "p50, ms",
        "p99, ms",
        "CPU of the process, µs",
    ]);
    let mut figures = Vec::new();
    let mut empty = Vec::new();
    for (name, path, body) in kinds {
        for (index, connections) in CONNECTIONS.into_iter().enumerate() {
            let url = format!("{}{path}", stack.endpoint);
            load(&url, &script(&body, 2 * index + 1), connections, 1, &stack);
            let measured = load(&url, &script(&body, 2 * index + 2), connections, options.count(SECONDS), &stack);
            let Figures { per_second, p50, p99, cpu } = measured;
            if name == "an empty handler" {
                empty.push(per_second);
            }
            eprintln!("{name}, {connections} connections: {per_second:.0} a second");
            let node = NODE.iter().find(|(kind, _)| *kind == name && connections == 16).map(|(_, rate)| per_second / rate);
            table.row([
                name.to_owned(),
                connections.to_string(),
                format!("{per_second:.0}"),
                format!("{:.3}", per_second / empty[index]),
                node.map_or_else(String::new, |ratio| format!("{ratio:.2}")),
                format!("{p50:.2}"),
                format!("{p99:.2}"),
                format!("{cpu:.0}"),
            ]);
            figures.push(json!({"request": name, "connections": connections, "perSecond": per_second, "p50Milliseconds": p50,
                                "p99Milliseconds": p99, "processorMicroseconds": cpu}));
        }
    }
    table.print("Over HTTP: gateway, functions and store in one process, with wrk on the same cores:");
    figures.into()
}
