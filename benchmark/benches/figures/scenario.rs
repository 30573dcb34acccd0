//! The measured kinds of requests, as events of API Gateway. Each kind derives its n-th event from n.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use template::sample;

use crate::{
    binaries::Binary,
    store::{Data, EVENT_TIME, entitlement},
};

/// A kind of request.
pub struct Scenario {
    pub function: Binary,
    pub name: String,
    /// Number of invocations in a round.
    pub count: usize,
    event: Box<dyn Fn(usize) -> Value + Send + Sync>,
}

/// The query of the example's README, for a page of 50.
pub const README_QUERY: &str = "query CustomersAndSubscriptions { customers(first: 50) { totalCount nodes { createdAt updatedAt
    customerId name email entitlements subscriptions(condition: {status: \"ACTIVE\"}) { nodes { createdAt updatedAt
    subscriptionId planId planName status startDate endDate } } } } }";

pub const ONE_CUSTOMER: &str = "query One($id: String!) { customer(customerId: $id) { customerId name email
    subscriptions { nodes { subscriptionId planId planName status startDate endDate } } } }";

impl Scenario {
    fn new(
        function: Binary,
        name: impl Into<String>,
        count: usize,
        event: impl Fn(usize) -> Value + Send + Sync + 'static,
    ) -> Self {
        Self { function, name: name.into(), count, event: Box::new(event) }
    }

    /// The n-th event.
    pub fn event(&self, n: usize) -> Value {
        (self.event)(n)
    }
}

/// A function that copies an event of events/ with another body.
fn with_body(route: &str, file: &str) -> impl Fn(&Value) -> Value + Send + Sync + use<> {
    let (_, event) = sample::events(route).into_iter().find(|(name, _)| name.contains(file)).unwrap();
    move |body| {
        let mut event = event.clone();
        event["body"] = body.to_string().into();
        event
    }
}

/// The body of an event of events/.
pub fn stigg_body(file: &str) -> Value {
    let (_, event) = sample::events("webhook").into_iter().find(|(name, _)| name.contains(file)).unwrap();
    serde_json::from_str(event["body"].as_str().unwrap()).unwrap()
}

/// The time of the n-th event of a kind. Each kind has its own day, in the order in which the kinds are measured, so that every
/// event is newer than the ones before it.
fn event_time(day: i64, n: usize) -> String {
    let first: Timestamp = EVENT_TIME.parse().unwrap();
    (first + SignedDuration::from_hours(24 * day) + SignedDuration::from_millis(i64::try_from(n).unwrap() + 1)).to_string()
}

/// The id of the n-th request's customer. Requests are spread over all customers.
pub fn customer(n: usize, data: Data) -> String {
    format!("customer-{:07}", n * 7_919 % data.customers)
}

fn check(name: &str, data: Data, count: usize, resource: Option<&'static str>, id: Option<&'static str>) -> Scenario {
    let with_body = with_body("check-access", "granted-metered");
    Scenario::new(Binary::CheckAccess, name, count, move |n| {
        let customer_id = id.map_or_else(|| customer(n, data), str::to_owned);
        let mut body = json!({"customerId": customer_id, "featureId": "feature-0", "requestedUsage": 1});
        if let Some(resource) = resource {
            body["resourceId"] = resource.into();
        }
        with_body(&body)
    })
}

/// All entitlements of a customer, as Stigg's SDKs request them from Edge.
fn edge(name: &str, customer_id: &'static str) -> Scenario {
    let (_, mut event) = sample::events("check-access").into_iter().find(|(name, _)| name.contains("granted-metered")).unwrap();
    let path = format!("/v1/c/{customer_id}/entitlements.json");
    event["routeKey"] = "GET /v1/c/{proxy+}".into();
    event["requestContext"]["routeKey"] = "GET /v1/c/{proxy+}".into();
    event["requestContext"]["http"]["method"] = "GET".into();
    event["requestContext"]["http"]["path"] = path.clone().into();
    event["rawPath"] = path.into();
    event["body"] = Value::Null;
    Scenario::new(Binary::CheckAccess, name, 1_000, move |_| event.clone())
}

/// Twenty checks of one customer in one request.
fn batch(name: &str, customer_id: &'static str) -> Scenario {
    let with_body = with_body("check-access", "granted-metered");
    let checks: Vec<Value> = (0..20).map(|n| json!({"featureId": format!("feature-{n}"), "requestedUsage": 1})).collect();
    let mut event = with_body(&json!({"customerId": customer_id, "checks": checks}));
    event["routeKey"] = "POST /check-access/batch".into();
    event["requestContext"]["routeKey"] = "POST /check-access/batch".into();
    event["requestContext"]["http"]["path"] = "/check-access/batch".into();
    event["rawPath"] = "/check-access/batch".into();
    Scenario::new(Binary::CheckAccess, name, 1_000, move |_| event.clone())
}

