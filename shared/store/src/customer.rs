//! The PROFILE item: a customer's registers, the customer level's list and balances, and the attributes that put it
//! into the indexes while it is live.

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;

use super::{
    Outcome, Store, StoreError,
    attribute::{
        BALANCES, BILLING_ID, CREATION_ORDER, CREATION_VERSION, EMAIL, EMBEDDED, EMBEDDED_VERSION, EXPIRES_AT, LAST_WAITING,
        LIST, LIST_VERSION, PROFILE, PROFILE_VERSION, SHARD, TOMBSTONE, WAITING,
    },
    expiry,
    item::{Item, balance_value, json},
    key::{Key, PROFILE_ITEM, creation_order, customer_key, number, shard_of, text},
    write::{Write, Written},
};
use domain::{
    customer::{CustomerRegisters, Embedded, Profile, Register, Standing},
    entitlement::Balance,
    id::Id,
    version::Version,
};

/// Most bytes of a value that customers are looked up by: DynamoDB's limit for a partition key.
pub(super) const MAX_LOOK_UP_BYTES: usize = 2_048;

/// What an event says of a customer: the registers of PROFILE that it writes.
#[derive(Debug, Default)]
pub(super) struct CustomerChange<'a> {
    pub(super) profile: Option<(&'a Version, &'a Profile)>,
    /// The profile's version is a creation too.
    pub(super) created: bool,
    pub(super) embedded: Option<(&'a Version, &'a Embedded)>,
    /// The customer level's list, as it is stored.
    pub(super) list: Option<(&'a Version, AttributeValue)>,
    /// The currency and its balance at customer level.
    pub(super) balance: Option<(&'a Version, &'a str, &'a Balance)>,
}

/// What a writer of dependent items needs to know of the customer.
#[derive(Debug)]
pub(super) struct CustomerState {
    pub(super) tombstone: Option<Version>,
    pub(super) is_live: bool,
    has_list: bool,
}

impl CustomerState {
    fn of(item: &Item) -> Result<Self, StoreError> {
        let registers: CustomerRegisters<(), ()> = item.customer_versions()?;
        let is_live = registers.standing() == Standing::Live;
        Ok(Self { is_live, has_list: registers.list.is_some(), tombstone: registers.tombstone })
    }

    /// A customer of whom nothing is above this tombstone.
    pub(super) fn deleted(tombstone: Version) -> Self {
        Self { tombstone: Some(tombstone), is_live: false, has_list: false }
    }

    /// Whether a register of this version is at or below the tombstone.
    pub(super) fn is_deleted(&self, version: &Version) -> bool {
        self.tombstone.as_ref().is_some_and(|tombstone| version <= tombstone)
    }
}

impl Store {
    /// Writes a customer's profile, and its creation for a customer.created.
    ///
    /// Stale, and nothing is written, if the register holds this version or a higher one or the version is at or below
    /// the tombstone.
    pub async fn write_profile(
        &self,
        customer_id: &Id,
        version: &Version,
        profile: &Profile,
        created: bool,
        now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        let change = CustomerChange { profile: Some((version, profile)), created, ..CustomerChange::default() };
        Ok(self.write_customer(customer_id, &change, now).await?.0)
    }

    /// Writes the registers of the change that are newer than the stored ones. If that leaves the customer live with
    /// subscriptions waiting for it, they are put into the indexes.
    pub(super) async fn write_customer(
        &self,
        customer_id: &Id,
        change: &CustomerChange<'_>,
        now: Timestamp,
    ) -> Result<(Outcome, CustomerState), StoreError> {
        let (table, key) = (self.tables.customers.as_str(), customer_key(customer_id, PROFILE_ITEM));
        let plan = |found: Option<&Item>| match found {
            Some(found) => {
                let merged = merged(found, customer_id, change, now)?;
                Ok(merged.map(|new| Write::replace(table, key.clone(), found, new)))
            }
            None if change.created => {
                let new = merged(&Item::default(), customer_id, change, now)?;
                Ok(new.map(|new| Write::replace(table, key.clone(), &Item::default(), new)))
            }
            None => Ok(Some(update_of_a_live_customer(table, key.clone(), change))),
        };
        let (outcome, item) = match self.write(plan).await? {
            // The conditions say so: the customer is live, and nothing waits for it.
            Written::Done(None) => {
                let state = CustomerState { tombstone: None, is_live: true, has_list: true };
                return Ok((Outcome::Applied, state));
            }
            Written::Done(Some(item)) => (Outcome::Applied, item),
            Written::Unchanged(item) => (Outcome::Stale, item),
        };
        let state = CustomerState::of(&item)?;
        if let (true, Some(mark)) = (state.is_live, item.number(WAITING)) {
            self.list_waiting_subscriptions(customer_id, mark, now).await?;
        }
        Ok((outcome, state))
    }

    /// The customer as it is now, by a strongly consistent read.
    pub(super) async fn customer_state(&self, customer_id: &Id) -> Result<CustomerState, StoreError> {
        const ATTRIBUTES: [&str; 5] = [PROFILE_VERSION, EMBEDDED_VERSION, CREATION_VERSION, TOMBSTONE, LIST_VERSION];
        let key = customer_key(customer_id, PROFILE_ITEM);
        let item = self.get(&self.tables.customers, key, &ATTRIBUTES).await?;
        CustomerState::of(&item.unwrap_or_default())
    }

    /// Raises the customer's tombstone to this version and removes the registers at or below it from PROFILE. Returns
    /// the tombstone as it is stored then.
    pub(super) async fn write_tombstone(
        &self,
        customer_id: &Id,
        version: &Version,
        now: Timestamp,
    ) -> Result<(Outcome, Version), StoreError> {
        let (table, key) = (self.tables.customers.as_str(), customer_key(customer_id, PROFILE_ITEM));
        // A deletion is rare: reading first spares a second plan for it.
        let read = self.get(table, key.clone(), &[]).await?.unwrap_or_default();
        let plan = |found: Option<&Item>| {
            let found = found.unwrap_or(&read);
            if found.version(TOMBSTONE)?.is_some_and(|tombstone| tombstone >= *version) {
                return Ok(None);
            }
            let mut new = found.clone();
            new.raise_tombstone(version)?;
            arrange(&mut new, customer_id, now)?;
            Ok(Some(Write::replace(table, key.clone(), found, new)))
        };
        match self.write(plan).await? {
            Written::Done(_) => Ok((Outcome::Applied, version.clone())),
            Written::Unchanged(item) => {
                let found = if item.has(TOMBSTONE) { item } else { read };
                let tombstone = found.version(TOMBSTONE)?.unwrap_or_else(|| version.clone());
                Ok((Outcome::Stale, tombstone))
            }
        }
    }

    /// Marks a customer who is not live: a subscription of its waits to be put into the indexes. Returns false if the
    /// customer is live by now.
    pub(super) async fn mark_waiting(&self, customer_id: &Id, state: &CustomerState, now: Timestamp) -> Result<bool, StoreError> {
        let table = self.tables.customers.as_str();
        let plan = |found: Option<&Item>| {
            let has_list = match found {
                Some(found) if found.has(SHARD) => return Ok(None),
                Some(found) => found.has(LIST_VERSION),
                None => state.has_list,
            };
            let mut write = Write::update(table, customer_key(customer_id, PROFILE_ITEM));
            write.if_absent(SHARD);
            write.set_to_successor(WAITING, LAST_WAITING);
            write.set_to_successor(LAST_WAITING, LAST_WAITING);
            if has_list {
                write.if_present(LIST_VERSION);
            } else {
                write.if_absent(LIST_VERSION);
                write.set(EXPIRES_AT, number(expiry(now)));
            }
            Ok(Some(write))
        };
        Ok(matches!(self.write(plan).await?, Written::Done(_)))
    }

    /// Removes the mark, unless another one was set since.
    pub(super) async fn remove_waiting(&self, customer_id: &Id, mark: u64) -> Result<(), StoreError> {
        let plan = |found: Option<&Item>| {
            if found.is_some() {
                return Ok(None);
            }
            let mut write = Write::update(&self.tables.customers, customer_key(customer_id, PROFILE_ITEM));
            write.if_equal(WAITING, number(mark));
            write.remove(&[WAITING]);
            Ok(Some(write))
        };
        match self.write(plan).await? {
            Written::Done(_) | Written::Unchanged(_) => Ok(()),
        }
    }
}

/// The one write of a frequent event: the customer is live, has a profile, and every register of the change is newer
/// than the stored one. If one of these does not hold, it is refused.
fn update_of_a_live_customer(table: &str, key: Key, change: &CustomerChange<'_>) -> Write {
    let CustomerChange { profile, created: _, embedded, list, balance } = change;
    let mut write = Write::update(table, key);
    write.if_present(SHARD);
    write.if_absent(WAITING);
    if let Some((version, profile)) = profile {
        write.set_register(PROFILE_VERSION, version, [(PROFILE, json(profile))]);
        for (attribute, value) in look_ups(profile.email.as_deref(), profile.billing_id.as_deref()) {
            match value {
                Some(value) => write.set(attribute, text(value)),
                None => write.remove(&[attribute]),
            }
        }
    }
    if let Some((version, embedded)) = embedded {
        write.set_register(EMBEDDED_VERSION, version, [(EMBEDDED, json(embedded))]);
        if profile.is_none() {
            // The profile is what customers are looked up by.
            write.if_present(PROFILE_VERSION);
        }
    }
    if let Some((version, list)) = list {
        write.set_register(LIST_VERSION, version, [(LIST, list.clone())]);
    }
    if let Some((version, currency, balance)) = balance {
        set_balance(&mut write, version, currency, balance);
    }
    if let Some(lowest) = versions(change).min() {
        write.if_below(&[TOMBSTONE], text(lowest.as_str()));
    }
    write
}

/// Sets a balance register in an item that has such a map.
pub(super) fn set_balance(write: &mut Write, version: &Version, currency: &str, balance: &Balance) {
    write.if_present(BALANCES);
    write.if_below(&[BALANCES, currency], text(format!("{version}\0")));
    write.set_path(&[BALANCES, currency], balance_value(version, balance));
}

/// Writes a balance register into an item. Returns whether it is newer than the stored one.
pub(super) fn upsert_balance(item: &mut Item, version: &Version, currency: &str, balance: &Balance) -> Result<bool, StoreError> {
    let mut balances = item.balances()?;
    let is_newer = balances.get(currency).is_none_or(|stored| stored.version < *version);
    if is_newer {
        balances.insert(currency.to_owned(), Register { version: version.clone(), value: balance.clone() });
        item.set_balances(&balances);
    }
    Ok(is_newer)
}

fn versions<'a>(change: &CustomerChange<'a>) -> impl Iterator<Item = &'a Version> {
    let CustomerChange { profile, created: _, embedded, list, balance } = change;
    let registers = [profile.map(|part| part.0), embedded.map(|part| part.0), list.as_ref().map(|part| part.0)];
    registers.into_iter().chain([balance.map(|part| part.0)]).flatten()
}

