//! The comparison rules. No I/O.

use std::collections::BTreeSet;

use domain::{
    customer::Profile,
    entitlement::{Entitlement, Grant, to_number},
    subscription::Subscription,
    time::{parse, to_fixed_width},
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) stigg: Value,
    pub(super) replica: Value,
}

/// A visible customer's fields, named as in events.
pub(super) fn profile_fields(profile: &Profile) -> Map<String, Value> {
    match serde_json::to_value(profile) {
        Ok(Value::Object(shown)) => shown,
        _ => Map::new(),
    }
}

/// A visible subscription's fields, named as in events.
pub(super) fn subscription_fields(subscription: &Subscription) -> Map<String, Value> {
    let mut shown = Map::new();
    for part in [serde_json::to_value(&subscription.dates), serde_json::to_value(&subscription.details)] {
        if let Ok(Value::Object(members)) = part {
            shown.extend(members);
        }
    }
    // Events carry these as objects.
    for flat in ["planId", "planName", "resourceId"] {
        shown.remove(flat);
    }
    shown.insert("status".to_owned(), subscription.status.clone().into());
    shown
}

/// The fields that differ. Fields that Stigg did not return are not compared.
pub(super) fn differing_fields(stigg: &Map<String, Value>, shown: &Map<String, Value>) -> Vec<Field> {
    let fields = stigg.iter().filter(|(name, _)| name.as_str() != "plan").filter_map(|(name, value)| {
        let replica = shown.get(name).unwrap_or(&Value::Null);
        let differs = normalized(name, value) != normalized(name, replica);
        differs.then(|| Field { name: name.clone(), stigg: value.clone(), replica: replica.clone() })
    });
    fields.collect()
}

/// Normalizes a value, so that equal values compare equal.
fn normalized(name: &str, value: &Value) -> Value {
    match (name, value) {
        ("addons", Value::Array(addons)) => {
            let part = |addon: &Value, name: &str| addon.get(name).map(Value::to_string).unwrap_or_default();
            let addons: BTreeSet<_> = addons.iter().map(|addon| (part(addon, "id"), part(addon, "quantity"))).collect();
            if addons.is_empty() { Value::Null } else { json!(addons) }
        }
        ("metadata", Value::Object(members)) if members.is_empty() => Value::Null,
        // The case varies between Stigg's APIs.
        ("billingCurrency", Value::String(word)) => word.to_ascii_lowercase().into(),
        (name, Value::String(text)) if name.ends_with("Date") || name.starts_with("currentBillingPeriod") => {
            parse(text).map_or_else(|_| value.clone(), |time| to_fixed_width(time).into())
        }
        _ => value.clone(),
    }
}

#[derive(Debug, Default, PartialEq)]
pub(super) struct EntitlementDifferences {
    /// Fields that decisions depend on, except usage.
    pub(super) fields: Vec<Field>,
    /// Usage and credit balance, which change all the time.
    pub(super) usage: Vec<Field>,
}

/// Compares the fields that decisions depend on, with both usage periods advanced to `now`. Names, descriptions and
/// units are ignored: they decide nothing, and Stigg sends no list when they change.
pub(super) fn entitlements(stigg: &Entitlement, replica: &Entitlement, now: Timestamp) -> EntitlementDifferences {
    let mut differences = EntitlementDifferences::default();
    for ((name, stigg), (_, replica)) in decision_values(stigg, now).into_iter().zip(decision_values(replica, now)) {
        if stigg != replica {
            differences.fields.push(Field { name: name.to_owned(), stigg, replica });
        }
    }
    for ((name, stigg), (_, replica)) in usage_values(stigg, now).into_iter().zip(usage_values(replica, now)) {
        if !same_number(stigg, replica) {
            let number = |number: Option<f64>| number.map_or(Value::Null, to_number);
            differences.usage.push(Field { name: name.to_owned(), stigg: number(stigg), replica: number(replica) });
        }
    }
    differences
}

