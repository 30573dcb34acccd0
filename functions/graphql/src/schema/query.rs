//! The root type Query.

use std::sync::Arc;

use async_graphql::{Context, Object, Result};
use domain::id::Id;
use store::{MAX_PARTITION_KEY_BYTES, StoreError};

use super::{
    access::{self, AccessDecision},
    arguments::{CustomerCondition, CustomersOrderBy, ListArguments, SubscriptionCondition, SubscriptionsOrderBy},
    connection::Connection,
    node::{Customer, CustomersConnection, Subscription, SubscriptionsConnection},
    scalar::Cursor,
};
use crate::{
    column::{CustomerColumn, SubscriptionColumn},
    error::ApiError,
    load::{LoadRow as _, Loaders},
    page::{Filter, Source},
    row::{CustomerRow, SubscriptionRow},
};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Query;

/// Reads customers with their entitlements and subscriptions as Stigg last sent them, and checks access to features.
#[Object]
impl Query {
    /// The root type again, as in PostGraphile, for clients that expect it.
    async fn query(&self) -> Query {
        Query
    }

    /// A page of customers.
    #[allow(clippy::too_many_arguments, reason = "the arguments of the field")]
    async fn customers(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "Maximum number of rows, from the start of the list. A page has at most 1,000 rows; select pageInfo { hasNextPage } for a longer list."
        )]
        first: Option<i32>,
        #[graphql(desc = "Maximum number of rows, from the end of the list. Can't be combined with first or offset.")]
        last: Option<i32>,
        #[graphql(
            desc = "Number of rows to skip, after the cursor in after. For short lists; page through longer ones with after."
        )]
        offset: Option<i32>,
        #[graphql(desc = "Rows before this cursor.")] before: Option<Cursor>,
        #[graphql(desc = "Rows after this cursor.")] after: Option<Cursor>,
        #[graphql(
            desc = "Sort order. Later values break ties, and the primary key breaks the last ones.",
            default_with = "Some(vec![CustomersOrderBy::PrimaryKeyAsc])"
        )]
        order_by: Option<Vec<CustomersOrderBy>>,
        #[graphql(desc = "Rows that have all of these values.")] condition: Option<CustomerCondition>,
    ) -> Result<Option<CustomersConnection>> {
        let mut arguments = ListArguments { first, last, offset, before, after, order_by, condition };
        let filter = arguments.take_filter();
        let source = customers_source(Loaders::from_context(ctx)?, &filter).await?;
        Connection::new(ctx, arguments, filter, source).map(Some)
    }

    /// A page of the subscriptions of all customers.
    #[allow(clippy::too_many_arguments, reason = "the arguments of the field")]
    async fn subscriptions(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "Maximum number of rows, from the start of the list. A page has at most 1,000 rows; select pageInfo { hasNextPage } for a longer list."
        )]
        first: Option<i32>,
        #[graphql(desc = "Maximum number of rows, from the end of the list. Can't be combined with first or offset.")]
        last: Option<i32>,
        #[graphql(
            desc = "Number of rows to skip, after the cursor in after. For short lists; page through longer ones with after."
        )]
        offset: Option<i32>,
        #[graphql(desc = "Rows before this cursor.")] before: Option<Cursor>,
        #[graphql(desc = "Rows after this cursor.")] after: Option<Cursor>,
        #[graphql(
            desc = "Sort order. Later values break ties, and the primary key breaks the last ones.",
            default_with = "Some(vec![SubscriptionsOrderBy::PrimaryKeyAsc])"
        )]
        order_by: Option<Vec<SubscriptionsOrderBy>>,
        #[graphql(desc = "Rows that have all of these values.")] condition: Option<SubscriptionCondition>,
    ) -> Result<Option<SubscriptionsConnection>> {
        let mut arguments = ListArguments { first, last, offset, before, after, order_by, condition };
        let filter = arguments.take_filter();
        let source = subscriptions_source(Loaders::from_context(ctx)?, &filter).await?;
        Connection::new(ctx, arguments, filter, source).map(Some)
    }

    /// The customer with this id; null if it does not exist or was deleted.
    async fn customer(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The customer id that you gave to Stigg.")] customer_id: String,
    ) -> Result<Option<Customer>> {
        let rows = Arc::<CustomerRow>::load(Loaders::from_context(ctx)?, to_ids(&customer_id)).await?;
        Ok(rows.into_values().next().map(Customer::single))
    }

    /// The subscription with this id; null if it does not exist or its customer was deleted.
    async fn subscription(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The subscription id.")] subscription_id: String,
    ) -> Result<Option<Subscription>> {
        let rows = Arc::<SubscriptionRow>::load(Loaders::from_context(ctx)?, to_ids(&subscription_id)).await?;
        Ok(rows.into_values().next().map(Subscription))
    }

    /// Whether a customer may use a feature. Decided by the same code as POST /check-access.
    async fn check_access(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The customer id.")] customer_id: String,
        #[graphql(desc = "The feature id.")] feature_id: String,
        #[graphql(desc = "For metered features: the additional usage to check, 0 or more.", default = 0.0)] requested_usage: f64,
        #[graphql(desc = "For ENUM features: the values to check.", default)] requested_values: Vec<String>,
        #[graphql(
            desc = "A resource of the customer. Without it, the check is on the customer level; the two are never merged."
        )]
        resource_id: Option<String>,
    ) -> Result<Option<AccessDecision>> {
        let request = access::request(customer_id, feature_id, requested_usage, requested_values, resource_id)?;
        Ok(Some(access::check(Loaders::from_context(ctx)?, &request).await?))
    }
}

