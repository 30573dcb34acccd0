//! All routes have the same decisions as `/check-access`, for random data and store faults.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use check_access::{BrowserOrigins, CheckAccess, Options, SigningSecret};
use lambda_http::{Context, LambdaEvent, http::Request};
use local::{embedded::Embedded, gateway::event_of, serve::Stack};
use proptest::{
    prelude::*,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};
use runtime::clock::Clock;
use serde_json::{Value, json};
use testkit::proxy::{Fault, Proxy};

const FEATURES: [&str; 5] = ["f", "g", "g.limit", "a#b", "é"];
const RESOURCES: [Option<&str>; 3] = [None, Some("r"), Some("unknown")];

/// Pseudo-event that writes a balance register of the customer level.
const BALANCE: &str = "balance";

fn stack(store: store::Store) -> Stack {
    Stack::on(store, "secret", "token", Clock::of(|| testkit::store::at(20))).unwrap()
}

async fn post(stack: &Stack, path: &str, body: &Value) -> (u64, Value) {
    let request = Request::post(path).header("content-type", "application/json").header("authorization", "Bearer token");
    let answer = stack.gateway.invoke(event_of(request.body(body.to_string().into()).unwrap())).await.unwrap();
    (answer["statusCode"].as_u64().unwrap(), serde_json::from_str(answer["body"].as_str().unwrap()).unwrap())
}

async fn get(stack: &Stack, path: &str) -> (u64, Value) {
    let request = Request::get(path).header("x-api-key", "token").body(Default::default()).unwrap();
    let answer = stack.gateway.invoke(event_of(request)).await.unwrap();
    (answer["statusCode"].as_u64().unwrap(), serde_json::from_str(answer["body"].as_str().unwrap()).unwrap())
}

fn resource_query(resource: Option<&str>) -> String {
    resource.map(|resource| format!("resourceId={resource}&")).unwrap_or_default()
}

/// Entitlements of all types, with and without limit, credits, and an expired period.
fn entitlement() -> impl Strategy<Value = Value> {
    let type_and_meter = prop::sample::select(vec![
        ("BOOLEAN", Value::Null),
        ("ENUM", Value::Null),
        ("NUMBER", Value::Null),
        ("NUMBER", json!("INCREMENTAL")),
        ("NUMBER", json!("FLUCTUATING")),
        ("LATER", Value::Null),
    ]);
    let balance = prop::option::weighted(0.3, 0..3_i32);
    let end = prop::option::of(prop::sample::select(vec!["2026-11-10T00:00:00Z", "2026-12-10T00:00:00Z"]));
    let feature = prop::sample::select(FEATURES.to_vec());
    (feature, type_and_meter, prop::option::of(0..5_i32), 0..5_i32, any::<(bool, bool)>(), balance, end).prop_map(
        |(id, (kind, meter), limit, usage, (unlimited, soft), balance, end)| {
            json!({
                "feature": {"id": id, "featureType": kind, "meterType": meter}, "usageLimit": limit, "currentUsage": usage,
                "hasUnlimitedUsage": unlimited && soft, "hasSoftLimit": soft && !unlimited, "enumValues": ["a", "b"],
                "usagePeriodEnd": end, "resetPeriod": "MONTH", "usagePeriodAnchor": "2026-10-10T00:00:00Z",
                "creditBalance": balance.map(|left| json!({"creditCurrency": {"id": "credits"}, "remainingBalance": left})),
            })
        },
    )
}

/// Random events: lists of both scopes, a measurement, a balance, and a deletion before or after them. The number is the
/// event's day.
fn events() -> impl Strategy<Value = Vec<(u8, Value)>> {
    let list = || prop::option::weighted(0.9, prop::collection::vec(entitlement(), 0..7));
    (
        list(),
        list(),
        prop::option::of((prop::sample::select(FEATURES.to_vec()), 0..6_i32)),
        prop::option::of(0..2_i32),
        0..4_usize,
    )
        .prop_map(|(customer, resource, measured, balance, deleted)| {
            let own = |kind: &str| json!({"type": kind, "customer": {"id": "c"}, "resource": null});
            let mut events = Vec::new();
            for (entitlements, resource) in [(customer, Value::Null), (resource, json!({"id": "r"}))] {
                if let Some(mut entitlements) = entitlements {
                    entitlements.sort_by_key(|entitlement| entitlement["feature"]["id"].to_string());
                    entitlements.dedup_by_key(|entitlement| entitlement["feature"]["id"].to_string());
                    let mut list = own("entitlements.updated");
                    (list["entitlements"], list["resource"]) = (entitlements.into(), resource);
                    events.push((2, list));
                }
            }
            if let Some((feature, usage)) = measured {
                let mut event = own("measurement.reported");
                (event["feature"], event["currentUsage"]) = (json!({ "id": feature }), usage.into());
                events.push((3, event));
            }
            if let Some(left) = balance {
                events.push((4, json!({"type": BALANCE, "remainingBalance": left})));
            }
            if deleted < 2 {
                events.push(([1, 5][deleted], json!({"type": "customer.deleted", "id": "c"})));
            }
            events
        })
}

