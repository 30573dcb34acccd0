//! A local Lambda: runs a function's binary as a process and invokes it over the Runtime API.

use std::{
    collections::HashMap,
    ffi::OsStr,
    path::Path,
    process::Stdio,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Path as Segment, State},
    http::{HeaderMap, HeaderValue, StatusCode},
    response::IntoResponse,
    routing::{get, post},
};
use jiff::Timestamp;
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    net::TcpListener,
    process::{Child, Command},
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};

/// Time-out of the start and of each invocation.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Time between SIGTERM and SIGKILL.
const SHUTDOWN: Duration = Duration::from_millis(500);

/// Maximum size of a response.
///
/// Source: AWS Lambda, quotas: 6 MB for a synchronous response.
const MAX_RESPONSE_BYTES: usize = 6 * 1_024 * 1_024;

/// Why an invocation failed.
#[derive(Debug, thiserror::Error)]
pub enum LambdaError {
    #[error("the function could not be started: {0}")]
    Start(std::io::Error),
    /// Names the step that timed out.
    #[error("the function did not {0} within {TIMEOUT:?}")]
    TimedOut(&'static str),
    /// The function reported an error instead of a response.
    #[error("the function reported an error: {0}")]
    Reported(Value),
}

/// A function's process and its Runtime API. Dropping it kills the process.
#[derive(Debug)]
pub struct Lambda {
    invocations: mpsc::Sender<Invocation>,
    first_poll_at: watch::Receiver<Option<Instant>>,
    has_extension: watch::Receiver<bool>,
    started: Instant,
    process: Child,
    /// Standard output and standard error.
    output: [JoinHandle<Vec<u8>>; 2],
    server: JoinHandle<()>,
}

/// Reads a stream to its end while the process runs, so that the process never blocks on a full pipe.
fn collect(stream: Option<impl AsyncRead + Unpin + Send + 'static>) -> JoinHandle<Vec<u8>> {
    tokio::spawn(async move {
        let mut all = Vec::new();
        if let Some(mut stream) = stream {
            // After an error, the bytes read so far are enough.
            let _ = stream.read_to_end(&mut all).await;
        }
        all
    })
}

/// Receives the response of an invocation and its duration.
type Responder = oneshot::Sender<Result<(Value, Duration), LambdaError>>;

#[derive(Debug)]
struct Invocation {
    event: String,
    responder: Responder,
}

#[derive(Clone)]
struct Api {
    invocations: Arc<tokio::sync::Mutex<mpsc::Receiver<Invocation>>>,
    in_flight: Arc<Mutex<HashMap<String, (Instant, Responder)>>>,
    first_poll_at: watch::Sender<Option<Instant>>,
    has_extension: watch::Sender<bool>,
    count: Arc<AtomicU64>,
}

impl Lambda {
    /// Starts the binary. Its environment has these variables and those that Lambda sets.
    pub async fn start<K: AsRef<OsStr>, V: AsRef<OsStr>>(
        binary: &Path,
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, LambdaError> {
        Self::start_command(Command::new(binary), variables).await
    }

    /// Like [`Self::start`], with a command that may wrap the binary, such as a profiler.
    pub async fn start_command<K: AsRef<OsStr>, V: AsRef<OsStr>>(
        command: Command,
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, LambdaError> {
        let extensions = Router::new()
            .route("/2020-01-01/extension/register", post(register))
            .route("/2020-01-01/extension/event/next", get(next_of_extension));
        Self::start_with(command, variables, extensions).await
    }

    /// Like [`Self::start`], without Lambda's Extensions API, which emulators lack.
    pub async fn start_without_extensions<K: AsRef<OsStr>, V: AsRef<OsStr>>(
        binary: &Path,
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, LambdaError> {
        Self::start_with(Command::new(binary), variables, Router::new()).await
    }

    async fn start_with<K: AsRef<OsStr>, V: AsRef<OsStr>>(
        mut command: Command,
        variables: impl IntoIterator<Item = (K, V)>,
        extensions: Router<Api>,
    ) -> Result<Self, LambdaError> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(LambdaError::Start)?;
        let address = listener.local_addr().map_err(LambdaError::Start)?;
        let (invocations, receiver) = mpsc::channel(1);
        let (polled, first_poll_at) = watch::channel(None);
        let (extension, has_extension) = watch::channel(false);
        let api = Api {
            invocations: Arc::new(tokio::sync::Mutex::new(receiver)),
            in_flight: Arc::default(),
            first_poll_at: polled,
            has_extension: extension,
            count: Arc::default(),
        };
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .merge(extensions)
            .layer(DefaultBodyLimit::max(MAX_RESPONSE_BYTES))
            .with_state(api);
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the Runtime API stopped");
            }
        });
        let started = Instant::now();
        let mut process = command
            .env_clear()
            .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", "function")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_REGION", "us-east-1")
            .envs(variables)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(LambdaError::Start)?;
        let output = [collect(process.stdout.take()), collect(process.stderr.take())];
        Ok(Self { invocations, first_poll_at, has_extension, started, process, output, server })
    }

    /// Waits for the first poll of the Runtime API. Returns the time since the start of the process.
    pub async fn first_poll(&mut self) -> Result<Duration, LambdaError> {
        match tokio::time::timeout(TIMEOUT, self.first_poll_at.wait_for(Option::is_some)).await {
            Ok(Ok(at)) => Ok((*at).unwrap_or(self.started).duration_since(self.started)),
            _ => Err(LambdaError::TimedOut("poll for an event")),
        }
    }

    pub async fn invoke(&self, event: &Value) -> Result<Value, LambdaError> {
        self.invoke_timed(event).await.map(|(answer, _)| answer)
    }

    /// Also returns the time from the delivery of the event to the response.
    pub async fn invoke_timed(&self, event: &Value) -> Result<(Value, Duration), LambdaError> {
        let (responder, response) = oneshot::channel();
        let timed_out = || LambdaError::TimedOut("answer");
        let invocation = Invocation { event: event.to_string(), responder };
        let sent = tokio::time::timeout(TIMEOUT, self.invocations.send(invocation)).await;
        sent.map_err(|_| timed_out())?.map_err(|_| timed_out())?;
        match tokio::time::timeout(TIMEOUT, response).await {
            Ok(Ok(response)) => response,
            _ => Err(timed_out()),
        }
    }

    pub fn process_id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Kills the process. Returns its output.
    pub async fn stop(mut self) -> Result<String, LambdaError> {
        self.process.kill().await.map_err(LambdaError::Start)?;
        Ok(self.output().await)
    }

    /// Shuts the process down as Lambda does: SIGTERM and 500 ms if it registered an internal extension, else SIGKILL at
    /// once. Returns its output.
    ///
    /// Source: AWS Lambda, "Lambda execution environment lifecycle", Shutdown phase.
    pub async fn shut_down(mut self) -> Result<String, LambdaError> {
        let mut has_extension = self.has_extension.clone();
        let extension_waits = tokio::time::timeout(SHUTDOWN, has_extension.wait_for(|has| *has)).await;
        if let (Ok(Ok(_)), Some(id)) = (extension_waits, self.process.id()) {
            // The standard library can only send SIGKILL.
            Command::new("kill").args(["-TERM", &id.to_string()]).status().await.map_err(LambdaError::Start)?;
            // On a time-out, the process is killed below.
            let _ = tokio::time::timeout(SHUTDOWN, self.process.wait()).await;
        }
        self.stop().await
    }

    /// Waits until the process ends by itself. Returns whether it succeeded, and its output.
    pub async fn ended(mut self) -> Result<(bool, String), LambdaError> {
        let status = tokio::time::timeout(TIMEOUT, self.process.wait()).await;
        let status = status.map_err(|_| LambdaError::TimedOut("end"))?.map_err(LambdaError::Start)?;
        Ok((status.success(), self.output().await))
    }

    /// Standard output, then standard error. The process must have ended.
    async fn output(self) -> String {
        self.server.abort();
        let mut output = String::new();
        for stream in self.output {
            output.push_str(&String::from_utf8_lossy(&stream.await.unwrap_or_default()));
        }
        output
    }
}

