//! Entitlements as Stigg's JSON.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{Balance, Entitlement, to_number};
use crate::{period::UsagePeriod, time};

/// Documented nullable members of an entitlement.
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

/// Documented nullable members of an entitlement's feature.
pub(crate) const FEATURE_FIELDS: [&str; 7] = ["name", "description", "meterType", "unit", "units", "status", "enumConfiguration"];

/// The older name of `usagePeriodEnd`.
pub(crate) const OLDER_PERIOD_END: &str = "nextResetDate";

/// Appends an entitlement's JSON: the stored entry, with the usage, period and credits of `merged` if they come from the
/// usage or balance register. Fails if they do and `stored` is not a JSON object.
pub fn write_stigg_json(stored: &str, merged: Option<&Entitlement>, json: &mut Vec<u8>) -> serde_json::Result<()> {
    match merged.filter(|merged| merged.is_measured || merged.is_balance_newer) {
        None => json.extend_from_slice(stored.as_bytes()),
        Some(merged) => serde_json::to_writer(json, &merge_registers(stored, merged)?)?,
    }
    Ok(())
}

fn merge_registers(stored: &str, merged: &Entitlement) -> serde_json::Result<Map<String, Value>> {
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
    Ok(members)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{register::Register, version::Version};

    fn version(day: u8) -> Version {
        Version::new(format!("2026-01-{day:02}T00:00:00Z").parse().unwrap(), "m")
    }

    fn written(stored: &str, merged: Option<&Entitlement>) -> Value {
        let mut json = Vec::new();
        write_stigg_json(stored, merged, &mut json).unwrap();
        serde_json::from_slice(&json).unwrap()
    }

    fn measured(stored: &str) -> Entitlement {
        let usage = r#"{"currentUsage":7,"usagePeriodEnd":"2026-02-01T00:00:00Z"}"#;
        let grant = Register { version: version(2), value: serde_json::from_str(stored).unwrap() };
        Entitlement::new(grant, Some(&Register { version: version(3), value: serde_json::from_str(usage).unwrap() }), None)
    }

    #[test]
    fn newer_usage_and_its_period_replace_the_lists() {
        let stored = r#"{"feature":{"id":"f","extra":1},"a\"\u0000":1,"usageLimit":10,"currentUsage":1,"other":[null]}"#;
        assert_eq!(written(stored, None), serde_json::from_str::<Value>(stored).unwrap());
        assert_eq!(
            written(stored, Some(&measured(stored))),
            json!({
                "feature": {"id": "f", "extra": 1}, "a\"\0": 1, "usageLimit": 10, "currentUsage": 7, "other": [null],
                "usagePeriodAnchor": null, "usagePeriodStart": null, "usagePeriodEnd": "2026-02-01T00:00:00.000Z",
                "resetPeriod": null,
            })
        );
        assert!(write_stigg_json("[]", Some(&measured(stored)), &mut Vec::new()).is_err());
    }

    #[test]
    fn a_newer_balance_replaces_the_lists_and_its_percentage() {
        let stored =
            r#"{"feature":{"id":"f"},"creditBalance":{"creditCurrency":{"id":"c"},"totalGranted":40,"remainingBalance":40}}"#;
        let grant = Register { version: version(2), value: serde_json::from_str(stored).unwrap() };
        let balance = Balance { total_granted: None, remaining_balance: 10.0 };
        let merged = Entitlement::new(grant, None, Some(&Register { version: version(5), value: balance }));
        assert_eq!(
            written(stored, Some(&merged))["creditBalance"],
            json!({"creditCurrency": {"id": "c"}, "totalGranted": 40, "remainingBalance": 10, "remainingBalancePercentage": 25})
        );
    }

    #[test]
    fn the_older_form_keeps_its_name_for_the_end_of_the_period() {
        let older = r#"{"feature":{"id":"f"},"nextResetDate":"2026-01-31T00:00:00Z"}"#;
        let both = r#"{"feature":{"id":"f"},"nextResetDate":"2026-01-31T00:00:00Z","usagePeriodEnd":"2026-01-31T00:00:00Z"}"#;
        for (stored, kept, absent) in [(older, "nextResetDate", "usagePeriodEnd"), (both, "usagePeriodEnd", "nextResetDate")] {
            let json = written(stored, Some(&measured(stored)));
            assert_eq!((&json[kept], json.get(absent)), (&json!("2026-02-01T00:00:00.000Z"), None));
        }
    }
}
