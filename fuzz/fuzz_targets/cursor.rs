//! A cursor. The first byte chooses the list and its order, the rest is the cursor, raw and in base64. The query succeeds, or
//! fails with INVALID_CURSOR without a request to the store.
#![no_main]

use base64::{Engine as _, prelude::BASE64_STANDARD};
use fuzz::{FUNCTIONS, TOKEN, post, read};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

const LISTS: [(&str, &str); 9] = [
    ("customers", "PRIMARY_KEY_ASC"),
    ("customers", "CREATED_AT_DESC"),
    ("customers", "NAME_ASC"),
    ("customers", "EMAIL_DESC"),
    ("customers", "NATURAL"),
    ("subscriptions", "PRIMARY_KEY_DESC"),
    ("subscriptions", "CREATED_AT_ASC"),
    ("subscriptions", "CUSTOMER_ID_ASC"),
    ("subscriptions", "STATUS_DESC"),
];

fuzz_target!(|input: &[u8]| {
    let Some((choice, content)) = input.split_first() else { return };
    let (list, order) = LISTS[usize::from(*choice) % LISTS.len()];
    let (argument, first) = if choice & 0x80 == 0 { ("after", "first") } else { ("before", "last") };
    let query = format!("query ($c: Cursor) {{ {list}({first}: 2, {argument}: $c, orderBy: [{order}]) {{ edges {{ cursor }} }} }}");
    let token = format!("Bearer {TOKEN}");
    let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
    for cursor in [BASE64_STANDARD.encode(content), String::from_utf8_lossy(content).into_owned()] {
        let body = json!({"query": query, "variables": {"c": cursor}}).to_string();
        let (response, requests) = FUNCTIONS.run(FUNCTIONS.graphql.handle(post(&headers, body.as_bytes())));
        let (status, answer) = read(&response);
        if status == 413 {
            continue;
        }
        assert_eq!(status, 200, "{answer}");
        match answer["errors"].as_array() {
            None => assert_eq!(answer["data"][list]["edges"], json!([]), "{answer}"),
            Some(errors) => {
                assert_eq!(errors[0]["extensions"]["code"], "INVALID_CURSOR", "{answer}");
                assert!(requests.is_empty(), "{requests:?}");
            }
        }
    }
});
