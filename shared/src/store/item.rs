//! Items as DynamoDB gives them, and the registers in them.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde::de::DeserializeOwned;

use super::{
    StoreError,
    attribute::{
        CREATION_VERSION, CUSTOMER_ID, DATES, DATES_VERSION, DELETION_VERSION, DETAILS, DETAILS_VERSION, EMBEDDED,
        EMBEDDED_VERSION, LIST_LENGTH, LIST_VERSION, PROFILE, PROFILE_VERSION, STATUS, STATUS_VERSION,
    },
};
use crate::{
    customer::{CustomerRegisters, Register},
    id::Id,
    subscription::SubscriptionRegisters,
    version::Version,
};

/// An item's attributes.
#[derive(Debug, Default, Clone)]
pub(super) struct Item(HashMap<String, AttributeValue>);

impl From<HashMap<String, AttributeValue>> for Item {
    fn from(attributes: HashMap<String, AttributeValue>) -> Self {
        Self(attributes)
    }
}

impl Item {
    pub(super) fn has(&self, attribute: &str) -> bool {
        self.0.contains_key(attribute)
    }

    pub(super) fn text(&self, attribute: &str) -> Option<&str> {
        self.0.get(attribute)?.as_s().ok().map(String::as_str)
    }

    pub(super) fn take_text(&mut self, attribute: &str) -> Option<String> {
        match self.0.remove(attribute)? {
            AttributeValue::S(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn number(&self, attribute: &str) -> Option<u64> {
        self.0.get(attribute)?.as_n().ok()?.parse().ok()
    }

    pub(super) fn id(&self, attribute: &'static str) -> Result<Id, StoreError> {
        let id = self.text(attribute).and_then(|text| Id::try_from(text).ok());
        id.ok_or(StoreError::Unreadable { attribute })
    }

    /// A register's version; None if the register is not there.
    pub(super) fn version(&self, attribute: &'static str) -> Result<Option<Version>, StoreError> {
        match self.0.get(attribute) {
            None => Ok(None),
            Some(AttributeValue::S(text)) => Version::from_stored(text).map(Some).ok_or(StoreError::Unreadable { attribute }),
            Some(_) => Err(StoreError::Unreadable { attribute }),
        }
    }

    /// A register whose value is a text.
    pub(super) fn take_register(
        &mut self,
        version: &'static str,
        value: &'static str,
    ) -> Result<Option<Register<String>>, StoreError> {
        let Some(version) = self.version(version)? else {
            return Ok(None);
        };
        let value = self.take_text(value).ok_or(StoreError::Unreadable { attribute: value })?;
        Ok(Some(Register { version, value }))
    }

    /// A register whose value is JSON.
    pub(super) fn json_register<T: DeserializeOwned>(
        &self,
        version: &'static str,
        value: &'static str,
    ) -> Result<Option<Register<T>>, StoreError> {
        let Some(version) = self.version(version)? else {
            return Ok(None);
        };
        let json = self.text(value).and_then(|json| serde_json::from_str(json).ok());
        Ok(Some(Register { version, value: json.ok_or(StoreError::Unreadable { attribute: value })? }))
    }

    /// The register of a list of entitlements.
    pub(super) fn list_register(&self) -> Result<Option<Register<u64>>, StoreError> {
        let Some(version) = self.version(LIST_VERSION)? else {
            return Ok(None);
        };
        let value = self.number(LIST_LENGTH).ok_or(StoreError::Unreadable { attribute: LIST_LENGTH })?;
        Ok(Some(Register { version, value }))
    }

    /// A PROFILE item's registers, whole.
    pub(super) fn customer_registers(&self) -> Result<CustomerRegisters, StoreError> {
        Ok(CustomerRegisters {
            profile: self.json_register(PROFILE_VERSION, PROFILE)?,
            embedded: self.json_register(EMBEDDED_VERSION, EMBEDDED)?,
            deletion: self.version(DELETION_VERSION)?,
            creation: self.version(CREATION_VERSION)?,
            list: self.list_register()?,
        })
    }

    /// A PROFILE item's registers, by version alone.
    pub(super) fn customer_versions(&self) -> Result<CustomerRegisters<(), ()>, StoreError> {
        let register = |attribute| self.version(attribute).map(|version| version.map(|version| Register { version, value: () }));
        Ok(CustomerRegisters {
            profile: register(PROFILE_VERSION)?,
            embedded: register(EMBEDDED_VERSION)?,
            deletion: self.version(DELETION_VERSION)?,
            creation: self.version(CREATION_VERSION)?,
            list: self.list_register()?,
        })
    }

    /// A subscription's registers.
    pub(super) fn subscription_registers(&self) -> Result<SubscriptionRegisters, StoreError> {
        let status = self.version(STATUS_VERSION)?.map(|version| {
            let value = self.text(STATUS).ok_or(StoreError::Unreadable { attribute: STATUS })?.to_owned();
            Ok(Register { version, value })
        });
        let details = self.json_register(DETAILS_VERSION, DETAILS)?.map(|Register { version, value }| {
            let customer_id = self.id(CUSTOMER_ID)?;
            Ok(Register { version, value: (customer_id, value) })
        });
        Ok(SubscriptionRegisters {
            status: status.transpose()?,
            dates: self.json_register(DATES_VERSION, DATES)?,
            details: details.transpose()?,
            creation: self.version(CREATION_VERSION)?,
        })
    }
}
