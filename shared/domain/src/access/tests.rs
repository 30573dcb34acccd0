//! The decision rules, one by one.

use super::*;
use crate::{entitlement::Entitlement, register::Register, version::Version};
use AccessDeniedReason::*;
use proptest::prelude::*;

const NOW: &str = "2026-11-23T14:00:00Z";

fn view(entitlement: &str) -> AccessView {
    let version = Version::new("2026-11-01T00:00:00Z".parse().unwrap(), "m");
    let grant = Register { version, value: serde_json::from_str(entitlement).unwrap() };
    AccessView { customer_state: CustomerState::Live, list: Some(1), entitlement: Some(Entitlement::new(grant, None, None)) }
}

fn request(usage: f64, values: &[&str]) -> AccessRequest {
    AccessRequest {
        customer_id: Id::try_from("c").unwrap(),
        feature_id: Id::try_from("f").unwrap(),
        resource_id: None,
        requested_usage: usage,
        requested_values: values.iter().map(|&value| value.to_owned()).collect(),
    }
}

fn denied(view: &AccessView, request: &AccessRequest) -> Option<AccessDeniedReason> {
    assert_explained(view, request);
    decide(view, request, NOW.parse().unwrap()).denied
}

/// An explanation has the same decision, and only its last step decides.
fn assert_explained(view: &AccessView, request: &AccessRequest) {
    let now = NOW.parse().unwrap();
    let Explanation { steps, decision } = explain(view, request, now);
    assert_eq!(decision, decide(view, request, now), "{steps:?}");
    let (last, before) = steps.split_last().unwrap();
    assert!(last.decides && before.iter().all(|step| !step.decides), "{steps:?}");
    let possible: &[_] = match last.rule {
        Rule::UnknownCustomer => &[Some(CustomerNotFound)],
        Rule::ArchivedCustomer => &[Some(CustomerIsArchived)],
        Rule::NoResource => &[Some(CustomerResourceNotFound)],
        Rule::NoList => &[Some(NoActiveSubscription)],
        Rule::NotInList => &[Some(NoFeatureEntitlementInSubscription)],
        Rule::CreditsUsedUp => &[Some(InsufficientCredits)],
        Rule::Enum => &[None, Some(RequestedValuesMismatch)],
        Rule::UnknownType => &[Some(Unknown)],
        Rule::BeyondLimit => &[Some(RequestedUsageExceedingLimit)],
        Rule::CreditsLeft | Rule::Boolean | Rule::Unmetered | Rule::Unlimited | Rule::WithinLimit => &[None],
    };
    assert!(possible.contains(&decision.denied), "{steps:?} {decision:?}");
    assert!(steps.iter().all(|step| !step.found.is_empty()));
}

