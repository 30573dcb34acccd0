//! Orders and conditions of lists.

use async_graphql::{Enum, InputObject, MaybeUndefined};

use super::scalar::{Cursor, Datetime};
use crate::{
    column::{Column, CustomerColumn, SubscriptionColumn},
    error::ApiError,
    page::{Direction, Filter, ListQuery, Order, PageArguments},
};

/// Defines an enum with an ascending and a descending value per column.
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

pub(super) trait OrderBy: Copy {
    type Column: Column;

    /// None for NATURAL, which is the order of the primary key.
    fn column(self) -> Option<(Self::Column, Direction)>;
}

order_by! {
    /// Sort orders of customers. PRIMARY_KEY (the same as CUSTOMER_ID), CREATED_AT and NATURAL (the same as
    /// PRIMARY_KEY_ASC) are read from an index, whatever the number of customers; other orders are limited to short
    /// lists. Nulls come last ascending and first descending.
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
    /// Sort orders of subscriptions. PRIMARY_KEY (the same as SUBSCRIPTION_ID), CUSTOMER_ID, CREATED_AT and NATURAL (the
    /// same as PRIMARY_KEY_ASC) are read from an index, whatever the number of subscriptions; other orders are limited to
    /// short lists, such as one customer's. Nulls come last ascending and first descending.
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

/// Values that customers must have, all of them; null matches null. With customerId, email or billingId, customers are
/// looked up; without, the condition is limited to short lists.
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

/// Values that subscriptions must have, all of them; null matches null. With subscriptionId or customerId, subscriptions
/// are looked up; without, the condition is limited to short lists.
#[derive(InputObject, Debug, Default)]
pub(crate) struct SubscriptionCondition {
    /// When the subscription was created.
    created_at: MaybeUndefined<Datetime>,
    /// When the subscription last changed.
    updated_at: MaybeUndefined<Datetime>,
    /// The subscription's id.
    subscription_id: MaybeUndefined<String>,
    /// The id of its customer.
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

pub(super) trait Condition {
    type Column;

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

/// The arguments of a list field.
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
    pub(super) fn take_filter(&mut self) -> Filter<O::Column> {
        self.condition.take().map_or(Filter(Vec::new()), Condition::filter)
    }

    /// `use_index` is whether the list may be read from an index, `page_limit` the maximum number of rows of a page.
    pub(super) fn list_query(
        self,
        filter: Filter<O::Column>,
        use_index: bool,
        page_limit: usize,
    ) -> Result<ListQuery<O::Column>, ApiError> {
        let columns = self.order_by.unwrap_or_default().into_iter().filter_map(OrderBy::column);
        let order = Order::new(columns, use_index);
        let arguments = PageArguments {
            first: self.first,
            last: self.last,
            offset: self.offset,
            before: self.before.map(|cursor| cursor.0),
            after: self.after.map(|cursor| cursor.0),
        };
        arguments.list_query(order, filter, page_limit)
    }
}
