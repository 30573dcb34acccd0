//! Subscriptions, and the pointers to them in the Customers table.
//!
//! A subscription is in the indexes while it is complete and its customer is live. A writer that changes one of the two
//! reads the other afterwards:
//!
//! - A writer of a subscription writes the pointer, reads the customer, then writes the subscription.
//! - A deletion, or a write that makes a customer live, writes PROFILE, reads the subscriptions that the pointers name, reads
//!   the customer again, and aligns each subscription with it.
//!
//! Each replacement is conditional on the item's revision, and each deletion raises the tombstone of every subscription that
//! it finds. So a replacement that was planned before another change of the customer fails, however long it was delayed,
//! and its writer plans again.

use std::{collections::HashMap, slice};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;

use super::{
    MAX_CONCURRENT_REQUESTS, Outcome, Store, StoreError,
    attribute::{
        CREATION_ORDER, CREATION_VERSION, CUSTOMER_ID, CUSTOMER_ORDER, DATES, DATES_VERSION, DETAILS, DETAILS_VERSION,
        EXPIRES_AT, POINTER_VERSION, SHARD, STATUS, STATUS_VERSION, SUBSCRIPTION_ID, TOMBSTONE,
    },
    customer::{CustomerChange, CustomerSnapshot},
    expiry,
    item::{Item, json},
    key::{creation_order, customer_key, customer_order, number, pointer_item, shard_of, subscription_key, text},
    write::{Plan, Write, Written},
};
use domain::{customer::Embedded, event::SubscriptionChange, id::Id, version::Version};

/// Maximum number of attempts to align a subscription while its customer is deleted and created again.
const MAX_ALIGNMENTS: usize = 4;

/// The version attributes of a subscription's registers.
const REGISTERS: [&str; 4] = [STATUS_VERSION, DATES_VERSION, DETAILS_VERSION, CREATION_VERSION];

/// Registers of a subscription to write.
#[derive(Clone, Copy, Debug)]
pub struct SubscriptionWrite<'a> {
    pub change: &'a SubscriptionChange,
    /// The version of each register of `change`.
    pub version: &'a Version,
    pub creation: Option<&'a Version>,
}

impl Store {
    /// Writes the registers that are newer than the stored ones, and the embedded data of `live_customer`. Stale if none is
    /// newer, or if they are at or below the customer's tombstone.
    pub async fn write_subscription(
        &self,
        subscription_id: &Id,
        write: SubscriptionWrite<'_>,
        live_customer: Option<(&Id, &Embedded)>,
        now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        let SubscriptionWrite { change, version, creation } = write;
        if *change == SubscriptionChange::default() && creation.is_none() {
            return Ok(Outcome::Stale);
        }
        let mut outcome = Outcome::Stale;
        let mut found = Item::default();
        if creation.is_none() {
            match self.update_indexed(subscription_id, version, change).await? {
                Written::Done(_) => outcome = Outcome::Applied,
                Written::Unchanged(item) => found = item,
            }
        }
        let is_done = outcome == Outcome::Applied;
        if let (Some((customer_id, _)), false) = (&change.details, is_done) {
            self.write_pointer(customer_id, subscription_id, version).await?;
        }
        let mut customer = None;
        if let Some((customer_id, embedded)) = live_customer {
            let embedded = CustomerChange { embedded: Some((version, embedded)), ..CustomerChange::default() };
            let (customer_outcome, state) = self.write_customer_registers(customer_id, &embedded, now).await?;
            outcome = outcome.or(customer_outcome);
            customer = Some((customer_id, state));
        }
        if is_done {
            return Ok(outcome);
        }
        self.merge_subscription(subscription_id, write, (found, customer), now).await.map(|merged| merged.or(outcome))
    }

    /// The only write of a frequent event. Conditions: the subscription is in the indexes, and every register is newer than
    /// the stored one.
    async fn update_indexed(
        &self,
        subscription_id: &Id,
        version: &Version,
        change: &SubscriptionChange,
    ) -> Result<Written, StoreError> {
        let SubscriptionChange { status, dates, details } = change;
        let mut write = Write::update(&self.tables.subscriptions, subscription_key(subscription_id));
        write.if_present(SHARD);
        write.if_below(&[TOMBSTONE], text(version.as_str()));
        if let Some(status) = status {
            write.set_register(STATUS_VERSION, version, [(STATUS, text(status))]);
        }
        if let Some(dates) = dates {
            write.set_register(DATES_VERSION, version, [(DATES, json(dates))]);
        }
        if let Some((customer_id, details)) = details {
            write.if_equal(CUSTOMER_ID, text(customer_id.as_str()));
            write.set_register(DETAILS_VERSION, version, [(DETAILS, json(details))]);
        }
        self.write_once(write).await
    }

