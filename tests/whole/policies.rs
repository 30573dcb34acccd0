//! Each function's role allows exactly the requests that the function makes. The template's roles are compared with the
//! DynamoDB requests that the handlers make on a local stack. Readers' routes have the authorizer that `ReadersAuth` chose.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use crate::deployed::{Deployed, Permission};
use axum::{body::Bytes, http::Request};
use jiff::Timestamp;
use local::{embedded::Embedded, gateway::event_of, serve::Stack};
use runtime::clock::Clock;
use serde_json::{Value, json};
use store::Tables;
use template::{TEMPLATE, Template, sample};

const SECRET: &str = "local-secret";
const TOKEN: &str = "local-token";
const NOW: &str = "2026-12-01T00:00:00.000Z";

/// The conditions of a deployment with its defaults.
const DEFAULTS: &[&str] = &["ReadersUseTokens", "IsTraced"];

/// A local stack whose DynamoDB requests are recorded.
struct RecordedStack {
    stack: Stack,
    /// The permissions that the requests needed.
    used: Arc<Mutex<BTreeSet<Permission>>>,
    _embedded: Embedded,
}

impl RecordedStack {
    async fn empty() -> Self {
        let embedded = Embedded::in_memory().await.unwrap();
        let used = Arc::new(Mutex::new(BTreeSet::new()));
        let (tables, recorded) = (embedded.store.tables().clone(), used.clone());
        let proxied = testkit::store::proxied_with_rewrite(
            &embedded,
            usize::MAX,
            Arc::new(move |operation, input, answer| {
                recorded.lock().unwrap().extend(needed_permissions(&tables, operation, input));
                answer
            }),
        );
        let clock = Clock::of(|| NOW.parse().unwrap());
        let stack = Stack::on(proxied.await.store, SECRET, TOKEN, clock).unwrap();
        Self { stack, used, _embedded: embedded }
    }

    /// With the sample data, whose writes are not recorded.
    async fn seeded() -> Self {
        let recorded = Self::empty().await;
        recorded.stack.seed(SECRET).await.unwrap();
        recorded.used.lock().unwrap().clear();
        recorded
    }

    async fn invoke(&self, event: Value, expected: &[u16]) -> Value {
        let body = event["body"].clone();
        let answer = self.stack.gateway.invoke(event).await.unwrap();
        assert!(expected.iter().any(|status| answer["statusCode"] == *status), "{body}: {answer}");
        answer
    }

    async fn deliver(&self, event: Value) {
        let request = Request::post("/webhook").header("stigg-webhooks-secret", SECRET);
        self.invoke(event_of(request.body(Bytes::from(event.to_string())).unwrap()), &[200]).await;
    }

    async fn query(&self, query: &str) {
        let request = Request::post("/graphql").header("authorization", format!("Bearer {TOKEN}"));
        let request = request.header("content-type", "application/json").body(json!({ "query": query }).to_string().into());
        let answer = self.invoke(event_of(request.unwrap()), &[200]).await;
        let answer: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        assert!(answer["errors"].is_null() && answer["data"].is_object(), "{query}: {answer}");
    }

    fn used(self) -> BTreeSet<Permission> {
        self.used.lock().unwrap().clone()
    }
}

/// The permissions that a request to DynamoDB needs.
fn needed_permissions(tables: &Tables, operation: &str, input: &Value) -> Vec<Permission> {
    let arn = |table: &str| {
        let ids = [
            (&tables.customers, "CustomersTable"),
            (&tables.subscriptions, "SubscriptionsTable"),
            (&tables.receipts, "ReceiptsTable"),
        ];
        let id = ids
            .into_iter()
            .find(|(name, _)| *name == table)
            .unwrap_or_else(|| panic!("{operation} on the unknown table {table}"))
            .1;
        format!("{id}.Arn")
    };
    let resources = match (&input["RequestItems"], &input["TableName"], &input["IndexName"]) {
        (Value::Object(tables), ..) => tables.keys().map(|table| arn(table)).collect(),
        (_, Value::String(table), Value::String(index)) => vec![format!("{}/index/{index}", arn(table))],
        (_, Value::String(table), Value::Null) => vec![arn(table)],
        _ => panic!("{operation} names no table: {input}"),
    };
    resources.into_iter().map(|resource| (format!("dynamodb:{operation}"), resource)).collect()
}

