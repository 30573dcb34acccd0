//! Access decisions, by the rules of Stigg's own SDKs.
//!
//! Source: the order of conditions in Stigg's published SDKs. The first rule that applies decides.

mod explain;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::{
    customer::{CustomerRegisters, CustomerState},
    entitlement::{Entitlement, Grant, ScopeRegisters, UnreadableEntitlement, to_number},
    id::Id,
    time,
};

pub use explain::{Explanation, Rule, Step, explain};

/// A check: may this customer use this feature?
#[derive(Clone, Debug, PartialEq)]
pub struct AccessRequest {
    pub customer_id: Id,
    pub feature_id: Id,
    /// None checks the customer level, never both.
    pub resource_id: Option<Id>,
    /// Additional usage of a metered feature: finite, not negative.
    pub requested_usage: f64,
    /// Values of an ENUM feature.
    pub requested_values: Vec<String>,
}

/// The visible state that a check depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessView {
    pub customer_state: CustomerState,
    /// Number of features in the scope's newest list. None if no list was received.
    pub list: Option<usize>,
    /// The feature's entitlement, if the newest list contains it.
    pub entitlement: Option<Entitlement>,
}

impl AccessView {
    /// The view of one feature in one scope. Registers at or below the customer's tombstone count as absent.
    pub fn of<P, E>(
        customer: &CustomerRegisters<P, E>,
        scope: &ScopeRegisters,
        feature_id: &Id,
    ) -> Result<Self, UnreadableEntitlement> {
        let tombstone = customer.tombstone.as_ref();
        Ok(Self {
            customer_state: customer.state(),
            list: scope.visible_list(tombstone).map(|list| list.value.len()),
            entitlement: scope.entitlement(feature_id, tombstone)?,
        })
    }

    /// The views of all features in a scope's list, with their stored JSON, in the order of ids. Empty if the customer is
    /// not live.
    pub fn all<'a, P, E>(
        customer: &CustomerRegisters<P, E>,
        scope: &'a ScopeRegisters,
    ) -> Result<Vec<(Id, Self, &'a str)>, UnreadableEntitlement> {
        let customer_state = customer.state();
        if customer_state != CustomerState::Live {
            return Ok(Vec::new());
        }
        let entitlements = scope.entitlements(customer.tombstone.as_ref())?;
        let list = Some(entitlements.len());
        let view = |(id, entitlement, json)| (id, Self { customer_state, list, entitlement: Some(entitlement) }, json);
        Ok(entitlements.into_iter().map(view).collect())
    }
}

/// Why access is denied, as Stigg's SDKs name it. The SDKs have more reasons; a replica can only reach these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum AccessDeniedReason {
    CustomerNotFound,
    /// The customer was deleted.
    CustomerIsArchived,
    /// No list was received for the resource.
    CustomerResourceNotFound,
    /// No list was received, or it is empty.
    NoActiveSubscription,
    /// The feature is not in the list.
    NoFeatureEntitlementInSubscription,
    RequestedUsageExceedingLimit,
    /// A requested value is not granted.
    RequestedValuesMismatch,
    /// The credits that pay for the feature are used up.
    InsufficientCredits,
    /// The feature has no type, or one that this replica does not support.
    Unknown,
}

impl AccessDeniedReason {
    /// The reason as it is serialized.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CustomerNotFound => "CustomerNotFound",
            Self::CustomerIsArchived => "CustomerIsArchived",
            Self::CustomerResourceNotFound => "CustomerResourceNotFound",
            Self::NoActiveSubscription => "NoActiveSubscription",
            Self::NoFeatureEntitlementInSubscription => "NoFeatureEntitlementInSubscription",
            Self::RequestedUsageExceedingLimit => "RequestedUsageExceedingLimit",
            Self::RequestedValuesMismatch => "RequestedValuesMismatch",
            Self::InsufficientCredits => "InsufficientCredits",
            Self::Unknown => "Unknown",
        }
    }
}

/// The entitlement's state that a decision is based on. Empty if there is no entitlement.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EntitlementSnapshot {
    /// Usage in the current period, of a metered feature.
    pub current_usage: Option<Value>,
    /// The limit; of a NUMBER feature without a meter, its value.
    pub usage_limit: Option<Value>,
    pub has_unlimited_usage: bool,
    /// Usage may exceed the limit.
    pub has_soft_limit: bool,
    /// Start of the current usage period.
    pub usage_period_start: Option<String>,
    pub usage_period_end: Option<String>,
    /// The values granted of an ENUM feature.
    pub enum_values: Option<Vec<String>>,
    /// Credits left.
    pub remaining_balance: Option<Value>,
}

/// The answer to a check.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The rule that decided.
    pub rule: Rule,
    /// None if access is granted.
    pub denied: Option<AccessDeniedReason>,
    /// A sentence for people.
    pub reason: String,
    pub snapshot: EntitlementSnapshot,
}

