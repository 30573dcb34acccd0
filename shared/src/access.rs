//! Who may use what: the decision, as Stigg's own SDK would take it.
//!
//! Source: the order of conditions in Stigg's published SDKs. The first that applies decides.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::{
    customer::Standing,
    entitlement::{Entitlement, FeatureState, to_number},
    id::Id,
    time,
};

/// What a check asks.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessRequest {
    /// The customer.
    pub customer_id: Id,
    /// The feature.
    pub feature_id: Id,
    /// The resource; None asks at customer level, never at both.
    pub resource_id: Option<Id>,
    /// How much more of a metered feature is about to be used: finite, not negative.
    pub requested_usage: f64,
    /// The values of an ENUM feature that are about to be used.
    pub requested_values: Vec<String>,
}

/// What the replica has that a check depends on, deletions applied.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessView {
    /// Whether there is such a customer.
    pub standing: Standing,
    /// The length of the newest list of entitlements of the scope that is asked for.
    pub list: Option<u64>,
    /// The feature in that scope.
    pub feature: FeatureState,
}

/// Why access is denied, as Stigg's SDKs name it. They know more reasons; these are the ones that a
/// replica can come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum AccessDeniedReason {
    /// No such customer.
    CustomerNotFound,
    /// The customer was deleted.
    CustomerIsArchived,
    /// No list is known for that resource.
    CustomerResourceNotFound,
    /// No list is known, or an empty one.
    NoActiveSubscription,
    /// The list has no such feature.
    NoFeatureEntitlementInSubscription,
    /// The usage that is requested passes the limit.
    RequestedUsageExceedingLimit,
    /// A value that is requested is not among those granted.
    RequestedValuesMismatch,
    /// The credits behind it are used up.
    InsufficientCredits,
    /// The feature is of a type that this replica does not know.
    Unknown,
}

/// The numbers a decision was taken on, as far as the feature has such.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DecidedOn {
    /// Usage in the present period.
    pub current_usage: Option<Value>,
    /// The limit, or the value of a feature without a meter.
    pub usage_limit: Option<Value>,
    /// Usage has no limit.
    pub has_unlimited_usage: bool,
    /// The limit may be passed.
    pub has_soft_limit: bool,
    /// When the present usage period began.
    pub usage_period_start: Option<String>,
    /// When it ends.
    pub usage_period_end: Option<String>,
    /// The values that may be used.
    pub enum_values: Option<Vec<String>>,
    /// What is left of the credits behind it.
    pub remaining_balance: Option<Value>,
}

/// The answer to a check.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// None grants.
    pub denied: Option<AccessDeniedReason>,
    /// For people.
    pub reason: String,
    /// What it was decided on.
    pub decided_on: DecidedOn,
}

impl Decision {
    /// Whether access is granted.
    pub fn has_access(&self) -> bool {
        self.denied.is_none()
    }
}

/// Decides. Pure: the same view, request and moment always give the same answer.
pub fn decide(view: &AccessView, request: &AccessRequest, now: Timestamp) -> Decision {
    match before_the_feature(view, request) {
        Err((denied, reason)) => Decision { denied: Some(denied), reason, decided_on: DecidedOn::default() },
        Ok(entitlement) => {
            let (denied, reason) = match by_the_feature(entitlement, request, now) {
                Ok(reason) => (None, reason),
                Err((denied, reason)) => (Some(denied), reason),
            };
            Decision { denied, reason, decided_on: decided_on(entitlement, now) }
        }
    }
}

type Denial = (AccessDeniedReason, String);

/// Rows 1 to 4: whether there is anything to decide by.
fn before_the_feature<'a>(view: &'a AccessView, request: &AccessRequest) -> Result<&'a Entitlement, Denial> {
    use AccessDeniedReason as Reason;
    let AccessRequest { customer_id, feature_id, resource_id, .. } = request;
    match view.standing {
        Standing::Unknown => return Err((Reason::CustomerNotFound, format!("There is no customer {customer_id}."))),
        Standing::Archived => {
            return Err((Reason::CustomerIsArchived, format!("The customer {customer_id} was deleted (archived) in Stigg.")));
        }
        Standing::Live => {}
    }
    let scope = match resource_id {
        Some(resource_id) => format!("The resource {resource_id} of the customer {customer_id}"),
        None => format!("The customer {customer_id}"),
    };
    match (view.list, resource_id) {
        (None, Some(resource_id)) => {
            let reason = format!("The customer {customer_id} has no resource {resource_id} with entitlements of its own.");
            return Err((Reason::CustomerResourceNotFound, reason));
        }
        (None, None) => {
            let reason =
                format!("No list of entitlements has come for the customer {customer_id}, so it has no active subscription.");
            return Err((Reason::NoActiveSubscription, reason));
        }
        (Some(0), _) => {
            return Err((
                Reason::NoActiveSubscription,
                format!("{scope} has no active subscription: its list of entitlements is empty."),
            ));
        }
        (Some(_), _) => {}
    }
    match &view.feature {
        FeatureState::Granted(entitlement) => Ok(entitlement),
        FeatureState::Absent | FeatureState::Revoked => {
            let reason = format!("{scope} has no entitlement to the feature {feature_id} in its subscriptions.");
            Err((Reason::NoFeatureEntitlementInSubscription, reason))
        }
    }
}

