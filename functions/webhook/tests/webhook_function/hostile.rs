//! Hostile events to the binary: each is rejected as documented, or stored unchanged and shown by readers. The process
//! survives all of them.

use std::{path::Path, time::Instant};

use local::{embedded::Embedded, serve::Stack};
use runtime::clock::Clock;
use serde_json::{Value, json};
use testkit::{fake_aws::Sqs, runtime_api::Lambda};

struct Hostile {
    lambda: Lambda,
    readers: Stack,
    _embedded: Embedded,
}

impl Hostile {
    async fn start() -> Self {
        let embedded = Embedded::in_memory().await.unwrap();
        let tables = embedded.store.tables();
        let variables = [
            ("CUSTOMERS_TABLE", tables.customers.clone()),
            ("SUBSCRIPTIONS_TABLE", tables.subscriptions.clone()),
            ("RECEIPTS_TABLE", tables.receipts.clone()),
            ("DYNAMODB_ENDPOINT", embedded.endpoint.clone()),
            ("STIGG_WEBHOOK_SECRET", "secret".to_owned()),
        ];
        let lambda = Lambda::start(Path::new(env!("CARGO_BIN_EXE_webhook")), variables).await.unwrap();
        let readers = Stack::on(embedded.store.clone(), "secret", "token", Clock::system()).unwrap();
        Self { lambda, readers, _embedded: embedded }
    }

    /// The response's status, and its error or outcome.
    async fn send(&self, body: impl Into<String>) -> (u64, String) {
        self.call(envelope("/webhook", body, &[("stigg-webhooks-secret", "secret")])).await
    }

    async fn call(&self, event: Value) -> (u64, String) {
        let answer = self.lambda.invoke(&event).await.unwrap();
        let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        let message = body["error"].as_str().or(body["outcome"].as_str()).unwrap().to_owned();
        (answer["statusCode"].as_u64().unwrap(), message)
    }

    async fn apply(&self, event: Value) {
        assert_eq!(self.send(event.to_string()).await, (200, "applied".to_owned()), "{event}");
    }

    async fn query(&self, query: &str, variables: Value) -> Value {
        let body = json!({"query": query, "variables": variables}).to_string();
        let event = envelope("/graphql", body, &[("authorization", "Bearer token"), ("content-type", "application/json")]);
        let answer = self.readers.gateway.invoke(event).await.unwrap();
        let answer: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        assert_eq!(answer.get("errors"), None, "{query} {variables}");
        answer["data"].clone()
    }

    async fn check(&self, check: Value) -> Value {
        let event = envelope("/check-access", check.to_string(), &[("authorization", "Bearer token")]);
        let answer = self.readers.gateway.invoke(event).await.unwrap();
        serde_json::from_str(answer["body"].as_str().unwrap()).unwrap()
    }

    async fn is_granted(&self, customer: &str, resource: Option<&str>, feature: &str) -> bool {
        self.check(json!({"customerId": customer, "resourceId": resource, "featureId": feature})).await["hasAccess"] == true
    }

    async fn customer_count(&self) -> Value {
        self.query("{ customers { totalCount } }", Value::Null).await["customers"]["totalCount"].clone()
    }

    /// Checks that the process still works, and that its log has no panic.
    async fn end(self) {
        self.apply(
            json!({"type": "customer.created", "id": "ordinary", "messageId": "last", "timestamp": "2026-11-24T00:00:00Z"}),
        )
        .await;
        let log = self.lambda.stop().await.unwrap();
        assert!(!log.contains("panicked"), "{log}");
        assert!(log.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "a line is not JSON");
    }
}

fn envelope(path: &str, body: impl Into<String>, headers: &[(&str, &str)]) -> Value {
    let headers: serde_json::Map<_, _> = headers.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    json!({"version": "2.0", "routeKey": format!("POST {path}"), "rawPath": path, "rawQueryString": "", "headers": headers,
           "requestContext": {"http": {"method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"},
                              "accountId": "0", "apiId": "0", "requestId": "0", "stage": "$default", "timeEpoch": 0},
           "body": body.into(), "isBase64Encoded": false})
}

