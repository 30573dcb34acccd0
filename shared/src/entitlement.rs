//! A feature's registers, grant and usage, and the entitlement they make.

mod json;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    customer::Register,
    id::Id,
    period::{Bounds, UsagePeriod},
    time,
    version::Version,
};

pub use json::{ENTITLEMENT_FIELDS, write_stigg_json};

/// What a list of entitlements said of one feature: the part of Stigg's JSON that decides.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    /// The feature that it grants.
    pub feature: Feature,
    /// The resource it is for, in the older form of a list.
    #[serde(default)]
    pub resource_id: Option<Id>,
    /// The limit of a metered feature; the value of one without a meter.
    #[serde(default)]
    pub usage_limit: Option<f64>,
    /// Usage has no limit.
    #[serde(default)]
    pub has_unlimited_usage: Option<bool>,
    /// The limit may be passed.
    #[serde(default)]
    pub has_soft_limit: Option<bool>,
    /// Usage when the list was made.
    #[serde(default)]
    pub current_usage: Option<f64>,
    /// What usage periods are counted from.
    #[serde(default, deserialize_with = "time::optional")]
    pub usage_period_anchor: Option<Timestamp>,
    /// When the usage period began.
    #[serde(default, deserialize_with = "time::optional")]
    pub usage_period_start: Option<Timestamp>,
    /// When the usage period ends.
    #[serde(default, deserialize_with = "time::optional")]
    pub usage_period_end: Option<Timestamp>,
    /// The older name of `usagePeriodEnd`.
    #[serde(default, deserialize_with = "time::optional")]
    pub next_reset_date: Option<Timestamp>,
    /// How often usage starts anew.
    #[serde(default)]
    pub reset_period: Option<String>,
    /// The values of an ENUM feature that may be used.
    #[serde(default)]
    pub enum_values: Option<Vec<String>>,
    /// The credits that pay for it, where it is credit-backed.
    #[serde(default)]
    pub credit_balance: Option<CreditBalance>,
}

/// The feature of an entitlement.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Feature {
    /// The user's own reference.
    pub id: Id,
    /// BOOLEAN, NUMBER or ENUM.
    #[serde(default)]
    pub feature_type: Option<String>,
    /// INCREMENTAL, FLUCTUATING or None, in any case.
    #[serde(default)]
    pub meter_type: Option<String>,
}

/// The credits behind a credit-backed entitlement.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreditBalance {
    /// What is left of them.
    #[serde(default)]
    pub remaining_balance: Option<f64>,
}

/// What a measurement said: the usage of a feature after it, and what Stigg said beside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// The total after the measurement.
    pub current_usage: f64,
    /// The limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage_limit: Option<f64>,
    /// Usage has no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub has_unlimited_usage: Option<bool>,
    /// What usage periods are counted from.
    #[serde(default, deserialize_with = "time::optional", skip_serializing_if = "Option::is_none")]
    pub usage_period_anchor: Option<Timestamp>,
    /// When the usage period began.
    #[serde(default, deserialize_with = "time::optional", skip_serializing_if = "Option::is_none")]
    pub usage_period_start: Option<Timestamp>,
    /// When the usage period ends.
    #[serde(default, deserialize_with = "time::optional", skip_serializing_if = "Option::is_none")]
    pub usage_period_end: Option<Timestamp>,
    /// How often usage starts anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset_period: Option<String>,
}

impl Grant {
    fn period(&self) -> UsagePeriod {
        UsagePeriod {
            usage_period_anchor: self.usage_period_anchor,
            usage_period_start: self.usage_period_start,
            usage_period_end: self.usage_period_end.or(self.next_reset_date),
            reset_period: self.reset_period.clone(),
        }
    }
}

impl Usage {
    fn period(&self) -> UsagePeriod {
        UsagePeriod {
            usage_period_anchor: self.usage_period_anchor,
            usage_period_start: self.usage_period_start,
            usage_period_end: self.usage_period_end,
            reset_period: self.reset_period.clone(),
        }
    }
}

