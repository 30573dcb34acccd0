//! A proxy in front of the embedded DynamoDB. It injects the faults of DynamoDB and of the network, and can rewrite
//! responses. It speaks TCP itself, so that it can reset a connection at any point.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A failure of a request, or a response that is incomplete or out of date.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// DynamoDB responds with this HTTP status and error.
    Error(u16, &'static str),
    /// The connection is reset before the request is forwarded.
    Refused,
    /// The request is executed, and the connection is reset in the middle of the response.
    Reset,
    /// The request is executed, and the connection is reset without a response.
    Lost,
    /// The request is not forwarded, and there is no response.
    Hang,
    /// The request is executed at once, and the response is delayed by this time.
    Slow(Duration),
    /// The request is forwarded after this time.
    Late(Duration),
    /// A BatchGetItem processes no key.
    Unprocessed,
    /// A BatchGetItem processes every other key.
    HalfProcessed,
    /// A BatchGetItem reads each key at a different moment, as DynamoDB does.
    Torn,
    /// A Query of an index returns the response of the first identical Query (eventual consistency).
    Lagging,
}

impl Fault {
    pub const THROUGHPUT: Self = Self::Error(400, "ProvisionedThroughputExceededException");
    pub const THROTTLING: Self = Self::Error(400, "ThrottlingException");
    pub const INTERNAL: Self = Self::Error(500, "InternalServerError");
    pub const UNAVAILABLE: Self = Self::Error(503, "ServiceUnavailable");

    /// Faults that make a request fail even if each attempt is retried.
    pub const FAILURES: [Self; 9] = [
        Self::THROUGHPUT,
        Self::THROTTLING,
        Self::INTERNAL,
        Self::UNAVAILABLE,
        Self::Refused,
        Self::Reset,
        Self::Lost,
        Self::Hang,
        // Longer than the time-out of any attempt.
        Self::Slow(Duration::from_secs(4)),
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Error(_, name) => name,
            Self::Refused => "Refused",
            Self::Reset => "Reset",
            Self::Lost => "Lost",
            Self::Hang => "Hang",
            Self::Slow(_) => "Slow",
            Self::Late(_) => "Late",
            Self::Unprocessed => "Unprocessed",
            Self::HalfProcessed => "HalfProcessed",
            Self::Torn => "Torn",
            Self::Lagging => "Lagging",
        }
    }

    /// Whether the fault is possible for this operation and input.
    fn applies_to(self, operation: &str, input: &Value) -> bool {
        match self {
            Self::Unprocessed | Self::HalfProcessed | Self::Torn => operation == "BatchGetItem",
            Self::Lagging => operation == "Query" && input["IndexName"].is_string(),
            _ => true,
        }
    }
}

/// Replaces a response. Arguments: operation, input, response of the store.
pub type Rewrite = Arc<dyn Fn(&str, &Value, Value) -> Value + Send + Sync>;

/// Chooses the fault of a request. Arguments: operation, input.
pub type ChooseFault = Arc<dyn Fn(&str, &Value) -> Option<Fault> + Send + Sync>;

/// A running proxy. It serves until [`Self::stop`] or the end of the runtime.
pub struct Proxy {
    pub endpoint: String,
    /// Number of requests that still pass. Later ones get an AccessDeniedException.
    pub requests_left: Arc<AtomicUsize>,
    inner: Arc<Inner>,
    server: JoinHandle<()>,
}

struct Inner {
    upstream: String,
    client: reqwest::Client,
    requests_left: Arc<AtomicUsize>,
    choose: Mutex<Option<ChooseFault>>,
    rewrite: Option<Rewrite>,
    in_flight: AtomicUsize,
    fault_counts: Mutex<BTreeMap<&'static str, usize>>,
    first_responses: Mutex<HashMap<String, (u16, String)>>,
}