impl Decision {
    pub fn has_access(&self) -> bool {
        self.denied.is_none()
    }
}

/// A decision and its request as JSON: the body of `/check-access`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DecisionJson<'a> {
    has_access: bool,
    reason: &'a str,
    access_denied_reason: Option<AccessDeniedReason>,
    customer_id: &'a Id,
    feature_id: &'a Id,
    resource_id: Option<&'a Id>,
    requested_usage: Value,
    requested_values: &'a [String],
    #[serde(flatten)]
    snapshot: &'a EntitlementSnapshot,
}

impl<'a> DecisionJson<'a> {
    pub fn new(request: &'a AccessRequest, decision: &'a Decision) -> Self {
        Self {
            has_access: decision.has_access(),
            reason: &decision.reason,
            access_denied_reason: decision.denied,
            customer_id: &request.customer_id,
            feature_id: &request.feature_id,
            resource_id: request.resource_id.as_ref(),
            requested_usage: to_number(request.requested_usage),
            requested_values: &request.requested_values,
            snapshot: &decision.snapshot,
        }
    }
}

/// Decides. Pure: the same view, request and time always give the same answer.
pub fn decide(view: &AccessView, request: &AccessRequest, now: Timestamp) -> Decision {
    let entitlement = match entitlement_of(view, request) {
        Ok(entitlement) => entitlement,
        Err((rule, denied, reason)) => {
            return Decision { rule, denied: Some(denied), reason, snapshot: EntitlementSnapshot::default() };
        }
    };
    let (rule, denied, reason) = decide_on_entitlement(entitlement, request, now);
    Decision { rule, denied, reason, snapshot: snapshot(entitlement, now) }
}

/// Whether a granted check would be denied if it requested one more. False for features without a meter, whose decision does
/// not depend on usage.
pub fn denies_one_more(view: &AccessView, request: &AccessRequest, now: Timestamp) -> bool {
    let one_more = AccessRequest { requested_usage: request.requested_usage + 1.0, ..request.clone() };
    decide(view, request, now).has_access() && !decide(view, &one_more, now).has_access()
}

/// Why [`decide`] denies every feature of a scope. None if the decision depends on the feature. `list` is the number of
/// features in the scope's newest list.
pub fn scope_denial(customer: CustomerState, list: Option<usize>, is_resource: bool) -> Option<AccessDeniedReason> {
    scope_rule(customer, list, is_resource).map(|(_, denied)| denied)
}

/// Rules 1 to 3a.
fn scope_rule(customer: CustomerState, list: Option<usize>, is_resource: bool) -> Option<(Rule, AccessDeniedReason)> {
    match (customer, list) {
        (CustomerState::Unknown, _) => Some((Rule::UnknownCustomer, AccessDeniedReason::CustomerNotFound)),
        (CustomerState::Archived, _) => Some((Rule::ArchivedCustomer, AccessDeniedReason::CustomerIsArchived)),
        (CustomerState::Live, None) if is_resource => Some((Rule::NoResource, AccessDeniedReason::CustomerResourceNotFound)),
        (CustomerState::Live, None | Some(0)) => Some((Rule::NoList, AccessDeniedReason::NoActiveSubscription)),
        (CustomerState::Live, Some(_)) => None,
    }
}

/// Rules 1 to 4: the entitlement to decide on, or the rule that denies before there is one, with its reason.
fn entitlement_of<'a>(
    view: &'a AccessView,
    request: &AccessRequest,
) -> Result<&'a Entitlement, (Rule, AccessDeniedReason, String)> {
    use AccessDeniedReason as Denied;
    let AccessRequest { customer_id, feature_id, resource_id, .. } = request;
    let scope = || match resource_id {
        Some(resource_id) => format!("The resource {resource_id} of the customer {customer_id}"),
        None => format!("The customer {customer_id}"),
    };
    let (rule, denied) = match (scope_rule(view.customer_state, view.list, resource_id.is_some()), &view.entitlement) {
        (None, Some(entitlement)) => return Ok(entitlement),
        (None, None) => (Rule::NotInList, Denied::NoFeatureEntitlementInSubscription),
        (Some(denial), _) => denial,
    };
    let reason = match (rule, resource_id) {
        (Rule::UnknownCustomer, _) => format!("There is no customer {customer_id}."),
        (Rule::ArchivedCustomer, _) => format!("The customer {customer_id} was deleted (archived) in Stigg."),
        (Rule::NoResource, Some(resource_id)) => {
            format!("The customer {customer_id} has no resource {resource_id} with entitlements of its own.")
        }
        (Rule::NoList, None) if view.list.is_none() => {
            format!("No list of entitlements was received for the customer {customer_id}. That counts as no active subscription.")
        }
        (Rule::NoList, _) => format!("{} has no active subscription: its list of entitlements is empty.", scope()),
        _ => format!("{} has no entitlement to the feature {feature_id} in its subscriptions.", scope()),
    };
    Err((rule, denied, reason))
}