fn check() -> impl Strategy<Value = Value> {
    let feature = prop::sample::select([FEATURES.as_slice(), &["unknown"]].concat());
    (
        feature,
        prop::option::of(0..6_i32),
        prop::option::of(prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 0..3)),
    )
        .prop_map(|(feature, usage, values)| json!({"featureId": feature, "requestedUsage": usage, "requestedValues": values}))
}

/// Batches, Edge API and REST API read through a proxy with torn and incomplete reads. Single checks read without it.
#[test]
fn all_routes_have_the_same_decisions_as_single_checks() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let embedded = runtime.block_on(Embedded::in_memory()).unwrap();
    let proxy = runtime.block_on(Proxy::start(&embedded.endpoint, 0, None)).unwrap();
    let direct = stack(embedded.store.clone());
    let proxied = stack(store::Store::new(runtime::aws::local_dynamodb(&proxy.endpoint), embedded.store.tables().clone()));
    let customers = AtomicU32::new(0);
    let granted = AtomicU32::new(0);
    let strategy = (events(), prop::sample::select(RESOURCES.to_vec()), prop::collection::vec(check(), 2..8));
    let config = ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() };
    let result = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha)).run(
        &strategy,
        |(events, resource, checks)| {
            runtime.block_on(async {
                let customer = format!("c{}", customers.fetch_add(1, Ordering::SeqCst));
                for (day, mut event) in events {
                    if event["type"] == BALANCE {
                        let balance = serde_json::from_value(event).unwrap();
                        let (id, version, now) =
                            (testkit::store::id(&customer), testkit::store::day(day), testkit::store::at(day));
                        let _ = embedded.store.write_balance(&id, None, "credits", &version, &balance, now).await.unwrap();
                        continue;
                    }
                    if event["id"] == "c" { &mut event["id"] } else { &mut event["customer"]["id"] }.clone_from(&json!(customer));
                    let _ = testkit::store::write(&embedded.store, day, event).await.unwrap();
                }
                let single = async |check: &Value| {
                    let mut body = check.clone();
                    (body["customerId"], body["resourceId"]) = (json!(customer), json!(resource));
                    let (status, decision) = post(&direct, "/check-access", &body).await;
                    assert_eq!(status, if decision["hasAccess"] == true { 200 } else { 403 }, "{decision}");
                    decision
                };
                let mut expected = Vec::new();
                for check in &checks {
                    let decision = single(check).await;
                    granted.fetch_add(u32::from(decision["hasAccess"] == true), Ordering::SeqCst);
                    expected.push(decision);
                }
                let all = json!({"customerId": customer, "resourceId": resource});
                let mut some = all.clone();
                some["checks"] = checks.into();
                for fault in [None, Some(Fault::HalfProcessed), Some(Fault::Torn)] {
                    fault.map_or_else(|| proxy.heal(), |fault| proxy.fail_with(fault));
                    prop_assert_eq!(post(&proxied, "/check-access/batch", &some).await, (200, json!({ "decisions": expected })));
                    let (status, answer) = post(&proxied, "/check-access/batch", &all).await;
                    prop_assert_eq!(status, 200);
                    for decision in answer["decisions"].as_array().unwrap() {
                        prop_assert_eq!(decision, &single(&json!({"featureId": decision["featureId"]})).await);
                    }
                    let features: Vec<_> = answer["decisions"].as_array().unwrap().iter().map(|one| &one["featureId"]).collect();
                    for feature in FEATURES {
                        let is_granted = single(&json!({"featureId": feature})).await["hasAccess"] == true;
                        prop_assert!(!is_granted || features.contains(&&json!(feature)), "{} is missing in {}", feature, answer);
                    }
                    let query = resource_query(resource);
                    let (_, list) = get(&proxied, &format!("/v1/c/{customer}/entitlements.json?{query}")).await;
                    let (_, state) = get(&proxied, &format!("/v1/c/{customer}/entitlements-state.json?{query}")).await;
                    let state = &state["data"]["entitlementsState"];
                    prop_assert_eq!(&state["entitlements"], &list["data"]["entitlements"]);
                    let scope_reason = single(&json!({"featureId": "unknown"})).await["accessDeniedReason"].clone();
                    match &state["accessDeniedReason"] {
                        Value::Null => prop_assert_eq!(scope_reason, "NoFeatureEntitlementInSubscription"),
                        reason if *reason == "NoActiveSubscription" => {
                            prop_assert!(scope_reason == *reason || scope_reason == "CustomerResourceNotFound");
                        }
                        reason => prop_assert_eq!(&scope_reason, reason),
                    }
                    let mut listed = Vec::new();
                    for shown in list["data"]["entitlements"].as_array().unwrap() {
                        let decision = single(&json!({"featureId": shown["feature"]["refId"]})).await;
                        prop_assert_eq!(
                            (&shown["isGranted"], &shown["accessDeniedReason"], &shown["currentUsage"], &shown["usagePeriodEnd"]),
                            (
                                &decision["hasAccess"],
                                &decision["accessDeniedReason"],
                                &decision["currentUsage"],
                                &decision["usagePeriodEnd"]
                            )
                        );
                        listed.push(shown["feature"]["refId"].clone());
                    }
                    for decision in answer["decisions"].as_array().unwrap() {
                        prop_assert!(listed.contains(&decision["featureId"]), "{} is missing", decision);
                    }
                    // The REST API uses the same read as the Edge API, so it is tested without faults only.
                    if fault.is_none() {
                        let rest = format!("/api/v1/customers/{customer}/entitlements");
                        let (status, answer) = get(&proxied, &format!("{rest}?{query}")).await;
                        prop_assert_eq!((status, &answer["data"]["accessDeniedReason"]), (200, &state["accessDeniedReason"]));
                        let of_type = |kind: &str| {
                            let all = answer["data"]["entitlements"].as_array().unwrap().iter();
                            all.filter(|one| one["type"] == kind).cloned().collect::<Vec<_>>()
                        };
                        for (shown, edge) in of_type("FEATURE").iter().zip(list["data"]["entitlements"].as_array().unwrap()) {
                            prop_assert_eq!(&shown["feature"]["id"], &edge["feature"]["refId"]);
                            for member in ["isGranted", "accessDeniedReason", "currentUsage", "usageLimit", "hasUnlimitedUsage"] {
                                prop_assert_eq!(&shown[member], &edge[member]);
                            }
                        }
                        prop_assert_eq!(of_type("FEATURE").len(), listed.len());
                        for credit in of_type("CREDIT") {
                            let currency = credit["currency"]["currencyId"].as_str().unwrap();
                            let (status, one) = get(&proxied, &format!("{rest}/check?{query}currencyId={currency}")).await;
                            prop_assert_eq!((status, &one["data"]), (200, &credit));
                            let (_, one) =
                                get(&proxied, &format!("{rest}/check?{query}currencyId={currency}&requestedUsage=3")).await;
                            prop_assert!(
                                one["data"]["isGranted"] == false || list.to_string().contains(r#""hasSoftLimit":true"#),
                                "{}",
                                one
                            );
                        }
                        let (_, none) = get(&proxied, &format!("{rest}/check?{query}currencyId=unknown")).await;
                        prop_assert_eq!(&none["data"]["isGranted"], false);
                        for check in some["checks"].as_array().unwrap() {
                            let feature = check["featureId"].as_str().unwrap().replace('#', "%23").replace('é', "%C3%A9");
                            let usage = check["requestedUsage"].as_u64().unwrap_or(0);
                            let values = check["requestedValues"].as_array().map(Vec::as_slice).unwrap_or_default();
                            let values = values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",");
                            let path = format!(
                                "{rest}/check?{query}featureId={feature}&requestedUsage={usage}&requestedValues={values}"
                            );
                            let (status, one) = get(&proxied, &path).await;
                            let decision = single(check).await;
                            let (one, expected) = (&one["data"], &decision);
                            prop_assert_eq!(status, 200);
                            prop_assert_eq!(
                                (&one["isGranted"], &one["accessDeniedReason"], &one["currentUsage"]),
                                (&expected["hasAccess"], &expected["accessDeniedReason"], &expected["currentUsage"])
                            );
                        }
                    }
                    for check in some["checks"].as_array().unwrap() {
                        let feature = check["featureId"].as_str().unwrap().replace('#', "%23").replace('é', "%C3%A9");
                        let usage = check["requestedUsage"].as_u64().unwrap_or(0);
                        let path =
                            format!("/v1/c/{customer}/entitlements.json?{query}featureId={feature}&requestedUsage={usage}.0");
                        let (status, one) = get(&proxied, &path).await;
                        let decision = single(&json!({"featureId": check["featureId"], "requestedUsage": usage})).await;
                        let one = &one["data"]["entitlement"];
                        prop_assert_eq!(status, 200);
                        prop_assert_eq!(
                            (&one["isGranted"], &one["accessDeniedReason"]),
                            (&decision["hasAccess"], &decision["accessDeniedReason"])
                        );
                    }
                }
                Ok(())
            })
        },
    );
    result.unwrap();
    println!("{} single checks are granted", granted.load(Ordering::SeqCst));
    assert!(granted.into_inner() > 10);
}

