//! The body of a GraphQL request, or a query alone, executed on the real schema. The response is valid, every error has a
//! code, and the requests to the store are reads within the limits.
#![no_main]

use fuzz::{FUNCTIONS, TOKEN, post, read};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

fuzz_target!(|text: &str| {
    let is_body = text.starts_with(['{', '[']) && serde_json::from_str::<Value>(text).is_ok();
    let body = if is_body { text.to_owned() } else { json!({"query": text, "variables": {"id": "c", "n": 1}}).to_string() };
    let token = format!("Bearer {TOKEN}");
    let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
    let (response, requests) = FUNCTIONS.run(FUNCTIONS.graphql.handle(post(&headers, body.as_bytes())));
    let (status, answer) = read(&response);
    assert!(matches!(status, 200 | 400 | 413), "{status}: {answer}");
    let answers = match &answer {
        Value::Array(answers) => answers.as_slice(),
        one => std::slice::from_ref(one),
    };
    for answer in answers {
        assert!(answer["data"].is_object() || answer["data"].is_null(), "{answer}");
        let errors = answer["errors"].as_array();
        assert!(answer.get("data").is_some() || errors.is_some_and(|errors| !errors.is_empty()), "{answer}");
        for error in errors.into_iter().flatten() {
            assert!(error["message"].is_string() && error["extensions"]["code"].is_string(), "{error}");
        }
    }
    assert!(!answer.to_string().contains(TOKEN) || body.contains("ocal-token") || body.contains('\\'));
    let reads = ["BatchGetItem", "Query", "GetItem"];
    assert!(requests.iter().all(|request| reads.contains(&request.operation.as_str())), "{requests:?}");
    assert!(requests.len() <= 20_000, "{} requests", requests.len());
});
