//! A customer's entitlement lists, at customer level and of its resources.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    customer::CustomerRegisters,
    entitlement::{Entitlement, Grant, ScopeRegisters},
    id::Id,
    register::Register,
    version::Version,
};
use jiff::Timestamp;
use serde::Deserialize as _;
use serde_json::{Map, Value};

use super::{
    Comparison, Difference, DifferenceKind, Fatal, Mode, Subject, SyncError, Synchronizer, compare, difference,
    field_differences, fix_status, skip_on_error,
};
use crate::stigg::{CustomerRecord, EntitlementState, GrantedEntitlement};

/// The customer that owns the lists, as `entitlements.updated` events carry it.
pub(super) struct Owner {
    pub(super) id: Id,
    customer: Map<String, Value>,
    /// The version time of the fields in `customer`.
    shown_at: Timestamp,
}

impl Owner {
    /// From the customer's record, just read from Stigg.
    pub(super) fn from_record(record: &CustomerRecord, shown_at: Timestamp, registers: &CustomerRegisters) -> Self {
        let mut customer = Self::from_replica(&record.id, registers).customer;
        customer.extend(
            record
                .fields
                .iter()
                .filter(|(name, _)| CUSTOMER_FIELDS.contains(&name.as_str()))
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        Self { id: record.id.clone(), customer, shown_at }
    }

    /// From the replica's own data. Dated at the epoch, so that it neither resurrects the customer nor overwrites anything.
    pub(super) fn from_replica(id: &Id, registers: &CustomerRegisters) -> Self {
        let shown = registers.visible().map(|customer| compare::profile_fields(&customer.profile)).unwrap_or_default();
        let mut customer: Map<String, Value> =
            shown.into_iter().filter(|(name, _)| CUSTOMER_FIELDS.contains(&name.as_str())).collect();
        customer.insert("id".to_owned(), id.as_str().into());
        Self { id: id.clone(), customer, shown_at: Timestamp::UNIX_EPOCH }
    }
}

/// Customer fields in an `entitlements.updated` event.
const CUSTOMER_FIELDS: [&str; 3] = ["name", "email", "billingId"];

/// The replica's visible list.
struct StoredList {
    features: BTreeMap<Id, StoredEntitlement>,
}

struct StoredEntitlement {
    entitlement: Entitlement,
    /// The list's entry as stored.
    json: Map<String, Value>,
    /// The version of the register that usage comes from.
    usage_version: Version,
}

impl StoredList {
    /// Returns None if the scope has no visible list.
    fn of(scope: &ScopeRegisters, registers: &CustomerRegisters) -> Result<Option<Self>, SyncError> {
        let tombstone = registers.tombstone.as_ref();
        let Some(list) = scope.visible_list(tombstone) else { return Ok(None) };
        let mut features = BTreeMap::new();
        for (feature_id, entitlement, json) in
            scope.entitlements(tombstone).map_err(|error| SyncError::Skip(error.to_string()))?
        {
            let usage = scope.usage.get(&feature_id).filter(|usage| registers.is_visible(&usage.version));
            let usage_version = usage.map_or(&list.version, |usage| (&usage.version).max(&list.version)).clone();
            let json = serde_json::from_str(json).unwrap_or_default();
            features.insert(feature_id, StoredEntitlement { entitlement, json, usage_version });
        }
        Ok(Some(Self { features }))
    }
}

impl Synchronizer {
    /// Compares the customer-level list and those of the resources in the replica.
    pub(super) async fn lists(
        &self,
        owner: &Owner,
        registers: &CustomerRegisters,
        scope: &ScopeRegisters,
        comparison: &mut Comparison,
    ) -> Result<(), Fatal> {
        let result = self.try_lists(owner, registers, scope, comparison).await;
        skip_on_error(result, comparison, "entitlements", &owner.id)?;
        Ok(())
    }

    async fn try_lists(
        &self,
        owner: &Owner,
        registers: &CustomerRegisters,
        scope: &ScopeRegisters,
        comparison: &mut Comparison,
    ) -> Result<(), SyncError> {
        let result = self.list(owner, None, StoredList::of(scope, registers)?, comparison).await;
        if !self.is_thorough() {
            return result;
        }
        skip_on_error(result, comparison, "entitlements", &owner.id).map_err(SyncError::Fatal)?;
        for (resource_id, scope) in self.store.resources(&owner.id).await? {
            let Some(stored) = StoredList::of(&scope, registers)? else { continue };
            let result = self.list(owner, Some(&resource_id), Some(stored), comparison).await;
            skip_on_error(result, comparison, "entitlements", &owner.id).map_err(SyncError::Fatal)?;
        }
        Ok(())
    }

    /// Compares the list of a subscription's resource: once per run, and not if it was compared with its customer.
    pub(super) async fn resource(
        &self,
        owner: &Owner,
        resource_id: &Id,
        registers: &CustomerRegisters,
        comparison: &mut Comparison,
    ) -> Result<(), SyncError> {
        let is_new = self.compared.lock().is_ok_and(|mut compared| compared.insert(&owner.id, resource_id));
        if !is_new {
            return Ok(());
        }
        let (_, scope) = self.store.scope(&owner.id, Some(resource_id)).await?;
        match StoredList::of(&scope, registers)? {
            Some(_) if self.is_thorough() => Ok(()),
            stored => self.list(owner, Some(resource_id), stored, comparison).await,
        }
    }

