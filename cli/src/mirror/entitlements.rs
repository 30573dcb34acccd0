//! A customer's lists of entitlements: of the customer level, and of its resources.

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

use super::{Difference, Fatal, Found, How, Mirror, Mode, Of, Trouble, compare, difference, fields, mended, or_skip};
use crate::stigg::{CustomerRecord, Granted, State};

/// Whose lists they are, as the events of lists carry it.
pub(super) struct Owner {
    pub(super) id: Id,
    customer: Map<String, Value>,
    /// When the customer was as it is carried.
    shown_at: Timestamp,
}

impl Owner {
    /// The customer as its own record, just read, shows it.
    pub(super) fn of_record(record: &CustomerRecord, shown_at: Timestamp, registers: &CustomerRegisters) -> Self {
        let mut customer = Self::as_held(&record.id, registers).customer;
        customer.extend(
            record
                .told
                .iter()
                .filter(|(name, _)| CARRIED.contains(&name.as_str()))
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        Self { id: record.id.clone(), customer, shown_at }
    }

    /// The customer as the replica has it. Nothing is learned from that, so it is dated before
    /// everything: it brings nobody back and overwrites nothing.
    pub(super) fn as_held(id: &Id, registers: &CustomerRegisters) -> Self {
        let shown = registers.visible().map(|customer| compare::shown_profile(&customer.profile)).unwrap_or_default();
        let mut customer: Map<String, Value> = shown.into_iter().filter(|(name, _)| CARRIED.contains(&name.as_str())).collect();
        customer.insert("id".to_owned(), id.as_str().into());
        Self { id: id.clone(), customer, shown_at: Timestamp::UNIX_EPOCH }
    }
}

/// What an event of a list carries of its customer.
const CARRIED: [&str; 3] = ["name", "email", "billingId"];

/// A list as the replica shows it.
struct Held {
    features: BTreeMap<Id, HeldFeature>,
}

struct HeldFeature {
    entitlement: Entitlement,
    /// The list's entry as stored.
    json: Map<String, Value>,
    /// The version of the register that usage comes from.
    counted: Version,
}

impl Held {
    /// The scope's visible list. None if there is none.
    fn of(scope: &ScopeRegisters, registers: &CustomerRegisters) -> Result<Option<Self>, Trouble> {
        let tombstone = registers.tombstone.as_ref();
        let Some(list) = scope.visible_list(tombstone) else { return Ok(None) };
        let mut features = BTreeMap::new();
        for (feature_id, entitlement, json) in scope.entitlements(tombstone).map_err(|error| Trouble::Skip(error.to_string()))? {
            let usage = scope.usage.get(&feature_id).filter(|usage| registers.is_visible(&usage.version));
            let counted = usage.map_or(&list.version, |usage| (&usage.version).max(&list.version)).clone();
            let json = serde_json::from_str(json).unwrap_or_default();
            features.insert(feature_id, HeldFeature { entitlement, json, counted });
        }
        Ok(Some(Self { features }))
    }
}

impl Mirror {
    /// Compares the customer level's list, and those of the resources that the replica knows.
    pub(super) async fn lists(
        &self,
        owner: &Owner,
        registers: &CustomerRegisters,
        scope: &ScopeRegisters,
        found: &mut Found,
    ) -> Result<(), Fatal> {
        let result = self.try_lists(owner, registers, scope, found).await;
        or_skip(result, found, "entitlements", &owner.id)?;
        Ok(())
    }

    async fn try_lists(
        &self,
        owner: &Owner,
        registers: &CustomerRegisters,
        scope: &ScopeRegisters,
        found: &mut Found,
    ) -> Result<(), Trouble> {
        let result = self.list(owner, None, Held::of(scope, registers)?, found).await;
        if !self.is_thorough() {
            return result;
        }
        or_skip(result, found, "entitlements", &owner.id).map_err(Trouble::Fatal)?;
        for (resource_id, scope) in self.store.resources(&owner.id).await? {
            let Some(held) = Held::of(&scope, registers)? else { continue };
            let result = self.list(owner, Some(&resource_id), Some(held), found).await;
            or_skip(result, found, "entitlements", &owner.id).map_err(Trouble::Fatal)?;
        }
        Ok(())
    }

    /// Compares the list of a resource that a subscription is for; once a run, and not where it was
    /// compared with its customer.
    pub(super) async fn resource(
        &self,
        owner: &Owner,
        resource_id: &Id,
        registers: &CustomerRegisters,
        found: &mut Found,
    ) -> Result<(), Trouble> {
        let is_new = self.compared.lock().is_ok_and(|mut compared| compared.insert(&owner.id, resource_id));
        if !is_new {
            return Ok(());
        }
        let (_, scope) = self.store.scope(&owner.id, Some(resource_id)).await?;
        match Held::of(&scope, registers)? {
            Some(_) if self.is_thorough() => Ok(()),
            held => self.list(owner, Some(resource_id), held, found).await,
        }
    }

