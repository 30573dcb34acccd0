//! Items of the Subscriptions table, and the pointers to them beside their customer.
//!
//! A subscription is in the indexes exactly while it is complete and its customer is live. Whoever changes one of the two
//! looks at the other afterwards:
//!
//! - A writer of a subscription writes the pointer, then reads the customer, then writes the subscription.
//! - A deletion, and a write that makes a customer live, write PROFILE, then read the subscriptions that pointers name,
//!   then read the customer again, and replace each subscription that does not fit.
//!
//! Each replacement is conditional on the item's revision, and each deletion raises the tombstone of every subscription
//! that it finds. So a replacement that was decided before another change of the customer is refused, however late
//! DynamoDB carries it out, and its writer decides anew.

use std::{collections::HashMap, slice};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;

use super::{
    CONCURRENT, Outcome, Store, StoreError,
    attribute::{
        CREATION_ORDER, CREATION_VERSION, CUSTOMER_ID, CUSTOMER_ORDER, DATES, DATES_VERSION, DETAILS, DETAILS_VERSION,
        EXPIRES_AT, POINTER_VERSION, SHARD, STATUS, STATUS_VERSION, SUBSCRIPTION_ID, TOMBSTONE,
    },
    customer::{CustomerChange, CustomerState},
    expiry,
    item::{Item, json},
    key::{creation_order, customer_key, customer_order, number, pointer_item, shard_of, subscription_key, text},
    write::{Plan, Write, Written},
};
use domain::{customer::Embedded, event::SubscriptionChange, id::Id, version::Version};

/// How often a subscription is settled anew while its customer comes and goes.
const MAX_ROUNDS: usize = 4;

/// The registers of a subscription, by their versions.
const REGISTERS: [&str; 4] = [STATUS_VERSION, DATES_VERSION, DETAILS_VERSION, CREATION_VERSION];

impl Store {
    /// Writes the registers of a subscription that the event carries and that are newer than the stored ones, and the
    /// customer that it shows alive.
    ///
    /// Stale if every register held this version or a higher one, or the version is at or below the customer's
    /// tombstone.
    ///
    /// # Errors
    /// The same event again completes what an error interrupted.
    pub async fn write_subscription(
        &self,
        subscription_id: &Id,
        version: &Version,
        change: &SubscriptionChange,
        alive: Option<(&Id, &Embedded)>,
        now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        if *change == SubscriptionChange::default() {
            return Ok(Outcome::Stale);
        }
        let mut outcome = Outcome::Stale;
        let mut found = Item::default();
        if !change.created {
            match self.update_listed(subscription_id, version, change).await? {
                Written::Done(_) => outcome = Outcome::Applied,
                Written::Unchanged(item) => found = item,
            }
        }
        let is_done = outcome == Outcome::Applied;
        if let (Some((customer_id, _)), false) = (&change.details, is_done) {
            self.point_to(customer_id, subscription_id, version).await?;
        }
        let mut shown = None;
        if let Some((customer_id, embedded)) = alive {
            let of_customer = CustomerChange { embedded: Some((version, embedded)), ..CustomerChange::default() };
            let (of_customer, state) = self.write_customer(customer_id, &of_customer, now).await?;
            outcome = outcome.or(of_customer);
            shown = Some((customer_id, state));
        }
        if is_done {
            return Ok(outcome);
        }
        self.merge_subscription(subscription_id, (version, change), (found, shown), now).await.map(|merged| merged.or(outcome))
    }

    /// The one write of a frequent event: the subscription is in the indexes, and every register that the event carries
    /// is newer than the stored one.
    async fn update_listed(
        &self,
        subscription_id: &Id,
        version: &Version,
        change: &SubscriptionChange,
    ) -> Result<Written, StoreError> {
        let SubscriptionChange { status, dates, details, created: _ } = change;
        let plan = |found: Option<&Item>| {
            if found.is_some() {
                return Ok(None);
            }
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
            Ok(Some(write))
        };
        self.write(plan).await
    }

