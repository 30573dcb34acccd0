//! A subscription, and the entitlement list of its resource.

use domain::{
    customer::CustomerState,
    event::{Event, SubscriptionChange},
    id::Id,
};
use jiff::Timestamp;
use serde_json::{Map, Value};
use store::{CustomerRow, SubscriptionRow, SubscriptionWrite};

use super::{
    Comparison, Difference, DifferenceKind, Fatal, Subject, SyncError, Synchronizer, compare, creation_field, difference,
    field_differences, fix_status, missing_creation, parse_event, skip_on_error,
};
use crate::stigg::{SubscriptionRecord, version_at};

impl Synchronizer {
    /// Compares a subscription with the replica's row, and the list of its resource, and fixes differences if the mode
    /// allows it. Skips subscriptions of customers that are not live: they are never visible.
    pub(super) async fn subscription(
        &self,
        record: &SubscriptionRecord,
        shown_at: Timestamp,
        row: Option<&SubscriptionRow>,
        customer: Option<&CustomerRow>,
    ) -> Result<Comparison, Fatal> {
        let mut comparison = Comparison::default();
        let Some(customer) = customer.filter(|customer| customer.registers.state() == CustomerState::Live) else {
            return Ok(comparison);
        };
        let result = self.try_subscription(record, shown_at, row, customer, &mut comparison).await;
        skip_on_error(result, &mut comparison, "subscription", &record.id)?;
        if let Some(resource_id) = &record.resource_id {
            let result = self.resource(&customer.customer_id, resource_id, &customer.registers, &mut comparison).await;
            skip_on_error(result, &mut comparison, "entitlements", &customer.customer_id)?;
        }
        Ok(comparison)
    }

    async fn try_subscription(
        &self,
        record: &SubscriptionRecord,
        shown_at: Timestamp,
        row: Option<&SubscriptionRow>,
        customer: &CustomerRow,
        comparison: &mut Comparison,
    ) -> Result<(), SyncError> {
        let subject = Subject::Subscription { subscription_id: record.id.clone() };
        let tombstone = customer.registers.tombstone.as_ref();
        let stored = row.and_then(|row| row.registers.visible(tombstone));
        let shown = stored.as_ref().map(compare::subscription_fields).unwrap_or_default();
        let plan = self.plan_of(record, &shown).await?;
        let mut differences: Vec<Difference> = Vec::new();
        match &stored {
            None => differences.push(difference(&record.customer_id, DifferenceKind::Missing, subject.clone())),
            Some(stored) => {
                let mut differing = compare::differing_fields(&record.fields, &shown);
                let ids_and_names = [
                    ("customerId", Some(record.customer_id.as_str()), Some(stored.customer_id.as_str())),
                    ("planId", Some(record.plan_id.as_str()), Some(stored.details.plan_id.as_str())),
                    (
                        "resourceId",
                        record.resource_id.as_ref().map(Id::as_str),
                        stored.details.resource_id.as_ref().map(Id::as_str),
                    ),
                    ("planName", plan.get("name").and_then(Value::as_str), Some(stored.details.plan_name.as_str())),
                ];
                for (name, stigg, replica) in ids_and_names {
                    // Not compared if Stigg does not return the plan's name.
                    if stigg != replica && !(name == "planName" && stigg.is_none()) {
                        differing.push(compare::Field { name: name.to_owned(), stigg: stigg.into(), replica: replica.into() });
                    }
                }
                differences.extend(field_differences(&record.customer_id, &subject, differing));
            }
        }
        let is_due = !differences.is_empty();
        let known = stored.as_ref().and_then(|stored| stored.created_at.as_deref());
        let creation = missing_creation(record.created_at, known, tombstone, self.stigg.now());
        if let (Some(_), Some(creation)) = (&stored, &creation) {
            differences.extend(field_differences(&record.customer_id, &subject, vec![creation_field(creation)]));
        }
        if self.writes() && !differences.is_empty() {
            let change = if is_due {
                parse_event(&record.event(merged_fields(record, shown, plan)), |event| match event {
                    Event::Subscription { change, .. } => Some(*change),
                    _ => None,
                })?
            } else {
                SubscriptionChange::default()
            };
            let version = version_at(shown_at);
            let write = SubscriptionWrite { change: &change, version: &version, creation: creation.as_ref() };
            let send = async || self.store.write_subscription(&record.id, write, None, self.stigg.now()).await;
            let outcome = self.write(comparison, send).await?;
            for difference in &mut differences {
                difference.fixed = fix_status(outcome);
            }
        }
        comparison.differences.extend(differences);
        Ok(())
    }

    /// The plan as events carry it, from the record, Stigg's plan record or the replica, in this order.
    async fn plan_of(&self, record: &SubscriptionRecord, shown: &Map<String, Value>) -> Result<Map<String, Value>, SyncError> {
        let mut plan = shown.get("plan").and_then(Value::as_object).cloned().unwrap_or_default();
        if plan.get("id").and_then(Value::as_str) != Some(record.plan_id.as_str()) {
            plan.clear();
        }
        match record.fields.get("plan").and_then(Value::as_object) {
            Some(fields) if fields.contains_key("name") => plan.extend(fields.clone()),
            _ => plan.extend(self.plan(&record.plan_id).await?.unwrap_or_default()),
        }
        Ok(plan)
    }
}

/// The fields of a full event: the record's, completed with stored fields that only events carry.
fn merged_fields(record: &SubscriptionRecord, shown: Map<String, Value>, plan: Map<String, Value>) -> Map<String, Value> {
    let stored_addons = shown.get("addons").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut merged = shown;
    merged.extend(record.fields.clone());
    merged.insert("plan".to_owned(), plan.into());
    if let Some(Value::Array(addons)) = merged.get_mut("addons") {
        for addon in addons.iter_mut().filter_map(Value::as_object_mut) {
            let stored = stored_addons.iter().find(|stored| stored.get("id") == addon.get("id")).and_then(Value::as_object);
            for (name, value) in stored.into_iter().flatten() {
                addon.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
    }
    merged
}