async fn next(State(api): State<Api>) -> impl IntoResponse {
    api.first_poll_at.send_if_modified(|at| at.is_none() && at.replace(Instant::now()).is_none());
    let Some(Invocation { event, responder }) = api.invocations.lock().await.recv().await else {
        return (StatusCode::INTERNAL_SERVER_ERROR, HeaderMap::new(), String::new());
    };
    let id = format!("00000000-0000-4000-8000-{:012}", api.count.fetch_add(1, Ordering::Relaxed));
    api.in_flight.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), (Instant::now(), responder));
    let deadline = (Timestamp::now().as_millisecond() + 30_000).to_string();
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("lambda-runtime-aws-request-id", id.as_str()),
        ("lambda-runtime-deadline-ms", &deadline),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:us-east-1:000000000000:function:function"),
        ("lambda-runtime-trace-id", "Root=1-00000000-000000000000000000000000;Sampled=0"),
    ] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
    (StatusCode::OK, headers, event)
}

async fn register() -> impl IntoResponse {
    ([("lambda-extension-identifier", "00000000-0000-4000-8000-000000000000")], "{}")
}

/// An extension that registered for no events waits forever.
async fn next_of_extension(State(api): State<Api>) {
    api.has_extension.send_replace(true);
    std::future::pending().await
}

async fn response(State(api): State<Api>, Segment(id): Segment<String>, body: String) -> StatusCode {
    finish(&api, &id, || serde_json::from_str(&body).map_err(|_| LambdaError::Reported(body.into())))
}

async fn error(State(api): State<Api>, Segment(id): Segment<String>, body: String) -> StatusCode {
    finish(&api, &id, || Err(LambdaError::Reported(serde_json::from_str(&body).unwrap_or_default())))
}

fn finish(api: &Api, id: &str, result: impl FnOnce() -> Result<Value, LambdaError>) -> StatusCode {
    let Some((delivered, responder)) = api.in_flight.lock().unwrap_or_else(PoisonError::into_inner).remove(id) else {
        return StatusCode::BAD_REQUEST;
    };
    // Measured before the response is parsed, which is not the function's time.
    let took = delivered.elapsed();
    // Fails if the caller has stopped waiting.
    let _ = responder.send(result().map(|response| (response, took)));
    StatusCode::ACCEPTED
}
