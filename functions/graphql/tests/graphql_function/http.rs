//! GraphQL over HTTP: requests, status codes and media types.

use std::io::Write as _;

use graphql::Options;
use lambda_http::{
    Body, Request,
    http::{StatusCode, header},
};
use serde_json::{Value, json};

use crate::{
    queries::README,
    stack::{Stack, body_of, get, post},
};

const JSON: &str = "application/json";
const GRAPHQL_RESPONSE: &str = "application/graphql-response+json";

#[tokio::test]
async fn an_invalid_query_has_status_400_in_the_media_type_graphql_response() {
    let stack = Stack::start().await;
    for (body, json_status, graphql_status) in [
        (r#"{"query":"{ __typename }"}"#, 200, 200),
        (r#"{"query":"{ customers(first: 500) { totalCount } }"}"#, 200, 200),
        (r#"{"query":"{ customers @skip(if: true) { totalCount } }"}"#, 200, 200),
        (r#"{"query":"{ checkAccess(customerId: \"\", featureId: \"f\") { hasAccess } }"}"#, 200, 200),
        (r#"{"query":"mutation { deleteCustomer { id } }"}"#, 200, 400),
        (r#"{"query":"{"}"#, 200, 400),
        (r#"{"query":"{ nothing }"}"#, 200, 400),
        (r#"{"query":"query ($id: String!) { customer(customerId: $id) { name } }"}"#, 200, 400),
        (r#"{"query":"query ($id: String!) { customer(customerId: $id) { name } }","variables":{"id":[5]}}"#, 200, 400),
        (r#"{"query":"query a { __typename } query b { __typename }"}"#, 200, 400),
        (r#"{"query":"{ __typename }","operationName":"other"}"#, 200, 400),
        (r#"{"query":"{ __typename }","variables":[]}"#, 400, 400),
        (r#"{"query":"{ __typename }","operationName":5}"#, 400, 400),
        (r#"{"query":"{ __typename }","extensions":"x"}"#, 400, 400),
        (r#"{"query":5}"#, 400, 400),
        ("{}", 400, 400),
        ("5", 400, 400),
        ("{", 400, 400),
        ("", 400, 400),
    ] {
        for (accept, status) in [(JSON, json_status), (GRAPHQL_RESPONSE, graphql_status)] {
            let mut request = post(body);
            request.headers_mut().insert(header::ACCEPT, accept.parse().unwrap());
            let response = stack.graphql.handle(request).await;
            assert_eq!(response.status(), status, "{accept}: {body}: {:?}", response.body());
            assert!(response.headers()[header::CONTENT_TYPE].to_str().unwrap().starts_with(accept));
            assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
            let answer = body_of(&response);
            let is_rejected = graphql_status == 400;
            assert_eq!(answer.get("data").is_none(), is_rejected, "{body}: {answer}");
            if is_rejected {
                assert!(answer["errors"][0]["extensions"]["code"].is_string(), "{body}: {answer}");
            }
        }
    }
}

#[tokio::test]
async fn get_requests_are_answered() {
    let stack = Stack::start().await;
    let parameters = [
        ("query", "query Q($id: String!) { customer(customerId: $id) { name } } query R { __typename }"),
        ("variables", r#"{"id":"a,b&c"}"#),
        ("operationName", "Q"),
    ];
    let response = stack.graphql.handle(get(&parameters)).await;
    assert_eq!((response.status(), body_of(&response)), (StatusCode::OK, json!({"data": {"customer": null}})));
    for parameters in [vec![], vec![("query", "{ __typename }"), ("variables", "{")]] {
        assert_eq!(stack.graphql.handle(get(&parameters)).await.status(), StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn a_batch_is_answered_in_order_up_to_its_limit() {
    let stack = Stack::start().await;
    let query = |n: usize| json!({"query": format!("query Q{n} {{ q{n}: __typename }}"), "operationName": format!("Q{n}")});
    let batch = |count| Value::Array((0..count).map(query).collect()).to_string();
    let response = stack.graphql.handle(post(&batch(10))).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(body_of(&response)[9], json!({"data": {"q9": "Query"}}));
    assert_eq!(stack.graphql.handle(post(&batch(11))).await.status(), StatusCode::BAD_REQUEST);
    let response = stack.graphql.handle(post(r#"[{"query":"{"},{"query":"{ __typename }"}]"#)).await;
    assert_eq!(body_of(&response)[1], json!({"data": {"__typename": "Query"}}));
    let response = stack.graphql.handle(post(r#"[{"query":"{ __typename }"},{},5]"#)).await;
    assert_eq!(response.status(), StatusCode::OK);
    let answers = body_of(&response);
    assert_eq!(answers[0], json!({"data": {"__typename": "Query"}}));
    assert!((1..3).all(|at| answers[at]["errors"][0]["extensions"]["code"] == "BAD_REQUEST"), "{answers}");
    assert_eq!(body_of(&stack.graphql.handle(post("[]")).await), json!([]));
}

#[tokio::test]
async fn unsupported_headers_methods_and_bodies_are_rejected() {
    let stack = Stack::start().await;
    let query = r#"{"query":"{ __typename }"}"#;
    for (name, value, status) in [
        ("content-type", "text/plain", 415),
        ("content-type", "application/json; charset=latin1", 415),
        ("content-type", "application/JSON; charset=\"UTF-8\"", 200),
        ("content-encoding", "br", 415),
        ("content-encoding", "gzip", 400),
        ("accept", "text/html", 200),
    ] {
        let mut request = post(query);
        request.headers_mut().insert(name, value.parse().unwrap());
        assert_eq!(stack.graphql.handle(request).await.status(), status, "{name}: {value}");
    }
    let mut request = post(query);
    request.headers_mut().remove("content-type");
    assert_eq!(stack.graphql.handle(request).await.status(), 415);

    let long = format!(r#"{{"query":"{{ __typename }}","extensions":{{"x":"{}"}}}}"#, "x".repeat(256 * 1024));
    assert_eq!(stack.graphql.handle(post(&long)).await.status(), StatusCode::PAYLOAD_TOO_LARGE);

    for method in ["PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"] {
        let mut request = post(query);
        *request.method_mut() = method.parse().unwrap();
        let response = stack.graphql.handle(request).await;
        assert_eq!(
            (response.status(), &response.headers()[header::ALLOW]),
            (StatusCode::METHOD_NOT_ALLOWED, &"GET, POST".parse().unwrap())
        );
    }
    let mut request = post("");
    *request.body_mut() = Body::Binary(query.as_bytes().to_vec());
    assert_eq!(stack.graphql.handle(request).await.status(), StatusCode::OK);
}

/// A POST request with this body and these headers.
fn posted(body: impl Into<Vec<u8>>, headers: &[(&'static str, &str)]) -> Request {
    let mut request = post("");
    *request.body_mut() = Body::Binary(body.into());
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    request
}

#[tokio::test]
async fn every_request_form_that_the_example_accepts_is_accepted() {
    let stack = Stack::start().await;
    stack.customer("c", 1).await;
    let query = "query($id: String = \"c\") { customer(customerId: $id) { name } }";
    let json = |variables: Value| json!({"query": query, "variables": variables}).to_string();
    let gzipped = |body: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(body.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let deflated = {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(json(Value::Null).as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let form = "application/x-www-form-urlencoded; charset=utf-8";
    let found = json!({"data": {"customer": {"name": "Name of c"}}});
    let none = json!({"data": {"customer": null}});
    for (request, expected) in [
        (posted(json(json!("{\"id\":\"c\"}")), &[]), &found),
        (posted(json(json!("{\"id\":\"d\"}")), &[]), &none),
        (posted(json(json!("")), &[]), &found),
        (posted(format!("\u{feff}{}", json(Value::Null)), &[]), &found),
        (posted(gzipped(&json(Value::Null)), &[("content-encoding", "gzip")]), &found),
        (posted(deflated, &[("content-encoding", "deflate")]), &found),
        (posted(query, &[("content-type", "application/graphql")]), &found),
        (posted("query=%7B+customer(customerId:%22c%22)%7Bname%7D%7D", &[("content-type", form)]), &found),
        (
            posted(
                "query=query($id:String!)%7Bcustomer(customerId:$id)%7Bname%7D%7D&variables=%7B%22id%22%3A%22d%22%7D&operationName=",
                &[("content-type", form)],
            ),
            &none,
        ),
        (posted(json(Value::Null), &[("accept", "text/html")]), &found),
    ] {
        let response = stack.graphql.handle(request).await;
        assert_eq!((response.status(), &body_of(&response)), (StatusCode::OK, expected));
    }
    for (request, status) in [
        (posted(json(json!("x")), &[]), 400),
        (posted(json(json!("[]")), &[]), 400),
        (posted(gzipped(&" ".repeat(256 * 1024 + 1)), &[("content-encoding", "gzip")]), 413),
    ] {
        assert_eq!(stack.graphql.handle(request).await.status(), status);
    }
}

#[tokio::test]
async fn graphiql_is_public_and_opens_with_the_examples_query() {
    let stack = Stack::start().await;
    let page = |method: &str| {
        let mut request = get(&[]);
        *request.method_mut() = method.parse().unwrap();
        *request.uri_mut() = "https://example.com/stage/graphiql".parse().unwrap();
        request.headers_mut().clear();
        request
    };
    let response = stack.graphql.handle(page("GET")).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
    let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.contains("connect-src 'self'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    let Body::Text(text) = response.body() else { panic!("a text") };
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ");
    assert!(words(text).contains(&words(README)));

    assert_eq!(stack.graphql.handle(page("POST")).await.status(), StatusCode::METHOD_NOT_ALLOWED);
    let off = stack.with_options(Options { graphiql: false, ..Options::default() });
    assert_eq!(off.handle(page("GET")).await.status(), StatusCode::NOT_FOUND);
}