/// The time this many steps of nine seconds from now. 24 steps ahead are within the accepted clock skew, 72 are not.
fn steps_from_now(steps: i64) -> String {
    (NOW.parse::<Timestamp>().unwrap() + jiff::SignedDuration::from_secs(9 * steps)).to_string()
}

/// Events that make the webhook send the requests that the sample data does not need.
fn events_beyond_the_sample_data() -> Vec<Value> {
    let customer = |kind: &str, steps: Option<i64>| {
        let mut event = json!({"type": format!("customer.{kind}"), "messageId": format!("{kind} {steps:?}"), "id": "c", "email": "c@example.com"});
        if let Some(steps) = steps {
            event["timestamp"] = steps_from_now(steps).into();
        }
        event
    };
    let subscription = |kind: &str, status: &str, steps: i64| {
        json!({"type": format!("subscription.{kind}"), "messageId": format!("{kind} {steps}"), "id": "s", "status": status,
               "timestamp": steps_from_now(steps), "startDate": NOW, "customer": {"id": "c"}, "plan": {"id": "p", "name": "Plan"}})
    };
    let list = |resource: Value, steps: i64| {
        json!({"type": "entitlements.updated", "messageId": format!("{resource} {steps}"), "customer": {"id": "c"}, "resource": resource,
               "entitlementsUpdatedAt": steps_from_now(steps),
               "entitlements": [{"feature": {"id": "f", "featureType": "NUMBER", "meterType": "Fluctuating"}, "usageLimit": 5}]})
    };
    let measurement = |steps: i64| {
        json!({"type": "measurement.reported", "messageId": format!("measured {steps}"), "timestamp": steps_from_now(steps),
               "customer": {"id": "c"}, "feature": {"id": "f"}, "currentUsage": 1})
    };
    vec![
        // No time, twice; a time that is accepted unless a receipt is stored; a time too far ahead.
        customer("created", None),
        customer("created", None),
        customer("updated", Some(24)),
        customer("updated", Some(72)),
        // A customer with all kinds of data is deleted.
        subscription("created", "ACTIVE", -100),
        list(Value::Null, -99),
        list(json!({"id": "r"}), -98),
        measurement(-97),
        customer("deleted", Some(30)),
        // Late events are swept.
        subscription("updated", "ACTIVE", -95),
        list(Value::Null, -94),
        list(json!({"id": "r"}), -93),
        measurement(-92),
        customer("deleted", Some(-91)),
        // A subscription of a deleted customer waits until the customer is live again.
        subscription("canceled", "CANCELED", 31),
        customer("updated", Some(32)),
        customer("deleted", Some(33)),
    ]
}

fn assert_role_allows_exactly(function: &str, used: &BTreeSet<Permission>) {
    let allowed = dynamodb_permissions(Deployed::with_conditions(DEFAULTS).permissions(function));
    let (unused, missing) = (allowed.difference(used).collect::<Vec<_>>(), used.difference(&allowed).collect::<Vec<_>>());
    assert!(unused.is_empty() && missing.is_empty(), "{function}: unused {unused:?}, missing {missing:?}");
}

fn dynamodb_permissions(permissions: BTreeSet<Permission>) -> BTreeSet<Permission> {
    permissions.into_iter().filter(|(action, _)| action.starts_with("dynamodb:")).collect()
}

/// The sample data in four orders, each delivered twice, and more events in both directions.
#[tokio::test]
async fn the_role_of_the_webhook_allows_exactly_its_dynamodb_requests() {
    let mut used = BTreeSet::new();
    let sample: Vec<Value> = sample::events("webhook").into_iter().map(|(_, event)| event).collect();
    let count = sample.len();
    for step in [1, 2, 8, count - 1] {
        let recorded = RecordedStack::empty().await;
        let _ = recorded.stack.store.warm_up_for_writes().await;
        let order = (0..count).map(|n| n * step % count);
        assert_eq!(order.clone().collect::<BTreeSet<_>>().len(), count, "a step of {step} omits events");
        for index in order.clone().chain(order) {
            recorded.invoke(sample[index].clone(), &[200]).await;
        }
        used.extend(recorded.used());
    }
    for events in [events_beyond_the_sample_data(), events_beyond_the_sample_data().into_iter().rev().collect()] {
        let recorded = RecordedStack::empty().await;
        for event in events {
            recorded.deliver(event).await;
        }
        used.extend(recorded.used());
    }
    assert_role_allows_exactly("WebhookFunction", &used);
}

