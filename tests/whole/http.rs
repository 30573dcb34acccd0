//! Every route over HTTP, on the local stack as `cargo run` serves it.

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::served::Served;

impl Served {
    async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: impl Into<reqwest::Body>) -> Response {
        let mut request = self.client.request(method, format!("{}{path}", self.url)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    async fn webhook(&self, body: impl Into<reqwest::Body>) -> (u16, Value) {
        read(self.send(Method::POST, "/webhook", &[SECRET, JSON], body).await).await
    }

    async fn check(&self, body: Value) -> (u16, Value) {
        read(self.send(Method::POST, "/check-access", &[TOKEN, JSON], body.to_string()).await).await
    }
}

async fn read(response: Response) -> (u16, Value) {
    (response.status().as_u16(), response.json().await.unwrap())
}

const SECRET: (&str, &str) = ("Stigg-Webhooks-Secret", "secret");
const TOKEN: (&str, &str) = ("Authorization", "Bearer token");
const JSON: (&str, &str) = ("Content-Type", "application/json");

fn list() -> Value {
    json!({"type": "entitlements.updated", "messageId": "1", "entitlementsUpdatedAt": "2026-11-01T00:00:00Z",
           "customer": {"id": "c"}, "resource": null,
           "entitlements": [{"feature": {"id": "f", "featureType": "BOOLEAN", "meterType": null}}]})
}

#[tokio::test]
async fn a_list_sent_to_the_webhook_is_visible_in_checks_and_queries() {
    let local = Served::start().await;
    assert_eq!(local.webhook(list().to_string()).await, (200, json!({"success": true, "outcome": "applied"})));
    assert_eq!(local.webhook(list().to_string()).await, (200, json!({"success": true, "outcome": "stale"})));
    let (status, decision) = local.check(json!({"customerId": "c", "featureId": "f"})).await;
    assert_eq!((status, &decision["hasAccess"]), (200, &json!(true)));
    let query = json!({"query": "{ customers { totalCount nodes { customerId entitlements } } }"}).to_string();
    let (status, answer) = read(local.send(Method::POST, "/graphql", &[TOKEN, JSON], query).await).await;
    assert_eq!((status, &answer["data"]["customers"]["totalCount"]), (200, &json!(1)));
    assert_eq!(answer["data"]["customers"]["nodes"][0]["entitlements"][0]["feature"]["id"], "f");
}

#[tokio::test]
async fn requests_without_a_valid_secret_or_token_are_rejected_before_any_other_check() {
    let local = Served::start().await;
    for (path, header) in
        [("/webhook", "Stigg-Webhooks-Secret"), ("/check-access", "Authorization"), ("/graphql", "Authorization")]
    {
        for method in [Method::POST, Method::GET] {
            for value in [None, Some(""), Some("secreT"), Some("Bearer tokeN"), Some("token")] {
                let headers: Vec<_> = value.map(|value| (header, value)).into_iter().collect();
                let response = local.send(method.clone(), path, &headers, "{").await;
                assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{method} {path} {value:?}");
            }
        }
    }
}

#[tokio::test]
async fn unsupported_methods_are_405_and_unknown_paths_404() {
    let local = Served::start().await;
    for (path, header) in [("/webhook", SECRET), ("/check-access", TOKEN)] {
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            let response = local.send(method, path, &[header], "").await;
            assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
            assert_eq!(response.headers()["allow"], "POST");
        }
    }
    assert_eq!(local.send(Method::GET, "/", &[], "").await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_invalid_event_is_a_400_that_names_its_type_and_field() {
    let local = Served::start().await;
    for (body, error) in [
        ("", "the body is not JSON: line 1, column 0"),
        ("[1]", "`type` is missing or not a string: an event is a JSON object with a string `type`"),
        (r#"{"type":7}"#, "`type` is missing or not a string: an event is a JSON object with a string `type`"),
        (r#"{"type":"customer.created"}"#, "customer.created: `id` is missing"),
        (r#"{"type":"customer.created","id":""}"#, "customer.created: `id` must not be empty"),
        (
            r#"{"type":"measurement.reported","customer":{"id":"c"},"feature":{"id":"f"}}"#,
            "measurement.reported: `currentUsage` is missing",
        ),
        (
            r#"{"type":"measurement.reported","customer":{"id":"c"},"feature":{},"currentUsage":1}"#,
            "measurement.reported: `feature.id` is missing",
        ),
        (r#"{"type":"entitlements.updated","customer":{"id":"c"}}"#, "entitlements.updated: `entitlements` is missing"),
        (
            r#"{"type":"entitlements.updated","customer":{"id":"c"},"entitlements":[{"feature":{"id":"f","featureType":5}}]}"#,
            "entitlements.updated: `entitlements[0].feature.featureType` must be a string",
        ),
    ] {
        assert_eq!(local.webhook(body).await, (400, json!({"success": false, "error": error})), "{body}");
    }
    let deep = format!(r#"{{"type":"customer.created","id":"c","metadata":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(local.webhook(deep).await.0, 400);
    assert_eq!(local.webhook(r#"{"type":"customer.created","id":"\ud800"}"#).await.0, 400);
    assert_eq!(local.webhook(vec![0xff, 0xfe]).await.0, 400);
}

#[tokio::test]
async fn events_of_unhandled_types_are_ignored_whatever_their_content() {
    let local = Served::start().await;
    let body = r#"{"type":"credits.granted","timestamp":5,"id":null}"#;
    assert_eq!(local.webhook(body).await, (200, json!({"success": true, "outcome": "ignored"})));
}

#[tokio::test]
async fn a_body_over_4_mib_is_413_and_a_smaller_one_is_accepted() {
    let local = Served::start().await;
    let event = |bytes: usize| json!({"type": "coupon.created", "padding": "x".repeat(bytes)}).to_string();
    assert_eq!(local.webhook(event(4 * 1024 * 1024 - 100)).await.0, 200);
    assert_eq!(local.webhook(event(4 * 1024 * 1024)).await.0, 413);
    let large_field = json!({"type": "customer.created", "id": "c", "metadata": {"x": "x".repeat(400_000)}}).to_string();
    let (status, answer) = local.webhook(large_field).await;
    assert_eq!(
        (status, answer["error"].as_str().unwrap()),
        (413, "customer.created: `metadata` is too large: at most 307200 bytes of JSON can be stored")
    );
}

#[tokio::test]
async fn a_body_that_the_gateway_encodes_in_base64_is_decoded() {
    let local = Served::start().await;
    let response =
        local.send(Method::POST, "/webhook", &[SECRET, ("Content-Type", "application/octet-stream")], list().to_string());
    assert_eq!(read(response.await).await, (200, json!({"success": true, "outcome": "applied"})));
}

#[tokio::test]
async fn a_list_in_the_older_form_replaces_only_the_scopes_that_it_contains() {
    let local = Served::start().await;
    let entitlement =
        |feature: &str, resource: Value| json!({"feature": {"id": feature, "featureType": "BOOLEAN"}, "resourceId": resource});
    let lists = [
        ("1", json!([entitlement("f", json!(null)), entitlement("g", json!("r")), entitlement("h", json!("r"))])),
        ("2", json!([entitlement("h", json!("r"))])),
    ];
    for (number, entitlements) in lists {
        let event = json!({"type": "entitlements.updated", "messageId": number, "customer": {"id": "c"}, "entitlements": entitlements,
                           "entitlementsUpdatedAt": format!("2026-11-0{number}T00:00:00Z")});
        assert_eq!(local.webhook(event.to_string()).await.0, 200);
    }
    for (feature, resource, status) in
        [("f", None, 200), ("g", Some("r"), 403), ("h", Some("r"), 200), ("h", None, 403), ("f", Some("r"), 403)]
    {
        let (decided, decision) = local.check(json!({"customerId": "c", "featureId": feature, "resourceId": resource})).await;
        assert_eq!(decided, status, "{decision}");
    }
}

#[tokio::test]
async fn ids_that_resemble_composite_keys_do_not_collide() {
    let local = Served::start().await;
    let event = |customer: &str, resource: &str| {
        json!({"type": "entitlements.updated", "customer": {"id": customer}, "resource": {"id": resource},
               "entitlementsUpdatedAt": "2026-11-01T00:00:00Z",
               "entitlements": [{"feature": {"id": "f", "featureType": "BOOLEAN"}}]})
        .to_string()
    };
    assert_eq!(local.webhook(event("a#b", "c")).await.0, 200);
    for (customer, resource) in [("a", "b#c"), ("a#b", "c#f"), ("a#b#c", ""), ("a#b", "1#c")] {
        let resource = (!resource.is_empty()).then_some(resource);
        let (status, decision) = local.check(json!({"customerId": customer, "featureId": "f", "resourceId": resource})).await;
        assert_eq!(status, 403, "{decision}");
    }
    assert_eq!(local.check(json!({"customerId": "a#b", "featureId": "f", "resourceId": "c"})).await.0, 200);
}
