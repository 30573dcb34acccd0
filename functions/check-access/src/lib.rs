//! Decides whether a customer may use a feature: token, request, read, decision, answer.

mod request;

use std::time::{Duration, Instant};

use lambda_http::{
    Body, Request, RequestExt as _, Response,
    http::{Method, StatusCode},
};
use serde::Serialize;
use shared::{
    access::{self, AccessDeniedReason, AccessRequest, DecidedOn, Decision},
    entitlement::to_number,
    gateway::{self, Malformed},
    reader::{ReaderAuth, ReaderRefusal},
    reply,
    store::{Spent, Store, StoreError},
    telemetry::{self, Count, Metric, MetricSet},
    time::Clock,
};

/// The most bytes that a body may have.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// When a check gives up: its caller waits for it. Never a wrong yes: 503.
const TIME_LIMIT: Duration = Duration::from_millis(1_900);

/// The checks' metrics.
pub static METRICS: MetricSet = MetricSet {
    function: "check-access",
    own: &[Metric { name: "Decisions", unit: "Count", dimensions: &["Reason"], value: Count::Requests }],
};

/// The check's handler.
#[derive(Debug)]
pub struct CheckAccess {
    store: Store,
    auth: ReaderAuth,
    clock: Clock,
}

/// Why a check has no decision.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error(transparent)]
    Reader(#[from] ReaderRefusal),
    #[error("only POST is taken here")]
    Method,
    #[error("the body is larger than {MAX_BODY_BYTES} bytes")]
    TooLarge,
    #[error(transparent)]
    Request(#[from] request::RequestError),
    #[error("the replica's store did not answer, so nothing is decided; ask again")]
    Store(#[from] StoreError),
    #[error("the replica's store did not answer in time, so nothing is decided; ask again")]
    TimedOut,
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::Reader(refusal) => refusal.status(),
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Malformed(_) | Self::Request(_) => StatusCode::BAD_REQUEST,
            Self::Store(_) | Self::TimedOut => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The outcome in one word, for logs.
    fn label(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::Reader(refusal) => refusal.label(),
            Self::Method => "method_rejected",
            Self::TooLarge => "too_large",
            Self::Request(_) => "request_rejected",
            Self::Store(error) => error.label(),
            Self::TimedOut => "timed_out",
        }
    }
}

impl CheckAccess {
    /// A handler that decides by this store, for those who may read.
    pub fn new(store: Store, auth: impl Into<ReaderAuth>, clock: Clock) -> Self {
        Self { store, auth: auth.into(), clock }
    }

    /// Answers a request: 200 grants, 403 denies, both with the decision; anything else is none.
    pub async fn handle(&self, request: Request) -> Response<Body> {
        let start = Instant::now();
        let store = self.store.metered();
        let checked = tokio::time::timeout(TIME_LIMIT, self.check(&store, &request)).await;
        let result = checked.unwrap_or(Err(Refusal::TimedOut));
        let (status, outcome) = match &result {
            Ok((_, Decision { denied: None, .. })) => (StatusCode::OK, "granted".to_owned()),
            Ok((_, Decision { denied: Some(reason), .. })) => (StatusCode::FORBIDDEN, format!("{reason:?}")),
            Err(refusal) => (refusal.status(), refusal.label().to_owned()),
        };
        let decided = result.as_ref().ok().map(|(_, decision)| match decision.denied {
            None => "Granted".to_owned(),
            Some(_) => outcome.clone(),
        });
        let asked = result.as_ref().ok().map(|(request, _)| request);
        let Spent { requests, capacity } = store.spent();
        let store_failed = matches!(result, Err(Refusal::Store(_) | Refusal::TimedOut));
        let problem = match &result {
            Err(Refusal::Store(error)) => Some(error.to_string()),
            _ => None,
        };
        tracing::info!(
            target: telemetry::REQUEST,
            request_id = request.lambda_context_ref().map(|context| context.request_id.as_str()),
            status = status.as_u16(),
            outcome,
            customer_id = asked.map(|request| request.customer_id.as_str()),
            feature_id = asked.map(|request| request.feature_id.as_str()),
            resource_id = asked.and_then(|request| request.resource_id.as_ref()).map(|id| id.as_str()),
            store_failed = store_failed.then_some(true),
            secret_rejected = (status == StatusCode::UNAUTHORIZED).then_some(true),
            dynamodb_requests = requests,
            dynamodb_capacity = capacity,
            dynamodb_milliseconds = (requests > 0).then(|| telemetry::milliseconds(store.waited())),
            milliseconds = telemetry::milliseconds(start.elapsed()),
            problem,
            Function = METRICS.function,
            Reason = decided,
            "check {outcome}"
        );
        answer(status, result)
    }

    async fn check(&self, store: &Store, request: &Request) -> Result<(AccessRequest, Decision), Refusal> {
        gateway::check(request)?;
        self.auth.admits(request).await?;
        if request.method() != Method::POST {
            return Err(Refusal::Method);
        }
        let body: &[u8] = request.body();
        if body.len() > MAX_BODY_BYTES {
            return Err(Refusal::TooLarge);
        }
        let asked = request::parse(body)?;
        let view = store.access_view(&asked).await?;
        let decision = access::decide(&view, &asked, self.clock.now());
        Ok((asked, decision))
    }
}

/// A decision as JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Decided<'a> {
    has_access: bool,
    reason: &'a str,
    access_denied_reason: Option<AccessDeniedReason>,
    customer_id: &'a str,
    feature_id: &'a str,
    resource_id: Option<&'a str>,
    requested_usage: serde_json::Value,
    requested_values: &'a [String],
    #[serde(flatten)]
    decided_on: &'a DecidedOn,
}

#[derive(Serialize)]
struct Refused {
    error: String,
}

fn answer(status: StatusCode, result: Result<(AccessRequest, Decision), Refusal>) -> Response<Body> {
    match result {
        Ok((request, decision)) => {
            let decided = Decided {
                has_access: decision.has_access(),
                reason: &decision.reason,
                access_denied_reason: decision.denied,
                customer_id: request.customer_id.as_str(),
                feature_id: request.feature_id.as_str(),
                resource_id: request.resource_id.as_ref().map(|id| id.as_str()),
                requested_usage: to_number(request.requested_usage),
                requested_values: &request.requested_values,
                decided_on: &decision.decided_on,
            };
            reply::json(status, &decided)
        }
        Err(refusal) => {
            let body = Refused { error: refusal.to_string() };
            match refusal {
                Refusal::Method => reply::method_not_allowed("POST", &body),
                Refusal::Reader(_) if status == StatusCode::UNAUTHORIZED => reply::unauthorized(&body),
                _ => reply::json(status, &body),
            }
        }
    }
}
