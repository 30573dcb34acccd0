//! Takes Stigg's events: sender, size, event, writes, answer, in this order. What the store does not
//! take waits in a queue, from which the same function writes it later.

mod drain;
mod incoming;
mod log;
mod queue;
mod verify;

use std::time::Duration;

use lambda_http::{
    Body, Context, Error, LambdaEvent, Request, RequestExt as _, Response,
    aws_lambda_events::apigw::ApiGatewayV2httpResponse,
    http::{Method, StatusCode},
};
use serde::Serialize;
use shared::{
    apply::{Moment, apply},
    event::{self, EventError, Handled, Received},
    gateway::{self, Malformed},
    keyring::Keyring,
    parked::Parked,
    reply,
    store::{Outcome, Store, StoreError},
    time::Clock,
    version::Versions,
};

pub use incoming::{Batch, BatchFailure, BatchFailures, Incoming, Message};
pub use log::METRICS;
pub use queue::Queue;
pub use verify::{AllowedSources, WebhookSecrets};

use crate::{log::Line, queue::ParkError, verify::Unverified};

/// The most bytes that a body may have. Lambda itself takes 6 MB, base64 and envelope included.
pub const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;

/// When an event's writes are given up. What is left of the function's 28 seconds is for the queue; Stigg
/// and API Gateway wait for 30.
const STORE_LIMIT: Duration = Duration::from_secs(20);

/// The webhook's handler.
#[derive(Debug)]
pub struct Webhook {
    store: Store,
    secrets: Keyring<WebhookSecrets>,
    allowed: AllowedSources,
    queue: Option<Queue>,
    clock: Clock,
}

/// The store did not take an event.
#[derive(Debug, thiserror::Error)]
enum NotStored {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the store did not take the event within {0:?}")]
    TimedOut(Duration),
}

impl NotStored {
    /// Whether the same again may succeed without anybody doing something.
    fn is_retriable(&self) -> bool {
        match self {
            Self::Store(error) => error.is_retriable(),
            Self::TimedOut(_) => true,
        }
    }

    /// The kind of failure in one word, for logs.
    fn label(&self) -> &'static str {
        match self {
            Self::Store(error) => error.label(),
            Self::TimedOut(_) => "timed_out",
        }
    }

    /// What an operator needs to know of it, without values of the event's.
    fn problem(&self) -> String {
        let chain = std::iter::successors(std::error::Error::source(self), |error| error.source());
        std::iter::once(self.to_string()).chain(chain.map(ToString::to_string)).collect::<Vec<_>>().join(": ")
    }
}

