//! What records say, in the shape of the events that Stigg would send of them.
//!
//! A record of the API says less than an event: no billing period, often no billing id. What it does
//! not say is told apart from what it says is null, so that an import does not erase it.

use domain::{
    id::Id,
    time::{parse, parse_tolerant, to_fixed_width},
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// The messageId of the events that an import makes. It is no id of Stigg's, and sorts before all of
/// them: of an event and an import of the same millisecond, the event wins.
pub const MESSAGE_ID: &str = "!import";

/// A record that can't be taken. The message holds no value of the record's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadRecord(pub String);

impl BadRecord {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// What a customer's record and its events have in common.
const CUSTOMER_FIELDS: [&str; 8] =
    ["name", "email", "billingId", "crmId", "billingCurrency", "metadata", "excludeFromExperiment", "experimentInfo"];

/// Of the integrations, those whose id of the customer is Stigg's `billingId`.
const BILLING_VENDORS: [&str; 3] = ["STRIPE", "STRIPE_INVOICING", "ZUORA"];

/// A customer as a record has it.
#[derive(Clone, Debug, PartialEq)]
pub struct CustomerRecord {
    /// The customer.
    pub id: Id,
    /// Stigg has archived it.
    pub is_archived: bool,
    /// When it was created, where the record says that.
    pub created_at: Option<Timestamp>,
    /// What the record says, null included, under the names of events.
    pub fields: Map<String, Value>,
}

impl CustomerRecord {
    /// Reads a record.
    ///
    /// # Errors
    /// If it has no usable id.
    pub fn read(record: &Value) -> Result<Self, BadRecord> {
        // An older form calls the user's own reference externalId, and has another id beside it.
        let id = id(record, &["externalId", "id"])?;
        let mut fields = select(record, &CUSTOMER_FIELDS);
        if let Some(billing_id) = billing_id(record) {
            fields.entry("billingId").or_insert(billing_id);
        }
        // Events say null where a record has an empty object.
        if fields.get("metadata").and_then(Value::as_object).is_some_and(Map::is_empty) {
            fields.insert("metadata".to_owned(), Value::Null);
        }
        let is_archived = ["archivedAt", "deletedAt"].iter().any(|name| record.get(name).is_some_and(|time| !time.is_null()));
        Ok(Self { id, is_archived, created_at: time(record, "createdAt"), fields })
    }

    /// The customer.created or customer.updated that says this, `fields` being complete.
    pub fn event(&self, created: bool, at: Timestamp, fields: &Map<String, Value>) -> Value {
        let kind = if created { "customer.created" } else { "customer.updated" };
        event(kind, self.id.as_str(), at, fields.clone())
    }

    /// The customer.deleted of a customer that Stigg has archived, or knows no more.
    pub fn deletion(id: &Id, at: Timestamp) -> Value {
        event("customer.deleted", id.as_str(), at, Map::new())
    }
}

/// What a subscription's record and its events have in common.
const SUBSCRIPTION_FIELDS: [&str; 14] = [
    "status",
    "startDate",
    "endDate",
    "cancellationDate",
    "trialEndDate",
    "currentBillingPeriodStart",
    "currentBillingPeriodEnd",
    "billingId",
    "billingPeriod",
    "billingCurrency",
    "isTrialSubscription",
    "paymentCollection",
    "addons",
    "metadata",
];

/// A subscription as a record has it.
#[derive(Clone, Debug, PartialEq)]
pub struct SubscriptionRecord {
    /// The subscription.
    pub id: Id,
    /// Its customer.
    pub customer_id: Id,
    /// Its plan.
    pub plan_id: Id,
    /// The resource that it is for.
    pub resource_id: Option<Id>,
    /// When it was created, where the record says that.
    pub created_at: Option<Timestamp>,
    /// What the record says, null included, under the names of events.
    pub fields: Map<String, Value>,
}

impl SubscriptionRecord {
    /// Reads a record.
    ///
    /// # Errors
    /// If it lacks what makes it one: its own id, a customer, a plan, a status and a start.
    pub fn read(record: &Value) -> Result<Self, BadRecord> {
        let within = |object: &str, flat: &str| -> Value {
            let nested = record.get(object).map(|nested| json!({ flat: nested.get("id") }));
            if record.get(flat).is_some_and(|value| !value.is_null()) { record.clone() } else { nested.unwrap_or_default() }
        };
        let mut fields = select(record, &SUBSCRIPTION_FIELDS);
        if let Some(Value::Object(plan)) = record.get("plan") {
            fields.insert("plan".to_owned(), plan.clone().into());
        }
        for needed in ["status", "startDate"] {
            if fields.get(needed).and_then(Value::as_str).is_none_or(str::is_empty) {
                return Err(BadRecord::new(format!("`{needed}` is missing")));
            }
        }
        let start = fields.get("startDate").and_then(Value::as_str).unwrap_or_default();
        parse_tolerant(start).map_err(|problem| BadRecord::new(format!("`startDate` {problem}")))?;
        let resource = within("resource", "resourceId");
        let has_resource = resource.get("resourceId").is_some_and(|id| !id.is_null());
        Ok(Self {
            id: id(record, &["externalId", "subscriptionId", "id"])?,
            customer_id: id(&within("customer", "customerId"), &["customerId"])?,
            plan_id: id(&within("plan", "planId"), &["planId"])?,
            resource_id: has_resource.then(|| id(&resource, &["resourceId"])).transpose()?,
            created_at: time(record, "createdAt"),
            fields,
        })
    }

    /// The subscription.created that says when it was created and nothing else.
    pub fn creation(&self, at: Timestamp) -> Value {
        event("subscription.created", self.id.as_str(), at, Map::new())
    }

    /// The subscription.updated that says this, `fields` being complete.
    pub fn event(&self, at: Timestamp, fields: &Map<String, Value>) -> Value {
        let mut body = fields.clone();
        body.insert("customer".to_owned(), json!({"id": self.customer_id}));
        body.insert("resource".to_owned(), self.resource_id.as_ref().map_or(Value::Null, |id| json!({ "id": id })));
        let plan = body.entry("plan").or_insert_with(|| json!({}));
        if let Some(plan) = plan.as_object_mut() {
            plan.insert("id".to_owned(), self.plan_id.as_str().into());
        }
        event("subscription.updated", self.id.as_str(), at, body)
    }
}

/// What events say of a plan, from its record.
pub fn plan(record: &Value) -> Map<String, Value> {
    let mut plan = select(record, &["description", "pricingType", "status"]);
    if let Some(name) = record.get("displayName").filter(|name| name.is_string()) {
        plan.insert("name".to_owned(), name.clone());
    }
    plan
}

/// An event of the import's own.
pub(super) fn event(kind: &str, id: &str, at: Timestamp, mut body: Map<String, Value>) -> Value {
    for (name, value) in [("type", kind), ("messageId", MESSAGE_ID), ("id", id), ("timestamp", &to_fixed_width(at))] {
        body.insert(name.to_owned(), value.into());
    }
    body.into()
}

/// The id under the first of these names that the record has.
fn id(record: &Value, names: &[&str]) -> Result<Id, BadRecord> {
    let last = names.last().copied().unwrap_or_default();
    let found = names.iter().find_map(|name| record.get(name).filter(|value| !value.is_null()).map(|value| (*name, value)));
    let (name, value) = found.ok_or_else(|| BadRecord::new(format!("`{last}` is missing")))?;
    let text = value.as_str().ok_or_else(|| BadRecord::new(format!("`{name}` must be a string")))?;
    Id::try_from(text).map_err(|error| BadRecord::new(format!("`{name}` {error}")))
}

fn select(record: &Value, fields: &[&str]) -> Map<String, Value> {
    fields.iter().filter_map(|name| Some(((*name).to_owned(), record.get(name)?.clone()))).collect()
}

fn time(record: &Value, name: &str) -> Option<Timestamp> {
    parse(record.get(name)?.as_str()?).ok()
}

fn billing_id(record: &Value) -> Option<Value> {
    let integrations = record.get("integrations")?.as_array()?;
    let of_billing = integrations.iter().find(|integration| {
        integration.get("vendorIdentifier").and_then(Value::as_str).is_some_and(|vendor| BILLING_VENDORS.contains(&vendor))
    })?;
    of_billing.get("syncedEntityId").filter(|id| id.is_string()).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn customer(record: Value) -> CustomerRecord {
        CustomerRecord::read(&record).unwrap()
    }

    #[test]
    fn absent_fields_of_a_record_are_distinguished_from_null() {
        let record = customer(json!({"id": "c", "name": null, "metadata": {}, "createdAt": "2026-01-01T00:00:00Z",
                                     "archivedAt": null, "updatedAt": "2026-01-02T00:00:00Z"}));
        assert_eq!(Value::Object(record.fields.clone()), json!({"name": null, "metadata": null}));
        assert_eq!((record.is_archived, record.created_at), (false, "2026-01-01T00:00:00Z".parse().ok()));
        assert!(customer(json!({"id": "c", "archivedAt": "2026-01-01T00:00:00Z"})).is_archived);
    }

    #[test]
    fn the_billing_id_is_that_of_the_billing_integration_unless_the_record_says_one() {
        let integrations = json!([{"vendorIdentifier": "HUBSPOT", "syncedEntityId": "h"},
                                  {"vendorIdentifier": "STRIPE", "syncedEntityId": "cus_1"}]);
        assert_eq!(customer(json!({"id": "c", "integrations": integrations})).fields["billingId"], "cus_1");
        assert_eq!(customer(json!({"id": "c", "integrations": integrations, "billingId": "own"})).fields["billingId"], "own");
        assert!(!customer(json!({"id": "c", "integrations": []})).fields.contains_key("billingId"));
    }

    #[test]
    fn the_older_form_calls_the_users_reference_external_id() {
        assert_eq!(customer(json!({"id": "5f0e", "externalId": "c", "cursor_id": "x"})).id.as_str(), "c");
    }

    #[test]
    fn a_record_without_what_makes_it_one_is_named_and_no_value_of_it() {
        for (record, message) in [
            (json!({}), "`id` is missing"),
            (json!({"id": 7}), "`id` must be a string"),
            (json!({"id": "é".repeat(300)}), "`id` must be at most 500 bytes long"),
            (json!("text"), "`id` is missing"),
        ] {
            assert_eq!(CustomerRecord::read(&record).unwrap_err().to_string(), message);
        }
        let whole = json!({"id": "s", "customerId": "c", "planId": "p", "status": "ACTIVE", "startDate": "2026-01-01T00:00:00Z"});
        SubscriptionRecord::read(&whole).unwrap();
        for missing in ["id", "customerId", "planId", "status", "startDate"] {
            let mut record = whole.clone();
            record.as_object_mut().unwrap().remove(missing);
            assert_eq!(SubscriptionRecord::read(&record).unwrap_err().to_string(), format!("`{missing}` is missing"));
        }
    }

    #[test]
    fn flat_and_nested_subscriptions_make_the_same_event() {
        let dates = json!({"id": "s", "status": "ACTIVE", "startDate": "2026-01-01T00:00:00Z"});
        let with = |more: Value| {
            let mut record = dates.clone();
            record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let record = SubscriptionRecord::read(&record).unwrap();
            record.event("2026-01-02T00:00:00Z".parse().unwrap(), &record.fields)
        };
        let flat = with(json!({"customerId": "c", "planId": "p", "resourceId": "r"}));
        assert_eq!(flat, with(json!({"customer": {"id": "c"}, "plan": {"id": "p"}, "resource": {"id": "r"}})));
        assert_eq!(
            flat,
            json!({"type": "subscription.updated", "messageId": "!import", "id": "s", "timestamp": "2026-01-02T00:00:00.000Z",
                   "status": "ACTIVE", "startDate": "2026-01-01T00:00:00Z", "customer": {"id": "c"}, "plan": {"id": "p"},
                   "resource": {"id": "r"}})
        );
        assert_eq!(with(json!({"customerId": "c", "planId": "p", "resourceId": null}))["resource"], Value::Null);
    }
}
