//! Decides whether a customer may use a feature: token, route, request, read, decision, answer.

mod authorizer;
mod batch;
mod browser;
mod customer_key;
mod edge;
mod invocation;
mod ofrep;
mod options;
mod query;
mod request;
mod rest;
mod route;
mod scope;

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use domain::{
    access::{self, AccessDeniedReason, AccessRequest, Decision, DecisionJson},
    id::Id,
};
use futures_util::future::try_join_all;
use lambda_http::{
    Body, LambdaEvent, Request, RequestExt as _, Response,
    http::{Method, StatusCode},
};
use runtime::{
    clock::Clock,
    gateway::{self, Malformed},
    reader::{ReaderAuth, ReaderRefusal},
    reply,
    telemetry::{self, CheckDetails, Decisions, Details, Recorder, Rejection, RequestRecord, StoreUse},
};
use serde::Serialize;
use store::{Store, StoreError};

pub use authorizer::Authorizer;
pub use browser::BrowserOrigins;
pub use customer_key::SigningSecret;
pub use invocation::{Invocation, Reply};
pub use options::Options;

use authorizer::{AuthorizerError, AuthorizerEvent};
use batch::Batch;
use customer_key::{CustomerKeyError, CustomerKeys};
use edge::OneEntitlement;
use ofrep::{Context, Flag, Flags, OfrepError};
use query::EdgeQuery;
use request::BatchRequest;
use rest::{CheckQuery, CreditEntitlement, FeatureEntitlement, Subject};
use route::{Document, Route, RouteError};
use scope::{Feature, Scope};

/// The most bytes that a body may have.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// When a check gives up: its caller waits for it. Never a wrong yes: 503.
const TIME_LIMIT: Duration = Duration::from_millis(1_900);

