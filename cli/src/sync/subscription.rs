//! A subscription, and the entitlement list of its resource.

use domain::{customer::CustomerState, id::Id};
use jiff::Timestamp;
use serde_json::{Map, Value};
use store::{CustomerRow, Outcome, SubscriptionRow};

use super::{
    Comparison, Difference, DifferenceKind, Fatal, Subject, SyncError, Synchronizer, compare, difference, entitlements::Owner,
    field_differences, fix_status, skip_on_error,
};
use crate::stigg::SubscriptionRecord;

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
            let owner = Owner::from_replica(&customer.customer_id, &customer.registers);
            let result = self.resource(&owner, resource_id, &customer.registers, &mut comparison).await;
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
        let is_known = stored.as_ref().is_some_and(|stored| stored.created_at.is_some());
        let deleted_at = tombstone.map(domain::version::Version::time);
        let creation = record.created_at.filter(|created_at| {
            !is_known && *created_at <= self.stigg.now() && deleted_at.is_none_or(|deleted_at| *created_at > deleted_at)
        });
        if let Some(created_at) = creation.filter(|_| stored.is_some()) {
            let field =
                compare::Field { name: "createdAt".to_owned(), stigg: created_at.to_string().into(), replica: Value::Null };
            differences.extend(field_differences(&record.customer_id, &subject, vec![field]));
        }
        if self.writes() && !differences.is_empty() {
            let mut outcome = Outcome::Stale;
            if let Some(created_at) = creation {
                outcome = outcome.or(self.write(&record.creation(created_at)).await?);
                comparison.writes += 1;
            }
            if is_due {
                outcome = outcome.or(self.write(&record.event(shown_at, &merged_fields(record, shown, plan))).await?);
                comparison.writes += 1;
            }
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
