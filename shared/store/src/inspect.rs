//! For operators: everything that is stored for a customer, visible or not.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use super::{
    Store, StoreError,
    attribute::{EXPIRES_AT, ITEM, POINTER_VERSION, SHARD, SUBSCRIPTION_ID, WAITING},
    item::Item,
    key::{PROFILE_ITEM, RESOURCES, SUBSCRIPTIONS, USAGES, subscription_key, usage_item},
    read::id_from_sort_key,
};
use domain::{
    customer::CustomerRegisters, entitlement::ScopeRegisters, id::Id, subscription::SubscriptionRegisters, version::Version,
};

#[derive(Clone, Debug, Default)]
pub struct StoredCustomer {
    /// Empty if there is no PROFILE item.
    pub registers: CustomerRegisters,
    /// When TTL removes PROFILE.
    pub expires_at: Option<Timestamp>,
    /// Whether the customer is in the indexes.
    pub is_listed: bool,
    /// Whether complete subscriptions are hidden until the customer becomes live.
    pub has_waiting_subscriptions: bool,
    /// By resource; None is the customer level.
    pub scopes: BTreeMap<Option<Id>, StoredScope>,
    /// The subscriptions that the customer's pointers name.
    pub subscriptions: Vec<StoredSubscription>,
}

#[derive(Clone, Debug, Default)]
pub struct StoredScope {
    pub registers: ScopeRegisters,
    /// When TTL removes the first of the scope's items.
    pub expires_at: Option<Timestamp>,
}

#[derive(Clone, Debug)]
pub struct StoredSubscription {
    pub subscription_id: Id,
    /// The pointer's version.
    pub pointer: Option<Version>,
    /// Empty if the item is gone.
    pub registers: SubscriptionRegisters,
    pub expires_at: Option<Timestamp>,
    /// Whether it is in the indexes.
    pub is_listed: bool,
}

impl StoredScope {
    fn set_list_and_balances(&mut self, item: &Item) -> Result<(), StoreError> {
        let ScopeRegisters { list, balances, usage: _ } = item.scope(None)?;
        self.registers = ScopeRegisters { list, balances, usage: std::mem::take(&mut self.registers.usage) };
        Ok(())
    }
}

impl Store {
    /// Everything stored for a customer, strongly consistent. None if there is nothing.
    pub async fn stored_customer(&self, customer_id: &Id) -> Result<Option<StoredCustomer>, StoreError> {
        let items = self.query_prefix(customer_id, "", &[], true).await?;
        if items.is_empty() {
            return Ok(None);
        }
        let mut stored = StoredCustomer::default();
        let mut pointers = Vec::new();
        for item in &items {
            let name = item.text(ITEM).ok_or(StoreError::Unreadable { attribute: ITEM })?;
            if name == PROFILE_ITEM {
                stored.registers = item.customer_registers()?;
                stored.expires_at = expires_at(item);
                stored.is_listed = item.has(SHARD);
                stored.has_waiting_subscriptions = item.has(WAITING);
                stored.scopes.entry(None).or_default().set_list_and_balances(item)?;
            } else if name.starts_with(RESOURCES) {
                let scope = stored.scopes.entry(Some(id_from_sort_key(item, RESOURCES)?)).or_default();
                scope.set_list_and_balances(item)?;
                scope.expires_at = scope.expires_at.into_iter().chain(expires_at(item)).min();
            } else if name.starts_with(USAGES) {
                let resource_id = if name == usage_item(None) { None } else { Some(id_from_sort_key(item, USAGES)?) };
                let scope = stored.scopes.entry(resource_id).or_default();
                scope.registers.usage = item.usage()?;
                scope.expires_at = scope.expires_at.into_iter().chain(expires_at(item)).min();
            } else if name.starts_with(SUBSCRIPTIONS) {
                pointers.push((id_from_sort_key(item, SUBSCRIPTIONS)?, item.version(POINTER_VERSION)?));
            }
        }
        let keys = pointers.iter().map(|(id, _)| subscription_key(id)).collect();
        let subscriptions = self.batch_get(&self.tables().subscriptions, keys, &[], true).await?;
        let by_id = subscriptions.into_iter().map(|item| Ok((item.id(SUBSCRIPTION_ID)?, item)));
        let mut by_id: HashMap<Id, Item> = by_id.collect::<Result<_, StoreError>>()?;
        for (subscription_id, pointer) in pointers {
            let item = by_id.remove(&subscription_id).unwrap_or_default();
            stored.subscriptions.push(StoredSubscription {
                registers: item.subscription_registers()?,
                expires_at: expires_at(&item),
                is_listed: item.has(SHARD),
                subscription_id,
                pointer,
            });
        }
        Ok(Some(stored))
    }
}

fn expires_at(item: &Item) -> Option<Timestamp> {
    item.number(EXPIRES_AT).and_then(|seconds| Timestamp::from_second(i64::try_from(seconds).ok()?).ok())
}