fn decision_values(entitlement: &Entitlement, now: Timestamp) -> [(&'static str, Value); 10] {
    let Grant { feature, has_soft_limit, enum_values, credit_balance, .. } = &entitlement.grant;
    let word = |word: &Option<String>| word.as_ref().map_or(Value::Null, |word| word.to_ascii_uppercase().into());
    let time = |time: Option<Timestamp>| time.map_or(Value::Null, |time| to_fixed_width(time).into());
    let values: Option<BTreeSet<&String>> = enum_values.as_ref().map(|values| values.iter().collect());
    let is_metered = is_metered(&entitlement.grant);
    let metered = |value: Value| if is_metered { value } else { Value::Null };
    [
        ("feature.featureType", word(&feature.feature_type)),
        ("feature.meterType", if is_metered { word(&feature.meter_type) } else { Value::Null }),
        ("usageLimit", entitlement.grant.usage_limit.map_or(Value::Null, to_number)),
        ("hasUnlimitedUsage", entitlement.has_unlimited_usage().into()),
        ("hasSoftLimit", has_soft_limit.unwrap_or(false).into()),
        ("resetPeriod", metered(word(&entitlement.period.reset_period))),
        ("usagePeriodAnchor", metered(time(entitlement.period.usage_period_anchor))),
        ("usagePeriodEnd", metered(time(entitlement.bounds_at(now).end))),
        ("enumValues", values.filter(|values| !values.is_empty()).map_or(Value::Null, |values| json!(values))),
        ("creditBalance", credit_balance.is_some().into()),
    ]
}

fn usage_values(entitlement: &Entitlement, now: Timestamp) -> [(&'static str, Option<f64>); 2] {
    let usage = is_metered(&entitlement.grant).then(|| entitlement.usage_at(now));
    let balance = entitlement.balance.as_ref().map(|balance| balance.remaining_balance);
    [("currentUsage", usage), ("creditBalance.remainingBalance", balance)]
}

fn is_metered(grant: &Grant) -> bool {
    grant.feature.meter_type.as_deref().is_some_and(|meter| !meter.eq_ignore_ascii_case("none"))
}

fn same_number(one: Option<f64>, other: Option<f64>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => (one - other).abs() <= 1e-9 * one.abs().max(other.abs()),
        (one, other) => one.is_none() && other.is_none(),
    }
}

#[cfg(test)]
mod tests {
    use domain::{register::Register, version::Version};

    use super::*;

    fn now() -> Timestamp {
        "2026-11-23T14:00:00Z".parse().unwrap()
    }

    fn entitlement(json: Value) -> Entitlement {
        let version = Version::new(now(), "m");
        let grant = serde_json::from_value(json).unwrap();
        Entitlement::new(Register { version, value: grant }, None, None)
    }

    fn differing(stigg: Value, replica: Value) -> (Vec<String>, Vec<String>) {
        let differences = entitlements(&entitlement(stigg), &entitlement(replica), now());
        let names = |fields: Vec<Field>| fields.into_iter().map(|field| field.name).collect();
        (names(differences.fields), names(differences.usage))
    }

    #[test]
    fn only_fields_that_stigg_returned_are_compared_and_null_equals_absent() {
        let map = |value: Value| value.as_object().unwrap().clone();
        let shown = map(json!({"name": "n", "crmId": "kept", "billingCurrency": "USD", "metadata": {"a": "b"}}));
        assert_eq!(differing_fields(&map(json!({"name": "n", "email": null, "billingCurrency": "usd"})), &shown), []);
        let fields = differing_fields(&map(json!({"name": null, "metadata": {}})), &shown);
        assert_eq!(fields.iter().map(|field| field.name.as_str()).collect::<Vec<_>>(), ["metadata", "name"]);
        let dates = map(json!({"startDate": "2026-01-01T00:00:00.000Z", "addons": [{"id": "a", "name": "A", "quantity": 1}]}));
        let fields = json!({"startDate": "2026-01-01T01:00:00+01:00", "addons": [{"id": "a", "quantity": 1}]});
        assert_eq!(differing_fields(&map(fields), &dates), []);
        assert_eq!(differing_fields(&map(json!({"addons": []})), &dates).len(), 1);
    }

    #[test]
    fn fields_that_decide_nothing_are_not_compared() {
        let stigg = json!({"feature": {"id": "f", "name": "New", "featureType": "NUMBER", "meterType": "Fluctuating"}, "usageLimit": 5,
                           "hasSoftLimit": false, "enumValues": [], "currentUsage": 0});
        let replica =
            json!({"feature": {"id": "f", "name": "Old", "featureType": "number", "meterType": "FLUCTUATING"}, "usageLimit": 5});
        assert_eq!(differing(stigg, replica), (vec![], vec![]));
        let unmetered =
            |usage: u8| json!({"feature": {"id": "f", "featureType": "NUMBER", "meterType": "None"}, "currentUsage": usage});
        assert_eq!(differing(unmetered(1), unmetered(2)), (vec![], vec![]));
        let values = |values: [&str; 2]| json!({"feature": {"id": "f", "featureType": "ENUM"}, "enumValues": values});
        assert_eq!(differing(values(["a", "b"]), values(["b", "a"])), (vec![], vec![]));
        assert_eq!(differing(values(["a", "b"]), values(["a", "c"])), (vec!["enumValues".to_owned()], vec![]));
    }

    #[test]
    fn usage_is_reported_separately_and_compared_in_the_current_period() {
        let with = |usage: f64, start: &str, end: &str| {
            json!({"feature": {"id": "f", "featureType": "NUMBER", "meterType": "Incremental"}, "usageLimit": 9, "currentUsage": usage,
                   "usagePeriodAnchor": "2026-10-20T00:00:00Z", "usagePeriodStart": start, "usagePeriodEnd": end, "resetPeriod": "MONTH"})
        };
        let present = |usage| with(usage, "2026-11-20T00:00:00Z", "2026-12-20T00:00:00Z");
        let past = |usage| with(usage, "2026-10-20T00:00:00Z", "2026-11-20T00:00:00Z");
        assert_eq!(differing(present(0.0), past(8.0)), (vec![], vec![]));
        assert_eq!(differing(present(1.0), past(1.0)), (vec![], vec!["currentUsage".to_owned()]));
        assert_eq!(differing(present(0.1 + 0.2), present(0.3)), (vec![], vec![]));
        let mut limit = present(1.0);
        limit["usageLimit"] = 10.into();
        limit["hasSoftLimit"] = true.into();
        assert_eq!(differing(limit, present(1.0)), (vec!["usageLimit".to_owned(), "hasSoftLimit".to_owned()], vec![]));
    }
}
