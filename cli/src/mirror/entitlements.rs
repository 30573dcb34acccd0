//! A customer's lists of entitlements: of the customer level, and of its resources.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Deserialize as _;
use serde_json::{Map, Value};
use shared::{
    customer::{CustomerRegisters, Register},
    entitlement::{Entitlement, FeatureState, Grant, merge},
    id::Id,
    store::FeatureRow,
    version::Version,
};

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
    /// The grant as it is stored.
    json: Map<String, Value>,
    /// The version of what gives the numbers.
    counted: Version,
}

impl Held {
    /// The list under its register, from the rows of its customer's features.
    fn of(scope: Option<&Id>, list: &Register<u64>, rows: &[FeatureRow], registers: &CustomerRegisters) -> Self {
        let mut features = BTreeMap::new();
        for row in rows.iter().filter(|row| row.resource_id.as_ref() == scope) {
            let Some(stored) = registers.seen(&row.grant) else { continue };
            let (Ok(grant), Ok(json)) = (serde_json::from_str::<Grant>(&stored.value), serde_json::from_str(&stored.value))
            else {
                continue;
            };
            let usage = registers.seen(&row.usage);
            let counted = usage.map_or(&stored.version, |usage| (&usage.version).max(&stored.version)).clone();
            let grant = Register { version: stored.version.clone(), value: grant };
            if let FeatureState::Granted(entitlement) = merge(Some(grant), usage, &list.version) {
                features.insert(row.feature_id.clone(), HeldFeature { entitlement: *entitlement, json, counted });
            }
        }
        Self { features }
    }
}

impl Mirror {
    /// Compares the customer level's list, and those of the resources that the replica knows.
    pub(super) async fn lists(&self, owner: &Owner, registers: &CustomerRegisters, found: &mut Found) -> Result<(), Fatal> {
        let result = self.try_lists(owner, registers, found).await;
        or_skip(result, found, "entitlements", &owner.id)?;
        Ok(())
    }

    async fn try_lists(&self, owner: &Owner, registers: &CustomerRegisters, found: &mut Found) -> Result<(), Trouble> {
        let own = registers.seen(&registers.list);
        if !self.is_thorough() {
            let rows = match own {
                Some(_) => self.store.features(&owner.id, Some(None)).await?,
                None => Vec::new(),
            };
            return self.list(owner, None, own.map(|list| Held::of(None, list, &rows, registers)), found).await;
        }
        let rows = self.store.features(&owner.id, None).await?;
        let result = self.list(owner, None, own.map(|list| Held::of(None, list, &rows, registers)), found).await;
        or_skip(result, found, "entitlements", &owner.id).map_err(Trouble::Fatal)?;
        for resource in self.store.resources(&owner.id).await? {
            let Some(list) = registers.seen(&resource.list) else { continue };
            let held = Held::of(Some(&resource.resource_id), list, &rows, registers);
            let result = self.list(owner, Some(&resource.resource_id), Some(held), found).await;
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
        let resources = self.store.resources(&owner.id).await?;
        let list =
            resources.iter().find(|resource| resource.resource_id == *resource_id).and_then(|held| registers.seen(&held.list));
        let held = match list {
            Some(_) if self.is_thorough() => return Ok(()),
            Some(list) => {
                let rows = self.store.features(&owner.id, Some(Some(resource_id))).await?;
                Some(Held::of(Some(resource_id), list, &rows, registers))
            }
            None => None,
        };
        self.list(owner, Some(resource_id), held, found).await
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
            if let FeatureState::Granted(merged) = merge(Some(register), None, &version) {
                stigg.insert(feature, (*merged, *usage_updated_at));
            }
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
