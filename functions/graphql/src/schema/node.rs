//! The types Customer and Subscription. They share a file because each has a field of the other's type.

use std::sync::Arc;

use async_graphql::{Context, Object, Result, SimpleObject};
use domain::id::Id;
use serde_json::Value;

use super::{
    arguments::{ListArguments, SubscriptionCondition, SubscriptionsOrderBy},
    connection::{Connection, Node},
    entitlement::{Entitlement, Resource, to_stigg_json},
    scalar::{Cursor, Datetime},
};
use crate::{
    error::ApiError,
    json::{self, Json},
    load::Loaders,
    page::{Page, Source},
    row::{CustomerRow, SubscriptionRow},
    subscription_batch::SubscriptionBatch,
};

pub(super) type CustomersConnection = Connection<Customer>;
pub(super) type SubscriptionsConnection = Connection<Subscription>;

pub(crate) struct Customer {
    row: Arc<CustomerRow>,
    /// Reads the subscriptions of the customer's page.
    batch: Arc<SubscriptionBatch>,
}

impl Customer {
    /// A customer that is not on a page with others.
    pub(super) fn single(row: Arc<CustomerRow>) -> Self {
        Self { batch: SubscriptionBatch::new(vec![Arc::clone(&row)], false), row }
    }
}

impl Node for Customer {
    const CONNECTION: &'static str = "CustomersConnection";
    const EDGE: &'static str = "CustomersEdge";

    type Row = Arc<CustomerRow>;
    type Shared = Arc<SubscriptionBatch>;

    fn shared(page: &Page<Self::Row>, is_contiguous: bool) -> Self::Shared {
        SubscriptionBatch::new(page.rows.iter().map(|(_, row)| Arc::clone(row)).collect(), is_contiguous)
    }

    fn new(row: &Self::Row, batch: &Self::Shared) -> Self {
        Self { row: Arc::clone(row), batch: Arc::clone(batch) }
    }
}

impl Node for Subscription {
    const CONNECTION: &'static str = "SubscriptionsConnection";
    const EDGE: &'static str = "SubscriptionsEdge";

    type Row = Arc<SubscriptionRow>;
    type Shared = ();

    fn shared(_: &Page<Self::Row>, _: bool) -> Self::Shared {}

    fn new(row: &Self::Row, (): &Self::Shared) -> Self {
        Self(Arc::clone(row))
    }
}

/// A customer, with its subscriptions and entitlements.
#[Object]
impl Customer {
    /// When Stigg created it; null if no creation event was received.
    async fn created_at(&self) -> Option<Datetime> {
        self.row.visible.created_at.clone().map(Datetime)
    }

    /// When it last changed. A new list of entitlements counts as a change, a usage measurement does not.
    async fn updated_at(&self) -> Option<Datetime> {
        Some(Datetime(self.row.visible.updated_at.clone()))
    }

    /// The customer id that you gave to Stigg.
    async fn customer_id(&self) -> &str {
        self.row.id.as_str()
    }

    /// The customer's name.
    async fn name(&self) -> Option<&str> {
        self.row.visible.profile.name.as_deref()
    }

    /// The e-mail address.
    async fn email(&self) -> Option<&str> {
        self.row.visible.profile.email.as_deref()
    }

    /// The id in the billing provider.
    async fn billing_id(&self) -> Option<&str> {
        self.row.visible.profile.billing_id.as_deref()
    }

    /// Entitlements of the customer level in Stigg's JSON, with current usage, sorted by feature id. See `resources` for
    /// those of resources and `entitlementList` for a typed list.
    async fn entitlements(&self) -> Result<Json> {
        if let Some(json) = self.row.entitlements.get() {
            return Ok(json.clone());
        }
        let json = to_stigg_json(&self.row.scope, self.row.registers.tombstone.as_ref()).map_err(ApiError::from)?;
        Ok(self.row.entitlements.get_or_init(|| Json::from_text(json)).clone())
    }

    /// Entitlements of the customer level or of one resource, sorted by feature id.
    async fn entitlement_list(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "A resource of the customer. Without it, the list is the customer level's; the two are never merged.")]
        resource_id: Option<String>,
    ) -> Result<Vec<Entitlement>> {
        let loaders = Loaders::from_context(ctx)?;
        let tombstone = self.row.registers.tombstone.as_ref();
        Ok(match resource_id.map(Id::try_from) {
            None => Entitlement::all(&self.row.scope, tombstone, loaders.now).map_err(ApiError::from)?,
            Some(Ok(id)) => Entitlement::of_resource(loaders, &self.row, id).await?,
            // An invalid id matches nothing.
            Some(Err(_)) => Vec::new(),
        })
    }

    /// The customer's resources that have a list of entitlements, sorted by id.
    async fn resources(&self, ctx: &Context<'_>) -> Result<Vec<Resource>> {
        Resource::all(Loaders::from_context(ctx)?, &self.row).await
    }

    /// A page of the customer's subscriptions, in any order and with any condition.
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
        #[graphql(desc = "Number of rows to skip, after the cursor in after.")] offset: Option<i32>,
        #[graphql(desc = "Rows before this cursor.")] before: Option<Cursor>,
        #[graphql(desc = "Rows after this cursor.")] after: Option<Cursor>,
        #[graphql(
            desc = "Sort order. Later values break ties, and the primary key breaks the last ones.",
            default_with = "Some(vec![SubscriptionsOrderBy::PrimaryKeyAsc])"
        )]
        order_by: Option<Vec<SubscriptionsOrderBy>>,
        #[graphql(desc = "Rows that have all of these values.")] condition: Option<SubscriptionCondition>,
    ) -> Result<SubscriptionsConnection> {
        let mut arguments = ListArguments { first, last, offset, before, after, order_by, condition };
        let filter = arguments.take_filter();
        let subscriptions = self.batch.subscriptions_of(&self.row.id, Loaders::from_context(ctx)?).await?;
        Connection::new(ctx, arguments, filter, Source::Rows(subscriptions))
    }

    /// The id in the CRM.
    async fn crm_id(&self) -> Option<String> {
        self.row.visible.profile.crm_id.as_ref()?.to_text()
    }

    /// The billing currency, as Stigg writes it.
    async fn billing_currency(&self) -> Option<String> {
        self.row.visible.profile.billing_currency.as_ref()?.to_text()
    }

    /// Your metadata of the customer.
    async fn metadata(&self) -> Result<Option<Json>> {
        Ok(self.row.visible.profile.metadata.as_ref().map(Json::serialize).transpose()?)
    }
}

