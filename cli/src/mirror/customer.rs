//! A customer: its profile, its creation, its archiving.

use domain::{
    customer::{CustomerRegisters, CustomerState},
    entitlement::ScopeRegisters,
    id::Id,
    version::Version,
};
use jiff::Timestamp;
use store::{CustomerRow, Outcome};

use super::{Fatal, Found, How, Mirror, Of, Trouble, compare, difference, entitlements::Owner, fields, mended, or_skip};
use crate::stigg::CustomerRecord;

impl Mirror {
    /// Compares a customer and its entitlements with the replica's row, and mends what may be mended.
    pub(super) async fn customer(
        &self,
        record: &CustomerRecord,
        shown_at: Timestamp,
        row: Option<&CustomerRow>,
    ) -> Result<Found, Fatal> {
        let mut found = Found::default();
        let unknown = (CustomerRegisters::default(), ScopeRegisters::default());
        let (registers, scope) = row.map_or((&unknown.0, &unknown.1), |row| (&row.registers, &row.scope));
        let result = if record.is_archived {
            self.archived(&record.id, shown_at, registers, &mut found).await
        } else {
            self.profile(record, shown_at, registers, &mut found).await
        };
        or_skip(result, &mut found, "customer", &record.id)?;
        if record.is_archived {
            return Ok(found);
        }
        let owner = Owner::of_record(record, shown_at, registers);
        self.lists(&owner, registers, scope, &mut found).await?;
        Ok(found)
    }

    /// A customer that Stigg has archived, and the replica has not. One that the replica never knew
    /// stays unknown: a check denies both.
    async fn archived(
        &self,
        customer_id: &Id,
        shown_at: Timestamp,
        registers: &CustomerRegisters,
        found: &mut Found,
    ) -> Result<(), Trouble> {
        if registers.state() == CustomerState::Live {
            let mended = if self.writes() { self.delete(customer_id, shown_at, found).await? } else { super::Mended::No };
            found.differences.push(super::Difference { mended, ..difference(customer_id, How::Extra, Of::Customer) });
        }
        Ok(())
    }

    /// Deletes a customer that Stigg has archived or does not know: what it heard of it later stays.
    pub(super) async fn delete(&self, customer_id: &Id, at: Timestamp, found: &mut Found) -> Result<super::Mended, Trouble> {
        found.writes += 1;
        Ok(mended(self.write(&CustomerRecord::deletion(customer_id, at)).await?))
    }

    async fn profile(
        &self,
        record: &CustomerRecord,
        shown_at: Timestamp,
        registers: &CustomerRegisters,
        found: &mut Found,
    ) -> Result<(), Trouble> {
        let visible = registers.visible();
        let shown = visible.as_ref().map(|customer| compare::shown_profile(&customer.profile)).unwrap_or_default();
        let mut differences = Vec::new();
        if visible.is_none() {
            differences.push(difference(&record.id, How::Missing, Of::Customer));
        } else {
            differences.extend(fields(&record.id, &Of::Customer, compare::told_differs(&record.told, &shown)));
        }
        let is_profile_due = !differences.is_empty();
        // A creation at or below the tombstone can't be written, so it is not missing.
        let is_known = visible.as_ref().is_some_and(|customer| customer.created_at.is_some());
        let deleted_at = registers.tombstone.as_ref().map(Version::time);
        let creation = record.created_at.filter(|created_at| {
            !is_known && *created_at <= self.stigg.now() && deleted_at.is_none_or(|deleted_at| *created_at > deleted_at)
        });
        if visible.is_some() && creation.is_some() {
            let field = compare::Field {
                name: "createdAt".to_owned(),
                stigg: creation.map(|time| time.to_string().into()).unwrap_or_default(),
                replica: serde_json::Value::Null,
            };
            differences.extend(fields(&record.id, &Of::Customer, vec![field]));
        }
        if self.writes() && !differences.is_empty() {
            let mut whole = shown;
            whole.extend(record.told.clone());
            let mut outcome = Outcome::Stale;
            if let Some(created_at) = creation {
                // It carries the profile as it is now under the version of then: earlier is never wrong.
                outcome = outcome.or(self.write(&record.event(true, created_at, &whole)).await?);
                found.writes += 1;
            }
            if is_profile_due && creation.is_none_or(|created_at| created_at < shown_at) {
                outcome = outcome.or(self.write(&record.event(false, shown_at, &whole)).await?);
                found.writes += 1;
            }
            for difference in &mut differences {
                difference.mended = mended(outcome);
            }
        }
        found.differences.extend(differences);
        Ok(())
    }
}