#[tokio::test]
async fn a_failing_store_is_a_503_without_a_decision_on_all_routes() {
    let embedded = Embedded::in_memory().await.unwrap();
    let proxy = Proxy::start(&embedded.endpoint, 0, None).await.unwrap();
    let stack = stack(store::Store::new(runtime::aws::local_dynamodb(&proxy.endpoint), embedded.store.tables().clone()));
    let list = json!({"type": "entitlements.updated", "customer": {"id": "c"}, "resource": null,
                      "entitlements": [{"feature": {"id": "f", "featureType": "BOOLEAN"}}]});
    testkit::store::applied(&embedded.store, 2, list).await;
    for fault in [Fault::Unprocessed, Fault::THROTTLING, Fault::Hang] {
        proxy.fail_with(fault);
        for checks in [Value::Null, json!([{"featureId": "f"}])] {
            let (status, answer) = post(&stack, "/check-access/batch", &json!({"customerId": "c", "checks": checks})).await;
            assert_eq!((status, answer.get("decisions")), (503, None), "{}", fault.name());
        }
        for path in ["/ofrep/v1/evaluate/flags/f", "/ofrep/v1/evaluate/flags"] {
            let (status, answer) = post(&stack, path, &json!({"context": {"targetingKey": "c"}})).await;
            assert_eq!((status, answer.get("value"), answer.get("flags")), (503, None, None), "{} {path}", fault.name());
        }
        for path in [
            "/v1/c/c/entitlements.json",
            "/v1/c/c/entitlements.json?featureId=f",
            "/v1/c/c/entitlements-state.json",
            "/v1/c/c/subscriptions.json",
            "/api/v1/customers/c/entitlements",
            "/api/v1/customers/c/entitlements/check?featureId=f",
        ] {
            let (status, answer) = get(&stack, path).await;
            assert_eq!((status, answer.get("data")), (503, None), "{} {path}", fault.name());
        }
    }
}