/// Why a request was not taken.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error(transparent)]
    Unverified(#[from] Unverified),
    #[error("only POST is taken here")]
    Method,
    #[error("the body is larger than {MAX_BODY_BYTES} bytes")]
    TooLarge,
    #[error(transparent)]
    Event(#[from] EventError),
    #[error("the event could not be stored; send it again")]
    NotStored(#[source] NotStored),
    #[error("the event could neither be stored nor queued; send it again")]
    NotParked(#[source] ParkError),
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::Unverified(Unverified::Source) => StatusCode::FORBIDDEN,
            Self::Unverified(Unverified::Secret | Unverified::Signature(_)) => StatusCode::UNAUTHORIZED,
            Self::Unverified(Unverified::Unset | Unverified::Unreadable) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge | Self::Event(EventError::TooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Malformed(_) | Self::Event(_) => StatusCode::BAD_REQUEST,
            Self::NotStored(failure) if !failure.is_retriable() => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotStored(_) | Self::NotParked(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The outcome in one word, for logs and metrics.
    fn label(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::Unverified(Unverified::Source) => "source_rejected",
            Self::Unverified(Unverified::Unset) => "secret_unset",
            Self::Unverified(Unverified::Unreadable) => "secret_unreadable",
            Self::Unverified(Unverified::Secret) => "secret_rejected",
            Self::Unverified(Unverified::Signature(_)) => "signature_rejected",
            Self::Method => "method_rejected",
            Self::TooLarge | Self::Event(EventError::TooLarge { .. }) => "too_large",
            Self::Event(_) => "event_rejected",
            Self::NotStored(failure) => failure.label(),
            Self::NotParked(_) => "not_parked",
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
    /// It waits in the queue.
    Queued,
}

impl Taken {
    fn status(self) -> StatusCode {
        if matches!(self, Self::Queued) { StatusCode::ACCEPTED } else { StatusCode::OK }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Stale => "stale",
            Self::Ignored => "ignored",
            Self::Queued => "queued",
        }
    }
}

impl From<Outcome> for Taken {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Applied => Self::Applied,
            Outcome::Stale => Self::Stale,
        }
    }
}

/// What the function answers Lambda with.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// To a request.
    Response(Box<ApiGatewayV2httpResponse>),
    /// To a batch.
    Failures(BatchFailures),
}

impl Webhook {
    /// A handler that writes to this store what comes with these secrets, from anywhere.
    pub fn new(store: Store, secrets: impl Into<Keyring<WebhookSecrets>>, clock: Clock) -> Self {
        Self { store, secrets: secrets.into(), allowed: AllowedSources::default(), queue: None, clock }
    }

    /// The same for events from these addresses alone.
    #[must_use]
    pub fn with_allowed_sources(self, allowed: AllowedSources) -> Self {
        Self { allowed, ..self }
    }

    /// The same with a queue for what the store does not take.
    #[must_use]
    pub fn with_queue(self, queue: Option<Queue>) -> Self {
        Self { queue, ..self }
    }

    /// Answers what Lambda calls the function with.
    ///
    /// # Errors
    /// None: whatever goes wrong is an answer too. The type is Lambda's.
    pub async fn call(&self, event: LambdaEvent<Incoming>) -> Result<Answer, Error> {
        let LambdaEvent { payload, context } = event;
        match payload {
            Incoming::Request(request) => {
                let event = LambdaEvent::new(*request, context);
                Ok(Answer::Response(Box::new(gateway::answer(|request| self.handle(request), event).await)))
            }
            Incoming::Batch(batch) => Ok(Answer::Failures(self.drain(batch, Some(context.request_id)).await)),
        }
    }

    /// Answers a request. 200 is sent only after the write is durable, and 202 after the event is durable
    /// in the queue; anything else makes Stigg send the event again, which is always safe.
    pub async fn handle(&self, request: Request) -> Response<Body> {
        let store = self.store.metered();
        let mut line = Line::new(request.lambda_context_ref().map(request_id));
        let result = self.take(&store, &request, &mut line).await;
        let (status, outcome) = match &result {
            Ok(taken) => (taken.status(), taken.label()),
            Err(refusal) => (refusal.status(), refusal.label()),
        };
        match &result {
            Err(Refusal::Unverified(Unverified::Secret | Unverified::Signature(_))) => line.secret_rejected = true,
            Err(Refusal::Event(error)) => line.problem = Some(error.to_string()),
            _ => {}
        }
        line.log(Some(status.as_u16()), outcome, &store);
        answer(status, result)
    }

    async fn take(&self, store: &Store, request: &Request, line: &mut Line) -> Result<Taken, Refusal> {
        gateway::check(request)?;
        let now = self.clock.now();
        self.allowed.check(request)?;
        self.secrets.check(|secrets| secrets.verify(request, now)).await.map_err(|_| Unverified::Unreadable)??;
        if request.method() != Method::POST {
            return Err(Refusal::Method);
        }
        let body: &[u8] = request.body();
        if body.len() > MAX_BODY_BYTES {
            return Err(Refusal::TooLarge);
        }
        let handled = match event::parse(body)? {
            Received::Handled(handled) => *handled,
            Received::Ignored { kind } => {
                line.is_ignored(kind);
                return Ok(Taken::Ignored);
            }
        };
        line.is_of(&handled, now);
        match write(store, &handled, now.into(), STORE_LIMIT).await {
            Ok((outcome, versions)) => {
                line.disbelieved = versions.disbelieved;
                Ok(outcome.into())
            }
            Err(failure) => {
                line.store_failed = true;
                line.problem = Some(failure.problem());
                let Some(queue) = &self.queue else { return Err(Refusal::NotStored(failure)) };
                let parked = Parked {
                    received_at: now,
                    kind: handled.kind.as_str().to_owned(),
                    message_id: handled.envelope.message_id,
                    body: body.to_vec(),
                };
                queue.park(&parked).await.map_err(|error| {
                    line.problem = Some(format!("{}; {error}", failure.problem()));
                    Refusal::NotParked(error)
                })?;
                Ok(Taken::Queued)
            }
        }
    }
}

fn request_id(context: &Context) -> String {
    context.request_id.clone()
}

/// Writes an event, unless that takes longer than the limit.
async fn write(store: &Store, handled: &Handled, moment: Moment, limit: Duration) -> Result<(Outcome, Versions), NotStored> {
    let applied = tokio::time::timeout(limit, apply(store, &handled.envelope, &handled.event, moment));
    Ok(applied.await.map_err(|_| NotStored::TimedOut(limit))??)
}

#[derive(Serialize)]
#[serde(untagged)]
enum Reply {
    Taken { success: bool, outcome: Taken },
    Refused { success: bool, error: String },
}

fn answer(status: StatusCode, result: Result<Taken, Refusal>) -> Response<Body> {
    match result {
        Ok(outcome) => reply::json(status, &Reply::Taken { success: true, outcome }),
        Err(refusal) => {
            let body = Reply::Refused { success: false, error: refusal.to_string() };
            match refusal {
                Refusal::Method => reply::method_not_allowed("POST", &body),
                _ => reply::json(status, &body),
            }
        }
    }
}
