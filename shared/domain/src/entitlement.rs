//! Entitlements: a scope's list, usage and credit balances, and how they are merged.

mod json;
mod list;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    id::Id,
    period::{Bounds, UsagePeriod},
    register::{Register, is_above},
    time,
    version::Version,
};

pub use json::{ENTITLEMENT_FIELDS, write_stigg_json};
pub(crate) use json::{FEATURE_FIELDS, OLDER_PERIOD_END};
pub use list::EntitlementList;

/// An entry of a list of entitlements: the members of Stigg's JSON that are evaluated.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    pub feature: Feature,
    /// In the older form of a list.
    pub resource_id: Option<Id>,
    /// The limit of a metered feature; of a NUMBER feature without a meter, its value.
    pub usage_limit: Option<f64>,
    pub has_unlimited_usage: Option<bool>,
    /// Usage may exceed the limit.
    pub has_soft_limit: Option<bool>,
    /// Usage when the list was computed.
    pub current_usage: Option<f64>,
    #[serde(default, deserialize_with = "time::optional")]
    pub usage_period_anchor: Option<Timestamp>,
    #[serde(default, deserialize_with = "time::optional")]
    pub usage_period_start: Option<Timestamp>,
    #[serde(default, deserialize_with = "time::optional")]
    pub usage_period_end: Option<Timestamp>,
    /// The older name of `usagePeriodEnd`.
    #[serde(default, deserialize_with = "time::optional")]
    pub next_reset_date: Option<Timestamp>,
    pub reset_period: Option<String>,
    /// The granted values of an ENUM feature.
    pub enum_values: Option<Vec<String>>,
    /// Present if credits pay for the feature.
    pub credit_balance: Option<CreditBalance>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Feature {
    pub id: Id,
    /// BOOLEAN, NUMBER or ENUM.
    pub feature_type: Option<String>,
    /// INCREMENTAL, FLUCTUATING or None; the case varies.
    pub meter_type: Option<String>,
}

/// The credits that pay for an entitlement, as in a list.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreditBalance {
    pub credit_currency: Option<CreditCurrency>,
    pub total_granted: Option<f64>,
    pub remaining_balance: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct CreditCurrency {
    pub id: Option<String>,
}

/// A balance register's value: the credits of one currency in one scope.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Balance {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_granted: Option<f64>,
    pub remaining_balance: f64,
}

