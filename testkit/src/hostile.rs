//! Events as API Gateway should not send them, for the tests of the functions' binaries: whoever may
//! invoke a function can send any.

use serde_json::{Map, Value, json};

/// The same event said in other ways: it is to be answered as it is itself.
pub fn disguised(event: &Value) -> Vec<(&'static str, Value)> {
    let changed = |changes: &[(&str, Value)]| with(event, changes);
    vec![
        ("a host that is none", changed(&[("/headers/host", json!("a b"))])),
        ("an empty host", changed(&[("/headers/host", json!(""))])),
        ("a scheme that is none", changed(&[("/headers/x-forwarded-proto", json!("a b"))])),
        ("a domain name that is none", changed(&[("/requestContext/domainName", json!("a:b:c"))])),
        ("a query with what no URI holds", changed(&[("/rawQueryString", json!("a=<\"é\u{0}#> "))])),
        ("a path without a slash", changed(&[("/rawPath", json!("x"))])),
        ("a path with what no URI holds", changed(&[("/rawPath", json!("/a b\u{0}<é>"))])),
        ("a stage that is none", changed(&[("/requestContext/stage", json!("a b?#"))])),
        ("cookies that are none", changed(&[("/cookies", json!(["a=\n", "b"]))])),
        ("members that nobody knows", changed(&[("/__proto__", json!({})), ("/requestContext/x", json!([null]))])),
    ]
}

/// What can't be read as a request at all: a 400, whatever else is right with it.
pub fn malformed(event: &Value) -> Vec<(&'static str, Value)> {
    let changed = |changes: &[(&str, Value)]| with(event, changes);
    let headers: Map<_, _> = (0..40_000).map(|n| (format!("x-{n}"), json!("y"))).collect();
    vec![
        ("no object", json!(null)),
        ("an empty object", json!({})),
        ("a text", json!("event")),
        ("no base64", changed(&[("/isBase64Encoded", json!(true)), ("/body", json!("{%"))])),
        ("base64 cut off", changed(&[("/isBase64Encoded", json!(true)), ("/body", json!("e30"))])),
        ("a body that is no text", changed(&[("/body", json!({"type": "customer.deleted"}))])),
        ("no method", changed(&[("/requestContext/http/method", json!("G T"))])),
        ("no context", changed(&[("/requestContext", json!(null))])),
        ("a header of two lines", changed(&[("/headers/x-two", json!("a\r\nb"))])),
        ("a header whose name is none", changed(&[("/headers/x two", json!("a"))])),
        ("headers without end", changed(&[("/headers", headers.into())])),
        ("a path without end", changed(&[("/rawPath", json!("/x".repeat(40_000)))])),
        ("a query without end", changed(&[("/rawQueryString", json!("é".repeat(40_000)))])),
    ]
}

/// The event with members set by their JSON pointers, those of the last step new or old.
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
