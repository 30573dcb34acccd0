//! Subscriptions: their registers and visible state.

use serde::{Deserialize, Serialize};

use crate::{
    id::Id,
    opaque::OpaqueJson,
    register::{Register, is_above},
    version::Version,
};

/// Date-times in the fixed-width form.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Dates {
    /// Events without a start date don't write this register.
    pub start_date: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancellation_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trial_end_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_billing_period_start: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_billing_period_end: Option<String>,
}

/// Stored as JSON without nulls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Details {
    pub plan_id: Id,
    /// The plan's id if it has no name.
    pub plan_name: String,
    /// None is the customer level.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_id: Option<Id>,
    /// In the billing provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub billing_id: Option<String>,
    /// As in the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<OpaqueJson>,
    /// As in the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addons: Option<OpaqueJson>,
    /// MONTHLY or ANNUALLY.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub billing_period: Option<OpaqueJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub billing_currency: Option<OpaqueJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_trial_subscription: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_collection: Option<OpaqueJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<OpaqueJson>,
}

/// The registers of one subscription.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SubscriptionRegisters {
    /// Stigg's status: ACTIVE, CANCELED, EXPIRED, IN_TRIAL, NOT_STARTED or PAYMENT_PENDING.
    pub status: Option<Register<String>>,
    pub dates: Option<Register<Dates>>,
    /// With the customer's id.
    pub details: Option<Register<(Id, Details)>>,
    /// The highest version of a subscription.created.
    pub creation: Option<Version>,
}

/// A subscription as readers see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Subscription {
    pub customer_id: Id,
    pub status: String,
    pub dates: Dates,
    pub details: Details,
    /// None if no subscription.created was received.
    pub created_at: Option<String>,
    /// The time of its newest visible register.
    pub updated_at: String,
}

impl SubscriptionRegisters {
    pub fn customer_id(&self) -> Option<&Id> {
        self.details.as_ref().map(|details| &details.value.0)
    }

    /// Incomplete subscriptions are invisible.
    pub fn is_complete(&self) -> bool {
        self.status.is_some() && self.dates.is_some() && self.details.is_some()
    }

    pub fn versions(&self) -> impl Iterator<Item = &Version> {
        let status = self.status.as_ref().map(|register| &register.version);
        let dates = self.dates.as_ref().map(|register| &register.version);
        let details = self.details.as_ref().map(|register| &register.version);
        [status, dates, details, self.creation.as_ref()].into_iter().flatten()
    }

    /// The subscription as readers see it. None unless status, dates and details are all above the customer's
    /// tombstone. The caller checks that the customer is live.
    pub fn visible(&self, tombstone: Option<&Version>) -> Option<Subscription> {
        let (status, dates, details) = (self.status.as_ref()?, self.dates.as_ref()?, self.details.as_ref()?);
        if ![&status.version, &dates.version, &details.version].into_iter().all(|version| is_above(version, tombstone)) {
            return None;
        }
        let creation = self.creation.as_ref().filter(|version| is_above(version, tombstone));
        let newest = self.versions().max()?;
        let (customer_id, details) = details.value.clone();
        Some(Subscription {
            customer_id,
            status: status.value.clone(),
            dates: dates.value.clone(),
            details,
            created_at: creation.map(|version| version.time_text().to_owned()),
            updated_at: newest.time_text().to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(n: u8) -> Version {
        Version::new(format!("2026-01-0{n}T00:00:00Z").parse().unwrap(), "m")
    }

    fn complete() -> SubscriptionRegisters {
        let details = serde_json::from_str(r#"{"planId":"p","planName":"Plan"}"#).unwrap();
        SubscriptionRegisters {
            status: Some(Register { version: version(4), value: "ACTIVE".to_owned() }),
            dates: Some(Register { version: version(2), value: Dates::default() }),
            details: Some(Register { version: version(3), value: (Id::try_from("c").unwrap(), details) }),
            creation: Some(version(1)),
        }
    }

    #[test]
    fn a_subscription_is_visible_once_it_has_status_dates_and_details() {
        assert_eq!(complete().visible(None).unwrap().updated_at, "2026-01-04T00:00:00.000Z");
        for missing in [
            SubscriptionRegisters { status: None, ..complete() },
            SubscriptionRegisters { dates: None, ..complete() },
            SubscriptionRegisters { details: None, ..complete() },
        ] {
            assert_eq!(missing.visible(None), None);
        }
    }

    #[test]
    fn registers_at_or_below_the_customers_tombstone_are_not_visible() {
        let seen = complete().visible(Some(&version(1))).unwrap();
        assert_eq!(seen.created_at, None);
        assert_eq!(complete().visible(Some(&version(2))), None);
    }
}