/// PROFILE with the registers of the change that are newer than the stored ones and above the tombstone. None if no
/// register is.
fn merged(found: &Item, customer_id: &Id, change: &CustomerChange<'_>, now: Timestamp) -> Result<Option<Item>, StoreError> {
    let tombstone = found.version(TOMBSTONE)?;
    let exists = |version: &Version| tombstone.as_ref().is_none_or(|tombstone| version > tombstone);
    let CustomerChange { profile, created, embedded, list, balance } = change;
    let (mut new, mut is_changed) = (found.clone(), false);
    if let Some((version, profile)) = profile.filter(|part| exists(part.0)) {
        is_changed |= new.upsert(PROFILE_VERSION, version, [(PROFILE, json(profile))])?;
        if *created {
            is_changed |= new.upsert(CREATION_VERSION, version, [])?;
        }
    }
    if let Some((version, embedded)) = embedded.filter(|part| exists(part.0)) {
        is_changed |= new.upsert(EMBEDDED_VERSION, version, [(EMBEDDED, json(embedded))])?;
    }
    if let Some((version, list)) = list.as_ref().filter(|part| exists(part.0)) {
        is_changed |= new.upsert(LIST_VERSION, version, [(LIST, list.clone())])?;
    }
    if let Some((version, currency, balance)) = balance.filter(|part| exists(part.0)) {
        is_changed |= upsert_balance(&mut new, version, currency, balance)?;
    }
    if !is_changed {
        return Ok(None);
    }
    arrange(&mut new, customer_id, now)?;
    Ok(Some(new))
}

