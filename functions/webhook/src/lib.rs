//! Takes Stigg's events: secret, size, event, versions, writes, answer, in this order.

use std::time::{Duration, Instant};

use lambda_http::{
    Body, Request, Response,
    http::{Method, StatusCode},
};
use serde::Serialize;
use shared::{
    apply::apply,
    event::{self, EventError, Handled, Received},
    reply,
    secret::Secret,
    store::{Outcome, Store, StoreError},
    telemetry,
    time::Clock,
};

/// The most bytes that a body may have. Lambda itself takes 6 MB, base64 and envelope included.
pub const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;

/// When the function gives up on the store: before Stigg and API Gateway give up on the function.
const TIME_LIMIT: Duration = Duration::from_secs(25);

/// The header that holds Stigg's secret.
const SECRET_HEADER: &str = "stigg-webhooks-secret";

/// The webhook's handler.
#[derive(Debug)]
pub struct Webhook {
    store: Store,
    secret: Secret,
    clock: Clock,
}

/// Why a request was not taken.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the header Stigg-Webhooks-Secret is missing or wrong")]
    Secret,
    #[error("only POST is taken here")]
    Method,
    #[error("the body is larger than {MAX_BODY_BYTES} bytes")]
    TooLarge,
    #[error(transparent)]
    Event(#[from] EventError),
    #[error("the event could not be stored; send it again")]
    Store(#[from] StoreError),
    #[error("the event could not be stored in time; send it again")]
    TimedOut,
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::Secret => StatusCode::UNAUTHORIZED,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge | Self::Event(EventError::TooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Event(_) => StatusCode::BAD_REQUEST,
            Self::Store(error) if !error.is_retriable() => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Store(_) | Self::TimedOut => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The outcome in one word, for logs.
    fn label(&self) -> &'static str {
        match self {
            Self::Secret => "secret_rejected",
            Self::Method => "method_rejected",
            Self::TooLarge | Self::Event(EventError::TooLarge { .. }) => "too_large",
            Self::Event(_) => "event_rejected",
            Self::Store(error) => error.label(),
            Self::TimedOut => "timed_out",
        }
    }
}

/// What became of an event, in the words of the answer.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Taken {
    Applied,
    Stale,
    Ignored,
}

impl From<Outcome> for Taken {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Applied => Self::Applied,
            Outcome::Stale => Self::Stale,
        }
    }
}

/// What the log line of a request says of its event, as far as it was read.
#[derive(Debug, Default)]
struct Seen {
    kind: Option<String>,
    message_id: Option<String>,
    subject: Option<String>,
    lag_seconds: Option<i64>,
    disbelieved: bool,
}

impl Webhook {
    /// A handler that writes to this store what comes with this secret.
    pub fn new(store: Store, secret: Secret, clock: Clock) -> Self {
        Self { store, secret, clock }
    }

    /// Answers a request. 200 is sent only after the write is durable; anything else makes Stigg send
    /// the event again, which is always safe.
    pub async fn handle(&self, request: Request) -> Response<Body> {
        let start = Instant::now();
        let store = self.store.metered();
        let mut seen = Seen::default();
        let result = self.take(&store, &request, &mut seen).await;
        let (status, outcome) = match &result {
            Ok(taken) => (StatusCode::OK, format!("{taken:?}").to_lowercase()),
            Err(refusal) => (refusal.status(), refusal.label().to_owned()),
        };
        let spent = store.spent();
        let problem = result.as_ref().err().and_then(problem);
        tracing::info!(
            status = status.as_u16(),
            outcome,
            event_type = seen.kind,
            message_id = seen.message_id,
            subject = seen.subject,
            lag_seconds = seen.lag_seconds,
            time_disbelieved = seen.disbelieved,
            dynamodb_requests = spent.requests,
            dynamodb_capacity = spent.capacity,
            milliseconds = telemetry::milliseconds(start.elapsed()),
            problem,
            "event {outcome}"
        );
        answer(result)
    }

    async fn take(&self, store: &Store, request: &Request, seen: &mut Seen) -> Result<Taken, Refusal> {
        let presented = request.headers().get(SECRET_HEADER).map(lambda_http::http::HeaderValue::as_bytes);
        if !presented.is_some_and(|presented| self.secret.accepts(presented)) {
            return Err(Refusal::Secret);
        }
        if request.method() != Method::POST {
            return Err(Refusal::Method);
        }
        let body: &[u8] = request.body();
        if body.len() > MAX_BODY_BYTES {
            return Err(Refusal::TooLarge);
        }
        let now = self.clock.now();
        let Handled { kind, envelope, event } = match event::parse(body)? {
            Received::Handled(handled) => *handled,
            Received::Ignored { kind } => {
                seen.kind = Some(kind);
                return Ok(Taken::Ignored);
            }
        };
        seen.kind = Some(kind.as_str().to_owned());
        seen.message_id.clone_from(&envelope.message_id);
        seen.subject = Some(event.subject().to_string());
        seen.lag_seconds = envelope.time().map(|time| now.duration_since(time).as_secs());
        let applied = tokio::time::timeout(TIME_LIMIT, apply(store, &envelope, &event, now.into()));
        let (outcome, versions) = applied.await.map_err(|_| Refusal::TimedOut)??;
        seen.disbelieved = versions.disbelieved;
        Ok(outcome.into())
    }
}

/// What an operator needs to know of a refusal, without values of the event's.
fn problem(refusal: &Refusal) -> Option<String> {
    match refusal {
        Refusal::Event(error) => Some(error.to_string()),
        Refusal::Store(error) => Some(format!("{error}: {}", source_chain(error))),
        Refusal::Secret | Refusal::Method | Refusal::TooLarge | Refusal::TimedOut => None,
    }
}

fn source_chain(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |error| error.source());
    sources.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    Taken { success: bool, outcome: Taken },
    Refused { success: bool, error: String },
}

fn answer(result: Result<Taken, Refusal>) -> Response<Body> {
    match result {
        Ok(outcome) => reply::json(StatusCode::OK, &Answer::Taken { success: true, outcome }),
        Err(refusal) => {
            let body = Answer::Refused { success: false, error: refusal.to_string() };
            match refusal {
                Refusal::Method => reply::method_not_allowed("POST", &body),
                _ => reply::json(refusal.status(), &body),
            }
        }
    }
}
