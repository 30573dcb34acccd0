//! A fake of Stigg's API: answers in the documented shapes, over HTTP.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use byos::stigg::Options;
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate, matchers::any};

/// A request, taken apart.
#[derive(Clone, Debug)]
pub(crate) struct RecordedRequest {
    /// The parts of its path, decoded.
    pub(crate) path: Vec<String>,
    pub(crate) query: HashMap<String, String>,
    pub(crate) key: String,
}

impl RecordedRequest {
    fn of(request: &Request) -> Self {
        // What `Url` keeps encoded is decoded as a query would be, `+` apart, which a path does not encode.
        let decode = |part: &str| {
            let decoded: Vec<_> = url_decode(part);
            String::from_utf8(decoded).unwrap()
        };
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

fn url_decode(part: &str) -> Vec<u8> {
    let mut bytes = part.bytes();
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

/// The server.
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

    /// What was asked so far.
    pub(crate) fn requests(&self) -> Vec<RecordedRequest> {
        self.requests.lock().unwrap().clone()
    }

    /// The options to read it with: no limit, and short waits.
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

/// Which of the documented forms pages have.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    Pagination,
    HasMore,
    CursorInRecords,
}

/// What Stigg has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Data {
    pub(crate) customers: Vec<Value>,
    pub(crate) subscriptions: Vec<Value>,
    pub(crate) plans: Vec<Value>,
    /// By customer and resource; a customer without one has an empty state.
    pub(crate) states: HashMap<(String, Option<String>), Value>,
}

impl Data {
    /// Answers as Stigg would.
    pub(crate) fn answer(&self, request: &RecordedRequest, form: Form, page_size: usize) -> ResponseTemplate {
        // A clock far ahead, so that what is read is dated to the millisecond by this machine's.
        let dated = |status: u16| ResponseTemplate::new(status).insert_header("date", "Fri, 01 Jan 2100 00:00:00 GMT");
        let ok = |body: Value| dated(200).set_body_json(body);
        let one = |records: &[Value], id: &str| match records.iter().find(|record| record["id"] == id) {
            Some(record) => ok(json!({ "data": record })),
            None => dated(404).set_body_json(json!({"message": "not found"})),
        };
        match request.path()[..] {
            ["api", "v1", "customers"] => ok(page(&self.customers, request, form, page_size)),
            ["api", "v1", "customers", id] => one(&self.customers, id),
            ["api", "v1", "subscriptions"] => {
                let wanted = request.query.get("customerId");
                let records: Vec<Value> = self
                    .subscriptions
                    .iter()
                    .filter(|record| wanted.is_none_or(|wanted| record["customerId"] == **wanted))
                    .cloned()
                    .collect();
                ok(page(&records, request, form, page_size))
            }
            ["api", "v1", "subscriptions", id] => one(&self.subscriptions, id),
            ["api", "v1", "plans", id] => one(&self.plans, id),
            ["v1", "c", customer, "entitlements-state.json"] => {
                let scope = (customer.to_owned(), request.query.get("resourceId").cloned());
                match self.states.get(&scope) {
                    Some(said) => ok(said.clone()),
                    None if scope.1.is_none() && self.customers.iter().any(|record| record["id"] == customer) => {
                        let mut none = state(Vec::new(), Vec::new());
                        none["accessDeniedReason"] = "NoActiveSubscription".into();
                        ok(none)
                    }
                    None => dated(404),
                }
            }
            _ => panic!("no such endpoint: {request:?}"),
        }
    }
}

fn page(records: &[Value], request: &RecordedRequest, form: Form, size: usize) -> Value {
    let parameter = match form {
        Form::Pagination => "after",
        Form::HasMore | Form::CursorInRecords => "starting_after",
    };
    assert!(request.query.keys().all(|name| [parameter, "limit", "customerId"].contains(&name.as_str())), "{request:?}");
    // a cursor that nobody can guess; it holds its place when records come and go
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
    match form {
        Form::Pagination => json!({"data": data, "pagination": {"next": cursor, "prev": null}}),
        Form::HasMore => json!({"data": data, "has_more": cursor.is_some(), "next_cursor": cursor}),
        Form::CursorInRecords => {
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

/// A state with one entitlement and one wallet, which Stigg's own models accept: cli/audit/models.py.
fn documented() -> Value {
    serde_json::from_str(include_str!("state.json")).unwrap()
}

/// A state with these entitlements and wallets.
pub(crate) fn state(entitlements: Vec<Value>, wallets: Vec<Value>) -> Value {
    let mut state = documented();
    let mut both = entitlements.clone();
    both.iter_mut().for_each(|entitlement| entitlement["__typename"] = "FeatureEntitlement".into());
    both.extend(wallets);
    (state["entitlements"], state["entitlementsV2"]) = (entitlements.into(), both.into());
    state
}

/// An entitlement of a state.
pub(crate) fn entitlement(feature: &str, limit: u32, usage: u32) -> Value {
    let mut entitlement = documented()["entitlements"][0].take();
    (entitlement["usageLimit"], entitlement["currentUsage"]) = (limit.into(), usage.into());
    (entitlement["feature"]["refId"], entitlement["feature"]["displayName"]) = (feature.into(), feature.into());
    entitlement
}

/// An entitlement that is paid with these credits.
pub(crate) fn paid_with(currency: &str, feature: &str) -> Value {
    let mut entitlement = entitlement(feature, 0, 0);
    entitlement["usageLimit"] = Value::Null;
    entitlement["creditRate"] = json!({"amount": 2, "currencyId": currency});
    entitlement
}

/// A customer's credits.
pub(crate) fn wallet(currency: &str, granted: u32, used: u32) -> Value {
    let mut wallet = documented()["entitlementsV2"][0].take();
    (wallet["usageLimit"], wallet["currentUsage"]) = (granted.into(), used.into());
    wallet["currency"]["currencyId"] = currency.into();
    wallet
}

/// So many customers with a subscription and two entitlements each.
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