    /// The pointer has the event's version, so that an older deletion does not remove it before the subscription is
    /// written.
    async fn write_pointer(&self, customer_id: &Id, subscription_id: &Id, version: &Version) -> Result<(), StoreError> {
        let mut write = Write::update(&self.tables.customers, customer_key(customer_id, pointer_item(subscription_id)));
        write.set_register(POINTER_VERSION, version, []);
        let (Written::Done(_) | Written::Unchanged(_)) = self.write_once(write).await?;
        Ok(())
    }

    /// Merges the event into the whole item and aligns it with its customer. `read` is the item, empty if it was not read.
    /// `customer` is its snapshot, if that was taken after the item was read.
    async fn merge_subscription(
        &self,
        subscription_id: &Id,
        write: SubscriptionWrite<'_>,
        (read, customer): (Item, Option<(&Id, CustomerSnapshot)>),
        now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        let mut result = MergeResult::default();
        let plan = MergePlan { store: self, subscription_id, write, customer, now, result: &mut result };
        let item = match self.write_from(read, plan).await? {
            Written::Done(item) => item.unwrap_or_default(),
            Written::Unchanged(item) => item,
        };
        let MergeResult { outcome, owner, tombstone } = result;
        match (owner, tombstone) {
            (Some(owner), Some(tombstone)) if !has_register(&item) => {
                self.remove_pointer(&owner, subscription_id, &tombstone).await?;
            }
            (Some(owner), _) => self.mark_customer_waiting(&owner, subscription_id, item, now).await?,
            (None, _) => {}
        }
        Ok(outcome)
    }

    /// If a complete subscription is not in the indexes, marks its customer, so that the write that makes the customer live
    /// puts the subscription there.
    async fn mark_customer_waiting(
        &self,
        customer_id: &Id,
        subscription_id: &Id,
        mut item: Item,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        for _ in 0..MAX_ALIGNMENTS {
            if !is_complete(&item) || item.has(SHARD) {
                return Ok(());
            }
            let state = self.customer_snapshot(customer_id).await?;
            if !state.is_live && self.mark_waiting(customer_id, &state, now).await? {
                return Ok(());
            }
            item = self.align(subscription_id, customer_id, item, now).await?;
        }
        Err(StoreError::Contended)
    }

    /// Deletes a subscription of this customer at this version: registers at or below it are removed, later ones stay.
    /// For a subscription that no longer exists in Stigg, which has no event for that.
    ///
    /// The tombstone stays for the grace period and rejects late events, as after the deletion of a customer. Stale if
    /// a register is later, or if the subscription is not stored or belongs to another customer.
    ///
    /// # Errors
    /// After an error, the same call again completes an interrupted deletion.
    pub async fn delete_subscription(
        &self,
        subscription_id: &Id,
        customer_id: &Id,
        version: &Version,
        now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        let mut items = self.subscription_items(slice::from_ref(subscription_id)).await?;
        let read = items.remove(subscription_id).unwrap_or_default();
        let plan = AlignPlan { store: self, subscription_id, customer_id, tombstone: Some(version), now };
        let (outcome, item) = match self.write_from(read, plan).await? {
            Written::Done(item) => (Outcome::Applied, item.unwrap_or_default()),
            Written::Unchanged(item) => (Outcome::Stale, item),
        };
        if has_register(&item) {
            return Ok(Outcome::Stale);
        }
        self.remove_pointer(customer_id, subscription_id, version).await?;
        Ok(outcome)
    }

    /// Aligns a subscription with its customer: removes registers at or below the tombstone, and puts it into the indexes or
    /// removes it from them. Leaves subscriptions of other customers unchanged. Returns the item that is then stored.
    async fn align(&self, subscription_id: &Id, customer_id: &Id, read: Item, now: Timestamp) -> Result<Item, StoreError> {
        let plan = AlignPlan { store: self, subscription_id, customer_id, tombstone: None, now };
        Ok(match self.write_from(read, plan).await? {
            Written::Done(item) => item.unwrap_or_default(),
            Written::Unchanged(item) => item,
        })
    }

    /// Removes registers at or below the tombstone from the subscriptions that the pointers name, and pointers to
    /// subscriptions without registers.
    pub(super) async fn sweep_subscriptions(
        &self,
        customer_id: &Id,
        subscription_ids: Vec<Id>,
        tombstone: &Version,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let items = self.subscription_items(&subscription_ids).await?;
        let items = &items;
        let sweep = |subscription_id: Id| async move {
            let read = items.get(&subscription_id).cloned().unwrap_or_default();
            let is_owned = |item: &Item| Ok::<_, StoreError>(owner_of(item)?.is_none_or(|owner| owner == *customer_id));
            let left = if is_owned(&read)? && !has_register_above(&read, tombstone)? {
                self.sweep_subscription(&subscription_id, customer_id, read, tombstone, now).await?
            } else {
                self.align(&subscription_id, customer_id, read, now).await?
            };
            if is_owned(&left)? && has_register_above(&left, tombstone)? {
                self.mark_customer_waiting(customer_id, &subscription_id, left, now).await
            } else {
                self.remove_pointer(customer_id, &subscription_id, tombstone).await
            }
        };
        stream::iter(subscription_ids).map(Ok).try_for_each_concurrent(MAX_CONCURRENT_REQUESTS, sweep).await
    }

