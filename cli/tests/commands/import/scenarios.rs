//! Scenarios of import and reconcile: page formats, errors of Stigg's API, interrupted runs, and differences.

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use byos::{
    guard::Guards,
    import::{self, Checkpoint, Counts, ImportError},
    reconcile::{self, Settings, Totals},
    report::Report,
    stigg::{Key, Options, Records, Stigg, StiggError},
    sync::{Fatal, Mode, Synchronizer},
};
use domain::{
    access::{AccessRequest, decide},
    customer::CustomerState,
    event::{self, Received},
    id::Id,
};
use local::embedded::Embedded;
use runtime::clock::Clock;
use serde_json::{Value, json};
use store::{Projection, apply::apply};
use testkit::printed::Captured;
use wiremock::ResponseTemplate;

use super::fake_stigg::{
    Data, FakeStigg, PageFormat, RecordedRequest, customer, data, entitlement, paid_with, state, subscription, wallet,
};

fn id(text: &str) -> Id {
    Id::try_from(text).unwrap()
}

/// A command's output: JSON lines.
struct Printed(Vec<Value>);

impl Printed {
    fn of(output: &Captured) -> Self {
        Self(output.take().lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    fn lines(&self) -> &[Value] {
        &self.0
    }

    fn of_kind(&self, kind: &str) -> Vec<Value> {
        self.0.iter().filter(|line| line["kind"] == kind).cloned().collect()
    }
}

/// A replica, and the folder of the import's state.
struct TestReplica {
    embedded: Embedded,
    folder: tempfile::TempDir,
}

impl TestReplica {
    async fn new() -> Self {
        Self { embedded: Embedded::in_memory().await.unwrap(), folder: tempfile::tempdir().unwrap() }
    }

    fn synchronizer(&self, options: &Options, mode: Mode) -> Synchronizer {
        let stigg = Stigg::new(options, Key::new("the-key").unwrap(), Clock::system()).unwrap();
        Synchronizer::new(stigg, self.embedded.store.clone(), mode)
    }

    fn state(&self) -> std::path::PathBuf {
        self.folder.path().join("state.json")
    }

    async fn try_import(&self, options: &Options, resume: bool) -> (Result<Counts, ImportError>, Printed) {
        let synchronizer = self.synchronizer(options, Mode::Import);
        let mut checkpoint = Checkpoint::open(&self.state(), resume, "stigg", "table").unwrap();
        let printed = Captured::default();
        let mut report = Report::to(Box::new(printed.clone()), true, false);
        let counts = import::run(&synchronizer, &mut checkpoint, options.concurrency.into(), None, &mut report).await;
        drop(report);
        (counts, Printed::of(&printed))
    }

    async fn import(&self, options: &Options) -> (Counts, Printed) {
        let (counts, printed) = self.try_import(options, false).await;
        (counts.unwrap(), printed)
    }

    async fn reconcile(&self, options: &Options, fix: bool) -> (Totals, Printed) {
        self.reconcile_with(options, fix, 100, None, false).await
    }

    async fn reconcile_with(
        &self,
        options: &Options,
        fix: bool,
        max_deletions: u64,
        customer: Option<&str>,
        values: bool,
    ) -> (Totals, Printed) {
        let guards = Guards { max_deletions: Some(max_deletions), ..Guards::default() };
        let settings = Settings { concurrency: 4, settle: Duration::ZERO, guards };
        let printed = Captured::default();
        let report = Report::to(Box::new(printed.clone()), true, values);
        let synchronizer = self.synchronizer(options, Mode::Compare);
        let totals = reconcile::run(synchronizer, fix, settings, customer.map(id).as_ref(), report).await.unwrap();
        (totals, Printed::of(&printed))
    }

    async fn apply_event(&self, event: Value) {
        let body = event.to_string();
        let Received::Handled(handled) = event::parse(body.as_bytes()).unwrap() else { panic!("ignored: {body}") };
        let now = jiff::Timestamp::now();
        let _ = apply(&self.embedded.store, &handled.envelope, &handled.event, now.into()).await.unwrap();
    }

    /// The decision of a check that requests a usage of 1.
    async fn check(&self, customer: &str, feature: &str, resource: Option<&str>) -> Value {
        let request = AccessRequest {
            customer_id: id(customer),
            feature_id: id(feature),
            requested_usage: 1.0,
            requested_values: Vec::new(),
            resource_id: resource.map(id),
        };
        let view = self.embedded.store.access_view(&request).await.unwrap();
        let decision = decide(&view, &request, jiff::Timestamp::now());
        let mut answer = serde_json::to_value(&decision.snapshot).unwrap();
        answer["hasAccess"] = decision.has_access().into();
        answer["accessDeniedReason"] = json!(decision.denied);
        answer
    }

    async fn customer(&self, customer: &str) -> Option<domain::customer::Customer> {
        self.embedded.store.customers(&[id(customer)], Projection::Profiles).await.unwrap().pop()?.registers.visible()
    }

    async fn subscription(&self, subscription: &str) -> Option<domain::subscription::Subscription> {
        self.embedded.store.subscriptions(&[id(subscription)]).await.unwrap().pop()?.registers.visible(None)
    }
}

async fn serve(data: &Data, format: PageFormat, page_size: usize) -> FakeStigg {
    let data = data.clone();
    FakeStigg::start(move |request| data.answer(request, format, page_size)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn all_page_formats_are_imported_completely_and_a_second_import_writes_nothing() {
    for format in [PageFormat::Pagination, PageFormat::HasMore, PageFormat::CursorInRecords] {
        let replica = TestReplica::new().await;
        let api = serve(&data(23), format, 10).await;
        let (counts, printed) = replica.import(&api.options()).await;
        let expected = Counts { customers: 23, subscriptions: 23, lists: 23, writes: 23 * 2, skipped: 0 };
        assert_eq!(counts, expected, "{format:?}: {:?}", printed.lines());
        assert!(api.requests().iter().all(|request| request.key == "the-key"));
        // Two lists of pages, a state per customer, and the plan once. A format without an end mark needs one more page per list.
        let pages = if matches!(format, PageFormat::CursorInRecords) { 8 } else { 6 };
        assert_eq!(api.requests().len(), pages + 23 + 1, "{format:?}");
        let summary = &printed.of_kind("summary")[0];
        assert_eq!((&summary["calls"], &summary["customers"]), (&json!(pages + 24), &json!(23)));
        assert!(!replica.state().exists());

        let name = "customer/0022";
        assert_eq!(replica.check(name, "seats", None).await["currentUsage"], 2);
        assert_eq!(replica.check(name, "calls", None).await["accessDeniedReason"], "RequestedUsageExceedingLimit");
        let customer = replica.customer(name).await.unwrap();
        assert_eq!(customer.created_at.as_deref(), Some("2026-01-01T00:00:00.000Z"));
        assert_eq!(
            serde_json::to_value(&customer.profile).unwrap(),
            json!({
            "name": "Name of customer/0022", "email": "customer/0022@example.com", "billingId": "cus_customer/0022", "metadata": {"of": name}})
        );
        let subscription = replica.subscription(&format!("subscription of {name}")).await.unwrap();
        assert_eq!((subscription.details.plan_name.as_str(), subscription.status.as_str()), ("Plan A", "ACTIVE"));
        assert_eq!(subscription.created_at.as_deref(), Some("2026-01-01T00:00:01.000Z"));

        let (again, _) = replica.import(&api.options()).await;
        assert_eq!(again, Counts { writes: 0, ..expected }, "{format:?}");
    }
}

/// Answers the first attempt of each request with `failure`, and later attempts normally.
fn failing(
    data: Data,
    failure: fn(usize) -> Option<ResponseTemplate>,
) -> impl Fn(&RecordedRequest) -> ResponseTemplate + Send + Sync {
    let attempts: Mutex<HashMap<String, usize>> = Mutex::default();
    let next = AtomicUsize::new(0);
    move |request| {
        let attempt = {
            let mut attempts = attempts.lock().unwrap();
            let attempt = attempts.entry(format!("{:?}{:?}", request.path, request.query.get("after"))).or_default();
            *attempt += 1;
            *attempt
        };
        let response = if attempt == 1 { failure(next.fetch_add(1, Ordering::SeqCst)) } else { None };
        response.unwrap_or_else(|| data.answer(request, PageFormat::Pagination, 10))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_throttled_and_timed_out_requests_are_retried() {
    let replica = TestReplica::new().await;
    let api = FakeStigg::start(failing(data(23), |n| match n % 6 {
        0 => Some(ResponseTemplate::new(500)),
        1 => Some(ResponseTemplate::new(429).insert_header("retry-after", "0")),
        2 => Some(ResponseTemplate::new(503).set_body_string("<html>")),
        3 => Some(ResponseTemplate::new(429)),
        4 => Some(ResponseTemplate::new(200).set_delay(Duration::from_secs(3)).set_body_json(json!({}))),
        _ => None,
    }))
    .await;
    let (counts, printed) = replica.import(&Options { timeout: 1, ..api.options() }).await;
    assert_eq!(counts, Counts { customers: 23, subscriptions: 23, lists: 23, writes: 23 * 2, skipped: 0 });
    let summary = &printed.of_kind("summary")[0];
    assert!(summary["throttled"].as_u64() > Some(5) && summary["failed"].as_u64() > Some(8), "{summary}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_after_header_pauses_all_requests() {
    let replica = TestReplica::new().await;
    let first = Mutex::new(true);
    let times: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let (data, recorded) = (data(8), times.clone());
    let api = FakeStigg::start(move |request| {
        recorded.lock().unwrap().push(Instant::now());
        let is_state = request.path.last().is_some_and(|last| last.ends_with(".json"));
        if is_state && std::mem::take(&mut *first.lock().unwrap()) {
            return ResponseTemplate::new(429).insert_header("retry-after", "1");
        }
        data.answer(request, PageFormat::Pagination, 10)
    })
    .await;
    replica.import(&Options { concurrency: 2, ..api.options() }).await;
    let times = times.lock().unwrap();
    let gaps: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let longest = gaps.iter().max().unwrap();
    assert!(*longest >= Duration::from_millis(900), "{gaps:?}");
    // At most the other one of two concurrent requests was already sent.
    let at = gaps.iter().position(|gap| gap == longest).unwrap();
    assert!(at <= 2, "{gaps:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_rate_limited() {
    let replica = TestReplica::new().await;
    let api = serve(&data(60), PageFormat::Pagination, 100).await;
    let start = Instant::now();
    replica.import(&Options { rate: 20, ..api.options() }).await;
    // 63 requests: a burst of 20, the others at 20 per second.
    assert!(start.elapsed() >= Duration::from_secs(2), "{:?}", start.elapsed());
    assert_eq!(api.requests().len(), 63);
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_records_are_skipped_and_reported() {
    let replica = TestReplica::new().await;
    let mut data = data(6);
    data.customers[0] = json!({"name": "no id"});
    data.customers[1]["name"] = json!(7);
    data.customers[5]["id"] = "..".into();
    data.subscriptions[2].as_object_mut().unwrap().remove("planId");
    data.subscriptions[3]["startDate"] = "some day".into();
    let state = data.states.get_mut(&("customer/0004".to_owned(), None)).unwrap();
    state["entitlements"][0]["feature"].as_object_mut().unwrap().remove("meterType");
    let broken = Arc::new(data.clone());
    let api = FakeStigg::start(move |request| {
        let always_fails = request.path.get(2).is_some_and(|id| id == "customer/0003") && request.path[0] == "v1";
        if always_fails { ResponseTemplate::new(500) } else { broken.answer(request, PageFormat::Pagination, 10) }
    })
    .await;
    let (counts, printed) = replica.import(&api.options()).await;
    let skipped: Vec<(Value, Value, Value)> = printed
        .of_kind("skipped")
        .into_iter()
        .map(|line| (line["record"].clone(), line["id"].clone(), line["reason"].clone()))
        .collect();
    let has = |record: &str, id: Value, reason: &str| {
        let found =
            skipped.iter().any(|skipped| skipped.0 == record && skipped.1 == id && skipped.2.as_str().unwrap().contains(reason));
        assert!(found, "{record} {id} {reason}: {skipped:#?}");
    };
    has("customer", Value::Null, "`id` is missing");
    has("entitlements", "..".into(), "can't be part of a URL");
    has("entitlements", "customer/0003".into(), "500");
    has("entitlements", "customer/0004".into(), "entitlements[0].feature.meterType is missing");
    has("subscription", "subscription of customer/0002".into(), "`planId` is missing");
    has("subscription", "subscription of customer/0003".into(), "`startDate`");
    assert_eq!((skipped.len(), counts.skipped), (6, 6), "{skipped:#?}");
    // An invalid name is not an error, since it does not affect decisions.
    let nameless = replica.embedded.store.customers(&[id("customer/0001")], Projection::Profiles).await.unwrap().pop().unwrap();
    assert_eq!(nameless.registers.visible().unwrap().profile.name, None);
    assert_eq!(replica.check("customer/0001", "seats", None).await["hasAccess"], true);
    assert_eq!((counts.customers, counts.subscriptions), (6, 6));
    // An invalid list is not written in part.
    assert_eq!(replica.check("customer/0004", "seats", None).await["accessDeniedReason"], "NoActiveSubscription");
    assert_eq!(replica.check("customer/0002", "seats", None).await["hasAccess"], true);
    assert!(replica.subscription("subscription of customer/0004").await.is_some());
    assert!(!printed.lines().iter().any(|line| line.to_string().contains("@example.com")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_whose_list_is_too_large_for_an_item_is_imported_without_it() {
    let replica = TestReplica::new().await;
    let mut data = data(3);
    // Digits that hardly compress.
    let mut seed = 1_u64;
    let mut digits = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        format!("{:016x}", seed.rotate_left(23) ^ seed)
    };
    let large = (0..10).map(|n| {
        let mut entitlement = entitlement(&format!("f{n}"), 50, 7);
        entitlement["feature"]["description"] = (0..5_000).map(|_| digits()).collect::<String>().into();
        entitlement
    });
    data.states.insert(("customer/0001".to_owned(), None), state(large.collect(), Vec::new()));
    let api = serve(&data, PageFormat::Pagination, 10).await;
    for writes in [6, 0] {
        let (counts, printed) = replica.import(&api.options()).await;
        let skipped = &printed.of_kind("skipped")[0];
        assert_eq!((&skipped["id"], &skipped["record"]), (&json!("customer/0001"), &json!("entitlements")), "{skipped}");
        assert!(skipped["reason"].as_str().unwrap().contains("400 KB"), "{skipped}");
        assert_eq!(counts, Counts { customers: 3, subscriptions: 3, lists: 3, writes, skipped: 1 });
        assert!(replica.customer("customer/0001").await.is_some());
        assert_eq!(replica.check("customer/0001", "f0", None).await["accessDeniedReason"], "NoActiveSubscription");
        assert_eq!(replica.check("customer/0002", "seats", None).await["hasAccess"], true);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_import_resumes_at_its_last_page() {
    let replica = TestReplica::new().await;
    let (data, is_down) = (data(35), Arc::new(Mutex::new(true)));
    let down = is_down.clone();
    let api = FakeStigg::start(move |request| {
        let is_on_third_page = request.path() == ["v1", "c", "customer/0025", "entitlements-state.json"];
        if is_on_third_page && *down.lock().unwrap() {
            ResponseTemplate::new(401)
        } else {
            data.answer(request, PageFormat::HasMore, 10)
        }
    })
    .await;
    let (failed, _) = replica.try_import(&api.options(), false).await;
    assert!(matches!(failed, Err(ImportError::Fatal(Fatal::Stigg(StiggError::Key(_))))), "{failed:?}");
    let message = failed.unwrap_err().to_string();
    assert!(message.contains("--resume") && !message.contains("the-key"), "{message}");
    assert!(replica.check("customer/0019", "seats", None).await["hasAccess"] == true);

    *is_down.lock().unwrap() = false;
    let before = api.requests().len();
    let (counts, _) = replica.try_import(&api.options(), true).await;
    let counts = counts.unwrap();
    assert_eq!((counts.customers, counts.subscriptions, counts.lists, counts.skipped), (35, 35, 35, 0));
    let requests = &api.requests()[before..];
    assert_eq!(requests[0].query.get("starting_after").map(String::as_str), Some("cursor=/+customer/0019"));
    assert!(!requests.iter().any(|request| request.path.get(2).is_some_and(|id| id == "customer/0019")));
    assert!(replica.subscription("subscription of customer/0034").await.is_some());
    assert!(!replica.state().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_ends_the_import_instead_of_skipping_all_records() {
    let replica = TestReplica::new().await;
    let data = data(60);
    let api = FakeStigg::start(move |request| match request.path[0].as_str() {
        "v1" => ResponseTemplate::new(502),
        _ => data.answer(request, PageFormat::Pagination, 100),
    })
    .await;
    let (failed, printed) = replica.try_import(&Options { backoff: Duration::ZERO, ..api.options() }, false).await;
    assert!(matches!(failed, Err(ImportError::Fatal(Fatal::Stigg(StiggError::Down(_))))), "{failed:?}");
    assert!(printed.of_kind("skipped").len() < 25);
    assert!(replica.state().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_customers_own_record_makes_it_live() {
    let replica = TestReplica::new().await;
    let mut data = data(2);
    // Live in the replica, archived in Stigg. Stigg keeps the subscriptions of archived customers.
    replica.apply_event(json!({"type": "customer.updated", "id": "customer/0000", "timestamp": "2026-01-05T00:00:00Z"})).await;
    data.customers[0]["archivedAt"] = "2026-02-01T00:00:00.000Z".into();
    data.customers.push(json!({"id": "never known", "archivedAt": "2026-02-01T00:00:00.000Z"}));
    data.subscriptions.push(subscription("of nobody", "never known"));
    let api = serve(&data, PageFormat::Pagination, 10).await;
    let (counts, _) = replica.import(&api.options()).await;
    assert_eq!(counts.skipped, 0);
    assert_eq!(replica.check("customer/0000", "seats", None).await["accessDeniedReason"], "CustomerIsArchived");
    assert_eq!(replica.check("never known", "seats", None).await["accessDeniedReason"], "CustomerNotFound");
    assert_eq!(replica.check("customer/0001", "seats", None).await["hasAccess"], true);
    assert!(replica.subscription("subscription of customer/0000").await.is_none());
    assert!(replica.subscription("of nobody").await.is_none());
    let (totals, _) = replica.reconcile(&api.options(), false).await;
    assert_eq!((totals.left(), totals.skipped), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn dependents_do_not_resurrect_a_customer_that_is_archived_during_the_import() {
    let replica = TestReplica::new().await;
    let mut data = data(1);
    data.subscriptions[0]["resourceId"] = "site".into();
    let state = state(vec![entitlement("seats", 50, 7)], Vec::new());
    data.states.insert(("customer/0000".to_owned(), Some("site".to_owned())), state);
    // Archived after the customers are read and before the subscriptions are read. The subscriptions do not change.
    let archived_at: Arc<Mutex<Option<jiff::Timestamp>>> = Arc::default();
    let moment = archived_at.clone();
    let api = FakeStigg::start(move |request| {
        if request.path() == ["api", "v1", "subscriptions"] {
            *moment.lock().unwrap() = Some(jiff::Timestamp::now() - Duration::from_secs(2));
        }
        data.answer(request, PageFormat::Pagination, 10)
    })
    .await;
    // The customers are read with a lag of 60 seconds, so their versions are older than the archiving.
    let options = Options { lag: 0, ..api.options() };
    let synchronizer = replica.synchronizer(&options, Mode::Import);
    let mut checkpoint = Checkpoint::open(&replica.state(), false, "stigg", "table").unwrap();
    let mut report = Report::to(Box::new(std::io::sink()), true, false);
    let old = replica.synchronizer(&Options { lag: 60, ..options.clone() }, Mode::Import);
    old.compare_all::<Fatal>(Records::Customers, None, 1, async |_| Ok(())).await.unwrap();
    import::run(&synchronizer, &mut checkpoint, 1, None, &mut report).await.unwrap();
    let archived_at = archived_at.lock().unwrap().unwrap();
    let customer = replica.embedded.store.customers(&[id("customer/0000")], Projection::Profiles).await.unwrap().pop().unwrap();
    assert_eq!(customer.registers.state(), CustomerState::Live);
    replica.apply_event(json!({"type": "customer.deleted", "id": "customer/0000", "timestamp": archived_at})).await;
    assert_eq!(replica.check("customer/0000", "seats", Some("site")).await["accessDeniedReason"], "CustomerIsArchived");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_has_its_own_list_and_the_older_format_of_states_is_supported() {
    let replica = TestReplica::new().await;
    let mut data = data(1);
    let mut of_site = subscription("for a site", "customer/0000");
    of_site["resourceId"] = "site/1".into();
    data.subscriptions.extend([of_site.clone(), of_site]);
    data.subscriptions[2]["id"] = "for the same site".into();
    let state = json!({"data": {"entitlementsState": state(vec![entitlement("seats", 50, 7)], Vec::new())}});
    data.states.insert(("customer/0000".to_owned(), Some("site/1".to_owned())), state);
    let api = serve(&data, PageFormat::Pagination, 10).await;
    let (counts, _) = replica.import(&api.options()).await;
    assert_eq!((counts.lists, counts.skipped), (2, 0));
    let check = replica.check("customer/0000", "seats", Some("site/1")).await;
    assert_eq!((&check["usageLimit"], &check["currentUsage"]), (&json!(50), &json!(7)));
    assert_eq!(replica.check("customer/0000", "seats", None).await["usageLimit"], 5);
    // The imported list does not make the customer live, so a deletion that arrives later archives it.
    replica.apply_event(json!({"type": "customer.deleted", "id": "customer/0000", "timestamp": jiff::Timestamp::now()})).await;
    let row = replica.embedded.store.customers(&[id("customer/0000")], Projection::Profiles).await.unwrap().pop().unwrap();
    assert_eq!(row.registers.state(), CustomerState::Archived);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_that_stigg_no_longer_knows_loses_its_entitlements() {
    let replica = TestReplica::new().await;
    let mut data = data(1);
    data.subscriptions[0]["resourceId"] = "site".into();
    let scope = ("customer/0000".to_owned(), Some("site".to_owned()));
    data.states.insert(scope.clone(), state(vec![entitlement("seats", 50, 7)], Vec::new()));
    replica.import(&serve(&data, PageFormat::Pagination, 10).await.options()).await;
    data.states.remove(&scope);
    let api = serve(&data, PageFormat::Pagination, 10).await;
    let (totals, printed) = replica.reconcile(&api.options(), true).await;
    assert_eq!((totals.extra, totals.fixed, totals.skipped), (1, 1, 0), "{:?}", printed.lines());
    assert_eq!(replica.check("customer/0000", "seats", Some("site")).await["hasAccess"], false);
    let (totals, printed) = replica.reconcile(&api.options(), true).await;
    assert_eq!((totals.left(), totals.fixed, totals.skipped), (0, 0, 0), "{:?}", printed.lines());
    // A resource that the replica never knew is ignored.
    let other = TestReplica::new().await;
    assert_eq!(other.import(&api.options()).await.0.skipped, 0);
    assert_eq!(other.check("customer/0000", "seats", Some("site")).await["accessDeniedReason"], "CustomerResourceNotFound");
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_that_only_events_carry_are_kept() {
    let replica = TestReplica::new().await;
    replica.apply_event(json!({"type": "customer.created", "id": "customer/0000", "timestamp": "2026-01-01T00:00:00Z", "name": "Old", "crmId": "crm"})).await;
    replica.apply_event(json!({"type": "subscription.created", "id": "subscription of customer/0000", "timestamp": "2026-01-01T00:00:00Z",
                     "status": "IN_TRIAL", "startDate": "2026-01-01T00:00:00Z", "billingPeriod": "MONTHLY", "customer": {"id": "customer/0000"},
                     "plan": {"id": "plan-a", "name": "Its name then"}, "addons": [{"id": "addon-a", "name": "Add-on A", "quantity": 1}]})).await;
    let mut data = data(1);
    data.plans.clear();
    let api = serve(&data, PageFormat::Pagination, 10).await;
    replica.import(&api.options()).await;
    let customer = replica.customer("customer/0000").await.unwrap();
    assert_eq!((customer.profile.name.as_deref(), json!(customer.profile.crm_id)), (Some("Name of customer/0000"), json!("crm")));
    let subscription = replica.subscription("subscription of customer/0000").await.unwrap();
    assert_eq!(subscription.status, "ACTIVE");
    assert_eq!(json!(subscription.details.billing_period), "MONTHLY");
    assert_eq!(subscription.details.plan_name, "Its name then");
    assert_eq!(json!(subscription.details.addons), json!([{"id": "addon-a", "name": "Add-on A", "quantity": 2}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn reconcile_reports_and_fixes_missing_extra_and_different_data() {
    let replica = TestReplica::new().await;
    let mut data = data(5);
    let api = serve(&data, PageFormat::Pagination, 2).await;
    replica.import(&api.options()).await;
    let (totals, printed) = replica.reconcile(&api.options(), false).await;
    assert_eq!(totals, Totals { customers: 5, subscriptions: 5, lists: 5, ..Totals::default() }, "{:?}", printed.lines());

    data.customers[0]["name"] = "Renamed".into();
    data.customers.push(customer("new"));
    data.subscriptions[1]["status"] = "CANCELED".into();
    data.subscriptions.remove(4);
    let state = data.states.get_mut(&("customer/0002".to_owned(), None)).unwrap();
    state["entitlements"][0]["usageLimit"] = 6.into();
    state["entitlements"][1]["feature"]["refId"] = "other".into();
    data.customers.remove(3);
    let api = serve(&data, PageFormat::Pagination, 2).await;
    let (totals, printed) = replica.reconcile(&api.options(), false).await;
    assert_eq!((totals.missing, totals.extra, totals.differing, totals.fixed), (2, 3, 3, 0), "{:#?}", printed.lines());
    let differences = |printed: &Printed| -> Vec<String> {
        let mut differences: Vec<String> = printed
            .of_kind("difference")
            .iter()
            .map(|line| {
                let members = ["customerId", "part", "featureId", "subscriptionId", "difference", "field", "mended"];
                members.iter().filter_map(|name| line[*name].as_str()).collect::<Vec<_>>().join(" ")
            })
            .collect();
        differences.sort();
        differences
    };
    let expected = |mended: &str| {
        [
            format!("customer/0000 customer differs name {mended}"),
            format!("customer/0001 subscription subscription of customer/0001 differs status {mended}"),
            format!("customer/0002 entitlement calls extra {mended}"),
            format!("customer/0002 entitlement other missing {mended}"),
            format!("customer/0002 entitlement seats differs usageLimit {mended}"),
            format!("customer/0003 customer extra {mended}"),
            format!("customer/0004 subscription subscription of customer/0004 extra {mended}"),
            format!("new customer missing {mended}"),
        ]
    };
    assert_eq!(differences(&printed), expected("no"));
    let all = printed.lines().iter().map(Value::to_string).collect::<String>();
    assert!(!all.contains("Renamed"), "{all}");
    let (_, printed) = replica.reconcile_with(&api.options(), false, 100, Some("customer/0000"), true).await;
    let difference = &printed.of_kind("difference")[0];
    assert_eq!((&difference["stigg"], &difference["replica"]), (&json!("Renamed"), &json!("Name of customer/0000")));

    let (totals, printed) = replica.reconcile(&api.options(), true).await;
    assert_eq!((differences(&printed), totals.fixed, totals.left()), (expected("yes").to_vec(), 8, 0));
    let (totals, printed) = replica.reconcile(&api.options(), false).await;
    assert_eq!((totals.left(), totals.extra), (0, 0), "{:?}", printed.lines());
    assert_eq!(replica.check("customer/0003", "seats", None).await["accessDeniedReason"], "CustomerIsArchived");
    assert_eq!(replica.customer("customer/0000").await.unwrap().profile.name.as_deref(), Some("Renamed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn recent_usage_is_drift_and_a_missed_measurement_is_a_difference() {
    let replica = TestReplica::new().await;
    let mut data = data(1);
    replica.import(&serve(&data, PageFormat::Pagination, 10).await.options()).await;
    let scope = ("customer/0000".to_owned(), None);
    data.states.get_mut(&scope).unwrap()["entitlements"][0]["currentUsage"] = 4.into();
    for (updated_at, drift, differing) in [(Value::Null, 1, 0), (json!(jiff::Timestamp::now() + Duration::from_secs(60)), 1, 0)] {
        data.states.get_mut(&scope).unwrap()["entitlements"][0]["usageUpdatedAt"] = updated_at.clone();
        let api = serve(&data, PageFormat::Pagination, 10).await;
        let (totals, printed) = replica.reconcile(&api.options(), true).await;
        assert_eq!((totals.usage_drift, totals.differing), (drift, differing), "{updated_at}: {:?}", printed.lines());
        assert_eq!(replica.check("customer/0000", "seats", None).await["currentUsage"], 2);
    }
    data.states.get_mut(&scope).unwrap()["entitlements"][0]["usageUpdatedAt"] = json!(jiff::Timestamp::now());
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let api = serve(&data, PageFormat::Pagination, 10).await;
    let (totals, printed) = replica.reconcile(&api.options(), true).await;
    assert_eq!((totals.usage_drift, totals.differing, totals.fixed), (0, 1, 1), "{:?}", printed.lines());
    assert_eq!(replica.check("customer/0000", "seats", None).await["currentUsage"], 4);

    // An import writes all usage that it reads.
    let state = data.states.get_mut(&scope).unwrap();
    (state["entitlements"][0]["currentUsage"], state["entitlements"][0]["usageUpdatedAt"]) = (3.into(), Value::Null);
    replica.import(&serve(&data, PageFormat::Pagination, 10).await.options()).await;
    assert_eq!(replica.check("customer/0000", "seats", None).await["currentUsage"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_with_credits_is_imported_completely_and_its_balance_is_fixed() {
    let replica = TestReplica::new().await;
    let mut data = data(1);
    let scope = ("customer/0000".to_owned(), None);
    let with_credits = |used: u32| {
        let entitlements = vec![entitlement("seats", 5, 2), paid_with("tokens", "answers"), paid_with("none", "images")];
        state(entitlements, vec![wallet("other", 100, 100), wallet("tokens", 100, used)])
    };
    data.states.insert(scope.clone(), with_credits(30));
    let (counts, _) = replica.import(&serve(&data, PageFormat::Pagination, 10).await.options()).await;
    assert_eq!((counts.lists, counts.skipped), (1, 0));
    let check = async |feature: &str| {
        let check = replica.check("customer/0000", feature, None).await;
        json!([check["hasAccess"], check["accessDeniedReason"], check["remainingBalance"]])
    };
    assert_eq!(check("seats").await, json!([true, null, null]));
    assert_eq!(check("answers").await, json!([true, null, 70]));
    assert_eq!(check("images").await, json!([false, "InsufficientCredits", 0]));

    let mut used_up = with_credits(100);
    used_up["entitlementsV2"][4]["usageUpdatedAt"] = json!(jiff::Timestamp::now());
    data.states.insert(scope, used_up);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let (totals, printed) = replica.reconcile(&serve(&data, PageFormat::Pagination, 10).await.options(), true).await;
    assert_eq!((totals.differing, totals.fixed, totals.skipped), (1, 1, 0), "{:?}", printed.lines());
    assert_eq!(check("answers").await, json!([false, "InsufficientCredits", 0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_difference_that_an_event_resolves_before_the_second_comparison_is_not_reported() {
    let replica = Arc::new(TestReplica::new().await);
    let mut data = data(2);
    replica.import(&serve(&data, PageFormat::Pagination, 10).await.options()).await;
    data.customers[0]["name"] = "Renamed".into();
    let (deliver, deliveries) = std::sync::mpsc::channel::<std::sync::mpsc::Sender<()>>();
    let (webhook, runtime) = (replica.clone(), tokio::runtime::Handle::current());
    std::thread::spawn(move || {
        for done in deliveries {
            let event = json!({"type": "customer.updated", "id": "customer/0000", "timestamp": jiff::Timestamp::now(), "name": "Renamed",
                               "email": "customer/0000@example.com", "billingId": "cus_customer/0000", "metadata": {"of": "customer/0000"}});
            runtime.block_on(webhook.apply_event(event));
            done.send(()).unwrap();
        }
    });
    let deliver = Mutex::new(deliver);
    let api = FakeStigg::start(move |request| {
        if request.path() == ["api", "v1", "customers", "customer/0000"] {
            let (done, wait) = std::sync::mpsc::channel();
            deliver.lock().unwrap().send(done).unwrap();
            wait.recv().unwrap();
        }
        data.answer(request, PageFormat::Pagination, 10)
    })
    .await;
    let (totals, printed) = replica.reconcile(&api.options(), false).await;
    assert_eq!(totals.left(), 0, "{:?}", printed.lines());
    // The second comparison reads the single record.
    assert!(api.requests().iter().any(|request| request.path() == ["api", "v1", "customers", "customer/0000"]));
}

fn byos(api: &FakeStigg, replica: &TestReplica, folder: &Path, arguments: &[&str]) -> std::process::Output {
    let uri = api.server.uri();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_byos"));
    command
        .args(arguments)
        .args(["--stigg-url", &uri, "--stigg-edge-url", &uri, "--rate", "0", "--lag", "0"])
        .args(["--dynamodb-endpoint", &replica.embedded.endpoint])
        .env("STIGG_API_KEY", "the-key")
        .current_dir(folder);
    command.output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_of_import_and_reconcile_report_the_result() {
    let replica = Arc::new(TestReplica::new().await);
    let mut data = data(3);
    let (good, requests) = (data.clone(), AtomicUsize::new(0));
    let api = FakeStigg::start(move |request| match requests.fetch_add(1, Ordering::SeqCst) {
        // Request 0 is the guard's, before the import begins.
        1 => ResponseTemplate::new(403),
        _ => good.answer(request, PageFormat::Pagination, 10),
    });
    let api = Arc::new(api.await);
    data.customers[0]["name"] = "Renamed".into();
    data.customers[1] = json!({"name": "no id"});
    let changed = Arc::new(serve(&data, PageFormat::Pagination, 10).await);
    let failing = Arc::new(FakeStigg::start(|_| ResponseTemplate::new(404)).await);
    let runs = tokio::task::spawn_blocking(move || {
        let folder = replica.folder.path().to_owned();
        let run = |api: &FakeStigg, arguments: &[&str]| {
            let output = byos(api, &replica, &folder, arguments);
            let (out, error) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
            assert!(!out.contains("the-key") && !error.contains("the-key"), "{out}{error}");
            (output.status.code().unwrap(), out, error)
        };
        vec![
            run(&api, &["import"]),
            run(&api, &["import"]),
            run(&api, &["import", "--resume"]),
            run(&api, &["reconcile", "--settle", "0"]),
            run(&changed, &["reconcile", "--settle", "0", "--json"]),
            run(&changed, &["import", "--json", "--state", "another.json"]),
            run(&api, &["import", "--rate", "many"]),
            run(&failing, &["reconcile", "--customer", "customer/0000", "--accept-environment"]),
        ]
    });
    let runs = runs.await.unwrap();
    let codes: Vec<i32> = runs.iter().map(|(code, ..)| *code).collect();
    assert_eq!(codes, [1, 1, 0, 0, 3, 3, 2, 1], "{runs:#?}");
    assert!(runs[0].2.contains("Stigg rejects the key (403 Forbidden)"), "{}", runs[0].2);
    assert!(runs[1].2.contains("--resume"), "{}", runs[1].2);
    assert!(runs[2].1.starts_with("Imported 3 customers, 3 subscriptions and 3 entitlement lists: 6 writes"), "{}", runs[2].1);
    assert!(runs[3].1.starts_with("The replica equals Stigg: 3 customers"), "{}", runs[3].1);
    // Without an answer from Stigg, nothing is said about the customer.
    assert!(runs[7].2.contains("customer/0000 was not compared: ") && !runs[7].1.contains("equals"), "{:?}", runs[7]);
    let last: Value = serde_json::from_str(runs[4].1.lines().last().unwrap()).unwrap();
    assert_eq!((&last["kind"], &last["differing"]), (&json!("summary"), &json!(1)), "{last}");
}
