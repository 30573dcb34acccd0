//! RESOURCE and USAGE items: a resource's list and balances, and a scope's usage.
//!
//! A deletion writes its version as `tombstone` into each of these items that it finds, and always into the customer
//! level's USAGE. So a delayed write from before the deletion fails.
//!
//! A resource's item that does not exist yet can't be protected in this way. It is first written with an expiry. Its writer
//! then reads the customer and removes the expiry if there is no later deletion. If the writer crashes before that, TTL
//! removes the item, and a redelivery of the event writes it again.

use jiff::{SignedDuration, Timestamp};

use super::{
    Outcome, Store, StoreError,
    attribute::{BALANCES, EXPIRES_AT, ITEM, LIST, LIST_VERSION, TOMBSTONE, usage_attribute},
    customer::{CustomerChange, CustomerSnapshot, prune_balances, set_balance, upsert_balance},
    expiry,
    item::{Item, list_value},
    key::{Key, customer_key, number, resource_item, text, usage_item},
    usage,
    write::{Write, Written},
};
use domain::{
    customer::Embedded,
    entitlement::{Balance, Usage},
    event::List,
    id::Id,
    version::Version,
};

/// Time until TTL removes an unconfirmed item. Shorter than a tombstone's, so that nothing from before a deletion outlives
/// its tombstone.
const UNCONFIRMED_EXPIRY: SignedDuration = SignedDuration::from_hours(7 * 24);

/// A register of a RESOURCE or USAGE item.
enum ScopeChange<'a> {
    List(&'a List),
    Balance(&'a str, &'a Balance),
    Usage(&'a Id, &'a Usage),
}

impl ScopeChange<'_> {
    /// Sets the register if the stored version is absent or lower. Returns whether it did.
    fn upsert(&self, item: &mut Item, version: &Version) -> Result<bool, StoreError> {
        match self {
            Self::List(list) => item.upsert(LIST_VERSION, version, [(LIST, list_value(list))]),
            Self::Balance(currency, balance) => upsert_balance(item, version, currency, balance),
            Self::Usage(feature_id, usage) => {
                let is_newer = item.usage()?.get(*feature_id).is_none_or(|stored| stored.version < *version);
                if is_newer {
                    item.set(&usage_attribute(feature_id.as_str()), usage::to_attribute(version, usage));
                }
                Ok(is_newer)
            }
        }
    }

    /// Adds the register and its condition to an update.
    fn add_to(&self, write: &mut Write, version: &Version) {
        match self {
            Self::List(list) => write.set_register(LIST_VERSION, version, [(LIST, list_value(list))]),
            Self::Balance(currency, balance) => set_balance(write, version, currency, balance),
            Self::Usage(feature_id, usage) => {
                let attribute = usage_attribute(feature_id.as_str());
                write.if_below(&[&attribute], usage::version_bound(version));
                write.set(&attribute, usage::to_attribute(version, usage));
            }
        }
    }
}

impl Store {
    /// Writes the complete lists of an event, each as one register, so that readers never see a part of a list, and the
    /// embedded data of a live customer. Stale if no stored register is older, or if the version is at or below the
    /// tombstone.
    ///
    /// Fails with [`StoreError::TooLarge`] if a list does not fit into an item.
    pub async fn write_lists(
        &self,
        customer_id: &Id,
        version: &Version,
        lists: &[List],
        embedded: Option<(&Version, &Embedded)>,
        now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        let mut outcome = Outcome::Stale;
        for list in lists {
            if let Some(resource_id) = &list.resource_id {
                let change = ScopeChange::List(list);
                let item = resource_item(resource_id);
                outcome = outcome.or(self.write_scope(customer_id, item, version, &change, now).await?);
            }
        }
        let customer_level = lists.iter().find(|list| list.resource_id.is_none());
        let list = customer_level.map(|list| (version, list));
        let change = CustomerChange { list, embedded, ..CustomerChange::default() };
        if change != CustomerChange::default() {
            let (customer_outcome, state) = self.write_customer_registers(customer_id, &change, now).await?;
            if state.is_deleted(version) {
                return Ok(Outcome::Stale);
            }
            outcome = outcome.or(customer_outcome);
        }
        Ok(outcome)
    }

    /// Writes a feature's usage: one request, whether a list has the feature or not. Usage without an entitlement grants
    /// nothing, counts as soon as a list has the feature, and stays until the customer is deleted. Stale as in
    /// [`Self::write_lists`].
    pub async fn write_usage(
        &self,
        customer_id: &Id,
        resource_id: Option<&Id>,
        feature_id: &Id,
        version: &Version,
        usage: &Usage,
        now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        let change = ScopeChange::Usage(feature_id, usage);
        let item = usage_item(resource_id);
        if resource_id.is_some() {
            return self.write_scope(customer_id, item, version, &change, now).await;
        }
        // Every deletion writes its tombstone into this item: the customer need not be read.
        let mut write = Write::update(&self.tables.customers, customer_key(customer_id, item));
        write.if_below(&[TOMBSTONE], text(version.as_str()));
        write.remove(&[EXPIRES_AT]);
        change.add_to(&mut write, version);
        Ok(outcome(&self.write_once(write).await?))
    }