    /// Removes all registers of a subscription that has none above the tombstone, without reading the customer. If the item
    /// has changed since it was read, aligns it instead.
    async fn sweep_subscription(
        &self,
        subscription_id: &Id,
        customer_id: &Id,
        read: Item,
        tombstone: &Version,
        now: Timestamp,
    ) -> Result<Item, StoreError> {
        let state = CustomerSnapshot::deleted(tombstone.clone());
        let mut new = read.clone();
        derive_attributes(&mut new, subscription_id, Some(&state), now)?;
        if new == read {
            return Ok(read);
        }
        match self.write_once(self.replace_subscription(subscription_id, &read, new)).await? {
            Written::Done(item) => Ok(item.unwrap_or_default()),
            Written::Unchanged(item) => self.align(subscription_id, customer_id, item, now).await,
        }
    }

    /// Removes a pointer, unless its version is above the tombstone.
    async fn remove_pointer(&self, customer_id: &Id, subscription_id: &Id, tombstone: &Version) -> Result<(), StoreError> {
        let mut write = Write::delete(&self.tables.customers, customer_key(customer_id, pointer_item(subscription_id)));
        write.if_not_above(POINTER_VERSION, text(tombstone.as_str()));
        let (Written::Done(_) | Written::Unchanged(_)) = self.write_once(write).await?;
        Ok(())
    }

    /// Puts a live customer's waiting subscriptions into the indexes, and removes the mark.
    pub(super) async fn index_waiting_subscriptions(
        &self,
        customer_id: &Id,
        mark: u64,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let subscription_ids = self.subscription_ids(customer_id).await?;
        let items = self.subscription_items(&subscription_ids).await?;
        let align = |(subscription_id, item): (Id, Item)| async move {
            self.align(&subscription_id, customer_id, item, now).await.map(|_| ())
        };
        stream::iter(items).map(Ok).try_for_each_concurrent(MAX_CONCURRENT_REQUESTS, align).await?;
        self.remove_waiting(customer_id, mark).await
    }

    fn replace_subscription(&self, subscription_id: &Id, found: &Item, new: Item) -> Write {
        Write::replace(&self.tables.subscriptions, subscription_key(subscription_id), found, new)
    }

    /// Strongly consistent.
    async fn subscription_items(&self, ids: &[Id]) -> Result<HashMap<Id, Item>, StoreError> {
        let keys = ids.iter().map(subscription_key).collect();
        let items = self.batch_get(&self.tables.subscriptions, keys, &[], true).await?;
        items.into_iter().map(|item| Ok((item.id(SUBSCRIPTION_ID)?, item))).collect()
    }
}

/// The result of the last plan of a [`MergePlan`].
#[derive(Default)]
struct MergeResult {
    outcome: Outcome,
    owner: Option<Id>,
    /// The higher of the owner's tombstone and the subscription's own.
    tombstone: Option<Version>,
}

/// See [`Store::merge_subscription`].
struct MergePlan<'a> {
    store: &'a Store,
    subscription_id: &'a Id,
    write: SubscriptionWrite<'a>,
    customer: Option<(&'a Id, CustomerSnapshot)>,
    now: Timestamp,
    result: &'a mut MergeResult,
}

impl Plan for MergePlan<'_> {
    async fn plan(&mut self, found: Option<&Item>) -> Result<Option<Write>, StoreError> {
        let no_item = Item::default();
        let found = found.unwrap_or(&no_item);
        let is_absent = *found == Item::default();
        let mut new = found.clone();
        let is_newer = merge(&mut new, self.write)?;
        let owner = owner_of(&new)?;
        let state = match (&owner, self.customer.take()) {
            (None, _) => None,
            // A state that is implied by a write's conditions lacks the tombstone: it suffices for a new item only.
            (Some(owner), Some((customer_id, state))) if owner == customer_id && is_absent => Some(state),
            (Some(owner), _) => Some(self.store.customer_snapshot(owner).await?),
        };
        derive_attributes(&mut new, self.subscription_id, state.as_ref(), self.now)?;
        let tombstone = new.version(TOMBSTONE)?;
        let is_deleted = tombstone.as_ref().is_some_and(|tombstone| self.write.version <= tombstone);
        let outcome = if is_newer && !is_deleted { Outcome::Applied } else { Outcome::Stale };
        *self.result = MergeResult { outcome, owner, tombstone };
        // An event from before a deletion writes the tombstone even if the subscription is unknown: only the condition of
        // the write shows whether there is an item to sweep.
        Ok((new != *found).then(|| self.store.replace_subscription(self.subscription_id, found, new)))
    }
}

