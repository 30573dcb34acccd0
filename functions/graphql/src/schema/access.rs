//! The field `checkAccess`.

use async_graphql::{Enum, SimpleObject};
use domain::{
    access::{AccessDeniedReason, AccessRequest, Decision, EntitlementSnapshot, decide},
    id::{Id, IdError},
};
use serde_json::Value;

use super::scalar::Datetime;
use crate::{error::ApiError, load::Loaders};

/// An access decision, its reason and the values that it is based on.
#[derive(SimpleObject)]
pub(crate) struct AccessDecision {
    /// Whether access is granted.
    has_access: bool,
    /// The reason, for people.
    reason: String,
    /// Why access is denied, as Stigg's SDKs name it; null if it is granted.
    access_denied_reason: Option<AccessDenied>,
    /// Usage in the current usage period.
    current_usage: Option<f64>,
    /// The limit, or the value of a NUMBER feature without a meter.
    usage_limit: Option<f64>,
    /// Whether usage is unlimited.
    has_unlimited_usage: bool,
    /// Whether usage may exceed the limit.
    has_soft_limit: bool,
    /// Start of the current usage period.
    usage_period_start: Option<Datetime>,
    /// End of the current usage period.
    usage_period_end: Option<Datetime>,
    /// The granted values of an ENUM feature.
    enum_values: Option<Vec<String>>,
    /// Credits left, for credit-based features.
    remaining_balance: Option<f64>,
}

/// Why access is denied, as Stigg's SDKs name it.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(rename_items = "PascalCase", remote = "AccessDeniedReason", name = "AccessDeniedReason")]
pub(crate) enum AccessDenied {
    /// The customer does not exist.
    CustomerNotFound,
    /// The customer was deleted.
    CustomerIsArchived,
    /// The resource has no list of entitlements.
    CustomerResourceNotFound,
    /// The customer has no list of entitlements, or an empty one.
    NoActiveSubscription,
    /// The feature is not in the list.
    NoFeatureEntitlementInSubscription,
    /// The requested usage exceeds the limit.
    RequestedUsageExceedingLimit,
    /// A requested value is not granted.
    RequestedValuesMismatch,
    /// There are no credits left.
    InsufficientCredits,
    /// The feature type is unknown.
    Unknown,
}

/// Checks the arguments.
pub(super) fn request(
    customer_id: String,
    feature_id: String,
    requested_usage: f64,
    requested_values: Vec<String>,
    resource_id: Option<String>,
) -> Result<AccessRequest, ApiError> {
    let id = |name, text: String| Id::try_from(text).map_err(|error: IdError| ApiError::argument(name, error.to_string()));
    if !(requested_usage.is_finite() && requested_usage >= 0.0) {
        return Err(ApiError::argument("requestedUsage", "must be 0 or more"));
    }
    Ok(AccessRequest {
        customer_id: id("customerId", customer_id)?,
        feature_id: id("featureId", feature_id)?,
        resource_id: resource_id.map(|text| id("resourceId", text)).transpose()?,
        requested_usage,
        requested_values,
    })
}

pub(super) async fn check(loaders: &Loaders, request: &AccessRequest) -> Result<AccessDecision, ApiError> {
    let view = loaders.store.access_view(request).await?;
    Ok(decide(&view, request, loaders.now).into())
}

impl From<Decision> for AccessDecision {
    fn from(decision: Decision) -> Self {
        let has_access = decision.has_access();
        // Exhaustive, so that a new member of the decision has to be added to the schema.
        let Decision { rule: _, denied, reason, snapshot } = decision;
        let EntitlementSnapshot {
            current_usage,
            usage_limit,
            has_unlimited_usage,
            has_soft_limit,
            usage_period_start,
            usage_period_end,
            enum_values,
            remaining_balance,
        } = snapshot;
        let number = |number: Option<Value>| number.as_ref().and_then(Value::as_f64);
        AccessDecision {
            has_access,
            reason,
            access_denied_reason: denied.map(AccessDenied::from),
            current_usage: number(current_usage),
            usage_limit: number(usage_limit),
            has_unlimited_usage,
            has_soft_limit,
            usage_period_start: usage_period_start.map(Datetime),
            usage_period_end: usage_period_end.map(Datetime),
            enum_values,
            remaining_balance: number(remaining_balance),
        }
    }
}
