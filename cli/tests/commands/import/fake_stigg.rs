//! A fake of Stigg's API over HTTP, with the documented response formats.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use byos::stigg::Options;
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate, matchers::any};

/// A received request.
#[derive(Clone, Debug)]
pub(crate) struct RecordedRequest {
    /// The decoded segments of the path.
    pub(crate) path: Vec<String>,
    pub(crate) query: HashMap<String, String>,
    pub(crate) key: String,
}

impl RecordedRequest {
    fn of(request: &Request) -> Self {
        let decode = |segment: &str| String::from_utf8(percent_decode(segment)).unwrap();
        Self {
            path: request.url.path_segments().unwrap().map(decode).collect(),
            query: request.url.query_pairs().into_owned().collect(),
            key: request.headers.get("x-api-key").map(|key| key.to_str().unwrap().to_owned()).unwrap_or_default(),
        }
    }

    pub(crate) fn path(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }
}

/// Unlike in a query, `+` is a plus in a path.
fn percent_decode(segment: &str) -> Vec<u8> {
    let mut bytes = segment.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let hex = [bytes.next().unwrap(), bytes.next().unwrap()];
            decoded.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
        } else {
            decoded.push(byte);
        }
    }
    decoded
}

type Answer = dyn Fn(&RecordedRequest) -> ResponseTemplate + Send + Sync;

struct Responder {
    answer: Arc<Answer>,
    requests: Arc<Mutex<Vec<RecordedRequest>>>,
}

impl Respond for Responder {
    fn respond(&self, received: &Request) -> ResponseTemplate {
        let request = RecordedRequest::of(received);
        self.requests.lock().unwrap().push(request.clone());
        (self.answer)(&request)
    }
}

pub(crate) struct FakeStigg {
    pub(crate) server: MockServer,
    requests: Arc<Mutex<Vec<RecordedRequest>>>,
}

impl FakeStigg {
    pub(crate) async fn start(answer: impl Fn(&RecordedRequest) -> ResponseTemplate + Send + Sync + 'static) -> Self {
        let server = MockServer::builder().disable_request_recording().start().await;
        let requests = Arc::new(Mutex::new(Vec::new()));
        let responder = Responder { answer: Arc::new(answer), requests: requests.clone() };
        Mock::given(any()).respond_with(responder).mount(&server).await;
        Self { server, requests }
    }

    /// The requests so far.
    pub(crate) fn requests(&self) -> Vec<RecordedRequest> {
        self.requests.lock().unwrap().clone()
    }

    /// Client options with no rate limit and a short back-off.
    pub(crate) fn options(&self) -> Options {
        let url: reqwest::Url = self.server.uri().parse().unwrap();
        Options {
            stigg_url: url.clone(),
            stigg_edge_url: url,
            rate: 0,
            concurrency: 4,
            lag: 0,
            timeout: 5,
            backoff: Duration::from_millis(5),
        }
    }
}

/// The documented formats of pages.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PageFormat {
    Pagination,
    HasMore,
    CursorInRecords,
}

/// Stigg's records.
#[derive(Clone, Debug, Default)]
pub(crate) struct Data {
    pub(crate) customers: Vec<Value>,
    pub(crate) subscriptions: Vec<Value>,
    pub(crate) plans: Vec<Value>,
    /// By customer and resource. A customer without an entry has an empty state.
    pub(crate) states: HashMap<(String, Option<String>), Value>,
}

impl Data {
    pub(crate) fn answer(&self, request: &RecordedRequest, format: PageFormat, page_size: usize) -> ResponseTemplate {
        // A `Date` far ahead. Then the client dates records by its own clock, to the millisecond.
        let dated = |status: u16| ResponseTemplate::new(status).insert_header("date", "Fri, 01 Jan 2100 00:00:00 GMT");
        let ok = |body: Value| dated(200).set_body_json(body);
        let one = |records: &[Value], id: &str| match records.iter().find(|record| record["id"] == id) {
            Some(record) => ok(json!({ "data": record })),
            None => dated(404).set_body_json(json!({"message": "not found"})),
        };
        match request.path()[..] {
            ["api", "v1", "customers"] => ok(page(&self.customers, request, format, page_size)),
            ["api", "v1", "customers", id] => one(&self.customers, id),
            ["api", "v1", "subscriptions"] => {
                let customer_id = request.query.get("customerId");
                let records: Vec<Value> = self
                    .subscriptions
                    .iter()
                    .filter(|record| customer_id.is_none_or(|customer_id| record["customerId"] == **customer_id))
                    .cloned()
                    .collect();
                ok(page(&records, request, format, page_size))
            }
            ["api", "v1", "subscriptions", id] => one(&self.subscriptions, id),
            ["api", "v1", "plans", id] => one(&self.plans, id),
            ["v1", "c", customer, "entitlements-state.json"] => {
                let scope = (customer.to_owned(), request.query.get("resourceId").cloned());
                match self.states.get(&scope) {
                    Some(state) => ok(state.clone()),
                    None if scope.1.is_none() && self.customers.iter().any(|record| record["id"] == customer) => {
                        let mut empty = state(Vec::new(), Vec::new());
                        empty["accessDeniedReason"] = "NoActiveSubscription".into();
                        ok(empty)
                    }
                    None => dated(404),
                }
            }
            _ => panic!("unknown endpoint: {request:?}"),
        }
    }
}

