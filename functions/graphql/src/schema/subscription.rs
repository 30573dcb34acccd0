//! The type Subscription.

use std::sync::Arc;

use async_graphql::{Object, Result, SimpleObject};
use serde_json::Value;

use super::{
    customer::Customer,
    scalar::{Datetime, Json},
};
use crate::{row::SubscriptionRow, siblings::Siblings};

/// A customer's subscription to a plan.
pub(crate) struct Subscription(pub(super) Arc<SubscriptionRow>);

/// A customer's subscription to a plan.
#[Object]
impl Subscription {
    /// When Stigg created it; null where no such event was seen.
    async fn created_at(&self) -> Option<Datetime> {
        self.0.shown.created_at.clone().map(Datetime)
    }

    /// When it last changed.
    async fn updated_at(&self) -> Option<Datetime> {
        Some(Datetime(self.0.shown.updated_at.clone()))
    }

    /// Its id.
    async fn subscription_id(&self) -> &str {
        self.0.id.as_str()
    }

    /// The id of the customer that it is of.
    async fn customer_id(&self) -> &str {
        self.0.shown.customer_id.as_str()
    }

    /// ACTIVE, CANCELED, EXPIRED, IN_TRIAL, NOT_STARTED or PAYMENT_PENDING.
    async fn status(&self) -> &str {
        &self.0.shown.status
    }

    /// The plan's id.
    async fn plan_id(&self) -> &str {
        self.0.shown.details.plan_id.as_str()
    }

    /// The plan's name, or its id where it has none.
    async fn plan_name(&self) -> &str {
        &self.0.shown.details.plan_name
    }

    /// Its id in the billing provider.
    async fn billing_id(&self) -> Option<&str> {
        self.0.shown.details.billing_id.as_deref()
    }

    /// When it starts.
    async fn start_date(&self) -> Datetime {
        Datetime(self.0.shown.dates.start_date.clone())
    }

    /// When it ends.
    async fn end_date(&self) -> Option<Datetime> {
        self.0.shown.dates.end_date.clone().map(Datetime)
    }

    /// When it was or will be canceled.
    async fn cancellation_date(&self) -> Option<Datetime> {
        self.0.shown.dates.cancellation_date.clone().map(Datetime)
    }

    /// When its trial ends.
    async fn trial_end_date(&self) -> Option<Datetime> {
        self.0.shown.dates.trial_end_date.clone().map(Datetime)
    }

    /// The customer that it is of.
    async fn customer(&self) -> Option<Customer> {
        let customer = Arc::clone(&self.0.customer);
        let siblings = Siblings::new(vec![Arc::clone(&customer)], false);
        Some(Customer::new(customer, siblings))
    }

    /// The resource of the customer that it is for; null where it is for the customer itself.
    async fn resource_id(&self) -> Option<&str> {
        self.0.shown.details.resource_id.as_ref().map(AsRef::as_ref)
    }

    /// When the present billing period began.
    async fn current_billing_period_start(&self) -> Option<Datetime> {
        self.0.shown.dates.current_billing_period_start.clone().map(Datetime)
    }

    /// When the present billing period ends.
    async fn current_billing_period_end(&self) -> Option<Datetime> {
        self.0.shown.dates.current_billing_period_end.clone().map(Datetime)
    }

    /// How often it is billed: MONTHLY or ANNUALLY.
    async fn billing_period(&self) -> Option<String> {
        self.0.shown.details.billing_period.as_ref()?.to_text()
    }

    /// The currency that it is billed in, as Stigg writes it.
    async fn billing_currency(&self) -> Option<String> {
        self.0.shown.details.billing_currency.as_ref()?.to_text()
    }

    /// Whether it is a trial; null where Stigg did not say.
    async fn is_trial_subscription(&self) -> Option<bool> {
        self.0.shown.details.is_trial_subscription
    }

    /// Where the collection of its payment stands.
    async fn payment_collection(&self) -> Option<String> {
        self.0.shown.details.payment_collection.as_ref()?.to_text()
    }

    /// What was added to the plan.
    async fn addons(&self) -> Vec<Addon> {
        let addons = self.0.shown.details.addons.as_ref();
        let addons = addons.and_then(|addons| serde_json::from_str::<Vec<Value>>(addons.as_str()).ok());
        addons.iter().flatten().map(Addon::of).collect()
    }

    /// Your own data on the subscription.
    async fn metadata(&self) -> Result<Option<Json>> {
        Ok(self.0.shown.details.metadata.as_ref().map(Json::of).transpose()?)
    }
}

/// Something added to a subscription's plan.
#[derive(SimpleObject)]
pub(crate) struct Addon {
    /// The add-on's id.
    addon_id: Option<String>,
    /// Its name.
    name: Option<String>,
    /// What it is.
    description: Option<String>,
    /// How many of it.
    quantity: Option<f64>,
}

impl Addon {
    fn of(json: &Value) -> Self {
        Self {
            addon_id: word(json.get("id")),
            name: word(json.get("name")),
            description: word(json.get("description")),
            quantity: json.get("quantity").and_then(Value::as_f64),
        }
    }
}

/// A member of Stigg's JSON that is a text, if it is there.
pub(super) fn word(json: Option<&Value>) -> Option<String> {
    json.and_then(Value::as_str).map(str::to_owned)
}