/// Rows 5 to 11: what the entitlement says. Ok grants; both hold a reason for people.
fn by_the_feature(entitlement: &Entitlement, request: &AccessRequest, now: Timestamp) -> Result<String, Denial> {
    use AccessDeniedReason as Reason;
    let grant = &entitlement.grant;
    let feature_id = &request.feature_id;
    let has_soft_limit = grant.has_soft_limit.unwrap_or(false);
    if let Some(credits) = &grant.credit_balance {
        let balance = credits.remaining_balance.unwrap_or(0.0);
        if balance <= 0.0 && !has_soft_limit {
            return Err((Reason::InsufficientCredits, format!("The credits for the feature {feature_id} are used up.")));
        }
        if entitlement.usage_limit.is_none() {
            return Ok(format!("The feature {feature_id} is paid with credits, and {} are left.", to_number(balance)));
        }
    }
    match FeatureType::of(entitlement) {
        FeatureType::Boolean => Ok(format!("The feature {feature_id} is included.")),
        FeatureType::Enum => {
            let granted = grant.enum_values.as_deref().unwrap_or_default();
            match request.requested_values.iter().find(|value| !granted.contains(value)) {
                None => Ok(format!("The feature {feature_id} includes every requested value.")),
                Some(value) => Err((
                    Reason::RequestedValuesMismatch,
                    format!("The feature {feature_id} does not include the value {value}."),
                )),
            }
        }
        FeatureType::Unmetered => Ok(format!("The feature {feature_id} is included; its limit is a value, not enforced.")),
        FeatureType::Metered => metered(entitlement, request, now),
        FeatureType::Unknown => {
            Err((Reason::Unknown, format!("The feature {feature_id} is of a type that this replica does not know.")))
        }
    }
}

/// Rows 9 to 11.
fn metered(entitlement: &Entitlement, request: &AccessRequest, now: Timestamp) -> Result<String, Denial> {
    let feature_id = &request.feature_id;
    if entitlement.has_unlimited_usage {
        return Ok(format!("The feature {feature_id} has no limit."));
    }
    if entitlement.grant.has_soft_limit.unwrap_or(false) {
        return Ok(format!("The feature {feature_id} has a soft limit, which may be passed."));
    }
    let (usage, requested) = (entitlement.usage_at(now), request.requested_usage);
    let limit = entitlement.usage_limit.unwrap_or(0.0);
    let numbers = format!("{} used, {} requested, {} allowed", to_number(usage), to_number(requested), to_number(limit));
    if usage + requested <= limit {
        Ok(format!("The feature {feature_id} is within its limit: {numbers}."))
    } else {
        let reason = format!("The feature {feature_id} would pass its limit: {numbers}.");
        Err((AccessDeniedReason::RequestedUsageExceedingLimit, reason))
    }
}

enum FeatureType {
    Boolean,
    Enum,
    Unmetered,
    Metered,
    Unknown,
}

impl FeatureType {
    /// Case varies between Stigg's interfaces.
    fn of(entitlement: &Entitlement) -> Self {
        let feature = &entitlement.grant.feature;
        let is_type = |name: &str| feature.feature_type.as_deref().is_some_and(|kind| kind.eq_ignore_ascii_case(name));
        let has_meter = feature.meter_type.as_deref().is_some_and(|meter| !meter.eq_ignore_ascii_case("none"));
        if is_type("BOOLEAN") {
            Self::Boolean
        } else if is_type("ENUM") {
            Self::Enum
        } else if !is_type("NUMBER") {
            Self::Unknown
        } else if has_meter {
            Self::Metered
        } else {
            Self::Unmetered
        }
    }
}