#[tokio::test]
async fn the_role_of_graphql_allows_exactly_its_dynamodb_requests() {
    let recorded = RecordedStack::seeded().await;
    recorded.stack.store.warm_up_for_reads().await;
    for (_, event) in sample::events("graphql") {
        recorded.invoke(event, &[200]).await;
    }
    for query in [
        "{ customers { totalCount nodes { name entitlements } } }",
        "{ customers(orderBy: CREATED_AT_DESC) { nodes { subscriptions { nodes { planName } } } pageInfo { hasNextPage } } }",
        "{ customers(orderBy: NAME_ASC) { nodes { customerId } } }",
        "{ customers(condition: {email: \"none@example.com\"}) { totalCount nodes { name } } }",
        "{ customers(condition: {billingId: \"none\"}) { totalCount nodes { name } } }",
        "{ subscriptions { totalCount nodes { status customer { name } } } }",
        "{ subscriptions(orderBy: CUSTOMER_ID_ASC) { nodes { status } } }",
        "{ subscriptions(orderBy: CREATED_AT_ASC) { nodes { status } } }",
        "{ subscriptions(orderBy: STATUS_ASC) { nodes { status } } }",
        "{ subscriptions(condition: {customerId: \"customer-alder\"}) { totalCount nodes { status } } }",
        "{ customer(customerId: \"customer-alder\") { entitlementList { usageLimit } resources { resourceId entitlementList { currentUsage } } } }",
        "{ checkAccess(customerId: \"customer-alder\", featureId: \"feature-onboarding-call\") { hasAccess } }",
        "{ __schema { queryType { name } } }",
    ] {
        recorded.query(query).await;
    }
    assert_role_allows_exactly("GraphqlFunction", &recorded.used());
}

#[tokio::test]
async fn the_role_of_check_access_allows_exactly_its_dynamodb_requests() {
    let recorded = RecordedStack::seeded().await;
    recorded.stack.store.warm_up_for_reads().await;
    for (_, event) in sample::events("check-access") {
        recorded.invoke(event, &[200, 403]).await;
    }
    let batch = Request::post("/check-access/batch").header("authorization", format!("Bearer {TOKEN}"));
    let batch = batch.body(json!({"customerId": "customer-alder"}).to_string().into());
    recorded.invoke(event_of(batch.unwrap()), &[200]).await;
    for document in ["entitlements.json", "entitlements-state.json", "subscriptions.json"] {
        let request = Request::get(format!("/v1/c/customer-alder/{document}")).header("x-api-key", TOKEN);
        let answer = recorded.invoke(event_of(request.body(Bytes::new()).unwrap()), &[200]).await;
        assert!(answer["body"].as_str().unwrap().contains("customer-alder") || !document.starts_with("sub"), "{answer}");
    }
    for path in ["entitlements", "entitlements/check?featureId=feature-sso"] {
        let request = Request::get(format!("/api/v1/customers/customer-alder/{path}")).header("x-api-key", TOKEN);
        recorded.invoke(event_of(request.body(Bytes::new()).unwrap()), &[200]).await;
    }
    assert_role_allows_exactly("CheckAccessFunction", &recorded.used());
}

