//! The orders and conditions that lists take.

use async_graphql::{Enum, InputObject, MaybeUndefined};

use super::scalar::{Cursor, Datetime};
use crate::{
    error::ApiError,
    load::Loaders,
    page::{Arguments, Ask, Column, Direction, Filter, Order, Source},
    row::{CustomerColumn, SubscriptionColumn},
};

/// An enum with an ascending and a descending value for each column.
macro_rules! order_by {
    ($(#[$doc:meta])* $name:ident by $columns:ident { $($ascending:ident, $descending:ident: $column:ident;)* }) => {
        $(#[$doc])*
        #[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $name {
            Natural,
            $($ascending, $descending,)*
        }

        impl OrderBy for $name {
            type Column = $columns;

            fn column(self) -> Option<($columns, Direction)> {
                match self {
                    Self::Natural => None,
                    $(Self::$ascending => Some(($columns::$column, Direction::Ascending)),)*
                    $(Self::$descending => Some(($columns::$column, Direction::Descending)),)*
                }
            }
        }
    };
}

/// A value of an enum of orders.
pub(super) trait OrderBy: Copy {
    /// What it orders.
    type Column: Column;

    /// None leaves the order to the primary key.
    fn column(self) -> Option<(Self::Column, Direction)>;
}

order_by! {
    /// The order of a list of customers. PRIMARY_KEY (which is CUSTOMER_ID), CREATED_AT and NATURAL
    /// (as PRIMARY_KEY_ASC) are quick however many customers there are; any other takes a short list.
    /// Rows without a value come last ascending and first descending.
    CustomersOrderBy by CustomerColumn {
        CreatedAtAsc, CreatedAtDesc: CreatedAt;
        UpdatedAtAsc, UpdatedAtDesc: UpdatedAt;
        CustomerIdAsc, CustomerIdDesc: CustomerId;
        NameAsc, NameDesc: Name;
        EmailAsc, EmailDesc: Email;
        BillingIdAsc, BillingIdDesc: BillingId;
        PrimaryKeyAsc, PrimaryKeyDesc: CustomerId;
    }
}

order_by! {
    /// The order of a list of subscriptions. PRIMARY_KEY (which is SUBSCRIPTION_ID), CUSTOMER_ID,
    /// CREATED_AT and NATURAL (as PRIMARY_KEY_ASC) are quick however many subscriptions there are; any
    /// other takes a short list, as one customer's always is. Rows without a value come last ascending
    /// and first descending.
    SubscriptionsOrderBy by SubscriptionColumn {
        CreatedAtAsc, CreatedAtDesc: CreatedAt;
        UpdatedAtAsc, UpdatedAtDesc: UpdatedAt;
        SubscriptionIdAsc, SubscriptionIdDesc: SubscriptionId;
        CustomerIdAsc, CustomerIdDesc: CustomerId;
        StatusAsc, StatusDesc: Status;
        PlanIdAsc, PlanIdDesc: PlanId;
        PlanNameAsc, PlanNameDesc: PlanName;
        BillingIdAsc, BillingIdDesc: BillingId;
        StartDateAsc, StartDateDesc: StartDate;
        EndDateAsc, EndDateDesc: EndDate;
        CancellationDateAsc, CancellationDateDesc: CancellationDate;
        TrialEndDateAsc, TrialEndDateDesc: TrialEndDate;
        PrimaryKeyAsc, PrimaryKeyDesc: SubscriptionId;
    }
}

/// What customers must hold to be in a list: every member that is given, and null where null is
/// given. A customerId, an email or a billingId is looked up; without one of these the list must be
/// short.
#[derive(InputObject, Debug, Default)]
pub(crate) struct CustomerCondition {
    /// When the customer was created.
    created_at: MaybeUndefined<Datetime>,
    /// When the customer or its list of entitlements last changed.
    updated_at: MaybeUndefined<Datetime>,
    /// The customer's id.
    customer_id: MaybeUndefined<String>,
    /// The customer's name.
    name: MaybeUndefined<String>,
    /// The customer's e-mail address.
    email: MaybeUndefined<String>,
    /// The customer's id in the billing provider.
    billing_id: MaybeUndefined<String>,
}

/// What subscriptions must hold to be in a list: every member that is given, and null where null is
/// given. A subscriptionId or a customerId is looked up; without one of these the list must be short.
#[derive(InputObject, Debug, Default)]
pub(crate) struct SubscriptionCondition {
    /// When the subscription was created.
    created_at: MaybeUndefined<Datetime>,
    /// When the subscription last changed.
    updated_at: MaybeUndefined<Datetime>,
    /// The subscription's id.
    subscription_id: MaybeUndefined<String>,
    /// The id of the customer that it is of.
    customer_id: MaybeUndefined<String>,
    /// ACTIVE, CANCELED, EXPIRED, IN_TRIAL, NOT_STARTED or PAYMENT_PENDING.
    status: MaybeUndefined<String>,
    /// The plan's id.
    plan_id: MaybeUndefined<String>,
    /// The plan's name.
    plan_name: MaybeUndefined<String>,
    /// The subscription's id in the billing provider.
    billing_id: MaybeUndefined<String>,
    /// When it starts.
    start_date: MaybeUndefined<Datetime>,
    /// When it ends.
    end_date: MaybeUndefined<Datetime>,
    /// When it was or will be canceled.
    cancellation_date: MaybeUndefined<Datetime>,
    /// When its trial ends.
    trial_end_date: MaybeUndefined<Datetime>,
}

/// A condition on rows.
pub(super) trait Condition {
    /// What it is on.
    type Column;

    /// The columns and what they must hold.
    fn filter(self) -> Filter<Self::Column>;
}

impl Condition for CustomerCondition {
    type Column = CustomerColumn;

    fn filter(self) -> Filter<CustomerColumn> {
        collect([
            (CustomerColumn::CreatedAt, text(self.created_at)),
            (CustomerColumn::UpdatedAt, text(self.updated_at)),
            (CustomerColumn::CustomerId, self.customer_id),
            (CustomerColumn::Name, self.name),
            (CustomerColumn::Email, self.email),
            (CustomerColumn::BillingId, self.billing_id),
        ])
    }
}

impl Condition for SubscriptionCondition {
    type Column = SubscriptionColumn;

    fn filter(self) -> Filter<SubscriptionColumn> {
        collect([
            (SubscriptionColumn::CreatedAt, text(self.created_at)),
            (SubscriptionColumn::UpdatedAt, text(self.updated_at)),
            (SubscriptionColumn::SubscriptionId, self.subscription_id),
            (SubscriptionColumn::CustomerId, self.customer_id),
            (SubscriptionColumn::Status, self.status),
            (SubscriptionColumn::PlanId, self.plan_id),
            (SubscriptionColumn::PlanName, self.plan_name),
            (SubscriptionColumn::BillingId, self.billing_id),
            (SubscriptionColumn::StartDate, text(self.start_date)),
            (SubscriptionColumn::EndDate, text(self.end_date)),
            (SubscriptionColumn::CancellationDate, text(self.cancellation_date)),
            (SubscriptionColumn::TrialEndDate, text(self.trial_end_date)),
        ])
    }
}

fn text(datetime: MaybeUndefined<Datetime>) -> MaybeUndefined<String> {
    datetime.map_value(|datetime| datetime.0)
}

fn collect<C, const N: usize>(members: [(C, MaybeUndefined<String>); N]) -> Filter<C> {
    let given = members.into_iter().filter_map(|(column, value)| match value {
        MaybeUndefined::Undefined => None,
        MaybeUndefined::Null => Some((column, None)),
        MaybeUndefined::Value(value) => Some((column, Some(value))),
    });
    Filter(given.collect())
}

/// The arguments of a list, as its field takes them.
pub(super) struct ListArguments<O, W> {
    pub(super) first: Option<i32>,
    pub(super) last: Option<i32>,
    pub(super) offset: Option<i32>,
    pub(super) before: Option<Cursor>,
    pub(super) after: Option<Cursor>,
    pub(super) order_by: Option<Vec<O>>,
    pub(super) condition: Option<W>,
}

impl<O: OrderBy, W: Condition<Column = O::Column>> ListArguments<O, W> {
    /// The condition on the rows, which is taken out.
    pub(super) fn filter(&mut self) -> Filter<O::Column> {
        self.condition.take().map_or(Filter(Vec::new()), Condition::filter)
    }

    /// What they ask of the rows of a source.
    pub(super) fn ask<R>(
        self,
        filter: Filter<O::Column>,
        source: &Source<R>,
        loaders: &Loaders,
    ) -> Result<Ask<O::Column>, ApiError> {
        let named = self.order_by.unwrap_or_default().into_iter().filter_map(OrderBy::column);
        let order = Order::new(named, source.is_list());
        let arguments = Arguments {
            first: self.first,
            last: self.last,
            offset: self.offset,
            before: self.before.map(|cursor| cursor.0),
            after: self.after.map(|cursor| cursor.0),
        };
        arguments.ask(order, filter, loaders.limits.page)
    }
}
