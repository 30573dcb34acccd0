//! Decides whether a customer may use a feature.
//!
//! The path of a request: token → `route` → `request` or `query` → `scope` (read) → decision (`domain::access`) → response in
//! the route's format (`batch`, `edge`, `rest`, `ofrep`).

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
use edge::SingleEntitlement;
use ofrep::{Context, Flag, Flags, OfrepError};
use query::EdgeQuery;
use request::BatchRequest;
use rest::{CheckQuery, CreditEntitlement, FeatureEntitlement, Subject};
use route::{Document, Route, RouteError};
use scope::Scope;

/// Maximum size of a request body in bytes.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// Time limit of a request. After it, the caller gets a 503, never a wrong yes.
const TIME_LIMIT: Duration = Duration::from_millis(1_900);

/// Handles all routes of the function.
#[derive(Debug)]
pub struct CheckAccess {
    store: Store,
    auth: ReaderAuth,
    clock: Clock,
    options: Options,
    recorder: Arc<Recorder>,
}

/// Why a request is refused.
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
    #[error("a paywall needs Stigg's product catalog, which this replica does not have: request paywalls from Stigg")]
    Paywall,
    #[error("the body is larger than {MAX_BODY_BYTES} bytes")]
    TooLarge,
    #[error(transparent)]
    Request(#[from] request::RequestError),
    #[error("the replica's store did not answer, so there is no decision: retry later")]
    Store(#[from] StoreError),
    #[error("the replica's store did not answer in time, so there is no decision: retry later")]
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

    /// For the metric of rejected callers; None if the caller was not rejected.
    fn rejection(&self) -> Option<Rejection> {
        match self {
            Self::Reader(_) if self.status() == StatusCode::UNAUTHORIZED => Some(Rejection::Secret),
            Self::CustomerKey(_) if self.status() == StatusCode::UNAUTHORIZED => Some(Rejection::CustomerKey),
            _ => None,
        }
    }

    fn response(&self) -> Response<Body> {
        let body = ErrorBody { error: self.to_string() };
        match self {
            Self::Route(RouteError::Method(allowed)) => reply::method_not_allowed(allowed, &body),
            // No method is allowed.
            Self::Route(RouteError::NotInReplica) => reply::method_not_allowed("", &body),
            Self::Ofrep { key, error } => reply::json(self.status(), &error.body(key.as_deref())),
            Self::Reader(_) if self.status() == StatusCode::UNAUTHORIZED => reply::unauthorized(&body),
            _ => reply::json(self.status(), &body),
        }
    }
}

#[derive(Serialize)]
struct ErrorBody {
    error: String,
}

/// A response, and its outcome and details for logs and metrics.
struct Answer {
    response: Response<Body>,
    outcome: &'static str,
    details: CheckDetails,
}

/// A decision: None if access is granted, else why it is denied.
type Denial = Option<AccessDeniedReason>;

impl Answer {
    /// A 200. Decisions are part of the body.
    fn ok(customer_id: Option<Id>, resource_id: Option<Id>, body: &impl Serialize) -> Self {
        let details = CheckDetails { customer_id, resource_id, ..CheckDetails::default() };
        Self { response: reply::json(StatusCode::OK, body), outcome: "answered", details }
    }

    /// Records the decisions in the body.
    fn with_decisions(mut self, decisions: impl IntoIterator<Item = Denial>) -> Self {
        self.details.decisions = decisions.into_iter().collect();
        self
    }

    /// Records the only decision in the body, and its feature.
    fn with_check(mut self, feature_id: Id, denied: Denial) -> Self {
        self.details.feature_id = Some(feature_id);
        self.with_decisions([denied])
    }

    /// A 200 about a scope.
    fn ok_for(scope: &Scope, body: &impl Serialize) -> Self {
        Self::ok(Some(scope.customer_id.clone()), scope.resource_id.clone(), body)
    }
}

/// The log fields of a request.
#[derive(Clone, Copy)]
struct RequestFields<'a> {
    request_id: Option<&'a str>,
    method: &'a str,
    path: &'a str,
    route: &'static str,
}

impl CheckAccess {
    /// A handler without optional features, which records to the terminal.
    pub fn new(store: Store, auth: impl Into<ReaderAuth>, clock: Clock) -> Self {
        Self { store, auth: auth.into(), clock, options: Options::default(), recorder: Arc::new(Recorder::terminal()) }
    }

    /// Replaces the options.
    #[must_use]
    pub fn with_options(self, options: Options) -> Self {
        Self { options, ..self }
    }

    /// Replaces the recorder.
    #[must_use]
    pub fn with_recorder(self, recorder: Arc<Recorder>) -> Self {
        Self { recorder, ..self }
    }