fn any_entitlement() -> impl Strategy<Value = String> {
    let one_of = |values: &'static [&'static str]| proptest::sample::select(values);
    let member = move |name: &'static str, values: &'static [&'static str]| {
        one_of(values).prop_map(move |value| if value.is_empty() { String::new() } else { format!(r#","{name}":{value}"#) })
    };
    let feature = (
        member(
            "featureType",
            &["\"BOOLEAN\"", "\"ENUM\"", "\"NUMBER\"", "\"NUMBER\"", "\"NUMBER\"", "\"NUMBER\"", "\"TENSOR\"", ""],
        ),
        member("meterType", &["\"Incremental\"", "\"Incremental\"", "\"FLUCTUATING\"", "\"FLUCTUATING\"", "\"None\"", ""]),
    );
    let members = (
        member("usageLimit", &["3", "null", "0", ""]),
        member("hasUnlimitedUsage", &["true", "false", "", ""]),
        member("hasSoftLimit", &["true", "false", "", ""]),
        member("currentUsage", &["2", "3", "4", ""]),
        member("usagePeriodEnd", &["\"2026-11-23T13:59:59Z\"", "\"2026-11-23T14:00:00Z\"", ""]),
        member("enumValues", &[r#"["a","b"]"#, "[]", ""]),
        member("creditBalance", &[r#"{"remainingBalance":1}"#, r#"{"remainingBalance":0}"#, "{}", "", ""]),
    );
    (feature, members).prop_map(|((kind, meter), (a, b, c, d, e, f, g))| {
        format!(r#"{{"feature":{{"id":"f"{kind}{meter}}}{a}{b}{c}{d}{e}{f}{g}}}"#)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_explanation_ends_with_the_rule_that_decides(
        entitlement in any_entitlement(),
        customer_state in prop_oneof![8 => Just(CustomerState::Live), 1 => Just(CustomerState::Archived), 1 => Just(CustomerState::Unknown)],
        list in prop_oneof![8 => Just(Some(1)), 1 => Just(Some(0)), 1 => Just(None)],
        is_granted in proptest::bool::weighted(0.8),
        usage in proptest::sample::select(&[0.0, 0.5, 1.0, 9.0]),
        values in proptest::sample::subsequence(&["a", "b", "c"], 0..3),
        is_resource in any::<bool>(),
    ) {
        let entitlement = view(&entitlement).entitlement.filter(|_| is_granted);
        let resource_id = is_resource.then(|| Id::try_from("r").unwrap());
        assert_explained(&AccessView { customer_state, list, entitlement }, &AccessRequest { resource_id, ..request(usage, &values) });
    }
}

#[test]
fn each_step_of_an_explanation_names_the_facts_it_checked() {
    let entitlement = r#"{"feature":{"id":"f","featureType":"NUMBER","meterType":"FLUCTUATING"},"usageLimit":3,"currentUsage":3,
        "usagePeriodEnd":"2026-10-31T00:00:00Z"}"#;
    let explanation = explain(&view(entitlement), &request(4.0, &[]), NOW.parse().unwrap());
    let steps: Vec<String> = explanation.steps.iter().map(|step| format!("{} {}", step.rule.number(), step.found)).collect();
    let last = "0 used, 4 requested, 3 allowed; the period in which 3 were used ended at 2026-10-31T00:00:00.000Z";
    assert_eq!(
        steps,
        [
            "1 the customer is live",
            "2 the customer is live",
            "3 no resource requested",
            "3a 1 feature in the newest list",
            "4 in the newest list",
            "5 not paid with credits",
            "6 type NUMBER",
            "7 type NUMBER",
            "7a type NUMBER",
            "8 meter FLUCTUATING",
            "9 hard limit",
            &format!("10 {last}"),
            &format!("11 {last}"),
        ]
    );
}

#[test]
fn customer_resource_and_list_are_checked_before_the_feature() {
    let boolean = view(r#"{"feature":{"id":"f","featureType":"BOOLEAN"}}"#);
    let resource = AccessRequest { resource_id: Some(Id::try_from("r").unwrap()), ..request(0.0, &[]) };
    let plain = request(0.0, &[]);
    let empty = AccessView { list: None, entitlement: None, ..boolean.clone() };
    for (view, request, expected) in [
        (AccessView { customer_state: CustomerState::Unknown, ..empty.clone() }, &resource, Some(CustomerNotFound)),
        (AccessView { customer_state: CustomerState::Archived, ..boolean.clone() }, &plain, Some(CustomerIsArchived)),
        (empty.clone(), &resource, Some(CustomerResourceNotFound)),
        (empty.clone(), &plain, Some(NoActiveSubscription)),
        (AccessView { list: Some(0), ..boolean.clone() }, &resource, Some(NoActiveSubscription)),
        (AccessView { entitlement: None, ..boolean.clone() }, &plain, Some(NoFeatureEntitlementInSubscription)),
        (boolean, &plain, None),
    ] {
        assert_eq!(denied(&view, request), expected, "{view:?}");
    }
}

#[test]
fn each_feature_type_has_its_rule() {
    let metered = r#""feature":{"id":"f","featureType":"NUMBER","meterType":"Incremental"}"#;
    let value = r#""feature":{"id":"f","featureType":"NUMBER","meterType":"None"}"#;
    let boolean = r#""feature":{"id":"f","featureType":"BOOLEAN","status":"NEW"}"#;
    let list = r#""feature":{"id":"f","featureType":"ENUM"},"enumValues":["a","b"]"#;
    for (entitlement, usage, values, expected) in [
        // 5 and 5a
        (format!(r#"{metered},"creditBalance":{{"remainingBalance":0}},"usageLimit":9"#), 0.0, vec![], Some(InsufficientCredits)),
        (format!(r#"{boolean},"creditBalance":{{}}"#), 0.0, vec![], Some(InsufficientCredits)),
        (format!(r#"{metered},"creditBalance":{{"remainingBalance":-1}},"hasSoftLimit":true"#), 0.0, vec![], None),
        (format!(r#"{metered},"creditBalance":{{"remainingBalance":1}}"#), 99.0, vec![], None),
        (
            format!(r#"{metered},"creditBalance":{{"remainingBalance":1}},"usageLimit":9"#),
            99.0,
            vec![],
            Some(RequestedUsageExceedingLimit),
        ),
        // 6
        (boolean.to_owned(), 99.0, vec!["x"], None),
        // 7
        (list.to_owned(), 99.0, vec![], None),
        (list.to_owned(), 0.0, vec!["b", "a"], None),
        (list.to_owned(), 0.0, vec!["a", "c"], Some(RequestedValuesMismatch)),
        (
            r#""feature":{"id":"f","featureType":"enum"},"enumValues":null"#.to_owned(),
            0.0,
            vec!["a"],
            Some(RequestedValuesMismatch),
        ),
        // 8
        (format!(r#"{value},"usageLimit":3,"currentUsage":5"#), 9.0, vec![], None),
        (r#""feature":{"id":"f","featureType":"NUMBER","meterType":null},"usageLimit":3"#.to_owned(), 9.0, vec![], None),
        // 9
        (format!(r#"{metered},"hasUnlimitedUsage":true"#), 9.0, vec![], None),
        (format!(r#"{metered},"hasSoftLimit":true,"usageLimit":3,"currentUsage":4"#), 9.0, vec![], None),
        // 10 and 11
        (format!(r#"{metered},"usageLimit":3,"currentUsage":3"#), 0.0, vec![], None),
        (format!(r#"{metered},"usageLimit":3,"currentUsage":2.5"#), 0.5, vec![], None),
        (format!(r#"{metered},"usageLimit":3,"currentUsage":3"#), 0.1, vec![], Some(RequestedUsageExceedingLimit)),
        (format!(r#"{metered},"usageLimit":3,"currentUsage":4"#), 0.0, vec![], Some(RequestedUsageExceedingLimit)),
        (format!(r#"{metered},"usageLimit":null"#), 0.0, vec![], None),
        (format!(r#"{metered},"usageLimit":null"#), 1.0, vec![], Some(RequestedUsageExceedingLimit)),
        // the period
        (format!(r#"{metered},"usageLimit":3,"currentUsage":3,"usagePeriodEnd":"2026-11-23T13:59:59Z""#), 3.0, vec![], None),
        (format!(r#"{metered},"usageLimit":3,"currentUsage":3,"nextResetDate":"2026-11-23T13:59:59Z""#), 3.0, vec![], None),
        (
            format!(r#"{metered},"usageLimit":3,"currentUsage":3,"usagePeriodEnd":"{NOW}""#),
            1.0,
            vec![],
            Some(RequestedUsageExceedingLimit),
        ),
        // an unsupported type denies
        (r#""feature":{"id":"f","featureType":"TENSOR"}"#.to_owned(), 0.0, vec![], Some(Unknown)),
        (r#""feature":{"id":"f"}"#.to_owned(), 0.0, vec![], Some(Unknown)),
    ] {
        assert_eq!(denied(&view(&format!("{{{entitlement}}}")), &request(usage, &values)), expected, "{entitlement}");
    }
}

#[test]
fn a_feature_without_a_usable_type_is_denied_with_what_is_wrong() {
    for (feature, reason) in [
        (r#"{"id":"f","featureType":"TENSOR"}"#, "The feature f has the type TENSOR, which this replica does not support."),
        (r#"{"id":"f"}"#, "The feature f has no featureType in its list."),
    ] {
        let decision = decide(&view(&format!(r#"{{"feature":{feature}}}"#)), &request(0.0, &[]), NOW.parse().unwrap());
        assert_eq!(decision.reason, reason);
    }
}

#[test]
fn a_decision_reports_the_numbers_of_the_current_period() {
    let entitlement = r#"{"feature":{"id":"f","featureType":"NUMBER","meterType":"FLUCTUATING"},"usageLimit":3,"currentUsage":3,
        "usagePeriodAnchor":"2026-01-31T00:00:00Z","usagePeriodEnd":"2026-10-31T00:00:00Z","resetPeriod":"MONTH"}"#;
    let decision = decide(&view(entitlement), &request(4.0, &[]), NOW.parse().unwrap());
    assert_eq!(decision.reason, "The feature f would pass its limit: 0 used, 4 requested, 3 allowed.");
    let numbers = decision.snapshot;
    assert_eq!((numbers.current_usage, numbers.usage_limit), (Some(0.into()), Some(3.into())));
    assert_eq!(numbers.usage_period_start.as_deref(), Some("2026-10-31T00:00:00.000Z"));
    assert_eq!(numbers.usage_period_end.as_deref(), Some("2026-11-30T00:00:00.000Z"));
}
