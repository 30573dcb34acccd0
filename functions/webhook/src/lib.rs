//! Receives Stigg's events and writes them to the store.
//!
//! The path of an event: `verify` (sender) → size → [`event::parse`] → `environment` → [`apply`] → response. If the store
//! fails, the event is parked in a queue, from which the same function writes it later (`drain`). An event that can't be
//! applied is set aside in another queue, from which an operator replays it with `byos replay`.

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
    log::{EventLog, Source},
    queue::ParkError,
    verify::Unverified,
};

/// Time limit of an event's writes if there is no queue to park it in. Stigg and API Gateway wait for 30 seconds, and Lambda
/// stops the function after 28.
const WRITE_TIME_LIMIT: Duration = Duration::from_secs(20);

/// Time limit of an event's writes if there is a queue to park it in. An event that waits for a slow store occupies one of
/// the account's concurrent executions, which checks need too. At one event a second, each second of waiting occupies one
/// more.
const PARKING_TIME_LIMIT: Duration = Duration::from_secs(3);

/// Handles requests and batches of parked events.
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

/// Why an event was not written.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the store did not write the event within {0:?}")]
    TimedOut(Duration),
}

impl WriteError {
    /// Whether a retry may succeed without an operator's action.
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

    /// The error and its causes, for operators. Has no values from the event.
    fn problem(&self) -> String {
        let chain = std::iter::successors(std::error::Error::source(self), |error| error.source());
        std::iter::once(self.to_string()).chain(chain.map(ToString::to_string)).collect::<Vec<_>>().join(": ")
    }
}

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error(transparent)]
    Unverified(#[from] Unverified),
    #[error("method not allowed: use POST")]
    Method,
    #[error("the body is larger than {MAX_BODY_BYTES} bytes")]
    TooLarge,
    #[error(transparent)]
    Event(#[from] EventError),
    #[error("the event could not be stored; send it again")]
    NotStored(#[source] WriteError),
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
            Self::Event(_) => "event_refused",
            Self::NotStored(failure) => failure.label(),
            Self::NotParked(_) => "not_parked",
            Self::NotSetAside(..) => "not_set_aside",
        }
    }
}

/// The outcome of an event, as in the response.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum EventOutcome {
    Applied,
    Stale,
    Ignored,
    /// Parked, because the store failed.
    Queued,
    /// In the other queue, because it can't be applied.
    SetAside,
}

impl EventOutcome {
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

    /// Whether the event is finished.
    fn is_routine(self) -> bool {
        matches!(self, Self::Applied | Self::Stale | Self::Ignored)
    }
}

/// The result of [`Webhook::write`].
enum WriteResult {
    Done(Outcome, Versions),
    /// The event names another environment; nothing was written.
    OtherEnvironment,
}

impl From<Outcome> for EventOutcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Applied => Self::Applied,
            Outcome::Stale => Self::Stale,
        }
    }
}

/// The response to an invocation.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// The response to a request.
    Response(Box<GatewayResponse>),
    /// The response to a batch.
    Failures(BatchFailures),
}

impl Webhook {
    /// A handler without queues that accepts events from any address and records to the terminal.
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

    /// Replaces the recorder.
    #[must_use]
    pub fn with_recorder(self, recorder: Arc<Recorder>) -> Self {
        Self { recorder, ..self }
    }

    /// Accepts events only from these addresses.
    #[must_use]
    pub fn with_allowed_sources(self, allowed: AllowedSources) -> Self {
        Self { allowed, ..self }
    }

    /// Parks events in this queue if the store fails.
    #[must_use]
    pub fn with_queue(self, queue: Option<Queue>) -> Self {
        Self { queue, ..self }
    }

    /// Sets events aside in this queue if they can't be applied. Without a queue they are refused.
    #[must_use]
    pub fn with_set_aside_queue(self, set_aside_queue: Option<Queue>) -> Self {
        Self { set_aside_queue, ..self }
    }

    /// The environment that was read at start. None if it was not read: the first event reads it then.
    #[must_use]
    pub fn with_environment(self, environment: Option<Environment>) -> Self {
        let environment = OwnEnvironment::new(environment, self.clock.now());
        Self { environment, ..self }
    }

    /// Handles an invocation of the function.
    ///
    /// # Errors
    /// Never: failures are responses too. Lambda's runtime requires the type.
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

    /// Handles a request. Responds with 200 only after the write is durable, and with 202 only after the event is durable in
    /// a queue. After any other status Stigg sends the event again, which is always safe.
    pub async fn handle(&self, request: Request) -> Response<Body> {
        let store = self.store.with_cost_tracking();
        let source = Source::Http { method: request.method().as_str(), path: request.raw_http_path() };
        let mut log = EventLog::new(source, request.lambda_context_ref().map(|context| context.request_id.as_str()));
        let result = self.verify_and_accept(&store, &request, &mut log).await;
        let (status, label) = match &result {
            Ok(outcome) => (outcome.status(), outcome.label()),
            Err(refusal) => (refusal.status(), refusal.label()),
        };
        log.rejected = match &result {
            Err(Refusal::Unverified(Unverified::Secret | Unverified::Signature(_))) => Some(Rejection::Secret),
            Err(Refusal::Unverified(Unverified::Source)) => Some(Rejection::Source),
            _ => None,
        };
        let is_routine = result.as_ref().is_ok_and(|outcome| outcome.is_routine());
        log.record(&self.recorder, Some(status.as_u16()), label, is_routine, &store);
        response(status, result)
    }

