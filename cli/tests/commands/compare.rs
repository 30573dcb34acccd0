//! `byos compare`.

use serde_json::{Value, json};

use crate::stack::{Local, Output};

fn list(customer: &str, resource: Value, limit: i32, usage: i32) -> Value {
    json!({"type": "entitlements.updated", "messageId": format!("{customer} {limit}"), "customer": {"id": customer}, "resource": resource,
           "entitlementsUpdatedAt": format!("2026-11-0{limit}T00:00:00Z"), "timestamp": format!("2026-11-0{limit}T00:00:00Z"),
           "entitlements": [
               {"feature": {"id": "seats", "featureType": "NUMBER", "meterType": "FLUCTUATING"}, "usageLimit": limit, "currentUsage": usage},
               {"feature": {"id": "sso", "featureType": "BOOLEAN"}}]})
}

/// Compares a local stack with a reference, which is another local stack. Their API token also serves as the Edge API's key.
async fn compare(local: &Local, reference: &Local, arguments: &[&str], key: &str, input: &str) -> Output {
    let environment = [("STIGG_EDGE_URL", reference.url.as_str()), ("STIGG_API_KEY", key), ("API_TOKEN", "local-token")];
    local.byos_with(&[&["compare", "--settle", "0"], arguments].concat(), &environment, input).await
}

#[tokio::test]
async fn replicas_with_the_same_events_are_equal_and_differences_are_reported() {
    let (local, reference) = (Local::start().await, Local::start().await);
    let events = [list("a/1", Value::Null, 5, 1), list("a/1", json!({"id": "site 1"}), 5, 1), list("b", Value::Null, 5, 1)];
    for stack in [&local, &reference] {
        stack.send(&events).await;
    }
    let output = compare(&local, &reference, &[], "local-token", "").await;
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(
        output.out,
        "Compared 6 entitlements of 3 scopes: 0 differences, 0 more of usage alone; 0 scopes could not be compared.\n"
    );

    // A difference in usage only does not affect the exit code.
    let usage = json!({"type": "measurement.reported", "messageId": "m", "timestamp": "2026-11-06T00:00:00Z",
                       "customer": {"id": "b"}, "feature": {"id": "seats"}, "currentUsage": 2});
    reference.send(&[usage]).await;
    let output = compare(&local, &reference, &[], "local-token", "").await;
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.out.contains("b, seats: currentUsage is 2.0 at the reference, 1.0 in the replica\n"), "{output:?}");

    reference.send(&[list("a/1", json!({"id": "site 1"}), 6, 1)]).await;
    let output = compare(&local, &reference, &[], "local-token", "").await;
    assert_eq!(output.code, 3, "{output:?}");
    let line = "a/1, resource site 1, seats: usageLimit is 6.0 at the reference, 5.0 in the replica\n";
    assert!(output.out.contains(line), "{output:?}");
    // With a file, only the scopes in it are compared.
    assert_eq!(compare(&local, &reference, &["--customers", "-"], "local-token", "a/1\nb\nunknown\n").await.code, 0);
    let output = compare(&local, &reference, &["--customers", "-"], "local-token", "").await;
    assert!(output.code == 1 && output.err.contains("nothing to compare"), "{output:?}");
    let output = compare(&local, &reference, &["--customers", "-", "--json"], "local-token", "a/1\tsite 1\n").await;
    let lines = output.json_lines();
    assert_eq!(output.code, 3, "{output:?}");
    assert_eq!(lines[0]["scope"], json!({"customerId": "a/1", "resourceId": "site 1"}));
    assert_eq!(lines[0]["difference"]["field"], "usageLimit");
    assert_eq!(lines[1]["summary"]["differences"], 1);
    let output = compare(&local, &reference, &["--first", "1"], "local-token", "").await;
    assert!(output.out.contains("Compared 4 entitlements of 2 scopes"), "{output:?}");
}

#[tokio::test]
async fn scopes_that_can_not_be_compared_are_not_reported_as_equal() {
    let (local, reference) = (Local::start().await, Local::start().await);
    local.send(&[list("a", Value::Null, 5, 1)]).await;
    let output = compare(&local, &reference, &[], "another-key", "").await;
    assert_eq!((output.code, output.err.contains("the reference rejects the key (401 Unauthorized)")), (1, true), "{output:?}");
    let output = compare(&local, &reference, &[], "", "").await;
    assert!(output.code == 1 && output.err.contains("STIGG_API_KEY"), "{output:?}");
    let unavailable = Local { url: "http://127.0.0.1:1".to_owned(), embedded: reference.embedded };
    let output = compare(&local, &unavailable, &[], "local-token", "").await;
    assert!(output.code == 1 && output.out.contains("a: not compared: the reference: "), "{output:?}");
    let output = compare(&local, &unavailable, &["--customers", "-"], "local-token", "a\n\t\n").await;
    assert!(output.code == 1 && output.err.contains("line 2"), "{output:?}");
    for secret in ["local-token", "another-key"] {
        assert!(!output.out.contains(secret) && !output.err.contains(secret));
    }
}
