//! The PROFILE item: a customer's registers, the customer level's list and balances, and, while the customer is live, the
//! keys of its indexes.

use jiff::Timestamp;

use super::{
    Outcome, Store, StoreError,
    attribute::{
        BALANCES, BILLING_ID, CREATION_ORDER, CREATION_VERSION, EMAIL, EMBEDDED, EMBEDDED_VERSION, EXPIRES_AT, LAST_WAITING,
        LIST, LIST_VERSION, PROFILE, PROFILE_VERSION, SHARD, TOMBSTONE, WAITING,
    },
    expiry,
    item::{Item, balance_value, json, list_value},
    key::{Key, MAX_PARTITION_KEY_BYTES, PROFILE_ITEM, creation_order, customer_key, number, shard_of, text},
    write::{Write, Written},
};
use domain::{
    customer::{CustomerRegisters, CustomerState, Embedded, Profile},
    entitlement::Balance,
    event::List,
    id::Id,
    register::{Register, is_above},
    version::Version,
};

/// Registers of PROFILE to write, each with its version. An event writes one or two, an import several.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CustomerChange<'a> {
    pub profile: Option<(&'a Version, &'a Profile)>,
    pub creation: Option<&'a Version>,
    pub embedded: Option<(&'a Version, &'a Embedded)>,
    /// The customer level's list.
    pub list: Option<(&'a Version, &'a List)>,
    /// The customer level's balance of a currency.
    pub balance: Option<(&'a Version, &'a str, &'a Balance)>,
}

/// The customer's state, for writers of items that depend on it.
#[derive(Debug)]
pub(super) struct CustomerSnapshot {
    pub(super) tombstone: Option<Version>,
    pub(super) is_live: bool,
    has_list: bool,
}

impl CustomerSnapshot {
    fn of(item: &Item) -> Result<Self, StoreError> {
        let registers: CustomerRegisters<(), ()> = item.customer_versions()?;
        let is_live = registers.state() == CustomerState::Live;
        Ok(Self { is_live, has_list: registers.list.is_some(), tombstone: registers.tombstone })
    }

    /// A customer without registers above this tombstone.
    pub(super) fn deleted(tombstone: Version) -> Self {
        Self { tombstone: Some(tombstone), is_live: false, has_list: false }
    }

    pub(super) fn is_deleted(&self, version: &Version) -> bool {
        !is_above(version, self.tombstone.as_ref())
    }
}

impl Store {
    /// Writes the registers that are newer than the stored ones and above the tombstone, in one request if no other writer
    /// interferes. Stale if there are none. If the customer is then live, puts subscriptions that waited for it into the
    /// indexes.
    ///
    /// Fails with [`StoreError::TooLarge`] if they do not fit into an item.
    pub async fn write_customer(
        &self,
        customer_id: &Id,
        change: &CustomerChange<'_>,
        now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        Ok(self.write_customer_registers(customer_id, change, now).await?.0)
    }

    /// Like [`Self::write_customer`], and returns the customer's state.
    pub(super) async fn write_customer_registers(
        &self,
        customer_id: &Id,
        change: &CustomerChange<'_>,
        now: Timestamp,
    ) -> Result<(Outcome, CustomerSnapshot), StoreError> {
        let (table, key) = (self.tables.customers.as_str(), customer_key(customer_id, PROFILE_ITEM));
        let plan = |found: Option<&Item>| match found {
            Some(found) => {
                let merged = merge(found, customer_id, change, now)?;
                Ok(merged.map(|new| Write::replace(table, key.clone(), found, new)))
            }
            // A new customer.
            None if change.creation.is_some() => {
                let new = merge(&Item::default(), customer_id, change, now)?;
                Ok(new.map(|new| Write::replace(table, key.clone(), &Item::default(), new)))
            }
            None => Ok(Some(update_of_a_live_customer(table, key.clone(), change))),
        };
        let (outcome, item) = match self.write(plan).await? {
            // The update's conditions imply this state.
            Written::Done(None) => {
                let state = CustomerSnapshot { tombstone: None, is_live: true, has_list: true };
                return Ok((Outcome::Applied, state));
            }
            Written::Done(Some(item)) => (Outcome::Applied, item),
            Written::Unchanged(item) => (Outcome::Stale, item),
        };
        let state = CustomerSnapshot::of(&item)?;
        if let (true, Some(mark)) = (state.is_live, item.number(WAITING)) {
            self.index_waiting_subscriptions(customer_id, mark, now).await?;
        }
        Ok((outcome, state))
    }

