//! An entitlement in Stigg's own JSON, made from what is stored of it.

use std::fmt;

use jiff::Timestamp;
use serde::{
    Deserializer as _,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

use super::{Entitlement, to_number};
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

/// The members that a measurement gives.
const MEASURED: [&str; 8] = [
    "currentUsage",
    "usageLimit",
    "hasUnlimitedUsage",
    "usagePeriodAnchor",
    "usagePeriodStart",
    "usagePeriodEnd",
    OLDER_PERIOD_END,
    "resetPeriod",
];

/// Appends an entitlement in Stigg's own JSON: what the list said, as it is stored, with the numbers of
/// `measured` where a measurement was merged into them. Entitlements are stored without nulls; a reader
/// finds the documented members all the same.
///
/// Members that stay as they are are copied while they are read, since a page has thousands of them.
///
/// # Errors
/// If what is stored is no object. What was appended until then means nothing.
pub fn write_stigg_json(stored: &str, measured: Option<&Entitlement>, json: &mut Vec<u8>) -> serde_json::Result<()> {
    let mut object = Object::begin(json);
    let mut missing = Missing::all(ENTITLEMENT_FIELDS);
    let mut has_older_end = false;
    each_member(stored, |member| {
        has_older_end |= member.name == OLDER_PERIOD_END;
        missing.remove(member.name);
        match member.name {
            name if measured.is_some() && MEASURED.contains(&name) => {}
            "feature" if member.value.starts_with('{') => write_feature(member.value, object.member("feature"))?,
            _ => object.copy(&member),
        }
        Ok(())
    })?;
    let is_older_form = has_older_end && missing.has("usagePeriodEnd");
    for (name, value) in measured.map(|entitlement| numbers(entitlement, is_older_form)).iter().flatten() {
        missing.remove(name);
        serde_json::to_writer(object.member(name), value)?;
    }
    // The older form says when the period ends by another name.
    for name in missing.names().filter(|name| !(is_older_form && name.starts_with("usagePeriod"))) {
        object.null(name);
    }
    object.end();
    Ok(())
}

fn write_feature(stored: &str, json: &mut Vec<u8>) -> serde_json::Result<()> {
    let mut object = Object::begin(json);
    let mut missing = Missing::all(FEATURE_FIELDS);
    each_member(stored, |member| {
        missing.remove(member.name);
        object.copy(&member);
        Ok(())
    })?;
    missing.names().for_each(|name| object.null(name));
    object.end();
    Ok(())
}

/// What a measurement gives.
fn numbers(entitlement: &Entitlement, is_older_form: bool) -> [(&'static str, Value); 7] {
    let UsagePeriod { usage_period_anchor, usage_period_start, usage_period_end, reset_period } = &entitlement.period;
    let date = |time: &Option<Timestamp>| time.map(time::to_fixed_width).into();
    [
        ("currentUsage", entitlement.current_usage.map(to_number).into()),
        ("usageLimit", entitlement.usage_limit.map(to_number).into()),
        ("hasUnlimitedUsage", entitlement.has_unlimited_usage.into()),
        ("usagePeriodAnchor", date(usage_period_anchor)),
        ("usagePeriodStart", date(usage_period_start)),
        (if is_older_form { OLDER_PERIOD_END } else { "usagePeriodEnd" }, date(usage_period_end)),
        ("resetPeriod", reset_period.clone().into()),
    ]
}

/// The documented members that were not found yet.
struct Missing<const N: usize>([Option<&'static str>; N]);

impl<const N: usize> Missing<N> {
    fn all(names: [&'static str; N]) -> Self {
        Self(names.map(Some))
    }

    fn has(&self, name: &str) -> bool {
        self.0.contains(&Some(name))
    }

    fn remove(&mut self, name: &str) {
        if let Some(missing) = self.0.iter_mut().find(|missing| **missing == Some(name)) {
            *missing = None;
        }
    }

    fn names(self) -> impl Iterator<Item = &'static str> {
        self.0.into_iter().flatten()
    }
}

/// A member as it is written.
struct Member<'a> {
    /// The name with its quotes.
    quoted: &'a str,
    /// The name without them. One of ours is never written with escapes.
    name: &'a str,
    value: &'a str,
}

/// Hands on each member of an object while it is read.
fn each_member<'a>(object: &'a str, each: impl FnMut(Member<'a>) -> serde_json::Result<()>) -> serde_json::Result<()> {
    struct Members<F>(F);

    impl<'de, F: FnMut(Member<'de>) -> serde_json::Result<()>> Visitor<'de> for Members<F> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<M: MapAccess<'de>>(mut self, mut map: M) -> Result<(), M::Error> {
            while let Some((quoted, value)) = map.next_entry::<&RawValue, &RawValue>()? {
                let quoted = quoted.get();
                let name = quoted.get(1..quoted.len() - 1).unwrap_or_default();
                (self.0)(Member { quoted, name, value: value.get() }).map_err(M::Error::custom)?;
            }
            Ok(())
        }
    }

    let mut input = serde_json::Deserializer::from_str(object);
    input.deserialize_map(Members(each))?;
    input.end()
}

/// An object that is being written.
struct Object<'a> {
    json: &'a mut Vec<u8>,
    is_empty: bool,
}

