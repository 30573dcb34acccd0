//! No function holds an action or a resource that its code does not use, and none that it uses is
//! missing: the roles of the template beside the requests that the handlers are seen to make. And no
//! reader gets in without what `ReadersAuth` asks for.

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

/// A stack on a store of its own, and what is asked of that store.
struct Observed {
    stack: Stack,
    used: Arc<Mutex<BTreeSet<Permission>>>,
    _embedded: Embedded,
}

impl Observed {
    async fn empty() -> Self {
        let embedded = Embedded::in_memory().await.unwrap();
        let used = Arc::new(Mutex::new(BTreeSet::new()));
        let (tables, noted) = (embedded.store.tables().clone(), used.clone());
        let proxied = testkit::store::proxied_with_rewrite(
            &embedded,
            usize::MAX,
            Arc::new(move |operation, asked, answer| {
                noted.lock().unwrap().extend(permissions(&tables, operation, asked));
                answer
            }),
        );
        let clock = Clock::of(|| NOW.parse().unwrap());
        let stack = Stack::on(proxied.await.store, SECRET, TOKEN, clock).unwrap();
        Self { stack, used, _embedded: embedded }
    }

    /// One with the sample data, of which nothing is noted.
    async fn told() -> Self {
        let observed = Self::empty().await;
        observed.stack.seed(SECRET).await.unwrap();
        observed.used.lock().unwrap().clear();
        observed
    }

    async fn invoke(&self, event: Value, expected: &[u16]) -> Value {
        let asked = event["body"].clone();
        let answer = self.stack.gateway.invoke(event).await.unwrap();
        assert!(expected.iter().any(|status| answer["statusCode"] == *status), "{asked}: {answer}");
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

/// What a request to DynamoDB needs.
fn permissions(tables: &Tables, operation: &str, asked: &Value) -> Vec<Permission> {
    let arn = |table: &str| {
        let ids = [
            (&tables.customers, "CustomersTable"),
            (&tables.subscriptions, "SubscriptionsTable"),
            (&tables.receipts, "ReceiptsTable"),
        ];
        let id = ids.into_iter().find(|(name, _)| *name == table).unwrap_or_else(|| panic!("{operation} of {table}")).1;
        format!("{id}.Arn")
    };
    let resources = match (&asked["RequestItems"], &asked["TableName"], &asked["IndexName"]) {
        (Value::Object(tables), ..) => tables.keys().map(|table| arn(table)).collect(),
        (_, Value::String(table), Value::String(index)) => vec![format!("{}/index/{index}", arn(table))],
        (_, Value::String(table), Value::Null) => vec![arn(table)],
        _ => panic!("{operation} names no table: {asked}"),
    };
    resources.into_iter().map(|resource| (format!("dynamodb:{operation}"), resource)).collect()
}

/// Times in steps of nine seconds: 24 steps ahead are believed, 72 are not.
fn steps_from_now(steps: i64) -> String {
    (NOW.parse::<Timestamp>().unwrap() + jiff::SignedDuration::from_secs(9 * steps)).to_string()
}

/// Events beyond the sample data, in an order that leads through every settlement of the webhook's.
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
        // Times: none, twice; one to believe if nothing else is remembered; one not to believe.
        customer("created", None),
        customer("created", None),
        customer("updated", Some(24)),
        customer("updated", Some(72)),
        // A customer with everything, deleted.
        subscription("created", "ACTIVE", -100),
        list(Value::Null, -99),
        list(json!({"id": "r"}), -98),
        measurement(-97),
        customer("deleted", Some(30)),
        // What comes late is cleaned away.
        subscription("updated", "ACTIVE", -95),
        list(Value::Null, -94),
        list(json!({"id": "r"}), -93),
        measurement(-92),
        customer("deleted", Some(-91)),
        // A subscription whose customer is not live waits to be listed, until the customer is back.
        subscription("canceled", "CANCELED", 31),
        customer("updated", Some(32)),
        customer("deleted", Some(33)),
    ]
}

fn assert_holds_what_it_uses(function: &str, used: &BTreeSet<Permission>) {
    let held = on_dynamodb(Deployed::under(DEFAULTS).of_function(function));
    let (superfluous, missing) = (held.difference(used).collect::<Vec<_>>(), used.difference(&held).collect::<Vec<_>>());
    assert!(superfluous.is_empty() && missing.is_empty(), "{function}: superfluous {superfluous:?}, missing {missing:?}");
}

fn on_dynamodb(permissions: BTreeSet<Permission>) -> BTreeSet<Permission> {
    permissions.into_iter().filter(|(action, _)| action.starts_with("dynamodb:")).collect()
}

/// The sample data in order, backwards and in two other orders, each twice; and what it leaves out.
#[tokio::test]
async fn the_webhook_may_do_on_dynamodb_what_it_does_and_nothing_else() {
    let mut used = BTreeSet::new();
    let sample: Vec<Value> = sample::events("webhook").into_iter().map(|(_, event)| event).collect();
    let count = sample.len();
    for step in [1, 2, 8, count - 1] {
        let observed = Observed::empty().await;
        let _ = observed.stack.store.warm_up_for_writes().await;
        let places = (0..count).map(|place| place * step % count);
        assert_eq!(places.clone().collect::<BTreeSet<_>>().len(), count, "steps of {step} leave events out");
        for place in places.clone().chain(places) {
            observed.invoke(sample[place].clone(), &[200]).await;
        }
        used.extend(observed.used());
    }
    for events in [events_beyond_the_sample_data(), events_beyond_the_sample_data().into_iter().rev().collect()] {
        let observed = Observed::empty().await;
        for event in events {
            observed.deliver(event).await;
        }
        used.extend(observed.used());
    }
    assert_holds_what_it_uses("WebhookFunction", &used);
}