impl Proxy {
    /// Starts on loopback. Port 0 chooses a free port.
    pub async fn start(upstream: &str, port: u16, rewrite: Option<Rewrite>) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let requests_left = Arc::new(AtomicUsize::new(usize::MAX));
        let inner = Arc::new(Inner {
            upstream: upstream.to_owned(),
            client: crate::http::client(),
            requests_left: requests_left.clone(),
            choose: Mutex::new(None),
            rewrite,
            in_flight: AtomicUsize::new(0),
            fault_counts: Mutex::default(),
            first_responses: Mutex::default(),
        });
        let serving = inner.clone();
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                tokio::spawn(serving.clone().serve(BufReader::new(stream)));
            }
        });
        Ok(Self { endpoint, requests_left, inner, server })
    }

    /// Injects the chosen fault into each request from now on.
    pub fn fail(&self, choose: impl Fn(&str, &Value) -> Option<Fault> + Send + Sync + 'static) {
        *lock(&self.inner.choose) = Some(Arc::new(choose));
    }

    /// Injects the fault into each request that it applies to, from now on.
    pub fn fail_with(&self, fault: Fault) {
        self.fail(move |_, _| Some(fault));
    }

    /// Injects no more faults. Indexes are up to date again.
    pub fn heal(&self) {
        *lock(&self.inner.choose) = None;
        lock(&self.inner.first_responses).clear();
    }

    /// Waits until no request is in flight, including those whose sender has given up.
    pub async fn settled(&self) {
        while self.inner.in_flight.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Accepts no more connections.
    pub fn stop(&self) {
        self.server.abort();
    }

    /// Number of injected faults, by [`Fault::name`].
    pub fn fault_counts(&self) -> BTreeMap<&'static str, usize> {
        lock(&self.inner.fault_counts).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

/// An HTTP request to DynamoDB.
struct Request {
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

async fn read_request(stream: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok().filter(|length| *length > 0)?;
    let mut headers = HashMap::new();
    loop {
        line.clear();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Request { headers, body })
}

impl Inner {
    /// Serves a connection until the client or a fault closes it.
    async fn serve(self: Arc<Self>, mut stream: BufReader<TcpStream>) {
        while let Some(request) = read_request(&mut stream).await {
            self.in_flight.fetch_add(1, Ordering::SeqCst);
            let fault = self.fault_of(&request);
            if fault == Some(Fault::Hang) {
                // The request never ends, so `settled` must not wait for it.
                self.in_flight.fetch_sub(1, Ordering::SeqCst);
                let _ = stream.read_u8().await;
                return;
            }
            let response = self.respond(&request, fault).await;
            self.in_flight.fetch_sub(1, Ordering::SeqCst);
            let Some((status, body)) = response else {
                let _ = stream.get_ref().set_zero_linger();
                return;
            };
            let head = format!(
                "HTTP/1.1 {status} \r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            if fault == Some(Fault::Reset) {
                let _ = stream.write_all(head.as_bytes()).await;
                let _ = stream.write_all(&body.as_bytes()[..body.len() / 2]).await;
                let _ = stream.flush().await;
                // The client must receive these bytes before the reset.
                tokio::time::sleep(Duration::from_millis(2)).await;
                let _ = stream.get_ref().set_zero_linger();
                return;
            }
            if stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await.is_err() {
                return;
            }
        }
    }

    fn fault_of(&self, request: &Request) -> Option<Fault> {
        let choose = lock(&self.choose).clone()?;
        let (operation, input) = request.parsed();
        let fault = choose(&operation, &input).filter(|fault| fault.applies_to(&operation, &input))?;
        *lock(&self.fault_counts).entry(fault.name()).or_default() += 1;
        Some(fault)
    }

    /// The response's status and body. None resets the connection.
    async fn respond(&self, request: &Request, fault: Option<Fault>) -> Option<(u16, String)> {
        let decrement = |left: usize| left.checked_sub(1);
        if self.requests_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, decrement).is_err() {
            return Some((400, error("com.amazon.coral.service", "AccessDeniedException")));
        }
        let (status, response) = match fault {
            Some(Fault::Error(status, name)) => return Some((status, error("com.amazonaws.dynamodb.v20120810", name))),
            Some(Fault::Refused) => return None,
            Some(Fault::Lost) => {
                self.forward(request, None).await;
                return None;
            }
            Some(Fault::Slow(delay)) => {
                let response = self.forward(request, None).await;
                tokio::time::sleep(delay).await;
                response
            }
            Some(Fault::Late(delay)) => {
                tokio::time::sleep(delay).await;
                self.forward(request, None).await
            }
            Some(Fault::Unprocessed) => self.respond_partially(request, false).await,
            Some(Fault::HalfProcessed) => self.respond_partially(request, true).await,
            Some(Fault::Torn) => self.respond_torn(request).await,
            Some(Fault::Lagging) => {
                let input = String::from_utf8_lossy(&request.body).into_owned();
                let first = lock(&self.first_responses).get(&input).cloned();
                match first {
                    Some(response) => response,
                    None => {
                        let response = self.forward(request, None).await;
                        lock(&self.first_responses).insert(input, response.clone());
                        response
                    }
                }
            }
            Some(Fault::Reset | Fault::Hang) | None => self.forward(request, None).await,
        };
        let Some(rewrite) = &self.rewrite else { return Some((status, response)) };
        let (operation, input) = request.parsed();
        Some((status, rewrite(&operation, &input, serde_json::from_str(&response).unwrap_or_default()).to_string()))
    }

    /// Sends the request to the store, with another body if one is given.
    async fn forward(&self, request: &Request, body: Option<&Value>) -> (u16, String) {
        let mut forwarded = self.client.post(&self.upstream);
        for name in ["x-amz-target", "content-type", "authorization", "x-amz-date"] {
            forwarded = forwarded.header(name, request.header(name));
        }
        let body = body.map_or_else(|| request.body.clone(), |body| body.to_string().into_bytes());
        match forwarded.body(body).send().await {
            Ok(response) => (response.status().as_u16(), response.text().await.unwrap_or_default()),
            // The store is not reachable.
            Err(_) => (503, error("com.amazonaws.dynamodb.v20120810", "ServiceUnavailable")),
        }
    }

    /// Processes no key of a BatchGetItem, or every other key.
    async fn respond_partially(&self, request: &Request, every_other: bool) -> (u16, String) {
        let (_, mut input) = request.parsed();
        let mut unprocessed = input["RequestItems"].clone();
        let mut processed = 0;
        for (table, read) in input["RequestItems"].as_object_mut().unwrap() {
            let keys = read["Keys"].as_array().unwrap().clone();
            let parts = keys.into_iter().enumerate().partition::<Vec<_>, _>(|(index, _)| every_other && index % 2 == 0);
            let [now, later] = [parts.0, parts.1].map(|keys| keys.into_iter().map(|(_, key)| key).collect::<Vec<_>>());
            processed += now.len();
            (read["Keys"], unprocessed[table]["Keys"]) = (now.into(), later.into());
        }
        let (status, mut response) = match processed {
            0 => (200, json!({ "Responses": {} })),
            _ => {
                let (status, response) = self.forward(request, Some(&input)).await;
                (status, serde_json::from_str(&response).unwrap_or_default())
            }
        };
        unprocessed.as_object_mut().unwrap().retain(|_, read| read["Keys"] != json!([]));
        response["UnprocessedKeys"] = unprocessed;
        (status, response.to_string())
    }

    /// Reads the keys of a BatchGetItem one by one. Every second time starts with the last key.
    async fn respond_torn(&self, request: &Request) -> (u16, String) {
        let (_, input) = request.parsed();
        let mut status = 200;
        let mut response = json!({ "Responses": {}, "UnprocessedKeys": {} });
        let is_reversed = lock(&self.fault_counts).get(Fault::Torn.name()).is_some_and(|count| count.is_multiple_of(2));
        for (table, read) in input["RequestItems"].as_object().unwrap() {
            let mut keys = read["Keys"].as_array().unwrap().clone();
            if is_reversed {
                keys.reverse();
            }
            let mut items = Vec::new();
            for key in keys {
                let mut one = read.clone();
                one["Keys"] = json!([key]);
                let answer = self.forward(request, Some(&json!({ "RequestItems": { table: one } }))).await;
                status = status.max(answer.0);
                let answer: Value = serde_json::from_str(&answer.1).unwrap_or_default();
                items.extend(answer["Responses"][table].as_array().into_iter().flatten().cloned());
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            response["Responses"][table] = items.into();
        }
        (status, response.to_string())
    }
}

impl Request {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The operation and its input.
    fn parsed(&self) -> (String, Value) {
        let operation = self.header("x-amz-target").rsplit('.').next().unwrap_or_default().to_owned();
        (operation, serde_json::from_slice(&self.body).unwrap_or_default())
    }
}

fn error(namespace: &str, name: &str) -> String {
    json!({ "__type": format!("{namespace}#{name}"), "message": "a fault" }).to_string()
}

/// A pseudo-random number generator (SplitMix64), reproducible from its seed.
#[derive(Clone, Debug)]
pub struct Dice(pub u64);

impl Dice {
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `count` - 1.
    pub fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.next_u64() % count as u64).unwrap()
    }

    /// True with this probability, in percent.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// A random fault. All kinds are equally likely, except for hangs, delays and late requests: they share one kind's
    /// probability, since they take long.
    pub fn fault(&mut self, delay: Duration) -> Fault {
        const KINDS: [Fault; 11] = [
            Fault::THROUGHPUT,
            Fault::THROTTLING,
            Fault::INTERNAL,
            Fault::UNAVAILABLE,
            Fault::Refused,
            Fault::Reset,
            Fault::Lost,
            Fault::Unprocessed,
            Fault::HalfProcessed,
            Fault::Torn,
            Fault::Lagging,
        ];
        match self.below(KINDS.len() + 1) {
            kind if kind < KINDS.len() => KINDS[kind],
            _ if self.chance(20) => Fault::Hang,
            _ if self.chance(50) => Fault::Late(delay),
            _ => Fault::Slow(delay),
        }
    }
}
