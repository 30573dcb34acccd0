//! RESOURCE and USAGE items: a resource's list and balances, and the usage of a scope.
//!
//! A deletion leaves its version as `tombstone` in each of these items that it finds, and in the customer level's
//! USAGE whether it finds one or not. So a write from before the deletion that DynamoDB carries out later is refused.
//! An item of a resource that the deletion does not know yet can't be protected like that. It is written with an expiry
//! first, and the expiry is removed once a look at the customer shows no later deletion: if the writer is gone by then,
//! TTL removes the item.

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::{SignedDuration, Timestamp};

use super::{
    Outcome, Store, StoreError,
    attribute::{BALANCES, EXPIRES_AT, ITEM, LIST, LIST_VERSION, TOMBSTONE, usage_attribute},
    customer::{CustomerChange, CustomerState, prune_balances, set_balance, upsert_balance},
    expiry,
    item::{Item, list_value},
    key::{Key, customer_key, number, resource_item, text, usage_item},
    usage,
    write::{Write, Written},
};
use domain::{
    customer::Embedded,
    entitlement::{Balance, EntitlementList, Usage, completed},
    event::List,
    id::Id,
    version::Version,
};

/// When TTL removes an item whose writer never confirmed it. Shorter than a tombstone's expiry, so that nothing from
/// before a deletion outlives its tombstone.
const UNCONFIRMED: SignedDuration = SignedDuration::from_hours(7 * 24);

/// A register of a RESOURCE or USAGE item.
enum ScopeChange<'a> {
    List(AttributeValue),
    Balance(&'a str, &'a Balance),
    Usage(&'a Id, &'a Usage),
}

impl ScopeChange<'_> {
    /// Writes the register unless the stored one has this version or a higher one.
    fn upsert(&self, item: &mut Item, version: &Version) -> Result<bool, StoreError> {
        match self {
            Self::List(list) => item.upsert(LIST_VERSION, version, [(LIST, list.clone())]),
            Self::Balance(currency, balance) => upsert_balance(item, version, currency, balance),
            Self::Usage(feature_id, usage) => {
                let is_newer = item.usage()?.get(*feature_id).is_none_or(|stored| stored.version < *version);
                if is_newer {
                    item.set(&usage_attribute(feature_id.as_str()), usage::value(version, usage));
                }
                Ok(is_newer)
            }
        }
    }

    /// The same as a part of a conditional update.
    fn set(&self, write: &mut Write, version: &Version) {
        match self {
            Self::List(list) => write.set_register(LIST_VERSION, version, [(LIST, list.clone())]),
            Self::Balance(currency, balance) => set_balance(write, version, currency, balance),
            Self::Usage(feature_id, usage) => {
                let attribute = usage_attribute(feature_id.as_str());
                write.if_below(&[&attribute], usage::bound(version));
                write.set(&attribute, usage::value(version, usage));
            }
        }
    }
}

impl Store {
    /// Writes the complete new lists of an event, one register each, so that a reader sees a list whole or not at all.
    /// An event with a list that is not empty shows the customer alive.
    ///
    /// Stale if every register held this version or a higher one, or the version is at or below the tombstone.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] for a list that no item can hold. Otherwise the same event again completes what an
    /// error interrupted.
    pub async fn write_lists(
        &self,
        customer_id: &Id,
        version: &Version,
        lists: &[List],
        embedded: (&Version, &Embedded),
        now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        let mut outcome = Outcome::Stale;
        for list in lists {
            if let Some(resource_id) = &list.resource_id {
                let change = ScopeChange::List(stored_list(list));
                let item = resource_item(resource_id);
                outcome = outcome.or(self.write_scope(customer_id, item, version, &change, now).await?);
            }
        }
        let own = lists.iter().find(|list| list.resource_id.is_none());
        let change = CustomerChange {
            list: own.map(|list| (version, stored_list(list))),
            embedded: lists.iter().any(|list| !list.grants.is_empty()).then_some(embedded),
            ..CustomerChange::default()
        };
        if change.list.is_some() || change.embedded.is_some() {
            let (of_customer, state) = self.write_customer(customer_id, &change, now).await?;
            if state.is_deleted(version) {
                return Ok(Outcome::Stale);
            }
            outcome = outcome.or(of_customer);
        }
        Ok(outcome)
    }

