//! The columns of customers and subscriptions in orders, conditions and cursors.

use std::fmt::Debug;

use store::Index;

/// A column. Its values are strings, date-times in their fixed-width form, or null.
pub(crate) trait Column: Copy + Eq + Debug + Send + Sync + 'static {
    const PRIMARY_KEY: Self;

    /// The name in cursors.
    fn name(self) -> &'static str;

    /// The index that is sorted by these columns, ascending.
    fn index(columns: &[Self]) -> Option<Index>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CustomerColumn {
    CustomerId,
    CreatedAt,
    UpdatedAt,
    Name,
    Email,
    BillingId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SubscriptionColumn {
    SubscriptionId,
    CustomerId,
    CreatedAt,
    UpdatedAt,
    Status,
    PlanId,
    PlanName,
    BillingId,
    StartDate,
    EndDate,
    CancellationDate,
    TrialEndDate,
}

impl Column for CustomerColumn {
    const PRIMARY_KEY: Self = Self::CustomerId;

    fn name(self) -> &'static str {
        match self {
            Self::CustomerId => "customer_id",
            Self::CreatedAt => "created_at",
            Self::UpdatedAt => "updated_at",
            Self::Name => "name",
            Self::Email => "email",
            Self::BillingId => "billing_id",
        }
    }

    fn index(columns: &[Self]) -> Option<Index> {
        match columns {
            [Self::CustomerId] => Some(Index::Customers),
            [Self::CreatedAt, Self::CustomerId] => Some(Index::CustomersByCreation),
            _ => None,
        }
    }
}

impl Column for SubscriptionColumn {
    const PRIMARY_KEY: Self = Self::SubscriptionId;

    fn name(self) -> &'static str {
        match self {
            Self::SubscriptionId => "subscription_id",
            Self::CustomerId => "customer_id",
            Self::CreatedAt => "created_at",
            Self::UpdatedAt => "updated_at",
            Self::Status => "status",
            Self::PlanId => "plan_id",
            Self::PlanName => "plan_name",
            Self::BillingId => "billing_id",
            Self::StartDate => "start_date",
            Self::EndDate => "end_date",
            Self::CancellationDate => "cancellation_date",
            Self::TrialEndDate => "trial_end_date",
        }
    }

    fn index(columns: &[Self]) -> Option<Index> {
        match columns {
            [Self::SubscriptionId] => Some(Index::Subscriptions),
            [Self::CustomerId, Self::SubscriptionId] => Some(Index::SubscriptionsByCustomer),
            [Self::CreatedAt, Self::SubscriptionId] => Some(Index::SubscriptionsByCreation),
            _ => None,
        }
    }
}
