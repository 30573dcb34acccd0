//! The rows of the two lists, as readers see them.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, OnceLock},
};

use async_graphql::dataloader::Loader as _;

use domain::{
    customer::{self, CustomerRegisters},
    entitlement::ScopeRegisters,
    id::Id,
    subscription,
};
use store::{self, Index, Projection};

use crate::{
    error::ApiError,
    load::Loaders,
    page::{Column, Row},
    schema::Json,
};

/// A live customer.
#[derive(Debug)]
pub(crate) struct CustomerRow {
    pub(crate) id: Id,
    pub(crate) registers: CustomerRegisters,
    /// The customer level, empty unless the request needs entitlements.
    pub(crate) scope: ScopeRegisters,
    pub(crate) shown: customer::Customer,
    /// The customer level in Stigg's JSON, once a field has asked for it: the row may be selected often.
    pub(crate) entitlements: OnceLock<Json>,
}

/// A visible subscription of a live customer.
#[derive(Debug)]
pub(crate) struct SubscriptionRow {
    pub(crate) id: Id,
    pub(crate) shown: subscription::Subscription,
    pub(crate) customer: Arc<CustomerRow>,
}

/// The columns of customers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CustomerColumn {
    CustomerId,
    CreatedAt,
    UpdatedAt,
    Name,
    Email,
    BillingId,
}

/// The columns of subscriptions.
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

impl Row for Arc<CustomerRow> {
    type Column = CustomerColumn;

    fn id(&self) -> &Id {
        &self.id
    }

    fn value(&self, column: CustomerColumn) -> Option<&str> {
        let customer::Customer { profile, created_at, updated_at } = &self.shown;
        match column {
            CustomerColumn::CustomerId => Some(self.id.as_str()),
            CustomerColumn::CreatedAt => created_at.as_deref(),
            CustomerColumn::UpdatedAt => Some(updated_at),
            CustomerColumn::Name => profile.name.as_deref(),
            CustomerColumn::Email => profile.email.as_deref(),
            CustomerColumn::BillingId => profile.billing_id.as_deref(),
        }
    }

    async fn load(loaders: &Loaders, ids: Vec<Id>) -> Result<HashMap<Id, Self>, ApiError> {
        Ok(loaders.customers.load_many(ids).await?)
    }

    async fn read(loaders: &Loaders, ids: &[Id], parts: Projection) -> Result<HashMap<Id, Self>, ApiError> {
        let rows = loaders.store.customers(ids, parts).await?;
        Ok(rows.into_iter().filter_map(|row| Some((row.customer_id.clone(), CustomerRow::of(row)?))).collect())
    }
}

impl Row for Arc<SubscriptionRow> {
    type Column = SubscriptionColumn;

    fn id(&self) -> &Id {
        &self.id
    }

    fn value(&self, column: SubscriptionColumn) -> Option<&str> {
        let subscription::Subscription { dates, details, .. } = &self.shown;
        match column {
            SubscriptionColumn::SubscriptionId => Some(self.id.as_str()),
            SubscriptionColumn::CustomerId => Some(self.shown.customer_id.as_str()),
            SubscriptionColumn::CreatedAt => self.shown.created_at.as_deref(),
            SubscriptionColumn::UpdatedAt => Some(&self.shown.updated_at),
            SubscriptionColumn::Status => Some(&self.shown.status),
            SubscriptionColumn::PlanId => Some(details.plan_id.as_str()),
            SubscriptionColumn::PlanName => Some(&details.plan_name),
            SubscriptionColumn::BillingId => details.billing_id.as_deref(),
            SubscriptionColumn::StartDate => Some(&dates.start_date),
            SubscriptionColumn::EndDate => dates.end_date.as_deref(),
            SubscriptionColumn::CancellationDate => dates.cancellation_date.as_deref(),
            SubscriptionColumn::TrialEndDate => dates.trial_end_date.as_deref(),
        }
    }

    async fn load(loaders: &Loaders, ids: Vec<Id>) -> Result<HashMap<Id, Self>, ApiError> {
        let registers = loaders.subscriptions.load_many(ids).await?;
        let customers = loaders.customers.load_many(customers_of(&registers)).await?;
        Ok(visible(registers, &customers))
    }

    async fn read(loaders: &Loaders, ids: &[Id], parts: Projection) -> Result<HashMap<Id, Self>, ApiError> {
        let registers = loaders.subscriptions.loader().load(ids).await?;
        let customers: Vec<Id> = customers_of(&registers).into_iter().collect();
        let customers = Arc::<CustomerRow>::read(loaders, &customers, parts).await?;
        Ok(visible(registers, &customers))
    }
}

type Subscriptions = HashMap<Id, Arc<subscription::SubscriptionRegisters>>;

fn customers_of(subscriptions: &Subscriptions) -> HashSet<Id> {
    subscriptions.values().filter_map(|registers| registers.customer_id().cloned()).collect()
}

/// The subscriptions that readers see, of these customers.
fn visible(subscriptions: Subscriptions, customers: &HashMap<Id, Arc<CustomerRow>>) -> HashMap<Id, Arc<SubscriptionRow>> {
    let row = |(id, registers): (Id, Arc<subscription::SubscriptionRegisters>)| {
        let customer = customers.get(registers.customer_id()?)?;
        Some((id.clone(), SubscriptionRow::of(id, &registers, customer)?))
    };
    subscriptions.into_iter().filter_map(row).collect()
}

impl CustomerRow {
    /// The customer as readers see it; None unless it is live.
    pub(crate) fn of(store::CustomerRow { customer_id: id, registers, scope }: store::CustomerRow) -> Option<Arc<Self>> {
        let shown = registers.visible()?;
        Some(Arc::new(Self { id, registers, scope, shown, entitlements: OnceLock::new() }))
    }
}

impl SubscriptionRow {
    /// The subscription as readers see it beside this customer; None unless it is visible and the
    /// customer's.
    pub(crate) fn of(id: Id, registers: &subscription::SubscriptionRegisters, customer: &Arc<CustomerRow>) -> Option<Arc<Self>> {
        let shown = registers.visible(customer.registers.tombstone.as_ref())?;
        let customer = (shown.customer_id == customer.id).then(|| Arc::clone(customer))?;
        Some(Arc::new(Self { id, shown, customer }))
    }
}