    /// Strongly consistent.
    pub(super) async fn customer_snapshot(&self, customer_id: &Id) -> Result<CustomerSnapshot, StoreError> {
        const ATTRIBUTES: [&str; 5] = [PROFILE_VERSION, EMBEDDED_VERSION, CREATION_VERSION, TOMBSTONE, LIST_VERSION];
        let key = customer_key(customer_id, PROFILE_ITEM);
        let item = self.get(&self.tables.customers, key, &ATTRIBUTES).await?;
        CustomerSnapshot::of(&item.unwrap_or_default())
    }

    /// Raises the customer's tombstone to this version and removes the registers at or below it from PROFILE. Returns the
    /// tombstone that is then stored.
    pub(super) async fn write_tombstone(
        &self,
        customer_id: &Id,
        version: &Version,
        now: Timestamp,
    ) -> Result<(Outcome, Version), StoreError> {
        let (table, key) = (self.tables.customers.as_str(), customer_key(customer_id, PROFILE_ITEM));
        // There is no frequent case to assume: read first.
        let read = self.get(table, key.clone(), &[]).await?.unwrap_or_default();
        let plan = |found: Option<&Item>| {
            let no_item = Item::default();
            let found = found.unwrap_or(&no_item);
            if found.version(TOMBSTONE)?.is_some_and(|tombstone| tombstone >= *version) {
                return Ok(None);
            }
            let mut new = found.clone();
            new.raise_tombstone(version)?;
            derive_attributes(&mut new, customer_id, now)?;
            Ok(Some(Write::replace(table, key.clone(), found, new)))
        };
        match self.write_from(read, plan).await? {
            Written::Done(_) => Ok((Outcome::Applied, version.clone())),
            Written::Unchanged(item) => Ok((Outcome::Stale, item.version(TOMBSTONE)?.unwrap_or_else(|| version.clone()))),
        }
    }

    /// Marks a customer that is not live: a complete subscription waits for it to become live. Returns false if it is live
    /// by now.
    pub(super) async fn mark_waiting(
        &self,
        customer_id: &Id,
        state: &CustomerSnapshot,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
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

    /// Removes the mark, unless it was set again in the meantime.
    pub(super) async fn remove_waiting(&self, customer_id: &Id, mark: u64) -> Result<(), StoreError> {
        let mut write = Write::update(&self.tables.customers, customer_key(customer_id, PROFILE_ITEM));
        write.if_equal(WAITING, number(mark));
        write.remove(&[WAITING]);
        let (Written::Done(_) | Written::Unchanged(_)) = self.write_once(write).await?;
        Ok(())
    }
}

/// The only write of a frequent event. Conditions: the customer is live and has a profile, no subscription waits, and every
/// register is newer than the stored one.
fn update_of_a_live_customer(table: &str, key: Key, change: &CustomerChange<'_>) -> Write {
    let CustomerChange { profile, creation: _, embedded, list, balance } = change;
    let mut write = Write::update(table, key);
    write.if_present(SHARD);
    write.if_absent(WAITING);
    if let Some((version, profile)) = profile {
        write.set_register(PROFILE_VERSION, version, [(PROFILE, json(profile))]);
        for (attribute, value) in lookup_keys(profile.email.as_deref(), profile.billing_id.as_deref()) {
            match value {
                Some(value) => write.set(attribute, text(value)),
                None => write.remove(&[attribute]),
            }
        }
    }
    if let Some((version, embedded)) = embedded {
        write.set_register(EMBEDDED_VERSION, version, [(EMBEDDED, json(embedded))]);
        if profile.is_none() {
            // Then the lookup keys come from the profile and do not change.
            write.if_present(PROFILE_VERSION);
        }
    }
    if let Some((version, list)) = list {
        write.set_register(LIST_VERSION, version, [(LIST, list_value(list))]);
    }
    if let Some((version, currency, balance)) = balance {
        set_balance(&mut write, version, currency, balance);
    }
    if let Some(lowest) = versions(change).min() {
        write.if_below(&[TOMBSTONE], text(lowest.as_str()));
    }
    write
}

/// Sets a balance register in an item that already has a map of balances.
pub(super) fn set_balance(write: &mut Write, version: &Version, currency: &str, balance: &Balance) {
    write.if_present(BALANCES);
    write.if_below(&[BALANCES, currency], text(format!("{version}\0")));
    write.set_path(&[BALANCES, currency], balance_value(version, balance));
}

/// Sets a balance register if the stored version is absent or lower. Returns whether it did.
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
    let CustomerChange { profile, creation, embedded, list, balance } = change;
    let (profile, embedded) = (profile.map(|part| part.0), embedded.map(|part| part.0));
    [profile, *creation, embedded, list.map(|part| part.0), balance.map(|part| part.0)].into_iter().flatten()
}

