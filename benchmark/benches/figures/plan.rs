//! What a function asks DynamoDB for, seen on the way.

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

/// A proxy before a DynamoDB that notes what passes.
pub struct Recorder {
    pub endpoint: String,
    seen: Arc<Seen>,
    server: JoinHandle<()>,
}

/// What passed since the last look.
#[derive(Default)]
pub struct Record {
    /// The requests, those under way at once in one step.
    pub steps: Vec<Vec<Value>>,
    /// Capacity units as DynamoDB told them.
    pub read_units: f64,
    pub write_units: f64,
    /// When the first request came, and when the last answer went.
    pub span: Option<(Instant, Instant)>,
    under_way: usize,
}

impl Record {
    pub fn requests(&self) -> usize {
        self.steps.iter().map(Vec::len).sum()
    }

    /// Writes the plan of the bare requests.
    pub fn write_plan(&self, folder: &std::path::Path) -> PathBuf {
        let file = folder.join("plan.json");
        std::fs::write(&file, serde_json::to_string(&self.steps).unwrap()).unwrap();
        file
    }
}

struct Seen {
    upstream: String,
    client: reqwest::Client,
    record: Mutex<Record>,
}

impl Recorder {
    pub async fn start(upstream: &str) -> Self {
        let client = testkit::http::client();
        let seen = Arc::new(Seen { upstream: upstream.to_owned(), client, record: Mutex::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(pass).with_state(seen.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { endpoint, seen, server }
    }

    /// What passed since this was last asked.
    pub fn take(&self) -> Record {
        std::mem::take(&mut self.seen.record.lock().unwrap())
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn pass(State(seen): State<Arc<Seen>>, headers: HeaderMap, body: Bytes) -> (StatusCode, HeaderMap, Bytes) {
    let came = Instant::now();
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
    let asked: Value = serde_json::from_slice(&body).unwrap();
    {
        let mut record = seen.record.lock().unwrap();
        if record.under_way == 0 {
            record.steps.push(Vec::new());
        }
        record.under_way += 1;
        record.steps.last_mut().unwrap().push(json!({"operation": operation, "body": asked}));
        record.span.get_or_insert((came, came));
    }
    let response = seen.client.post(&seen.upstream).headers(headers).body(body).send().await.unwrap();
    let (status, mut headers) = (response.status(), response.headers().clone());
    headers.remove("transfer-encoding");
    headers.remove("content-length");
    let body = response.bytes().await.unwrap();
    // A condition that fails is an answer.
    let answer: Value = serde_json::from_slice(&body).unwrap();
    let consumed = &answer["ConsumedCapacity"];
    let each = consumed.as_array().map_or_else(|| std::slice::from_ref(consumed), Vec::as_slice);
    let units: f64 = each.iter().filter_map(|consumed| consumed["CapacityUnits"].as_f64()).sum();
    let mut record = seen.record.lock().unwrap();
    record.under_way -= 1;
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
