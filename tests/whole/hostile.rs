//! Unusual HTTP requests: duplicate headers, other content types and encodings, no token. Each gets an answer, and none
//! bypasses authentication.

use reqwest::{Method, header::HeaderMap};
use serde_json::{Value, json};

use crate::served::Served;

impl Served {
    async fn send_bytes(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &[u8])],
        body: impl Into<reqwest::Body>,
    ) -> (u16, Value) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: reqwest::header::HeaderName = name.parse().unwrap();
            map.append(name, reqwest::header::HeaderValue::from_bytes(value).unwrap());
        }
        let response = self.client.request(method, format!("{}{path}", self.url)).headers(map).body(body).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap_or_default())
    }
}

const EVENT: &str = r#"{"type":"customer.created","id":"c","messageId":"m","timestamp":"2026-11-01T00:00:00Z"}"#;

#[tokio::test]
async fn unusual_headers_do_not_change_how_an_event_is_read() {
    let local = Served::start().await;
    let secret: (&str, &[u8]) = ("stigg-webhooks-secret", b"secret");
    for more in [
        vec![],
        vec![("content-type", &b"text/plain"[..])],
        vec![("content-type", b"application/x-www-form-urlencoded")],
        vec![("content-type", b"application/json; charset=utf-16")],
        vec![("content-type", b"multipart/form-data; boundary=x")],
        vec![("content-type", b"\xff\xfe")],
        vec![("content-type", b"application/json"), ("content-type", b"text/xml")],
        vec![("x-forwarded-proto", b"not a scheme")],
        vec![("x-forwarded-proto", b"https, http"), ("x-forwarded-for", b"1.2.3.4"), ("forwarded", b"host=x")],
        vec![("x-http-method-override", b"DELETE"), ("x-original-url", b"/graphql")],
        vec![("cookie", b"a=b; \"c\""), ("cookie", b"d")],
        vec![("accept-encoding", b"gzip"), ("expect", b"")],
        // The body is not compressed, although the header says so.
        vec![("content-type", b"application/json"), ("content-encoding", b"gzip")],
    ] {
        let headers: Vec<_> = [secret].into_iter().chain(more).collect();
        let (status, answer) = local.send_bytes(Method::POST, "/webhook", &headers, EVENT).await;
        assert_eq!((status, &answer["success"]), (200, &json!(true)), "{headers:?}: {answer}");
    }
    let gzip: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xab, 0xae, 5, 0, 0x43, 0xbf, 0xa6, 0xa3, 2, 0, 0, 0];
    for body in [gzip, &[0xff, 0xfe, b'{', 0, b'}', 0], b"\xef\xbb\xbf{}", b""] {
        for kind in [&b"application/json"[..], b"application/octet-stream"] {
            let headers = [secret, ("content-type", kind), ("content-encoding", b"gzip")];
            let (status, answer) = local.send_bytes(Method::POST, "/webhook", &headers, body).await;
            assert!(status == 400 && answer["error"].as_str().unwrap().starts_with("the body is not JSON"), "{answer}");
        }
    }
}

#[tokio::test]
async fn requests_with_two_secrets_or_two_tokens_are_rejected() {
    let local = Served::start().await;
    for values in [
        [&b"secret"[..], b"secret"],
        [b"secret", b"wrong"],
        [b"wrong", b"secret"],
        [b"", b"secret"],
        [b"secret", b""],
        [b"secret\xff", b"s"],
    ] {
        let headers = values.map(|value| ("stigg-webhooks-secret", value));
        assert_eq!(local.send_bytes(Method::POST, "/webhook", &headers, EVENT).await.0, 401, "{values:?}");
        let tokens = values.map(|value| replace_first(&[b"Bearer ", value].concat(), b"secret", b"token"));
        let headers = [
            ("authorization", tokens[0].as_slice()),
            ("authorization", tokens[1].as_slice()),
            ("content-type", b"application/json"),
        ];
        for path in ["/check-access", "/graphql"] {
            let status = local.send_bytes(Method::POST, path, &headers, r#"{"query":"{ __typename }"}"#).await.0;
            assert_eq!(status, 401, "{path} {values:?}");
        }
    }
}

fn replace_first(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    match bytes.windows(from.len()).position(|window| window == from) {
        Some(at) => [&bytes[..at], to, &bytes[at + from.len()..]].concat(),
        None => bytes.to_vec(),
    }
}

#[tokio::test]
async fn readers_reject_every_method_without_a_token_and_preflights_without_cors() {
    let local = Served::start().await;
    let query = r#"[{"query":"{ customers { totalCount } }"}]"#;
    let preflight: [(&str, &[u8]); 3] = [
        ("origin", b"https://example.com"),
        ("access-control-request-method", b"POST"),
        ("access-control-request-headers", b"authorization"),
    ];
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY", "PROPFIND"] {
        let method: Method = method.parse().unwrap();
        for path in [
            "/check-access",
            "/graphql",
            "/graphql?query=%7Bcustomers%7BtotalCount%7D%7D",
            "/check-access?customerId=c&featureId=f&token=token",
        ] {
            let (status, answer) = local.send_bytes(method.clone(), path, &preflight, query).await;
            assert_eq!(status, 401, "{method} {path}: {answer}");
            assert!(answer.get("data").is_none() && answer.get("hasAccess").is_none(), "{answer}");
        }
    }
}