fn decided_on(entitlement: &Entitlement, now: Timestamp) -> DecidedOn {
    let metered = matches!(FeatureType::of(entitlement), FeatureType::Metered);
    let bounds = entitlement.bounds_at(now);
    let grant = &entitlement.grant;
    DecidedOn {
        current_usage: metered.then(|| to_number(entitlement.usage_at(now))),
        usage_limit: entitlement.usage_limit.map(to_number),
        has_unlimited_usage: entitlement.has_unlimited_usage,
        has_soft_limit: grant.has_soft_limit.unwrap_or(false),
        usage_period_start: bounds.start.map(time::to_fixed_width),
        usage_period_end: bounds.end.map(time::to_fixed_width),
        enum_values: grant.enum_values.clone(),
        remaining_balance: grant.credit_balance.as_ref().and_then(|credits| credits.remaining_balance).map(to_number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{customer::Register, entitlement::merge, version::Version};
    use AccessDeniedReason::*;

    const NOW: &str = "2026-11-23T14:00:00Z";

    fn view(entitlement: &str) -> AccessView {
        let version = Version::new("2026-11-01T00:00:00Z".parse().unwrap(), "m");
        let grant = Register { version: version.clone(), value: serde_json::from_str(entitlement).unwrap() };
        AccessView { standing: Standing::Live, list: Some(1), feature: merge(Some(grant), None, &version) }
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
        decide(view, request, NOW.parse().unwrap()).denied
    }

    #[test]
    fn what_comes_before_the_feature_decides_in_the_order_of_the_sdk() {
        let whole = view(r#"{"feature":{"id":"f","featureType":"BOOLEAN"}}"#);
        let of_resource = AccessRequest { resource_id: Some(Id::try_from("r").unwrap()), ..request(0.0, &[]) };
        let plain = request(0.0, &[]);
        let empty = AccessView { list: None, feature: FeatureState::Absent, ..whole.clone() };
        for (view, request, expected) in [
            (AccessView { standing: Standing::Unknown, ..empty.clone() }, &of_resource, Some(CustomerNotFound)),
            (AccessView { standing: Standing::Archived, ..whole.clone() }, &plain, Some(CustomerIsArchived)),
            (empty.clone(), &of_resource, Some(CustomerResourceNotFound)),
            (empty.clone(), &plain, Some(NoActiveSubscription)),
            (AccessView { list: Some(0), ..whole.clone() }, &of_resource, Some(NoActiveSubscription)),
            (AccessView { feature: FeatureState::Absent, ..whole.clone() }, &plain, Some(NoFeatureEntitlementInSubscription)),
            (AccessView { feature: FeatureState::Revoked, ..whole.clone() }, &plain, Some(NoFeatureEntitlementInSubscription)),
            (whole, &plain, None),
        ] {
            assert_eq!(denied(&view, request), expected, "{view:?}");
        }
    }

    #[test]
    fn each_kind_of_feature_decides_by_its_row() {
        let metered = r#""feature":{"id":"f","featureType":"NUMBER","meterType":"Incremental"}"#;
        let value = r#""feature":{"id":"f","featureType":"NUMBER","meterType":"None"}"#;
        let boolean = r#""feature":{"id":"f","featureType":"BOOLEAN","status":"NEW"}"#;
        let list = r#""feature":{"id":"f","featureType":"ENUM"},"enumValues":["a","b"]"#;
        for (entitlement, usage, values, expected) in [
            // 5 and 5a
            (
                format!(r#"{metered},"creditBalance":{{"remainingBalance":0}},"usageLimit":9"#),
                0.0,
                vec![],
                Some(InsufficientCredits),
            ),
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
            // a type that is not known is no reason to grant
            (r#""feature":{"id":"f","featureType":"TENSOR"}"#.to_owned(), 0.0, vec![], Some(Unknown)),
            (r#""feature":{"id":"f"}"#.to_owned(), 0.0, vec![], Some(Unknown)),
        ] {
            assert_eq!(denied(&view(&format!("{{{entitlement}}}")), &request(usage, &values)), expected, "{entitlement}");
        }
    }

    #[test]
    fn the_decision_says_the_numbers_of_the_present_period() {
        let entitlement = r#"{"feature":{"id":"f","featureType":"NUMBER","meterType":"FLUCTUATING"},"usageLimit":3,"currentUsage":3,
            "usagePeriodAnchor":"2026-01-31T00:00:00Z","usagePeriodEnd":"2026-10-31T00:00:00Z","resetPeriod":"MONTH"}"#;
        let decision = decide(&view(entitlement), &request(4.0, &[]), NOW.parse().unwrap());
        assert_eq!(decision.reason, "The feature f would pass its limit: 0 used, 4 requested, 3 allowed.");
        let numbers = decision.decided_on;
        assert_eq!((numbers.current_usage, numbers.usage_limit), (Some(0.into()), Some(3.into())));
        assert_eq!(numbers.usage_period_start.as_deref(), Some("2026-10-31T00:00:00.000Z"));
        assert_eq!(numbers.usage_period_end.as_deref(), Some("2026-11-30T00:00:00.000Z"));
    }
}
