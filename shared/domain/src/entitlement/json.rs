//! An entitlement in Stigg's own JSON, made from what is stored of it.

use std::{borrow::Cow, fmt};

use jiff::Timestamp;
use serde::{
    Deserialize, Deserializer as _,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::{Map, Value, value::RawValue};

use super::{Balance, Entitlement, to_number};
use crate::{period::UsagePeriod, time};

/// The documented members of an entitlement that may be null.
pub const ENTITLEMENT_FIELDS: [&str; 11] = [
    "usageLimit",
    "hasUnlimitedUsage",
    "hasSoftLimit",
    "currentUsage",
    "usagePeriodAnchor",
    "usagePeriodStart",
    "usagePeriodEnd",
    "resetPeriod",
    "resetPeriodConfiguration",
    "enumValues",
    "creditBalance",
];

/// The documented members of an entitlement's feature that may be null.
const FEATURE_FIELDS: [&str; 7] = ["name", "description", "meterType", "unit", "units", "status", "enumConfiguration"];

/// The older name of `usagePeriodEnd`.
const OLDER_PERIOD_END: &str = "nextResetDate";

/// Appends an entitlement in Stigg's own JSON: the list's entry as stored, with usage, its period and credits of
/// `merged` where they come from registers beside the list.
///
/// # Errors
/// If they do, and the stored text is not a JSON object.
pub fn write_stigg_json(stored: &str, merged: Option<&Entitlement>, json: &mut Vec<u8>) -> serde_json::Result<()> {
    match merged.filter(|merged| merged.is_measured || merged.is_balance_newer) {
        None => json.extend_from_slice(stored.as_bytes()),
        Some(merged) => json.extend_from_slice(with_registers(stored, merged)?.as_bytes()),
    }
    Ok(())
}

/// An entitlement as it is stored: with nulls for the documented members that it leaves out. A page has thousands of
/// entitlements, which are copied as they are stored. A text that is no JSON object stays as it is.
pub fn completed(entitlement: &str) -> String {
    let mut json = Vec::with_capacity(entitlement.len());
    match complete(entitlement, &mut json) {
        Ok(()) => String::from_utf8(json).unwrap_or_else(|_| entitlement.to_owned()),
        Err(_) => entitlement.to_owned(),
    }
}

/// The stored entry, with what the registers beside the list replace in it.
fn with_registers(stored: &str, merged: &Entitlement) -> serde_json::Result<String> {
    let mut members: Map<String, Value> = serde_json::from_str(stored)?;
    if merged.is_measured {
        let has_older_end = members.remove(OLDER_PERIOD_END).is_some();
        let is_older_form = has_older_end && !members.contains_key("usagePeriodEnd");
        let UsagePeriod { usage_period_anchor, usage_period_start, usage_period_end, reset_period } = &merged.period;
        let date = |time: &Option<Timestamp>| time.map(time::to_fixed_width).into();
        for (name, value) in [
            ("currentUsage", merged.current_usage.map(to_number).into()),
            ("usagePeriodAnchor", date(usage_period_anchor)),
            ("usagePeriodStart", date(usage_period_start)),
            (if is_older_form { OLDER_PERIOD_END } else { "usagePeriodEnd" }, date(usage_period_end)),
            ("resetPeriod", reset_period.clone().into()),
        ] {
            members.insert(name.to_owned(), value);
        }
    }
    if let (true, Some(balance), Some(Value::Object(credits))) =
        (merged.is_balance_newer, &merged.balance, members.get_mut("creditBalance"))
    {
        let Balance { total_granted, remaining_balance } = *balance;
        let granted = total_granted.or_else(|| credits.get("totalGranted").and_then(Value::as_f64));
        let percentage = granted.filter(|granted| *granted > 0.0).map(|granted| to_number(remaining_balance / granted * 100.0));
        credits.insert("remainingBalance".to_owned(), to_number(remaining_balance));
        credits.insert("totalGranted".to_owned(), granted.map(to_number).into());
        credits.insert("remainingBalancePercentage".to_owned(), percentage.into());
    }
    serde_json::to_string(&members)
}

/// Appends an entitlement with nulls for the documented members that it leaves out. What is there is copied as it is.
fn complete(entitlement: &str, json: &mut Vec<u8>) -> serde_json::Result<()> {
    let Outline { missing, feature, has_older_end } = Outline::of(entitlement, ENTITLEMENT_FIELDS)?;
    // The older form says when the period ends by another name.
    let is_older_form = has_older_end && missing.contains(&Some("usagePeriodEnd"));
    let missing = missing.into_iter().flatten().filter(|name| !(is_older_form && name.starts_with("usagePeriod")));
    let mut rest = entitlement;
    if let Some(feature) = feature.filter(|feature| feature.starts_with('{')) {
        // It lies within the entitlement.
        let end = feature.as_ptr().addr() - entitlement.as_ptr().addr() + feature.len();
        let (until_feature, after_feature) = entitlement.split_at(end);
        let Outline { missing, .. } = Outline::of(feature, FEATURE_FIELDS)?;
        append_with_nulls(until_feature, missing.into_iter().flatten(), json);
        rest = after_feature;
    }
    append_with_nulls(rest, missing, json);
    Ok(())
}

/// Appends what ends with the end of an object, with nulls for these members before that.
fn append_with_nulls(text: &str, names: impl Iterator<Item = &'static str>, json: &mut Vec<u8>) {
    let text = text.trim_end();
    json.extend_from_slice(text.strip_suffix('}').unwrap_or(text).as_bytes());
    for name in names {
        if !json.ends_with(b"{") {
            json.push(b',');
        }
        json.push(b'"');
        json.extend_from_slice(name.as_bytes());
        json.extend_from_slice(b"\":null");
    }
    json.push(b'}');
}

/// What an object has and lacks.
struct Outline<'a, const N: usize> {
    /// The documented members that it lacks.
    missing: [Option<&'static str>; N],
    /// The member `feature`, as it is written.
    feature: Option<&'a str>,
    has_older_end: bool,
}

/// A member's name.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a, const N: usize> Outline<'a, N> {
    fn of(object: &'a str, documented: [&'static str; N]) -> serde_json::Result<Self> {
        let mut input = serde_json::Deserializer::from_str(object);
        let nothing = Self { missing: documented.map(Some), feature: None, has_older_end: false };
        let outline = input.deserialize_map(nothing)?;
        input.end()?;
        Ok(outline)
    }
}

