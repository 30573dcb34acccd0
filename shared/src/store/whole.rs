//! A customer whole, for a person who looks: every register that is stored of it, seen or not, as it is
//! now.

use std::collections::HashMap;

use jiff::Timestamp;

use super::{
    FeatureRow, ResourceRow, Store, StoreError,
    attribute::{EXPIRES_AT, GRANT, ITEM, POINTER_VERSION, SHARD, SUBSCRIPTION_ID, UNLISTED},
    item::Item,
    key::{ENTITLEMENTS, PROFILE_ITEM, RESOURCES, SUBSCRIPTIONS, subscription_key},
};
use crate::{
    access::AccessView,
    customer::{CustomerRegisters, Register},
    id::Id,
    subscription::SubscriptionRegisters,
    version::Version,
};

/// All that is stored of a customer.
#[derive(Clone, Debug, Default)]
pub struct WholeCustomer {
    /// The registers of its PROFILE, none of them where it has no such item.
    pub registers: CustomerRegisters,
    /// When TTL sweeps the PROFILE.
    pub expires_at: Option<Timestamp>,
    /// Whether the customer is in the lists.
    pub is_listed: bool,
    /// Whether some of its subscriptions wait for it to be live.
    pub has_unlisted_subscriptions: bool,
    /// Its features, in the order of their keys.
    pub features: Vec<WholeFeature>,
    /// Its resources.
    pub resources: Vec<ResourceRow>,
    /// The subscriptions that it has pointers to.
    pub subscriptions: Vec<WholeSubscription>,
}

/// All that is stored of a feature.
#[derive(Clone, Debug)]
pub struct WholeFeature {
    /// Its registers.
    pub row: FeatureRow,
    /// When TTL sweeps it.
    pub expires_at: Option<Timestamp>,
}

/// All that is stored of a subscription.
#[derive(Clone, Debug)]
pub struct WholeSubscription {
    /// The subscription.
    pub subscription_id: Id,
    /// The version of the details that the customer's pointer was written for.
    pub pointer: Option<Version>,
    /// Its registers, none of them where the item is gone.
    pub registers: SubscriptionRegisters,
    /// When TTL sweeps it.
    pub expires_at: Option<Timestamp>,
    /// Whether it is in the lists.
    pub is_listed: bool,
}

impl WholeCustomer {
    /// What a check of this feature would depend on.
    ///
    /// # Errors
    /// If the stored grant can't be read.
    pub fn access_view(&self, resource_id: Option<&Id>, feature_id: &Id) -> Result<AccessView, StoreError> {
        let list = match resource_id {
            Some(id) => self.resources.iter().find(|row| row.resource_id == *id).and_then(|row| row.list.as_ref()),
            None => self.registers.list.as_ref(),
        };
        let row = self.features.iter().map(|feature| &feature.row);
        let row = row.into_iter().find(|row| row.resource_id.as_ref() == resource_id && row.feature_id == *feature_id);
        let grant = row.and_then(|row| row.grant.as_ref()).map(|Register { version, value }| {
            let value = serde_json::from_str(value).map_err(|_| StoreError::Unreadable { attribute: GRANT })?;
            Ok(Register { version: version.clone(), value })
        });
        Ok(AccessView::of(&self.registers, list, grant.transpose()?, row.and_then(|row| row.usage.as_ref())))
    }
}

impl Store {
    /// All that is stored of a customer, read consistently; None where nothing is.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn whole_customer(&self, customer_id: &Id) -> Result<Option<WholeCustomer>, StoreError> {
        let items = self.query_prefix(customer_id, "", &[], true).await?;
        if items.is_empty() {
            return Ok(None);
        }
        let mut whole = WholeCustomer::default();
        let mut pointers = Vec::new();
        for item in items {
            let name = item.text(ITEM).ok_or(StoreError::Unreadable { attribute: ITEM })?;
            if name == PROFILE_ITEM {
                whole.registers = item.customer_registers()?;
                whole.expires_at = expires_at(&item);
                whole.is_listed = item.has(SHARD);
                whole.has_unlisted_subscriptions = item.has(UNLISTED);
            } else if name.starts_with(ENTITLEMENTS) {
                let expires_at = expires_at(&item);
                whole.features.push(WholeFeature { row: item.feature_row()?, expires_at });
            } else if name.starts_with(RESOURCES) {
                whole.resources.push(item.resource_row()?);
            } else if let Some(id) = name.strip_prefix(SUBSCRIPTIONS) {
                let id = Id::try_from(id).map_err(|_| StoreError::Unreadable { attribute: ITEM })?;
                pointers.push((id, item.version(POINTER_VERSION)?));
            }
        }
        let keys = pointers.iter().map(|(id, _)| subscription_key(id)).collect();
        let subscriptions = self.batch_get(&self.tables().subscriptions, keys, &[], true).await?;
        let by_id = subscriptions.into_iter().map(|item| Ok((item.id(SUBSCRIPTION_ID)?, item)));
        let mut by_id: HashMap<Id, Item> = by_id.collect::<Result<_, StoreError>>()?;
        for (subscription_id, pointer) in pointers {
            let item = by_id.remove(&subscription_id).unwrap_or_default();
            whole.subscriptions.push(WholeSubscription {
                registers: item.subscription_registers()?,
                expires_at: expires_at(&item),
                is_listed: item.has(SHARD),
                subscription_id,
                pointer,
            });
        }
        Ok(Some(whole))
    }
}

fn expires_at(item: &Item) -> Option<Timestamp> {
    item.number(EXPIRES_AT).and_then(|seconds| Timestamp::from_second(i64::try_from(seconds).ok()?).ok())
}
