//! Takes Stigg's events: sender, size, event, writes, answer, in this order. What the store does not
//! take waits in a queue, from which the same function writes it later. An event that can't be applied is set
//! aside in another queue, which a person empties with `byos replay`.

mod drain;
mod environment;
mod incoming;
mod log;
mod queue;
mod verify;

use std::{sync::Arc, time::Duration};

use domain::event::{self, EventError, EventSummary, Handled, Received, dating::Versions};
use jiff::Timestamp;
use lambda_http::{
    Body, Error, LambdaEvent, Request, RequestExt as _, Response,
    http::{Method, StatusCode},
};
use runtime::{
    clock::Clock,
    gateway::{self, GatewayResponse, Malformed},
    keyring::Keyring,
    parked::Parked,
    reply,
    telemetry::{Recorder, Rejection},
};
use serde::Serialize;
use store::{
    Environment, Outcome, Store, StoreError,
    apply::{Timing, apply},
};

pub use incoming::{Batch, BatchFailure, BatchFailures, Incoming, Message};
pub use queue::Queue;
pub use runtime::parked::MAX_BODY_BYTES;
pub use verify::{AllowedSources, WebhookSecrets};

use crate::{
    environment::OwnEnvironment,
    log::{Line, Source},
    queue::ParkError,
    verify::Unverified,
};

/// When an event's writes are given up where there is no queue to park it in. Stigg and API Gateway wait for 30
/// seconds, Lambda stops the function after 28.
const STORE_LIMIT: Duration = Duration::from_secs(20);

/// When an event is parked instead. While it waits for a slow store it takes one of the account's concurrent
/// executions, which checks need too: in a second, an event a second takes one more of them.
const PARKING_LIMIT: Duration = Duration::from_secs(3);

/// The webhook's handler.
#[derive(Debug)]
pub struct Webhook {
    store: Store,
    secrets: Keyring<WebhookSecrets>,
    allowed: AllowedSources,
    queue: Option<Queue>,
    set_aside_queue: Option<Queue>,
    environment: OwnEnvironment,
    clock: Clock,
    recorder: Arc<Recorder>,
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
    #[error("{0}; it could not be set aside either; send it again")]
    NotSetAside(EventError, #[source] ParkError),
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::Unverified(Unverified::Source) => StatusCode::FORBIDDEN,
            Self::Unverified(Unverified::Secret | Unverified::Signature(_)) => StatusCode::UNAUTHORIZED,
            Self::Unverified(Unverified::Unset | Unverified::Unreadable) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge | Self::Event(EventError::TooLarge { .. } | EventError::TooLargeToStore { .. }) => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            Self::Malformed(_) | Self::Event(_) => StatusCode::BAD_REQUEST,
            Self::NotStored(failure) if !failure.is_retriable() => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotStored(_) | Self::NotParked(_) | Self::NotSetAside(..) => StatusCode::SERVICE_UNAVAILABLE,
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
            Self::TooLarge | Self::Event(EventError::TooLarge { .. } | EventError::TooLargeToStore { .. }) => "too_large",
            Self::Event(_) => "event_rejected",
            Self::NotStored(failure) => failure.label(),
            Self::NotParked(_) => "not_parked",
            Self::NotSetAside(..) => "not_set_aside",
        }
    }
}

/// What became of an event, in the words of the answer.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Taken {
    Applied,
    Stale,
    Ignored,
    /// It waits in the queue.
    Queued,
    /// It waits in the other queue, for somebody to replay it.
    SetAside,
}

impl Taken {
    fn status(self) -> StatusCode {
        match self {
            Self::Applied | Self::Stale | Self::Ignored => StatusCode::OK,
            Self::Queued | Self::SetAside => StatusCode::ACCEPTED,
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Stale => "stale",
            Self::Ignored => "ignored",
            Self::Queued => "queued",
            Self::SetAside => "set_aside",
        }
    }

    /// Whether nothing is left to do.
    fn is_routine(self) -> bool {
        matches!(self, Self::Applied | Self::Stale | Self::Ignored)
    }
}

/// The result of [`Webhook::write`].
enum Written {
    Done(Outcome, Versions),
    /// The event names another environment; nothing was written.
    OtherEnvironment,
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
    Response(Box<GatewayResponse>),
    /// To a batch.
    Failures(BatchFailures),
}

impl Webhook {
    /// A handler that writes to this store what comes with these secrets, from anywhere.
    pub fn new(store: Store, secrets: impl Into<Keyring<WebhookSecrets>>, clock: Clock) -> Self {
        Self {
            store,
            secrets: secrets.into(),
            allowed: AllowedSources::default(),
            queue: None,
            set_aside_queue: None,
            environment: OwnEnvironment::default(),
            clock,
            recorder: Arc::new(Recorder::terminal()),
        }
    }

    /// The same with another recorder than the terminal.
    #[must_use]
    pub fn with_recorder(self, recorder: Arc<Recorder>) -> Self {
        Self { recorder, ..self }
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

    /// The same with a queue for events that can't be applied. Without one they are refused.
    #[must_use]
    pub fn with_set_aside_queue(self, set_aside_queue: Option<Queue>) -> Self {
        Self { set_aside_queue, ..self }
    }

    /// The same for the environment that was read while the function started; None leaves the read to the first event.
    #[must_use]
    pub fn with_environment(self, environment: Option<Environment>) -> Self {
        let environment = OwnEnvironment::new(environment, self.clock.now());
        Self { environment, ..self }
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
            Incoming::Batch(batch) => Ok(Answer::Failures(self.drain(batch, Some(&context.request_id)).await)),
        }
    }

