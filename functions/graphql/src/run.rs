//! One query: checked, carried out, and its errors given codes.

use std::sync::Arc;

use async_graphql::{Request, Response, ServerError, Value, Variables, parser::parse_query};
use serde_json::Map;
use shared::store::Parts;

use crate::{
    error::ApiError,
    guard::{self, Refused},
    json,
    load::Loaders,
    options::Options,
    schema::Schema,
};

/// A query as it came over HTTP.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) query: String,
    pub(crate) operation_name: Option<String>,
    pub(crate) variables: Map<String, serde_json::Value>,
}

/// What is answered to one query.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) json: String,
    /// It was found good and its fields were asked, whatever they answered.
    pub(crate) was_carried_out: bool,
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
    fn refused(message: &str, code: &str) -> Self {
        Self::of_one_error(error_json(message, code))
    }

    fn of_one_error(json: String) -> Self {
        Self { json, was_carried_out: false, errors: 1, store_failed: false, operation: None }
    }
}

/// A query that may be carried out.
#[derive(Debug)]
pub(crate) struct Prepared {
    request: Request,
    operation: Option<String>,
    /// The parts of customers that it needs.
    pub(crate) parts: Parts,
}

/// Fields that need a customer's list of entitlements.
const OF_LISTS: [&str; 2] = ["entitlements", "entitlementList"];

/// Fields that need a customer's profile. Conditions and orders may need it too.
const OF_PROFILES: [&str; 8] = ["name", "email", "billingId", "crmId", "billingCurrency", "metadata", "condition", "orderBy"];

/// Carries one query out.
pub(crate) async fn run(schema: &Schema, loaders: &Arc<Loaders>, prepared: Prepared) -> Answer {
    let Prepared { request, operation, .. } = prepared;
    let response = schema.execute(request.data(Arc::clone(loaders))).await;
    let was_carried_out = was_carried_out(&response);
    let store_failed = response.errors.iter().any(|error| matches!(error.source(), Some(ApiError::Store)));
    let errors: Vec<ServerError> = response.errors.into_iter().map(|error| with_code(error, was_carried_out)).collect();
    let json = to_json(&response.data, &errors, was_carried_out);
    Answer { json, was_carried_out, errors: errors.len(), store_failed, operation }
}

/// Whether a query was found good and its fields were asked, which HTTP's status depends on: what went wrong
/// then went wrong at a field.
fn was_carried_out(response: &Response) -> bool {
    response.is_ok() || response.data != Value::Null || response.errors.iter().any(|error| !error.path.is_empty())
}

/// Refuses a query that can't be carried out as it is.
pub(crate) fn prepare(asked: Asked, options: &Options) -> Result<Prepared, Answer> {
    let Asked { query, operation_name, variables } = asked;
    let refuse = |refused: Refused| Answer::refused(&refused.to_string(), refused.code());
    guard::check_nesting(&query).map_err(refuse)?;
    let document = parse_query(&query).map_err(|error| {
        let error = with_code(error.into(), false);
        Answer::of_one_error(to_json(&Value::Null, &[error], false))
    })?;
    let names = guard::check_fields(&document, options.limits.fields).map_err(refuse)?;
    if !options.introspection && names.has_any(&["__schema", "__type"]) {
        return Err(refuse(Refused::Introspection));
    }
    let parts = if names.has_any(&OF_LISTS) {
        Parts::Entitlements
    } else if names.has_any(&OF_PROFILES) {
        Parts::Profiles
    } else {
        Parts::Versions
    };
    let variables = Variables::from_json(serde_json::Value::Object(variables));
    let operation = guard::operation(&document, operation_name.as_deref());
    if let Some(operation) = operation {
        guard::check_variables(&operation.node, &variables).map_err(refuse)?;
    }
    // The log names operations of the document, never a text that is none of its names.
    let name = document
        .operations
        .iter()
        .find(|(_, known)| operation.is_some_and(|operation| operation.pos == known.pos))
        .and_then(|(name, _)| name.map(|name| name.chars().take(100).collect()));
    let mut request = Request::new(query).variables(variables);
    if let Some(operation_name) = operation_name {
        request = request.operation_name(operation_name);
    }
    request.set_parsed_query(document);
    Ok(Prepared { request, operation: name, parts })
}

fn to_json(data: &Value, errors: &[ServerError], was_carried_out: bool) -> String {
    let mut json = Vec::with_capacity(json::length(data));
    json.push(b'{');
    if !errors.is_empty() {
        json.extend_from_slice(b"\"errors\":");
        json.extend(serde_json::to_vec(errors).unwrap_or_default());
    }
    // A query that was refused has no data, not even null.
    if was_carried_out {
        if !errors.is_empty() {
            json.push(b',');
        }
        json.extend_from_slice(b"\"data\":");
        json::write(data, &mut json);
    }
    json.push(b'}');
    String::from_utf8(json).unwrap_or_default()
}

fn with_code(mut error: ServerError, was_carried_out: bool) -> ServerError {
    let code = match error.source::<ApiError>() {
        Some(error) => error.code(),
        None if was_carried_out => "BAD_USER_INPUT",
        None if error.message.starts_with("Query is ") => "QUERY_TOO_COMPLEX",
        None if error.message.trim_start().starts_with("-->") => "GRAPHQL_PARSE_FAILED",
        None => "GRAPHQL_VALIDATION_FAILED",
    };
    if code == "QUERY_TOO_COMPLEX" && error.source.is_none() {
        error.message.push_str(" Take fewer levels, smaller pages (first) or fewer fields; docs/graphql.md has the limits.");
    }
    error.extensions.get_or_insert_default().set("code", code);
    error
}
