//! A customer's profile, creation, archiving and customer-level list.

use domain::{
    customer::{CustomerRegisters, CustomerState, Profile},
    entitlement::ScopeRegisters,
    event::Event,
    id::Id,
    version::Version,
};
use jiff::Timestamp;
use store::{CustomerChange, CustomerRow, Outcome};

use super::{
    Comparison, Difference, DifferenceKind, Fatal, FixStatus, Subject, SyncError, Synchronizer, compare, creation_field,
    difference, entitlements::ListFinding, field_differences, fix_status, missing_creation, parse_event, skip_on_error,
};
use crate::stigg::{CustomerRecord, version_at};

/// The differences of a customer's own fields, and the registers that fix them if the mode allows it.
#[derive(Default)]
struct ProfileFinding {
    differences: Vec<Difference>,
    profile: Option<(Version, Box<Profile>)>,
    creation: Option<Version>,
}

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
        if record.is_archived {
            let result = self.archived(&record.id, shown_at, registers, &mut comparison).await;
            skip_on_error(result, &mut comparison, "customer", &record.id)?;
            return Ok(comparison);
        }
        let profile = self.profile(record, shown_at, registers);
        let profile = skip_on_error(profile, &mut comparison, "customer", &record.id)?.unwrap_or_default();
        let list = self.customer_level(&record.id, registers, scope, &mut comparison).await;
        let list = skip_on_error(list, &mut comparison, "entitlements", &record.id)?.unwrap_or_default();
        self.fix_customer(&record.id, profile, list, &mut comparison).await?;
        if self.is_thorough() {
            let result = self.resources(&record.id, registers, &mut comparison).await;
            skip_on_error(result, &mut comparison, "entitlements", &record.id)?;
        }
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
                .push(Difference { fixed, ..difference(customer_id, DifferenceKind::Extra, Subject::Customer) });
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
        let version = version_at(at);
        let delete = async || self.store.delete_customer(customer_id, &version, self.stigg.now()).await;
        Ok(fix_status(self.write(comparison, delete).await?))
    }

    fn profile(
        &self,
        record: &CustomerRecord,
        shown_at: Timestamp,
        registers: &CustomerRegisters,
    ) -> Result<ProfileFinding, SyncError> {
        let visible = registers.visible();
        let shown = visible.as_ref().map(|customer| compare::profile_fields(&customer.profile)).unwrap_or_default();
        let mut differences: Vec<Difference> = match &visible {
            None => vec![difference(&record.id, DifferenceKind::Missing, Subject::Customer)],
            Some(_) => {
                let fields = compare::differing_fields(&record.fields, &shown);
                field_differences(&record.id, &Subject::Customer, fields).collect()
            }
        };
        let is_due = !differences.is_empty();
        let known = visible.as_ref().and_then(|customer| customer.created_at.as_deref());
        let creation = missing_creation(record.created_at, known, registers.tombstone.as_ref(), self.stigg.now());
        if let (Some(_), Some(creation)) = (&visible, &creation) {
            differences.extend(field_differences(&record.id, &Subject::Customer, vec![creation_field(creation)]));
        }
        let mut profile = None;
        if is_due && self.writes() {
            let mut merged = shown;
            merged.extend(record.fields.clone());
            let event = record.event(merged);
            let value = parse_event(&event, |event| match event {
                Event::Customer { profile, .. } => Some(profile),
                _ => None,
            })?;
            // A customer created within the lag is shown later than that, and must be above a tombstone from before.
            let time = creation.as_ref().map_or(shown_at, |creation| creation.time().max(shown_at));
            profile = Some((version_at(time), value));
        }
        Ok(ProfileFinding { differences, profile, creation })
    }

    /// Writes the customer and its list together, if the mode allows it.
    async fn fix_customer(
        &self,
        customer_id: &Id,
        ProfileFinding { mut differences, profile, creation }: ProfileFinding,
        mut list: ListFinding,
        comparison: &mut Comparison,
    ) -> Result<(), Fatal> {
        let mut change = CustomerChange {
            profile: profile.as_ref().map(|(version, profile)| (version, &**profile)),
            creation: creation.as_ref(),
            list: list.due.as_ref().map(|(version, list)| (version, list)),
            ..CustomerChange::default()
        };
        if self.writes() && change != CustomerChange::default() {
            let mut written = self.write_customer(customer_id, &change, comparison).await;
            if let (Err(SyncError::Skip(reason)), Some(_), Some(_)) = (&written, change.profile, change.list) {
                // Too large for an item. The customer without its list is not.
                comparison.skip("entitlements", customer_id, reason);
                change.list = None;
                written = self.write_customer(customer_id, &change, comparison).await;
            }
            let record = if change.profile.is_some() { "customer" } else { "entitlements" };
            if let Some(outcome) = skip_on_error(written, comparison, record, customer_id)? {
                let of_list = change.list.is_some().then_some(&mut list.differences);
                for difference in differences.iter_mut().chain(of_list.into_iter().flatten()) {
                    difference.fixed = fix_status(outcome);
                }
            }
        }
        comparison.differences.extend(differences);
        comparison.differences.extend(list.differences);
        Ok(())
    }

    async fn write_customer(
        &self,
        customer_id: &Id,
        change: &CustomerChange<'_>,
        comparison: &mut Comparison,
    ) -> Result<Outcome, SyncError> {
        self.write(comparison, async || self.store.write_customer(customer_id, change, self.stigg.now()).await).await
    }
}
