//! Decisions as JSON.

use domain::{
    access::{AccessDeniedReason, AccessRequest, DecidedOn, Decision},
    entitlement::to_number,
};
use serde::Serialize;

/// A decision as `/check-access` answers it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Decided<'a> {
    has_access: bool,
    reason: &'a str,
    access_denied_reason: Option<AccessDeniedReason>,
    customer_id: &'a str,
    feature_id: &'a str,
    resource_id: Option<&'a str>,
    requested_usage: serde_json::Value,
    requested_values: &'a [String],
    #[serde(flatten)]
    decided_on: &'a DecidedOn,
}

impl<'a> Decided<'a> {
    pub(crate) fn new(request: &'a AccessRequest, decision: &'a Decision) -> Self {
        Self {
            has_access: decision.has_access(),
            reason: &decision.reason,
            access_denied_reason: decision.denied,
            customer_id: request.customer_id.as_str(),
            feature_id: request.feature_id.as_str(),
            resource_id: request.resource_id.as_ref().map(|id| id.as_str()),
            requested_usage: to_number(request.requested_usage),
            requested_values: &request.requested_values,
            decided_on: &decision.decided_on,
        }
    }
}

/// The decisions of a batch, in the order of its checks.
#[derive(Serialize)]
pub(crate) struct Batch<'a> {
    pub(crate) decisions: Vec<Decided<'a>>,
}
