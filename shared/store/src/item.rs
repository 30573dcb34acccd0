//! Items, and the registers stored in them.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    StoreError,
    attribute::{
        BALANCES, CREATION_VERSION, CUSTOMER_ID, DATES, DATES_VERSION, DETAILS, DETAILS_VERSION, EMBEDDED, EMBEDDED_VERSION,
        EXPIRES_AT, ITEM, LIST, LIST_VERSION, PROFILE, PROFILE_VERSION, REVISION, STATUS, STATUS_VERSION, TOMBSTONE,
        USAGE_PREFIX,
    },
    key::text,
    usage,
};
use domain::{
    customer::CustomerRegisters,
    entitlement::{Balance, EntitlementList, ScopeRegisters, Usage},
    event::List,
    id::Id,
    register::Register,
    subscription::SubscriptionRegisters,
    version::Version,
};

#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Item(HashMap<String, AttributeValue>);

impl From<HashMap<String, AttributeValue>> for Item {
    fn from(attributes: HashMap<String, AttributeValue>) -> Self {
        Self(attributes)
    }
}

impl From<Item> for HashMap<String, AttributeValue> {
    fn from(item: Item) -> Self {
        item.0
    }
}

pub(super) fn json(value: &impl Serialize) -> AttributeValue {
    text(serde_json::to_string(value).unwrap_or_default())
}

impl Item {
    pub(super) fn has(&self, attribute: &str) -> bool {
        self.0.contains_key(attribute)
    }

    /// Whether a RESOURCE or USAGE item has no registers.
    pub(super) fn is_stub(&self) -> bool {
        self.0.keys().all(|name| [CUSTOMER_ID, ITEM, TOMBSTONE, REVISION, EXPIRES_AT].contains(&name.as_str()))
    }

    pub(super) fn text(&self, attribute: &str) -> Option<&str> {
        self.0.get(attribute)?.as_s().ok().map(String::as_str)
    }

    pub(super) fn number(&self, attribute: &str) -> Option<u64> {
        self.0.get(attribute)?.as_n().ok()?.parse().ok()
    }

    pub(super) fn id(&self, attribute: &'static str) -> Result<Id, StoreError> {
        let id = self.text(attribute).and_then(|text| Id::try_from(text).ok());
        id.ok_or(StoreError::Unreadable { attribute })
    }

    pub(super) fn set(&mut self, attribute: &str, value: AttributeValue) {
        self.0.insert(attribute.to_owned(), value);
    }

    pub(super) fn remove(&mut self, attributes: &[&str]) {
        for attribute in attributes {
            self.0.remove(*attribute);
        }
    }

    /// None if the register is absent.
    pub(super) fn version(&self, attribute: &'static str) -> Result<Option<Version>, StoreError> {
        match self.0.get(attribute) {
            None => Ok(None),
            Some(AttributeValue::S(text)) => Version::from_stored(text).map(Some).ok_or(StoreError::Unreadable { attribute }),
            Some(_) => Err(StoreError::Unreadable { attribute }),
        }
    }

    /// Sets a register if the stored version is absent or lower. Returns whether it did.
    pub(super) fn upsert<const N: usize>(
        &mut self,
        version_attribute: &'static str,
        version: &Version,
        values: [(&str, AttributeValue); N],
    ) -> Result<bool, StoreError> {
        let is_newer = self.version(version_attribute)?.is_none_or(|stored| stored < *version);
        if is_newer {
            self.set(version_attribute, text(version.as_str()));
            for (attribute, value) in values {
                self.set(attribute, value);
            }
        }
        Ok(is_newer)
    }

    /// Removes a register at or below the tombstone.
    pub(super) fn prune(
        &mut self,
        version_attribute: &'static str,
        values: &[&str],
        tombstone: &Version,
    ) -> Result<(), StoreError> {
        if self.version(version_attribute)?.is_none_or(|version| version <= *tombstone) {
            self.remove(&[version_attribute]);
            self.remove(values);
        }
        Ok(())
    }

    /// Never lowers it.
    pub(super) fn raise_tombstone(&mut self, tombstone: &Version) -> Result<(), StoreError> {
        self.upsert(TOMBSTONE, tombstone, []).map(|_| ())
    }