    /// Writes the pointer. It carries the version, so that a deletion between it and the subscription's registers leaves
    /// it.
    async fn point_to(&self, customer_id: &Id, subscription_id: &Id, version: &Version) -> Result<(), StoreError> {
        let plan = |found: Option<&Item>| {
            if found.is_some() {
                return Ok(None);
            }
            let mut write = Write::update(&self.tables.customers, customer_key(customer_id, pointer_item(subscription_id)));
            write.set_register(POINTER_VERSION, version, []);
            Ok(Some(write))
        };
        match self.write(plan).await? {
            Written::Done(_) | Written::Unchanged(_) => Ok(()),
        }
    }

    /// Merges the event into the whole item, and puts it into the indexes or takes it out as its customer is live or not.
    /// `read` is the item as far as it is known, and its customer as read after that.
    async fn merge_subscription(
        &self,
        subscription_id: &Id,
        (version, change): (&Version, &SubscriptionChange),
        (read, mut shown): (Item, Option<(&Id, CustomerState)>),
        now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        let (mut merged, read) = (Merged::default(), &read);
        let plan = Merge { store: self, subscription_id, version, change, read, shown: shown.take(), now, merged: &mut merged };
        let item = match self.write(plan).await? {
            Written::Done(item) => item.unwrap_or_default(),
            Written::Unchanged(item) if item == Item::default() => read.clone(),
            Written::Unchanged(item) => item,
        };
        let Merged { outcome, owner, tombstone } = merged;
        match (owner, tombstone) {
            (Some(owner), Some(tombstone)) if !has_register(&item) => {
                self.remove_pointer(&owner, subscription_id, &tombstone).await?;
            }
            (Some(owner), _) => self.wait_for(&owner, subscription_id, item, now).await?,
            (None, _) => {}
        }
        Ok(outcome)
    }

    /// Marks the customer of a complete subscription that is not in the indexes, so that whoever makes the customer live
    /// puts it there.
    async fn wait_for(&self, customer_id: &Id, subscription_id: &Id, mut item: Item, now: Timestamp) -> Result<(), StoreError> {
        for _ in 0..MAX_ROUNDS {
            if !is_complete(&item) || item.has(SHARD) {
                return Ok(());
            }
            let state = self.customer_state(customer_id).await?;
            if !state.is_live && self.mark_waiting(customer_id, &state, now).await? {
                return Ok(());
            }
            item = self.settle(subscription_id, customer_id, item, now).await?;
        }
        Err(StoreError::Contended)
    }

    /// Deletes a subscription of this customer at this version: registers at or below it are removed, later ones stay.
    /// For a subscription that Stigg does not know; Stigg has no event that says so.
    ///
    /// The tombstone stays for the grace period and keeps late events out, as after the deletion of a customer. Stale if
    /// a register is later, or if the subscription is unknown or another customer's.
    ///
    /// # Errors
    /// The same again completes what an error interrupted.
    pub async fn delete_subscription(
        &self,
        subscription_id: &Id,
        customer_id: &Id,
        version: &Version,
        now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        let mut items = self.subscription_items(slice::from_ref(subscription_id)).await?;
        let read = items.remove(subscription_id).unwrap_or_default();
        let plan = Settle { store: self, subscription_id, customer_id, read: &read, tombstone: Some(version), now };
        let (outcome, item) = match self.write(plan).await? {
            Written::Done(item) => (Outcome::Applied, item.unwrap_or_default()),
            Written::Unchanged(item) if item == Item::default() => (Outcome::Stale, read),
            Written::Unchanged(item) => (Outcome::Stale, item),
        };
        if has_register(&item) {
            return Ok(Outcome::Stale);
        }
        self.remove_pointer(customer_id, subscription_id, version).await?;
        Ok(outcome)
    }

