//! A customer's entitlement lists, at customer level and of its resources.

use std::{
    collections::{BTreeMap, BTreeSet},
    slice,
};

use domain::{
    customer::CustomerRegisters,
    entitlement::{Entitlement, Grant, ScopeRegisters},
    event::{Event, List},
    id::Id,
    register::Register,
    version::Version,
};
use jiff::Timestamp;
use serde::Deserialize as _;
use serde_json::{Map, Value};

use super::{
    Comparison, Difference, DifferenceKind, Mode, Subject, SyncError, Synchronizer, compare, difference, field_differences,
    fix_status, parse_event, skip_on_error,
};
use crate::stigg::{EntitlementState, GrantedEntitlement, list_event, version_at};

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

/// The differences of a list, and the list that fixes them if the mode allows it.
#[derive(Default)]
pub(super) struct ListFinding {
    pub(super) differences: Vec<Difference>,
    pub(super) due: Option<(Version, List)>,
}

impl Synchronizer {
    pub(super) async fn customer_level(
        &self,
        customer_id: &Id,
        registers: &CustomerRegisters,
        scope: &ScopeRegisters,
        comparison: &mut Comparison,
    ) -> Result<ListFinding, SyncError> {
        self.list(customer_id, None, StoredList::of(scope, registers)?, comparison).await
    }

    /// Compares and fixes the lists of the resources in the replica.
    pub(super) async fn resources(
        &self,
        customer_id: &Id,
        registers: &CustomerRegisters,
        comparison: &mut Comparison,
    ) -> Result<(), SyncError> {
        for (resource_id, scope) in self.store.resources(customer_id).await? {
            let Some(stored) = StoredList::of(&scope, registers)? else { continue };
            let result = self.fix_resource(customer_id, &resource_id, Some(stored), comparison).await;
            skip_on_error(result, comparison, "entitlements", customer_id).map_err(SyncError::Fatal)?;
        }
        Ok(())
    }

    /// Compares and fixes the list of a subscription's resource: once per run, and not if it was compared with its customer.
    pub(super) async fn resource(
        &self,
        customer_id: &Id,
        resource_id: &Id,
        registers: &CustomerRegisters,
        comparison: &mut Comparison,
    ) -> Result<(), SyncError> {
        let is_new = self.compared.lock().is_ok_and(|mut compared| compared.insert(customer_id, resource_id));
        if !is_new {
            return Ok(());
        }
        let (_, scope) = self.store.scope(customer_id, Some(resource_id)).await?;
        match StoredList::of(&scope, registers)? {
            Some(_) if self.is_thorough() => Ok(()),
            stored => self.fix_resource(customer_id, resource_id, stored, comparison).await,
        }
    }

    async fn fix_resource(
        &self,
        customer_id: &Id,
        resource_id: &Id,
        stored: Option<StoredList>,
        comparison: &mut Comparison,
    ) -> Result<(), SyncError> {
        let ListFinding { mut differences, due } = self.list(customer_id, Some(resource_id), stored, comparison).await?;
        if let Some((version, list)) = due {
            let lists = slice::from_ref(&list);
            let write = async || self.store.write_lists(customer_id, &version, lists, None, self.stigg.now()).await;
            let fixed = fix_status(self.write(comparison, write).await?);
            for difference in &mut differences {
                difference.fixed = fixed;
            }
        }
        comparison.differences.extend(differences);
        Ok(())
    }

    async fn list(
        &self,
        customer_id: &Id,
        scope: Option<&Id>,
        stored: Option<StoredList>,
        comparison: &mut Comparison,
    ) -> Result<ListFinding, SyncError> {
        let state = self.stigg.entitlement_state(customer_id, scope).await??;
        if state.is_gone && scope.is_none() {
            return Err(SyncError::Skip("the customer is unknown to the Edge API, or archived".to_owned()));
        }
        comparison.lists += 1;
        let version = version_at(state.read_at);
        let (entitlements, stigg) = granted(&state, &version, stored.as_ref())?;
        let ListComparison { differences, drift } = self.compare(customer_id, scope, &state, &stigg, stored.as_ref());
        comparison.drift += drift;
        let is_due = self.writes() && (!differences.is_empty() || (self.mode == Mode::Import && drift > 0));
        let list = is_due.then(|| list_of(customer_id, scope, entitlements)).transpose()?;
        Ok(ListFinding { differences, due: list.map(|list| (version, list)) })
    }

    fn compare(
        &self,
        customer_id: &Id,
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
                compared.differences.push(difference(customer_id, DifferenceKind::Missing, subject));
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
                    compared.differences.push(difference(customer_id, DifferenceKind::Missing, subject));
                    continue;
                }
                (None, _) => {
                    compared.differences.push(difference(customer_id, DifferenceKind::Extra, subject));
                    continue;
                }
            };
            let entry = compare::entitlements(in_stigg, &in_replica.entitlement, now);
            compared.differences.extend(field_differences(customer_id, &subject, entry.fields));
            // Both sides' usage is older than this read, so a measurement was lost. Otherwise an event may be in
            // flight.
            let is_settled =
                updated_at.is_some_and(|time| time <= state.read_at) && in_replica.usage_version.time() <= state.read_at;
            if is_settled {
                compared.differences.extend(field_differences(customer_id, &subject, entry.usage));
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

/// The state's entitlements as events carry them, and as readers merge them. Credit balances that the state lacks are kept
/// from the replica.
fn granted(
    state: &EntitlementState,
    version: &Version,
    stored: Option<&StoredList>,
) -> Result<(Vec<Value>, GrantedFeatures), SyncError> {
    let mut stigg = BTreeMap::new();
    let mut entitlements = Vec::with_capacity(state.granted.len());
    for GrantedEntitlement { entitlement, usage_updated_at } in &state.granted {
        let mut entitlement = entitlement.clone();
        let feature =
            entitlement.get("feature").and_then(|feature| feature.get("id")).and_then(Value::as_str).unwrap_or_default();
        let feature = Id::try_from(feature).map_err(|error| SyncError::Skip(format!("entitlements: `feature.refId` {error}")))?;
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
    Ok((entitlements, stigg))
}

fn list_of(customer_id: &Id, scope: Option<&Id>, entitlements: Vec<Value>) -> Result<List, SyncError> {
    parse_event(&list_event(customer_id, scope, entitlements), |event| match event {
        Event::Entitlements { mut lists, .. } => lists.pop(),
        _ => None,
    })
}