#[tokio::test]
async fn only_active_subscriptions_of_the_resource_are_listed_until_the_customer_is_deleted() {
    let embedded = Embedded::in_memory().await.unwrap();
    let stack = stack(embedded.store.clone());
    let subscription = |id: &str, status: &str, resource: Value| {
        json!({"type": "subscription.created", "id": id, "status": status, "startDate": "2026-11-01T00:00:00Z", "resource": resource,
               "customer": {"id": "c/1"}, "plan": {"id": "p", "name": "Plan", "pricingType": "PAID"},
               "addons": [{"id": "a", "quantity": 2}, {"name": "without an id"}]})
    };
    for (id, status, resource) in [
        ("own", "ACTIVE", Value::Null),
        ("trial", "IN_TRIAL", json!({"id": "r"})),
        ("other", "ACTIVE", json!({"id": "q"})),
        ("over", "EXPIRED", Value::Null),
        ("later", "NOT_STARTED", Value::Null),
    ] {
        testkit::store::applied(&embedded.store, 2, subscription(id, status, resource)).await;
    }
    let shown = async |query: &str| {
        let (status, answer) = get(&stack, &format!("/v1/c/c/1/subscriptions.json?{query}")).await;
        assert_eq!(status, 200, "{answer}");
        answer["data"]["getActiveSubscriptions"].as_array().unwrap().clone()
    };
    let ids = async |query: &str| -> Vec<Value> { shown(query).await.iter().map(|one| one["subscriptionId"].clone()).collect() };
    assert_eq!(ids("").await, ["own"]);
    assert_eq!(ids("resourceId=r").await, ["trial"]);
    assert_eq!(ids("resourceIds=r&resourceIds=q").await, ["other", "trial"]);
    let own = &shown("").await[0];
    assert_eq!((&own["pricingType"], &own["startDate"]), (&json!("PAID"), &json!("2026-11-01T00:00:00.000Z")));
    assert_eq!(own["plan"], json!({"planId": "p", "displayName": "Plan", "description": null, "product": {"refId": ""}}));
    assert_eq!((&own["customer"], &own["resource"]), (&json!({"customerId": "c/1"}), &Value::Null));
    assert_eq!(own["addons"], json!([{"quantity": 2.0, "addon": {"addonId": "a"}}]));
    testkit::store::applied(&embedded.store, 3, json!({"type": "customer.deleted", "id": "c/1"})).await;
    assert!(ids("").await.is_empty() && ids("resourceId=r").await.is_empty());
}

