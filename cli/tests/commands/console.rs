//! `byos console`: access control, the content of the pages, and an unavailable store.

use std::process::Stdio;

use jiff::Timestamp;
use reqwest::{Client, RequestBuilder, StatusCode, header};
use runtime::parked::Parked;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use crate::{aws::Aws, stack::Local};

/// A process of `byos console`, and a client that signed in with the printed address. Dropping it ends the process.
struct ConsoleSession {
    base: String,
    token: String,
    cookie: String,
    client: Client,
    _process: Child,
}

struct Page {
    status: StatusCode,
    headers: header::HeaderMap,
    text: String,
}

impl ConsoleSession {
    async fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_byos"))
            .args(["console", "--port", "0"])
            .args(arguments)
            .env_clear()
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = loop {
            let line = lines.next_line().await.unwrap().unwrap_or_else(|| panic!("the console did not start"));
            if line.contains("?token=") {
                break line.trim().to_owned();
            }
        };
        let (page, token) = address.split_once("?token=").unwrap();
        let base = page.strip_suffix("/console").unwrap().to_owned();
        let client = byos::http::client().unwrap();
        let answer = client.get(&address).send().await.unwrap();
        assert_eq!((answer.status(), &answer.headers()["location"]), (StatusCode::SEE_OTHER, &"/console".parse().unwrap()));
        let cookie = answer.headers()["set-cookie"].to_str().unwrap();
        assert!(cookie.ends_with("; Path=/console; HttpOnly; SameSite=Strict") && !cookie.contains(token), "{cookie}");
        let cookie = cookie.split(';').next().unwrap().to_owned();
        Self { token: token.to_owned(), base, cookie, client, _process: process }
    }

    async fn for_local_stack(local: &Local) -> Self {
        Self::start(&[], &[("BYOS_URL", &local.url), ("DYNAMODB_ENDPOINT", &local.embedded.endpoint)]).await
    }

    fn request(&self, method: &str, path: &str) -> RequestBuilder {
        self.client.request(method.parse().unwrap(), format!("{}{path}", self.base))
    }

    async fn get(&self, path: &str) -> Page {
        Page::of(self.request("GET", path).header(header::COOKIE, &self.cookie)).await
    }

    /// Submits a form like a browser on a page with `Referrer-Policy: no-referrer`.
    async fn post(&self, path: &str, form: &str) -> Page {
        let request = self.request("POST", path).header(header::COOKIE, &self.cookie);
        let request = request.header("origin", "null").header("sec-fetch-site", "same-origin");
        Page::of(request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(form.to_owned())).await
    }
}

impl Page {
    async fn of(request: RequestBuilder) -> Self {
        let answer = request.send().await.unwrap();
        Self { status: answer.status(), headers: answer.headers().clone(), text: answer.text().await.unwrap() }
    }

    fn location(&self) -> &str {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{}", self.text);
        self.headers["location"].to_str().unwrap()
    }

    #[track_caller]
    fn assert_contains(&self, expected: &[&str]) {
        for expected in expected {
            assert!(self.text.contains(expected), "{expected} is not in {}", self.text);
        }
    }
}

#[tokio::test]
async fn requests_without_the_token_are_rejected_and_responses_are_isolated_from_other_origins() {
    let local = Local::with_sample_data().await;
    let session = ConsoleSession::for_local_stack(&local).await;
    let host = session.base.strip_prefix("http://").unwrap();
    let port = host.split_once(':').unwrap().1;
    let cookie = |request: RequestBuilder| request.header(header::COOKIE, &session.cookie);
    let get = |path: &str| session.request("GET", path);
    let rebound = format!("attacker.example:{port}");
    let another_port = format!("http://127.0.0.1:{}", port.parse::<u16>().unwrap() ^ 1);
    let wrong = format!("byos-console-{port}=wrong");
    for (what, request, status) in [
        ("no token", get("/console/customer?id=customer-alder"), StatusCode::UNAUTHORIZED),
        ("a wrong token", get("/console?token=wrong"), StatusCode::UNAUTHORIZED),
        ("the token on another page", get(&format!("/console/health?token={}", session.token)), StatusCode::UNAUTHORIZED),
        ("a wrong cookie", get("/console").header(header::COOKIE, wrong), StatusCode::UNAUTHORIZED),
        ("the cookie", cookie(get("/console")), StatusCode::OK),
        ("another host", cookie(get("/console")).header(header::HOST, &rebound), StatusCode::FORBIDDEN),
        (
            "another host, with the token",
            get(&format!("/console?token={}", session.token)).header(header::HOST, &rebound),
            StatusCode::FORBIDDEN,
        ),
        ("another origin", cookie(get("/console")).header(header::ORIGIN, &another_port), StatusCode::FORBIDDEN),
        ("a frame of another site", cookie(get("/console")).header("sec-fetch-site", "cross-site"), StatusCode::FORBIDDEN),
        ("a form of another page", cookie(session.request("POST", "/console/health")), StatusCode::FORBIDDEN),
        ("a missing page", cookie(get("/console/secrets")), StatusCode::NOT_FOUND),
        (
            "a write",
            cookie(session.request("PUT", "/console/customer")).header(header::ORIGIN, &session.base),
            StatusCode::METHOD_NOT_ALLOWED,
        ),
        (
            "a write",
            cookie(session.request("DELETE", "/console/customer")).header(header::ORIGIN, &session.base),
            StatusCode::METHOD_NOT_ALLOWED,
        ),
        (
            "a POST to a page without a form",
            cookie(session.request("POST", "/console/check")).header(header::ORIGIN, &session.base),
            StatusCode::METHOD_NOT_ALLOWED,
        ),
    ] {
        let page = Page::of(request).await;
        assert_eq!(page.status, status, "{what}: {}", page.text);
        assert!(page.status == StatusCode::OK || !page.text.contains("Alder"), "{what}");
        assert!(!page.text.contains(&session.token), "{what}");
        let policy = page.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"), "{what}: {policy}");
        for (name, value) in
            [("cache-control", "no-store"), ("x-content-type-options", "nosniff"), ("referrer-policy", "no-referrer")]
        {
            assert_eq!(page.headers[name], value, "{what}");
        }
        assert!(!page.headers.contains_key("access-control-allow-origin"), "{what}");
    }
}

