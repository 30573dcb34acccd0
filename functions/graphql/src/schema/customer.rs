//! The type Customer.

use std::sync::Arc;

use async_graphql::{Context, Object, Result};
use domain::id::Id;

use super::{
    arguments::{ListArguments, SubscriptionCondition, SubscriptionsOrderBy},
    connection::{SubscriptionsConnection, page_info_requested},
    entitlement::{Entitlement, Resource, to_stigg_json},
    query::loaders,
    scalar::{Cursor, Datetime, Json},
};
use crate::{
    error::ApiError,
    page::{Listing, Source},
    row::CustomerRow,
    siblings::Siblings,
};

/// A customer, with what it has subscribed to and what it may use.
pub(crate) struct Customer {
    row: Arc<CustomerRow>,
    siblings: Arc<Siblings>,
}

impl Customer {
    pub(super) fn new(row: Arc<CustomerRow>, siblings: Arc<Siblings>) -> Self {
        Self { row, siblings }
    }
}

/// A customer, with what it has subscribed to and what it may use.
#[Object]
impl Customer {
    /// When Stigg created it; null where no such event was seen.
    async fn created_at(&self) -> Option<Datetime> {
        self.row.shown.created_at.clone().map(Datetime)
    }

    /// When it last changed; a new list of entitlements counts, a measurement of usage does not.
    async fn updated_at(&self) -> Option<Datetime> {
        Some(Datetime(self.row.shown.updated_at.clone()))
    }

    /// Its id, as you gave it to Stigg.
    async fn customer_id(&self) -> &str {
        self.row.id.as_str()
    }

    /// Its name.
    async fn name(&self) -> Option<&str> {
        self.row.shown.profile.name.as_deref()
    }

    /// Its e-mail address.
    async fn email(&self) -> Option<&str> {
        self.row.shown.profile.email.as_deref()
    }

    /// Its id in the billing provider.
    async fn billing_id(&self) -> Option<&str> {
        self.row.shown.profile.billing_id.as_deref()
    }

    /// What the customer itself may use, in Stigg's own JSON with usage merged in, in the order of
    /// the features' ids. What its resources may use is in `resources`; `entitlementList` has types.
    async fn entitlements(&self) -> Result<Json> {
        if let Some(json) = self.row.entitlements.get() {
            return Ok(json.clone());
        }
        let json = to_stigg_json(&self.row.scope, self.row.registers.tombstone.as_ref()).map_err(ApiError::from)?;
        Ok(self.row.entitlements.get_or_init(|| Json::written(json)).clone())
    }

    /// What the customer itself, or one of its resources, may use, in the order of the features' ids.
    async fn entitlement_list(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Ask for this resource; without it for the customer itself, never for both.")] resource_id: Option<
            String,
        >,
    ) -> Result<Vec<Entitlement>> {
        let loaders = loaders(ctx)?;
        let tombstone = self.row.registers.tombstone.as_ref();
        Ok(match resource_id.map(Id::try_from) {
            None => Entitlement::all(&self.row.scope, tombstone, loaders.now).map_err(ApiError::from)?,
            Some(Ok(id)) => Entitlement::of_resource(loaders, &self.row, id).await?,
            // An invalid id matches nothing.
            Some(Err(_)) => Vec::new(),
        })
    }

    /// The customer's resources that have entitlements of their own, in the order of their ids.
    async fn resources(&self, ctx: &Context<'_>) -> Result<Vec<Resource>> {
        Resource::of(loaders(ctx)?, &self.row).await
    }

    /// The customer's subscriptions, a page at a time, in any order and on any condition.
    #[allow(clippy::too_many_arguments, reason = "the arguments of the field")]
    async fn subscriptions(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "Only the first so many rows. A page has at most 1,000: of a longer list, ask for pageInfo { hasNextPage }."
        )]
        first: Option<i32>,
        #[graphql(desc = "Only the last so many rows. Not together with first or offset.")] last: Option<i32>,
        #[graphql(desc = "Leave out so many rows after the cursor in after.")] offset: Option<i32>,
        #[graphql(desc = "Only rows before this cursor.")] before: Option<Cursor>,
        #[graphql(desc = "Only rows after this cursor.")] after: Option<Cursor>,
        #[graphql(
            desc = "The first order decides, the next ones break ties, the primary key comes last.",
            default_with = "Some(vec![SubscriptionsOrderBy::PrimaryKeyAsc])"
        )]
        order_by: Option<Vec<SubscriptionsOrderBy>>,
        #[graphql(desc = "Only rows that hold this.")] condition: Option<SubscriptionCondition>,
    ) -> Result<SubscriptionsConnection> {
        let loaders = loaders(ctx)?;
        let mut arguments = ListArguments { first, last, offset, before, after, order_by, condition };
        let source = Source::Rows(self.siblings.subscriptions_of(&self.row.id, loaders).await?);
        let ask = arguments.filter();
        let ask = arguments.ask(ask, &source, loaders)?;
        let listing = Listing::new(Arc::clone(loaders), source, ask, page_info_requested(ctx));
        Ok(SubscriptionsConnection { listing })
    }

    /// Its id in the CRM.
    async fn crm_id(&self) -> Option<String> {
        self.row.shown.profile.crm_id.as_ref()?.to_text()
    }

    /// The currency that it pays in, as Stigg writes it.
    async fn billing_currency(&self) -> Option<String> {
        self.row.shown.profile.billing_currency.as_ref()?.to_text()
    }

    /// Your own data on the customer.
    async fn metadata(&self) -> Result<Option<Json>> {
        Ok(self.row.shown.profile.metadata.as_ref().map(Json::of).transpose()?)
    }
}
