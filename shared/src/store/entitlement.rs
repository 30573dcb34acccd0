//! ENTITLEMENT and RESOURCE items: what lists grant, and what was measured.

use std::collections::HashSet;

use aws_sdk_dynamodb::types::ReturnValue;
use jiff::Timestamp;

use super::{
    Outcome, PLANS, Store, StoreError,
    attribute::{EXPIRES_AT, GRANT, GRANT_VERSION, LIST_LENGTH, LIST_VERSION, USAGE, USAGE_VERSION},
    customer::{CustomerChange, json},
    expiry,
    key::{customer_key, entitlement_item, number, resource_item, text},
    update::{Update, Written},
    window::Window,
};
use crate::{customer::Embedded, entitlement::Usage, event::List, id::Id, version::Version};

/// The most features of a list that is surely written in one delivery. A longer one may take more time
/// than there is, and then the next delivery must not begin anew.
const LONG_LIST: usize = 500;

impl Store {
    /// Writes the complete new lists of an event: a grant for each feature, then, when all are
    /// durable, the lists' own registers, so that what a list no longer holds is revoked only when
    /// what it does hold is there. A list that is not empty shows the customer alive.
    ///
    /// Stale if every list's register, and the customer's embedded one, held this version or a higher
    /// one or lay below the customer's deletion. What was written below a deletion is removed again.
    /// Of a long list, what an earlier delivery wrote is not written again: its write would be refused.
    ///
    /// # Errors
    /// See [`StoreError`]. The same event again completes what an error interrupted.
    pub async fn write_lists(
        &self,
        customer_id: &Id,
        version: &Version,
        lists: &[List],
        embedded: (&Version, &Embedded),
        now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        let mut writes = Window::new();
        for list in lists {
            let is_long = list.grants.len() > LONG_LIST;
            let resource_id = list.resource_id.as_ref();
            let written = if is_long { self.granted_since(customer_id, resource_id, version).await? } else { HashSet::new() };
            for (feature_id, grant) in list.grants.iter().filter(|(feature_id, _)| !written.contains(feature_id)) {
                writes.push(self.write_grant(customer_id, resource_id, feature_id, version, grant)).await?;
            }
        }
        writes.finish().await?;

        let mut outcome = Outcome::Stale;
        for list in lists {
            if let Some(resource_id) = &list.resource_id {
                outcome = outcome.or(self.write_resource_list(customer_id, resource_id, version, list.grants.len()).await?);
            }
        }
        let own = lists.iter().find(|list| list.resource_id.is_none());
        let change = CustomerChange {
            list: own.map(|list| (version, list.grants.len())),
            embedded: lists.iter().any(|list| !list.grants.is_empty()).then_some(embedded),
            ..CustomerChange::default()
        };
        let (of_customer, profile) = self.write_customer(customer_id, &change, now).await?;

        if let Some(deletion) = profile.registers.deletion.filter(|deletion| version <= deletion) {
            for list in lists {
                self.clean_list(customer_id, list, &deletion, now).await?;
            }
            return Ok(Outcome::Stale);
        }
        Ok(outcome.or(of_customer))
    }

    /// Writes what a list says of one feature, unless the register holds this version or a higher
    /// one.
    async fn write_grant(
        &self,
        customer_id: &Id,
        resource_id: Option<&Id>,
        feature_id: &Id,
        version: &Version,
        grant: &str,
    ) -> Result<(), StoreError> {
        let mut update =
            Update::new(&self.tables.customers, customer_key(customer_id, entitlement_item(resource_id, feature_id)));
        update.if_below(GRANT_VERSION, version);
        update.set_version(GRANT_VERSION, version);
        update.set(GRANT, text(grant));
        update.remove(&[EXPIRES_AT]);
        match update.send(self, ReturnValue::None).await? {
            Written::Done(_) | Written::Refused(_) => Ok(()),
        }
    }

    async fn write_resource_list(
        &self,
        customer_id: &Id,
        resource_id: &Id,
        version: &Version,
        length: usize,
    ) -> Result<Outcome, StoreError> {
        let mut update = Update::new(&self.tables.customers, customer_key(customer_id, resource_item(resource_id)));
        update.if_below(LIST_VERSION, version);
        update.set_version(LIST_VERSION, version);
        update.set(LIST_LENGTH, number(length));
        match update.send(self, ReturnValue::None).await? {
            Written::Done(_) => Ok(Outcome::Applied),
            Written::Refused(_) => Ok(Outcome::Stale),
        }
    }

    /// Removes what a list wrote below the customer's deletion.
    async fn clean_list(&self, customer_id: &Id, list: &List, deletion: &Version, now: Timestamp) -> Result<(), StoreError> {
        let resource_id = list.resource_id.as_ref();
        let mut writes = Window::new();
        for (feature_id, _) in &list.grants {
            writes.push(self.clean_item(customer_id, entitlement_item(resource_id, feature_id), deletion, now)).await?;
        }
        if let Some(resource_id) = resource_id {
            writes.push(self.clean_item(customer_id, resource_item(resource_id), deletion, now)).await?;
        }
        writes.finish().await
    }

    /// Writes what was measured of a feature, unless the register holds this version or a higher
    /// one. One write where the feature is granted; usage without a grant opens nothing, and TTL
    /// sweeps it unless a grant comes.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn write_usage(
        &self,
        customer_id: &Id,
        resource_id: Option<&Id>,
        feature_id: &Id,
        version: &Version,
        usage: &Usage,
        now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        let mut is_granted = true;
        for _ in 0..PLANS {
            let mut update =
                Update::new(&self.tables.customers, customer_key(customer_id, entitlement_item(resource_id, feature_id)));
            update.if_below(USAGE_VERSION, version);
            update.if_there(GRANT_VERSION, is_granted);
            update.set_version(USAGE_VERSION, version);
            update.set(USAGE, json(usage));
            if !is_granted {
                update.set(EXPIRES_AT, number(expiry(now)));
            }
            match update.send(self, ReturnValue::None).await? {
                Written::Done(_) => return Ok(Outcome::Applied),
                Written::Refused(item) => {
                    if item.version(USAGE_VERSION)?.is_some_and(|held| held >= *version) {
                        return Ok(Outcome::Stale);
                    }
                    is_granted = item.has(GRANT_VERSION);
                }
            }
        }
        Err(StoreError::Contended { operation: "UpdateItem" })
    }
}
