//! A customer's deletion: its register first, then the cleaning of what lies below it.

use aws_sdk_dynamodb::types::ReturnValue;
use jiff::Timestamp;

use super::{
    Outcome, PLANS, Store, StoreError,
    attribute::{
        BILLING_ID, CREATION_ORDER, CREATION_VERSION, DELETION_VERSION, EMAIL, EMBEDDED, EMBEDDED_VERSION, EXPIRES_AT,
        LIST_LENGTH, LIST_VERSION, PROFILE, PROFILE_VERSION, SHARD,
    },
    customer::{ProfileState, show_in_look_ups},
    expiry,
    item::Item,
    key::{PROFILE_ITEM, SUBSCRIPTIONS, creation_order, customer_key, number, text},
    update::{Update, Written},
    window::Window,
};
use crate::{customer::Embedded, id::Id, version::Version};

/// The registers of PROFILE that a deletion can overtake: version and value.
const REGISTERS: [(&str, &[&str]); 4] =
    [(PROFILE_VERSION, &[PROFILE]), (EMBEDDED_VERSION, &[EMBEDDED]), (CREATION_VERSION, &[]), (LIST_VERSION, &[LIST_LENGTH])];

impl Store {
    /// Deletes a customer at this version: what lies at or below it is removed, what lies above
    /// survives. Nothing is written where the customer was deleted at this version or a higher one;
    /// the cleaning is done all the same, in case an earlier delivery was interrupted.
    ///
    /// # Errors
    /// See [`StoreError`]. The same event again completes what an error interrupted.
    pub async fn delete_customer(&self, customer_id: &Id, version: &Version, now: Timestamp) -> Result<Outcome, StoreError> {
        let (outcome, state) = self.write_deletion(customer_id, version, now).await?;
        let deletion = state.registers.deletion.as_ref().unwrap_or(version);
        let mut writes = Window::new();
        let items = self.items_with_prefix(customer_id, "").await?;
        for item in items.into_iter().filter(|item| item != PROFILE_ITEM) {
            writes.push(self.clean_below(customer_id, item, deletion, now)).await?;
        }
        writes.finish().await?;
        Ok(outcome)
    }

    async fn write_deletion(
        &self,
        customer_id: &Id,
        version: &Version,
        now: Timestamp,
    ) -> Result<(Outcome, ProfileState), StoreError> {
        let mut found = Item::default();
        for _ in 0..PLANS {
            match self.plan_deletion(customer_id, version, &found, now)?.send(self, ReturnValue::AllNew).await? {
                Written::Done(item) => return Ok((Outcome::Applied, ProfileState::of(&item)?)),
                Written::Refused(item) => found = item,
            }
            if found.version(DELETION_VERSION)?.is_some_and(|deletion| deletion >= *version) {
                return Ok((Outcome::Stale, ProfileState::of(&found)?));
            }
        }
        Err(StoreError::Contended { operation: "UpdateItem" })
    }

    /// The write of a deletion beside what was found, which is taken to be so: each register found
    /// above the deletion stays, any other goes. With nothing found yet, all go.
    fn plan_deletion<'a>(
        &'a self,
        customer_id: &Id,
        version: &Version,
        found: &Item,
        now: Timestamp,
    ) -> Result<Update<'a>, StoreError> {
        let mut update = Update::new(&self.tables.customers, customer_key(customer_id, PROFILE_ITEM));
        update.if_below(DELETION_VERSION, version);
        update.set_version(DELETION_VERSION, version);
        let mut staying = Vec::new();
        for (version_attribute, values) in REGISTERS {
            if found.version(version_attribute)?.is_some_and(|held| held > *version) {
                staying.push(version_attribute);
                update.if_above(version_attribute, version);
            } else {
                update.if_not_above(version_attribute, version);
                update.remove(&[version_attribute]);
                update.remove(values);
            }
        }
        let stays = |attribute| staying.contains(&attribute);
        if stays(PROFILE_VERSION) {
            // It was shown in the look-ups before, and still is.
        } else if stays(EMBEDDED_VERSION) {
            let embedded = found.json_register::<Embedded>(EMBEDDED_VERSION, EMBEDDED)?;
            if let Some(embedded) = embedded {
                update.if_equal(EMBEDDED_VERSION, text(embedded.version.as_str()));
                show_in_look_ups(&mut update, embedded.value.email.as_deref(), embedded.value.billing_id.as_deref());
            }
        } else {
            update.remove(&[SHARD, EMAIL, BILLING_ID]);
        }
        if !stays(CREATION_VERSION) {
            update.set(CREATION_ORDER, text(creation_order(None, customer_id)));
        }
        if staying.is_empty() {
            update.set(EXPIRES_AT, number(expiry(now)));
        }
        Ok(update)
    }

    async fn clean_below(&self, customer_id: &Id, item: String, deletion: &Version, now: Timestamp) -> Result<(), StoreError> {
        match item.strip_prefix(SUBSCRIPTIONS).map(Id::try_from) {
            Some(Ok(subscription_id)) => self.settle_after_deletion(&subscription_id, customer_id, deletion, now).await,
            _ => self.clean_item(customer_id, item, deletion, now).await,
        }
    }
}