    /// Handles an invocation of the function. Errors are responses too.
    pub async fn invoke(&self, event: LambdaEvent<Invocation>) -> Reply {
        let LambdaEvent { payload, context } = event;
        match payload {
            Invocation::Http(event) => {
                let answer = gateway::answer(|request: Request| self.handle(request), LambdaEvent::new(event, context)).await;
                Reply::Http(Box::new(answer))
            }
            Invocation::Authorizer(event) => {
                let fields = RequestFields { request_id: Some(&context.request_id), method: "", path: "", route: "authorizer" };
                let answer = |store| async move { self.authorize(&store, &event).await };
                let denied = |refusal: &Refusal| authorizer::denied(refusal.status(), refusal.to_string());
                Reply::json(self.answer_and_record(fields, answer, denied).await)
            }
            Invocation::Direct(json) => {
                let fields = RequestFields { request_id: Some(&context.request_id), method: "", path: "", route: "invoke" };
                let answer = |store| async move { self.direct(&store, json.get()).await };
                Reply::json(self.answer_and_record(fields, answer, Refusal::response).await)
            }
        }
    }

    /// Handles an HTTP request. `/check-access` responds with 200 (granted) or 403 (denied), the other routes with 200 and the
    /// decisions in the body. A response with any other status has no decision.
    pub async fn handle(&self, request: Request) -> Response<Body> {
        let request = &request;
        let path = request.raw_http_path();
        let from_browser = self.options.browser_keys().and_then(|keys| Some((keys, browser::edge_path(path)?)));
        let route = Route::of(request.method(), from_browser.map_or(path, |(_, edge_path)| edge_path));
        let fields = RequestFields {
            request_id: request.lambda_context_ref().map(|context| context.request_id.as_str()),
            method: request.method().as_str(),
            path,
            route: route.as_ref().map_or("none", Route::template),
        };
        let keys = from_browser.map(|(keys, _)| keys);
        let answer = |store| async move { self.answer(&store, request, route, keys).await };
        let mut response = self.answer_and_record(fields, answer, Refusal::response).await;
        if let (Some(origins), Some(_)) = (&self.options.browser_origins, browser::edge_path(path)) {
            origins.allow(request.headers(), &mut response);
        }
        response
    }

    /// Runs `answer` within the time limit and records the result. `refused` builds the response to a refused request.
    async fn answer_and_record<F, A>(
        &self,
        fields: RequestFields<'_>,
        answer: F,
        refused: impl FnOnce(&Refusal) -> Response<Body>,
    ) -> Response<Body>
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
        let RequestFields { request_id, method, path, route } = fields;
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

    /// `keys` verify a browser's request. None for other requests, which need the token.
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
                return Ok(Answer { response: browser::preflight(), ..Answer::ok(None, None, &()) });
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
            Route::Configuration => Ok(Answer::ok(None, None, &edge::Data::from(edge::Configuration {}))),
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

    /// Decides whether API Gateway may forward a request to another service. Everything but a granting decision denies.
    async fn authorize(&self, store: &Store, event: &AuthorizerEvent) -> Result<Answer, Refusal> {
        let Options { authorizer, customer_keys, .. } = &self.options;
        let authorizer = authorizer.as_ref().ok_or(AuthorizerError::NotConfigured)?;
        let request = authorizer.request(event, customer_keys.as_ref()).await?;
        self.decide(store, request, authorizer::decided).await
    }

    /// One decision: 200 or 403. `write` builds the response.
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

