//! Errors about invalid JSON for its sender: the member and the problem, never the value.

/// Maximum length of a field's path in a message, in characters: the sender chooses unknown fields' names.
const MAX_FIELD_CHARS: usize = 100;

/// The path of the invalid member, and what is wrong with it.
pub fn field_and_problem(error: &serde_path_to_error::Error<serde_json::Error>) -> (String, String) {
    let (message, path) = (error.inner().to_string(), error.path().to_string());
    let named = |prefix| message.strip_prefix(prefix).and_then(|rest| rest.split('`').next());
    let is_body = path == ".";
    let (mut field, problem) = if let Some(missing) = named("missing field `") {
        (if is_body { missing.to_owned() } else { format!("{path}.{missing}") }, "is missing".to_owned())
    } else if let Some(unknown) = named("unknown field `") {
        // Inside an object, the path ends with the unknown field already.
        (if is_body { unknown.to_owned() } else { path }, "is not a known field".to_owned())
    } else {
        (if is_body { "the body".to_owned() } else { path }, problem(error.inner()))
    };
    if let Some((end, _)) = field.char_indices().nth(MAX_FIELD_CHARS) {
        field.truncate(end);
        field.push('…');
    }
    (field, problem)
}

/// What is wrong with a value.
pub fn problem(error: &serde_json::Error) -> String {
    let message = error.to_string();
    // The position is relative to a part of the body: useless to the sender.
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
    match message.rsplit_once(", expected ") {
        Some((_, expected)) => format!("must be {}", json_type_name(expected)),
        None => message.to_owned(),
    }
}

/// Converts serde's name of a type to JSON's.
fn json_type_name(expected: &str) -> &str {
    match expected {
        "f64" => "a number",
        "a sequence" => "a list",
        "a map" => "an object",
        "a boolean" => "true or false",
        expected if expected.starts_with("struct ") => "an object",
        expected => expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[expect(dead_code, reason = "only read")]
        inner: Inner,
    }

    #[derive(Debug, serde::Deserialize)]
    struct Inner {
        #[expect(dead_code, reason = "only read")]
        id: crate::id::Id,
    }

    #[test]
    fn errors_name_the_path_of_a_field_and_never_its_value() {
        for (json, field, problem) in [
            (r#"{}"#, "inner", "is missing"),
            (r#"{"inner":{}}"#, "inner.id", "is missing"),
            (r#"{"inner":{"id":5}}"#, "inner.id", "must be a string"),
            (r#"{"inner":{"id":""}}"#, "inner.id", "must not be empty"),
            (r#"{"inner":"x, expected y"}"#, "inner", "must be an object"),
        ] {
            let json: serde_json::Value = serde_json::from_str(json).unwrap();
            let error = serde_path_to_error::deserialize::<_, Outer>(&json).unwrap_err();
            assert_eq!(field_and_problem(&error), (field.to_owned(), problem.to_owned()), "{json}");
        }
    }

    #[test]
    fn long_field_names_are_truncated() {
        for (name, field) in [("é".repeat(100), "é".repeat(100)), ("é".repeat(101), format!("{}…", "é".repeat(100)))] {
            let json = serde_json::json!({name: 1});
            let error = serde_path_to_error::deserialize::<_, Outer>(&json).unwrap_err();
            assert_eq!(field_and_problem(&error), (field, "is not a known field".to_owned()));
        }
    }
}
