//! Answers GraphQL queries over the replica, and serves GraphiQL.
//!
//! The way of a query: [`http`] → [`run`] → [`schema`] → [`page`] → [`load`] → the store.

mod document;
mod error;
mod graphiql;
mod guard;
mod http;
mod json;
mod load;
mod options;
mod page;
mod reads;
mod row;
mod run;
mod schema;
mod siblings;

use std::{sync::Arc, time::Instant};

use futures_util::future::join_all;

use lambda_http::{
    Body, Request, RequestExt as _, Response,
    http::{HeaderValue, Method, StatusCode, header},
};
use runtime::{
    clock::Clock,
    gateway,
    reader::{ReaderAuth, ReaderRefusal},
    reply,
    telemetry::{self, MetricSet},
};
use store::{Projection, Store, StoreCost};

pub use options::{Limits, Options, OptionsError};

use crate::{
    http::{Media, Queries, Unreadable},
    load::Loaders,
    reads::Reads,
    run::{Answer, GraphqlRequest, error_json},
};

/// The function's metrics.
pub static METRICS: MetricSet = MetricSet { function: "graphql", own: &[] };

/// The function: answers requests to /graphql and /graphiql.
pub struct Graphql {
    store: Store,
    auth: ReaderAuth,
    options: Options,
    clock: Clock,
    schema: schema::Schema,
    types: document::Types,
}

impl std::fmt::Debug for Graphql {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Graphql").field("options", &self.options).finish_non_exhaustive()
    }
}

/// What is known of a request when its line is logged: no variable, no value, nobody's id.
#[derive(Debug, Default)]
struct Seen {
    operation: Option<String>,
    queries: usize,
    errors: usize,
    store_failed: bool,
}

/// The schema in the schema definition language, as it is committed.
pub fn sdl() -> String {
    let options = async_graphql::SDLExportOptions::new().prefer_single_line_descriptions();
    schema::build(&Options::default()).sdl_with_options(options)
}

impl Graphql {
    /// Answers from this store those who may read.
    pub fn new(store: Store, auth: impl Into<ReaderAuth>, options: Options) -> Self {
        let schema = schema::build(&options);
        Self { store, auth: auth.into(), options, clock: Clock::system(), schema, types: document::Types::of_schema() }
    }

    /// The same with another clock, which usage counts by.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Answers a request; whatever goes wrong is an answer too.
    pub async fn handle(&self, request: Request) -> Response<Body> {
        self.handle_metered(request).await.0
    }

    /// Answers a request, and says what it spent on DynamoDB.
    pub async fn handle_metered(&self, request: Request) -> (Response<Body>, StoreCost) {
        let started = Instant::now();
        let store = self.store.with_cost_tracking();
        let mut seen = Seen::default();
        let mut response = self.answer(&request, &store, &mut seen).await;
        if let Some(origin) = self.options.cors_origin.as_deref().and_then(|origin| origin.parse().ok()) {
            let headers = response.headers_mut();
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(header::VARY, HeaderValue::from_static("origin"));
        }
        let spent = store.cost();
        let status = response.status();
        tracing::info!(
            target: telemetry::REQUEST,
            request_id = request.lambda_context_ref().map(|context| context.request_id.as_str()),
            status = status.as_u16(),
            operation = seen.operation,
            queries = seen.queries,
            errors = seen.errors,
            bytes = response.body().len(),
            store_failed = seen.store_failed.then_some(true),
            secret_rejected = (status == StatusCode::UNAUTHORIZED).then_some(true),
            dynamodb_requests = spent.requests,
            dynamodb_capacity = spent.capacity,
            dynamodb_milliseconds = (spent.requests > 0).then(|| telemetry::milliseconds(store.time_in_flight())),
            milliseconds = telemetry::milliseconds(started.elapsed()),
            Function = METRICS.function,
            "{} answered",
            if graphiql::is_asked(&request) { "graphiql" } else { "graphql" }
        );
        (response, spent)
    }

    async fn answer(&self, request: &Request, store: &Store, seen: &mut Seen) -> Response<Body> {
        if let Err(malformed) = gateway::check(request) {
            return respond(Media::Json, StatusCode::BAD_REQUEST, error_json(&malformed.to_string(), "BAD_REQUEST"));
        }
        if graphiql::is_asked(request) {
            return graphiql::answer(request, self.options.graphiql);
        }
        if request.method() == Method::OPTIONS && self.options.cors_origin.is_some() {
            return preflight();
        }
        if let Err(refusal) = self.auth.admits(request).await {
            return not_admitted(refusal);
        }
        let queries = match *request.method() {
            Method::GET => http::of_get(request),
            Method::POST => http::of_post(request, &self.options.limits),
            _ => return method_not_allowed(),
        };
        let media = Media::accepted(request.headers());
        match queries {
            Err(Unreadable { status, message }) => respond(media, status, error_json(&message, "BAD_REQUEST")),
            Ok(queries) => self.run(queries, media, store, seen).await,
        }
    }

