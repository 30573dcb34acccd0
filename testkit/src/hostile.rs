//! Events that API Gateway should never send, for the tests of the functions' binaries. A caller with the right to invoke
//! a function can send any event.

use serde_json::{Map, Value, json};

/// Variants of an event with unusual values where no function reads them. Each must get the same answer as the event.
pub fn unusual(event: &Value) -> Vec<(&'static str, Value)> {
    let changed = |changes: &[(&str, Value)]| with(event, changes);
    vec![
        ("an invalid host", changed(&[("/headers/host", json!("a b"))])),
        ("an empty host", changed(&[("/headers/host", json!(""))])),
        ("an invalid scheme", changed(&[("/headers/x-forwarded-proto", json!("a b"))])),
        ("an invalid domain name", changed(&[("/requestContext/domainName", json!("a:b:c"))])),
        ("a query with characters that are invalid in a URI", changed(&[("/rawQueryString", json!("a=<\"é\u{0}#> "))])),
        ("a path without a slash", changed(&[("/rawPath", json!("x"))])),
        ("a path with characters that are invalid in a URI", changed(&[("/rawPath", json!("/a b\u{0}<é>"))])),
        ("an invalid stage", changed(&[("/requestContext/stage", json!("a b?#"))])),
        ("invalid cookies", changed(&[("/cookies", json!(["a=\n", "b"]))])),
        ("unknown members", changed(&[("/__proto__", json!({})), ("/requestContext/x", json!([null]))])),
    ]
}

/// Variants of an event that are not a valid HTTP request. Each must get a 400.
pub fn malformed(event: &Value) -> Vec<(&'static str, Value)> {
    let changed = |changes: &[(&str, Value)]| with(event, changes);
    let headers: Map<_, _> = (0..40_000).map(|n| (format!("x-{n}"), json!("y"))).collect();
    vec![
        ("null", json!(null)),
        ("an empty object", json!({})),
        ("a string", json!("event")),
        ("invalid base64", changed(&[("/isBase64Encoded", json!(true)), ("/body", json!("{%"))])),
        ("truncated base64", changed(&[("/isBase64Encoded", json!(true)), ("/body", json!("e30"))])),
        ("a body that is not a string", changed(&[("/body", json!({"type": "customer.deleted"}))])),
        ("an invalid method", changed(&[("/requestContext/http/method", json!("G T"))])),
        ("no request context", changed(&[("/requestContext", json!(null))])),
        ("a header value with a line break", changed(&[("/headers/x-two", json!("a\r\nb"))])),
        ("an invalid header name", changed(&[("/headers/x two", json!("a"))])),
        ("too many headers", changed(&[("/headers", headers.into())])),
        ("a path that is too long", changed(&[("/rawPath", json!("/x".repeat(40_000)))])),
        ("a query that is too long", changed(&[("/rawQueryString", json!("é".repeat(40_000)))])),
    ]
}

/// A copy of the event with members set by JSON pointer. The last step of a pointer may name a new member.
fn with(event: &Value, changes: &[(&str, Value)]) -> Value {
    let mut event = event.clone();
    for (pointer, value) in changes {
        let Some((parent, name)) = pointer.rsplit_once('/') else { continue };
        if let Some(Value::Object(members)) = event.pointer_mut(parent) {
            members.insert(name.to_owned(), value.clone());
        }
    }
    event
}
