//! The JSON scalar, and the JSON text of a response.

use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};
use serde::Serialize;

/// JSON text. It is copied into the response unparsed, since a page may have thousands of entitlements.
/// No other type of the schema has binary values.
#[derive(Clone, Debug)]
pub(crate) struct Json(Value);

impl Json {
    pub(crate) fn from_text(json: Vec<u8>) -> Self {
        Self(Value::Binary(json.into()))
    }

    pub(crate) fn serialize(value: &impl Serialize) -> serde_json::Result<Self> {
        serde_json::to_vec(value).map(Self::from_text)
    }
}

/// A scalar that can represent any JSON value.
#[Scalar(name = "JSON")]
impl ScalarType for Json {
    fn parse(_: Value) -> InputValueResult<Self> {
        Err(InputValueError::custom("is not accepted as an argument"))
    }

    fn to_value(&self) -> Value {
        self.0.clone()
    }
}

/// The member as a string; None if it is absent or of another type.
pub(crate) fn to_string(member: Option<&serde_json::Value>) -> Option<String> {
    member.and_then(serde_json::Value::as_str).map(str::to_owned)
}

/// Appends a value. [`Json`] is copied as it is.
pub(crate) fn write(value: &Value, json: &mut Vec<u8>) {
    match value {
        Value::Binary(text) => json.extend_from_slice(text),
        Value::List(values) => {
            json.push(b'[');
            for (index, value) in values.iter().enumerate() {
                write_comma(index, json);
                write(value, json);
            }
            json.push(b']');
        }
        Value::Object(members) => {
            json.push(b'{');
            for (index, (name, value)) in members.iter().enumerate() {
                write_comma(index, json);
                write_name(name, json);
                write(value, json);
            }
            json.push(b'}');
        }
        Value::Null | Value::Number(_) | Value::String(_) | Value::Boolean(_) | Value::Enum(_) => {
            // Writing scalars to memory cannot fail.
            let _ = serde_json::to_writer(json, value);
        }
    }
}

/// Appends the comma before every value of a list or an object but the first.
pub(crate) fn write_comma(index: usize, json: &mut Vec<u8>) {
    if index > 0 {
        json.push(b',');
    }
}

/// Appends a member's name and colon. GraphQL names need no escaping.
pub(crate) fn write_name(name: &str, json: &mut Vec<u8>) {
    json.push(b'"');
    json.extend_from_slice(name.as_bytes());
    json.extend_from_slice(b"\":");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_serde_writes_them_and_json_is_copied_unchanged() {
        let text = r#"{"a":[1,-2.5,true,null,"t\"\n\u0000é"],"b":{},"c":[],"d":{"e":[{"f":"g"},{"f":null}]}}"#;
        let value: Value = serde_json::from_str(text).unwrap();
        let mut json = Vec::new();
        write(&value, &mut json);
        assert_eq!(String::from_utf8(json).unwrap(), text);

        let text = Json::from_text(br#"{"$x":[1, 2]}"#.to_vec());
        let mut json = Vec::new();
        write(&Value::List(vec![text.to_value(), Value::Null]), &mut json);
        assert_eq!(String::from_utf8(json).unwrap(), r#"[{"$x":[1, 2]},null]"#);
    }
}
