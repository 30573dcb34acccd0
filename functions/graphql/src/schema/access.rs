//! The field checkAccess.

use async_graphql::{Enum, SimpleObject};
use domain::{
    access::{AccessDeniedReason, AccessRequest, Decision, EntitlementSnapshot, decide},
    id::{Id, IdError},
};
use serde_json::Value;

use super::scalar::Datetime;
use crate::{error::ApiError, load::Loaders};

/// Whether a customer may use a feature, why, and the numbers that it was decided on.
#[derive(SimpleObject)]
pub(crate) struct AccessDecision {
    /// Whether it may.
    has_access: bool,
    /// Why, for people.
    reason: String,
    /// Why not, as Stigg's SDKs name it; null where access is granted.
    access_denied_reason: Option<AccessDenied>,
    /// Usage in the present usage period.
    current_usage: Option<f64>,
    /// The limit, or the value of a feature without a meter.
    usage_limit: Option<f64>,
    /// Whether usage has no limit.
    has_unlimited_usage: bool,
    /// Whether the limit may be passed.
    has_soft_limit: bool,
    /// When the present usage period began.
    usage_period_start: Option<Datetime>,
    /// When it ends.
    usage_period_end: Option<Datetime>,
    /// The values that may be used.
    enum_values: Option<Vec<String>>,
    /// What is left of the credits behind it.
    remaining_balance: Option<f64>,
}

/// Why access is denied, as Stigg's SDKs name it.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(rename_items = "PascalCase", remote = "AccessDeniedReason", name = "AccessDeniedReason")]
pub(crate) enum AccessDenied {
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

/// What is asked, if it can be.
pub(super) fn request(
    customer_id: String,
    feature_id: String,
    requested_usage: f64,
    requested_values: Vec<String>,
    resource_id: Option<String>,
) -> Result<AccessRequest, ApiError> {
    let id = |name, text: String| Id::try_from(text).map_err(|error: IdError| ApiError::argument(name, error.to_string()));
    if !(requested_usage.is_finite() && requested_usage >= 0.0) {
        return Err(ApiError::argument("requestedUsage", "must be a number that is 0 or more"));
    }
    Ok(AccessRequest {
        customer_id: id("customerId", customer_id)?,
        feature_id: id("featureId", feature_id)?,
        resource_id: resource_id.map(|text| id("resourceId", text)).transpose()?,
        requested_usage,
        requested_values,
    })
}

/// The decision of POST /check-access, from the same code.
pub(super) async fn check(loaders: &Loaders, request: &AccessRequest) -> Result<AccessDecision, ApiError> {
    let view = loaders.store.access_view(request).await?;
    let decision = decide(&view, request, loaders.now);
    let has_access = decision.has_access();
    let Decision { denied, reason, snapshot, .. } = decision;
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
    Ok(AccessDecision {
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
    })
}