#[tokio::test]
async fn entitlements_state_has_credits_by_currency_and_stored_descriptions() {
    let embedded = Embedded::in_memory().await.unwrap();
    let stack = stack(embedded.store.clone());
    let credits = json!({"creditCurrency": {"id": "credits", "name": "Credits"}, "totalGranted": 10, "remainingBalance": 4});
    let paid = json!({"feature": {"id": "f", "name": "Calls", "unit": "call", "units": 7, "featureType": "NUMBER", "meterType": "INCREMENTAL"},
                      "usageLimit": null, "creditBalance": credits, "resetPeriod": "MONTH", "usagePeriodStart": "2026-11-01T00:00:00Z",
                      "resetPeriodConfiguration": {"accordingTo": "StartOfTheMonth"}});
    let list = json!({"type": "entitlements.updated", "customer": {"id": "c"}, "resource": null, "entitlements": [paid]});
    testkit::store::applied(&embedded.store, 2, list).await;
    let (_, state) = get(&stack, "/v1/c/c/entitlements-state.json").await;
    let v2 = &state["data"]["entitlementsState"]["entitlementsV2"];
    let (feature, credit) = (&v2[0], &v2[1]);
    assert_eq!((&feature["__typename"], &feature["isGranted"]), (&json!("FeatureEntitlement"), &json!(true)));
    assert_eq!(feature["hasUnlimitedUsage"], true);
    assert_eq!(
        feature["resetPeriodConfiguration"],
        json!({"__typename": "MonthlyResetPeriodConfig", "monthlyAccordingTo": "StartOfTheMonth"})
    );
    assert_eq!(
        feature["feature"],
        json!({"__typename": "EntitlementFeature", "refId": "f", "displayName": "Calls", "description": null, "featureType": "NUMBER",
               "meterType": "Incremental", "featureUnits": "call", "featureUnitsPlural": null})
    );
    assert_eq!((&credit["__typename"], &credit["isGranted"]), (&json!("CreditEntitlement"), &json!(true)));
    assert_eq!(credit["currency"], json!({"currencyId": "credits", "displayName": "Credits"}));
    assert_eq!((&credit["usageLimit"], &credit["currentUsage"]), (&json!(10), &json!(6)));
}

async fn evaluate(stack: &Stack, key: &str, context: Value) -> (u64, Value) {
    post(stack, &format!("/ofrep/v1/evaluate/flags/{key}"), &json!({ "context": context })).await
}

#[tokio::test]
async fn an_openfeature_key_has_one_type_and_a_denial_is_false() {
    let embedded = Embedded::in_memory().await.unwrap();
    let stack = stack(embedded.store.clone());
    let feature = |id: &str, kind: &str, meter: Value| json!({"id": id, "featureType": kind, "meterType": meter});
    let list = json!({"type": "entitlements.updated", "customer": {"id": "c"}, "resource": null, "entitlements": [
        {"feature": feature("sso", "BOOLEAN", Value::Null)},
        {"feature": feature("f/num", "NUMBER", json!("FLUCTUATING")), "usageLimit": 5, "currentUsage": 4},
        {"feature": feature("open", "NUMBER", json!("INCREMENTAL")), "hasUnlimitedUsage": true},
        {"feature": feature("days", "NUMBER", Value::Null), "usageLimit": 30},
        {"feature": feature("level", "ENUM", Value::Null), "enumValues": ["a", "b"]},
        {"feature": feature("rate", "NUMBER", Value::Null), "usageLimit": 1},
        {"feature": feature("rate.limit", "BOOLEAN", Value::Null)},
    ]});
    testkit::store::applied(&embedded.store, 2, list).await;
    let customer = json!({"targetingKey": "c", "plan": ["ignored"]});
    let flags = [
        ("sso", json!(true)),
        ("f/num", json!(true)),
        ("f/num.limit", json!(5.0)),
        ("f/num.usage", json!(4.0)),
        ("open.limit", json!(9_007_199_254_740_991.0)),
        ("open.usage", json!(0.0)),
        ("days.limit", json!(30.0)),
        ("level", json!(true)),
        ("level.values", json!(["a", "b"])),
        ("rate.limit", json!(true)),
    ];
    for (key, value) in &flags {
        let (status, flag) = evaluate(&stack, key, customer.clone()).await;
        assert_eq!((status, &flag["key"], &flag["value"]), (200, &json!(key), value), "{flag}");
        assert_eq!(flag["reason"], "TARGETING_MATCH");
    }
    let (_, bulk) = post(&stack, "/ofrep/v1/evaluate/flags", &json!({ "context": customer })).await;
    for (key, value) in flags {
        let found = bulk["flags"].as_array().unwrap().iter().find(|flag| flag["key"] == key);
        assert_eq!(found.map(|flag| &flag["value"]), Some(&value), "{key}");
    }

    for (key, context, denied) in [
        ("f/num", json!({"targetingKey": "c", "requestedUsage": 2}), "RequestedUsageExceedingLimit"),
        ("level", json!({"targetingKey": "c", "requestedValues": ["c"]}), "RequestedValuesMismatch"),
        ("other", json!({"targetingKey": "c"}), "NoFeatureEntitlementInSubscription"),
        ("sso", json!({"targetingKey": "c", "resourceId": "r"}), "CustomerResourceNotFound"),
        ("sso", json!({"targetingKey": "stranger"}), "CustomerNotFound"),
    ] {
        let (status, flag) = evaluate(&stack, key, context).await;
        assert_eq!((status, &flag["value"], &flag["variant"]), (200, &json!(false), &json!(denied)), "{flag}");
    }
    for key in ["sso.limit", "sso.values", "days.usage", "other.limit", "level.limit"] {
        let (status, failure) = evaluate(&stack, key, json!({"targetingKey": "c"})).await;
        assert_eq!((status, &failure["errorCode"], &failure["key"]), (404, &json!("FLAG_NOT_FOUND"), &json!(key)));
    }
    for (body, code) in [
        (json!({"context": {}}), "TARGETING_KEY_MISSING"),
        (json!({}), "TARGETING_KEY_MISSING"),
        (json!({"context": {"targetingKey": ""}}), "TARGETING_KEY_MISSING"),
        (json!({"context": {"targetingKey": 7}}), "INVALID_CONTEXT"),
        (json!({"context": {"targetingKey": "c", "requestedUsage": -1}}), "INVALID_CONTEXT"),
        (json!({"context": {"targetingKey": "c", "resourceId": ""}}), "INVALID_CONTEXT"),
    ] {
        for path in ["/ofrep/v1/evaluate/flags/sso", "/ofrep/v1/evaluate/flags"] {
            let (status, failure) = post(&stack, path, &body).await;
            assert_eq!((status, &failure["errorCode"]), (400, &json!(code)), "{body}: {failure}");
            assert_eq!(failure["key"].is_string(), path.ends_with("sso"), "{failure}");
        }
    }
}