impl<'de, const N: usize> Visitor<'de> for Outline<'de, N> {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(mut self, mut map: M) -> Result<Self, M::Error> {
        while let Some(Name(name)) = map.next_key()? {
            if let Some(missing) = self.missing.iter_mut().find(|missing| **missing == Some(&*name)) {
                *missing = None;
            }
            self.has_older_end |= name == OLDER_PERIOD_END;
            if name == "feature" {
                self.feature = Some(map.next_value::<&RawValue>()?.get());
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::{customer::Register, version::Version};

    const STORED: &str =
        r#"{"feature":{"id":"f","featureType":"NUMBER","extra":1},"usageLimit":10,"currentUsage":1,"other":[null]}"#;

    fn written(stored: &str, measured: Option<&Entitlement>) -> Value {
        let mut json = Vec::new();
        write_stigg_json(&completed(stored), measured, &mut json).unwrap();
        serde_json::from_slice(&json).unwrap()
    }

    fn measured(stored: &str) -> Entitlement {
        let version = |day| Version::new(format!("2026-01-{day:02}T00:00:00Z").parse().unwrap(), "m");
        let usage = r#"{"currentUsage":7,"usagePeriodEnd":"2026-02-01T00:00:00Z"}"#;
        let grant = Register { version: version(2), value: serde_json::from_str(stored).unwrap() };
        Entitlement::new(grant, Some(&Register { version: version(3), value: serde_json::from_str(usage).unwrap() }), None)
    }

    #[test]
    fn it_is_what_the_list_said_with_the_documented_members_that_it_left_out() {
        assert_eq!(
            written(STORED, None),
            json!({
                "feature": {"id": "f", "featureType": "NUMBER", "extra": 1, "name": null, "description": null,
                            "meterType": null, "unit": null, "units": null, "status": null, "enumConfiguration": null},
                "usageLimit": 10, "currentUsage": 1, "hasUnlimitedUsage": null, "hasSoftLimit": null, "other": [null],
                "usagePeriodAnchor": null, "usagePeriodStart": null, "usagePeriodEnd": null,
                "resetPeriod": null, "resetPeriodConfiguration": null, "enumValues": null, "creditBalance": null,
            })
        );
    }

    #[test]
    fn what_was_measured_takes_the_place_of_what_the_list_said() {
        assert_eq!(
            written(STORED, Some(&measured(STORED))),
            json!({
                "feature": {"id": "f", "featureType": "NUMBER", "extra": 1, "name": null, "description": null,
                            "meterType": null, "unit": null, "units": null, "status": null, "enumConfiguration": null},
                "usageLimit": 10, "currentUsage": 7, "hasUnlimitedUsage": null, "hasSoftLimit": null, "other": [null],
                "usagePeriodAnchor": null, "usagePeriodStart": null, "usagePeriodEnd": "2026-02-01T00:00:00.000Z",
                "resetPeriod": null, "resetPeriodConfiguration": null, "enumValues": null, "creditBalance": null,
            })
        );
    }

    #[test]
    fn a_newer_balance_replaces_the_lists_and_its_percentage() {
        let stored =
            r#"{"feature":{"id":"f"},"creditBalance":{"creditCurrency":{"id":"c"},"totalGranted":40,"remainingBalance":40}}"#;
        let grant = Register {
            version: Version::new("2026-01-02T00:00:00Z".parse().unwrap(), "m"),
            value: serde_json::from_str(stored).unwrap(),
        };
        let balance = Balance { total_granted: None, remaining_balance: 10.0 };
        let later = Version::new("2026-01-05T00:00:00Z".parse().unwrap(), "m");
        let merged = Entitlement::new(grant, None, Some(&Register { version: later, value: balance }));
        assert_eq!(
            written(stored, Some(&merged))["creditBalance"],
            json!({"creditCurrency": {"id": "c"}, "totalGranted": 40, "remainingBalance": 10, "remainingBalancePercentage": 25})
        );
    }

    #[test]
    fn the_older_form_keeps_its_name_for_the_end_of_the_period() {
        let stored = r#"{"feature":{"id":"f"},"nextResetDate":"2026-01-31T00:00:00Z"}"#;
        let before = written(stored, None);
        assert_eq!(before["nextResetDate"], "2026-01-31T00:00:00Z");
        let after = written(stored, Some(&measured(stored)));
        assert_eq!(after["nextResetDate"], "2026-02-01T00:00:00.000Z");
        for json in [before, after] {
            assert_eq!(json.get("usagePeriodEnd"), None);
            assert_eq!(json["creditBalance"], Value::Null);
        }
        let both = r#"{"feature":{"id":"f"},"nextResetDate":"2026-01-31T00:00:00Z","usagePeriodEnd":"2026-01-31T00:00:00Z"}"#;
        let after = written(both, Some(&measured(both)));
        assert_eq!((&after["usagePeriodEnd"], after.get("nextResetDate")), (&json!("2026-02-01T00:00:00.000Z"), None));
    }

    #[test]
    fn every_member_is_there_once_and_escaped_names_stay_so() {
        let stored = r#"{"a\"\u0000":1,"feature":[],"currentUsage":2,"é":{"x":[1, 2]}}"#;
        let mut json = Vec::new();
        write_stigg_json(&completed(stored), None, &mut json).unwrap();
        let text = String::from_utf8(json).unwrap();
        assert!(text.starts_with(r#"{"a\"\u0000":1,"feature":[],"currentUsage":2,"é":{"x":[1, 2]},"#), "{text}");
        assert_eq!(text.matches("\"currentUsage\"").count(), 1);

        let measured = measured(r#"{"feature":{"id":"f"}}"#);
        let mut json = Vec::new();
        write_stigg_json(&completed(stored), Some(&measured), &mut json).unwrap();
        let text = String::from_utf8(json).unwrap();
        assert_eq!(text.matches("\"currentUsage\":7").count(), 1);
        assert_eq!(text.matches("\"currentUsage\"").count(), 1, "{text}");
        for (stored, begins) in [
            (r#"{"feature":{},"a":{"feature":{"id":"f"}}} "#, r#"{"feature":{"name":null,"description":null,"#),
            (r#"{"a":{"feature":{}},"feature":{"b":{}}}"#, r#"{"a":{"feature":{}},"feature":{"b":{},"name":null,"#),
            ("{}", r#"{"usageLimit":null,"hasUnlimitedUsage":null,"#),
        ] {
            let mut json = Vec::new();
            write_stigg_json(&completed(stored), None, &mut json).unwrap();
            let text = String::from_utf8(json).unwrap();
            assert!(text.starts_with(begins) && text.ends_with(r#""creditBalance":null}"#), "{text}");
            assert!(serde_json::from_str::<Value>(&text).is_ok(), "{text}");
        }
        assert_eq!(completed("[]"), "[]");
        assert!(write_stigg_json("[]", Some(&measured), &mut Vec::new()).is_err());
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
        fn nothing_but_nulls_is_added_whatever_the_members_are(
            members in proptest::collection::btree_map(
                prop_oneof![
                    proptest::sample::select(&["feature", "usageLimit", "name", "}", "{\"", "\\", "é"]).prop_map(str::to_owned),
                    ".{0,3}".prop_map(|text| text),
                ],
                proptest::sample::select(&[
                    "1", "true", "[]", "{}", r#""}{""#, r#"{"feature":{}}"#, r#"{"id":"}}","name":"\"","x":{"units":[{}]}}"#,
                ]),
                0..6,
            ),
        ) {
            let value = |json: &str| serde_json::from_str::<Value>(json).unwrap();
            let members: Map<String, Value> = members.iter().map(|(name, json)| (name.clone(), value(json))).collect();
            let stored = Value::Object(members.clone()).to_string();
            let mut expected = with_nulls(members, &ENTITLEMENT_FIELDS);
            if let Some(Value::Object(feature)) = expected.get_mut("feature") {
                *feature = with_nulls(std::mem::take(feature), &FEATURE_FIELDS);
            }
            prop_assert_eq!(written(&stored, None), Value::Object(expected));
        }
    }
}