    /// Brings a subscription into line with its customer: registers at or below the tombstone go, and it is in the
    /// indexes exactly while it is complete and the customer is live. Returns the item as it is then. A subscription of
    /// another customer stays as it is.
    async fn settle(&self, subscription_id: &Id, customer_id: &Id, read: Item, now: Timestamp) -> Result<Item, StoreError> {
        let plan = Settle { store: self, subscription_id, customer_id, read: &read, tombstone: None, now };
        Ok(match self.write(plan).await? {
            Written::Done(item) => item.unwrap_or_default(),
            Written::Unchanged(item) if item == Item::default() => read,
            Written::Unchanged(item) => item,
        })
    }

    /// Removes what is at or below the tombstone from the subscriptions that pointers name, and the pointers to those
    /// of which nothing is left.
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
            let is_own = |item: &Item| Ok::<_, StoreError>(owner_of(item)?.is_none_or(|owner| owner == *customer_id));
            let left = if is_own(&read)? && !has_register_above(&read, tombstone)? {
                self.sweep_whole(&subscription_id, customer_id, read, tombstone, now).await?
            } else {
                self.settle(&subscription_id, customer_id, read, now).await?
            };
            if is_own(&left)? && has_register_above(&left, tombstone)? {
                self.wait_for(customer_id, &subscription_id, left, now).await
            } else {
                self.remove_pointer(customer_id, &subscription_id, tombstone).await
            }
        };
        stream::iter(subscription_ids).map(Ok).try_for_each_concurrent(CONCURRENT, sweep).await
    }

    /// Removes all registers of a subscription, none of which is above the tombstone: no look at the customer is needed
    /// for that. If the item has changed since it was read, it is settled.
    async fn sweep_whole(
        &self,
        subscription_id: &Id,
        customer_id: &Id,
        read: Item,
        tombstone: &Version,
        now: Timestamp,
    ) -> Result<Item, StoreError> {
        let state = CustomerState::deleted(tombstone.clone());
        let plan = |found: Option<&Item>| {
            if found.is_some() {
                return Ok(None);
            }
            let mut new = read.clone();
            arrange(&mut new, subscription_id, Some(&state), now)?;
            Ok((new != read).then(|| self.replace_subscription(subscription_id, &read, new)))
        };
        match self.write(plan).await? {
            Written::Done(item) => Ok(item.unwrap_or_default()),
            Written::Unchanged(item) if item == Item::default() => Ok(read),
            Written::Unchanged(item) => self.settle(subscription_id, customer_id, item, now).await,
        }
    }

    /// Removes the pointer to a subscription of which nothing is left, unless it is above the tombstone.
    async fn remove_pointer(&self, customer_id: &Id, subscription_id: &Id, tombstone: &Version) -> Result<(), StoreError> {
        let plan = |found: Option<&Item>| {
            if found.is_some() {
                return Ok(None);
            }
            let mut write = Write::delete(&self.tables.customers, customer_key(customer_id, pointer_item(subscription_id)));
            write.if_not_above(POINTER_VERSION, text(tombstone.as_str()));
            Ok(Some(write))
        };
        match self.write(plan).await? {
            Written::Done(_) | Written::Unchanged(_) => Ok(()),
        }
    }

    /// Puts the subscriptions that waited for a customer to become live into the indexes, and removes the mark.
    pub(super) async fn list_waiting_subscriptions(&self, customer_id: &Id, mark: u64, now: Timestamp) -> Result<(), StoreError> {
        let subscription_ids = self.subscription_ids(customer_id).await?;
        let items = self.subscription_items(&subscription_ids).await?;
        let settle = |(subscription_id, item): (Id, Item)| async move {
            self.settle(&subscription_id, customer_id, item, now).await.map(|_| ())
        };
        stream::iter(items).map(Ok).try_for_each_concurrent(CONCURRENT, settle).await?;
        self.remove_waiting(customer_id, mark).await
    }

    fn replace_subscription(&self, subscription_id: &Id, found: &Item, new: Item) -> Write {
        Write::replace(&self.tables.subscriptions, subscription_key(subscription_id), found, new)
    }

    /// The subscriptions' items by id, by a strongly consistent read.
    async fn subscription_items(&self, ids: &[Id]) -> Result<HashMap<Id, Item>, StoreError> {
        let keys = ids.iter().map(subscription_key).collect();
        let items = self.batch_get(&self.tables.subscriptions, keys, &[], true).await?;
        items.into_iter().map(|item| Ok((item.id(SUBSCRIPTION_ID)?, item))).collect()
    }
}

