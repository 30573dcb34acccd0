//! A customer's scope, read with one request, and the decisions on its features.

use domain::{
    access::{self, AccessDeniedReason, AccessRequest, AccessView, Decision},
    customer::CustomerRegisters,
    entitlement::{Entitlement, ScopeRegisters},
    id::Id,
    time,
};
use jiff::Timestamp;
use store::{Store, StoreError};

/// The registers of the customer level or of one resource.
pub(crate) struct Scope {
    pub(crate) customer_id: Id,
    pub(crate) resource_id: Option<Id>,
    pub(crate) registers: ScopeRegisters,
    customer: CustomerRegisters<(), ()>,
    /// The time of the decisions.
    now: Timestamp,
}

/// A feature of the newest list, with the decision on a request without usage or values.
pub(crate) struct Feature<'a> {
    pub(crate) request: AccessRequest,
    pub(crate) decision: Decision,
    pub(crate) entitlement: Entitlement,
    /// The entitlement's JSON as stored.
    pub(crate) stored: &'a str,
}

impl Scope {
    /// Reads the whole scope. Always one request.
    pub(crate) async fn read(
        store: &Store,
        customer_id: Id,
        resource_id: Option<Id>,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let (customer, registers) = store.scope(&customer_id, resource_id.as_ref()).await?;
        Ok(Self { customer_id, resource_id, registers, customer, now })
    }

    /// Decides on a request in this scope. The feature need not be in the list.
    pub(crate) fn decide(&self, request: &AccessRequest) -> Result<Decision, StoreError> {
        let view = AccessView::of(&self.customer, &self.registers, &request.feature_id)?;
        Ok(access::decide(&view, request, self.now))
    }

    /// Decides on a request about one of the scope's features. Returns why it is denied, and the feature with this decision, if
    /// it is in `features`.
    pub(crate) fn check<'a>(
        &self,
        request: &AccessRequest,
        features: Vec<Feature<'a>>,
    ) -> Result<(Option<AccessDeniedReason>, Option<Feature<'a>>), StoreError> {
        let decision = self.decide(request)?;
        let denied = decision.denied;
        let found = features.into_iter().find(|feature| feature.request.feature_id == request.feature_id);
        Ok((denied, found.map(|feature| Feature { decision, ..feature })))
    }

    /// Whether the feature is in the newest list.
    pub(crate) fn has_feature(&self, feature_id: &Id) -> bool {
        let list = self.registers.visible_list(self.customer.tombstone.as_ref());
        list.is_some_and(|list| list.value.get(feature_id.as_str()).is_some())
    }

    /// The features of the newest list, in the order of ids. Empty if the customer is not live.
    pub(crate) fn features(&self) -> Result<Vec<Feature<'_>>, StoreError> {
        let views = AccessView::all(&self.customer, &self.registers)?;
        let features = views.into_iter().filter_map(|(feature_id, view, stored)| {
            let request = self.request(feature_id);
            let decision = access::decide(&view, &request, self.now);
            view.entitlement.map(|entitlement| Feature { request, decision, entitlement, stored })
        });
        Ok(features.collect())
    }

    /// Why every feature of the scope is denied. None if the decision depends on the feature.
    pub(crate) fn denial(&self) -> Option<AccessDeniedReason> {
        let list = self.registers.visible_list(self.customer.tombstone.as_ref()).map(|list| list.value.len());
        access::scope_denial(self.customer.state(), list, self.resource_id.is_some())
    }

    pub(crate) fn now_text(&self) -> String {
        time::to_fixed_width(self.now)
    }

    /// The time of the newest list.
    pub(crate) fn list_time(&self) -> Option<&str> {
        let list = self.registers.visible_list(self.customer.tombstone.as_ref());
        list.map(|list| list.version.time_text())
    }

    /// The time of the list or of the measurement, whichever the entitlement's usage comes from.
    pub(crate) fn usage_time(&self, feature_id: &Id, entitlement: &Entitlement) -> Option<&str> {
        let usage = self.registers.usage.get(feature_id).filter(|_| entitlement.is_measured);
        usage.map_or_else(|| self.list_time(), |usage| Some(usage.version.time_text()))
    }

    /// The time of the list or of the balance event, whichever the entitlement's credits come from.
    pub(crate) fn balance_time(&self, currency_id: &str, entitlement: &Entitlement) -> Option<&str> {
        let balance = self.registers.balances.get(currency_id).filter(|_| entitlement.is_balance_newer);
        balance.map_or_else(|| self.list_time(), |balance| Some(balance.version.time_text()))
    }

    /// A check of a feature in this scope, without usage or values.
    pub(crate) fn request(&self, feature_id: Id) -> AccessRequest {
        AccessRequest {
            customer_id: self.customer_id.clone(),
            feature_id,
            resource_id: self.resource_id.clone(),
            requested_usage: 0.0,
            requested_values: Vec::new(),
        }
    }
}
