//! Parses checks and batches of checks from the body.

use domain::json_error;
use domain::{access::AccessRequest, id::Id};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _},
};
use serde_json::value::RawValue;

/// Maximum number of checks in a batch.
pub(crate) const MAX_CHECKS: usize = 100;

/// Stands for a field if the body as a whole is invalid.
const THE_BODY: &str = "the body";

/// Why a request is invalid. The message names the field and can be shown to the caller.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RequestError {
    #[error("the body is not JSON, or has a number that is out of range")]
    NotJson,
    /// `field` is a path.
    #[error("`{field}` {problem}")]
    Field { field: String, problem: String },
}

/// The body of a check. Unknown fields are rejected: ignoring a misspelt `requestedUsage` would grant access.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CheckBody {
    customer_id: Id,
    feature_id: Id,
    resource_id: Option<Id>,
    #[serde(default, deserialize_with = "requested_usage")]
    requested_usage: f64,
    requested_values: Option<Vec<String>>,
}

/// A batch: the checks of one scope.
#[derive(Debug, PartialEq)]
pub(crate) struct BatchRequest {
    pub(crate) customer_id: Id,
    pub(crate) resource_id: Option<Id>,
    /// None checks every feature of the scope.
    pub(crate) checks: Option<Vec<AccessRequest>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BatchBody {
    customer_id: Id,
    resource_id: Option<Id>,
    checks: Option<Vec<BatchCheck>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BatchCheck {
    feature_id: Id,
    #[serde(default, deserialize_with = "requested_usage")]
    requested_usage: f64,
    requested_values: Option<Vec<String>>,
}

/// 0 if absent or null.
pub(crate) fn requested_usage<'de, D: Deserializer<'de>>(input: D) -> Result<f64, D::Error> {
    let usage = Option::<f64>::deserialize(input)?.unwrap_or(0.0);
    if usage.is_finite() && usage >= 0.0 { Ok(usage) } else { Err(D::Error::custom("must be a finite number, not below 0")) }
}

pub(crate) fn parse(body: &[u8]) -> Result<AccessRequest, RequestError> {
    let check: CheckBody = object(body)?;
    Ok(AccessRequest {
        customer_id: check.customer_id,
        feature_id: check.feature_id,
        resource_id: check.resource_id,
        requested_usage: check.requested_usage,
        requested_values: check.requested_values.unwrap_or_default(),
    })
}

/// Parses a list of checks.
pub(crate) fn parse_list(json: &str) -> Result<Vec<AccessRequest>, RequestError> {
    let checks: Vec<&RawValue> = serde_json::from_str(json).map_err(|_| RequestError::NotJson)?;
    if checks.len() > MAX_CHECKS {
        let problem = format!("must hold at most {MAX_CHECKS} checks");
        return Err(RequestError::Field { field: "the list".to_owned(), problem });
    }
    let check = |(index, json): (usize, &&RawValue)| {
        parse(json.get().as_bytes()).map_err(|error| match error {
            RequestError::NotJson => RequestError::NotJson,
            RequestError::Field { field, problem } => {
                let field = if field == THE_BODY { format!("[{index}]") } else { format!("[{index}].{field}") };
                RequestError::Field { field, problem }
            }
        })
    };
    checks.iter().enumerate().map(check).collect()
}

pub(crate) fn parse_batch(body: &[u8]) -> Result<BatchRequest, RequestError> {
    let BatchBody { customer_id, resource_id, checks } = object(body)?;
    if checks.as_ref().is_some_and(|checks| checks.len() > MAX_CHECKS) {
        return Err(RequestError::Field {
            field: "checks".to_owned(),
            problem: format!("must hold at most {MAX_CHECKS} checks"),
        });
    }
    let request = |check: BatchCheck| AccessRequest {
        customer_id: customer_id.clone(),
        feature_id: check.feature_id,
        resource_id: resource_id.clone(),
        requested_usage: check.requested_usage,
        requested_values: check.requested_values.unwrap_or_default(),
    };
    let checks = checks.map(|checks| checks.into_iter().map(request).collect());
    Ok(BatchRequest { customer_id, resource_id, checks })
}

/// Parses a JSON object. The error names the invalid field.
pub(crate) fn object<T: DeserializeOwned>(body: &[u8]) -> Result<T, RequestError> {
    let body: serde_json::Value = serde_json::from_slice(body).map_err(|_| RequestError::NotJson)?;
    if !body.is_object() {
        // serde would accept an array, with the fields by position.
        return Err(RequestError::Field { field: THE_BODY.to_owned(), problem: "must be an object".to_owned() });
    }
    serde_path_to_error::deserialize(&body).map_err(|error| {
        let (field, problem) = json_error::field_and_problem(&error);
        RequestError::Field { field, problem }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOT_JSON: &str = "the body is not JSON, or has a number that is out of range";

    #[test]
    fn an_invalid_field_of_a_check_is_named() {
        for (body, message) in [
            ("", NOT_JSON),
            ("{", NOT_JSON),
            (r#"{"customerId":"c","featureId":"f","requestedUsage":NaN}"#, NOT_JSON),
            (r#"{"customerId":"c","featureId":"f","requestedUsage":1e999}"#, NOT_JSON),
            (r#"["c","f",null,0,null]"#, "`the body` must be an object"),
            ("5", "`the body` must be an object"),
            (r#"{"customerId":"c","featureId":"f","requestedusage":1}"#, "`requestedusage` is not a known field"),
            (r#"{"featureId":"f"}"#, "`customerId` is missing"),
            (r#"{"customerId":"c"}"#, "`featureId` is missing"),
            (r#"{"customerId":"","featureId":"f"}"#, "`customerId` must not be empty"),
            (r#"{"customerId":null,"featureId":"f"}"#, "`customerId` must be a string"),
            (r#"{"customerId":"c","featureId":7}"#, "`featureId` must be a string"),
            (r#"{"customerId":"c","featureId":"f","resourceId":""}"#, "`resourceId` must not be empty"),
            (
                r#"{"customerId":"c","featureId":"f","requestedUsage":-1}"#,
                "`requestedUsage` must be a finite number, not below 0",
            ),
            (r#"{"customerId":"c","featureId":"f","requestedUsage":"1"}"#, "`requestedUsage` must be a number"),
            (r#"{"customerId":"c","featureId":"f","requestedValues":"a"}"#, "`requestedValues` must be a list"),
            (r#"{"customerId":"c","featureId":"f","requestedValues":["a",1]}"#, "`requestedValues[1]` must be a string"),
        ] {
            assert_eq!(parse(body.as_bytes()).map_err(|error| error.to_string()), Err(message.to_owned()), "{body}");
        }
    }

    #[test]
    fn an_invalid_field_of_a_batch_is_named() {
        let checks = |count| format!(r#"{{"customerId":"c","checks":[{}]}}"#, vec![r#"{"featureId":"f"}"#; count].join(","));
        for (body, message) in [
            ("[]", "`the body` must be an object"),
            (r#"{"checks":[]}"#, "`customerId` is missing"),
            (r#"{"customerId":"c","checks":{}}"#, "`checks` must be a list"),
            (r#"{"customerId":"c","featureId":"f"}"#, "`featureId` is not a known field"),
            (r#"{"customerId":"c","checks":[{"featureId":"f"},{}]}"#, "`checks[1].featureId` is missing"),
            (
                r#"{"customerId":"c","checks":[{"featureId":"f","customerId":"d"}]}"#,
                "`checks[0].customerId` is not a known field",
            ),
            (
                r#"{"customerId":"c","checks":[{"featureId":"f","requestedUsage":-1}]}"#,
                "`checks[0].requestedUsage` must be a finite number, not below 0",
            ),
            (&checks(MAX_CHECKS + 1), "`checks` must hold at most 100 checks"),
        ] {
            assert_eq!(parse_batch(body.as_bytes()).map_err(|error| error.to_string()), Err(message.to_owned()), "{body}");
        }
        assert_eq!(parse_batch(checks(MAX_CHECKS).as_bytes()).unwrap().checks.map(|checks| checks.len()), Some(MAX_CHECKS));
        assert_eq!(parse_batch(br#"{"customerId":"c","checks":null}"#).unwrap().checks, None);
    }

    #[test]
    fn optional_fields_may_be_absent_or_null() {
        let short = parse(br#"{"customerId":"c","featureId":"f"}"#).unwrap();
        let long = parse(br#"{"customerId":"c","featureId":"f","resourceId":null,"requestedUsage":null,"requestedValues":null}"#)
            .unwrap();
        assert_eq!(short, long);
        assert_eq!((short.requested_usage, short.requested_values.len()), (0.0, 0));
    }
}