    async fn run(&self, queries: Queries, media: Media, store: &Store, seen: &mut Seen) -> Response<Body> {
        let limits = &self.options.limits;
        let Queries { each, is_batch } = queries;
        seen.queries = each.len();
        let prepare = |request: Result<GraphqlRequest, Unreadable>| match request {
            Ok(request) => run::prepare(request, &self.types, &self.options),
            Err(unreadable) => Err(Answer::refused(&unreadable.message, "BAD_REQUEST")),
        };
        let prepared: Vec<_> = each.into_iter().map(prepare).collect();
        let parts = prepared.iter().flatten().map(|prepared| prepared.parts).max().unwrap_or(Projection::Versions);
        let loaders = Arc::new(Loaders::new(Reads::new(store.clone()), limits.clone(), self.clock.now(), parts));
        let runs = prepared.into_iter().map(|prepared| async {
            match prepared {
                Ok(prepared) => run::run(&self.schema, &loaders, prepared).await,
                Err(refused) => refused,
            }
        });
        let Ok(answers) = tokio::time::timeout(limits.time, join_all(runs)).await else {
            seen.errors += 1;
            let message = format!("the time limit of {} seconds has passed: ask for less", limits.time.as_secs());
            return respond(media, StatusCode::GATEWAY_TIMEOUT, error_json(&message, "TIMEOUT"));
        };
        let operations: Vec<&str> = answers.iter().filter_map(|answer| answer.operation.as_deref()).collect();
        seen.operation = Some(operations.join(",")).filter(|operations| !operations.is_empty());
        seen.errors = answers.iter().map(|answer| answer.errors).sum();
        seen.store_failed = answers.iter().any(|answer| answer.store_failed);
        let was_executed = answers.iter().all(|answer| answer.was_executed);
        let body = join(answers, is_batch);
        if is_longer_in_lambda(&body, limits.answer) {
            seen.errors += 1;
            return respond(media, status(false, is_batch, media), Answer::too_large().json);
        }
        respond(media, status(was_executed, is_batch, media), body)
    }
}

/// The status of queries that were well-formed requests: the newer media type tells by it whether
/// one was refused; the older one, and a batch, do not.
fn status(was_executed: bool, is_batch: bool, media: Media) -> StatusCode {
    if was_executed || is_batch || media == Media::Json { StatusCode::OK } else { StatusCode::BAD_REQUEST }
}

fn join(answers: Vec<Answer>, is_batch: bool) -> String {
    if is_batch {
        let all: Vec<&str> = answers.iter().map(|answer| answer.json.as_str()).collect();
        format!("[{}]", all.join(","))
    } else {
        answers.into_iter().map(|answer| answer.json).collect()
    }
}

/// Whether a body has more bytes than this within Lambda's own answer, where it is a JSON string.
fn is_longer_in_lambda(body: &str, limit: usize) -> bool {
    let escaped = || body.bytes().filter(|byte| matches!(byte, b'"' | b'\\')).count();
    // At most each byte becomes two.
    body.len() > limit / 2 && body.len() + escaped() > limit
}

fn respond(media: Media, status: StatusCode, body: String) -> Response<Body> {
    let mut response = reply::json(status, &());
    *response.body_mut() = Body::Text(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media.content_type()));
    response
}

fn not_admitted(refusal: ReaderRefusal) -> Response<Body> {
    let status = refusal.status();
    let is_unauthorized = status == StatusCode::UNAUTHORIZED;
    let code = if is_unauthorized { "UNAUTHENTICATED" } else { "SERVICE_UNAVAILABLE" };
    let mut response = respond(Media::Json, status, error_json(&refusal.to_string(), code));
    if is_unauthorized {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn method_not_allowed() -> Response<Body> {
    let body = error_json("queries come by GET or POST", "BAD_REQUEST");
    let mut response = respond(Media::Json, StatusCode::METHOD_NOT_ALLOWED, body);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, POST"));
    response
}

fn preflight() -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("authorization, content-type"));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_as_long_as_it_is_within_lambdas_answer() {
        let quotes = "\"".repeat(6);
        for (body, limit, is_longer) in [
            (quotes.as_str(), 12, false),
            (&quotes, 11, true),
            (&quotes, 5, true),
            ("a\\b", 4, false),
            ("a\\b", 3, true),
            ("abc", 3, false),
        ] {
            assert_eq!(is_longer_in_lambda(body, limit), is_longer, "{body} in {limit}");
        }
    }
}
