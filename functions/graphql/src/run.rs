//! Validates, plans and executes one query.

use std::sync::Arc;

use async_graphql::{Request, ServerError, parser::parse_query};
use serde_json::Map;
use store::Projection;

use crate::{
    document::{self, Plan, TooLong, Types},
    error::ApiError,
    guard::{self, QueryRejection},
    load::Loaders,
    options::Options,
    schema::Schema,
};

#[derive(Debug, Default)]
pub(crate) struct GraphqlRequest {
    pub(crate) query: String,
    pub(crate) operation_name: Option<String>,
    pub(crate) variables: Map<String, serde_json::Value>,
}

/// The response to one query.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) json: String,
    /// False if the query was rejected.
    pub(crate) was_executed: bool,
    pub(crate) errors: usize,
    pub(crate) store_failed: bool,
    /// The operation's name, for the log.
    pub(crate) operation: Option<String>,
}

/// A response body with one error and no data.
pub(crate) fn error_json(message: &str, code: &str) -> String {
    serde_json::json!({"errors": [{"message": message, "extensions": {"code": code}}]}).to_string()
}

impl Answer {
    /// A query that is not executed.
    pub(crate) fn rejected(message: &str, code: &str) -> Self {
        Self { json: error_json(message, code), was_executed: false, errors: 1, store_failed: false, operation: None }
    }

    pub(crate) fn too_large() -> Self {
        Self::rejected(
            "the response would be larger than Lambda's limit of 6 MB: request fewer rows or fields",
            "ANSWER_TOO_LARGE",
        )
    }

    fn invalid(error: ServerError, code: &str) -> Self {
        let error = serde_json::to_string(&with_code(error, code)).unwrap_or_default();
        let json = format!("{{\"errors\":[{error}]}}");
        Self { json, was_executed: false, errors: 1, store_failed: false, operation: None }
    }
}

impl From<QueryRejection> for Answer {
    fn from(rejection: QueryRejection) -> Self {
        Self::rejected(&rejection.to_string(), rejection.code())
    }
}

/// A valid query within the limits.
#[derive(Debug)]
pub(crate) struct Prepared<'t> {
    plan: Plan<'t>,
    operation: Option<String>,
}

impl Prepared<'_> {
    /// The parts of customers that the query reads.
    pub(crate) fn parts(&self) -> Projection {
        self.plan.parts
    }
}

/// Validates and plans a query.
pub(crate) fn prepare<'t>(request: GraphqlRequest, types: &'t Types, options: &Options) -> Result<Prepared<'t>, Answer> {
    let GraphqlRequest { query, operation_name, variables } = request;
    let limits = &options.limits;
    let query = guard::scan(&query)?;
    let document = parse_query(&query).map_err(|error| Answer::invalid(error.into(), "GRAPHQL_PARSE_FAILED"))?;
    guard::check_fields(&document, limits.fields, options.introspection)?;
    document::validate(types, &document).map_err(|error| Answer::invalid(error, "GRAPHQL_VALIDATION_FAILED"))?;
    let (name, operation) = guard::operation(&document, operation_name.as_deref())?;
    let plan = document::plan(types, &document, operation, variables, limits.page)
        .map_err(|error| Answer::invalid(error, "BAD_USER_INPUT"))?;
    for (measure, found, limit) in [("depth", plan.depth, limits.depth), ("complexity", plan.complexity, limits.complexity)] {
        if found > limit {
            return Err(QueryRejection::Size { measure, found, limit }.into());
        }
    }
    // The log gets a name from the document, never an arbitrary operationName.
    let operation = name.map(|name| name.chars().take(100).collect());
    Ok(Prepared { plan, operation })
}

pub(crate) async fn run(schema: &Schema, loaders: &Arc<Loaders>, prepared: Prepared<'_>) -> Answer {
    let Prepared { plan: Plan { document, fields, .. }, operation } = prepared;
    let mut request = Request::new(String::new()).data(Arc::clone(loaders));
    request.set_parsed_query(document);
    let response = schema.execute(request).await;
    let store_failed = response.errors.iter().any(|error| matches!(error.source(), Some(ApiError::Store)));
    let errors: Vec<ServerError> = response.errors.into_iter().map(with_field_code).collect();
    let mut json = Vec::new();
    json.push(b'{');
    if !errors.is_empty() {
        json.extend_from_slice(b"\"errors\":");
        json.extend(serde_json::to_vec(&errors).unwrap_or_default());
        json.push(b',');
    }
    json.extend_from_slice(b"\"data\":");
    if document::respond(&fields, &response.data, loaders.limits.answer, &mut json) == Err(TooLong) {
        return Answer { operation, ..Answer::too_large() };
    }
    json.push(b'}');
    let json = String::from_utf8(json).unwrap_or_default();
    Answer { json, was_executed: true, errors: errors.len(), store_failed, operation }
}

/// Adds the code to an error of a field. An error without a source comes from async-graphql and concerns an argument.
fn with_field_code(error: ServerError) -> ServerError {
    let code = error.source::<ApiError>().map_or("BAD_USER_INPUT", ApiError::code);
    with_code(error, code)
}

fn with_code(mut error: ServerError, code: &str) -> ServerError {
    error.extensions.get_or_insert_default().set("code", code);
    error
}