#[tokio::test]
async fn only_unchanged_flags_are_a_304() {
    let embedded = Embedded::in_memory().await.unwrap();
    let stack = stack(embedded.store.clone());
    let list = |id: &str| {
        json!({"type": "entitlements.updated", "customer": {"id": "c"}, "resource": null,
               "entitlements": [{"feature": {"id": id, "featureType": "BOOLEAN"}}]})
    };
    let evaluate_flags = async |known: Option<&str>| {
        let request = Request::post("/ofrep/v1/evaluate/flags").header("x-api-key", "token");
        let request = known.into_iter().fold(request, |request, known| request.header("if-none-match", known));
        let body = json!({"context": {"targetingKey": "c"}}).to_string();
        let answer = stack.gateway.invoke(event_of(request.body(body.into()).unwrap())).await.unwrap();
        (answer["statusCode"].as_u64().unwrap(), answer["headers"]["etag"].as_str().unwrap().to_owned(), answer["body"].clone())
    };
    testkit::store::applied(&embedded.store, 2, list("f")).await;
    let (status, tag, _) = evaluate_flags(None).await;
    assert_eq!(status, 200);
    for known in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
        assert_eq!(evaluate_flags(Some(&known)).await, (304, tag.clone(), Value::Null), "{known}");
    }
    assert_eq!(evaluate_flags(Some("\"x\"")).await.0, 200);
    testkit::store::applied(&embedded.store, 3, list("g")).await;
    let (status, newer, _) = evaluate_flags(Some(&tag)).await;
    assert_eq!(status, 200);
    assert_ne!(newer, tag);
}

#[tokio::test]
async fn unsupported_requests_are_a_4xx_with_a_reason() {
    let embedded = Embedded::in_memory().await.unwrap();
    let stack = stack(embedded.store.clone());
    for (path, expected, message) in [
        ("/v1/paywall.json?fetchAllCountriesPrices=false", 404, "product catalog"),
        ("/v1/p/product/paywall.json", 404, "product catalog"),
        ("/v1/c/c/other.json", 404, "nothing at this path"),
        ("/v1/", 404, "nothing at this path"),
        ("/api/v1/customers/c", 405, "Stigg's own host"),
        ("/api/v2/anything", 405, "Stigg's own host"),
        ("/api/v1/customers/c/entitlements?resourceId=", 400, "`resourceId` must not be empty"),
        ("/api/v1/customers/c/entitlements/check", 400, "`featureId` is missing"),
        ("/api/v1/customers/c/entitlements/check?currencyId=c&reserveAmount=1", 400, "read only"),
        ("/browser/v1/c/c/entitlements.json", 404, "nothing at this path"),
        ("/v1/c//entitlements.json", 400, "must not be empty"),
        ("/v1/c/c/entitlements.json?requestedUsage=x&featureId=f", 400, "`requestedUsage`"),
        ("/v1/c/c/entitlements.json?resourceId=", 400, "`resourceId` must not be empty"),
    ] {
        let (status, answer) = get(&stack, path).await;
        assert_eq!(status, expected, "{path}: {answer}");
        assert!(answer["error"].as_str().unwrap().contains(message), "{path}: {answer}");
    }
    assert_eq!(get(&stack, "/v1/config/server-sdk-configuration.json").await, (200, json!({"data": {}})));
}

/// A store that records its DynamoDB operations.
async fn recording(embedded: &Embedded) -> (store::Store, Arc<std::sync::Mutex<Vec<String>>>) {
    let operations = Arc::new(std::sync::Mutex::new(Vec::new()));
    let recorded = operations.clone();
    let rewrite = move |operation: &str, _: &Value, answer: Value| {
        recorded.lock().unwrap().push(operation.to_owned());
        answer
    };
    (testkit::store::proxied_with_rewrite(embedded, usize::MAX, Arc::new(rewrite)).await.store, operations)
}