/// Lambda itself writes logs and traces with a function's role. Its event source mapping needs the last three actions on the
/// event queue.
#[test]
fn besides_dynamodb_a_role_allows_only_logs_traces_the_functions_own_secret_and_the_webhooks_queues() {
    let (with_tokens, without) = (Deployed::with_conditions(DEFAULTS), Deployed::with_conditions(&[]));
    for (function, secret, logs) in [
        ("WebhookFunction", "WebhookSecret", "WebhookLogGroup.Arn"),
        ("GraphqlFunction", "GraphqlSecret", "GraphqlLogGroup.Arn"),
        ("CheckAccessFunction", "CheckAccessSecret", "CheckAccessLogGroup.Arn"),
    ] {
        let is_webhook = function == "WebhookFunction";
        let mut always = vec![("logs:CreateLogStream", logs), ("logs:PutLogEvents", logs)];
        let mut by_default = vec![("xray:PutTraceSegments", "*"), ("xray:PutTelemetryRecords", "*")];
        if is_webhook {
            let actions = ["sqs:SendMessage", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"];
            always.extend(actions.map(|action| (action, "EventQueue.Arn")));
            always.push(("sqs:SendMessage", "SetAsideQueue.Arn"));
            assert_eq!(with_tokens.variable(function, "QUEUE_URL"), "EventQueue");
            assert_eq!(with_tokens.variable(function, "SET_ASIDE_QUEUE_URL"), "SetAsideQueue");
        }
        // The webhook needs its secret with any kind of readers' authorization.
        if is_webhook { &mut always } else { &mut by_default }.push(("secretsmanager:GetSecretValue", secret));
        for (deployed, expected, secret_arn) in [
            (&without, always.clone(), if is_webhook { secret } else { "" }),
            (&with_tokens, [always, by_default].concat(), secret),
        ] {
            let allowed = deployed.permissions(function);
            let allowed: BTreeSet<_> = allowed.difference(&dynamodb_permissions(allowed.clone())).cloned().collect();
            let expected: BTreeSet<_> = expected.into_iter().map(|(action, on)| (action.to_owned(), on.to_owned())).collect();
            assert_eq!(allowed, expected, "{function} with secret {secret_arn:?}");
            assert_eq!(deployed.variable(function, "SECRET_ARN"), secret_arn);
        }
    }
}

#[test]
fn the_customer_key_secret_exists_and_is_readable_only_if_customer_keys_are_verified() {
    let template: yaml_serde::Value = yaml_serde::from_str(TEMPLATE).unwrap();
    for id in ["BrowserOrigins", "AuthorizerCustomer"] {
        assert_eq!(template["Parameters"][id]["Default"], "", "{id}");
    }
    assert_eq!(template["Resources"]["CustomerKeySecret"]["Condition"], "VerifiesCustomerKeys");
    for id in ["GetBrowserRoute", "OptionsBrowserRoute", "BrowserPermission"] {
        assert_eq!(template["Resources"][id]["Condition"], "ServesBrowsers", "{id}");
    }
    let secret = ("secretsmanager:GetSecretValue".to_owned(), "CustomerKeySecret".to_owned());
    for (conditions, arn) in [(DEFAULTS, ""), (&["VerifiesCustomerKeys"], "CustomerKeySecret")] {
        let deployed = Deployed::with_conditions(conditions);
        assert_eq!(deployed.permissions("CheckAccessFunction").contains(&secret), !arn.is_empty());
        assert_eq!(deployed.variable("CheckAccessFunction", "CUSTOMER_KEY_SECRET_ARN"), arn);
        assert!(!deployed.permissions("GraphqlFunction").contains(&secret));
    }
}

#[test]
fn the_example_of_a_permissions_boundary_allows_exactly_the_actions_of_the_roles() {
    let boundary: Value = serde_json::from_str(include_str!("../../examples/boundary-policy.json")).unwrap();
    let boundary: BTreeSet<String> = serde_json::from_value(boundary["Statement"][0]["Action"].clone()).unwrap();
    let deployed = Deployed::with_conditions(&["ReadersUseTokens", "IsTraced", "VerifiesCustomerKeys"]);
    let functions = ["WebhookFunction", "GraphqlFunction", "CheckAccessFunction"];
    let permissions = functions.into_iter().flat_map(|function| deployed.permissions(function));
    assert_eq!(boundary, permissions.map(|(action, _)| action).collect());
}

#[test]
fn the_template_has_no_roles_or_policies_besides_the_functions() {
    let deployed = Deployed::with_conditions(DEFAULTS);
    assert_eq!(deployed.ids("AWS::IAM::Role"), ["CheckAccessRole", "GraphqlRole", "WebhookRole"]);
    for kind in [
        "AWS::IAM::Policy",
        "AWS::IAM::RolePolicy",
        "AWS::IAM::ManagedPolicy",
        "AWS::IAM::User",
        "AWS::SQS::QueuePolicy",
        "AWS::SecretsManager::ResourcePolicy",
    ] {
        assert!(deployed.ids(kind).is_empty(), "{kind}");
    }
}

/// An invocation by lambda:InvokeFunction needs no token, so only the function URL, where the function checks the token, may
/// be public.
#[test]
fn only_api_gateway_and_a_url_that_is_off_by_default_may_invoke_a_function() {
    let template = Template::read(TEMPLATE).unwrap();
    let text = |permission: &yaml_serde::Value, name: &str| permission[name].as_str().unwrap_or_default().to_owned();
    let mut public = Vec::new();
    for (id, permission) in template.of_type("AWS::Lambda::Permission") {
        if text(permission, "Principal") != "*" {
            assert_eq!(text(permission, "Principal"), "apigateway.amazonaws.com", "{id}");
            assert!(!permission["SourceArn"].is_null(), "{id}");
            continue;
        }
        let action = text(permission, "Action");
        let is_url_only = match action.as_str() {
            "lambda:InvokeFunctionUrl" => text(permission, "FunctionUrlAuthType") == "NONE",
            "lambda:InvokeFunction" => permission["InvokedViaFunctionUrl"] == true,
            _ => false,
        };
        assert!(is_url_only, "{id}");
        public.push(id);
    }
    assert_eq!(public, ["PublicFunctionUrlInvocationPermission", "PublicFunctionUrlPermission"]);
    let template: yaml_serde::Value = yaml_serde::from_str(TEMPLATE).unwrap();
    for id in public {
        assert_eq!(template["Resources"][id]["Condition"], "HasPublicFunctionUrl");
    }
    assert_eq!(template["Parameters"]["CheckAccessFunctionUrl"]["Default"], "off");
}

#[test]
fn only_the_readers_routes_have_the_chosen_authorizer() {
    for (conditions, kind, scopes) in [
        (DEFAULTS, "NONE", [None, None]),
        (&["ReadersUseIam"], "AWS_IAM", [None, None]),
        (&["ReadersUseJwt"], "JWT", [Some("JwtCheckAccessScope"), Some("JwtGraphqlScope")]),
    ] {
        let [checks, graphql] = scopes;
        let expected = [
            ("POST /webhook", "NONE", None, "WebhookFunction"),
            ("POST /check-access", kind, checks, "CheckAccessFunction"),
            ("POST /check-access/batch", kind, checks, "CheckAccessFunction"),
            ("GET /v1/c/{proxy+}", kind, checks, "CheckAccessFunction"),
            ("GET /v1/config/{document}", kind, checks, "CheckAccessFunction"),
            ("GET /v1/paywall.json", kind, checks, "CheckAccessFunction"),
            ("GET /v1/p/{proxy+}", kind, checks, "CheckAccessFunction"),
            ("POST /ofrep/v1/evaluate/flags", kind, checks, "CheckAccessFunction"),
            ("POST /ofrep/v1/evaluate/flags/{proxy+}", kind, checks, "CheckAccessFunction"),
            ("ANY /api/{proxy+}", kind, checks, "CheckAccessFunction"),
            ("GET /browser/{proxy+}", "NONE", None, "CheckAccessFunction"),
            ("OPTIONS /browser/{proxy+}", "NONE", None, "CheckAccessFunction"),
            ("GET /graphql", kind, graphql, "GraphqlFunction"),
            ("POST /graphql", kind, graphql, "GraphqlFunction"),
            ("OPTIONS /graphql", "NONE", None, "GraphqlFunction"),
            ("GET /graphiql", "NONE", None, "GraphqlFunction"),
        ];
        let expected = expected.map(|(route, kind, scope, function)| {
            (route.to_owned(), (kind.to_owned(), scope.map(str::to_owned), format!("{function}.Arn")))
        });
        assert_eq!(Deployed::with_conditions(conditions).routes(), expected.into(), "{conditions:?}");
    }
}