    async fn list(&self, owner: &Owner, scope: Option<&Id>, held: Option<Held>, found: &mut Found) -> Result<(), Trouble> {
        let state = self.stigg.state(&owner.id, scope).await??;
        if state.is_gone && scope.is_none() {
            return Err(Trouble::Skip("the Edge API does not know the customer, or says that it is archived".to_owned()));
        }
        found.lists += 1;
        let (event, stigg) = self.event_of(owner, scope, &state, held.as_ref())?;
        let Compared { mut differences, drift } = self.compare(owner, scope, &state, &stigg, held.as_ref());
        let is_due = !differences.is_empty() || (self.mode == Mode::Import && drift > 0);
        found.drift += drift;
        if self.writes() && is_due {
            found.writes += 1;
            let mended = mended(self.write(&event).await?);
            for difference in &mut differences {
                difference.mended = mended;
            }
        }
        found.differences.extend(differences);
        Ok(())
    }

    /// The event that says this state, and its entitlements as readers would merge them. What the
    /// state does not tell of credits stays as the replica has it.
    fn event_of(
        &self,
        owner: &Owner,
        scope: Option<&Id>,
        state: &State,
        held: Option<&Held>,
    ) -> Result<(Value, Granting), Trouble> {
        let version = Version::new(state.read_at, crate::stigg::MESSAGE_ID);
        let mut stigg = BTreeMap::new();
        let mut entitlements = Vec::with_capacity(state.granted.len());
        for Granted { entitlement, usage_updated_at } in &state.granted {
            let mut entitlement = entitlement.clone();
            let feature =
                entitlement.get("feature").and_then(|feature| feature.get("id")).and_then(Value::as_str).unwrap_or_default();
            let feature =
                Id::try_from(feature).map_err(|error| Trouble::Skip(format!("entitlements: `feature.refId` {error}")))?;
            let balance = held.and_then(|held| held.features.get(&feature)?.json.get("creditBalance").cloned());
            if let (Some(balance), Some(members)) = (balance, entitlement.as_object_mut()) {
                members.entry("creditBalance").or_insert(balance);
            }
            let grant = Grant::deserialize(&entitlement).map_err(|_| {
                Trouble::Skip(format!("entitlements: a member of `{feature}` is of another kind than documented"))
            })?;
            let register = Register { version: version.clone(), value: grant };
            stigg.insert(feature, (Entitlement::new(register, None, None), *usage_updated_at));
            entitlements.push(entitlement);
        }
        Ok((state.event(owner.customer.clone().into(), owner.shown_at, scope, entitlements), stigg))
    }

    fn compare(&self, owner: &Owner, scope: Option<&Id>, state: &State, stigg: &Granting, held: Option<&Held>) -> Compared {
        let mut compared = Compared { differences: Vec::new(), drift: 0 };
        let Some(held) = held else {
            // Without a list a customer is denied as with an empty one; a resource is not, unless Stigg
            // does not know it either.
            if !stigg.is_empty() || (scope.is_some() && !state.is_gone) {
                let of = Of::List { resource_id: scope.cloned() };
                compared.differences.push(difference(&owner.id, How::Missing, of));
            }
            return compared;
        };
        let now = self.stigg.now();
        let both: BTreeSet<&Id> = stigg.keys().chain(held.features.keys()).collect();
        for feature in both {
            let of = Of::Entitlement { resource_id: scope.cloned(), feature_id: feature.clone() };
            let (theirs, ours, updated_at) = match (stigg.get(feature), held.features.get(feature)) {
                (Some((theirs, updated_at)), Some(ours)) => (theirs, ours, updated_at),
                (Some(_), None) => {
                    compared.differences.push(difference(&owner.id, How::Missing, of));
                    continue;
                }
                (None, _) => {
                    compared.differences.push(difference(&owner.id, How::Extra, of));
                    continue;
                }
            };
            let entitled = compare::entitlements(theirs, &ours.entitlement, now);
            compared.differences.extend(fields(&owner.id, &of, entitled.fields));
            // Usage that Stigg counted before what was read, and the replica has not heard of since, is
            // a measurement that was missed. Anything else may be on its way.
            let is_settled = updated_at.is_some_and(|time| time <= state.read_at) && ours.counted.time() <= state.read_at;
            if is_settled {
                compared.differences.extend(fields(&owner.id, &of, entitled.usage));
            } else {
                compared.drift += u64::from(!entitled.usage.is_empty());
            }
        }
        compared
    }
}

/// What Stigg grants of each feature, and when usage of it last changed.
type Granting = BTreeMap<Id, (Entitlement, Option<Timestamp>)>;

struct Compared {
    differences: Vec<Difference>,
    drift: u64,
}