#[tokio::test]
async fn an_invocation_with_a_list_of_checks_reads_each_scope_once() {
    let embedded = Embedded::in_memory().await.unwrap();
    let (store, operations) = recording(&embedded).await;
    let token = runtime::secret::Secret::new("token", None).unwrap();
    let function = CheckAccess::new(store, token, Clock::of(|| testkit::store::at(20)));
    let check = |n: usize| {
        let mut check = json!({"customerId": if n.is_multiple_of(2) { "c" } else { "d" }, "featureId": format!("f{n}")});
        if n.is_multiple_of(3) {
            check["resourceId"] = "r".into();
        }
        check
    };
    let checks: Value = (0..100).map(check).collect();
    let invocation = serde_json::from_value(checks.clone()).unwrap();
    let reply = function.invoke(LambdaEvent::new(invocation, Context::default())).await;
    let decisions = serde_json::to_value(reply).unwrap();
    for (check, decision) in checks.as_array().unwrap().iter().zip(decisions.as_array().unwrap()) {
        for id in ["customerId", "featureId", "resourceId"] {
            assert_eq!(decision[id], check[id], "{decision}");
        }
    }
    assert_eq!(decisions.as_array().unwrap().len(), 100);
    assert_eq!(*operations.lock().unwrap(), ["BatchGetItem"; 4]);
}

/// Sends a browser's request. Returns the status, the headers and the body.
async fn from_browser(stack: &Stack, method: &str, path: &str, headers: &[(&str, &str)]) -> (u64, Value, Value) {
    let request =
        headers.iter().fold(Request::builder().method(method).uri(path), |request, (name, value)| request.header(*name, *value));
    let answer = stack.gateway.invoke(event_of(request.body(Default::default()).unwrap())).await.unwrap();
    let body = answer["body"].as_str().map(|body| serde_json::from_str(body).unwrap()).unwrap_or_default();
    (answer["statusCode"].as_u64().unwrap(), answer["headers"].clone(), body)
}

const ORIGIN: &str = "https://app.example.com";

async fn for_browsers(embedded: &Embedded) -> Stack {
    for customer in ["c", "d"] {
        let list = json!({"type": "entitlements.updated", "customer": {"id": customer}, "resource": null,
                          "entitlements": [{"feature": {"id": "f", "featureType": "BOOLEAN"}}]});
        testkit::store::applied(&embedded.store, 2, list).await;
    }
    let origins = BrowserOrigins::parse(&format!("https://other.example.com,{ORIGIN}")).unwrap();
    let options = Options::for_browsers(origins, SigningSecret::new("signing-secret", None).unwrap());
    let clock = Clock::of(|| testkit::store::at(20));
    Stack::with_options(embedded.store.clone(), "secret", "token", clock, graphql::Options::default(), options).unwrap()
}

/// The value of the header X-CUSTOMER-KEY: a customer's id and its signature.
fn customer_key(customer: &str) -> String {
    use hmac::{KeyInit as _, Mac as _};
    let mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(b"signing-secret").unwrap().chain_update(customer);
    format!("HMAC-SHA256 {customer}:{}", hex::encode(mac.finalize().into_bytes()))
}

#[tokio::test]
async fn a_browser_can_read_only_the_customer_whose_signature_it_has() {
    let embedded = Embedded::in_memory().await.unwrap();
    let stack = for_browsers(&embedded).await;
    let key = &*customer_key("c");
    for document in ["entitlements.json", "entitlements-state.json", "subscriptions.json"] {
        for (customer, headers, expected) in [
            ("c", &[("x-customer-key", key), ("x-api-key", "publishable"), ("origin", ORIGIN)] as &[(&str, &str)], 200),
            ("d", &[("x-customer-key", key)], 403),
            ("c/../d", &[("x-customer-key", key)], 403),
            ("d", &[("x-customer-key", key), ("x-customer-key", &*customer_key("d"))], 401),
            ("d", &[("x-customer-key", &*key.replace("c:", "d:"))], 401),
            ("c", &[("x-api-key", "token")], 401),
            ("c", &[("authorization", "Bearer token")], 401),
        ] {
            let (status, _, body) = from_browser(&stack, "GET", &format!("/browser/v1/c/{customer}/{document}"), headers).await;
            assert_eq!(
                (status, body["data"].is_object()),
                (expected, expected == 200),
                "{customer} {document} {headers:?}: {body}"
            );
        }
    }
    let (_, _, body) = from_browser(&stack, "GET", "/browser/v1/c/c/entitlements.json", &[("x-customer-key", key)]).await;
    let (_, by_token) = get(&stack, "/v1/c/c/entitlements.json").await;
    assert_eq!(body, by_token);
    // A signature is accepted on no other route, and not if browsers are not enabled.
    for path in ["/v1/c/c/entitlements.json", "/browser/check-access", "/browser/api/v1/customers/c/entitlements"] {
        assert_eq!(from_browser(&stack, "GET", path, &[("x-customer-key", key)]).await.0, 401, "{path}");
    }
    let off = self::stack(embedded.store.clone());
    assert_eq!(from_browser(&off, "GET", "/browser/v1/c/c/entitlements.json", &[("x-customer-key", key)]).await.0, 401);
    assert_eq!(from_browser(&off, "OPTIONS", "/browser/v1/c/c/entitlements.json", &[("origin", ORIGIN)]).await.0, 401);
}