    /// Answers a request. 200 is sent only after the write is durable, and 202 after the event is durable
    /// in the queue; anything else makes Stigg send the event again, which is always safe.
    pub async fn handle(&self, request: Request) -> Response<Body> {
        let store = self.store.with_cost_tracking();
        let source = Source::Http { method: request.method().as_str(), path: request.raw_http_path() };
        let mut line = Line::new(source, request.lambda_context_ref().map(|context| context.request_id.as_str()));
        let result = self.take(&store, &request, &mut line).await;
        let (status, outcome) = match &result {
            Ok(taken) => (taken.status(), taken.label()),
            Err(refusal) => (refusal.status(), refusal.label()),
        };
        line.rejected = match &result {
            Err(Refusal::Unverified(Unverified::Secret | Unverified::Signature(_))) => Some(Rejection::Secret),
            Err(Refusal::Unverified(Unverified::Source)) => Some(Rejection::Source),
            _ => None,
        };
        let is_routine = result.as_ref().is_ok_and(|taken| taken.is_routine());
        line.record(&self.recorder, Some(status.as_u16()), outcome, is_routine, &store);
        answer(status, result)
    }

    async fn take(&self, store: &Store, request: &Request, line: &mut Line<'_>) -> Result<Taken, Refusal> {
        gateway::check(request)?;
        let now = self.clock.now();
        self.allowed.check(request)?;
        self.secrets.check(|secrets| secrets.verify(request, now)).await.map_err(|_| Unverified::Unreadable)??;
        let result = self.accept(store, request, now, line).await;
        if let Err(refusal) = &result {
            line.is_refused(&EventSummary::of(request.body()), refusal.status().is_client_error());
        }
        result
    }

    /// Takes an event whose sender is known.
    async fn accept(&self, store: &Store, request: &Request, now: Timestamp, line: &mut Line<'_>) -> Result<Taken, Refusal> {
        if request.method() != Method::POST {
            return Err(Refusal::Method);
        }
        let body: &[u8] = request.body();
        if body.len() > MAX_BODY_BYTES {
            return Err(Refusal::TooLarge);
        }
        let handled = match event::parse(body) {
            Ok(Received::Handled(handled)) => *handled,
            Ok(Received::Ignored { kind }) => {
                line.is_ignored(kind);
                return Ok(Taken::Ignored);
            }
            Err(error) => return self.set_aside(error, now, body, line).await,
        };
        line.is_of(&handled, now);
        let limit = if self.queue.is_some() { PARKING_LIMIT } else { STORE_LIMIT };
        match self.write(store, &handled, now.into(), limit).await {
            Ok(Written::Done(outcome, versions)) => {
                line.details.time_disbelieved = versions.is_time_rejected;
                Ok(outcome.into())
            }
            Ok(Written::OtherEnvironment) => self.set_foreign_aside(&handled, now, body, line).await,
            // Waiting does not make it smaller.
            Err(NotStored::Store(StoreError::TooLarge)) => {
                self.set_aside(EventError::too_large_to_store(handled.kind), now, body, line).await
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

    /// Writes an event of the replica's environment, unless that takes longer than the limit.
    async fn write(&self, store: &Store, handled: &Handled, moment: Timing, limit: Duration) -> Result<Written, NotStored> {
        let write = async {
            if !self.environment.has(store, &handled.envelope, moment).await? {
                return Ok(Written::OtherEnvironment);
            }
            let (outcome, versions) = apply(store, &handled.envelope, &handled.event, moment).await?;
            Ok::<_, StoreError>(Written::Done(outcome, versions))
        };
        Ok(tokio::time::timeout(limit, write).await.map_err(|_| NotStored::TimedOut(limit))??)
    }

    /// Sets an event of another environment aside, whole: an operator decides whether the replica's environment is right.
    async fn set_foreign_aside(
        &self,
        handled: &Handled,
        received: Timestamp,
        body: &[u8],
        line: &mut Line<'_>,
    ) -> Result<Taken, Refusal> {
        line.details.other_environment = true;
        let error = EventError::OtherEnvironment { kind: handled.kind.as_str() };
        self.set_aside(error, received, body, line).await
    }

    /// Puts an event that can't be applied where somebody finds it, whole. Only an event of a type that is
    /// handled is worth that, and only where there is a queue that it fits into.
    async fn set_aside(
        &self,
        error: EventError,
        received: Timestamp,
        body: &[u8],
        line: &mut Line<'_>,
    ) -> Result<Taken, Refusal> {
        line.problem = Some(error.to_string());
        let Some(queue) = self.set_aside_queue.as_ref().filter(|_| error.is_of_known_event()) else {
            return Err(error.into());
        };
        let outline = EventSummary::of(body);
        let parked = Parked {
            received_at: received,
            kind: outline.event_type.clone().unwrap_or_default(),
            message_id: outline.message_id.clone(),
            body: body.to_vec(),
        };
        match queue.park(&parked).await {
            Ok(()) => {
                line.is_outlined(&outline);
                Ok(Taken::SetAside)
            }
            Err(ParkError::TooLarge(too_large)) => {
                line.problem = Some(format!("{error}; {too_large}"));
                Err(Refusal::TooLarge)
            }
            Err(park_error) => {
                line.problem = Some(format!("{error}; {park_error}"));
                Err(Refusal::NotSetAside(error, park_error))
            }
        }
    }
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