/// What the last plan of a [`Merge`] saw.
#[derive(Default)]
struct Merged {
    outcome: Outcome,
    /// The customer of the subscription.
    owner: Option<Id>,
    /// The higher one of that customer's tombstone and the subscription's own.
    tombstone: Option<Version>,
}

/// See [`Store::merge_subscription`].
struct Merge<'a> {
    store: &'a Store,
    subscription_id: &'a Id,
    version: &'a Version,
    change: &'a SubscriptionChange,
    read: &'a Item,
    shown: Option<(&'a Id, CustomerState)>,
    now: Timestamp,
    merged: &'a mut Merged,
}

impl Plan for Merge<'_> {
    async fn plan(&mut self, found: Option<&Item>) -> Result<Option<Write>, StoreError> {
        let found = found.unwrap_or(self.read);
        let is_absent = *found == Item::default();
        let mut new = found.clone();
        let is_newer = merge(&mut new, self.version, self.change)?;
        let owner = owner_of(&new)?;
        let state = match (&owner, self.shown.take()) {
            (None, _) => None,
            // A state that comes from the conditions of a write does not say the tombstone.
            (Some(owner), Some((customer_id, state))) if owner == customer_id && is_absent => Some(state),
            (Some(owner), _) => Some(self.store.customer_state(owner).await?),
        };
        arrange(&mut new, self.subscription_id, state.as_ref(), self.now)?;
        let tombstone = new.version(TOMBSTONE)?;
        let is_deleted = tombstone.as_ref().is_some_and(|tombstone| self.version <= tombstone);
        let outcome = if is_newer && !is_deleted { Outcome::Applied } else { Outcome::Stale };
        *self.merged = Merged { outcome, owner, tombstone };
        // An event from before a deletion leaves a tombstone, whether the subscription is known or not: only the write's
        // condition shows whether there is an item to sweep.
        Ok((new != *found).then(|| self.store.replace_subscription(self.subscription_id, found, new)))
    }
}

/// See [`Store::settle`] and [`Store::delete_subscription`].
struct Settle<'a> {
    store: &'a Store,
    subscription_id: &'a Id,
    customer_id: &'a Id,
    read: &'a Item,
    /// A tombstone of the subscription's own.
    tombstone: Option<&'a Version>,
    now: Timestamp,
}

impl Plan for Settle<'_> {
    async fn plan(&mut self, found: Option<&Item>) -> Result<Option<Write>, StoreError> {
        let found = found.unwrap_or(self.read);
        if *found == Item::default() || owner_of(found)?.is_some_and(|owner| owner != *self.customer_id) {
            return Ok(None);
        }
        let state = self.store.customer_state(self.customer_id).await?;
        let mut new = found.clone();
        if let Some(tombstone) = self.tombstone {
            new.raise_tombstone(tombstone)?;
        }
        arrange(&mut new, self.subscription_id, Some(&state), self.now)?;
        Ok((new != *found).then(|| self.store.replace_subscription(self.subscription_id, found, new)))
    }
}

/// Writes the registers that the event carries and that are newer than the stored ones. Returns whether one is.
fn merge(item: &mut Item, version: &Version, change: &SubscriptionChange) -> Result<bool, StoreError> {
    let SubscriptionChange { status, dates, details, created } = change;
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
    if *created {
        is_newer |= item.upsert(CREATION_VERSION, version, [])?;
    }
    Ok(is_newer)
}

/// Brings a subscription into line with its customer, see [`Store::settle`]. Without a state the customer is not known
/// yet. TTL removes an item that is not in the indexes.
fn arrange(item: &mut Item, subscription_id: &Id, state: Option<&CustomerState>, now: Timestamp) -> Result<(), StoreError> {
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
            // The expiry stays as it is if nothing else has changed.
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
