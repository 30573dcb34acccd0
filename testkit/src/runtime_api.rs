//! Lambda's Runtime API: runs a function's binary as a process and calls it, as Lambda does. For the
//! tests and benchmarks of the real binaries.

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

/// How long the function may take, for its start and for each call.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How long a process may take to end after SIGTERM.
const SHUTDOWN: Duration = Duration::from_millis(500);

/// The most bytes of an answer, which Lambda refuses too.
///
/// Source: AWS Lambda, quotas: 6 MB for a synchronous response.
const MAX_ANSWER_BYTES: usize = 6 * 1_024 * 1_024;

/// Why a function did not answer.
#[derive(Debug, thiserror::Error)]
pub enum LambdaError {
    /// The process or the API's server could not be started.
    #[error("the function could not be started: {0}")]
    Start(std::io::Error),
    /// It did not ask for an event, or did not answer one.
    #[error("the function did not {0} within {TIMEOUT:?}")]
    TimedOut(&'static str),
    /// It reported an error instead of an answer.
    #[error("the function reported an error: {0}")]
    Reported(Value),
}

/// A function's process, and the Runtime API that it is driven by. The process ends with it.
#[derive(Debug)]
pub struct Lambda {
    calls: mpsc::Sender<Call>,
    polled: watch::Receiver<Option<Instant>>,
    has_extension: watch::Receiver<bool>,
    started: Instant,
    process: Child,
    printed: [JoinHandle<Vec<u8>>; 2],
    server: JoinHandle<()>,
}

/// All that a stream gives, read while the process runs: it would wait for a full pipe to be read.
fn collected(stream: Option<impl AsyncRead + Unpin + Send + 'static>) -> JoinHandle<Vec<u8>> {
    tokio::spawn(async move {
        let mut all = Vec::new();
        if let Some(mut stream) = stream {
            // What was read before an error is all there is.
            let _ = stream.read_to_end(&mut all).await;
        }
        all
    })
}

/// Where the answer to a call goes, with the time that the function took.
type Answer = oneshot::Sender<Result<(Value, Duration), LambdaError>>;

#[derive(Debug)]
struct Call {
    event: String,
    answer: Answer,
}

#[derive(Clone)]
struct Api {
    calls: Arc<tokio::sync::Mutex<mpsc::Receiver<Call>>>,
    under_way: Arc<Mutex<HashMap<String, (Instant, Answer)>>>,
    polled: watch::Sender<Option<Instant>>,
    has_extension: watch::Sender<bool>,
    count: Arc<AtomicU64>,
}

impl Lambda {
    /// Starts the binary with these variables and no others but what Lambda sets.
    ///
    /// # Errors
    /// See [`LambdaError`].
    pub async fn start<K: AsRef<OsStr>, V: AsRef<OsStr>>(
        binary: &Path,
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, LambdaError> {
        Self::start_by(Command::new(binary), variables).await
    }

    /// Starts the function by this command, which may be one that watches it.
    ///
    /// # Errors
    /// See [`LambdaError`].
    pub async fn start_by<K: AsRef<OsStr>, V: AsRef<OsStr>>(
        command: Command,
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, LambdaError> {
        let extensions = Router::new()
            .route("/2020-01-01/extension/register", post(register))
            .route("/2020-01-01/extension/event/next", get(next_of_extension));
        Self::start_with(command, variables, extensions).await
    }

    /// Starts the binary where Lambda's Extensions API is missing, as in emulators.
    ///
    /// # Errors
    /// See [`LambdaError`].
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
        let (calls, receiver) = mpsc::channel(1);
        let (polled_at, polled) = watch::channel(None);
        let (extension, has_extension) = watch::channel(false);
        let api = Api {
            calls: Arc::new(tokio::sync::Mutex::new(receiver)),
            under_way: Arc::default(),
            polled: polled_at,
            has_extension: extension,
            count: Arc::default(),
        };
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .merge(extensions)
            .layer(DefaultBodyLimit::max(MAX_ANSWER_BYTES))
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
        let printed = [collected(process.stdout.take()), collected(process.stderr.take())];
        Ok(Self { calls, polled, has_extension, started, process, printed, server })
    }

    /// Waits until the function asks for its first event, and says how long after its start it did.
    ///
    /// # Errors
    /// If it never does.
    pub async fn first_poll(&mut self) -> Result<Duration, LambdaError> {
        let polled = tokio::time::timeout(TIMEOUT, self.polled.wait_for(Option::is_some)).await;
        match polled {
            Ok(Ok(at)) => Ok((*at).unwrap_or(self.started).duration_since(self.started)),
            _ => Err(LambdaError::TimedOut("ask for an event")),
        }
    }

    /// Calls the function with an event.
    ///
    /// # Errors
    /// If it reports an error or does not answer.
    pub async fn invoke(&self, event: &Value) -> Result<Value, LambdaError> {
        self.invoke_timed(event).await.map(|(answer, _)| answer)
    }

    /// The same, with the time from when the function was given the event until it answered.
    ///
    /// # Errors
    /// If it reports an error or does not answer.
    pub async fn invoke_timed(&self, event: &Value) -> Result<(Value, Duration), LambdaError> {
        let (answer, answered) = oneshot::channel();
        let timed_out = || LambdaError::TimedOut("answer");
        let call = Call { event: event.to_string(), answer };
        tokio::time::timeout(TIMEOUT, self.calls.send(call)).await.map_err(|_| timed_out())?.map_err(|_| timed_out())?;
        match tokio::time::timeout(TIMEOUT, answered).await {
            Ok(Ok(answer)) => answer,
            _ => Err(timed_out()),
        }
    }

    /// The function's process id.
    pub fn process_id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Ends the process and answers with all that it printed.
    ///
    /// # Errors
    /// If the process can't be waited for.
    pub async fn stop(mut self) -> Result<String, LambdaError> {
        self.process.kill().await.map_err(LambdaError::Start)?;
        Ok(self.printed().await)
    }

    /// Shuts the process down as Lambda does, and answers with all that it printed. With an internal extension it gets
    /// SIGTERM and 500 ms, without one it is killed at once.
    ///
    /// Source: AWS Lambda, "Lambda execution environment lifecycle", Shutdown phase.
    ///
    /// # Errors
    /// If the process can't be signaled or waited for.
    pub async fn shut_down(mut self) -> Result<String, LambdaError> {
        let mut has_extension = self.has_extension.clone();
        let extension_waits = tokio::time::timeout(SHUTDOWN, has_extension.wait_for(|has| *has)).await;
        if let (Ok(Ok(_)), Some(id)) = (extension_waits, self.process.id()) {
            // The standard library sends no signal but SIGKILL.
            Command::new("kill").args(["-TERM", &id.to_string()]).status().await.map_err(LambdaError::Start)?;
            // A process that does not end is killed below.
            let _ = tokio::time::timeout(SHUTDOWN, self.process.wait()).await;
        }
        self.stop().await
    }

    /// Waits for a process that ends by itself, and answers with whether it succeeded and what it
    /// printed.
    ///
    /// # Errors
    /// If it does not end.
    pub async fn ended(mut self) -> Result<(bool, String), LambdaError> {
        let status = tokio::time::timeout(TIMEOUT, self.process.wait()).await;
        let status = status.map_err(|_| LambdaError::TimedOut("end"))?.map_err(LambdaError::Start)?;
        Ok((status.success(), self.printed().await))
    }

    /// What the process printed, once it has ended.
    async fn printed(self) -> String {
        self.server.abort();
        let mut printed = String::new();
        for stream in self.printed {
            printed.push_str(&String::from_utf8_lossy(&stream.await.unwrap_or_default()));
        }
        printed
    }
}

async fn next(State(api): State<Api>) -> impl IntoResponse {
    api.polled.send_if_modified(|polled| polled.is_none() && polled.replace(Instant::now()).is_none());
    let Some(Call { event, answer }) = api.calls.lock().await.recv().await else {
        return (StatusCode::INTERNAL_SERVER_ERROR, HeaderMap::new(), String::new());
    };
    let id = format!("00000000-0000-4000-8000-{:012}", api.count.fetch_add(1, Ordering::Relaxed));
    api.under_way.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), (Instant::now(), answer));
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

/// An extension without events waits for ever.
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
    let Some((given, answer)) = api.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(id) else {
        return StatusCode::BAD_REQUEST;
    };
    // Before it is read here, which is none of the function's time.
    let took = given.elapsed();
    // Who called may have stopped waiting.
    let _ = answer.send(result().map(|answer| (answer, took)));
    StatusCode::ACCEPTED
}