/// What is granted of a feature, with the numbers that hold: Stigg's entitlement, usage merged in.
#[derive(Clone, Debug, PartialEq)]
pub struct Entitlement {
    /// What the newest list said.
    pub grant: Grant,
    /// Usage as counted in `period`. None where nobody said any.
    pub current_usage: Option<f64>,
    /// The limit; None where there is none said.
    pub usage_limit: Option<f64>,
    /// Usage has no limit.
    pub has_unlimited_usage: bool,
    /// The period that `current_usage` was counted in.
    pub period: UsagePeriod,
    /// A measurement gave the usage.
    pub is_measured: bool,
}

/// What the replica has of a feature in one scope, a customer's own or one of its resources'.
#[derive(Clone, Debug, PartialEq)]
pub enum FeatureState {
    /// No list has granted it since the customer's deletion.
    Absent,
    /// A list granted it, and a newer one does not hold it.
    Revoked,
    /// The newest list grants it.
    Granted(Box<Entitlement>),
}

/// Merges a feature's registers, which must lie above the customer's deletion, under the version of
/// the scope's newest list. A grant below the list is revoked: it was not in it. A grant above it
/// belongs to a list whose writing is under way.
pub fn merge(grant: Option<Register<Grant>>, usage: Option<&Register<Usage>>, list: &Version) -> FeatureState {
    match grant {
        None => FeatureState::Absent,
        Some(grant) if !is_granted(&grant.version, list) => FeatureState::Revoked,
        Some(grant) => FeatureState::Granted(Box::new(Entitlement::new(grant, usage))),
    }
}

/// Whether a grant of this version holds under the version of its scope's newest list: see [`merge`].
pub fn is_granted(grant: &Version, list: &Version) -> bool {
    grant >= list
}

impl Entitlement {
    /// Of grant and usage the newer gives the numbers. A grant that carries no usage leaves what was
    /// measured, together with the period it was measured in; its limit holds all the same.
    pub fn new(Register { version, value: grant }: Register<Grant>, usage: Option<&Register<Usage>>) -> Self {
        let newer = usage.filter(|usage| usage.version > version).map(|usage| &usage.value);
        let counted = usage.filter(|usage| usage.version > version || grant.current_usage.is_none());
        Self {
            current_usage: counted.map(|usage| usage.value.current_usage).or(grant.current_usage),
            usage_limit: newer.and_then(|usage| usage.usage_limit).or(grant.usage_limit),
            has_unlimited_usage: newer.and_then(|usage| usage.has_unlimited_usage).or(grant.has_unlimited_usage).unwrap_or(false),
            period: counted.map_or_else(|| grant.period(), |usage| measured_in(usage, &grant)),
            is_measured: counted.is_some(),
            grant,
        }
    }

    /// Usage that counts at `now`: none once its period is over.
    pub fn usage_at(&self, now: Timestamp) -> f64 {
        if self.period.is_over(now) { 0.0 } else { self.current_usage.unwrap_or(0.0) }
    }

    /// The usage period at `now`.
    pub fn bounds_at(&self, now: Timestamp) -> Bounds {
        self.period.at(now)
    }
}

/// The period a measurement was counted in: its own, or where it says none, the grant's as it stood
/// at the measurement.
fn measured_in(usage: &Register<Usage>, grant: &Grant) -> UsagePeriod {
    let (own, granted) = (usage.value.period(), grant.period());
    let bounds = if own.is_given() {
        Bounds { start: own.usage_period_start, end: own.usage_period_end }
    } else {
        granted.at(usage.version.time())
    };
    UsagePeriod {
        usage_period_anchor: own.usage_period_anchor.or(granted.usage_period_anchor).or(granted.usage_period_start),
        usage_period_start: bounds.start,
        usage_period_end: bounds.end,
        reset_period: own.reset_period.or(granted.reset_period),
    }
}

