//! The Stigg environment that the replica belongs to. It is stored beside the data, so that a restored table has it too.
//!
//! The item's partition key is U+0000. Ids can't contain it, so no customer has this key.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Store, StoreError,
    attribute::{CUSTOMER_ID, ENVIRONMENT_ID, ITEM, WITNESSED_AT, WITNESSES},
    item::{Item, json},
    key::{Key, text},
    write::{Write, Written},
};
use domain::{id::Id, time};

/// The sort key of the item.
const ENVIRONMENT_ITEM: &str = "ENVIRONMENT";

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// Stigg's id of the environment, as in events. None until an event or an operator has set it.
    pub environment_id: Option<Id>,
    /// None until an import or a reconciliation has written.
    pub witnesses: Option<Witnesses>,
}

/// Some customers of the environment. They reveal an API key of another environment: Stigg's API does not show which
/// environment a key belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witnesses {
    /// When they were read from Stigg's API.
    pub read_at: Timestamp,
    pub customers: Vec<Witness>,
}

/// A customer id and the time when Stigg created the customer: this combination occurs in one environment only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Witness {
    pub customer_id: Id,
    pub created_at: Timestamp,
}

impl Store {
    /// Strongly consistent.
    pub async fn environment(&self) -> Result<Environment, StoreError> {
        environment(&self.get(&self.tables.customers, environment_key(), &[]).await?.unwrap_or_default())
    }

    /// Stores the environment's id unless one is stored already. Returns the stored id.
    pub async fn remember_environment_id(&self, environment_id: &Id) -> Result<Id, StoreError> {
        let plan = |found: Option<&Item>| {
            if found.is_some_and(|item| item.has(ENVIRONMENT_ID)) {
                return Ok(None);
            }
            let mut write = Write::update(&self.tables.customers, environment_key());
            write.if_absent(ENVIRONMENT_ID);
            write.set(ENVIRONMENT_ID, text(environment_id.as_str()));
            Ok(Some(write))
        };
        match self.write(plan).await? {
            Written::Done(_) => Ok(environment_id.clone()),
            Written::Unchanged(item) => item.id(ENVIRONMENT_ID),
        }
    }

    /// Replaces the environment's id. None removes it: the next recent event then decides.
    pub async fn replace_environment_id(&self, environment_id: Option<&Id>) -> Result<(), StoreError> {
        self.update_environment(|write| match environment_id {
            Some(environment_id) => write.set(ENVIRONMENT_ID, text(environment_id.as_str())),
            None => write.remove(&[ENVIRONMENT_ID]),
        })
        .await
    }

    pub async fn replace_witnesses(&self, witnesses: &Witnesses) -> Result<(), StoreError> {
        self.update_environment(|write| {
            write.set(WITNESSES, json(&witnesses.customers));
            write.set(WITNESSED_AT, text(time::to_fixed_width(witnesses.read_at)));
        })
        .await
    }

    async fn update_environment(&self, change: impl Fn(&mut Write) + Send + Sync) -> Result<(), StoreError> {
        let plan = |_: Option<&Item>| {
            let mut write = Write::update(&self.tables.customers, environment_key());
            change(&mut write);
            Ok(Some(write))
        };
        self.write(plan).await.map(|_| ())
    }
}

fn environment(item: &Item) -> Result<Environment, StoreError> {
    let environment_id = if item.has(ENVIRONMENT_ID) { Some(item.id(ENVIRONMENT_ID)?) } else { None };
    let witnesses = match (item.text(WITNESSES), item.text(WITNESSED_AT)) {
        (Some(customers), Some(read_at)) => {
            let customers = serde_json::from_str(customers).map_err(|_| StoreError::Unreadable { attribute: WITNESSES })?;
            let read_at = time::parse(read_at).map_err(|_| StoreError::Unreadable { attribute: WITNESSED_AT })?;
            Some(Witnesses { read_at, customers })
        }
        _ => None,
    };
    Ok(Environment { environment_id, witnesses })
}

fn environment_key() -> Key {
    Key::from([(CUSTOMER_ID.to_owned(), text("\0")), (ITEM.to_owned(), text(ENVIRONMENT_ITEM))])
}