/// The handler of all routes.
#[derive(Debug)]
pub struct CheckAccess {
    store: Store,
    auth: ReaderAuth,
    clock: Clock,
    options: Options,
    recorder: Arc<Recorder>,
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error(transparent)]
    Reader(#[from] ReaderRefusal),
    #[error(transparent)]
    CustomerKey(#[from] CustomerKeyError),
    #[error(transparent)]
    Authorizer(#[from] AuthorizerError),
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
            Self::CustomerKey(error) => error.status(),
            Self::Authorizer(error) => error.status(),
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
            Self::CustomerKey(error) => error.label(),
            Self::Authorizer(error) => error.label(),
            Self::Route(error) => error.label(),
            Self::Paywall => "path_rejected",
            Self::TooLarge => "too_large",
            Self::Request(_) => "request_rejected",
            Self::Store(error) => error.label(),
            Self::TimedOut => "timed_out",
        }
    }

    /// Why the caller was rejected, for the counts of rejected callers.
    fn rejection(&self) -> Option<Rejection> {
        match self {
            Self::Reader(_) if self.status() == StatusCode::UNAUTHORIZED => Some(Rejection::Secret),
            Self::CustomerKey(_) if self.status() == StatusCode::UNAUTHORIZED => Some(Rejection::CustomerKey),
            _ => None,
        }
    }

    fn response(&self) -> Response<Body> {
        let body = Refused { error: self.to_string() };
        match self {
            Self::Route(RouteError::Method(allowed)) => reply::method_not_allowed(allowed, &body),
            // No method is allowed there.
            Self::Route(RouteError::Stigg) => reply::method_not_allowed("", &body),
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

/// An answer, and what is recorded of it.
struct Answer {
    response: Response<Body>,
    outcome: &'static str,
    details: CheckDetails,
}

/// Why a decision is a denial; None if access is granted.
type Reason = Option<AccessDeniedReason>;

impl Answer {
    /// 200, decisions being parts of the body.
    fn of(customer_id: Option<Id>, resource_id: Option<Id>, body: &impl Serialize) -> Self {
        let details = CheckDetails { customer_id, resource_id, ..CheckDetails::default() };
        Self { response: reply::json(StatusCode::OK, body), outcome: "answered", details }
    }

    /// The same with decisions that the body holds.
    fn with_decisions(mut self, decisions: impl IntoIterator<Item = Reason>) -> Self {
        self.details.decisions = decisions.into_iter().collect();
        self
    }

    /// The same on a scope.
    fn on(scope: &Scope, body: &impl Serialize) -> Self {
        Self::of(Some(scope.customer_id.clone()), scope.resource_id.clone(), body)
    }
}

/// How the function was called.
#[derive(Clone, Copy)]
struct Call<'a> {
    request_id: Option<&'a str>,
    method: &'a str,
    path: &'a str,
    route: &'static str,
}

impl CheckAccess {
    /// A handler that decides by this store, for those who may read.
    pub fn new(store: Store, auth: impl Into<ReaderAuth>, clock: Clock) -> Self {
        Self { store, auth: auth.into(), clock, options: Options::default(), recorder: Arc::new(Recorder::terminal()) }
    }

    /// The same with what is off by default.
    #[must_use]
    pub fn with_options(self, options: Options) -> Self {
        Self { options, ..self }
    }

    /// The same with another recorder than the terminal.
    #[must_use]
    pub fn with_recorder(self, recorder: Arc<Recorder>) -> Self {
        Self { recorder, ..self }
    }

    /// Answers an invocation of the function.
    pub async fn invoke(&self, event: LambdaEvent<Invocation>) -> Reply {
        let LambdaEvent { payload, context } = event;
        match payload {
            Invocation::Http(event) => {
                let answer = gateway::answer(|request: Request| self.handle(request), LambdaEvent::new(event, context)).await;
                Reply::Http(Box::new(answer))
            }
            Invocation::Authorizer(event) => {
                let call = Call { request_id: Some(&context.request_id), method: "", path: "", route: "authorizer" };
                let answer = |store| async move { self.authorize(&store, &event).await };
                let denied = |refusal: &Refusal| authorizer::denied(refusal.status(), refusal.to_string());
                Reply::json(self.recorded(call, answer, denied).await)
            }
            Invocation::Direct(json) => {
                let call = Call { request_id: Some(&context.request_id), method: "", path: "", route: "invoke" };
                let answer = |store| async move { self.direct(&store, json.get()).await };
                Reply::json(self.recorded(call, answer, Refusal::response).await)
            }
        }
    }

    /// Answers a request. At `/check-access` 200 grants, 403 denies, both with the decision; elsewhere a denial is a
    /// part of a 200. Anything else is no decision.
    pub async fn handle(&self, request: Request) -> Response<Body> {
        let request = &request;
        let path = request.raw_http_path();
        let from_browser = self.options.browser().and_then(|keys| Some((keys, browser::path(path)?)));
        let route = Route::of(request.method(), from_browser.map_or(path, |(_, path)| path));
        let call = Call {
            request_id: request.lambda_context_ref().map(|context| context.request_id.as_str()),
            method: request.method().as_str(),
            path,
            route: route.as_ref().map_or("none", Route::template),
        };
        let keys = from_browser.map(|(keys, _)| keys);
        let answer = |store| async move { self.answer(&store, request, route, keys).await };
        let mut response = self.recorded(call, answer, Refusal::response).await;
        if let (Some(origins), Some(_)) = (&self.options.browser_origins, browser::path(path)) {
            origins.allow(request.headers(), &mut response);
        }
        response
    }

    /// Answers in time, and records the answer. `refused` writes a refusal.
    async fn recorded<F, A>(&self, call: Call<'_>, answer: F, refused: impl FnOnce(&Refusal) -> Response<Body>) -> Response<Body>
    where
        F: FnOnce(Store) -> A,
        A: Future<Output = Result<Answer, Refusal>>,
    {
        let start = Instant::now();
        let store = self.store.with_cost_tracking();
        let answered = tokio::time::timeout(TIME_LIMIT, answer(store.clone())).await;
        let result = answered.unwrap_or(Err(Refusal::TimedOut));
        let is_routine = result.is_ok();
        let store_failed = matches!(result, Err(Refusal::Store(_) | Refusal::TimedOut));
        let problem = match &result {
            Err(Refusal::Store(error)) => Some(error.to_string()),
            _ => None,
        };
        let rejected = result.as_ref().err().and_then(Refusal::rejection);
        let Answer { response, outcome, details } = result.unwrap_or_else(|refusal| Answer {
            response: refused(&refusal),
            outcome: refusal.label(),
            details: CheckDetails::default(),
        });
        let Call { request_id, method, path, route } = call;
        let status = response.status();
        self.recorder.record(&RequestRecord {
            request_id,
            method,
            path,
            route,
            status: Some(status.as_u16()),
            outcome,
            details: Details::Check(&details),
            store: StoreUse::of(&store),
            store_failed,
            rejected,
            milliseconds: telemetry::milliseconds(start.elapsed()),
            problem: problem.as_deref(),
            is_routine,
        });
        response
    }

    /// `keys` are those that a browser's request is signed with; None for other requests.
    async fn answer(
        &self,
        store: &Store,
        request: &Request,
        route: Result<Route, RouteError>,
        keys: Option<&CustomerKeys>,
    ) -> Result<Answer, Refusal> {
        gateway::check(request)?;
        let route = match keys {
            Some(_) if request.method() == Method::OPTIONS => {
                return Ok(Answer { response: browser::preflight(), ..Answer::of(None, None, &()) });
            }
            Some(keys) => {
                let route = route?;
                browser::admits(keys, request, &route).await?;
                route
            }
            None => {
                self.auth.admits_api_key(request).await?;
                route?
            }
        };
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
            Route::RestEntitlements(customer_id) => self.rest_entitlements(store, customer_id, request).await,
            Route::RestCheck(customer_id) => self.rest_check(store, customer_id, request).await,
            Route::Flag(key) => self.flag(store, body, key).await,
            Route::Flags => self.flags(store, body, request).await,
        }
    }

    async fn check(&self, store: &Store, body: &[u8]) -> Result<Answer, Refusal> {
        let write = |status, request: &_, decision: &_| reply::json(status, &DecisionJson::new(request, decision));
        self.decide(store, request::parse(body)?, write).await
    }

    /// Whether a request to another service may pass. Nothing passes without a decision that grants.
    async fn authorize(&self, store: &Store, event: &AuthorizerEvent) -> Result<Answer, Refusal> {
        let Options { authorizer, customer_keys, .. } = &self.options;
        let authorizer = authorizer.as_ref().ok_or(AuthorizerError::NotConfigured)?;
        let request = authorizer.request(event, customer_keys.as_ref()).await?;
        self.decide(store, request, authorizer::decided).await
    }

    /// One decision: 200 or 403, with the body that `write` makes of it.
    async fn decide(
        &self,
        store: &Store,
        request: AccessRequest,
        write: impl FnOnce(StatusCode, &AccessRequest, &Decision) -> Response<Body>,
    ) -> Result<Answer, Refusal> {
        let view = store.access_view(&request).await?;
        let decision = access::decide(&view, &request, self.clock.now());
        let (status, outcome) = match decision.denied {
            None => (StatusCode::OK, "granted"),
            Some(reason) => (StatusCode::FORBIDDEN, reason.as_str()),
        };
        Ok(Answer {
            response: write(status, &request, &decision),
            outcome,
            details: CheckDetails {
                customer_id: Some(request.customer_id),
                feature_id: Some(request.feature_id),
                resource_id: request.resource_id,
                decisions: Decisions::from_iter([decision.denied]),
            },
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
        Ok(Answer::of(None, None, &decisions).with_decisions(decided.iter().map(|(_, decision)| decision.denied)))
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
        Ok(Answer::on(&scope, &Batch { decisions }).with_decisions(decided.iter().map(|(_, decision)| decision.denied)))
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
        let mut features = scope.features()?;
        if browser::path(request.raw_http_path()).is_some() {
            features.retain(browser::can_be_shown);
        }
        let answer = match (document, query.feature_id) {
            (Document::State, _) => Answer::on(&scope, &edge::Document::from(edge::State::of(&scope, &features))),
            (_, None) => Answer::on(&scope, &edge::Document::from(edge::Entitlements::of(&scope, &features)))
                .with_decisions(features.iter().map(|feature| feature.decision.denied)),
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
                let mut answer = Answer::on(&scope, &body).with_decisions([denied]);
                answer.details.feature_id = Some(asked.feature_id);
                answer
            }
        };
        Ok(answer)
    }

    /// The entitlements of a scope, as Stigg's REST API answers them.
    async fn rest_entitlements(&self, store: &Store, customer_id: Id, request: &Request) -> Result<Answer, Refusal> {
        let resource_id = query::id(&request.query_string_parameters(), "resourceId")?;
        let scope = Scope::read(store, customer_id, resource_id, self.clock.now()).await?;
        let features = scope.features()?;
        let body = edge::Document::from(rest::Entitlements::of(&scope, &features));
        Ok(Answer::on(&scope, &body).with_decisions(features.iter().map(|feature| feature.decision.denied)))
    }

    /// One entitlement, as Stigg's REST API answers it.
    async fn rest_check(&self, store: &Store, customer_id: Id, request: &Request) -> Result<Answer, Refusal> {
        let CheckQuery { resource_id, subject, requested_usage, requested_values } =
            CheckQuery::of(&request.query_string_parameters())?;
        let scope = Scope::read(store, customer_id, resource_id, self.clock.now()).await?;
        let features = scope.features()?;
        let feature_id = match subject {
            Subject::Feature(feature_id) => feature_id,
            Subject::Currency(currency_id) => {
                let credit = CreditEntitlement::check(&scope, &features, currency_id, requested_usage);
                return Ok(Answer::on(&scope, &edge::Document::from(credit)));
            }
        };
        let asked = AccessRequest { requested_usage, requested_values, ..scope.request(feature_id) };
        let decision = scope.decide(&asked)?;
        let denied = decision.denied;
        let found = features.into_iter().find(|feature| feature.request.feature_id == asked.feature_id);
        let one = match found.map(|feature| Feature { decision, ..feature }) {
            Some(feature) => FeatureEntitlement::of(&scope, &feature),
            None => FeatureEntitlement::denied(denied),
        };
        let body = edge::Document::from(one);
        let mut answer = Answer::on(&scope, &body).with_decisions([denied]);
        answer.details.feature_id = Some(asked.feature_id);
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
            Some(flag) => Ok(Answer::on(&scope, &flag).with_decisions(flag.decided)),
            None => Err(Refusal::Ofrep { key: Some(key), error: OfrepError::NotFound }),
        }
    }

    /// All flags of a customer; 304 if they are what the caller has.
    async fn flags(&self, store: &Store, body: &[u8], request: &Request) -> Result<Answer, Refusal> {
        let context = Context::parse(body).map_err(|error| Refusal::Ofrep { key: None, error })?;
        let scope = self.scope_of(store, &context).await?;
        let flags = Flags::of(&scope, &context)?;
        let mut answer = Answer::on(&scope, &flags).with_decisions(flags.decided());
        reply::tag(request, &mut answer.response);
        Ok(answer)
    }

    async fn scope_of(&self, store: &Store, context: &Context) -> Result<Scope, StoreError> {
        Scope::read(store, context.customer_id.clone(), context.resource_id.clone(), self.clock.now()).await
    }
}
