//! Customer and subscription records of the REST API, converted to events.
//!
//! A record has fewer fields than an event: it lacks the billing period, and often the billing id. Absent fields are kept
//! apart from null ones, so that an import does not erase them in the replica.

use domain::{
    id::Id,
    time::{parse, parse_tolerant},
    version::Version,
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// The version of imported registers that show Stigg's state at this time. Its messageId sorts before all ids of Stigg, so
/// that an event of the same millisecond wins.
pub fn version_at(time: Timestamp) -> Version {
    Version::new(time, "!import")
}

/// A record that can't be converted. The message names fields but contains no values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadRecord(pub String);

impl BadRecord {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// Fields that have the same name in a customer's record and its events.
const CUSTOMER_FIELDS: [&str; 8] =
    ["name", "email", "billingId", "crmId", "billingCurrency", "metadata", "excludeFromExperiment", "experimentInfo"];

/// Integrations whose customer id is Stigg's `billingId`.
const BILLING_VENDORS: [&str; 3] = ["STRIPE", "STRIPE_INVOICING", "ZUORA"];

#[derive(Clone, Debug, PartialEq)]
pub struct CustomerRecord {
    pub id: Id,
    pub is_archived: bool,
    pub created_at: Option<Timestamp>,
    /// The record's fields, including null ones, named as in events.
    pub fields: Map<String, Value>,
}

impl CustomerRecord {
    /// # Errors
    /// If the record has no valid id.
    pub fn read(record: &Value) -> Result<Self, BadRecord> {
        // An older format has the customer's id in `externalId`, and an internal one in `id`.
        let id = id(record, &["externalId", "id"])?;
        let mut fields = select(record, &CUSTOMER_FIELDS);
        if let Some(billing_id) = billing_id(record) {
            fields.entry("billingId").or_insert(billing_id);
        }
        // Events have null instead of an empty object.
        if fields.get("metadata").and_then(Value::as_object).is_some_and(Map::is_empty) {
            fields.insert("metadata".to_owned(), Value::Null);
        }
        let is_archived = ["archivedAt", "deletedAt"].iter().any(|name| record.get(name).is_some_and(|time| !time.is_null()));
        Ok(Self { id, is_archived, created_at: time(record, "createdAt"), fields })
    }

    /// A `customer.updated` event. `fields` must be complete, since events are full snapshots.
    pub fn event(&self, fields: Map<String, Value>) -> Value {
        event("customer.updated", &self.id, fields)
    }
}

/// Fields that have the same name in a subscription's record and its events.
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

#[derive(Clone, Debug, PartialEq)]
pub struct SubscriptionRecord {
    pub id: Id,
    pub customer_id: Id,
    pub plan_id: Id,
    pub resource_id: Option<Id>,
    pub created_at: Option<Timestamp>,
    /// The record's fields, including null ones, named as in events.
    pub fields: Map<String, Value>,
}

impl SubscriptionRecord {
    /// # Errors
    /// If the id, customer, plan, status or start date is missing or invalid.
    pub fn read(record: &Value) -> Result<Self, BadRecord> {
        // The API has `customerId` or `customer.id`; returns an object with the former.
        let flattened = |object: &str, flat: &str| -> Value {
            let nested = record.get(object).map(|nested| json!({ flat: nested.get("id") }));
            if record.get(flat).is_some_and(|value| !value.is_null()) { record.clone() } else { nested.unwrap_or_default() }
        };
        let mut fields = select(record, &SUBSCRIPTION_FIELDS);
        if let Some(Value::Object(plan)) = record.get("plan") {
            fields.insert("plan".to_owned(), plan.clone().into());
        }
        for required in ["status", "startDate"] {
            if fields.get(required).and_then(Value::as_str).is_none_or(str::is_empty) {
                return Err(BadRecord::new(format!("`{required}` is missing")));
            }
        }
        let start = fields.get("startDate").and_then(Value::as_str).unwrap_or_default();
        parse_tolerant(start).map_err(|problem| BadRecord::new(format!("`startDate` {problem}")))?;
        let resource = flattened("resource", "resourceId");
        let has_resource = resource.get("resourceId").is_some_and(|id| !id.is_null());
        Ok(Self {
            id: id(record, &["externalId", "subscriptionId", "id"])?,
            customer_id: id(&flattened("customer", "customerId"), &["customerId"])?,
            plan_id: id(&flattened("plan", "planId"), &["planId"])?,
            resource_id: has_resource.then(|| id(&resource, &["resourceId"])).transpose()?,
            created_at: time(record, "createdAt"),
            fields,
        })
    }

    /// A `subscription.updated` event. `fields` must be complete, since events are full snapshots.
    pub fn event(&self, fields: Map<String, Value>) -> Value {
        let mut body = fields;
        body.insert("customer".to_owned(), json!({"id": self.customer_id}));
        body.insert("resource".to_owned(), self.resource_id.as_ref().map_or(Value::Null, |id| json!({ "id": id })));
        let plan = body.entry("plan").or_insert_with(|| json!({}));
        if let Some(plan) = plan.as_object_mut() {
            plan.insert("id".to_owned(), self.plan_id.as_str().into());
        }
        event("subscription.updated", &self.id, body)
    }
}

/// The fields of a plan in events, from the plan's record.
pub fn plan_fields(record: &Value) -> Map<String, Value> {
    let mut plan = select(record, &["description", "pricingType", "status"]);
    if let Some(name) = record.get("displayName").filter(|name| name.is_string()) {
        plan.insert("name".to_owned(), name.clone());
    }
    plan
}

fn event(kind: &str, id: &Id, mut body: Map<String, Value>) -> Value {
    body.extend([("type".to_owned(), kind.into()), ("id".to_owned(), id.as_str().into())]);
    body.into()
}

/// The id in the first of these fields that is not null.
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
    let integration = integrations.iter().find(|integration| {
        integration.get("vendorIdentifier").and_then(Value::as_str).is_some_and(|vendor| BILLING_VENDORS.contains(&vendor))
    })?;
    integration.get("syncedEntityId").filter(|id| id.is_string()).cloned()
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
    fn the_billing_id_comes_from_the_billing_integration_unless_the_record_has_one() {
        let integrations = json!([{"vendorIdentifier": "HUBSPOT", "syncedEntityId": "h"},
                                  {"vendorIdentifier": "STRIPE", "syncedEntityId": "cus_1"}]);
        assert_eq!(customer(json!({"id": "c", "integrations": integrations})).fields["billingId"], "cus_1");
        assert_eq!(customer(json!({"id": "c", "integrations": integrations, "billingId": "own"})).fields["billingId"], "own");
        assert!(!customer(json!({"id": "c", "integrations": []})).fields.contains_key("billingId"));
    }

    #[test]
    fn the_older_format_has_the_customer_id_in_external_id() {
        assert_eq!(customer(json!({"id": "5f0e", "externalId": "c", "cursor_id": "x"})).id.as_str(), "c");
    }

    #[test]
    fn errors_name_the_missing_or_invalid_field_and_contain_no_values() {
        for (record, message) in [
            (json!({}), "`id` is missing"),
            (json!({"id": 7}), "`id` must be a string"),
            (json!({"id": "é".repeat(300)}), "`id` must be at most 500 bytes long"),
            (json!("text"), "`id` is missing"),
        ] {
            assert_eq!(CustomerRecord::read(&record).unwrap_err().to_string(), message);
        }
        let complete =
            json!({"id": "s", "customerId": "c", "planId": "p", "status": "ACTIVE", "startDate": "2026-01-01T00:00:00Z"});
        SubscriptionRecord::read(&complete).unwrap();
        for missing in ["id", "customerId", "planId", "status", "startDate"] {
            let mut record = complete.clone();
            record.as_object_mut().unwrap().remove(missing);
            assert_eq!(SubscriptionRecord::read(&record).unwrap_err().to_string(), format!("`{missing}` is missing"));
        }
    }

    #[test]
    fn flat_and_nested_subscription_records_give_the_same_event() {
        let dates = json!({"id": "s", "status": "ACTIVE", "startDate": "2026-01-01T00:00:00Z"});
        let with = |more: Value| {
            let mut record = dates.clone();
            record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let record = SubscriptionRecord::read(&record).unwrap();
            record.event(record.fields.clone())
        };
        let flat = with(json!({"customerId": "c", "planId": "p", "resourceId": "r"}));
        assert_eq!(flat, with(json!({"customer": {"id": "c"}, "plan": {"id": "p"}, "resource": {"id": "r"}})));
        assert_eq!(
            flat,
            json!({"type": "subscription.updated", "id": "s", "status": "ACTIVE", "startDate": "2026-01-01T00:00:00Z",
                   "customer": {"id": "c"}, "plan": {"id": "p"}, "resource": {"id": "r"}})
        );
        assert_eq!(with(json!({"customerId": "c", "planId": "p", "resourceId": null}))["resource"], Value::Null);
    }
}
