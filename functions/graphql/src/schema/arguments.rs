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

/// An input object with a member per column.
macro_rules! condition {
    ($(#[$doc:meta])* $name:ident on $columns:ident { $($(#[$member_doc:meta])* $member:ident: $ty:ty = $column:ident;)* }) => {
        $(#[$doc])*
        #[derive(InputObject, Debug, Default)]
        pub(crate) struct $name {
            $($(#[$member_doc])* $member: MaybeUndefined<$ty>,)*
        }

        impl Condition for $name {
            type Column = $columns;

            fn filter(self) -> Filter<$columns> {
                let members = [$(($columns::$column, self.$member.map_value(String::from)),)*];
                let given = members.into_iter().filter_map(|(column, value)| match value {
                    MaybeUndefined::Undefined => None,
                    MaybeUndefined::Null => Some((column, None)),
                    MaybeUndefined::Value(value) => Some((column, Some(value))),
                });
                Filter(given.collect())
            }
        }
    };
}

pub(super) trait Condition {
    type Column;

    fn filter(self) -> Filter<Self::Column>;
}

condition! {
    /// Values that customers must have, all of them; null matches null. With customerId, email or billingId, customers
    /// are looked up; without, the condition is limited to short lists.
    CustomerCondition on CustomerColumn {
        /// When the customer was created.
        created_at: Datetime = CreatedAt;
        /// When the customer or its list of entitlements last changed.
        updated_at: Datetime = UpdatedAt;
        /// The customer's id.
        customer_id: String = CustomerId;
        /// The customer's name.
        name: String = Name;
        /// The customer's e-mail address.
        email: String = Email;
        /// The customer's id in the billing provider.
        billing_id: String = BillingId;
    }
}

condition! {
    /// Values that subscriptions must have, all of them; null matches null. With subscriptionId or customerId,
    /// subscriptions are looked up; without, the condition is limited to short lists.
    SubscriptionCondition on SubscriptionColumn {
        /// When the subscription was created.
        created_at: Datetime = CreatedAt;
        /// When the subscription last changed.
        updated_at: Datetime = UpdatedAt;
        /// The subscription's id.
        subscription_id: String = SubscriptionId;
        /// The id of its customer.
        customer_id: String = CustomerId;
        /// ACTIVE, CANCELED, EXPIRED, IN_TRIAL, NOT_STARTED or PAYMENT_PENDING.
        status: String = Status;
        /// The plan's id.
        plan_id: String = PlanId;
        /// The plan's name.
        plan_name: String = PlanName;
        /// The subscription's id in the billing provider.
        billing_id: String = BillingId;
        /// When it starts.
        start_date: Datetime = StartDate;
        /// When it ends.
        end_date: Datetime = EndDate;
        /// When it was or will be canceled.
        cancellation_date: Datetime = CancellationDate;
        /// When its trial ends.
        trial_end_date: Datetime = TrialEndDate;
    }
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