pub(crate) struct Subscription(pub(super) Arc<SubscriptionRow>);

/// A customer's subscription to a plan.
#[Object]
impl Subscription {
    /// When Stigg created it; null if no creation event was received.
    async fn created_at(&self) -> Option<Datetime> {
        self.0.visible.created_at.clone().map(Datetime)
    }

    /// When it last changed.
    async fn updated_at(&self) -> Option<Datetime> {
        Some(Datetime(self.0.visible.updated_at.clone()))
    }

    /// The subscription id.
    async fn subscription_id(&self) -> &str {
        self.0.id.as_str()
    }

    /// The id of its customer.
    async fn customer_id(&self) -> &str {
        self.0.visible.customer_id.as_str()
    }

    /// ACTIVE, CANCELED, EXPIRED, IN_TRIAL, NOT_STARTED or PAYMENT_PENDING.
    async fn status(&self) -> &str {
        &self.0.visible.status
    }

    /// The plan's id.
    async fn plan_id(&self) -> &str {
        self.0.visible.details.plan_id.as_str()
    }

    /// The plan's name, or its id if the plan has no name.
    async fn plan_name(&self) -> &str {
        &self.0.visible.details.plan_name
    }

    /// The id in the billing provider.
    async fn billing_id(&self) -> Option<&str> {
        self.0.visible.details.billing_id.as_deref()
    }

    /// When it starts.
    async fn start_date(&self) -> Datetime {
        Datetime(self.0.visible.dates.start_date.clone())
    }

    /// When it ends.
    async fn end_date(&self) -> Option<Datetime> {
        self.0.visible.dates.end_date.clone().map(Datetime)
    }

    /// When it was or will be canceled.
    async fn cancellation_date(&self) -> Option<Datetime> {
        self.0.visible.dates.cancellation_date.clone().map(Datetime)
    }

    /// When its trial ends.
    async fn trial_end_date(&self) -> Option<Datetime> {
        self.0.visible.dates.trial_end_date.clone().map(Datetime)
    }

    /// Its customer.
    async fn customer(&self) -> Option<Customer> {
        Some(Customer::single(Arc::clone(&self.0.customer)))
    }

    /// The resource that it applies to; null if it applies to the customer level.
    async fn resource_id(&self) -> Option<&str> {
        self.0.visible.details.resource_id.as_ref().map(AsRef::as_ref)
    }

    /// Start of the current billing period.
    async fn current_billing_period_start(&self) -> Option<Datetime> {
        self.0.visible.dates.current_billing_period_start.clone().map(Datetime)
    }

    /// End of the current billing period.
    async fn current_billing_period_end(&self) -> Option<Datetime> {
        self.0.visible.dates.current_billing_period_end.clone().map(Datetime)
    }

    /// The billing period: MONTHLY or ANNUALLY.
    async fn billing_period(&self) -> Option<String> {
        self.0.visible.details.billing_period.as_ref()?.to_text()
    }

    /// The billing currency, as Stigg writes it.
    async fn billing_currency(&self) -> Option<String> {
        self.0.visible.details.billing_currency.as_ref()?.to_text()
    }

    /// Whether it is a trial; null if Stigg did not send it.
    async fn is_trial_subscription(&self) -> Option<bool> {
        self.0.visible.details.is_trial_subscription
    }

    /// Status of the payment collection, as Stigg writes it.
    async fn payment_collection(&self) -> Option<String> {
        self.0.visible.details.payment_collection.as_ref()?.to_text()
    }

    /// The add-ons of the plan.
    async fn addons(&self) -> Vec<Addon> {
        let addons = self.0.visible.details.addons.as_ref();
        let addons = addons.and_then(|addons| serde_json::from_str::<Vec<Value>>(addons.as_str()).ok());
        addons.iter().flatten().map(Addon::from_json).collect()
    }

    /// Your metadata of the subscription.
    async fn metadata(&self) -> Result<Option<Json>> {
        Ok(self.0.visible.details.metadata.as_ref().map(Json::serialize).transpose()?)
    }
}

/// An add-on of a subscription.
#[derive(SimpleObject)]
pub(crate) struct Addon {
    /// The add-on id.
    addon_id: Option<String>,
    /// The name.
    name: Option<String>,
    /// The description.
    description: Option<String>,
    /// The quantity.
    quantity: Option<f64>,
}

impl Addon {
    fn from_json(json: &Value) -> Self {
        Self {
            addon_id: json::to_string(json.get("id")),
            name: json::to_string(json.get("name")),
            description: json::to_string(json.get("description")),
            quantity: json.get("quantity").and_then(Value::as_f64),
        }
    }
}
