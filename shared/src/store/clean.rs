//! Removing what lies at or below a customer's deletion, by writes conditional on the versions, so
//! that a racing re-creation survives.

use aws_sdk_dynamodb::types::ReturnValue;
use jiff::Timestamp;

use super::{
    PLANS, Store, StoreError,
    attribute::{EXPIRES_AT, GRANT, GRANT_VERSION, LIST_LENGTH, LIST_VERSION, POINTER_VERSION, USAGE, USAGE_VERSION},
    expiry,
    item::Item,
    key::{customer_key, number},
    update::{Update, Written},
};
use crate::{id::Id, version::Version};

/// The registers that the items beside PROFILE can hold: version and value.
const REGISTERS: [(&str, &[&str]); 4] =
    [(GRANT_VERSION, &[GRANT]), (USAGE_VERSION, &[USAGE]), (LIST_VERSION, &[LIST_LENGTH]), (POINTER_VERSION, &[])];

impl Store {
    /// Removes the registers of an ENTITLEMENT, RESOURCE or SUBSCRIPTION item of the customer's that
    /// lie at or below the deletion, and the item with the last of them.
    pub(super) async fn clean_item(
        &self,
        customer_id: &Id,
        item: String,
        deletion: &Version,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let key = customer_key(customer_id, item);
        let mut found: Option<Item> = None;
        for _ in 0..PLANS {
            let held = |attribute| found.as_ref().map_or(Ok(None), |item| item.version(attribute));
            let mut update = Update::new(&self.tables.customers, key.clone());
            let mut staying = Vec::new();
            for (version_attribute, _) in REGISTERS {
                if held(version_attribute)?.is_some_and(|held| held > *deletion) {
                    staying.push(version_attribute);
                    update.if_above(version_attribute, deletion);
                } else {
                    update.if_not_above(version_attribute, deletion);
                }
            }
            let written = if staying.is_empty() {
                update.delete(self).await?
            } else {
                let overtaken = REGISTERS.into_iter().filter(|(attribute, _)| !staying.contains(attribute));
                let mut is_clean = true;
                for (version_attribute, values) in overtaken {
                    is_clean &= held(version_attribute)?.is_none();
                    update.remove(&[version_attribute]);
                    update.remove(values);
                }
                if is_clean {
                    return Ok(());
                }
                if !staying.contains(&GRANT_VERSION) {
                    update.set(EXPIRES_AT, number(expiry(now)));
                }
                update.send(self, ReturnValue::None).await?
            };
            match written {
                Written::Done(_) => return Ok(()),
                Written::Refused(item) => found = Some(item),
            }
        }
        Err(StoreError::Contended { operation: "DeleteItem" })
    }
}
