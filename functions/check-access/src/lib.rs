//! Decides whether a customer may use a feature: token, route, request, read, decision, answer.

mod batch;
mod edge;
mod invocation;
mod ofrep;
mod query;
mod request;
mod route;
mod scope;

use std::{
    borrow::Cow,
    collections::BTreeSet,
    time::{Duration, Instant},
};

use domain::{
    access::{self, AccessDeniedReason, AccessRequest, Decision, DecisionJson},
    id::Id,
};
use futures_util::future::try_join_all;
use lambda_http::{Body, LambdaEvent, Request, RequestExt as _, Response, http::StatusCode};
use runtime::{
    clock::Clock,
    gateway::{self, Malformed},
    reader::{ReaderAuth, ReaderRefusal},
    reply,
    telemetry::{self, Count, Metric, MetricSet},
};
use serde::Serialize;
use serde_json::value::RawValue;
use store::{Store, StoreCost, StoreError};

pub use invocation::{Invocation, Reply};

use batch::Batch;
use edge::OneEntitlement;
use ofrep::{Context, Flag, Flags, OfrepError};
use query::EdgeQuery;
use request::BatchRequest;
use route::{Document, Route, RouteError};
use scope::{Feature, Scope};

/// The most bytes that a body may have.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// When a check gives up: its caller waits for it. Never a wrong yes: 503.
const TIME_LIMIT: Duration = Duration::from_millis(1_900);

/// The checks' metrics.
pub static METRICS: MetricSet = MetricSet {
    function: "check-access",
    own: &[Metric { name: "Decisions", unit: "Count", dimensions: &["Reason"], value: Count::Requests }],
};

/// The handler of all routes.
#[derive(Debug)]
pub struct CheckAccess {
    store: Store,
    auth: ReaderAuth,
    clock: Clock,
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error(transparent)]
    Reader(#[from] ReaderRefusal),
    #[error(transparent)]
    Route(#[from] RouteError),
    #[error("{error}")]
    Ofrep { key: Option<String>, error: OfrepError },
    #[error("a paywall needs Stigg's product catalog, which this replica does not hold: ask Stigg for it")]
    Paywall,
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
            Self::Route(error) => error.status(),
            Self::Ofrep { error, .. } => error.status(),
            Self::Paywall => StatusCode::NOT_FOUND,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Malformed(_) | Self::Request(_) => StatusCode::BAD_REQUEST,
            Self::Store(_) | Self::TimedOut => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The outcome in one word, for logs.
    fn label(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::Ofrep { .. } => "request_rejected",
            Self::Reader(refusal) => refusal.label(),
            Self::Route(error) => error.label(),
            Self::Paywall => "path_rejected",
            Self::TooLarge => "too_large",
            Self::Request(_) => "request_rejected",
            Self::Store(error) => error.label(),
            Self::TimedOut => "timed_out",
        }
    }

    fn response(&self) -> Response<Body> {
        let body = Refused { error: self.to_string() };
        match self {
            Self::Route(RouteError::Method(allowed)) => reply::method_not_allowed(allowed, &body),
            Self::Ofrep { key, error } => reply::json(self.status(), &error.body(key.as_deref())),
            Self::Reader(_) if self.status() == StatusCode::UNAUTHORIZED => reply::unauthorized(&body),
            _ => reply::json(self.status(), &body),
        }
    }
}

#[derive(Serialize)]
struct Refused {
    error: String,
}

/// An answer, and what the log says of it.
struct Answer {
    response: Response<Body>,
    outcome: Cow<'static, str>,
    /// The one decision that was taken.
    decided: Option<Reason>,
    customer_id: Option<Id>,
    feature_id: Option<Id>,
    resource_id: Option<Id>,
}

/// What a decision came to, as the metric `Decisions` counts it.
type Reason = Option<AccessDeniedReason>;

impl Answer {
    /// 200, decisions being parts of the body.
    fn of(customer_id: Option<Id>, resource_id: Option<Id>, body: &impl Serialize) -> Self {
        Self {
            response: reply::json(StatusCode::OK, body),
            outcome: "answered".into(),
            decided: None,
            customer_id,
            feature_id: None,
            resource_id,
        }
    }

    /// The same on a scope.
    fn on(scope: &Scope, body: &impl Serialize) -> Self {
        Self::of(Some(scope.customer_id.clone()), scope.resource_id.clone(), body)
    }
}

impl CheckAccess {
    /// A handler that decides by this store, for those who may read.
    pub fn new(store: Store, auth: impl Into<ReaderAuth>, clock: Clock) -> Self {
        Self { store, auth: auth.into(), clock }
    }

