//! A subscription, and the list of the resource that it is for.

use domain::{customer::CustomerState, id::Id};
use jiff::Timestamp;
use serde_json::{Map, Value};
use store::{CustomerRow, Outcome, SubscriptionRow};

use super::{
    Difference, Fatal, Found, How, Mirror, Of, Trouble, compare, difference, entitlements::Owner, fields, mended, or_skip,
};
use crate::stigg::SubscriptionRecord;

impl Mirror {
    /// Compares a subscription with the replica's row, and the list of its resource, and mends what
    /// may be mended. Those of a customer who is not live are shown to nobody, and left out.
    pub(super) async fn subscription(
        &self,
        record: &SubscriptionRecord,
        shown_at: Timestamp,
        row: Option<&SubscriptionRow>,
        customer: Option<&CustomerRow>,
    ) -> Result<Found, Fatal> {
        let mut found = Found::default();
        let Some(customer) = customer.filter(|customer| customer.registers.state() == CustomerState::Live) else {
            return Ok(found);
        };
        let result = self.try_subscription(record, shown_at, row, customer, &mut found).await;
        or_skip(result, &mut found, "subscription", &record.id)?;
        if let Some(resource_id) = &record.resource_id {
            let owner = Owner::as_held(&customer.customer_id, &customer.registers);
            let result = self.resource(&owner, resource_id, &customer.registers, &mut found).await;
            or_skip(result, &mut found, "entitlements", &customer.customer_id)?;
        }
        Ok(found)
    }

    async fn try_subscription(
        &self,
        record: &SubscriptionRecord,
        shown_at: Timestamp,
        row: Option<&SubscriptionRow>,
        customer: &CustomerRow,
        found: &mut Found,
    ) -> Result<(), Trouble> {
        let of = Of::Subscription { subscription_id: record.id.clone() };
        let tombstone = customer.registers.tombstone.as_ref();
        let held = row.and_then(|row| row.registers.visible(tombstone));
        let shown = held.as_ref().map(compare::shown_subscription).unwrap_or_default();
        let plan = self.plan_of(record, &shown).await?;
        let mut differences: Vec<Difference> = Vec::new();
        match &held {
            None => differences.push(difference(&record.customer_id, How::Missing, of.clone())),
            Some(held) => {
                let mut differing = compare::told_differs(&record.told, &shown);
                let texts = [
                    ("customerId", Some(record.customer_id.as_str()), Some(held.customer_id.as_str())),
                    ("planId", Some(record.plan_id.as_str()), Some(held.details.plan_id.as_str())),
                    (
                        "resourceId",
                        record.resource_id.as_ref().map(Id::as_str),
                        held.details.resource_id.as_ref().map(Id::as_str),
                    ),
                    ("planName", plan.get("name").and_then(Value::as_str), Some(held.details.plan_name.as_str())),
                ];
                for (name, stigg, replica) in texts {
                    // A plan's name that Stigg does not tell is not compared.
                    if stigg != replica && !(name == "planName" && stigg.is_none()) {
                        differing.push(compare::Field { name: name.to_owned(), stigg: stigg.into(), replica: replica.into() });
                    }
                }
                differences.extend(fields(&record.customer_id, &of, differing));
            }
        }
        let is_due = !differences.is_empty();
        let is_known = held.as_ref().is_some_and(|held| held.created_at.is_some());
        let deleted_at = tombstone.map(domain::version::Version::time);
        let creation = record.created_at.filter(|created_at| {
            !is_known && *created_at <= self.stigg.now() && deleted_at.is_none_or(|deleted_at| *created_at > deleted_at)
        });
        if let Some(created_at) = creation.filter(|_| held.is_some()) {
            let field =
                compare::Field { name: "createdAt".to_owned(), stigg: created_at.to_string().into(), replica: Value::Null };
            differences.extend(fields(&record.customer_id, &of, vec![field]));
        }
        if self.writes() && !differences.is_empty() {
            let mut outcome = Outcome::Stale;
            if let Some(created_at) = creation {
                outcome = outcome.or(self.write(&record.creation(created_at)).await?);
                found.writes += 1;
            }
            if is_due {
                outcome = outcome.or(self.write(&record.event(shown_at, &whole(record, shown, plan))).await?);
                found.writes += 1;
            }
            for difference in &mut differences {
                difference.mended = mended(outcome);
            }
        }
        found.differences.extend(differences);
        Ok(())
    }

    /// The plan as events carry it: as the record has it, as Stigg's list of plans has it, or as the
    /// replica knows it.
    async fn plan_of(&self, record: &SubscriptionRecord, shown: &Map<String, Value>) -> Result<Map<String, Value>, Trouble> {
        let mut plan = shown.get("plan").and_then(Value::as_object).cloned().unwrap_or_default();
        if plan.get("id").and_then(Value::as_str) != Some(record.plan_id.as_str()) {
            plan.clear();
        }
        match record.told.get("plan").and_then(Value::as_object) {
            Some(told) if told.contains_key("name") => plan.extend(told.clone()),
            _ => plan.extend(self.plan(&record.plan_id).await?.unwrap_or_default()),
        }
        Ok(plan)
    }
}

/// All that an event says: what the record tells, and beside it what only events tell.
fn whole(record: &SubscriptionRecord, shown: Map<String, Value>, plan: Map<String, Value>) -> Map<String, Value> {
    let held_addons = shown.get("addons").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut whole = shown;
    whole.extend(record.told.clone());
    whole.insert("plan".to_owned(), plan.into());
    if let Some(Value::Array(addons)) = whole.get_mut("addons") {
        for addon in addons.iter_mut().filter_map(Value::as_object_mut) {
            let known = held_addons.iter().find(|held| held.get("id") == addon.get("id")).and_then(Value::as_object);
            for (name, value) in known.into_iter().flatten() {
                addon.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
    }
    whole
}