    fn json_register<T: DeserializeOwned>(
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

    /// The registers of a PROFILE item.
    pub(super) fn customer_registers(&self) -> Result<CustomerRegisters, StoreError> {
        Ok(CustomerRegisters {
            profile: self.json_register(PROFILE_VERSION, PROFILE)?,
            embedded: self.json_register(EMBEDDED_VERSION, EMBEDDED)?,
            tombstone: self.version(TOMBSTONE)?,
            creation: self.version(CREATION_VERSION)?,
            list: self.version(LIST_VERSION)?,
        })
    }

    /// The versions of a PROFILE item's registers, with default values.
    pub(super) fn customer_versions<P: Default, E: Default>(&self) -> Result<CustomerRegisters<P, E>, StoreError> {
        Ok(CustomerRegisters {
            profile: self.version(PROFILE_VERSION)?.map(|version| Register { version, value: P::default() }),
            embedded: self.version(EMBEDDED_VERSION)?.map(|version| Register { version, value: E::default() }),
            tombstone: self.version(TOMBSTONE)?,
            creation: self.version(CREATION_VERSION)?,
            list: self.version(LIST_VERSION)?,
        })
    }

    fn list_register(&self) -> Result<Option<Register<EntitlementList>>, StoreError> {
        let Some(version) = self.version(LIST_VERSION)? else {
            return Ok(None);
        };
        let bytes = self.0.get(LIST).and_then(|value| value.as_b().ok());
        let value = bytes.and_then(|bytes| EntitlementList::from_bytes(bytes.as_ref()));
        Ok(Some(Register { version, value: value.ok_or(StoreError::Unreadable { attribute: LIST })? }))
    }

    /// By currency.
    pub(super) fn balances(&self) -> Result<BTreeMap<String, Register<Balance>>, StoreError> {
        const UNREADABLE: StoreError = StoreError::Unreadable { attribute: BALANCES };
        let Some(balances) = self.0.get(BALANCES) else { return Ok(BTreeMap::new()) };
        let balances = balances.as_m().map_err(|_| UNREADABLE)?;
        let register = |(currency, value): (&String, &AttributeValue)| {
            let (version, json) = value.as_s().ok()?.split_once('\0')?;
            let register = Register { version: Version::from_stored(version)?, value: serde_json::from_str(json).ok()? };
            Some((currency.clone(), register))
        };
        balances.iter().map(|balance| register(balance).ok_or(UNREADABLE)).collect()
    }

    pub(super) fn set_balances(&mut self, balances: &BTreeMap<String, Register<Balance>>) {
        if balances.is_empty() {
            return self.remove(&[BALANCES]);
        }
        let stored =
            balances.iter().map(|(currency, balance)| (currency.clone(), balance_value(&balance.version, &balance.value)));
        self.set(BALANCES, AttributeValue::M(stored.collect()));
    }

    /// By feature.
    pub(super) fn usage(&self) -> Result<BTreeMap<Id, Register<Usage>>, StoreError> {
        const UNREADABLE: StoreError = StoreError::Unreadable { attribute: "usage" };
        let features = self.0.iter().filter_map(|(name, value)| Some((name.strip_prefix(USAGE_PREFIX)?, value)));
        let register = |(feature, value): (&str, &AttributeValue)| {
            let register = usage::from_bytes(value.as_b().ok()?.as_ref())?;
            Some((Id::try_from(feature).ok()?, register))
        };
        features.map(|feature| register(feature).ok_or(UNREADABLE)).collect()
    }

    /// A scope's list and balances from this item (PROFILE or RESOURCE), its usage from another (USAGE).
    pub(super) fn scope(&self, usage: Option<&Self>) -> Result<ScopeRegisters, StoreError> {
        Ok(ScopeRegisters {
            list: self.list_register()?,
            balances: self.balances()?,
            usage: usage.map(Self::usage).transpose()?.unwrap_or_default(),
        })
    }

    pub(super) fn subscription_registers(&self) -> Result<SubscriptionRegisters, StoreError> {
        let status = self.version(STATUS_VERSION)?.map(|version| {
            let value = self.text(STATUS).ok_or(StoreError::Unreadable { attribute: STATUS })?.to_owned();
            Ok::<_, StoreError>(Register { version, value })
        });
        let details = self.json_register(DETAILS_VERSION, DETAILS)?.map(|Register { version, value }| {
            let customer_id = self.id(CUSTOMER_ID)?;
            Ok::<_, StoreError>(Register { version, value: (customer_id, value) })
        });
        Ok(SubscriptionRegisters {
            status: status.transpose()?,
            dates: self.json_register(DATES_VERSION, DATES)?,
            details: details.transpose()?,
            creation: self.version(CREATION_VERSION)?,
        })
    }
}

/// The version comes first, so that DynamoDB compares registers by version.
pub(super) fn balance_value(version: &Version, balance: &Balance) -> AttributeValue {
    text(format!("{version}\0{}", serde_json::to_string(balance).unwrap_or_default()))
}

pub(super) fn list_value(list: &List) -> AttributeValue {
    AttributeValue::B(Blob::new(EntitlementList::new(&list.grants).to_bytes()))
}
