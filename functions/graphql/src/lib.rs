//! GraphQL queries of the replica, and the GraphiQL page.
//!
//! The path of a query: `http` (request) → `run` → `document` (validation, plan) → `schema` (resolvers) → `page` (lists)
//! → `load` (batched reads) → `reads` → the store.
#![allow(missing_docs)]

mod column;
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
mod subscription_batch;

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
    telemetry::{self, Details, QueryDetails, Recorder, Rejection, RequestRecord, StoreUse},
};
use store::{Projection, Store, StoreCost};

pub use options::{Limits, Options, OptionsError};

use crate::{
    http::{Batch, MediaType, RequestError},
    load::Loaders,
    reads::Reads,
    run::{Answer, GraphqlRequest, error_json},
};

/// Handles requests to /graphql and /graphiql.
pub struct Graphql {
    store: Store,
    auth: ReaderAuth,
    options: Options,
    clock: Clock,
    recorder: Arc<Recorder>,
    schema: schema::Schema,
    types: document::Types,
}

impl std::fmt::Debug for Graphql {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Graphql").field("options", &self.options).finish_non_exhaustive()
    }
}

/// What is logged about a request, without variables, values or ids.
#[derive(Debug, Default)]
struct LogFields {
    details: QueryDetails,
    store_failed: bool,
}

/// The schema in schema definition language, as in schema.graphql.
pub fn sdl() -> String {
    let options = async_graphql::SDLExportOptions::new().prefer_single_line_descriptions();
    schema::build(&Options::default()).sdl_with_options(options)
}

impl Graphql {
    pub fn new(store: Store, auth: impl Into<ReaderAuth>, options: Options) -> Self {
        let schema = schema::build(&options);
        let recorder = Arc::new(Recorder::terminal());
        let types = document::Types::new();
        Self { store, auth: auth.into(), options, clock: Clock::system(), recorder, schema, types }
    }

    /// Replaces the recorder, which writes to the terminal by default.
    #[must_use]
    pub fn with_recorder(mut self, recorder: Arc<Recorder>) -> Self {
        self.recorder = recorder;
        self
    }

    /// The clock decides which usage period is the current one.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Handles a request. Errors are responses too.
    pub async fn handle(&self, request: Request) -> Response<Body> {
        self.handle_with_cost(request).await.0
    }

    /// Like [`Self::handle`], and returns the cost of the DynamoDB requests.
    pub async fn handle_with_cost(&self, request: Request) -> (Response<Body>, StoreCost) {
        let started = Instant::now();
        let store = self.store.with_cost_tracking();
        let mut fields = LogFields::default();
        let mut response = self.answer(&request, &store, &mut fields).await;
        if let Some(origin) = self.options.cors_origin.as_deref().and_then(|origin| origin.parse().ok()) {
            let headers = response.headers_mut();
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(header::VARY, HeaderValue::from_static("origin"));
        }
        let status = response.status();
        fields.details.bytes = response.body().len();
        let outcome = if status.is_server_error() {
            "failed"
        } else if status.is_client_error() {
            "refused"
        } else {
            "answered"
        };
        self.recorder.record(&RequestRecord {
            request_id: request.lambda_context_ref().map(|context| context.request_id.as_str()),
            method: request.method().as_str(),
            path: request.raw_http_path(),
            route: if graphiql::is_page_request(&request) { "/graphiql" } else { "/graphql" },
            status: Some(status.as_u16()),
            outcome,
            details: Details::Query(&fields.details),
            store: StoreUse::of(&store),
            store_failed: fields.store_failed,
            rejected: (status == StatusCode::UNAUTHORIZED).then_some(Rejection::Secret),
            milliseconds: telemetry::milliseconds(started.elapsed()),
            problem: None,
            is_routine: outcome == "answered" && fields.details.errors == 0,
        });
        (response, store.cost())
    }

    async fn answer(&self, request: &Request, store: &Store, fields: &mut LogFields) -> Response<Body> {
        if let Err(malformed) = gateway::check(request) {
            return respond(MediaType::Json, StatusCode::BAD_REQUEST, error_json(&malformed.to_string(), "BAD_REQUEST"));
        }
        if graphiql::is_page_request(request) {
            return graphiql::answer(request, self.options.graphiql);
        }
        if request.method() == Method::OPTIONS && self.options.cors_origin.is_some() {
            return preflight();
        }
        if let Err(refusal) = self.auth.admits(request).await {
            return auth_error(refusal);
        }
        let batch = match *request.method() {
            Method::GET => http::parse_get(request),
            Method::POST => http::parse_post(request, &self.options.limits),
            _ => return method_not_allowed(),
        };
        let media_type = MediaType::accepted(request.headers());
        match batch {
            Err(RequestError { status, message }) => respond(media_type, status, error_json(&message, "BAD_REQUEST")),
            Ok(batch) => self.run(batch, media_type, store, fields).await,
        }
    }