/// PROFILE with the registers of the change that are newer than the stored ones and above the tombstone. None if there are
/// none.
fn merge(found: &Item, customer_id: &Id, change: &CustomerChange<'_>, now: Timestamp) -> Result<Option<Item>, StoreError> {
    let tombstone = found.version(TOMBSTONE)?;
    let is_visible = |version: &Version| is_above(version, tombstone.as_ref());
    let CustomerChange { profile, creation, embedded, list, balance } = change;
    let (mut new, mut is_changed) = (found.clone(), false);
    if let Some((version, profile)) = profile.filter(|part| is_visible(part.0)) {
        is_changed |= new.upsert(PROFILE_VERSION, version, [(PROFILE, json(profile))])?;
    }
    if let Some(version) = creation.filter(|version| is_visible(version)) {
        is_changed |= new.upsert(CREATION_VERSION, version, [])?;
    }
    if let Some((version, embedded)) = embedded.filter(|part| is_visible(part.0)) {
        is_changed |= new.upsert(EMBEDDED_VERSION, version, [(EMBEDDED, json(embedded))])?;
    }
    if let Some((version, list)) = list.filter(|part| is_visible(part.0)) {
        is_changed |= new.upsert(LIST_VERSION, version, [(LIST, list_value(list))])?;
    }
    if let Some((version, currency, balance)) = balance.filter(|part| is_visible(part.0)) {
        is_changed |= upsert_balance(&mut new, version, currency, balance)?;
    }
    if !is_changed {
        return Ok(None);
    }
    derive_attributes(&mut new, customer_id, now)?;
    Ok(Some(new))
}

/// Removes registers at or below the tombstone, and derives the attributes that depend on several registers: index keys if
/// the customer is live, an expiry if no register is left except the tombstone and balances.
fn derive_attributes(item: &mut Item, customer_id: &Id, now: Timestamp) -> Result<(), StoreError> {
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
        for (attribute, value) in lookup_keys(customer.profile.email.as_deref(), customer.profile.billing_id.as_deref()) {
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

/// The keys of the indexes by e-mail and billing id. An empty or too long value can't be a key.
fn lookup_keys<'a>(email: Option<&'a str>, billing_id: Option<&'a str>) -> [(&'static str, Option<&'a str>); 2] {
    let key = |value: Option<&'a str>| value.filter(|value| !value.is_empty() && value.len() <= MAX_PARTITION_KEY_BYTES);
    [(EMAIL, key(email)), (BILLING_ID, key(billing_id))]
}
