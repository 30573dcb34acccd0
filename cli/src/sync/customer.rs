//! A customer's profile, creation and archiving.

use domain::{
    customer::{CustomerRegisters, CustomerState},
    entitlement::ScopeRegisters,
    id::Id,
    version::Version,
};
use jiff::Timestamp;
use store::{CustomerRow, Outcome};

use super::{
    Comparison, DifferenceKind, Fatal, FixStatus, Subject, SyncError, Synchronizer, compare, difference, entitlements::Owner,
    field_differences, fix_status, skip_on_error,
};
use crate::stigg::CustomerRecord;

impl Synchronizer {
    /// Compares a customer and its entitlements with the replica's row, and fixes differences if the mode allows it.
    pub(super) async fn customer(
        &self,
        record: &CustomerRecord,
        shown_at: Timestamp,
        row: Option<&CustomerRow>,
    ) -> Result<Comparison, Fatal> {
        let mut comparison = Comparison::default();
        let unknown = (CustomerRegisters::default(), ScopeRegisters::default());
        let (registers, scope) = row.map_or((&unknown.0, &unknown.1), |row| (&row.registers, &row.scope));
        let result = if record.is_archived {
            self.archived(&record.id, shown_at, registers, &mut comparison).await
        } else {
            self.profile(record, shown_at, registers, &mut comparison).await
        };
        skip_on_error(result, &mut comparison, "customer", &record.id)?;
        if record.is_archived {
            return Ok(comparison);
        }
        let owner = Owner::from_record(record, shown_at, registers);
        self.lists(&owner, registers, scope, &mut comparison).await?;
        Ok(comparison)
    }

    /// Stigg has archived the customer. One that the replica never had stays unknown: a check denies both.
    async fn archived(
        &self,
        customer_id: &Id,
        shown_at: Timestamp,
        registers: &CustomerRegisters,
        comparison: &mut Comparison,
    ) -> Result<(), SyncError> {
        if registers.state() == CustomerState::Live {
            let fixed = if self.writes() { self.delete(customer_id, shown_at, comparison).await? } else { FixStatus::No };
            comparison
                .differences
                .push(super::Difference { fixed, ..difference(customer_id, DifferenceKind::Extra, Subject::Customer) });
        }
        Ok(())
    }

    /// Deletes a customer that Stigg has archived or does not know. Newer registers stay.
    pub(super) async fn delete(
        &self,
        customer_id: &Id,
        at: Timestamp,
        comparison: &mut Comparison,
    ) -> Result<FixStatus, SyncError> {
        comparison.writes += 1;
        Ok(fix_status(self.write(&CustomerRecord::deletion(customer_id, at)).await?))
    }

    async fn profile(
        &self,
        record: &CustomerRecord,
        shown_at: Timestamp,
        registers: &CustomerRegisters,
        comparison: &mut Comparison,
    ) -> Result<(), SyncError> {
        let visible = registers.visible();
        let shown = visible.as_ref().map(|customer| compare::profile_fields(&customer.profile)).unwrap_or_default();
        let mut differences = Vec::new();
        if visible.is_none() {
            differences.push(difference(&record.id, DifferenceKind::Missing, Subject::Customer));
        } else {
            differences.extend(field_differences(
                &record.id,
                &Subject::Customer,
                compare::differing_fields(&record.fields, &shown),
            ));
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
            differences.extend(field_differences(&record.id, &Subject::Customer, vec![field]));
        }
        if self.writes() && !differences.is_empty() {
            let mut merged = shown;
            merged.extend(record.fields.clone());
            let mut outcome = Outcome::Stale;
            if let Some(created_at) = creation {
                // Carries the current profile with the version of the creation: an earlier version is always safe.
                outcome = outcome.or(self.write(&record.event(true, created_at, &merged)).await?);
                comparison.writes += 1;
            }
            if is_profile_due && creation.is_none_or(|created_at| created_at < shown_at) {
                outcome = outcome.or(self.write(&record.event(false, shown_at, &merged)).await?);
                comparison.writes += 1;
            }
            for difference in &mut differences {
                difference.fixed = fix_status(outcome);
            }
        }
        comparison.differences.extend(differences);
        Ok(())
    }
}