/// Brings PROFILE into line with its registers: those at or below the tombstone go, the customer is in the indexes
/// exactly while it is live, and TTL removes the item only if no register is left beside the tombstone and balances.
fn arrange(item: &mut Item, customer_id: &Id, now: Timestamp) -> Result<(), StoreError> {
    if let Some(tombstone) = item.version(TOMBSTONE)? {
        item.prune(PROFILE_VERSION, &[PROFILE], &tombstone)?;
        item.prune(EMBEDDED_VERSION, &[EMBEDDED], &tombstone)?;
        item.prune(CREATION_VERSION, &[], &tombstone)?;
        item.prune(LIST_VERSION, &[LIST], &tombstone)?;
        prune_balances(item, &tombstone)?;
    }
    let registers = item.customer_registers()?;
    let created_at = registers.creation.as_ref().map(Version::time_text);
    item.set(CREATION_ORDER, text(creation_order(created_at, customer_id)));
    item.remove(&[SHARD, EMAIL, BILLING_ID, EXPIRES_AT]);
    if let Some(customer) = registers.visible() {
        item.set(SHARD, number(shard_of(customer_id)));
        for (attribute, value) in look_ups(customer.profile.email.as_deref(), customer.profile.billing_id.as_deref()) {
            if let Some(value) = value {
                item.set(attribute, text(value));
            }
        }
    } else if registers.list.is_none() {
        item.set(EXPIRES_AT, number(expiry(now)));
    }
    Ok(())
}

/// Removes the balance registers at or below the tombstone.
pub(super) fn prune_balances(item: &mut Item, tombstone: &Version) -> Result<(), StoreError> {
    let mut balances = item.balances()?;
    balances.retain(|_, balance| balance.version > *tombstone);
    item.set_balances(&balances);
    Ok(())
}

/// The attributes that a customer is looked up by. An absent, empty or overlong value is no key.
fn look_ups<'a>(email: Option<&'a str>, billing_id: Option<&'a str>) -> [(&'static str, Option<&'a str>); 2] {
    let key = |value: Option<&'a str>| value.filter(|value| !value.is_empty() && value.len() <= MAX_LOOK_UP_BYTES);
    [(EMAIL, key(email)), (BILLING_ID, key(billing_id))]
}
