//! Records a function's requests to DynamoDB, as the plan of the bare reference function.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Instant,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

/// A proxy in front of a DynamoDB that records the requests.
pub struct Recorder {
    pub endpoint: String,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

/// The recorded requests.
#[derive(Default)]
pub struct Record {
    /// The requests. Concurrent ones are in one step.
    pub steps: Vec<Vec<Value>>,
    /// Consumed capacity, as DynamoDB reports it.
    pub read_units: f64,
    pub write_units: f64,
    /// The time of the first request and of the last response.
    pub span: Option<(Instant, Instant)>,
    in_flight: usize,
}

impl Record {
    pub fn requests(&self) -> usize {
        self.steps.iter().map(Vec::len).sum()
    }

    /// Writes the plan for src/bin/floor-dynamodb.rs. Returns its file.
    pub fn write_plan(&self, folder: &std::path::Path) -> PathBuf {
        let file = folder.join("plan.json");
        std::fs::write(&file, serde_json::to_string(&self.steps).unwrap()).unwrap();
        file
    }
}

struct Shared {
    upstream: String,
    client: reqwest::Client,
    record: Mutex<Record>,
}

impl Recorder {
    pub async fn start(upstream: &str) -> Self {
        let client = testkit::http::client();
        let shared = Arc::new(Shared { upstream: upstream.to_owned(), client, record: Mutex::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(forward).with_state(shared.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { endpoint, shared, server }
    }

    /// Returns the requests since the last call.
    pub fn take(&self) -> Record {
        std::mem::take(&mut self.shared.record.lock().unwrap())
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn forward(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> (StatusCode, HeaderMap, Bytes) {
    let received = Instant::now();
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
    let input: Value = serde_json::from_slice(&body).unwrap();
    {
        let mut record = shared.record.lock().unwrap();
        if record.in_flight == 0 {
            record.steps.push(Vec::new());
        }
        record.in_flight += 1;
        record.steps.last_mut().unwrap().push(json!({"operation": operation, "body": input}));
        record.span.get_or_insert((received, received));
    }
    let response = shared.client.post(&shared.upstream).headers(headers).body(body).send().await.unwrap();
    let (status, mut headers) = (response.status(), response.headers().clone());
    headers.remove("transfer-encoding");
    headers.remove("content-length");
    let body = response.bytes().await.unwrap();
    // An error, such as a failed condition, has no capacity.
    let answer: Value = serde_json::from_slice(&body).unwrap();
    let consumed = &answer["ConsumedCapacity"];
    let each = consumed.as_array().map_or_else(|| std::slice::from_ref(consumed), Vec::as_slice);
    let units: f64 = each.iter().filter_map(|consumed| consumed["CapacityUnits"].as_f64()).sum();
    let mut record = shared.record.lock().unwrap();
    record.in_flight -= 1;
    if matches!(operation.as_str(), "UpdateItem" | "DeleteItem" | "PutItem") {
        record.write_units += units;
    } else {
        record.read_units += units;
    }
    if let Some((_, last)) = &mut record.span {
        *last = Instant::now();
    }
    (status, headers, body)
}
