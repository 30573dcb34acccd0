//! The proxy before the embedded store: it fails as DynamoDB and the way to it fail, and changes answers.

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

/// How a request fails, or its answer is less than it should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// DynamoDB answers with this status and error.
    Error(u16, &'static str),
    /// The connection is reset before the request is passed on.
    Refused,
    /// The request is carried out, and the connection is reset in the middle of the answer.
    Reset,
    /// The request is carried out, and the connection is closed without an answer.
    Lost,
    /// There is no answer, and the request is not passed on.
    Hang,
    /// The request is carried out, and answered this much later.
    Slow(Duration),
    /// The request is carried out so much later.
    Late(Duration),
    /// Of a BatchGetItem no key is processed.
    Unprocessed,
    /// Of a BatchGetItem every other key is processed.
    HalfProcessed,
    /// Each key of a BatchGetItem is read at a moment of its own, as DynamoDB does.
    Torn,
    /// A Query of an index answers what it answered when it was first asked.
    Lagging,
}

impl Fault {
    pub const THROUGHPUT: Self = Self::Error(400, "ProvisionedThroughputExceededException");
    pub const THROTTLING: Self = Self::Error(400, "ThrottlingException");
    pub const INTERNAL: Self = Self::Error(500, "InternalServerError");
    pub const UNAVAILABLE: Self = Self::Error(503, "ServiceUnavailable");

