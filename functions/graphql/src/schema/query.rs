//! Where every query begins.

use std::sync::Arc;

use async_graphql::{Context, Object, Result};
use domain::id::Id;
use store::{MAX_PARTITION_KEY_BYTES, StoreError};

use super::{
    access::{self, AccessDecision},
    arguments::{CustomerCondition, CustomersOrderBy, ListArguments, SubscriptionCondition, SubscriptionsOrderBy},
    connection::{CustomersConnection, SubscriptionsConnection, page_info_requested},
    customer::Customer,
    scalar::Cursor,
    subscription::Subscription,
};
use crate::{
    error::ApiError,
    load::Loaders,
    page::{Filter, Listing, Row as _, Source},
    row::{CustomerColumn, CustomerRow, SubscriptionColumn, SubscriptionRow},
    siblings::Siblings,
};

/// Everything that can be asked: customers with their entitlements and subscriptions, as Stigg told
/// them last, and whether a customer may use a feature.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Query;

pub(super) fn loaders<'a>(ctx: &Context<'a>) -> Result<&'a Arc<Loaders>> {
    ctx.data::<Arc<Loaders>>()
}

/// Everything that can be asked: customers with their entitlements and subscriptions, as Stigg told
/// them last, and whether a customer may use a feature.
#[Object]
impl Query {
    /// This very type again, for clients that expect a node at the root.
    async fn query(&self) -> Query {
        Query
    }

    /// Customers, a page at a time.
    #[allow(clippy::too_many_arguments, reason = "the arguments of the field")]
    async fn customers(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "Only the first so many rows. A page has at most 1,000: of a longer list, ask for pageInfo { hasNextPage }."
        )]
        first: Option<i32>,
        #[graphql(desc = "Only the last so many rows. Not together with first or offset.")] last: Option<i32>,
        #[graphql(desc = "Leave out so many rows after the cursor in after. For short lists; page with after.")] offset: Option<
            i32,
        >,
        #[graphql(desc = "Only rows before this cursor.")] before: Option<Cursor>,
        #[graphql(desc = "Only rows after this cursor.")] after: Option<Cursor>,
        #[graphql(
            desc = "The first order decides, the next ones break ties, the primary key comes last.",
            default_with = "Some(vec![CustomersOrderBy::PrimaryKeyAsc])"
        )]
        order_by: Option<Vec<CustomersOrderBy>>,
        #[graphql(desc = "Only rows that hold this.")] condition: Option<CustomerCondition>,
    ) -> Result<Option<CustomersConnection>> {
        let loaders = loaders(ctx)?;
        let mut arguments = ListArguments { first, last, offset, before, after, order_by, condition };
        let filter = arguments.filter();
        let source = customers_source(loaders, &filter).await?;
        let ask = arguments.ask(filter, &source, loaders)?;
        let listing = Listing::new(Arc::clone(loaders), source, ask, page_info_requested(ctx));
        Ok(Some(CustomersConnection::new(listing)))
    }

    /// Subscriptions of all customers, a page at a time.
    #[allow(clippy::too_many_arguments, reason = "the arguments of the field")]
    async fn subscriptions(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "Only the first so many rows. A page has at most 1,000: of a longer list, ask for pageInfo { hasNextPage }."
        )]
        first: Option<i32>,
        #[graphql(desc = "Only the last so many rows. Not together with first or offset.")] last: Option<i32>,
        #[graphql(desc = "Leave out so many rows after the cursor in after. For short lists; page with after.")] offset: Option<
            i32,
        >,
        #[graphql(desc = "Only rows before this cursor.")] before: Option<Cursor>,
        #[graphql(desc = "Only rows after this cursor.")] after: Option<Cursor>,
        #[graphql(
            desc = "The first order decides, the next ones break ties, the primary key comes last.",
            default_with = "Some(vec![SubscriptionsOrderBy::PrimaryKeyAsc])"
        )]
        order_by: Option<Vec<SubscriptionsOrderBy>>,
        #[graphql(desc = "Only rows that hold this.")] condition: Option<SubscriptionCondition>,
    ) -> Result<Option<SubscriptionsConnection>> {
        let loaders = loaders(ctx)?;
        let mut arguments = ListArguments { first, last, offset, before, after, order_by, condition };
        let filter = arguments.filter();
        let source = subscriptions_source(loaders, &filter).await?;
        let ask = arguments.ask(filter, &source, loaders)?;
        let listing = Listing::new(Arc::clone(loaders), source, ask, page_info_requested(ctx));
        Ok(Some(SubscriptionsConnection { listing }))
    }

    /// The customer of this id; null if there is none, or it was deleted.
    async fn customer(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The customer's id, as you gave it to Stigg.")] customer_id: String,
    ) -> Result<Option<Customer>> {
        let rows = Arc::<CustomerRow>::load(loaders(ctx)?, ids(&customer_id)).await?;
        let customer = |row: Arc<CustomerRow>| Customer::new(Arc::clone(&row), Siblings::new(vec![row], false));
        Ok(rows.into_values().next().map(customer))
    }

    /// The subscription of this id; null if there is none, or its customer was deleted.
    async fn subscription(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The subscription's id.")] subscription_id: String,
    ) -> Result<Option<Subscription>> {
        let rows = Arc::<SubscriptionRow>::load(loaders(ctx)?, ids(&subscription_id)).await?;
        Ok(rows.into_values().next().map(Subscription))
    }

    /// Whether a customer may use a feature: the decision of POST /check-access.
    async fn check_access(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The customer's id.")] customer_id: String,
        #[graphql(desc = "The feature's id.")] feature_id: String,
        #[graphql(desc = "How much more of a metered feature is about to be used: 0 or more.", default = 0.0)]
        requested_usage: f64,
        #[graphql(desc = "The values of an ENUM feature that are about to be used.", default)] requested_values: Vec<String>,
        #[graphql(desc = "Ask for this resource of the customer; without it for the customer itself, never for both.")]
        resource_id: Option<String>,
    ) -> Result<Option<AccessDecision>> {
        let request = access::request(customer_id, feature_id, requested_usage, requested_values, resource_id)?;
        Ok(Some(access::check(loaders(ctx)?, &request).await?))
    }
}