/// An invalid id matches nothing.
fn to_ids(id: &str) -> Vec<Id> {
    Id::try_from(id).into_iter().collect()
}

/// The smallest source that has all customers that meet the condition.
async fn customers_source(loaders: &Loaders, filter: &Filter<CustomerColumn>) -> Result<Source<Arc<CustomerRow>>, ApiError> {
    let limit = loaders.limits.candidates;
    let found = |ids: Result<Vec<Id>, StoreError>| {
        let ids = ids?;
        if ids.len() > limit {
            let suggestion = "many customers share this value; add a customerId to the condition";
            return Err(ApiError::TooManyRows { limit, suggestion });
        }
        Ok(Source::Ids(ids))
    };
    if let Some(id) = filter.value(CustomerColumn::CustomerId) {
        Ok(Source::Ids(to_ids(id)))
    } else if let Some(email) = indexable(filter, CustomerColumn::Email) {
        found(loaders.store.customers_by_email(email, limit + 1).await)
    } else if let Some(billing_id) = indexable(filter, CustomerColumn::BillingId) {
        found(loaders.store.customers_by_billing_id(billing_id, limit + 1).await)
    } else {
        Ok(Source::All)
    }
}

/// The column's value if an index can have it.
///
/// Source: DynamoDB, quotas: a partition key is 1 to 2,048 bytes long.
fn indexable(filter: &Filter<CustomerColumn>, column: CustomerColumn) -> Option<&str> {
    filter.value(column).filter(|value| !value.is_empty() && value.len() <= MAX_PARTITION_KEY_BYTES)
}

/// The smallest source that has all subscriptions that meet the condition.
async fn subscriptions_source(
    loaders: &Loaders,
    filter: &Filter<SubscriptionColumn>,
) -> Result<Source<Arc<SubscriptionRow>>, ApiError> {
    if let Some(id) = filter.value(SubscriptionColumn::SubscriptionId) {
        return Ok(Source::Ids(to_ids(id)));
    }
    let Some(customer_id) = filter.value(SubscriptionColumn::CustomerId) else {
        return Ok(Source::All);
    };
    let Some(customer_id) = to_ids(customer_id).pop() else {
        return Ok(Source::Ids(Vec::new()));
    };
    let ids = loaders.subscription_ids.load_one(customer_id).await?;
    let ids = ids.map(|ids| ids.as_ref().clone()).unwrap_or_default();
    let limit = loaders.limits.candidates;
    if ids.len() > limit {
        let suggestion = "the customer has too many subscriptions to sort; page through all in the order CUSTOMER_ID";
        return Err(ApiError::TooManyRows { limit, suggestion });
    }
    Ok(Source::Ids(ids))
}