    async fn list(
        &self,
        owner: &Owner,
        scope: Option<&Id>,
        stored: Option<StoredList>,
        comparison: &mut Comparison,
    ) -> Result<(), SyncError> {
        let state = self.stigg.entitlement_state(&owner.id, scope).await??;
        if state.is_gone && scope.is_none() {
            return Err(SyncError::Skip("the customer is unknown to the Edge API, or archived".to_owned()));
        }
        comparison.lists += 1;
        let (event, stigg) = self.event_of(owner, scope, &state, stored.as_ref())?;
        let ListComparison { mut differences, drift } = self.compare(owner, scope, &state, &stigg, stored.as_ref());
        let is_due = !differences.is_empty() || (self.mode == Mode::Import && drift > 0);
        comparison.drift += drift;
        if self.writes() && is_due {
            comparison.writes += 1;
            let fixed = fix_status(self.write(&event).await?);
            for difference in &mut differences {
                difference.fixed = fixed;
            }
        }
        comparison.differences.extend(differences);
        Ok(())
    }

    /// The event that carries this state, and its entitlements as readers merge them. Credit balances that the
    /// state lacks are kept from the replica.
    fn event_of(
        &self,
        owner: &Owner,
        scope: Option<&Id>,
        state: &EntitlementState,
        stored: Option<&StoredList>,
    ) -> Result<(Value, GrantedFeatures), SyncError> {
        let version = Version::new(state.read_at, crate::stigg::MESSAGE_ID);
        let mut stigg = BTreeMap::new();
        let mut entitlements = Vec::with_capacity(state.granted.len());
        for GrantedEntitlement { entitlement, usage_updated_at } in &state.granted {
            let mut entitlement = entitlement.clone();
            let feature =
                entitlement.get("feature").and_then(|feature| feature.get("id")).and_then(Value::as_str).unwrap_or_default();
            let feature =
                Id::try_from(feature).map_err(|error| SyncError::Skip(format!("entitlements: `feature.refId` {error}")))?;
            let balance = stored.and_then(|stored| stored.features.get(&feature)?.json.get("creditBalance").cloned());
            if let (Some(balance), Some(members)) = (balance, entitlement.as_object_mut()) {
                members.entry("creditBalance").or_insert(balance);
            }
            let grant = Grant::deserialize(&entitlement)
                .map_err(|_| SyncError::Skip(format!("entitlements: a field of `{feature}` has another type than documented")))?;
            let register = Register { version: version.clone(), value: grant };
            stigg.insert(feature, (Entitlement::new(register, None, None), *usage_updated_at));
            entitlements.push(entitlement);
        }
        Ok((state.event(owner.customer.clone().into(), owner.shown_at, scope, entitlements), stigg))
    }

    fn compare(
        &self,
        owner: &Owner,
        scope: Option<&Id>,
        state: &EntitlementState,
        stigg: &GrantedFeatures,
        stored: Option<&StoredList>,
    ) -> ListComparison {
        let mut compared = ListComparison { differences: Vec::new(), drift: 0 };
        let Some(stored) = stored else {
            // A customer without a list is denied like one with an empty list. A resource is not, unless it is
            // unknown to Stigg too.
            if !stigg.is_empty() || (scope.is_some() && !state.is_gone) {
                let subject = Subject::List { resource_id: scope.cloned() };
                compared.differences.push(difference(&owner.id, DifferenceKind::Missing, subject));
            }
            return compared;
        };
        let now = self.stigg.now();
        let features: BTreeSet<&Id> = stigg.keys().chain(stored.features.keys()).collect();
        for feature in features {
            let subject = Subject::Entitlement { resource_id: scope.cloned(), feature_id: feature.clone() };
            let (in_stigg, in_replica, updated_at) = match (stigg.get(feature), stored.features.get(feature)) {
                (Some((in_stigg, updated_at)), Some(in_replica)) => (in_stigg, in_replica, updated_at),
                (Some(_), None) => {
                    compared.differences.push(difference(&owner.id, DifferenceKind::Missing, subject));
                    continue;
                }
                (None, _) => {
                    compared.differences.push(difference(&owner.id, DifferenceKind::Extra, subject));
                    continue;
                }
            };
            let entry = compare::entitlements(in_stigg, &in_replica.entitlement, now);
            compared.differences.extend(field_differences(&owner.id, &subject, entry.fields));
            // Both sides' usage is older than this read, so a measurement was lost. Otherwise an event may be in
            // flight.
            let is_settled =
                updated_at.is_some_and(|time| time <= state.read_at) && in_replica.usage_version.time() <= state.read_at;
            if is_settled {
                compared.differences.extend(field_differences(&owner.id, &subject, entry.usage));
            } else {
                compared.drift += u64::from(!entry.usage.is_empty());
            }
        }
        compared
    }
}

/// Entitlement and last usage update by feature.
type GrantedFeatures = BTreeMap<Id, (Entitlement, Option<Timestamp>)>;

struct ListComparison {
    differences: Vec<Difference>,
    drift: u64,
}