    /// A check, or a list of checks, as plain JSON. Reads each scope once.
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
            let is_scope_of_check =
                |scope: &&Scope| scope.customer_id == check.customer_id && scope.resource_id == check.resource_id;
            if let Some(scope) = scopes.iter().find(is_scope_of_check) {
                decided.push((check, scope.decide(check)?));
            }
        }
        let decisions: Vec<_> = decided.iter().map(|(request, decision)| DecisionJson::new(request, decision)).collect();
        Ok(Answer::ok(None, None, &decisions).with_decisions(decided.iter().map(|(_, decision)| decision.denied)))
    }

    /// The decisions of a batch. Reads its scope once. If one decision fails, the whole batch fails.
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
        Ok(Answer::ok_for(&scope, &Batch { decisions }).with_decisions(decided.iter().map(|(_, decision)| decision.denied)))
    }

    /// A document of Stigg's Edge API.
    async fn edge(&self, store: &Store, customer_id: Id, document: Document, request: &Request) -> Result<Answer, Refusal> {
        let query = EdgeQuery::of(&request.query_string_parameters())?;
        if document == Document::Subscriptions {
            let subscriptions = store.subscriptions_of(&customer_id).await?;
            let body = edge::Data::from(edge::Subscriptions::of(&subscriptions, &query.resource_ids));
            return Ok(Answer::ok(Some(customer_id), None, &body));
        }
        let scope = Scope::read(store, customer_id, query.resource_id, self.clock.now()).await?;
        let mut features = scope.features()?;
        if browser::edge_path(request.raw_http_path()).is_some() {
            features.retain(browser::can_be_shown);
        }
        let answer = match (document, query.feature_id) {
            (Document::State, _) => Answer::ok_for(&scope, &edge::Data::from(edge::State::of(&scope, &features))),
            (_, None) => Answer::ok_for(&scope, &edge::Data::from(edge::Entitlements::of(&scope, &features)))
                .with_decisions(features.iter().map(|feature| feature.decision.denied)),
            (_, Some(feature_id)) => {
                let check = AccessRequest { requested_usage: query.requested_usage, ..scope.request(feature_id) };
                let (denied, feature) = scope.check(&check, features)?;
                let entitlement = match feature {
                    Some(feature) => SingleEntitlement::of(&scope, &feature),
                    None => SingleEntitlement::denied(denied),
                };
                Answer::ok_for(&scope, &edge::Data::from(entitlement)).with_check(check.feature_id, denied)
            }
        };
        Ok(answer)
    }

    /// All entitlements of a scope, in the form of Stigg's REST API.
    async fn rest_entitlements(&self, store: &Store, customer_id: Id, request: &Request) -> Result<Answer, Refusal> {
        let resource_id = query::id(&request.query_string_parameters(), "resourceId")?;
        let scope = Scope::read(store, customer_id, resource_id, self.clock.now()).await?;
        let features = scope.features()?;
        let body = edge::Data::from(rest::Entitlements::of(&scope, &features));
        Ok(Answer::ok_for(&scope, &body).with_decisions(features.iter().map(|feature| feature.decision.denied)))
    }

    /// One entitlement, in the form of Stigg's REST API.
    async fn rest_check(&self, store: &Store, customer_id: Id, request: &Request) -> Result<Answer, Refusal> {
        let CheckQuery { resource_id, subject, requested_usage, requested_values } =
            CheckQuery::of(&request.query_string_parameters())?;
        let scope = Scope::read(store, customer_id, resource_id, self.clock.now()).await?;
        let features = scope.features()?;
        let feature_id = match subject {
            Subject::Feature(feature_id) => feature_id,
            Subject::Currency(currency_id) => {
                let credit = CreditEntitlement::check(&scope, &features, currency_id, requested_usage);
                return Ok(Answer::ok_for(&scope, &edge::Data::from(credit)));
            }
        };
        let check = AccessRequest { requested_usage, requested_values, ..scope.request(feature_id) };
        let (denied, feature) = scope.check(&check, features)?;
        let entitlement = match feature {
            Some(feature) => FeatureEntitlement::of(&scope, &feature),
            None => FeatureEntitlement::denied(denied),
        };
        Ok(Answer::ok_for(&scope, &edge::Data::from(entitlement)).with_check(check.feature_id, denied))
    }

    /// One flag of the OpenFeature protocol.
    async fn flag(&self, store: &Store, body: &[u8], key: String) -> Result<Answer, Refusal> {
        let context = match Context::parse(body) {
            Ok(context) => context,
            Err(error) => return Err(Refusal::Ofrep { key: Some(key), error }),
        };
        let scope = self.scope_of(store, &context).await?;
        match Flag::of(&scope, &context, &key)? {
            Some(flag) => Ok(Answer::ok_for(&scope, &flag).with_decisions(flag.decision)),
            None => Err(Refusal::Ofrep { key: Some(key), error: OfrepError::NotFound }),
        }
    }

    /// All flags of a customer; 304 if the caller's ETag matches.
    async fn flags(&self, store: &Store, body: &[u8], request: &Request) -> Result<Answer, Refusal> {
        let context = Context::parse(body).map_err(|error| Refusal::Ofrep { key: None, error })?;
        let scope = self.scope_of(store, &context).await?;
        let flags = Flags::of(&scope, &context)?;
        let mut answer = Answer::ok_for(&scope, &flags).with_decisions(flags.decisions());
        reply::tag(request, &mut answer.response);
        Ok(answer)
    }

    async fn scope_of(&self, store: &Store, context: &Context) -> Result<Scope, StoreError> {
        Scope::read(store, context.customer_id.clone(), context.resource_id.clone(), self.clock.now()).await
    }
}