/// See [`Store::align`] and [`Store::delete_subscription`].
struct AlignPlan<'a> {
    store: &'a Store,
    subscription_id: &'a Id,
    customer_id: &'a Id,
    /// A tombstone of the subscription's own.
    tombstone: Option<&'a Version>,
    now: Timestamp,
}

impl Plan for AlignPlan<'_> {
    async fn plan(&mut self, found: Option<&Item>) -> Result<Option<Write>, StoreError> {
        let Some(found) = found else { return Ok(None) };
        if *found == Item::default() || owner_of(found)?.is_some_and(|owner| owner != *self.customer_id) {
            return Ok(None);
        }
        let state = self.store.customer_snapshot(self.customer_id).await?;
        let mut new = found.clone();
        if let Some(tombstone) = self.tombstone {
            new.raise_tombstone(tombstone)?;
        }
        derive_attributes(&mut new, self.subscription_id, Some(&state), self.now)?;
        Ok((new != *found).then(|| self.store.replace_subscription(self.subscription_id, found, new)))
    }
}

/// Sets the registers that are newer than the stored ones. Returns whether there are any.
fn merge(item: &mut Item, write: SubscriptionWrite<'_>) -> Result<bool, StoreError> {
    let SubscriptionWrite { change: SubscriptionChange { status, dates, details }, version, creation } = write;
    let mut is_newer = false;
    if let Some(status) = status {
        is_newer |= item.upsert(STATUS_VERSION, version, [(STATUS, text(status))])?;
    }
    if let Some(dates) = dates {
        is_newer |= item.upsert(DATES_VERSION, version, [(DATES, json(dates))])?;
    }
    if let Some((customer_id, details)) = details {
        let values = [(DETAILS, json(details)), (CUSTOMER_ID, text(customer_id.as_str()))];
        is_newer |= item.upsert(DETAILS_VERSION, version, values)?;
    }
    if let Some(version) = creation {
        is_newer |= item.upsert(CREATION_VERSION, version, [])?;
    }
    Ok(is_newer)
}

/// See [`Store::align`]. Without a state, the owner is not known yet. Items outside the indexes get an expiry.
fn derive_attributes(
    item: &mut Item,
    subscription_id: &Id,
    state: Option<&CustomerSnapshot>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let before = item.clone();
    if let Some(tombstone) = state.and_then(|state| state.tombstone.as_ref()) {
        item.raise_tombstone(tombstone)?;
    }
    if let Some(tombstone) = item.version(TOMBSTONE)? {
        item.prune(STATUS_VERSION, &[STATUS], &tombstone)?;
        item.prune(DATES_VERSION, &[DATES], &tombstone)?;
        item.prune(DETAILS_VERSION, &[DETAILS, CUSTOMER_ID, CUSTOMER_ORDER], &tombstone)?;
        item.prune(CREATION_VERSION, &[], &tombstone)?;
    }
    let creation = item.version(CREATION_VERSION)?;
    item.set(CREATION_ORDER, text(creation_order(creation.as_ref().map(Version::time_text), subscription_id)));
    let owner = owner_of(item)?;
    if let Some(owner) = &owner {
        item.set(CUSTOMER_ORDER, text(customer_order(owner, subscription_id.as_str())));
    }
    match owner {
        Some(owner) if is_complete(item) && state.is_some_and(|state| state.is_live) => {
            item.set(SHARD, number(shard_of(&owner)));
            item.remove(&[EXPIRES_AT]);
        }
        _ => {
            item.remove(&[SHARD]);
            // An unchanged item keeps its expiry.
            if *item != before || !item.has(EXPIRES_AT) {
                item.set(EXPIRES_AT, number(expiry(now)));
            }
        }
    }
    Ok(())
}

fn owner_of(item: &Item) -> Result<Option<Id>, StoreError> {
    if item.has(CUSTOMER_ID) { item.id(CUSTOMER_ID).map(Some) } else { Ok(None) }
}

fn is_complete(item: &Item) -> bool {
    [STATUS_VERSION, DATES_VERSION, DETAILS_VERSION].iter().all(|register| item.has(register))
}

fn has_register(item: &Item) -> bool {
    REGISTERS.iter().any(|register| item.has(register))
}

fn has_register_above(item: &Item, tombstone: &Version) -> Result<bool, StoreError> {
    for register in REGISTERS {
        if item.version(register)?.is_some_and(|version| version > *tombstone) {
            return Ok(true);
        }
    }
    Ok(false)
}
