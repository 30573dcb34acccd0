//! What is wrong with JSON that can't be read, for its sender: which member, and why, without the value.

/// The most characters of a field's name that are repeated. A name that is not known here may be of any length.
const MAX_FIELD: usize = 100;

/// Names the member that could not be read, and says what is wrong with it without its value.
pub fn name_field(error: &serde_path_to_error::Error<serde_json::Error>) -> (String, String) {
    let (mut field, problem) = field_and_problem(error);
    if let Some((end, _)) = field.char_indices().nth(MAX_FIELD) {
        field.truncate(end);
        field.push('…');
    }
    (field, problem)
}

/// What is wrong with a value, without the value.
pub fn problem(error: &serde_json::Error) -> String {
    let message = error.to_string();
    // Where reading stopped in a part of a body tells nobody anything.
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
    match message.rsplit_once(", expected ") {
        Some((_, expected)) => format!("must be {}", in_words_of_json(expected)),
        None => message.to_owned(),
    }
}

fn field_and_problem(error: &serde_path_to_error::Error<serde_json::Error>) -> (String, String) {
    let message = error.inner().to_string();
    let path = error.path().to_string();
    if let Some(missing) = message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
        let field = if path == "." { missing.to_owned() } else { format!("{path}.{missing}") };
        return (field, "is missing".to_owned());
    }
    if let Some(unknown) = message.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next()) {
        // The path names the member already.
        let field = if path == "." { unknown.to_owned() } else { path };
        return (field, "is not known here".to_owned());
    }
    let field = if path == "." { "the body".to_owned() } else { path };
    let problem = match message.rsplit_once(", expected ") {
        Some((_, expected)) => format!("must be {}", in_words_of_json(expected)),
        None => message,
    };
    (field, problem)
}

/// What serde calls by Rust's names, called by JSON's.
fn in_words_of_json(expected: &str) -> &str {
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
    fn a_field_is_named_by_its_path_and_its_value_is_not_repeated() {
        for (json, field, problem) in [
            (r#"{}"#, "inner", "is missing"),
            (r#"{"inner":{}}"#, "inner.id", "is missing"),
            (r#"{"inner":{"id":5}}"#, "inner.id", "must be a string"),
            (r#"{"inner":{"id":""}}"#, "inner.id", "must not be empty"),
            (r#"{"inner":"x, expected y"}"#, "inner", "must be an object"),
        ] {
            let json: serde_json::Value = serde_json::from_str(json).unwrap();
            let error = serde_path_to_error::deserialize::<_, Outer>(&json).unwrap_err();
            assert_eq!(name_field(&error), (field.to_owned(), problem.to_owned()), "{json}");
        }
    }

    #[test]
    fn of_a_long_name_the_beginning_is_repeated() {
        for (name, field) in [("é".repeat(100), "é".repeat(100)), ("é".repeat(101), format!("{}…", "é".repeat(100)))] {
            let json = serde_json::json!({name: 1});
            let error = serde_path_to_error::deserialize::<_, Outer>(&json).unwrap_err();
            assert_eq!(name_field(&error), (field, "is not known here".to_owned()));
        }
    }
}