    async fn run(&self, batch: Batch, media_type: MediaType, store: &Store, fields: &mut LogFields) -> Response<Body> {
        let limits = &self.options.limits;
        let Batch { requests, is_array } = batch;
        fields.details.queries = requests.len();
        let prepare = |request: Result<GraphqlRequest, RequestError>| match request {
            Ok(request) => run::prepare(request, &self.types, &self.options),
            Err(error) => Err(Answer::rejected(&error.message, "BAD_REQUEST")),
        };
        let prepared: Vec<_> = requests.into_iter().map(prepare).collect();
        let parts = prepared.iter().flatten().map(run::Prepared::parts).max().unwrap_or(Projection::Versions);
        let loaders = Arc::new(Loaders::new(Reads::new(store.clone()), limits.clone(), self.clock.now(), parts));
        let runs = prepared.into_iter().map(|prepared| async {
            match prepared {
                Ok(prepared) => run::run(&self.schema, &loaders, prepared).await,
                Err(rejected) => rejected,
            }
        });
        let Ok(answers) = tokio::time::timeout(limits.time, join_all(runs)).await else {
            fields.details.errors += 1;
            let message =
                format!("the request exceeded the time limit of {} seconds: request fewer rows or fields", limits.time.as_secs());
            return respond(media_type, StatusCode::GATEWAY_TIMEOUT, error_json(&message, "TIMEOUT"));
        };
        let operations: Vec<&str> = answers.iter().filter_map(|answer| answer.operation.as_deref()).collect();
        fields.details.operation = Some(operations.join(",")).filter(|operations| !operations.is_empty());
        fields.details.errors = answers.iter().map(|answer| answer.errors).sum();
        fields.store_failed = answers.iter().any(|answer| answer.store_failed);
        let was_executed = answers.iter().all(|answer| answer.was_executed);
        let body = join(answers, is_array);
        if exceeds_lambda_limit(&body, limits.answer) {
            fields.details.errors += 1;
            return respond(media_type, status(false, is_array, media_type), Answer::too_large().json);
        }
        respond(media_type, status(was_executed, is_array, media_type), body)
    }
}

/// The status of a well-formed request. Only a single query in the media type application/graphql-response+json gets 400
/// if it is invalid.
fn status(was_executed: bool, is_array: bool, media_type: MediaType) -> StatusCode {
    if was_executed || is_array || media_type == MediaType::Json { StatusCode::OK } else { StatusCode::BAD_REQUEST }
}

fn join(answers: Vec<Answer>, is_array: bool) -> String {
    if is_array {
        let all: Vec<&str> = answers.iter().map(|answer| answer.json.as_str()).collect();
        format!("[{}]", all.join(","))
    } else {
        answers.into_iter().map(|answer| answer.json).collect()
    }
}

/// Whether the body is larger than `limit` bytes as a JSON string, which it is in Lambda's response.
fn exceeds_lambda_limit(body: &str, limit: usize) -> bool {
    let escaped = || body.bytes().filter(|byte| matches!(byte, b'"' | b'\\')).count();
    // Escaping at most doubles the length.
    body.len() > limit / 2 && body.len() + escaped() > limit
}

fn respond(media_type: MediaType, status: StatusCode, body: String) -> Response<Body> {
    let mut response = reply::json(status, &());
    *response.body_mut() = Body::Text(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type.content_type()));
    response
}

fn auth_error(refusal: ReaderRefusal) -> Response<Body> {
    let status = refusal.status();
    let is_unauthorized = status == StatusCode::UNAUTHORIZED;
    let code = if is_unauthorized { "UNAUTHENTICATED" } else { "SERVICE_UNAVAILABLE" };
    let mut response = respond(MediaType::Json, status, error_json(&refusal.to_string(), code));
    if is_unauthorized {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn method_not_allowed() -> Response<Body> {
    let body = error_json("method not allowed: use GET or POST", "BAD_REQUEST");
    let mut response = respond(MediaType::Json, StatusCode::METHOD_NOT_ALLOWED, body);
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
    fn escaped_characters_count_twice() {
        let quotes = "\"".repeat(6);
        for (body, limit, exceeds) in [
            (quotes.as_str(), 12, false),
            (&quotes, 11, true),
            (&quotes, 5, true),
            ("a\\b", 4, false),
            ("a\\b", 3, true),
            ("abc", 3, false),
        ] {
            assert_eq!(exceeds_lambda_limit(body, limit), exceeds, "{body} in {limit}");
        }
    }
}