#[tokio::test]
async fn customers_are_found_by_id_prefix_e_mail_address_and_billing_id() {
    let local = Local::with_sample_data().await;
    let session = ConsoleSession::for_local_stack(&local).await;
    for (term, page) in [
        ("customer-cedar", "/console/customer?id=customer%2Dcedar"),
        ("finance%40alder.example", "/console/customer?id=customer%2Dalder"),
        ("cus_Qk7vT3pLmN92aX", "/console/customer?id=customer%2Dalder"),
        // A deleted customer is in no index.
        ("customer-birch", "/console/customer?id=customer%2Dbirch"),
    ] {
        assert_eq!(session.post("/console", &format!("q={term}")).await.location(), page, "{term}");
    }
    let page = session.post("/console", "q=customer-").await;
    page.assert_contains(&["2 customers found", "customer-alder", "customer-cedar", "start of the id"]);
    assert!(!page.text.contains("customer-birch"), "{}", page.text);
    let page = session.post("/console", "q=Alder").await;
    assert_eq!(page.status, StatusCode::OK);
    page.assert_contains(&["No customer found"]);
    session.get("/console?after=customer-alder").await.assert_contains(&["customer-cedar"]);
    let too_long = session.post("/console", &format!("q={}", "x".repeat(20_000))).await;
    assert_eq!(too_long.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_prefix_matches_exactly_the_ids_that_start_with_it_in_all_shards() {
    let local = Local::start().await;
    let ids: Vec<String> = (0..40).map(|n| format!("team-{n:02}")).chain(["tea".to_owned(), "teams".to_owned()]).collect();
    let now = Timestamp::now().to_string();
    let created = |id: &String| json!({"type": "customer.created", "messageId": id, "timestamp": now, "id": id, "name": id});
    local.send(&ids.iter().map(created).collect::<Vec<_>>()).await;
    let session = ConsoleSession::for_local_stack(&local).await;
    let page = session.post("/console", "q=team-").await;
    page.assert_contains(&["25 customers found", "team-00", "team-24", "More customers"]);
    assert!(!page.text.contains("team-25") && !page.text.contains("teams"), "{}", page.text);
    let page = session.post("/console", "q=team-3").await;
    page.assert_contains(&["10 customers found", "team-30", "team-39"]);
    let mut seen = Vec::new();
    let mut path = "/console".to_owned();
    for _ in 0..3 {
        let page = session.get(&path).await;
        seen.extend(ids.iter().filter(|id| page.text.contains(&format!("<bdi>{id}</bdi></code>"))).cloned());
        match page.text.split_once(r#"<a rel="next" href=""#) {
            Some((_, next)) => path = next.split('"').next().unwrap().to_owned(),
            None => break,
        }
    }
    let mut sorted = ids.clone();
    sorted.sort();
    seen.sort();
    assert_eq!(seen, sorted, "the pages list each id once");
}

#[tokio::test]
async fn pages_show_the_decision_of_check_access_and_the_events_behind_it() {
    let local = Local::with_sample_data().await;
    let session = ConsoleSession::for_local_stack(&local).await;
    let page = session.get("/console/customer?id=customer-alder").await;
    page.assert_contains(&[
        "Alder Analytics GmbH",
        "finance@alder.example",
        "feature-seats",
        "site-berlin",
        "4,820",
        "Growth",
        "ACTIVE",
    ]);
    for (feature, usage) in
        [("feature-seats", 1), ("feature-seats", 0), ("feature-api-calls", 60_000), ("feature-sso", 0), ("none", 0)]
    {
        let request = json!({"customerId": "customer-alder", "featureId": feature, "requestedUsage": usage});
        let answer = local.check_access(&request).await;
        let page = session.get(&format!("/console/check?customer=customer-alder&feature={feature}&usage={usage}")).await;
        let verdict = if answer["hasAccess"] == true { "Granted</h2>" } else { "Denied</h2>" };
        page.assert_contains(&[verdict, answer["reason"].as_str().unwrap(), "fbca6011-41de-42ec-811f-519829f664bb"]);
        if let Some(denied) = answer["accessDeniedReason"].as_str() {
            page.assert_contains(&[denied]);
        }
    }
    let page = session.get("/console/history?customer=customer-alder&feature=feature-api-calls").await;
    page.assert_contains(&["older than the list, whose usage counts"]);
    // The list of this time carries usage, so the next measurement and the next list must be newer than it.
    assert_eq!(page.text.matches(">2026-09-12T14:20:06.482Z</time>").count(), 2, "{}", page.text);
    let page = session.get("/console/customer?id=customer-birch").await;
    page.assert_contains(&["Deleted", "Hidden from readers", "CustomerIsArchived", "aac78ee9-3f4d-4320-be76-8a02e83e7d2a"]);
    let page = session.get("/console/customer?id=nobody").await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    for (path, what) in [
        ("/console/check?customer=c&feature=f&usage=-1", "Requested usage must be a finite number, not below 0"),
        ("/console/check?customer=&feature=f", "Customer must not be empty"),
        ("/console/check?customer=a&customer=b", "each once"),
        ("/console/customer", "`id` must not be empty"),
    ] {
        let page = session.get(path).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{path}");
        page.assert_contains(&[what]);
    }
}

#[tokio::test]
async fn queued_events_are_shown_with_their_reason_and_stay_available_for_replay() {
    let aws = Aws::start().await;
    let parked = |event: &Value| {
        let kind = event["type"].as_str().unwrap().to_owned();
        Parked { received_at: Timestamp::now(), kind, message_id: None, body: event.to_string().into_bytes() }
            .to_message()
            .unwrap()
    };
    let now = Timestamp::now().to_string();
    aws.sqs.put(parked(&json!({"type": "customer.created", "messageId": "m-dead", "timestamp": now, "id": "dead"})));
    aws.sqs.put_into("set-aside", parked(&json!({"type": "customer.created", "messageId": "m-aside", "name": "Ann Example"})));
    aws.sqs.put_into("set-aside", parked(&json!({"type": "customer.deleted", "id": "foreign", "environmentId": "another"})));
    assert_eq!(aws.byos(&["environment", "--stack", "replica", "--set", "own", "--yes"]).await.code, 0);
    let session = ConsoleSession::start(&["--stack", "replica"], &aws.environment()).await;
    for _ in 0..2 {
        let page = session.get("/console/health").await;
        page.assert_contains(&[
            "the stack replica",
            "Dead-letter queue",
            "m-dead",
            "It can: <code>byos replay</code> writes it.",
            "Set-aside queue",
            "m-aside",
            "customer.created: `id`",
            "foreign",
            "customer.deleted: `environmentId`",
        ]);
        page.assert_contains(&["CloudWatch, which this console does not read", "Not run yet"]);
        assert!(!page.text.contains("Ann Example"), "{}", page.text);
    }
    let output = aws.byos(&["replay", "--stack", "replica", "--yes"]).await;
    assert!(output.out.contains("1 applied, 0 stale, 0 ignored, 2 refused."), "{output:?}");

    assert_eq!(session.post("/console/health", "").await.location(), "/console/health");
    let page = session.get("/console/health").await;
    page.assert_contains(&["keys and 4 indexes as in the template", "webhook, a wrong secret", "Run again"]);
    assert!(!page.text.contains("local-secret"), "{}", page.text);
}

#[tokio::test]
async fn an_unavailable_store_is_reported_on_every_page_that_reads_it() {
    let session =
        ConsoleSession::start(&[], &[("DYNAMODB_ENDPOINT", "http://127.0.0.1:1"), ("BYOS_URL", "http://127.0.0.1:1")]).await;
    for path in [
        "/console",
        "/console/customer?id=c",
        "/console/check?customer=c&feature=f",
        "/console/check?customer=c",
        "/console/history?customer=c&feature=f",
    ] {
        let page = session.get(path).await;
        assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE, "{path}: {}", page.text);
        page.assert_contains(&["The store did not answer", "DynamoDB was not available for"]);
    }
    assert_eq!(session.post("/console", "q=c").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(session.get("/console/check").await.status, StatusCode::OK);
}
