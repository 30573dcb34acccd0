//! What a check asks, read from the body.

use serde::{Deserialize, Deserializer, de::Error as _};
use shared::{access::AccessRequest, id::Id, reply};

/// A body that is no check. The message names the field and is fit for the caller.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RequestError {
    /// It is not JSON.
    #[error("the body is not JSON, or holds a number that is out of range")]
    NotJson,
    /// A field is missing or of the wrong kind.
    #[error("`{field}` {problem}")]
    Field {
        /// Its path.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// A member that is not known is refused: a misspelt `requestedUsage` that was passed over would grant.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Incoming {
    customer_id: Id,
    feature_id: Id,
    resource_id: Option<Id>,
    #[serde(default, deserialize_with = "requested_usage")]
    requested_usage: f64,
    requested_values: Option<Vec<String>>,
}

/// Absent and null request nothing. JSON has no numbers that are not finite.
fn requested_usage<'de, D: Deserializer<'de>>(input: D) -> Result<f64, D::Error> {
    let usage = Option::<f64>::deserialize(input)?.unwrap_or(0.0);
    if usage.is_finite() && usage >= 0.0 { Ok(usage) } else { Err(D::Error::custom("must be a finite number, not below 0")) }
}

/// Reads the body of a check.
pub(crate) fn parse(body: &[u8]) -> Result<AccessRequest, RequestError> {
    let body: serde_json::Value = serde_json::from_slice(body).map_err(|_| RequestError::NotJson)?;
    if !body.is_object() {
        // A list would do for serde, by position.
        return Err(RequestError::Field { field: "the body".to_owned(), problem: "must be an object".to_owned() });
    }
    let incoming: Incoming = serde_path_to_error::deserialize(&body).map_err(|error| {
        let (field, problem) = reply::name_field(&error);
        RequestError::Field { field, problem }
    })?;
    Ok(AccessRequest {
        customer_id: incoming.customer_id,
        feature_id: incoming.feature_id,
        resource_id: incoming.resource_id,
        requested_usage: incoming.requested_usage,
        requested_values: incoming.requested_values.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOT_JSON: &str = "the body is not JSON, or holds a number that is out of range";

    #[test]
    fn a_bad_field_is_named() {
        for (body, message) in [
            ("", NOT_JSON),
            ("{", NOT_JSON),
            (r#"{"customerId":"c","featureId":"f","requestedUsage":NaN}"#, NOT_JSON),
            (r#"{"customerId":"c","featureId":"f","requestedUsage":1e999}"#, NOT_JSON),
            (r#"["c","f",null,0,null]"#, "`the body` must be an object"),
            ("5", "`the body` must be an object"),
            (r#"{"customerId":"c","featureId":"f","requestedusage":1}"#, "`requestedusage` is not known here"),
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
    fn what_is_optional_may_be_absent_or_null() {
        let short = parse(br#"{"customerId":"c","featureId":"f"}"#).unwrap();
        let long = parse(br#"{"customerId":"c","featureId":"f","resourceId":null,"requestedUsage":null,"requestedValues":null}"#)
            .unwrap();
        assert_eq!(short, long);
        assert_eq!((short.requested_usage, short.requested_values.len()), (0.0, 0));
    }
}