/// A number as JSON writes it in Stigg's events: whole ones without a fraction.
pub fn to_number(number: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() < EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
        let whole = number as i64;
        whole.into()
    } else {
        number.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(day: u8) -> Version {
        Version::new(format!("2026-01-{day:02}T00:00:00Z").parse().unwrap(), "m")
    }

    fn grant(day: u8, json: &str) -> Option<Register<Grant>> {
        let json = format!(r#"{{"feature":{{"id":"f","featureType":"NUMBER","meterType":"Incremental"}}{json}}}"#);
        Some(Register { version: version(day), value: serde_json::from_str(&json).unwrap() })
    }

    fn usage(day: u8, json: &str) -> Register<Usage> {
        Register { version: version(day), value: serde_json::from_str(&format!(r#"{{"currentUsage":7{json}}}"#)).unwrap() }
    }

    fn merged(grant: Option<Register<Grant>>, usage: Option<&Register<Usage>>) -> Entitlement {
        match merge(grant, usage, &version(1)) {
            FeatureState::Granted(entitlement) => *entitlement,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_grant_below_the_list_is_revoked_and_one_at_or_above_it_is_not() {
        assert_eq!(merge(None, Some(&usage(9, "")), &version(2)), FeatureState::Absent);
        assert_eq!(merge(grant(1, ""), None, &version(2)), FeatureState::Revoked);
        assert!(matches!(merge(grant(2, ""), None, &version(2)), FeatureState::Granted(_)));
        assert!(matches!(merge(grant(3, ""), None, &version(2)), FeatureState::Granted(_)));
    }

    #[test]
    fn the_newer_of_grant_and_usage_gives_the_numbers() {
        let later_usage = merged(grant(2, r#","currentUsage":1,"usageLimit":10"#), Some(&usage(3, "")));
        assert_eq!((later_usage.current_usage, later_usage.usage_limit), (Some(7.0), Some(10.0)));
        let with_limit = merged(
            grant(2, r#","currentUsage":1,"usageLimit":10"#),
            Some(&usage(3, r#","usageLimit":20,"hasUnlimitedUsage":true"#)),
        );
        assert_eq!((with_limit.usage_limit, with_limit.has_unlimited_usage), (Some(20.0), true));
        let later_grant = merged(
            grant(4, r#","currentUsage":1,"usageLimit":10"#),
            Some(&usage(3, r#","usageLimit":20,"hasUnlimitedUsage":true"#)),
        );
        assert_eq!(
            (later_grant.current_usage, later_grant.usage_limit, later_grant.has_unlimited_usage),
            (Some(1.0), Some(10.0), false)
        );
    }

    #[test]
    fn a_later_grant_without_usage_leaves_what_was_measured_but_not_its_limit() {
        let measured = usage(3, r#","usageLimit":20,"hasUnlimitedUsage":true,"usagePeriodEnd":"2026-02-01T00:00:00Z""#);
        let entitlement =
            merged(grant(4, r#","currentUsage":null,"usageLimit":5,"usagePeriodEnd":"2026-03-01T00:00:00Z""#), Some(&measured));
        assert_eq!(
            (entitlement.current_usage, entitlement.usage_limit, entitlement.has_unlimited_usage),
            (Some(7.0), Some(5.0), false)
        );
        // it was measured in January, so it does not count in February
        assert_eq!(entitlement.usage_at("2026-02-10T00:00:00Z".parse().unwrap()), 0.0);
        assert_eq!(entitlement.usage_at("2026-02-01T00:00:00Z".parse().unwrap()), 7.0);
    }

    #[test]
    fn usage_measured_after_the_grants_period_without_one_of_its_own_is_not_reset_by_it() {
        let period = r#","usageLimit":9,"usagePeriodAnchor":"2026-01-05T00:00:00Z","usagePeriodEnd":"2026-01-12T00:00:00Z","resetPeriod":"WEEK""#;
        let entitlement = merged(grant(5, period), Some(&usage(14, "")));
        assert_eq!(entitlement.usage_at("2026-01-15T00:00:00Z".parse().unwrap()), 7.0);
        assert_eq!(entitlement.usage_at("2026-01-19T00:00:00.001Z".parse().unwrap()), 0.0);
        // without an anchor nobody knows when that period ends: it never resets
        let entitlement = merged(grant(5, r#","usagePeriodEnd":"2026-01-12T00:00:00Z""#), Some(&usage(14, "")));
        assert_eq!(entitlement.usage_at("2027-01-01T00:00:00Z".parse().unwrap()), 7.0);
    }

    #[test]
    fn numbers_are_written_as_stigg_writes_them() {
        assert_eq!(to_number(10.0).to_string(), "10");
        assert_eq!(to_number(-0.5).to_string(), "-0.5");
        assert_eq!(to_number(1e300).to_string(), "1e+300");
    }
}