fn page(records: &[Value], request: &RecordedRequest, format: PageFormat, size: usize) -> Value {
    let parameter = match format {
        PageFormat::Pagination => "after",
        PageFormat::HasMore | PageFormat::CursorInRecords => "starting_after",
    };
    assert!(request.query.keys().all(|name| [parameter, "limit", "customerId"].contains(&name.as_str())), "{request:?}");
    // The prefix ensures that clients use the cursor as returned. The cursor stays valid if records are added or removed.
    let start = request.query.get(parameter).map_or(0, |cursor| {
        let last = cursor.strip_prefix("cursor=/+").unwrap();
        match records.iter().position(|record| record["id"] == last) {
            Some(index) => index + 1,
            None => records.iter().position(|record| record["id"].as_str() > Some(last)).unwrap_or(records.len()),
        }
    });
    let end = (start + size).min(records.len());
    let cursor_at = |record: &Value| format!("cursor=/+{}", record["id"].as_str().unwrap_or_default());
    let cursor = (end < records.len()).then(|| cursor_at(&records[end - 1]));
    let mut data = records[start..end].to_vec();
    match format {
        PageFormat::Pagination => json!({"data": data, "pagination": {"next": cursor, "prev": null}}),
        PageFormat::HasMore => json!({"data": data, "has_more": cursor.is_some(), "next_cursor": cursor}),
        PageFormat::CursorInRecords => {
            for record in &mut data {
                record["cursor_id"] = cursor_at(record).into();
            }
            json!({ "data": data })
        }
    }
}

/// A customer's record.
pub(crate) fn customer(id: &str) -> Value {
    json!({"id": id, "name": format!("Name of {id}"), "email": format!("{id}@example.com"), "archivedAt": null, "couponId": null,
           "createdAt": "2026-01-01T00:00:00.000Z", "updatedAt": "2026-01-02T00:00:00.000Z", "defaultPaymentMethod": null,
           "integrations": [{"id": "1", "vendorIdentifier": "STRIPE", "syncedEntityId": format!("cus_{id}")}], "metadata": {"of": id}})
}

/// A subscription's record.
pub(crate) fn subscription(id: &str, customer_id: &str) -> Value {
    json!({"id": id, "customerId": customer_id, "planId": "plan-a", "pricingType": "PAID", "status": "ACTIVE", "resourceId": null,
           "billingId": null, "createdAt": "2026-01-01T00:00:01.000Z", "startDate": "2026-01-01T00:00:00.000Z", "endDate": null,
           "cancellationDate": null, "trialEndDate": null, "currentBillingPeriodStart": null, "currentBillingPeriodEnd": null,
           "paymentCollection": "NOT_REQUIRED", "addons": [{"id": "addon-a", "quantity": 2}], "metadata": {}})
}

/// A state with one entitlement and one wallet. cli/audit/models.py validates it with Stigg's own models.
fn documented_state() -> Value {
    serde_json::from_str(include_str!("state.json")).unwrap()
}

/// A state with these entitlements and wallets.
pub(crate) fn state(entitlements: Vec<Value>, wallets: Vec<Value>) -> Value {
    let mut state = documented_state();
    let mut both = entitlements.clone();
    both.iter_mut().for_each(|entitlement| entitlement["__typename"] = "FeatureEntitlement".into());
    both.extend(wallets);
    (state["entitlements"], state["entitlementsV2"]) = (entitlements.into(), both.into());
    state
}

pub(crate) fn entitlement(feature: &str, limit: u32, usage: u32) -> Value {
    let mut entitlement = documented_state()["entitlements"][0].take();
    (entitlement["usageLimit"], entitlement["currentUsage"]) = (limit.into(), usage.into());
    (entitlement["feature"]["refId"], entitlement["feature"]["displayName"]) = (feature.into(), feature.into());
    entitlement
}

/// An entitlement that consumes credits of this currency.
pub(crate) fn paid_with(currency: &str, feature: &str) -> Value {
    let mut entitlement = entitlement(feature, 0, 0);
    entitlement["usageLimit"] = Value::Null;
    entitlement["creditRate"] = json!({"amount": 2, "currencyId": currency});
    entitlement
}

/// A customer's credits of a currency.
pub(crate) fn wallet(currency: &str, granted: u32, used: u32) -> Value {
    let mut wallet = documented_state()["entitlementsV2"][0].take();
    (wallet["usageLimit"], wallet["currentUsage"]) = (granted.into(), used.into());
    wallet["currency"]["currencyId"] = currency.into();
    wallet
}

/// `count` customers with a subscription and two entitlements each.
pub(crate) fn data(count: usize) -> Data {
    let ids: Vec<String> = (0..count).map(|n| format!("customer/{n:04}")).collect();
    let state = state(vec![entitlement("seats", 5, 2), entitlement("calls", 100, 100)], Vec::new());
    Data {
        customers: ids.iter().map(|id| customer(id)).collect(),
        subscriptions: ids.iter().map(|id| subscription(&format!("subscription of {id}"), id)).collect(),
        plans: vec![
            json!({"id": "plan-a", "displayName": "Plan A", "description": null, "pricingType": "PAID", "status": "PUBLISHED"}),
        ],
        states: ids.into_iter().map(|id| ((id, None), state.clone())).collect(),
    }
}