/// What can't be an id is nobody's.
fn ids(id: &str) -> Vec<Id> {
    Id::try_from(id).into_iter().collect()
}

/// Where customers that meet the condition are to be looked for.
async fn customers_source(loaders: &Loaders, filter: &Filter<CustomerColumn>) -> Result<Source<Arc<CustomerRow>>, ApiError> {
    let bound = loaders.limits.candidates;
    let found = |ids: Result<Vec<Id>, StoreError>| {
        let ids = ids?;
        if ids.len() > bound {
            let instead = "so many customers share this value: name a customerId";
            return Err(ApiError::TooManyRows { bound, instead });
        }
        Ok(Source::Ids(ids))
    };
    if let Some(id) = filter.text(CustomerColumn::CustomerId) {
        Ok(Source::Ids(ids(id)))
    } else if let Some(email) = looked_up(filter, CustomerColumn::Email) {
        found(loaders.store.customers_by_email(email, bound + 1).await)
    } else if let Some(billing_id) = looked_up(filter, CustomerColumn::BillingId) {
        found(loaders.store.customers_by_billing_id(billing_id, bound + 1).await)
    } else {
        Ok(Source::List)
    }
}

/// A value that an index can hold: DynamoDB takes no empty and no very long key.
fn looked_up(filter: &Filter<CustomerColumn>, column: CustomerColumn) -> Option<&str> {
    filter.text(column).filter(|value| !value.is_empty() && value.len() <= MAX_PARTITION_KEY_BYTES)
}

/// Where subscriptions that meet the condition are to be looked for.
async fn subscriptions_source(
    loaders: &Loaders,
    filter: &Filter<SubscriptionColumn>,
) -> Result<Source<Arc<SubscriptionRow>>, ApiError> {
    if let Some(id) = filter.text(SubscriptionColumn::SubscriptionId) {
        return Ok(Source::Ids(ids(id)));
    }
    let Some(customer_id) = filter.text(SubscriptionColumn::CustomerId) else {
        return Ok(Source::List);
    };
    let Some(customer_id) = ids(customer_id).pop() else {
        return Ok(Source::Ids(Vec::new()));
    };
    let pointers = loaders.pointers.load_one(customer_id).await?;
    let ids = pointers.map(|ids| ids.as_ref().clone()).unwrap_or_default();
    let bound = loaders.limits.candidates;
    if ids.len() > bound {
        let instead = "this customer has too many subscriptions to sort: page through all in the order of CUSTOMER_ID";
        return Err(ApiError::TooManyRows { bound, instead });
    }
    Ok(Source::Ids(ids))
}
