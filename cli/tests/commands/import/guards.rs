//! The guards of `byos import` and `byos reconcile --fix` against another environment's API key and against mass deletions.

use domain::{
    access::{AccessRequest, decide},
    id::Id,
};
use local::embedded::Embedded;
use runtime::clock::Clock;
use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use super::fake_stigg::{Data, FakeStigg, PageFormat, customer, data, entitlement, state, subscription};

/// A replica, and the working folder of the commands.
struct Replica {
    embedded: Embedded,
    folder: tempfile::TempDir,
}

#[derive(Debug)]
struct Output {
    code: i32,
    out: String,
    err: String,
}

impl Output {
    fn summary(&self) -> Value {
        self.lines().pop().unwrap_or_else(|| panic!("{self:?}"))
    }

    fn lines(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Replica {
    async fn with_imported(data: &Data) -> Self {
        let replica = Self { embedded: Embedded::in_memory().await.unwrap(), folder: tempfile::tempdir().unwrap() };
        let output = replica.byos(&serve(data).await, &["import"]).await;
        assert_eq!(output.code, 0, "{output:?}");
        replica
    }

    async fn byos(&self, api: &FakeStigg, arguments: &[&str]) -> Output {
        let uri = api.server.uri();
        let settle: &[&str] = if arguments[0] == "reconcile" { &["--settle", "0"] } else { &[] };
        let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_byos"))
            .args(arguments)
            .args(settle)
            .args(["--json", "--stigg-url", &uri, "--stigg-edge-url", &uri, "--rate", "0", "--lag", "0"])
            .args(["--dynamodb-endpoint", &self.embedded.endpoint])
            .env("STIGG_API_KEY", "the-key")
            .current_dir(self.folder.path())
            .kill_on_drop(true)
            .output()
            .await
            .unwrap();
        Output {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    async fn has_access(&self, customer: usize, feature: &str) -> bool {
        let request = AccessRequest {
            customer_id: Id::try_from(format!("customer/{customer:04}").as_str()).unwrap(),
            feature_id: Id::try_from(feature).unwrap(),
            requested_usage: 1.0,
            requested_values: Vec::new(),
            resource_id: None,
        };
        let view = self.embedded.store.access_view(&request).await.unwrap();
        decide(&view, &request, Clock::system().now()).has_access()
    }

    /// [`Self::everything`] without the stored environment.
    async fn data(&self) -> Vec<String> {
        let mut items = self.everything().await;
        items.retain(|item| !item.contains(r#"S("ENVIRONMENT")"#));
        items
    }

    /// All items of all tables, to detect writes.
    async fn everything(&self) -> Vec<String> {
        let tables = self.embedded.store.tables();
        let mut items = Vec::new();
        for table in [&tables.customers, &tables.subscriptions, &tables.receipts] {
            let scanned = self.embedded.store.client().scan().table_name(table).send().await.unwrap();
            items.extend(scanned.items().iter().map(|item| {
                let sorted: std::collections::BTreeMap<_, _> = item.iter().collect();
                format!("{sorted:?}")
            }));
        }
        items.sort();
        items
    }
}

async fn serve(data: &Data) -> FakeStigg {
    let data = data.clone();
    FakeStigg::start(move |request| data.answer(request, PageFormat::Pagination, 10)).await
}

/// A customer's entitlements in the other environment: higher limits.
fn generous() -> Value {
    state(vec![entitlement("seats", 5_000, 0), entitlement("calls", 5_000, 0)], Vec::new())
}

/// Another environment with the same ids, some archived customers, and higher limits.
fn other_environment(count: usize, archived: usize) -> Data {
    let mut other = data(count);
    for record in &mut other.customers {
        record["createdAt"] = "2025-06-01T12:00:00.000Z".into();
    }
    for record in &mut other.customers[..archived] {
        record["archivedAt"] = "2026-02-01T00:00:00.000Z".into();
    }
    other.states.values_mut().for_each(|state| *state = generous());
    other
}

/// The same environment after customers were archived and one was renamed.
fn archived(count: usize, archived: usize) -> Data {
    let mut data = data(count);
    for record in &mut data.customers[..archived] {
        record["archivedAt"] = "2026-02-01T00:00:00.000Z".into();
    }
    data.customers[count - 1]["name"] = "Renamed".into();
    data
}

#[tokio::test(flavor = "multi_thread")]
async fn another_environments_key_with_the_same_ids_writes_nothing() {
    let replica = Replica::with_imported(&data(40)).await;
    let before = replica.everything().await;
    let api = serve(&other_environment(40, 30)).await;
    for arguments in
        [&["reconcile", "--fix"][..], &["reconcile", "--fix", "--customer", "customer/0035"], &["reconcile"], &["import"]]
    {
        let output = replica.byos(&api, arguments).await;
        assert_eq!(replica.everything().await, before, "{arguments:?}: {output:?}");
        assert_eq!(output.code, 1, "{arguments:?}: {output:?}");
        assert!(output.err.contains("another environment") && output.err.contains("--accept-environment"), "{output:?}");
    }
    // --accept-environment overrides this guard, but not the guard against mass deletions.
    let output = replica.byos(&api, &["reconcile", "--fix", "--accept-environment"]).await;
    assert_eq!((output.code, &output.summary()["mended"]), (3, &json!(0)), "{output:?}");
    assert!(output.err.contains("--max-deletions 30"), "{output:?}");
    let output = replica.byos(&api, &["reconcile", "--fix", "--accept-environment", "--max-deletions", "30"]).await;
    assert_eq!(output.code, 0, "{output:?}");
    assert!(!replica.has_access(0, "seats").await && replica.has_access(39, "calls").await);
    // Then the replica belongs to that environment.
    assert_eq!(replica.byos(&api, &["reconcile"]).await.code, 0);
    assert_eq!(replica.byos(&serve(&data(40)).await, &["reconcile"]).await.code, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn reconcile_writes_nothing_if_deletions_exceed_the_share() {
    let replica = Replica::with_imported(&data(40)).await;
    let before = replica.everything().await;
    // 5 % of 40 are 2.
    let api = serve(&archived(40, 3)).await;
    let output = replica.byos(&api, &["reconcile", "--fix"]).await;
    assert_eq!(output.code, 3, "{output:?}");
    let summary = output.summary();
    assert_eq!([&summary["extra"], &summary["differing"], &summary["mended"]], [3, 1, 0], "{output:?}");
    assert!(output.err.contains("3 of 40 customers") && output.err.contains("--max-deletions 3"), "{output:?}");
    assert_eq!(replica.everything().await, before);
    let output = replica.byos(&api, &["reconcile", "--fix", "--max-deletions", "3"]).await;
    assert_eq!((output.code, &output.summary()["mended"]), (0, &json!(4)), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_few_deletions_are_written_even_in_a_small_replica() {
    let replica = Replica::with_imported(&data(4)).await;
    let output = replica.byos(&serve(&archived(4, 2)).await, &["reconcile", "--fix"]).await;
    assert_eq!((output.code, &output.summary()["mended"]), (0, &json!(3)), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_would_delete_many_customers_writes_nothing() {
    let replica = Replica::with_imported(&data(40)).await;
    let api = serve(&archived(40, 3)).await;
    let before = replica.everything().await;
    let output = replica.byos(&api, &["import"]).await;
    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.err.contains("3 of 40 customers") && output.err.contains("--max-deletions 3"), "{output:?}");
    assert_eq!(replica.everything().await, before);
    let output = replica.byos(&api, &["import", "--max-deletions", "3"]).await;
    assert_eq!(output.code, 0, "{output:?}");
    assert!(!replica.has_access(0, "seats").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_was_never_imported_is_protected_by_the_share() {
    let replica = Replica { embedded: Embedded::in_memory().await.unwrap(), folder: tempfile::tempdir().unwrap() };
    for n in 0..4 {
        apply_event(
            &replica,
            &json!({"type": "customer.created", "id": format!("customer/{n:04}"), "timestamp": "2026-01-01T00:00:00Z"}),
        )
        .await;
    }
    let before = replica.everything().await;
    let other = Data { customers: vec![customer("elsewhere")], ..Data::default() };
    for command in [&["import"][..], &["reconcile", "--fix"]] {
        let output = replica.byos(&serve(&other).await, command).await;
        assert!(output.code != 0 && replica.everything().await == before, "{output:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_404_deletes_no_customer_unless_another_known_id_was_found() {
    let replica = Replica::with_imported(&data(2)).await;
    let before = replica.everything().await;
    // Pages are empty and every record is a 404, as with a wrong address.
    let empty = serve(&Data::default()).await;
    let all = replica.byos(&empty, &["reconcile", "--fix", "--accept-environment"]).await;
    assert_eq!((all.code, &all.summary()["mended"]), (3, &json!(0)), "{all:?}");
    let arguments = ["reconcile", "--fix", "--customer", "customer/0000", "--accept-environment"];
    let one = replica.byos(&empty, &arguments).await;
    assert!(one.code == 1 && one.err.contains("customer/0000 was not compared: Stigg answers 404"), "{one:?}");
    for output in [all, one] {
        assert!(output.out.contains("404"), "{output:?}");
    }
    let unknown = replica.byos(&empty, &["reconcile", "--customer", "customer/typo", "--accept-environment"]).await;
    assert!(unknown.code == 1 && unknown.err.contains("customer/typo was not compared: neither"), "{unknown:?}");
    assert_eq!(replica.everything().await, before);
    // If one known customer is found, the other one's 404 counts.
    let mut one = data(2);
    one.customers.remove(0);
    let output = replica.byos(&serve(&one).await, &["reconcile", "--fix", "--customer", "customer/0000"]).await;
    assert_eq!((output.code, &output.summary()["mended"]), (0, &json!(1)), "{output:?}");
    assert!(!replica.has_access(0, "seats").await && replica.has_access(1, "seats").await);
    // A customer that is deleted in the replica equals Stigg's 404 on the same condition.
    let deleted = ["reconcile", "--customer", "customer/0000", "--accept-environment"];
    assert_eq!(replica.byos(&serve(&one).await, &deleted).await.code, 0);
    let output = replica.byos(&empty, &deleted).await;
    assert!(output.code == 1 && output.err.contains("customer/0000 was not compared: Stigg answers 404"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_stigg_does_not_know_gets_a_tombstone() {
    let mut all = data(3);
    let replica = Replica::with_imported(&all).await;
    all.subscriptions.remove(0);
    let api = serve(&all).await;
    let output = replica.byos(&api, &["reconcile", "--fix"]).await;
    assert_eq!((output.code, &output.summary()["extra"], &output.summary()["mended"]), (0, &json!(1), &json!(1)), "{output:?}");
    let output = replica.byos(&api, &["reconcile", "--fix"]).await;
    assert_eq!((output.code, &output.summary()["extra"]), (0, &json!(0)), "{output:?}");
    // An older event is ignored, and a newer one makes the subscription visible again.
    let event = |time: &str| {
        json!({"type": "subscription.updated", "id": "subscription of customer/0000", "timestamp": time, "status": "ACTIVE",
               "startDate": "2026-01-01T00:00:00Z", "customer": {"id": "customer/0000"}, "plan": {"id": "plan-a", "name": "Plan A"}})
    };
    apply_event(&replica, &event("2026-01-02T00:00:00Z")).await;
    assert_eq!(replica.byos(&api, &["reconcile"]).await.code, 0);
    apply_event(&replica, &event(&jiff::Timestamp::now().to_string())).await;
    assert_eq!(replica.byos(&api, &["reconcile"]).await.code, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn reconcile_does_not_delete_subscriptions_of_many_customers() {
    let mut all = data(40);
    let replica = Replica::with_imported(&all).await;
    let before = replica.everything().await;
    all.subscriptions.drain(..3);
    let output = replica.byos(&serve(&all).await, &["reconcile", "--fix"]).await;
    assert_eq!((output.code, &output.summary()["extra"], &output.summary()["mended"]), (3, &json!(3), &json!(0)), "{output:?}");
    assert_eq!(replica.everything().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriptions_404_counts_only_if_another_one_was_found() {
    let all = data(2);
    let replica = Replica::with_imported(&all).await;
    let before = replica.data().await;
    let api = FakeStigg::start(move |request| match request.path()[..] {
        ["api", "v1", "subscriptions", ..] if request.path.len() == 4 => ResponseTemplate::new(404),
        ["api", "v1", "subscriptions"] => Data { subscriptions: vec![subscription("other", "nobody")], ..Data::default() }
            .answer(request, PageFormat::Pagination, 10),
        _ => all.answer(request, PageFormat::Pagination, 10),
    })
    .await;
    let output = replica.byos(&api, &["reconcile", "--fix"]).await;
    assert_eq!((output.code, &output.summary()["mended"]), (3, &json!(0)), "{output:?}");
    assert_eq!(replica.data().await, before);
}

async fn apply_event(replica: &Replica, event: &Value) {
    let body = event.to_string();
    let domain::event::Received::Handled(handled) = domain::event::parse(body.as_bytes()).unwrap() else {
        panic!("ignored: {body}")
    };
    let now = jiff::Timestamp::now();
    let _ = store::apply::apply(&replica.embedded.store, &handled.envelope, &handled.event, now.into()).await.unwrap();
}
