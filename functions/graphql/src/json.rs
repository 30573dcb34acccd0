//! Answers as JSON.

use async_graphql::Value;

/// Writes a value; [`crate::schema`]'s JSON is written as it stands, and not read again.
pub(crate) fn write(value: &Value, json: &mut Vec<u8>) {
    match value {
        Value::Binary(written) => json.extend_from_slice(written),
        Value::List(values) => {
            json.push(b'[');
            for (index, value) in values.iter().enumerate() {
                separate(index, json);
                write(value, json);
            }
            json.push(b']');
        }
        Value::Object(members) => {
            json.push(b'{');
            for (index, (name, value)) in members.iter().enumerate() {
                separate(index, json);
                // A name of GraphQL's has nothing to escape.
                json.push(b'"');
                json.extend_from_slice(name.as_bytes());
                json.extend_from_slice(b"\":");
                write(value, json);
            }
            json.push(b'}');
        }
        Value::Null | Value::Number(_) | Value::String(_) | Value::Boolean(_) | Value::Enum(_) => {
            // Into memory, texts and numbers can be written whatever they are.
            let _ = serde_json::to_writer(json, value);
        }
    }
}

/// Comes before the value at this place of a list or an object.
pub(crate) fn separate(index: usize, json: &mut Vec<u8>) {
    if index > 0 {
        json.push(b',');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_serde_writes_them_and_json_as_it_stands() {
        let text = r#"{"a":[1,-2.5,true,null,"t\"\n\u0000é"],"b":{},"c":[],"d":{"e":[{"f":"g"},{"f":null}]}}"#;
        let value: Value = serde_json::from_str(text).unwrap();
        let mut json = Vec::new();
        write(&value, &mut json);
        assert_eq!(String::from_utf8(json).unwrap(), text);

        let written = Value::Binary(br#"{"$x":[1, 2]}"#.to_vec().into());
        let mut json = Vec::new();
        write(&Value::List(vec![written, Value::Null]), &mut json);
        assert_eq!(String::from_utf8(json).unwrap(), r#"[{"$x":[1, 2]},null]"#);
    }
}