/// Stigg's event in a file of events/, with a new time and messageId, and changed by `change`.
fn webhook(
    name: &str,
    (file, day): (&str, i64),
    count: usize,
    change: impl Fn(&mut Value, usize) + Send + Sync + 'static,
) -> Scenario {
    let (with_body, body) = (with_body("webhook", file), stigg_body(file));
    Scenario::new(Binary::Webhook, name, count, move |n| {
        let mut body = body.clone();
        body["timestamp"] = event_time(day, n).into();
        body["messageId"] = format!("message-{n}").into();
        change(&mut body, n);
        with_body(&body)
    })
}

fn graphql(name: &str, count: usize, query: &str, id: impl Fn(usize) -> String + Send + Sync + 'static) -> Scenario {
    let (with_body, query) = (with_body("graphql", "customer.json"), query.to_owned());
    Scenario::new(Binary::Graphql, name, count, move |n| with_body(&json!({"query": query, "variables": {"id": id(n)}})))
}

fn page(size: usize) -> Scenario {
    let query = format!("{{ customers(first: {size}) {{ nodes {{ customerId name email createdAt }} }} }}");
    graphql(&format!("customers(first: {size})"), 200, &query, |_| String::new())
}

/// The kinds whose cost must not depend on the number of customers.
pub fn independent_of_size(data: Data) -> Vec<Scenario> {
    let subscription = move |n: usize| format!("subscription-{:07}-0", n * 7_919 % data.customers);
    let update = move |body: &mut Value, n: usize| body["id"] = customer(n, data).into();
    vec![
        check("check, customer level", data, 1_000, None, None),
        webhook("measurement.reported", ("05-measurement", 1), 1_000, move |body, n| {
            body["customer"]["id"] = customer(n, data).into();
            body["feature"]["id"] = "feature-0".into();
        }),
        webhook("customer.updated", ("10-customer.updated", 2), 1_000, update),
        webhook("customer.created", ("01-customer.created", 3), 1_000, |body, n| body["id"] = format!("new-{n}").into()),
        webhook("subscription.updated", ("07-subscription.updated", 4), 500, move |body, n| {
            body["id"] = subscription(n).into();
            body["customer"]["id"] = customer(n, data).into();
        }),
        graphql("one customer with its subscriptions", 500, ONE_CUSTOMER, move |n| customer(n, data)),
        page(10),
        page(50),
        page(100),
        // totalCount is an error above a million rows.
        graphql("README query without totalCount", 100, &README_QUERY.replace("totalCount", ""), |_| String::new()),
    ]
}

/// All kinds, by function.
pub fn all(data: Data) -> Vec<Scenario> {
    let mut scenarios = vec![
        check("check, 20 entitlements", data, 1_000, None, Some("wide-20")),
        check("check, 100 entitlements", data, 1_000, None, Some("wide-100")),
        check("check, 500 entitlements", data, 1_000, None, Some("wide-500")),
        check("check, for a resource with 20", data, 1_000, Some("site"), Some("wide-20")),
        batch("batch of 20 checks", "wide-20"),
        edge("Edge, 20 entitlements", "wide-20"),
        edge("Edge, 100 entitlements", "wide-100"),
    ];
    let new_list = move |count: usize, resource: Option<&'static str>| {
        let (suffix, day) = if resource.is_some() { (" of a resource", 8) } else { ("", 7) };
        webhook(&format!("entitlements.updated, {count} features{suffix}"), ("08-entitlements", day), 200, move |body, n| {
            // Lists of all lengths share a day, each length with its own range of times.
            body["timestamp"] = event_time(day, n + 1_000 * count).into();
            body["entitlementsUpdatedAt"] = body["timestamp"].clone();
            body["customer"]["id"] = if resource.is_some() { "wide-20".to_owned() } else { customer(n, data) }.into();
            body["resource"] = resource.map_or(Value::Null, |id| json!({ "id": id }));
            body["entitlements"] = (0..count).map(entitlement).collect();
        })
    };
    scenarios.extend(independent_of_size(data));
    scenarios.extend([
        graphql("README query, first: 50", 100, README_QUERY, |_| String::new()),
        webhook("subscription.created", ("02-subscription.created", 5), 500, move |body, n| {
            body["id"] = format!("new-{n}").into();
            body["customer"]["id"] = customer(n, data).into();
        }),
        webhook("subscription.canceled", ("14-subscription.canceled", 6), 500, move |body, n| {
            body["id"] = format!("subscription-{:07}-0", n * 7_919 % data.customers).into();
            body["customer"]["id"] = customer(n, data).into();
        }),
        new_list(10, None),
        new_list(50, None),
        new_list(500, None),
        new_list(20, Some("site")),
        graphql(
            "checkAccess",
            500,
            "query Check($id: String!) { checkAccess(customerId: $id, featureId: \"feature-0\") { hasAccess } }",
            move |n| customer(n, data),
        ),
        graphql("README query without entitlements", 200, &README_QUERY.replace("entitlements", ""), |_| String::new()),
    ]);
    scenarios.sort_by_key(|scenario| Binary::FUNCTIONS.iter().position(|function| *function == scenario.function));
    scenarios
}