#[tokio::test]
async fn graphql_may_do_on_dynamodb_what_it_does_and_nothing_else() {
    let observed = Observed::told().await;
    observed.stack.store.warm_up_for_reads().await;
    for (_, event) in sample::events("graphql") {
        observed.invoke(event, &[200]).await;
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
        observed.query(query).await;
    }
    assert_holds_what_it_uses("GraphqlFunction", &observed.used());
}

#[tokio::test]
async fn a_check_may_do_on_dynamodb_what_it_does_and_nothing_else() {
    let observed = Observed::told().await;
    observed.stack.store.warm_up_for_reads().await;
    for (_, event) in sample::events("check-access") {
        observed.invoke(event, &[200, 403]).await;
    }
    let batch = Request::post("/check-access/batch").header("authorization", format!("Bearer {TOKEN}"));
    let batch = batch.body(json!({"customerId": "customer-alder"}).to_string().into());
    observed.invoke(event_of(batch.unwrap()), &[200]).await;
    for document in ["entitlements.json", "entitlements-state.json", "subscriptions.json"] {
        let request = Request::get(format!("/v1/c/customer-alder/{document}")).header("x-api-key", TOKEN);
        let answer = observed.invoke(event_of(request.body(Bytes::new()).unwrap()), &[200]).await;
        assert!(answer["body"].as_str().unwrap().contains("customer-alder") || !document.starts_with("sub"), "{answer}");
    }
    for path in ["entitlements", "entitlements/check?featureId=feature-sso"] {
        let request = Request::get(format!("/api/v1/customers/customer-alder/{path}")).header("x-api-key", TOKEN);
        observed.invoke(event_of(request.body(Bytes::new()).unwrap()), &[200]).await;
    }
    assert_holds_what_it_uses("CheckAccessFunction", &observed.used());
}

/// Logs and traces are what Lambda itself writes in a function's name, and the last three actions on
/// the queue are what its event source mapping reads with.
#[test]
fn beside_dynamodb_a_function_reads_its_own_secret_writes_its_own_logs_and_the_webhook_parks_events_and_sets_them_aside() {
    let (with_tokens, without) = (Deployed::under(DEFAULTS), Deployed::under(&[]));
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
        // Stigg's secret is needed whatever the readers use.
        if is_webhook { &mut always } else { &mut by_default }.push(("secretsmanager:GetSecretValue", secret));
        for (deployed, expected, arn) in [
            (&without, always.clone(), if is_webhook { secret } else { "" }),
            (&with_tokens, [always, by_default].concat(), secret),
        ] {
            let held = deployed.of_function(function);
            let held: BTreeSet<_> = held.difference(&on_dynamodb(held.clone())).cloned().collect();
            let expected: BTreeSet<_> = expected.into_iter().map(|(action, on)| (action.to_owned(), on.to_owned())).collect();
            assert_eq!(held, expected, "{function} under {arn:?}");
            assert_eq!(deployed.variable(function, "SECRET_ARN"), arn);
        }
    }
}

#[test]
fn the_signing_secret_of_customers_is_there_and_readable_only_where_signatures_are_verified() {
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
        let deployed = Deployed::under(conditions);
        assert_eq!(deployed.of_function("CheckAccessFunction").contains(&secret), !arn.is_empty());
        assert_eq!(deployed.variable("CheckAccessFunction", "CUSTOMER_KEY_SECRET_ARN"), arn);
        assert!(!deployed.of_function("GraphqlFunction").contains(&secret));
    }
}

#[test]
fn nobody_else_is_given_anything() {
    let deployed = Deployed::under(DEFAULTS);
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

/// Strangers may call a function at its URL alone, where the function asks for the token. An invocation by
/// lambda:InvokeFunction needs none.
#[test]
fn only_api_gateway_and_a_url_that_is_off_by_default_may_invoke_a_function() {
    let template = Template::read(TEMPLATE).unwrap();
    let text = |permission: &yaml_serde::Value, name: &str| permission[name].as_str().unwrap_or_default().to_owned();
    let mut at_the_url = Vec::new();
    for (id, permission) in template.of_type("AWS::Lambda::Permission") {
        if text(permission, "Principal") != "*" {
            assert_eq!(text(permission, "Principal"), "apigateway.amazonaws.com", "{id}");
            assert!(!permission["SourceArn"].is_null(), "{id}");
            continue;
        }
        let action = text(permission, "Action");
        let is_at_the_url = match action.as_str() {
            "lambda:InvokeFunctionUrl" => text(permission, "FunctionUrlAuthType") == "NONE",
            "lambda:InvokeFunction" => permission["InvokedViaFunctionUrl"] == true,
            _ => false,
        };
        assert!(is_at_the_url, "{id}");
        at_the_url.push(id);
    }
    assert_eq!(at_the_url, ["PublicFunctionUrlInvocationPermission", "PublicFunctionUrlPermission"]);
    let template: yaml_serde::Value = yaml_serde::from_str(TEMPLATE).unwrap();
    for id in at_the_url {
        assert_eq!(template["Resources"][id]["Condition"], "HasPublicFunctionUrl");
    }
    assert_eq!(template["Parameters"]["CheckAccessFunctionUrl"]["Default"], "off");
}

#[test]
fn what_readers_ask_is_behind_the_authorizer_that_was_chosen_and_nothing_else_is_behind_one() {
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
        assert_eq!(Deployed::under(conditions).routes(), expected.into(), "{conditions:?}");
    }
}