    /// Writes the credit balance of a currency. Stale as in [`Self::write_lists`].
    pub async fn write_balance(
        &self,
        customer_id: &Id,
        resource_id: Option<&Id>,
        currency_id: &str,
        version: &Version,
        balance: &Balance,
        now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        match resource_id {
            Some(resource_id) => {
                let change = ScopeChange::Balance(currency_id, balance);
                self.write_scope(customer_id, resource_item(resource_id), version, &change, now).await
            }
            None => {
                let change = CustomerChange { balance: Some((version, currency_id, balance)), ..CustomerChange::default() };
                self.write_customer(customer_id, &change, now).await
            }
        }
    }

    /// Writes a register of a resource's item. One request if the item exists, else it has to be confirmed: see the module.
    async fn write_scope(
        &self,
        customer_id: &Id,
        item: String,
        version: &Version,
        change: &ScopeChange<'_>,
        now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        let (table, key) = (self.tables.customers.as_str(), customer_key(customer_id, item));
        let is_unconfirmed = |item: &Item| item.has(EXPIRES_AT) && !item.is_stub();
        let plan = |found: Option<&Item>| {
            let Some(found) = found else {
                let mut write = Write::update(table, key.clone());
                write.if_present(ITEM);
                write.if_absent(EXPIRES_AT);
                write.if_below(&[TOMBSTONE], text(version.as_str()));
                change.add_to(&mut write, version);
                return Ok(Some(write));
            };
            let mut new = found.clone();
            if found.version(TOMBSTONE)?.is_some_and(|tombstone| tombstone >= *version) || !change.upsert(&mut new, version)? {
                return Ok(None);
            }
            new.remove(&[EXPIRES_AT]);
            if *found == Item::default() || is_unconfirmed(found) {
                new.set(EXPIRES_AT, number(now.as_second().saturating_add(UNCONFIRMED_EXPIRY.as_secs())));
            }
            Ok(Some(Write::replace(table, key.clone(), found, new)))
        };
        let written = self.write(plan).await?;
        let outcome = outcome(&written);
        let item = match written {
            Written::Done(None) => return Ok(outcome),
            Written::Done(Some(item)) | Written::Unchanged(item) => item,
        };
        if !is_unconfirmed(&item) {
            return Ok(outcome);
        }
        let state = self.customer_snapshot(customer_id).await?;
        if let Some(tombstone) = state.tombstone.as_ref().filter(|_| state.is_deleted(version)) {
            self.sweep_scope(&key, item, tombstone, now).await?;
            return Ok(Outcome::Stale);
        }
        self.confirm(&key, &state).await?;
        Ok(outcome)
    }

    /// Removes the expiry of a new item, unless the customer was deleted in the meantime.
    async fn confirm(&self, key: &Key, state: &CustomerSnapshot) -> Result<(), StoreError> {
        let mut write = Write::update(&self.tables.customers, key.clone());
        write.if_present(ITEM);
        match &state.tombstone {
            Some(tombstone) => write.if_not_above(TOMBSTONE, text(tombstone.as_str())),
            None => write.if_absent(TOMBSTONE),
        }
        write.remove(&[EXPIRES_AT]);
        let (Written::Done(_) | Written::Unchanged(_)) = self.write_once(write).await?;
        Ok(())
    }

    /// Removes the registers at or below the tombstone from a RESOURCE or USAGE item, and raises its tombstone. An empty
    /// `read` means that there is no item.
    pub(super) async fn sweep_scope(&self, key: &Key, read: Item, tombstone: &Version, now: Timestamp) -> Result<(), StoreError> {
        let table = self.tables.customers.as_str();
        let plan = |found: Option<&Item>| {
            let no_item = Item::default();
            let found = found.unwrap_or(&no_item);
            let mut new = found.clone();
            new.raise_tombstone(tombstone)?;
            new.prune(LIST_VERSION, &[LIST], tombstone)?;
            if new.has(BALANCES) {
                prune_balances(&mut new, tombstone)?;
            }
            for (feature_id, usage) in new.usage()? {
                if usage.version <= *tombstone {
                    new.remove(&[&usage_attribute(feature_id.as_str())]);
                }
            }
            if new == *found {
                return Ok(None);
            }
            if new.is_stub() {
                new.set(EXPIRES_AT, number(expiry(now)));
            }
            Ok(Some(Write::replace(table, key.clone(), found, new)))
        };
        let (Written::Done(_) | Written::Unchanged(_)) = self.write_from(read, plan).await?;
        Ok(())
    }
}

fn outcome(written: &Written) -> Outcome {
    match written {
        Written::Done(_) => Outcome::Applied,
        Written::Unchanged(_) => Outcome::Stale,
    }
}