impl<'a> Object<'a> {
    fn begin(json: &'a mut Vec<u8>) -> Self {
        json.push(b'{');
        Self { json, is_empty: true }
    }

    fn separate(&mut self) {
        if !self.is_empty {
            self.json.push(b',');
        }
        self.is_empty = false;
    }

    /// A member of ours: its value comes next.
    fn member(&mut self, name: &str) -> &mut Vec<u8> {
        self.separate();
        self.json.push(b'"');
        self.json.extend_from_slice(name.as_bytes());
        self.json.extend_from_slice(b"\":");
        self.json
    }

    fn null(&mut self, name: &str) {
        self.member(name).extend_from_slice(b"null");
    }

    fn copy(&mut self, member: &Member<'_>) {
        self.separate();
        self.json.extend_from_slice(member.quoted.as_bytes());
        self.json.push(b':');
        self.json.extend_from_slice(member.value.as_bytes());
    }

    fn end(self) {
        self.json.push(b'}');
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{customer::Register, version::Version};

    const STORED: &str =
        r#"{"feature":{"id":"f","featureType":"NUMBER","extra":1},"usageLimit":10,"currentUsage":1,"other":[null]}"#;

    fn written(stored: &str, measured: Option<&Entitlement>) -> Value {
        let mut json = Vec::new();
        write_stigg_json(stored, measured, &mut json).unwrap();
        serde_json::from_slice(&json).unwrap()
    }

    fn measured(stored: &str) -> Entitlement {
        let version = |day| Version::new(format!("2026-01-{day:02}T00:00:00Z").parse().unwrap(), "m");
        let usage = r#"{"currentUsage":7,"usagePeriodEnd":"2026-02-01T00:00:00Z"}"#;
        let grant = Register { version: version(2), value: serde_json::from_str(stored).unwrap() };
        Entitlement::new(grant, Some(&Register { version: version(3), value: serde_json::from_str(usage).unwrap() }))
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
                "usageLimit": 10, "currentUsage": 7, "hasUnlimitedUsage": false, "hasSoftLimit": null, "other": [null],
                "usagePeriodAnchor": null, "usagePeriodStart": null, "usagePeriodEnd": "2026-02-01T00:00:00.000Z",
                "resetPeriod": null, "resetPeriodConfiguration": null, "enumValues": null, "creditBalance": null,
            })
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
        write_stigg_json(stored, None, &mut json).unwrap();
        let text = String::from_utf8(json).unwrap();
        assert!(text.starts_with(r#"{"a\"\u0000":1,"feature":[],"currentUsage":2,"é":{"x":[1, 2]},"#), "{text}");
        assert_eq!(text.matches("\"currentUsage\"").count(), 1);

        let measured = measured(r#"{"feature":{"id":"f"}}"#);
        let mut json = Vec::new();
        write_stigg_json(stored, Some(&measured), &mut json).unwrap();
        let text = String::from_utf8(json).unwrap();
        assert_eq!(text.matches("\"currentUsage\":7").count(), 1);
        assert_eq!(text.matches("\"currentUsage\"").count(), 1, "{text}");
        assert!(write_stigg_json("[]", None, &mut Vec::new()).is_err());
    }
}