    async fn verify_and_accept(&self, store: &Store, request: &Request, log: &mut EventLog<'_>) -> Result<EventOutcome, Refusal> {
        gateway::check(request)?;
        let now = self.clock.now();
        self.allowed.check(request)?;
        self.secrets.check(|secrets| secrets.verify(request, now)).await.map_err(|_| Unverified::Unreadable)??;
        let result = self.accept(store, request, now, log).await;
        if let Err(refusal) = &result {
            log.set_refused(&EventSummary::of(request.body()), refusal.status().is_client_error());
        }
        result
    }

    /// Accepts an event from a verified sender.
    async fn accept(
        &self,
        store: &Store,
        request: &Request,
        now: Timestamp,
        log: &mut EventLog<'_>,
    ) -> Result<EventOutcome, Refusal> {
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
                log.set_ignored(kind);
                return Ok(EventOutcome::Ignored);
            }
            Err(error) => return self.set_aside(error, now, body, log).await,
        };
        log.set_event(&handled, now);
        let limit = if self.queue.is_some() { PARKING_TIME_LIMIT } else { WRITE_TIME_LIMIT };
        match self.write(store, &handled, now.into(), limit).await {
            Ok(WriteResult::Done(outcome, versions)) => {
                log.details.time_disbelieved = versions.is_time_rejected;
                Ok(outcome.into())
            }
            Ok(WriteResult::OtherEnvironment) => self.set_aside_other_environment(&handled, now, body, log).await,
            // Parking it would not help.
            Err(WriteError::Store(StoreError::TooLarge)) => {
                self.set_aside(EventError::too_large_to_store(handled.kind), now, body, log).await
            }
            Err(failure) => {
                log.store_failed = true;
                log.problem = Some(failure.problem());
                let Some(queue) = &self.queue else { return Err(Refusal::NotStored(failure)) };
                let parked = Parked {
                    received_at: now,
                    kind: handled.kind.as_str().to_owned(),
                    message_id: handled.envelope.message_id,
                    body: body.to_vec(),
                };
                queue.park(&parked).await.map_err(|error| {
                    log.problem = Some(format!("{}; {error}", failure.problem()));
                    Refusal::NotParked(error)
                })?;
                Ok(EventOutcome::Queued)
            }
        }
    }

    /// Writes an event within the time limit, if it belongs to the replica's environment.
    async fn write(&self, store: &Store, handled: &Handled, timing: Timing, limit: Duration) -> Result<WriteResult, WriteError> {
        let write = async {
            if !self.environment.contains(store, &handled.envelope, timing).await? {
                return Ok(WriteResult::OtherEnvironment);
            }
            let (outcome, versions) = apply(store, &handled.envelope, &handled.event, timing).await?;
            Ok::<_, StoreError>(WriteResult::Done(outcome, versions))
        };
        Ok(tokio::time::timeout(limit, write).await.map_err(|_| WriteError::TimedOut(limit))??)
    }

    /// Sets an event of another environment aside. An operator decides whether the replica's environment is right.
    async fn set_aside_other_environment(
        &self,
        handled: &Handled,
        received: Timestamp,
        body: &[u8],
        log: &mut EventLog<'_>,
    ) -> Result<EventOutcome, Refusal> {
        log.details.other_environment = true;
        let error = EventError::OtherEnvironment { kind: handled.kind.as_str() };
        self.set_aside(error, received, body, log).await
    }

    /// Sets aside an event that can't be applied, with its whole body. Refuses the event if its type is not supported, there
    /// is no queue, or the queue does not accept it.
    async fn set_aside(
        &self,
        error: EventError,
        received: Timestamp,
        body: &[u8],
        log: &mut EventLog<'_>,
    ) -> Result<EventOutcome, Refusal> {
        log.problem = Some(error.to_string());
        let Some(queue) = self.set_aside_queue.as_ref().filter(|_| error.has_supported_type()) else {
            return Err(error.into());
        };
        let summary = EventSummary::of(body);
        let parked = Parked {
            received_at: received,
            kind: summary.event_type.clone().unwrap_or_default(),
            message_id: summary.message_id.clone(),
            body: body.to_vec(),
        };
        match queue.park(&parked).await {
            Ok(()) => {
                log.set_summary(&summary);
                Ok(EventOutcome::SetAside)
            }
            Err(ParkError::TooLarge(too_large)) => {
                log.problem = Some(format!("{error}; {too_large}"));
                Err(Refusal::TooLarge)
            }
            Err(park_error) => {
                log.problem = Some(format!("{error}; {park_error}"));
                Err(Refusal::NotSetAside(error, park_error))
            }
        }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum ResponseBody {
    Accepted { success: bool, outcome: EventOutcome },
    Refused { success: bool, error: String },
}

fn response(status: StatusCode, result: Result<EventOutcome, Refusal>) -> Response<Body> {
    match result {
        Ok(outcome) => reply::json(status, &ResponseBody::Accepted { success: true, outcome }),
        Err(refusal) => {
            let body = ResponseBody::Refused { success: false, error: refusal.to_string() };
            match refusal {
                Refusal::Method => reply::method_not_allowed("POST", &body),
                _ => reply::json(status, &body),
            }
        }
    }
}