    /// Those that leave a request without what it asked for, however often it is tried.
    pub const FAILURES: [Self; 9] = [
        Self::THROUGHPUT,
        Self::THROTTLING,
        Self::INTERNAL,
        Self::UNAVAILABLE,
        Self::Refused,
        Self::Reset,
        Self::Lost,
        Self::Hang,
        // Later than any attempt lasts.
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

    /// Whether a request can fail so.
    fn is_of(self, operation: &str, asked: &Value) -> bool {
        match self {
            Self::Unprocessed | Self::HalfProcessed | Self::Torn => operation == "BatchGetItem",
            Self::Lagging => operation == "Query" && asked["IndexName"].is_string(),
            _ => true,
        }
    }
}

/// What becomes of an answer on its way through the proxy: the operation, what was asked, what the
/// store answered.
pub type Rewrite = Arc<dyn Fn(&str, &Value, Value) -> Value + Send + Sync>;

/// Which fault a request meets: the operation, what is asked.
pub type Choose = Arc<dyn Fn(&str, &Value) -> Option<Fault> + Send + Sync>;

/// A proxy before an endpoint, until it is stopped or the test ends.
pub struct Proxy {
    pub endpoint: String,
    /// How many more requests pass; the ones after that are refused.
    pub left: Arc<AtomicUsize>,
    inner: Arc<Inner>,
    server: JoinHandle<()>,
}

struct Inner {
    upstream: String,
    client: reqwest::Client,
    left: Arc<AtomicUsize>,
    choose: Mutex<Option<Choose>>,
    rewrite: Option<Rewrite>,
    under_way: AtomicUsize,
    met: Mutex<BTreeMap<&'static str, usize>>,
    first_answers: Mutex<HashMap<String, (u16, String)>>,
}

impl Proxy {
    /// One on a free port of this machine, or on the given one.
    pub async fn start(upstream: &str, port: u16, rewrite: Option<Rewrite>) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let left = Arc::new(AtomicUsize::new(usize::MAX));
        let inner = Arc::new(Inner {
            upstream: upstream.to_owned(),
            client: crate::http::client(),
            left: left.clone(),
            choose: Mutex::new(None),
            rewrite,
            under_way: AtomicUsize::new(0),
            met: Mutex::default(),
            first_answers: Mutex::default(),
        });
        let serving = inner.clone();
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                tokio::spawn(serving.clone().serve(BufReader::new(stream)));
            }
        });
        Ok(Self { endpoint, left, inner, server })
    }

    /// From now on requests meet these faults.
    pub fn fail(&self, choose: impl Fn(&str, &Value) -> Option<Fault> + Send + Sync + 'static) {
        *lock(&self.inner.choose) = Some(Arc::new(choose));
    }

    /// From now on every request that can meets this fault.
    pub fn fail_with(&self, fault: Fault) {
        self.fail(move |_, _| Some(fault));
    }

    /// From now on nothing fails. What an index lagged behind by has arrived.
    pub fn heal(&self) {
        *lock(&self.inner.choose) = None;
        lock(&self.inner.first_answers).clear();
    }

    /// Waits until no request is on its way to the store any more, its sender waiting for it or not.
    pub async fn settled(&self) {
        while self.inner.under_way.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Takes no more connections.
    pub fn stop(&self) {
        self.server.abort();
    }

    /// How many requests met which fault.
    pub fn met(&self) -> BTreeMap<&'static str, usize> {
        lock(&self.inner.met).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

/// A request as it came.
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
    /// Answers a connection's requests until one of them ends it.
    async fn serve(self: Arc<Self>, mut stream: BufReader<TcpStream>) {
        while let Some(request) = read_request(&mut stream).await {
            self.under_way.fetch_add(1, Ordering::SeqCst);
            let fault = self.fault_of(&request);
            if fault == Some(Fault::Hang) {
                // It will never be: nobody has to wait for it to settle.
                self.under_way.fetch_sub(1, Ordering::SeqCst);
                let _ = stream.read_u8().await;
                return;
            }
            let answered = self.answer(&request, fault).await;
            self.under_way.fetch_sub(1, Ordering::SeqCst);
            let Some((status, body)) = answered else {
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
                // What was sent is to arrive before the reset does.
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
        let (operation, asked) = request.parsed();
        let fault = choose(&operation, &asked).filter(|fault| fault.is_of(&operation, &asked))?;
        *lock(&self.met).entry(fault.name()).or_default() += 1;
        Some(fault)
    }

    /// The answer's status and body; none if the connection is reset instead.
    async fn answer(&self, request: &Request, fault: Option<Fault>) -> Option<(u16, String)> {
        let is_let_through = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if !is_let_through {
            return Some((400, error("com.amazon.coral.service", "AccessDeniedException")));
        }
        let (status, answer) = match fault {
            Some(Fault::Error(status, name)) => return Some((status, error("com.amazonaws.dynamodb.v20120810", name))),
            Some(Fault::Refused) => return None,
            Some(Fault::Lost) => {
                self.pass(request, None).await;
                return None;
            }
            Some(Fault::Slow(late)) => {
                let answer = self.pass(request, None).await;
                tokio::time::sleep(late).await;
                answer
            }
            Some(Fault::Late(late)) => {
                tokio::time::sleep(late).await;
                self.pass(request, None).await
            }
            Some(Fault::Unprocessed | Fault::HalfProcessed) => self.partly(request, fault == Some(Fault::HalfProcessed)).await,
            Some(Fault::Torn) => self.torn(request).await,
            Some(Fault::Lagging) => {
                let asked = String::from_utf8_lossy(&request.body).into_owned();
                let first = lock(&self.first_answers).get(&asked).cloned();
                match first {
                    Some(answer) => answer,
                    None => {
                        let answer = self.pass(request, None).await;
                        lock(&self.first_answers).insert(asked, answer.clone());
                        answer
                    }
                }
            }
            Some(Fault::Reset | Fault::Hang) | None => self.pass(request, None).await,
        };
        let Some(rewrite) = &self.rewrite else { return Some((status, answer)) };
        let (operation, asked) = request.parsed();
        Some((status, rewrite(&operation, &asked, serde_json::from_str(&answer).unwrap_or_default()).to_string()))
    }

    /// Passes the request on, with another body if one is given.
    async fn pass(&self, request: &Request, body: Option<&Value>) -> (u16, String) {
        let mut passed = self.client.post(&self.upstream);
        for name in ["x-amz-target", "content-type", "authorization", "x-amz-date"] {
            passed = passed.header(name, request.header(name));
        }
        let body = body.map_or_else(|| request.body.clone(), |body| body.to_string().into_bytes());
        match passed.body(body).send().await {
            Ok(answer) => (answer.status().as_u16(), answer.text().await.unwrap_or_default()),
            // The store itself is gone.
            Err(_) => (503, error("com.amazonaws.dynamodb.v20120810", "ServiceUnavailable")),
        }
    }

    /// A BatchGetItem of which no key, or every other one, is processed.
    async fn partly(&self, request: &Request, half: bool) -> (u16, String) {
        let (_, mut asked) = request.parsed();
        let mut left = asked["RequestItems"].clone();
        let mut processed = 0;
        for (table, wanted) in asked["RequestItems"].as_object_mut().unwrap() {
            let keys = wanted["Keys"].as_array().unwrap().clone();
            let parts = keys.into_iter().enumerate().partition::<Vec<_>, _>(|(place, _)| half && place % 2 == 0);
            let [now, later] = [parts.0, parts.1].map(|keys| keys.into_iter().map(|(_, key)| key).collect::<Vec<_>>());
            processed += now.len();
            (wanted["Keys"], left[table]["Keys"]) = (now.into(), later.into());
        }
        let (status, mut answer) = match processed {
            0 => (200, json!({ "Responses": {} })),
            _ => {
                let (status, answer) = self.pass(request, Some(&asked)).await;
                (status, serde_json::from_str(&answer).unwrap_or_default())
            }
        };
        left.as_object_mut().unwrap().retain(|_, wanted| wanted["Keys"] != json!([]));
        answer["UnprocessedKeys"] = left;
        (status, answer.to_string())
    }

    /// A BatchGetItem whose keys are read one by one, in turn from the first and from the last.
    async fn torn(&self, request: &Request) -> (u16, String) {
        let (_, asked) = request.parsed();
        let mut status = 200;
        let mut whole = json!({ "Responses": {}, "UnprocessedKeys": {} });
        let from_last = lock(&self.met).get(Fault::Torn.name()).is_some_and(|met| met.is_multiple_of(2));
        for (table, wanted) in asked["RequestItems"].as_object().unwrap() {
            let mut keys = wanted["Keys"].as_array().unwrap().clone();
            if from_last {
                keys.reverse();
            }
            let mut items = Vec::new();
            for key in keys {
                let mut one = wanted.clone();
                one["Keys"] = json!([key]);
                let answer = self.pass(request, Some(&json!({ "RequestItems": { table: one } }))).await;
                status = status.max(answer.0);
                let answer: Value = serde_json::from_str(&answer.1).unwrap_or_default();
                items.extend(answer["Responses"][table].as_array().into_iter().flatten().cloned());
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            whole["Responses"][table] = items.into();
        }
        (status, whole.to_string())
    }
}

impl Request {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The operation and what is asked.
    fn parsed(&self) -> (String, Value) {
        let operation = self.header("x-amz-target").rsplit('.').next().unwrap_or_default().to_owned();
        (operation, serde_json::from_slice(&self.body).unwrap_or_default())
    }
}

fn error(namespace: &str, name: &str) -> String {
    json!({ "__type": format!("{namespace}#{name}"), "message": "a fault" }).to_string()
}

/// A small generator of random numbers (SplitMix64), so that a seed is all that has to be told.
#[derive(Clone, Debug)]
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below this one.
    pub fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.roll() % count as u64).unwrap()
    }

    /// Whether what happens so many times in a hundred does.
    pub fn happens(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// Any fault, each as often as any other but for hangs, which take long.
    pub fn fault(&mut self, slow: Duration) -> Fault {
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
            place if place < KINDS.len() => KINDS[place],
            _ if self.happens(20) => Fault::Hang,
            _ if self.happens(50) => Fault::Late(slow),
            _ => Fault::Slow(slow),
        }
    }
}