/// Stigg's JavaScript SDK ignores `isGranted`, so it would grant a denied entitlement in the list.
#[tokio::test]
async fn lists_for_browsers_omit_denied_entitlements() {
    let embedded = Embedded::in_memory().await.unwrap();
    let stack = for_browsers(&embedded).await;
    let paid = |id: &str, left: i32| {
        json!({"feature": {"id": id, "featureType": "NUMBER", "meterType": "INCREMENTAL"}, "usageLimit": 3,
               "creditBalance": {"creditCurrency": {"id": "credits"}, "remainingBalance": left}})
    };
    let list = json!({"type": "entitlements.updated", "customer": {"id": "c"}, "resource": null, "entitlements": [
        {"feature": {"id": "f", "featureType": "BOOLEAN"}}, {"feature": {"id": "later", "featureType": "SOMETHING_LATER"}},
        paid("used up", 0), paid("left", 1)]});
    testkit::store::applied(&embedded.store, 3, list).await;
    let ids = |body: &Value| {
        let entitlements = body["data"]["entitlements"].as_array().unwrap().iter();
        entitlements.map(|one| one["feature"]["refId"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let key = customer_key("c");
    let (_, _, shown) = from_browser(&stack, "GET", "/browser/v1/c/c/entitlements.json", &[("x-customer-key", &key)]).await;
    assert_eq!(ids(&shown), ["f", "left"]);
    let (_, by_token) = get(&stack, "/v1/c/c/entitlements.json").await;
    assert_eq!(ids(&by_token), ["f", "later", "left", "used up"]);
}

#[tokio::test]
async fn only_pages_of_configured_origins_may_read_responses() {
    let embedded = Embedded::in_memory().await.unwrap();
    let stack = for_browsers(&embedded).await;
    let key = &*customer_key("c");
    for (origin, allowed) in [(ORIGIN, json!(ORIGIN)), ("https://evil.example.com", Value::Null), ("null", Value::Null)] {
        for (method, path, key, expected) in [
            ("OPTIONS", "/browser/v1/c/c/entitlements.json", "", 204),
            ("GET", "/browser/v1/c/c/entitlements.json", key, 200),
            ("GET", "/browser/v1/c/d/entitlements.json", key, 403),
            ("GET", "/browser/v1/c/c/entitlements.json", "x", 401),
            ("GET", "/browser/v1/config/client-sdk-configuration.json", "", 200),
            ("GET", "/browser/v1/c/c/other.json", "", 404),
        ] {
            let (status, headers, _) = from_browser(&stack, method, path, &[("origin", origin), ("x-customer-key", key)]).await;
            assert_eq!((status, &headers["access-control-allow-origin"]), (expected, &allowed), "{origin} {method} {path}");
            assert_eq!(headers["vary"], "origin");
        }
    }
    let (_, headers, _) = from_browser(&stack, "OPTIONS", "/browser/v1/c/c/entitlements.json", &[("origin", ORIGIN)]).await;
    let allowed = headers["access-control-allow-headers"].as_str().unwrap();
    for header in ["x-api-key", "x-api-version", "x-customer-key", "source"] {
        assert!(allowed.split(", ").any(|one| one == header), "{allowed}");
    }
    assert_eq!(headers["access-control-allow-methods"], "GET");
}

#[tokio::test]
async fn a_batch_is_one_request_to_dynamodb() {
    let embedded = Embedded::in_memory().await.unwrap();
    let (store, operations) = recording(&embedded).await;
    let stack = stack(store);
    let checks: Vec<_> = (0..100).map(|n| json!({"featureId": format!("f{n}"), "requestedUsage": n})).collect();
    let body = json!({"customerId": "c", "resourceId": "r", "checks": checks});
    let (status, answer) = post(&stack, "/check-access/batch", &body).await;
    assert_eq!((status, answer["decisions"].as_array().unwrap().len()), (200, 100));
    assert_eq!(*operations.lock().unwrap(), ["BatchGetItem"]);
}

#[tokio::test]
async fn a_batch_of_more_than_100_checks_is_rejected() {
    let embedded = Embedded::in_memory().await.unwrap();
    let body = json!({"customerId": "c", "checks": vec![json!({"featureId": "f"}); 1_000]});
    let (status, answer) = post(&stack(embedded.store.clone()), "/check-access/batch", &body).await;
    assert_eq!((status, &answer["error"]), (400, &json!("`checks` must hold at most 100 checks")));
}
