//! One query: validated, planned, executed, and its errors given codes.

use std::sync::Arc;

use async_graphql::{Request, ServerError, parser::parse_query};
use serde_json::Map;
use store::Projection;

use crate::{
    document::{self, Plan, TooLong, Types},
    error::ApiError,
    guard::{self, Refused},
    load::Loaders,
    options::Options,
    schema::Schema,
};

/// A query as it came over HTTP.
#[derive(Debug, Default)]
pub(crate) struct GraphqlRequest {
    pub(crate) query: String,
    pub(crate) operation_name: Option<String>,
    pub(crate) variables: Map<String, serde_json::Value>,
}

/// The answer to one query.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) json: String,
    /// Whether it was valid and its fields were executed, whatever they answered.
    pub(crate) was_executed: bool,
    pub(crate) errors: usize,
    /// One of the errors is the store's.
    pub(crate) store_failed: bool,
    /// For the log.
    pub(crate) operation: Option<String>,
}

/// The JSON of an answer that is nothing but an error.
pub(crate) fn error_json(message: &str, code: &str) -> String {
    serde_json::json!({"errors": [{"message": message, "extensions": {"code": code}}]}).to_string()
}

impl Answer {
    /// The answer to a query that is not executed.
    pub(crate) fn refused(message: &str, code: &str) -> Self {
        Self { json: error_json(message, code), was_executed: false, errors: 1, store_failed: false, operation: None }
    }

    pub(crate) fn too_large() -> Self {
        Self::refused(
            "the answer would be larger than Lambda can return (6 MB): ask for fewer rows or fields",
            "ANSWER_TOO_LARGE",
        )
    }

    fn invalid(error: ServerError, code: &str) -> Self {
        let error = serde_json::to_string(&with_code(error, code)).unwrap_or_default();
        let json = format!("{{\"errors\":[{error}]}}");
        Self { json, was_executed: false, errors: 1, store_failed: false, operation: None }
    }
}

impl From<Refused> for Answer {
    fn from(refused: Refused) -> Self {
        Self::refused(&refused.to_string(), refused.code())
    }
}

/// A query that may be executed.
#[derive(Debug)]
pub(crate) struct Prepared<'t> {
    plan: Plan<'t>,
    operation: Option<String>,
    /// The parts of customers that it needs.
    pub(crate) parts: Projection,
}

/// Fields that need a customer's list of entitlements.
const OF_LISTS: [&str; 2] = ["entitlements", "entitlementList"];

/// Fields that need a customer's profile. Conditions and orders may need it too.
const OF_PROFILES: [&str; 8] = ["name", "email", "billingId", "crmId", "billingCurrency", "metadata", "condition", "orderBy"];

/// Validates and plans a query, or refuses it.
pub(crate) fn prepare<'t>(request: GraphqlRequest, types: &'t Types, options: &Options) -> Result<Prepared<'t>, Answer> {
    let GraphqlRequest { query, operation_name, variables } = request;
    let limits = &options.limits;
    let query = guard::scan(&query)?;
    let document = parse_query(&query).map_err(|error| Answer::invalid(error.into(), "GRAPHQL_PARSE_FAILED"))?;
    let names = guard::check_fields(&document, limits.fields)?;
    if !options.introspection && names.has_any(&["__schema", "__type"]) {
        return Err(Refused::Introspection.into());
    }
    let parts = if names.has_any(&OF_LISTS) {
        Projection::Entitlements
    } else if names.has_any(&OF_PROFILES) {
        Projection::Profiles
    } else {
        Projection::Versions
    };
    document::validate(types, &document).map_err(|error| Answer::invalid(error, "GRAPHQL_VALIDATION_FAILED"))?;
    let (name, operation) = guard::operation(&document, operation_name.as_deref())?;
    let plan = document::plan(types, &document, operation, variables, limits.page)
        .map_err(|error| Answer::invalid(error, "BAD_USER_INPUT"))?;
    for (problem, found, limit) in
        [("nests too deep", plan.depth, limits.depth), ("is too complex", plan.complexity, limits.complexity)]
    {
        if found > limit {
            return Err(Refused::Size { problem, found, limit }.into());
        }
    }
    // The log names operations of the document, never a text that is none of its names.
    let operation = name.map(|name| name.chars().take(100).collect());
    Ok(Prepared { plan, operation, parts })
}

/// Executes a query.
pub(crate) async fn run(schema: &Schema, loaders: &Arc<Loaders>, prepared: Prepared<'_>) -> Answer {
    let Prepared { plan: Plan { document, fields, .. }, operation, .. } = prepared;
    let mut request = Request::new(String::new()).data(Arc::clone(loaders));
    request.set_parsed_query(document);
    let response = schema.execute(request).await;
    let store_failed = response.errors.iter().any(|error| matches!(error.source(), Some(ApiError::Store)));
    let errors: Vec<ServerError> = response.errors.into_iter().map(with_own_code).collect();
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

/// An error of a field, which has its code from its source. The library's own are about arguments.
fn with_own_code(error: ServerError) -> ServerError {
    let code = error.source::<ApiError>().map_or("BAD_USER_INPUT", ApiError::code);
    with_code(error, code)
}

fn with_code(mut error: ServerError, code: &str) -> ServerError {
    error.extensions.get_or_insert_default().set("code", code);
    error
}
