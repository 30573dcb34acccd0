use proptest::prelude::*;
use serde_json::{Map, Value};

use super::*;
use crate::entitlement::{ENTITLEMENT_FIELDS, FEATURE_FIELDS, Grant};

fn parsed(body: &str) -> Event {
    match parse(body.as_bytes()).unwrap() {
        Received::Handled(handled) => handled.event,
        Received::Ignored { kind } => panic!("{kind} is ignored"),
    }
}

fn lists(entitlements: &str) -> Vec<(Option<String>, Vec<String>)> {
    let body = format!(r#"{{"type":"entitlements.updated","customer":{{"id":"c"}},{entitlements}}}"#);
    let Event::Entitlements { lists, .. } = parsed(&body) else { panic!("no list") };
    let features = |list: &List| list.grants.iter().map(|(feature, _)| feature.to_string()).collect();
    lists.iter().map(|list| (list.resource_id.as_ref().map(Id::to_string), features(list))).collect()
}

#[test]
fn a_list_belongs_to_the_events_resource_or_in_the_older_form_to_each_entrys_resource() {
    let none = None::<String>;
    let of = |resource: &str| Some(resource.to_owned());
    let entitlement = |feature: &str, resource: &str| format!(r#"{{"feature":{{"id":"{feature}"}},"resourceId":{resource}}}"#);
    let mixed = [entitlement("f", "null"), entitlement("g", "\"r\""), entitlement("h", "\"r\"")].join(",");
    for (event, expected) in [
        (r#""resource":null,"entitlements":[]"#.to_owned(), vec![(none.clone(), vec![])]),
        (r#""entitlements":[]"#.to_owned(), vec![(none.clone(), vec![])]),
        (r#""resource":{"id":"r"},"entitlements":[]"#.to_owned(), vec![(of("r"), vec![])]),
        (format!(r#""entitlements":[{mixed}]"#), vec![(none.clone(), vec!["f"]), (of("r"), vec!["g", "h"])]),
        (format!(r#""resource":null,"entitlements":[{mixed}]"#), vec![(none, vec!["f", "g", "h"])]),
        (format!(r#""resource":{{"id":"q"}},"entitlements":[{mixed}]"#), vec![(of("q"), vec!["f", "g", "h"])]),
    ] {
        let expected: Vec<(Option<String>, Vec<String>)> =
            expected.into_iter().map(|(scope, features)| (scope, features.into_iter().map(str::to_owned).collect())).collect();
        assert_eq!(lists(&event), expected, "{event}");
    }
}

#[test]
fn the_last_entry_of_a_duplicated_feature_counts() {
    let body = r#"{"type":"entitlements.updated","customer":{"id":"c"},"entitlements":[
        {"feature":{"id":"f"},"usageLimit":1,"resetPeriod":null},{"feature":{"id":"f"},"usageLimit":2,"resetPeriod":null}]}"#;
    let Event::Entitlements { lists, .. } = parsed(body) else { panic!("no list") };
    let limits = lists[0].grants.iter().map(|(_, json)| serde_json::from_str::<Grant>(json).unwrap().usage_limit);
    assert_eq!(limits.collect::<Vec<_>>(), [Some(2.0)]);
}

/// The paths of the members that count as absent.
fn unexpected(body: &str) -> Vec<String> {
    match parse(body.as_bytes()) {
        Ok(Received::Handled(handled)) => {
            assert_eq!(handled.unexpected.count, handled.unexpected.paths.len(), "{body}");
            handled.unexpected.paths
        }
        other => panic!("{body}: {other:?}"),
    }
}

fn refused(body: &str) -> String {
    let error = parse(body.as_bytes()).unwrap_err();
    assert!(error.has_supported_type(), "{error}");
    error.to_string()
}

/// A list of a valid entitlement and this one.
fn list_with(entitlement: &str) -> String {
    format!(
        r#"{{"type":"entitlements.updated","customer":{{"id":"c"}},"resource":null,
            "entitlements":[{{"feature":{{"id":"e","featureType":"BOOLEAN"}}}},{entitlement}]}}"#
    )
}

const METERED: &str = r#""feature":{"id":"f","featureType":"NUMBER","meterType":"FLUCTUATING"}"#;

#[test]
fn members_that_do_not_decide_count_as_absent_if_their_type_is_wrong() {
    let boolean = r#""feature":{"id":"f","featureType":"BOOLEAN"}"#;
    for (body, expected) in [
        (list_with(&format!(r#"{{{METERED},"usagePeriodStart":"2026-09-01"}}"#)), vec![]),
        (list_with(&format!(r#"{{{METERED},"usagePeriodStart":"soon"}}"#)), vec!["entitlements[1].usagePeriodStart"]),
        (list_with(&format!(r#"{{{boolean},"enumValues":[{{}}]}}"#)), vec!["entitlements[1].enumValues"]),
        (list_with(&format!(r#"{{{boolean},"usageLimit":"1"}}"#)), vec!["entitlements[1].usageLimit"]),
        (list_with(r#"{"feature":{"id":"f","featureType":"BOOLEAN","meterType":5}}"#), vec!["entitlements[1].feature.meterType"]),
        (list_with(r#"{"feature":null,"creditBalance":{"remainingBalance":5}}"#), vec!["entitlements[1].feature"]),
        (list_with(r#"{"currency":{"currencyId":"tokens"}}"#), vec!["entitlements[1].feature"]),
        (list_with("7"), vec!["entitlements[1]"]),
        (
            list_with("{}").replace(r#"{"id":"c"}"#, r#"{"id":"c","billingId":5,"name":{},"email":[]}"#),
            vec!["customer.name", "customer.email", "customer.billingId", "entitlements[1].feature"],
        ),
        (
            list_with(&format!(
                r#"{{{boolean},"creditBalance":{{"remainingBalance":1,"totalGranted":"x","creditCurrency":"y"}}}}"#
            )),
            vec!["entitlements[1].creditBalance.creditCurrency", "entitlements[1].creditBalance.totalGranted"],
        ),
        (r#"{"type":"customer.deleted","id":"c","timestamp":""}"#.to_owned(), vec!["timestamp"]),
        (r#"{"type":"customer.created","id":"c","messageId":5,"name":5}"#.to_owned(), vec!["messageId", "name"]),
        (
            r#"{"type":"subscription.canceled","id":"s","startDate":"2026-01-01T00:00:00Z","endDate":"","customer":{"id":"c"},
                "plan":{"id":"p"},"isTrialSubscription":"false","addons":{},"resource":"r"}"#
                .to_owned(),
            vec!["endDate", "resource", "addons", "isTrialSubscription"],
        ),
        (r#"{"type":"subscription.updated","id":"s","customer":{"id":"c"},"plan":"p"}"#.to_owned(), vec!["plan"]),
        (
            r#"{"type":"measurement.reported","customer":{"id":"c"},"feature":{"id":"f"},"currentUsage":1,"resetPeriod":5}"#
                .to_owned(),
            vec!["resetPeriod"],
        ),
    ] {
        assert_eq!(unexpected(&body), expected, "{body}");
    }
    let many = vec!["7"; 100].join(",");
    let Ok(Received::Handled(handled)) = parse(list_with(&many).as_bytes()) else { panic!("refused") };
    assert_eq!((handled.unexpected.count, handled.unexpected.paths.len()), (100, 5));
}

#[test]
fn deciding_members_of_a_wrong_type_are_rejected_by_name() {
    let entitlement = |members: &str| list_with(&format!("{{{members}}}"));
    let measurement = |members: &str| format!(r#"{{"type":"measurement.reported",{members}}}"#);
    let keys = r#""customer":{"id":"c"},"feature":{"id":"f"}"#;
    for (body, expected) in [
        (entitlement(r#""feature":{"id":"f","featureType":5}"#), "entitlements[1].feature.featureType` must be a string"),
        (
            entitlement(r#""feature":{"id":"f","featureType":"NUMBER","meterType":5}"#),
            "entitlements[1].feature.meterType` must be a string",
        ),
        (entitlement(r#""feature":{"id":""}"#), "entitlements[1].feature.id` must not be empty"),
        (entitlement(r#""feature":{}"#), "entitlements[1].feature.id` is missing"),
        (entitlement(&format!(r#"{METERED},"usageLimit":"10""#)), "entitlements[1].usageLimit` must be a number"),
        (entitlement(&format!(r#"{METERED},"currentUsage":[]"#)), "entitlements[1].currentUsage` must be a number"),
        (entitlement(&format!(r#"{METERED},"hasSoftLimit":1"#)), "entitlements[1].hasSoftLimit` must be true or false"),
        (entitlement(&format!(r#"{METERED},"usagePeriodEnd":"soon""#)), "entitlements[1].usagePeriodEnd` must be a date-time"),
        (
            entitlement(r#""feature":{"id":"f","featureType":"ENUM"},"enumValues":[{}]"#),
            "entitlements[1].enumValues` must be a string",
        ),
        (
            entitlement(r#""feature":{"id":"f","featureType":"BOOLEAN"},"creditBalance":{"remainingBalance":"5"}"#),
            "entitlements[1].creditBalance.remainingBalance` must be a number",
        ),
        (
            entitlement(r#""feature":{"id":"f","featureType":"BOOLEAN"},"creditBalance":5"#),
            "entitlements[1].creditBalance` must be an object",
        ),
        (r#"{"type":"entitlements.updated","customer":{"id":"c"}}"#.to_owned(), "entitlements` is missing"),
        (r#"{"type":"entitlements.updated","entitlements":[]}"#.to_owned(), "customer` is missing"),
        (
            r#"{"type":"entitlements.updated","customer":{"id":"c"},"resource":"r","entitlements":[]}"#.to_owned(),
            "resource` must be an object",
        ),
        (
            format!(
                r#"{{"type":"entitlements.updated","customer":{{"id":"c"}},"entitlements":[{}7]}}"#,
                "7,".repeat(MAX_FEATURES)
            ),
            "entitlements` has more than 10000 entries",
        ),
        (measurement(&format!(r#"{keys},"currentUsage":"1""#)), "currentUsage` must be a number"),
        (measurement(keys), "currentUsage` is missing"),
        (measurement(&format!(r#"{keys},"currentUsage":1,"usagePeriodEnd":5"#)), "usagePeriodEnd` must be a"),
        (r#"{"type":"subscription.updated","id":"s","status":5}"#.to_owned(), "status` must be a string"),
        (r#"{"type":"subscription.updated","id":"s","customer":{}}"#.to_owned(), "customer.id` is missing"),
        (r#"{"type":"customer.deleted"}"#.to_owned(), "id` is missing"),
        (r#"{"type":"customer.deleted","id":null}"#.to_owned(), "id` is missing"),
    ] {
        let error = refused(&body);
        assert!(error.contains(expected), "{error}: {expected}");
    }
}

#[test]
fn dates_are_stored_in_full_missing_members_as_null_and_other_members_unchanged() {
    let json = stored(&format!(
        r#"{{"b" : [ null, {{"a":null}} ], "a\u0022":"\u00e9", {METERED}, "usagePeriodStart":"2026-09-01",
            "usagePeriodEnd":"2026-10-01T00:00:00.5+02:00", "c":{{"d":null,"e":{{}}}}, "usageLimit":null, "resetPeriod": 5}}"#
    ));
    let nulls = |names: &[&str]| names.iter().map(|name| format!(r#","{name}":null"#)).collect::<String>();
    let in_feature = nulls(&["name", "description", "unit", "units", "status", "enumConfiguration"]);
    let in_entitlement = nulls(&[
        "usageLimit",
        "hasUnlimitedUsage",
        "hasSoftLimit",
        "currentUsage",
        "usagePeriodAnchor",
        "resetPeriod",
        "resetPeriodConfiguration",
        "enumValues",
        "creditBalance",
    ]);
    let feature = format!(r#"{{"featureType":"NUMBER","id":"f","meterType":"FLUCTUATING"{in_feature}}}"#);
    let before = r#""a\"":"\u00e9","b":[ null, {"a":null} ],"c":{"e":{}}"#;
    let period = r#""usagePeriodEnd":"2026-10-01T00:00:00.5+02:00","usagePeriodStart":"2026-09-01T00:00:00.000Z""#;
    assert_eq!(json, format!(r#"{{{before},"feature":{feature},{period}{in_entitlement}}}"#));
}

/// The JSON to store of an entitlement.
fn stored(entitlement: &str) -> String {
    let Event::Entitlements { mut lists, .. } = parsed(&list_with(entitlement)) else { panic!("no list") };
    lists.remove(0).grants.remove(1).1
}

#[test]
fn the_older_form_gets_no_members_of_the_newer_forms_period() {
    let json: Value = serde_json::from_str(&stored(r#"{"feature":{"id":"f"},"nextResetDate":"2026-01-31T00:00:00Z"}"#)).unwrap();
    assert_eq!((json.get("usagePeriodEnd"), json.get("usagePeriodAnchor")), (None, None));
    assert_eq!(json.get("creditBalance"), Some(&Value::Null));
}

fn with_nulls(mut object: Map<String, Value>, names: &[&str]) -> Map<String, Value> {
    for name in names {
        object.entry(*name).or_insert(Value::Null);
    }
    object
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_048, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn only_nulls_are_added_to_an_entitlement(
        members in proptest::collection::btree_map(
            prop_oneof![proptest::sample::select(&["name", "}", "{\"", "\\", "é"]).prop_map(str::to_owned), "\\PC{0,3}"],
            proptest::sample::select(&[
                "1", "true", "[]", "{}", "[null]", r#""}{""#, r#"{"feature":{}}"#, r#"{"id":"}}","name":"\"","x":{"units":[{}]}}"#,
            ]),
            0..6,
        ),
        limit in proptest::option::of(0..9_u8),
    ) {
        let value = |json: &str| serde_json::from_str::<Value>(json).unwrap();
        let mut feature: Map<String, Value> = members.iter().map(|(name, json)| (name.clone(), value(json))).collect();
        let mut entitlement = feature.clone();
        feature.insert("id".to_owned(), "f".into());
        entitlement.insert("feature".to_owned(), feature.clone().into());
        entitlement.extend(limit.map(|limit| ("usageLimit".to_owned(), limit.into())));
        let json = stored(&Value::Object(entitlement.clone()).to_string());
        entitlement.insert("feature".to_owned(), with_nulls(feature, &FEATURE_FIELDS).into());
        prop_assert_eq!(value(&json), Value::Object(with_nulls(entitlement, &ENTITLEMENT_FIELDS)));
        prop_assert_eq!(json.matches("\"usageLimit\"").count(), 1);
    }
}

#[test]
fn known_events_that_can_not_be_decoded_are_not_reported_as_invalid_json() {
    let nested = format!("{}{}", "[".repeat(200), "]".repeat(200));
    for metadata in ["1e999", r#""\ud800""#, nested.as_str()] {
        let error = refused(&format!(r#"{{"type":"customer.created","id":"c","metadata":{metadata}}}"#));
        assert!(error.starts_with("customer.created: the body can't be decoded: "), "{error}");
    }
    assert!(!parse(br#"{"type":"customer.created","id":"c","#).unwrap_err().has_supported_type());
}

#[test]
fn credit_balances_are_parsed_in_both_forms_and_an_invalid_depleted_balance_is_0() {
    let newer = r#""customer":{"id":"c"},"creditCurrency":{"id":"tokens","name":"Tokens"}"#;
    let older = r#""customerId":"c","resourceId":"r","currencyId":"tokens""#;
    let resource = Some(Id::try_from("r").unwrap());
    for (kind, members, resource, total_granted, remaining_balance) in [
        ("credit_balance.low", format!(r#"{newer},"totalGranted":100,"remainingBalance":7.5"#), &None, Some(100.0), 7.5),
        ("credit_balance.low", format!(r#"{newer},"totalGranted":"x","remainingBalance":7"#), &None, None, 7.0),
        ("credit_balance.depleted", format!(r#"{newer},"totalGranted":100,"remainingBalance":0"#), &None, Some(100.0), 0.0),
        ("credit_balance.depleted", format!(r#"{newer},"remainingBalance":"none""#), &None, None, 0.0),
        ("credit_balance.depleted", newer.to_owned(), &None, None, 0.0),
        ("credits.balance.usage_low", format!(r#"{older},"totalGranted":100,"currentBalance":7"#), &resource, Some(100.0), 7.0),
        ("credits.balance.depleted", older.to_owned(), &resource, None, 0.0),
        ("credits.balance.depleted", older.replace("\"r\"", "null"), &None, None, 0.0),
    ] {
        let event = parsed(&format!(r#"{{"type":"{kind}",{members}}}"#));
        let [customer_id, currency_id] = ["c", "tokens"].map(|id| Id::try_from(id).unwrap());
        let balance = Balance { total_granted, remaining_balance };
        let expected = Event::CreditBalance { customer_id, resource_id: resource.clone(), currency_id, balance };
        assert_eq!(event, expected, "{kind} {members}");
    }
    for (kind, members, expected) in [
        ("credit_balance.low", newer.to_owned(), "`remainingBalance` is missing"),
        ("credit_balance.low", format!(r#"{newer},"remainingBalance":"7""#), "`remainingBalance` must be a number"),
        ("credits.balance.usage_low", format!(r#"{older},"currentBalance":"7""#), "`currentBalance` must be a number"),
        ("credit_balance.depleted", r#""customer":{"id":"c"}"#.to_owned(), "`creditCurrency` is missing"),
        ("credit_balance.depleted", newer.replace("\"c\"", "5"), "`customer.id` must be a string"),
        ("credits.balance.depleted", older.replace("\"r\"", "5"), "`resourceId` must be a string"),
    ] {
        let error = refused(&format!(r#"{{"type":"{kind}",{members}}}"#));
        assert!(error.ends_with(expected), "{error}: {expected}");
    }
}

#[test]
fn subscription_events_write_what_they_carry_and_show_whether_the_customer_is_live() {
    let subscription = |kind: &str, members: &str| {
        let Event::Subscription { change, created, live_customer, .. } =
            parsed(&format!(r#"{{"type":"subscription.{kind}","id":"s"{members}}}"#))
        else {
            panic!("no subscription")
        };
        let details = change.details.map(|(_, details)| details.plan_name);
        (change.status, change.dates.is_some(), details, created, live_customer.is_some())
    };
    let status = |status: &str| Some(status.to_owned());
    let customer = r#","customer":{"id":"c","name":null}"#;
    let complete = format!(r#"{customer},"plan":{{"id":"p"}},"startDate":"2026-01-01T00:00:00Z","endDate":null"#);
    for (kind, members, expected) in [
        ("created", format!(r#","status":"IN_TRIAL"{complete}"#), (status("IN_TRIAL"), true, status("p"), true, true)),
        ("updated", format!(r#","status":"ACTIVE"{customer}"#), (status("ACTIVE"), false, None, false, true)),
        ("updated", format!(r#","status":"CANCELED"{customer}"#), (status("CANCELED"), false, None, false, false)),
        ("updated", String::new(), (None, false, None, false, false)),
        ("canceled", complete, (status("CANCELED"), true, status("p"), false, false)),
        ("expired", r#","status":"ACTIVE""#.to_owned(), (status("EXPIRED"), false, None, false, false)),
        ("trial_expired", r#","status":"ACTIVE""#.to_owned(), (status("EXPIRED"), false, None, false, false)),
    ] {
        assert_eq!(subscription(kind, &members), expected, "subscription.{kind}{members}");
    }
}

#[test]
fn measurements_accept_the_older_name_of_the_period_end() {
    let body = r#"{"type":"measurement.reported","customer":{"id":"c"},"feature":{"id":"f"},"resource":null,"currentUsage":3,
        "nextResetDate":"2026-12-01T00:00:00Z"}"#;
    let Event::Measurement { usage, resource_id, .. } = parsed(body) else { panic!("no measurement") };
    assert_eq!((usage.usage_period_end, resource_id), (Some("2026-12-01T00:00:00Z".parse().unwrap()), None));
}

/// The parsed usage of an event with this number, and the usage after a round trip through the store's form.
fn measured(number: &str) -> [f64; 2] {
    let body =
        format!(r#"{{"type":"measurement.reported","customer":{{"id":"c"}},"feature":{{"id":"f"}},"currentUsage":{number}}}"#);
    let Event::Measurement { usage, .. } = parsed(&body) else { panic!("no measurement") };
    let stored: Usage = serde_json::from_str(&serde_json::to_string(&usage).unwrap()).unwrap();
    [usage.current_usage, stored.current_usage]
}

#[test]
fn numbers_are_parsed_to_their_last_digit_as_in_javascript() {
    let sum: f64 = [0.1; 10].iter().sum();
    assert_eq!(measured("0.9999999999999999"), [sum; 2]);
    assert!(sum < 1.0);
    // Found by fuzzing.
    assert_eq!(measured("1.7000001462189506e308"), [1.700_000_146_218_950_6e308; 2]);
}

fn odd_value() -> impl Strategy<Value = String> {
    const VALUES: [&str; 18] = [
        "null",
        "0",
        "-1.5",
        "true",
        "\"\"",
        "\"x\"",
        "\"NUMBER\"",
        "\"ENUM\"",
        "\"FLUCTUATING\"",
        "\"2026-01-01\"",
        "\"2026-01-01T00:00:00Z\"",
        "[]",
        "[\"a\"]",
        "[{}]",
        "{}",
        r#"{"id":"x"}"#,
        r#"{"remainingBalance":1}"#,
        r#"{"remainingBalance":"1","creditCurrency":{"id":5}}"#,
    ];
    proptest::sample::select(VALUES.as_slice()).prop_map(str::to_owned)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_096, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_stored_entitlement_can_be_parsed(
        members in proptest::collection::vec((0..15_usize, odd_value()), 0..8),
        feature in proptest::collection::vec((0..3_usize, odd_value()), 0..3),
    ) {
        const NAMES: [&str; 15] = [
            "resourceId", "usageLimit", "hasUnlimitedUsage", "hasSoftLimit", "currentUsage", "usagePeriodAnchor",
            "usagePeriodStart", "usagePeriodEnd", "nextResetDate", "resetPeriod", "resetPeriodConfiguration", "enumValues",
            "creditBalance", "a", "b",
        ];
        let member = |(name, value): &(usize, String)| format!(r#","{}":{value}"#, NAMES[*name]);
        let of_feature = |(name, value): &(usize, String)| format!(r#","{}":{value}"#, ["featureType", "meterType", "name"][*name]);
        let members: String = members.iter().map(member).collect();
        let feature: String = feature.iter().map(of_feature).collect();
        let body = list_with(&format!(r#"{{"feature":{{"id":"f"{feature}}}{members}}}"#));
        match parse(body.as_bytes()) {
            Ok(Received::Handled(handled)) => {
                let Event::Entitlements { lists, .. } = handled.event else { panic!("no list") };
                for (feature, json) in &lists[0].grants {
                    let grant: Result<Grant, _> = serde_json::from_str(json);
                    prop_assert!(grant.is_ok_and(|grant| grant.feature.id == *feature), "{json}");
                }
            }
            Err(EventError::Field { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_048, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn numbers_round_trip(
        number in prop_oneof![0.0..1_000.0, prop::num::f64::POSITIVE | prop::num::f64::NEGATIVE | prop::num::f64::SUBNORMAL],
    ) {
        prop_assert_eq!(measured(&format!("{number:e}")), [number; 2]);
        prop_assert_eq!(measured(&format!("{number}")), [number; 2]);
    }
}