    /// Answers an invocation of the function.
    pub async fn invoke(&self, event: LambdaEvent<Invocation>) -> Reply {
        let LambdaEvent { payload, context } = event;
        match payload {
            Invocation::Http(event) => {
                let answer = gateway::answer(|request: Request| self.handle(request), LambdaEvent::new(event, context)).await;
                Reply::Http(Box::new(answer))
            }
            Invocation::Direct(json) => {
                let answer = |store| async move { self.direct(&store, json.get()).await };
                let response = self.logged(Some(&context.request_id), answer).await;
                let body = String::from_utf8_lossy(response.body().as_ref()).into_owned();
                Reply::Direct(RawValue::from_string(body).unwrap_or_default())
            }
        }
    }

    /// Answers a request. At `/check-access` 200 grants, 403 denies, both with the decision; elsewhere a denial is a
    /// part of a 200. Anything else is no decision.
    pub async fn handle(&self, request: Request) -> Response<Body> {
        let request_id = request.lambda_context_ref().map(|context| context.request_id.as_str());
        let request = &request;
        self.logged(request_id, |store| async move { self.answer(&store, request).await }).await
    }

    /// Answers in time, and logs the answer.
    async fn logged<F, A>(&self, request_id: Option<&str>, answer: F) -> Response<Body>
    where
        F: FnOnce(Store) -> A,
        A: Future<Output = Result<Answer, Refusal>>,
    {
        let start = Instant::now();
        let store = self.store.with_cost_tracking();
        let answered = tokio::time::timeout(TIME_LIMIT, answer(store.clone())).await;
        let result = answered.unwrap_or(Err(Refusal::TimedOut));
        let StoreCost { requests, capacity } = store.cost();
        let store_failed = matches!(result, Err(Refusal::Store(_) | Refusal::TimedOut));
        let problem = match &result {
            Err(Refusal::Store(error)) => Some(error.to_string()),
            _ => None,
        };
        let answer = result.unwrap_or_else(|refusal| Answer {
            response: refusal.response(),
            outcome: refusal.label().into(),
            decided: None,
            customer_id: None,
            feature_id: None,
            resource_id: None,
        });
        let status = answer.response.status();
        let outcome = answer.outcome;
        let reason = answer.decided.map(|denied| denied.map_or_else(|| "Granted".to_owned(), |denied| format!("{denied:?}")));
        tracing::info!(
            target: telemetry::REQUEST,
            request_id,
            status = status.as_u16(),
            outcome = &*outcome,
            customer_id = answer.customer_id.as_ref().map(Id::as_str),
            feature_id = answer.feature_id.as_ref().map(Id::as_str),
            resource_id = answer.resource_id.as_ref().map(Id::as_str),
            store_failed = store_failed.then_some(true),
            secret_rejected = (status == StatusCode::UNAUTHORIZED).then_some(true),
            dynamodb_requests = requests,
            dynamodb_capacity = capacity,
            dynamodb_milliseconds = (requests > 0).then(|| telemetry::milliseconds(store.time_in_flight())),
            milliseconds = telemetry::milliseconds(start.elapsed()),
            problem,
            Function = METRICS.function,
            Reason = reason,
            "check {outcome}"
        );
        answer.response
    }

    async fn answer(&self, store: &Store, request: &Request) -> Result<Answer, Refusal> {
        gateway::check(request)?;
        self.auth.admits_api_key(request).await?;
        let route = Route::of(request.method(), request.raw_http_path())?;
        let body: &[u8] = request.body();
        if body.len() > MAX_BODY_BYTES {
            return Err(Refusal::TooLarge);
        }
        match route {
            Route::Check => self.check(store, body).await,
            Route::Batch => self.batch(store, body).await,
            Route::Edge(customer_id, document) => self.edge(store, customer_id, document, request).await,
            Route::Configuration => Ok(Answer::of(None, None, &edge::Document::from(edge::Configuration {}))),
            Route::Paywall => Err(Refusal::Paywall),
            Route::Flag(key) => self.flag(store, body, key).await,
            Route::Flags => self.flags(store, body, request).await,
        }
    }

    async fn check(&self, store: &Store, body: &[u8]) -> Result<Answer, Refusal> {
        let request = request::parse(body)?;
        let view = store.access_view(&request).await?;
        let decision = access::decide(&view, &request, self.clock.now());
        let (status, outcome) = match decision.denied {
            None => (StatusCode::OK, "granted".into()),
            Some(reason) => (StatusCode::FORBIDDEN, format!("{reason:?}").into()),
        };
        Ok(Answer {
            response: reply::json(status, &DecisionJson::new(&request, &decision)),
            outcome,
            decided: Some(decision.denied),
            customer_id: Some(request.customer_id),
            feature_id: Some(request.feature_id),
            resource_id: request.resource_id,
        })
    }