fn in_base64(bytes: &[u8]) -> Value {
    use std::fmt::Write as _;
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let text = bytes.chunks(3).fold(String::new(), |mut text, chunk| {
        let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for index in 0..4 {
            let digit = if index > chunk.len() { '=' } else { char::from(DIGITS[(bits >> (18 - 6 * index) & 63) as usize]) };
            write!(text, "{digit}").unwrap();
        }
        text
    });
    let mut event = envelope("/webhook", text, &[("stigg-webhooks-secret", "secret")]);
    event["isBase64Encoded"] = true.into();
    event
}

fn list(customer: &str, resource: Option<&str>, entitlements: &Value) -> Value {
    json!({"type": "entitlements.updated", "messageId": "m", "entitlementsUpdatedAt": "2026-11-01T00:00:00Z", "customer": {"id": customer},
           "resource": resource.map(|id| json!({"id": id})), "entitlements": entitlements})
}

fn boolean(feature: &str) -> Value {
    json!({"feature": {"id": feature, "featureType": "BOOLEAN"}})
}

#[tokio::test]
async fn invalid_events_are_rejected_with_the_invalid_field() {
    let hostile = Hostile::start().await;
    let created =
        |members: &str| format!(r#"{{"type":"customer.created","id":"c","timestamp":"2026-11-01T00:00:00Z"{members}}}"#);
    let measured = |usage: &str| {
        format!(r#"{{"type":"measurement.reported","customer":{{"id":"c"}},"feature":{{"id":"f"}},"currentUsage":{usage}}}"#)
    };
    let identified = |id: &str| format!(r#"{{"type":"customer.created","id":"{id}"}}"#);
    let not_json = "the body is not JSON";
    let [undecodable, undecodable_measurement] =
        ["customer.created", "measurement.reported"].map(|kind| format!("{kind}: the body can't be decoded: "));
    let nested = |depth: usize| created(&format!(r#","metadata":{}{}"#, "[".repeat(depth), "]".repeat(depth)));
    let long = "x".repeat(4_096);
    let mut rejected = 0;
    for (body, status, error) in [
        (String::new(), 400, not_json.to_owned()),
        (" ".to_owned(), 400, not_json.to_owned()),
        ("null".to_owned(), 400, "`type` is missing".to_owned()),
        ("\u{feff}{}".to_owned(), 400, not_json.to_owned()),
        (nested(127), 400, undecodable.clone()),
        (nested(100_000), 400, undecodable.clone()),
        ("{\"a\":".repeat(100_000), 400, not_json.to_owned()),
        (created(r#","name":"\ud800""#), 400, undecodable.clone()),
        (created(r#","name":"\udc00\ud800""#), 400, undecodable.clone()),
        (created(",\"name\":\"\n\""), 400, not_json.to_owned()),
        (created(r#","metadata":{"n":1e999}"#), 400, undecodable.clone()),
        (measured("NaN"), 400, not_json.to_owned()),
        (measured("-Infinity"), 400, not_json.to_owned()),
        (measured("1e309"), 400, undecodable_measurement.clone()),
        (measured(&"9".repeat(400)), 400, undecodable_measurement.clone()),
        (measured("0x10"), 400, not_json.to_owned()),
        (measured("\"1\""), 400, "measurement.reported: `currentUsage` must be a number".to_owned()),
        (measured("[1]"), 400, "measurement.reported: `currentUsage` must be a number".to_owned()),
        (identified(r"a\u0000b"), 400, "customer.created: `id` must not contain the character U+0000".to_owned()),
        (identified(&long), 400, "customer.created: `id` must be at most 500 bytes long".to_owned()),
        (identified(&"x".repeat(501)), 400, "customer.created: `id` must be at most 500 bytes long".to_owned()),
        (identified(&"é".repeat(251)), 400, "customer.created: `id` must be at most 500 bytes long".to_owned()),
        (
            list(&long, None, &json!([])).to_string(),
            400,
            "entitlements.updated: `customer.id` must be at most 500 bytes long".to_owned(),
        ),
        (
            list("c", Some(&long), &json!([])).to_string(),
            400,
            "entitlements.updated: `resource.id` must be at most 500 bytes long".to_owned(),
        ),
        (
            list("c", None, &json!([boolean("f"), boolean(&long)])).to_string(),
            400,
            "entitlements.updated: `entitlements[1].feature.id` must be at most 500 bytes long".to_owned(),
        ),
        (
            list("c", None, &json!([boolean("f"), {"feature": {"id": "g", "description": "x".repeat(410_000)}}])).to_string(),
            413,
            "entitlements.updated: `entitlements[1]` is too large: at most 307200 bytes of JSON can be stored".to_owned(),
        ),
        (
            created(&format!(r#","metadata":{{"x":"{}"}}"#, "é".repeat(200_000))),
            413,
            "customer.created: `metadata` is too large: at most 307200 bytes of JSON can be stored".to_owned(),
        ),
        (
            list("c", None, &json!([]))
                .to_string()
                .replace(r#""id":"c""#, &format!(r#""id":"c","name":"{}""#, "x".repeat(70_000))),
            413,
            "entitlements.updated: `customer.name` is too large: at most 65536 bytes of JSON can be stored".to_owned(),
        ),
        (
            format!(r#"{{"type":"subscription.created","id":"s","status":"{long}"}}"#),
            400,
            "subscription.created: `status` must be at most 500 bytes long".to_owned(),
        ),
    ] {
        let (actual, message) = hostile.send(body.clone()).await;
        assert_eq!(actual, status, "{}: {message}", body.get(..200).unwrap_or(&body));
        assert!(message.starts_with(&error) && message.len() < 200, "{}: {message}", body.get(..200).unwrap_or(&body));
        rejected += 1;
    }
    let utf16: Vec<u8> = identified("c").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let gzip = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..], &[0xab; 40]].concat();
    let latin1 = b"{\"type\":\"customer.created\",\"id\":\"caf\xe9\"}";
    let overlong = b"{\"type\":\"customer.created\",\"id\":\"\xc0\xaf\"}";
    let surrogate = b"{\"type\":\"customer.created\",\"id\":\"\xed\xa0\x80\"}";
    for bytes in [&utf16[..], &[&[0xff, 0xfe][..], &utf16].concat(), &gzip, latin1, overlong, surrogate, &[0; 1_000], &[0xff]] {
        let (status, message) = hostile.call(in_base64(bytes)).await;
        assert!(status == 400 && message.starts_with(not_json), "{bytes:?}: {status} {message}");
        rejected += 1;
    }
    println!("{rejected} events were rejected");
    assert_eq!(hostile.customer_count().await, 0, "a rejected event was stored");
    hostile.end().await;
}

#[tokio::test]
async fn invalid_dates_count_as_absent() {
    let hostile = Hostile::start().await;
    for (n, date) in [
        "2026-02-30T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-11-01T25:00:00Z",
        "2026-11-01T00:00:00+99:99",
        "10000-01-01T00:00:00Z",
        "+010000-01-01T00:00:00Z",
        "-000001-12-31T23:59:59Z",
        "0000-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-01:00",
        "1764000000",
        "yesterday",
        "",
        "2026-11-01T00:00:00Z\u{0}",
        "２０２６-11-01T00:00:00Z",
    ]
    .into_iter()
    .enumerate()
    {
        let id = n.to_string();
        hostile.apply(json!({"type": "customer.created", "id": id, "timestamp": date})).await;
        let customer = hostile.query("query($id: String!) { customer(customerId: $id) { createdAt } }", json!({"id": id})).await;
        let created_at: jiff::Timestamp = customer["customer"]["createdAt"].as_str().unwrap().parse().unwrap();
        let age = jiff::Timestamp::now().duration_since(created_at);
        assert!(age.as_secs() < 60, "{date:?} is dated {created_at} instead of its receipt");
        let event =
            json!({"type": "subscription.created", "id": id, "status": "ACTIVE", "customer": {"id": id}, "plan": {"id": "p"}});
        let with_start =
            |start: &str| event.as_object().unwrap().clone().into_iter().chain([("startDate".to_owned(), start.into())]);
        hostile.apply(with_start(date).collect()).await;
        let shown =
            hostile.query("query($id: String!) { subscription(subscriptionId: $id) { startDate } }", json!({"id": id})).await;
        assert_eq!(shown["subscription"], Value::Null, "{date:?}");
        hostile.apply(with_start("2026-09-01").collect()).await;
        let shown =
            hostile.query("query($id: String!) { subscription(subscriptionId: $id) { startDate } }", json!({"id": id})).await;
        assert_eq!(shown["subscription"]["startDate"], "2026-09-01T00:00:00.000Z", "{date:?}");
    }
    hostile.end().await;
}

/// During a rotation of the secret, two webhooks deliver to one URL (docs/deploy.md). Each delivery has its own `traceId`.
#[tokio::test]
async fn an_event_without_a_time_that_two_webhooks_deliver_is_one_event() {
    let hostile = Hostile::start().await;
    let metered = json!([{"feature": {"id": "f", "featureType": "NUMBER", "meterType": "FLUCTUATING"}, "usageLimit": 10}]);
    hostile.apply(list("c", None, &metered)).await;
    let first = r#"{"type":"measurement.reported","messageId":"m1","traceId":"t1","eventId":"e1","customer":{"id":"c","name":"N"},"feature":{"id":"f"},"currentUsage":3}"#;
    let second = r#" { "currentUsage": 3.0, "feature": {"id": "f"}, "customer": {"name": "\u004e", "id": "c"},
        "eventId": "e2", "traceId": "t2", "messageId": "m1", "type": "measurement.reported" } "#;
    assert_eq!(hostile.send(first).await, (200, "applied".to_owned()));
    hostile.apply(json!({"type": "measurement.reported", "messageId": "m2", "customer": {"id": "c"}, "feature": {"id": "f"}, "currentUsage": 10})).await;
    assert_eq!(hostile.send(second).await, (200, "stale".to_owned()));
    let check = hostile.check(json!({"customerId": "c", "featureId": "f", "requestedUsage": 1})).await;
    assert_eq!((&check["currentUsage"], &check["hasAccess"]), (&json!(10), &json!(false)));
    hostile.end().await;
}

#[tokio::test]
async fn a_reported_balance_decides_until_a_newer_list() {
    let hostile = Hostile::start().await;
    let paid = |remaining: u32| {
        json!([{"feature": {"id": "f", "featureType": "NUMBER", "meterType": null}, "usageLimit": null,
                "creditBalance": {"creditCurrency": {"id": "tokens"}, "totalGranted": 100, "remainingBalance": remaining}}])
    };
    let left = async |resource: Option<&str>| {
        let check = hostile.check(json!({"customerId": "c", "featureId": "f", "resourceId": resource})).await;
        (check["hasAccess"].as_bool().unwrap(), check["remainingBalance"].as_f64().unwrap())
    };
    for resource in [None, Some("r")] {
        hostile.apply(list("c", resource, &paid(50))).await;
        assert_eq!(left(resource).await, (true, 50.0));
        let newer = |kind: &str, day: u8, remaining: Value| {
            json!({"type": format!("credit_balance.{kind}"), "messageId": "b", "timestamp": format!("2026-11-{day:02}T00:00:00Z"),
                   "customer": {"id": "c"}, "resource": resource.map(|id| json!({"id": id})), "creditCurrency": {"id": "tokens"},
                   "totalGranted": 100, "remainingBalance": remaining})
        };
        hostile.apply(newer("low", 2, json!(10))).await;
        assert_eq!(left(resource).await, (true, 10.0));
        hostile.apply(newer("depleted", 4, json!("nothing"))).await;
        assert_eq!(left(resource).await, (false, 0.0));
        // A late event, and an event of another currency.
        assert_eq!(hostile.send(newer("low", 3, json!(9)).to_string()).await, (200, "stale".to_owned()));
        let mut other = newer("low", 5, json!(9));
        other["creditCurrency"]["id"] = "other".into();
        hostile.apply(other).await;
        assert_eq!(left(resource).await, (false, 0.0));
        let mut newest = list("c", resource, &paid(70));
        newest["entitlementsUpdatedAt"] = "2026-11-06T00:00:00Z".into();
        hostile.apply(newest).await;
        assert_eq!(left(resource).await, (true, 70.0));
        // The older form has no time, so its receipt counts.
        hostile
            .apply(json!({"type": "credits.balance.depleted", "customerId": "c", "resourceId": resource, "currencyId": "tokens"}))
            .await;
        assert_eq!(left(resource).await, (false, 0.0));
    }
    hostile.end().await;
}

#[tokio::test]
async fn usage_exceeded_events_count_as_measurements() {
    let hostile = Hostile::start().await;
    let metered = json!([{"feature": {"id": "f", "featureType": "NUMBER", "meterType": "FLUCTUATING"}, "usageLimit": 10, "currentUsage": 9}]);
    hostile.apply(list("c", None, &metered)).await;
    hostile
        .apply(json!({"type": "entitlement.usage_exceeded", "messageId": "m", "timestamp": "2026-11-02T00:00:00Z", "customer": {"id": "c"},
                      "resource": null, "feature": {"id": "f"}, "thresholdPercentage": 100, "currentUsage": 10, "usageLimit": 5}))
        .await;
    let check = hostile.check(json!({"customerId": "c", "featureId": "f", "requestedUsage": 1})).await;
    let decided = (&check["hasAccess"], &check["currentUsage"], &check["usageLimit"]);
    assert_eq!(decided, (&json!(false), &json!(10), &json!(10)), "the limit comes from the list");
    hostile.end().await;
}

/// The list in Stigg's documentation is dated 22 hours after its own timestamp.
#[tokio::test]
async fn a_list_dated_hours_ahead_does_not_win_over_later_events() {
    let hostile = Hostile::start().await;
    let now = jiff::Timestamp::now();
    let at = |hours: i64| (now + jiff::SignedDuration::from_hours(hours)).to_string();
    let metered = json!([{"feature": {"id": "f", "featureType": "NUMBER", "meterType": "FLUCTUATING"}, "usageLimit": 10, "currentUsage": 3}]);
    let list = |customer: &str, entitlements: &Value, updated_at: Value| {
        let mut list = list(customer, None, entitlements);
        (list["entitlementsUpdatedAt"], list["messageId"]) = (updated_at, json!(entitlements.to_string()));
        list
    };
    let measured = json!({"type": "measurement.reported", "messageId": "m", "customer": {"id": "measured"}, "feature": {"id": "f"}, "currentUsage": 10});
    let smaller = metered.to_string().replace("10", "3").parse::<Value>().unwrap();
    for (customer, later) in [
        ("deleted", json!({"type": "customer.deleted", "id": "deleted"})),
        ("revoked", list("revoked", &json!([]), Value::Null)),
        ("measured", measured),
        ("limited", list("limited", &smaller, Value::Null)),
    ] {
        hostile.apply(list(customer, &metered, json!(at(22)))).await;
        let check = json!({"customerId": customer, "featureId": "f", "requestedUsage": 1});
        assert_eq!(hostile.check(check.clone()).await["hasAccess"], true, "{customer}");
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        hostile.apply(later).await;
        assert_eq!(hostile.check(check).await["hasAccess"], false, "{customer}");
    }
    hostile.end().await;
}

#[tokio::test]
async fn unusual_but_valid_values_are_stored_unchanged() {
    let hostile = Hostile::start().await;
    let control: String = ('\u{1}'..='\u{1f}')
        .chain(['\u{7f}', '\u{80}', '\u{2028}', '\u{feff}', '\u{ffff}', '\u{10ffff}', '👩', '\u{202e}'])
        .collect();
    let ids = [
        control.as_str(),
        "#",
        "|",
        "a#b",
        "a|b",
        "~",
        " ",
        "\"",
        "\\",
        "null",
        "__proto__",
        "PROFILE",
        "USAGE#",
        "RESOURCE#f",
        "e\u{301}",
        "é",
        "' OR 1=1 --",
        "${jndi:ldap://x}",
        "<script>",
        "../../etc/passwd",
        &"x".repeat(500),
        &"é".repeat(250),
        "\u{1}",
    ];
    let metadata = json!({"nul": "a\u{0}b", "deep": [[[[[[{"a": null}]]]]]], "": "", "numbers": [0.1, 1e-7, 5e-324, 1.797_693_134_862_315_7e308, -0.0, 9_007_199_254_740_993_i64, u64::MAX],
                          "long": "x".repeat(100_000), "__proto__": {"polluted": true}, "S": {"N": "1"}});
    for (n, id) in ids.iter().enumerate() {
        hostile.apply(json!({"type": "customer.created", "id": id, "messageId": format!("{n}|#\u{0}"), "timestamp": "2026-11-01T00:00:00Z",
                             "name": control, "email": format!("{n}@\u{0}"), "billingId": format!("billing{control}"), "metadata": metadata})).await;
    }
    assert_eq!(hostile.customer_count().await, ids.len());
    for (n, id) in ids.iter().enumerate() {
        let customer = &hostile
            .query(
                "query($id: String!) { customer(customerId: $id) { customerId name email billingId metadata } }",
                json!({"id": id}),
            )
            .await["customer"];
        assert_eq!((&customer["customerId"], &customer["name"]), (&json!(id), &json!(control)), "{id:?}");
        assert_eq!(customer["email"], format!("{n}@\u{0}"), "{id:?}");
        assert_eq!(customer["billingId"], format!("billing{control}"), "{id:?}");
        assert_eq!(customer["metadata"], metadata, "{id:?}");
    }
    // The last value of a duplicate member counts, as in JavaScript's JSON.parse.
    let duplicates = r#"{"type":"customer.deleted","type":"customer.created","id":"first","id":"second","timestamp":null,"timestamp":"2026-11-01T00:00:00Z"}"#;
    assert_eq!(hostile.send(duplicates).await, (200, "applied".to_owned()));
    let stored = hostile
        .query("{ a: customer(customerId: \"first\") { name } b: customer(customerId: \"second\") { createdAt } }", Value::Null)
        .await;
    assert_eq!(stored, json!({"a": null, "b": {"createdAt": "2026-11-01T00:00:00.000Z"}}));
    // Extreme times, and an empty and a long messageId.
    for (n, (timestamp, message_id)) in [
        ("0000-01-01T00:00:00Z", "m"),
        ("1969-12-31T23:59:59.999999999Z", "m"),
        ("9999-12-30T00:00:00Z", "far"),
        ("2026-06-30T23:59:60Z", "leap"),
        ("2026-11-01t00:00:00z", "lower"),
        ("2026-11-01T00:00:00.123456789+14:00", ""),
    ]
    .into_iter()
    .enumerate()
    {
        hostile
            .apply(
                json!({"type": "customer.created", "id": format!("time {n}"), "timestamp": timestamp, "messageId": message_id}),
            )
            .await;
    }
    hostile.apply(json!({"type": "customer.created", "id": "long", "messageId": "m".repeat(4_096), "timestamp": "2026-11-01T00:00:00Z"})).await;
    hostile.end().await;
}

#[tokio::test]
async fn no_id_can_imitate_another_ids_key() {
    let hostile = Hostile::start().await;
    // Each feature is granted to its own customer and resource only.
    let scopes = [
        ("a#b", Some("c"), "f"),
        ("a", Some("b#c"), "f"),
        ("a", Some("b"), "c#f"),
        ("a", None, "1#b#f"),
        ("a", Some("1#b"), "f2"),
        ("a|b", None, "c"),
        ("a", None, "b|c"),
        ("a", Some("é"), "#"),
        ("a", Some("e\u{301}"), "#"),
        ("a\u{1}b", None, "c"),
        ("a", Some("\u{1}"), "b"),
        ("A", Some("b"), "f"),
        ("a ", None, "f"),
        ("PROFILE", Some("PROFILE"), "PROFILE"),
    ];
    for (customer, resource, _) in scopes {
        let features = scopes.iter().filter(|(owner, at, _)| *owner == customer && *at == resource);
        let event = list(customer, resource, &features.map(|(_, _, feature)| boolean(feature)).collect());
        assert_eq!(hostile.send(event.to_string()).await.0, 200);
    }
    let (mut granted, mut denied) = (0, 0);
    for (customer, _, _) in scopes {
        for (_, resource, _) in scopes {
            for (_, _, feature) in scopes {
                let expected = scopes.contains(&(customer, resource, feature));
                assert_eq!(
                    hostile.is_granted(customer, resource, feature).await,
                    expected,
                    "{customer:?} {resource:?} {feature:?}"
                );
                if expected { granted += 1 } else { denied += 1 }
            }
        }
    }
    println!("{granted} granted, {denied} denied");
    assert!(granted > 0 && denied > 1_000);
    hostile.end().await;
}

#[tokio::test]
async fn extreme_numbers_grant_no_more_than_the_limit() {
    let hostile = Hostile::start().await;
    let limit = |feature: &str, limit: Value, usage: Value| json!({"feature": {"id": feature, "featureType": "NUMBER", "meterType": "FLUCTUATING"}, "usageLimit": limit, "currentUsage": usage});
    hostile
        .apply(list(
            "c",
            None,
            &json!([
                limit("huge", json!(1e308), json!(1e308)),
                limit("negative", json!(-5), json!(0)),
                limit("none", json!(null), json!(0)),
                limit("tiny", json!(5e-324), json!(0)),
                limit("below", json!(10), json!(-1e300)),
                limit("exact", json!(9_007_199_254_740_992_i64), json!(9_007_199_254_740_992_i64)),
            ]),
        ))
        .await;
    for (feature, requested, expected) in [
        ("huge", json!(0), true),
        ("huge", json!(1e308), false),
        ("huge", json!(1.7e308), false),
        ("negative", json!(0), false),
        ("none", json!(0), true),
        ("none", json!(5e-324), false),
        ("tiny", json!(5e-324), true),
        ("tiny", json!(1), false),
        ("below", json!(1), true),
        ("below", json!(1e301), false),
        ("exact", json!(2), false),
    ] {
        let decision = hostile.check(json!({"customerId": "c", "featureId": feature, "requestedUsage": requested})).await;
        assert_eq!(decision["hasAccess"], expected, "{feature} {requested}: {decision}");
    }
    hostile.end().await;
}

#[tokio::test]
async fn a_list_of_5000_features_and_500_small_events_are_applied() {
    let hostile = Hostile::start().await;
    let features: Value = (0..5_000)
        .map(|n| json!({"feature": {"id": format!("feature-{n}"), "featureType": "BOOLEAN", "description": "x".repeat(400)}}))
        .collect();
    let body = list("c", None, &features).to_string();
    let started = Instant::now();
    // A debug build on a busy machine can be too slow for one delivery; Stigg would redeliver.
    let mut deliveries = 1;
    loop {
        match hostile.send(body.clone()).await {
            (200, outcome) => break assert_eq!(outcome, "applied"),
            (503, _) if deliveries < 10 => deliveries += 1,
            other => panic!("{other:?}"),
        }
    }
    println!("5,000 features ({} bytes) took {:?} and {deliveries} deliveries", body.len(), started.elapsed());
    for (feature, expected) in [("feature-0", true), ("feature-4999", true), ("feature-5000", false)] {
        assert_eq!(hostile.is_granted("c", None, feature).await, expected, "{feature}");
    }
    let started = Instant::now();
    for n in 0..500 {
        hostile.apply(json!({"type": "measurement.reported", "messageId": n.to_string(), "timestamp": "2026-11-02T00:00:00Z", "customer": {"id": "c"}, "feature": {"id": format!("small-{n}")}, "currentUsage": n})).await;
    }
    println!("500 small events took {:?}", started.elapsed());
    hostile.end().await;
}

/// Sent values that must not be logged.
const MARKERS: [&str; 9] = [
    "m4rk-secret",
    "m4rk-previous",
    "bTRyay1zaWduaW5n",
    "m4rk-guess",
    "m4rk-name",
    "m4rk-email",
    "m4rk-billing",
    "m4rk-metadata",
    "m4rk-plan",
];

#[tokio::test]
async fn no_secret_or_personal_data_is_logged_at_any_level() {
    let embedded = Embedded::in_memory().await.unwrap();
    let sqs = Sqs::start().await.unwrap();
    let tables = embedded.store.tables();
    let ordinary = [
        json!({"type": "customer.created", "id": "c", "timestamp": "2026-11-01T00:00:00Z", "name": "m4rk-name", "email": "m4rk-email", "billingId": "m4rk-billing", "metadata": {"m4rk-metadata": "m4rk-metadata"}}),
        json!({"type": "subscription.created", "id": "s", "status": "ACTIVE", "startDate": "2026-11-01T00:00:00Z", "plan": {"id": "p", "name": "m4rk-plan"}, "metadata": {"a": "m4rk-metadata"},
               "customer": {"id": "c", "name": "m4rk-name", "email": "m4rk-email", "billingId": "m4rk-billing"}}),
    ];
    let hostile = [
        json!({"type": "customer.created", "id": "c", "name": 5, "email": "m4rk-email"}).to_string(),
        json!({"type": "customer.created", "id": "c", "email": ["m4rk-email"]}).to_string(),
        json!({"type": "customer.created", "id": "c", "timestamp": "m4rk-name"}).to_string(),
        json!({"type": "customer.created", "id": "c", "metadata": "m4rk-metadata".repeat(40_000)}).to_string(),
        json!({"type": "entitlements.updated", "customer": {"id": "c"}, "entitlements": [{"feature": {"id": "f"}, "usageLimit": "m4rk-plan"}]}).to_string(),
        r#"{"email":"m4rk-email","#.to_owned(),
        "m4rk-name".to_owned(),
    ];
    let levels = [
        "error",
        "info",
        "debug",
        "trace",
        "trace,lambda_runtime=trace,aws_smithy_runtime=trace,hyper=trace,h2=trace,rustls=trace",
    ];
    for level in levels {
        for endpoint in [embedded.endpoint.as_str(), "http://127.0.0.1:1"] {
            let variables = [
                ("CUSTOMERS_TABLE", tables.customers.as_str()),
                ("SUBSCRIPTIONS_TABLE", &tables.subscriptions),
                ("RECEIPTS_TABLE", &tables.receipts),
                ("DYNAMODB_ENDPOINT", endpoint),
                ("QUEUE_URL", &sqs.queue_url()),
                ("SQS_ENDPOINT", sqs.endpoint()),
                ("RUST_LOG", level),
                ("STIGG_WEBHOOK_SECRET", "m4rk-secret"),
                ("STIGG_WEBHOOK_SECRET_PREVIOUS", "m4rk-previous"),
            ]
            .map(|(name, value)| (name, value.to_owned()));
            let lambda = Lambda::start(Path::new(env!("CARGO_BIN_EXE_webhook")), variables).await.unwrap();
            for body in ordinary.iter().map(Value::to_string).chain(hostile.clone()) {
                for secret in ["m4rk-secret", "m4rk-previous", "m4rk-guess"] {
                    let _ = lambda
                        .invoke(&envelope(
                            "/webhook",
                            body.clone(),
                            &[("stigg-webhooks-secret", secret), ("webhook-signature", "v1,bTRyay1zaWduaW5n")],
                        ))
                        .await
                        .unwrap();
                }
            }
            let _ = lambda.invoke(&json!({"Records": [{"messageId": "1", "body": "m4rk-name"}]})).await.unwrap();
            for (_, event) in
                testkit::hostile::malformed(&envelope("/webhook", "m4rk-name", &[("stigg-webhooks-secret", "m4rk-secret")]))
            {
                let _ = lambda.invoke(&event).await.unwrap();
            }
            let log = lambda.stop().await.unwrap();
            // Only permanently rejected events are logged at level error.
            let (refused, others) = log.lines().partition::<Vec<_>, _>(|line| line.contains(r#""event_refused":true"#));
            assert_eq!((refused.is_empty(), others.is_empty()), (false, level == "error"), "{level}: {log}");
            for marker in MARKERS {
                assert!(!log.contains(marker), "{level}: the log contains {marker}");
            }
        }
    }
}
