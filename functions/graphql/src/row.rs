//! Customers and subscriptions in their visible state.

use std::sync::{Arc, OnceLock};

use domain::{
    customer::{self, CustomerRegisters},
    entitlement::ScopeRegisters,
    id::Id,
    subscription::{self, SubscriptionRegisters},
};

use crate::{
    column::{Column, CustomerColumn, SubscriptionColumn},
    json::Json,
};

/// A row of a list.
pub(crate) trait Row: Clone + Send + Sync + 'static {
    type Column: Column;

    /// The primary key.
    fn id(&self) -> &Id;

    fn value(&self, column: Self::Column) -> Option<&str>;
}

/// A live customer.
#[derive(Debug)]
pub(crate) struct CustomerRow {
    pub(crate) id: Id,
    pub(crate) registers: CustomerRegisters,
    /// The customer level. Empty unless the request reads entitlements.
    pub(crate) scope: ScopeRegisters,
    pub(crate) visible: customer::Customer,
    /// Cache of the `entitlements` field: one query may select it many times.
    pub(crate) entitlements: OnceLock<Json>,
}

/// A visible subscription of a live customer.
#[derive(Debug)]
pub(crate) struct SubscriptionRow {
    pub(crate) id: Id,
    pub(crate) visible: subscription::Subscription,
    pub(crate) customer: Arc<CustomerRow>,
}

impl CustomerRow {
    /// None unless the customer is live.
    pub(crate) fn from_store(store::CustomerRow { customer_id: id, registers, scope }: store::CustomerRow) -> Option<Arc<Self>> {
        let visible = registers.visible()?;
        Some(Arc::new(Self { id, registers, scope, visible, entitlements: OnceLock::new() }))
    }
}

impl SubscriptionRow {
    /// None unless the subscription is visible and belongs to this customer.
    pub(crate) fn new(id: Id, registers: &SubscriptionRegisters, customer: &Arc<CustomerRow>) -> Option<Arc<Self>> {
        let visible = registers.visible(customer.registers.tombstone.as_ref())?;
        let customer = (visible.customer_id == customer.id).then(|| Arc::clone(customer))?;
        Some(Arc::new(Self { id, visible, customer }))
    }
}

impl Row for Arc<CustomerRow> {
    type Column = CustomerColumn;

    fn id(&self) -> &Id {
        &self.id
    }

    fn value(&self, column: CustomerColumn) -> Option<&str> {
        let customer::Customer { profile, created_at, updated_at } = &self.visible;
        match column {
            CustomerColumn::CustomerId => Some(self.id.as_str()),
            CustomerColumn::CreatedAt => created_at.as_deref(),
            CustomerColumn::UpdatedAt => Some(updated_at),
            CustomerColumn::Name => profile.name.as_deref(),
            CustomerColumn::Email => profile.email.as_deref(),
            CustomerColumn::BillingId => profile.billing_id.as_deref(),
        }
    }
}

impl Row for Arc<SubscriptionRow> {
    type Column = SubscriptionColumn;

    fn id(&self) -> &Id {
        &self.id
    }

    fn value(&self, column: SubscriptionColumn) -> Option<&str> {
        let subscription::Subscription { dates, details, .. } = &self.visible;
        match column {
            SubscriptionColumn::SubscriptionId => Some(self.id.as_str()),
            SubscriptionColumn::CustomerId => Some(self.visible.customer_id.as_str()),
            SubscriptionColumn::CreatedAt => self.visible.created_at.as_deref(),
            SubscriptionColumn::UpdatedAt => Some(&self.visible.updated_at),
            SubscriptionColumn::Status => Some(&self.visible.status),
            SubscriptionColumn::PlanId => Some(details.plan_id.as_str()),
            SubscriptionColumn::PlanName => Some(&details.plan_name),
            SubscriptionColumn::BillingId => details.billing_id.as_deref(),
            SubscriptionColumn::StartDate => Some(&dates.start_date),
            SubscriptionColumn::EndDate => dates.end_date.as_deref(),
            SubscriptionColumn::CancellationDate => dates.cancellation_date.as_deref(),
            SubscriptionColumn::TrialEndDate => dates.trial_end_date.as_deref(),
        }
    }
}