/// Rules 5 to 11. Returns the rule that decides, why it denies (None grants), and a reason for people.
fn decide_on_entitlement(
    entitlement: &Entitlement,
    request: &AccessRequest,
    now: Timestamp,
) -> (Rule, Option<AccessDeniedReason>, String) {
    use AccessDeniedReason as Denied;
    let AccessRequest { feature_id, requested_usage, requested_values, .. } = request;
    let grant = &entitlement.grant;
    let (is_unlimited, has_soft_limit) = (entitlement.has_unlimited_usage(), entitlement.has_soft_limit());
    if let Some(balance) = &entitlement.balance {
        if balance.remaining_balance <= 0.0 && !has_soft_limit {
            let reason = format!("The credits for the feature {feature_id} are used up.");
            return (Rule::CreditsUsedUp, Some(Denied::InsufficientCredits), reason);
        }
        if grant.usage_limit.is_none() {
            let left = to_number(balance.remaining_balance);
            return (Rule::CreditsLeft, None, format!("The feature {feature_id} is paid with credits, and {left} are left."));
        }
    }
    match FeatureType::of(grant) {
        FeatureType::Boolean => (Rule::Boolean, None, format!("The feature {feature_id} is included.")),
        FeatureType::Enum => {
            let granted = grant.enum_values.as_deref().unwrap_or_default();
            match requested_values.iter().find(|value| !granted.contains(value)) {
                None => (Rule::Enum, None, format!("The feature {feature_id} includes every requested value.")),
                Some(value) => {
                    let reason = format!("The feature {feature_id} does not include the value {value}.");
                    (Rule::Enum, Some(Denied::RequestedValuesMismatch), reason)
                }
            }
        }
        FeatureType::Unknown => {
            let reason = match &grant.feature.feature_type {
                Some(kind) => format!("The feature {feature_id} has the type {kind}, which this replica does not support."),
                None => format!("The feature {feature_id} has no featureType in its list."),
            };
            (Rule::UnknownType, Some(Denied::Unknown), reason)
        }
        FeatureType::Unmetered => {
            (Rule::Unmetered, None, format!("The feature {feature_id} is included; its limit is a value, not enforced."))
        }
        FeatureType::Metered if is_unlimited => (Rule::Unlimited, None, format!("The feature {feature_id} has no limit.")),
        FeatureType::Metered if has_soft_limit => {
            (Rule::Unlimited, None, format!("The feature {feature_id} has a soft limit, which may be passed."))
        }
        FeatureType::Metered => {
            let (usage, limit) = (entitlement.usage_at(now), grant.usage_limit.unwrap_or(0.0));
            let numbers = used_requested_allowed(entitlement, request, now);
            if usage + requested_usage <= limit {
                (Rule::WithinLimit, None, format!("The feature {feature_id} is within its limit: {numbers}."))
            } else {
                let reason = format!("The feature {feature_id} would pass its limit: {numbers}.");
                (Rule::BeyondLimit, Some(Denied::RequestedUsageExceedingLimit), reason)
            }
        }
    }
}

fn used_requested_allowed(entitlement: &Entitlement, request: &AccessRequest, now: Timestamp) -> String {
    let (usage, limit) = (to_number(entitlement.usage_at(now)), to_number(entitlement.grant.usage_limit.unwrap_or(0.0)));
    format!("{usage} used, {} requested, {limit} allowed", to_number(request.requested_usage))
}

/// A feature's type, as far as the rules distinguish types.
enum FeatureType {
    Boolean,
    Enum,
    /// NUMBER without a meter.
    Unmetered,
    /// NUMBER with a meter.
    Metered,
    Unknown,
}

impl FeatureType {
    /// Ignores case, which varies between Stigg's interfaces.
    fn of(grant: &Grant) -> Self {
        let feature = &grant.feature;
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

fn snapshot(entitlement: &Entitlement, now: Timestamp) -> EntitlementSnapshot {
    let grant = &entitlement.grant;
    let is_metered = matches!(FeatureType::of(grant), FeatureType::Metered);
    let period = entitlement.bounds_at(now);
    EntitlementSnapshot {
        current_usage: is_metered.then(|| to_number(entitlement.usage_at(now))),
        usage_limit: grant.usage_limit.map(to_number),
        has_unlimited_usage: entitlement.has_unlimited_usage(),
        has_soft_limit: entitlement.has_soft_limit(),
        usage_period_start: period.start.map(time::to_fixed_width),
        usage_period_end: period.end.map(time::to_fixed_width),
        enum_values: grant.enum_values.clone(),
        remaining_balance: entitlement.balance.as_ref().map(|balance| to_number(balance.remaining_balance)),
    }
}