    /// Writes a feature's usage. One request, whether a list grants the feature or not: usage without an entitlement
    /// grants nothing, and counts once a list comes. It stays until the customer is deleted.
    ///
    /// Stale if the register holds this version or a higher one, or the version is at or below the tombstone.
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
        // A deletion leaves its tombstone in this item in any case, so that it needs no look at the customer.
        let plan = |found: Option<&Item>| {
            if found.is_some() {
                return Ok(None);
            }
            let mut write = Write::update(&self.tables.customers, customer_key(customer_id, item.as_str()));
            write.if_below(&[TOMBSTONE], text(version.as_str()));
            write.remove(&[EXPIRES_AT]);
            change.set(&mut write, version);
            Ok(Some(write))
        };
        Ok(outcome(&self.write(plan).await?))
    }

    /// Writes the credit balance of a currency.
    ///
    /// Stale if the register holds this version or a higher one, or the version is at or below the tombstone.
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
                Ok(self.write_customer(customer_id, &change, now).await?.0)
            }
        }
    }

    /// Writes a register of a resource's item. One request if the item exists; else it is confirmed, see the module.
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
                change.set(&mut write, version);
                return Ok(Some(write));
            };
            let mut new = found.clone();
            if found.version(TOMBSTONE)?.is_some_and(|tombstone| tombstone >= *version) || !change.upsert(&mut new, version)? {
                return Ok(None);
            }
            new.remove(&[EXPIRES_AT]);
            if *found == Item::default() || is_unconfirmed(found) {
                new.set(EXPIRES_AT, number(now.as_second().saturating_add(UNCONFIRMED.as_secs())));
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
        let state = self.customer_state(customer_id).await?;
        if let Some(tombstone) = state.tombstone.as_ref().filter(|_| state.is_deleted(version)) {
            self.sweep_scope(&key, item, tombstone, now).await?;
            return Ok(Outcome::Stale);
        }
        self.confirm(&key, &state).await?;
        Ok(outcome)
    }

    /// Removes the expiry of an item that was just written, unless a deletion came since.
    async fn confirm(&self, key: &Key, state: &CustomerState) -> Result<(), StoreError> {
        let plan = |found: Option<&Item>| {
            if found.is_some() {
                return Ok(None);
            }
            let mut write = Write::update(&self.tables.customers, key.clone());
            write.if_present(ITEM);
            match &state.tombstone {
                Some(tombstone) => write.if_not_above(TOMBSTONE, text(tombstone.as_str())),
                None => write.if_absent(TOMBSTONE),
            }
            write.remove(&[EXPIRES_AT]);
            Ok(Some(write))
        };
        match self.write(plan).await? {
            Written::Done(_) | Written::Unchanged(_) => Ok(()),
        }
    }

    /// Removes the registers at or below the tombstone from a RESOURCE or USAGE item, and leaves the tombstone there.
    /// An empty `found` stands for no item.
    pub(super) async fn sweep_scope(&self, key: &Key, read: Item, tombstone: &Version, now: Timestamp) -> Result<(), StoreError> {
        let table = self.tables.customers.as_str();
        let plan = |found: Option<&Item>| {
            let found = found.unwrap_or(&read);
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
        match self.write(plan).await? {
            Written::Done(_) | Written::Unchanged(_) => Ok(()),
        }
    }
}

/// The stored form of a list.
fn stored_list(list: &List) -> AttributeValue {
    let mut entries: Vec<_> = list.grants.iter().map(|(feature_id, json)| (feature_id.clone(), completed(json))).collect();
    list_value(&EntitlementList::new(&mut entries))
}

fn outcome(written: &Written) -> Outcome {
    match written {
        Written::Done(_) => Outcome::Applied,
        Written::Unchanged(_) => Outcome::Stale,
    }
}