/// A usage register's value: a feature's usage as in measurement.reported or entitlement.usage_exceeded. The events' limit
/// is not stored: it may be older than the list's.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// The total, including the measurement.
    pub current_usage: f64,
    /// See [`UsagePeriod`].
    #[serde(default, deserialize_with = "time::optional", skip_serializing_if = "Option::is_none")]
    pub usage_period_anchor: Option<Timestamp>,
    #[serde(default, deserialize_with = "time::optional", skip_serializing_if = "Option::is_none")]
    pub usage_period_start: Option<Timestamp>,
    /// Inclusive.
    #[serde(default, deserialize_with = "time::optional", skip_serializing_if = "Option::is_none")]
    pub usage_period_end: Option<Timestamp>,
    /// Stigg's `resetPeriod`: YEAR, MONTH, WEEK, DAY or HOUR.
    #[serde(skip_serializing_if = "Option::is_none")]
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

    /// The currency of the credits that pay for the feature, if any.
    pub fn currency_id(&self) -> Option<&str> {
        self.credit_balance.as_ref()?.credit_currency.as_ref()?.id.as_deref()
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

/// The registers of one scope: the customer level or one resource.
#[derive(Clone, Debug, Default)]
pub struct ScopeRegisters {
    pub list: Option<Register<EntitlementList>>,
    /// Credit balances by currency id.
    pub balances: BTreeMap<String, Register<Balance>>,
    /// Usage by feature.
    pub usage: BTreeMap<Id, Register<Usage>>,
}

/// A stored entitlement can't be parsed: another program wrote it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored entitlement to {feature_id} is not readable")]
pub struct UnreadableEntitlement {
    pub feature_id: String,
}

impl ScopeRegisters {
    /// The list, unless it is at or below the customer's tombstone.
    pub fn visible_list(&self, tombstone: Option<&Version>) -> Option<&Register<EntitlementList>> {
        self.list.as_ref().filter(|list| is_above(&list.version, tombstone))
    }

    /// The merged entitlement to a feature. None if the visible list does not contain it.
    pub fn entitlement(
        &self,
        feature_id: &Id,
        tombstone: Option<&Version>,
    ) -> Result<Option<Entitlement>, UnreadableEntitlement> {
        let Some(list) = self.visible_list(tombstone) else { return Ok(None) };
        let json = list.value.get(feature_id.as_str());
        json.map(|json| self.merge(&list.version, feature_id.as_str(), json, tombstone)).transpose()
    }

    /// The merged entitlements of the visible list with their stored JSON, in the order of feature ids.
    pub fn entitlements(&self, tombstone: Option<&Version>) -> Result<Vec<(Id, Entitlement, &str)>, UnreadableEntitlement> {
        let Some(list) = self.visible_list(tombstone) else { return Ok(Vec::new()) };
        let entitlement = |(feature_id, json)| {
            let id = Id::try_from(feature_id).map_err(|_| UnreadableEntitlement { feature_id: String::new() })?;
            Ok((id, self.merge(&list.version, feature_id, json, tombstone)?, json))
        };
        list.value.iter().map(entitlement).collect()
    }

    fn merge(
        &self,
        list: &Version,
        feature_id: &str,
        json: &str,
        tombstone: Option<&Version>,
    ) -> Result<Entitlement, UnreadableEntitlement> {
        let grant: Grant = serde_json::from_str(json).map_err(|_| UnreadableEntitlement { feature_id: feature_id.to_owned() })?;
        let usage = self.usage.get(feature_id).filter(|usage| is_above(&usage.version, tombstone));
        let balance = grant.currency_id().and_then(|currency| self.balances.get(currency));
        let balance = balance.filter(|balance| is_above(&balance.version, tombstone));
        Ok(Entitlement::new(Register { version: list.clone(), value: grant }, usage, balance))
    }

    /// Whether a usage or balance register may override the list's entry of a feature.
    pub fn may_override(&self, feature_id: &str) -> bool {
        self.usage.contains_key(feature_id) || !self.balances.is_empty()
    }
}

/// An entry of a list, merged with the usage and balance registers.
#[derive(Clone, Debug, PartialEq)]
pub struct Entitlement {
    /// Limits come only from the list: Stigg sends a list whenever a limit changes, and a measurement that was computed
    /// before that often arrives after it.
    pub grant: Grant,
    /// Usage in `period`. None if neither the list nor a measurement has it.
    pub current_usage: Option<f64>,
    pub period: UsagePeriod,
    /// Whether usage and period come from the usage register.
    pub is_measured: bool,
    /// None if the feature is not paid with credits.
    pub balance: Option<Balance>,
    /// Whether the credits come from the balance register.
    pub is_balance_newer: bool,
}

impl Entitlement {
    /// Merges registers, which must be above the customer's tombstone. Usage and its period come from the newer of list
    /// and usage register, and from the usage register if the list has no usage. Credits come from the newer of list and
    /// balance register.
    pub fn new(
        Register { version, value: grant }: Register<Grant>,
        usage: Option<&Register<Usage>>,
        balance: Option<&Register<Balance>>,
    ) -> Self {
        let measured = usage.filter(|usage| usage.version > version || grant.current_usage.is_none());
        let newer = balance.filter(|balance| balance.version > version);
        let credits = grant.credit_balance.as_ref();
        let listed = credits.map(|credits| Balance {
            total_granted: credits.total_granted,
            remaining_balance: credits.remaining_balance.unwrap_or(0.0),
        });
        Self {
            current_usage: measured.map(|usage| usage.value.current_usage).or(grant.current_usage),
            period: measured.map_or_else(|| grant.period(), |usage| measured_period(usage, &grant)),
            is_measured: measured.is_some(),
            is_balance_newer: newer.is_some(),
            balance: newer.map(|balance| balance.value.clone()).or(listed),
            grant,
        }
    }

    pub fn has_unlimited_usage(&self) -> bool {
        self.grant.has_unlimited_usage.unwrap_or(false)
    }

    pub fn has_soft_limit(&self) -> bool {
        self.grant.has_soft_limit.unwrap_or(false)
    }

    /// Usage at `now`: 0 once its period has ended.
    pub fn usage_at(&self, now: Timestamp) -> f64 {
        if self.period.is_over(now) { 0.0 } else { self.current_usage.unwrap_or(0.0) }
    }

    /// The usage period at `now`.
    pub fn bounds_at(&self, now: Timestamp) -> Bounds {
        self.period.at(now)
    }
}

/// The period of a measurement: its own, else the list's period at the time of the measurement.
fn measured_period(usage: &Register<Usage>, grant: &Grant) -> UsagePeriod {
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

/// Whole numbers without a fraction, as in Stigg's events.
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
        Entitlement::new(grant.unwrap(), usage, None)
    }

    #[test]
    fn usage_comes_from_the_newer_of_list_and_measurement_and_limits_from_the_list_alone() {
        let list = r#","currentUsage":1,"usageLimit":10"#;
        let measured = usage(3, r#","usageLimit":20,"hasUnlimitedUsage":true"#);
        for (day, current_usage) in [(2, 7.0), (4, 1.0)] {
            let entitlement = merged(grant(day, list), Some(&measured));
            assert_eq!((entitlement.current_usage, entitlement.grant.usage_limit), (Some(current_usage), Some(10.0)));
            assert!(!entitlement.has_unlimited_usage());
        }
    }

    #[test]
    fn a_later_list_without_usage_keeps_the_measured_usage_and_its_period() {
        let measured = usage(3, r#","usagePeriodEnd":"2026-02-01T00:00:00Z""#);
        let entitlement =
            merged(grant(4, r#","currentUsage":null,"usageLimit":5,"usagePeriodEnd":"2026-03-01T00:00:00Z""#), Some(&measured));
        assert_eq!((entitlement.current_usage, entitlement.grant.usage_limit), (Some(7.0), Some(5.0)));
        // Measured in January, so it does not count in February.
        assert_eq!(entitlement.usage_at("2026-02-10T00:00:00Z".parse().unwrap()), 0.0);
        assert_eq!(entitlement.usage_at("2026-02-01T00:00:00Z".parse().unwrap()), 7.0);
    }

    #[test]
    fn credits_come_from_the_newer_of_list_and_balance_register() {
        let list = r#","creditBalance":{"creditCurrency":{"id":"credits"},"remainingBalance":10}"#;
        let balance = Register { version: version(3), value: Balance { total_granted: Some(50.0), remaining_balance: 0.0 } };
        let credits = |day| Entitlement::new(grant(day, list).unwrap(), None, Some(&balance)).balance.unwrap();
        assert_eq!(credits(2), balance.value);
        assert_eq!(credits(4), Balance { total_granted: None, remaining_balance: 10.0 });
    }

    #[test]
    fn registers_at_or_below_the_tombstone_are_not_merged() {
        let entry = |json: &str| (Id::try_from("f").unwrap(), format!(r#"{{"feature":{{"id":"f"}}{json}}}"#));
        let list = EntitlementList::new(&[entry("")]);
        let mut scope = ScopeRegisters { list: Some(Register { version: version(4), value: list }), ..ScopeRegisters::default() };
        scope.usage.insert(Id::try_from("f").unwrap(), usage(3, ""));
        let feature = Id::try_from("f").unwrap();
        let usage_of = |tombstone: Option<&Version>| {
            scope.entitlement(&feature, tombstone).unwrap().map(|entitlement| entitlement.current_usage)
        };
        assert_eq!(usage_of(None), Some(Some(7.0)));
        assert_eq!(usage_of(Some(&version(3))), Some(None));
        assert_eq!(usage_of(Some(&version(4))), None);
        assert_eq!(scope.entitlement(&Id::try_from("g").unwrap(), None), Ok(None));
    }

    #[test]
    fn usage_measured_after_the_end_of_the_lists_period_is_not_reset_by_it() {
        let period = r#","usageLimit":9,"usagePeriodAnchor":"2026-01-05T00:00:00Z","usagePeriodEnd":"2026-01-12T00:00:00Z","resetPeriod":"WEEK""#;
        let entitlement = merged(grant(5, period), Some(&usage(14, "")));
        assert_eq!(entitlement.usage_at("2026-01-15T00:00:00Z".parse().unwrap()), 7.0);
        assert_eq!(entitlement.usage_at("2026-01-19T00:00:00.001Z".parse().unwrap()), 0.0);
        // Without an anchor the next period's end is unknown: usage never resets.
        let entitlement = merged(grant(5, r#","usagePeriodEnd":"2026-01-12T00:00:00Z""#), Some(&usage(14, "")));
        assert_eq!(entitlement.usage_at("2027-01-01T00:00:00Z".parse().unwrap()), 7.0);
    }

    #[test]
    fn whole_numbers_have_no_fraction() {
        assert_eq!(to_number(10.0).to_string(), "10");
        assert_eq!(to_number(-0.5).to_string(), "-0.5");
        assert_eq!(to_number(1e300).to_string(), "1e+300");
    }
}