    /// A plain check, or a list of them. Each scope is read once.
    async fn direct(&self, store: &Store, json: &str) -> Result<Answer, Refusal> {
        if !json.starts_with('[') {
            return self.check(store, json.as_bytes()).await;
        }
        let checks = request::parse_list(json)?;
        let now = self.clock.now();
        let scopes: BTreeSet<_> = checks.iter().map(|check| (check.customer_id.clone(), check.resource_id.clone())).collect();
        let read = |(customer_id, resource_id)| Scope::read(store, customer_id, resource_id, now);
        let scopes = try_join_all(scopes.into_iter().map(read)).await?;
        let mut decided = Vec::new();
        for check in &checks {
            let of_check = |scope: &&Scope| scope.customer_id == check.customer_id && scope.resource_id == check.resource_id;
            if let Some(scope) = scopes.iter().find(of_check) {
                decided.push((check, scope.decide(check)?));
            }
        }
        let decisions: Vec<_> = decided.iter().map(|(request, decision)| DecisionJson::new(request, decision)).collect();
        Ok(Answer::of(None, None, &decisions))
    }

    /// The decisions of a batch by one read of its scope. One that fails decides nothing.
    async fn batch(&self, store: &Store, body: &[u8]) -> Result<Answer, Refusal> {
        let BatchRequest { customer_id, resource_id, checks } = request::parse_batch(body)?;
        let scope = Scope::read(store, customer_id, resource_id, self.clock.now()).await?;
        let decided: Vec<_> = match checks {
            None => scope.features()?.into_iter().map(|feature| (feature.request, feature.decision)).collect(),
            Some(checks) => {
                let decide = |request| scope.decide(&request).map(|decision| (request, decision));
                checks.into_iter().map(decide).collect::<Result<_, StoreError>>()?
            }
        };
        let decisions = decided.iter().map(|(request, decision): &(_, Decision)| DecisionJson::new(request, decision)).collect();
        Ok(Answer::on(&scope, &Batch { decisions }))
    }

    /// A document of Stigg's Edge API.
    async fn edge(&self, store: &Store, customer_id: Id, document: Document, request: &Request) -> Result<Answer, Refusal> {
        let query = EdgeQuery::of(&request.query_string_parameters())?;
        if document == Document::Subscriptions {
            let subscriptions = store.subscriptions_of(&customer_id).await?;
            let body = edge::Document::from(edge::Subscriptions::of(&subscriptions, &query.resource_ids));
            return Ok(Answer::of(Some(customer_id), None, &body));
        }
        let scope = Scope::read(store, customer_id, query.resource_id, self.clock.now()).await?;
        let features = scope.features()?;
        let answer = match (document, query.feature_id) {
            (Document::State, _) => Answer::on(&scope, &edge::Document::from(edge::State::of(&scope, &features))),
            (_, None) => Answer::on(&scope, &edge::Document::from(edge::Entitlements::of(&scope, &features))),
            (_, Some(feature_id)) => {
                let asked = AccessRequest { requested_usage: query.requested_usage, ..scope.request(feature_id) };
                let decision = scope.decide(&asked)?;
                let found = features.into_iter().find(|feature| feature.request.feature_id == asked.feature_id);
                let denied = decision.denied;
                let one = match found.map(|feature| Feature { decision, ..feature }) {
                    Some(feature) => OneEntitlement::of(&scope, &feature),
                    None => OneEntitlement::denied(denied),
                };
                let body = edge::Document::from(one);
                Answer { decided: Some(denied), feature_id: Some(asked.feature_id), ..Answer::on(&scope, &body) }
            }
        };
        Ok(answer)
    }

    /// One flag of OpenFeature's protocol.
    async fn flag(&self, store: &Store, body: &[u8], key: String) -> Result<Answer, Refusal> {
        let context = match Context::parse(body) {
            Ok(context) => context,
            Err(error) => return Err(Refusal::Ofrep { key: Some(key), error }),
        };
        let scope = self.scope_of(store, &context).await?;
        match Flag::of(&scope, &context, &key)? {
            Some(flag) => Ok(Answer::on(&scope, &flag)),
            None => Err(Refusal::Ofrep { key: Some(key), error: OfrepError::NotFound }),
        }
    }

    /// All flags of a customer; 304 if they are what the caller has.
    async fn flags(&self, store: &Store, body: &[u8], request: &Request) -> Result<Answer, Refusal> {
        let context = Context::parse(body).map_err(|error| Refusal::Ofrep { key: None, error })?;
        let scope = self.scope_of(store, &context).await?;
        let mut answer = Answer::on(&scope, &Flags::of(&scope, &context)?);
        reply::tag(request, &mut answer.response);
        Ok(answer)
    }

    async fn scope_of(&self, store: &Store, context: &Context) -> Result<Scope, StoreError> {
        Scope::read(store, context.customer_id.clone(), context.resource_id.clone(), self.clock.now()).await
    }
}
