//! Customers: their registers and visible state.

use serde::{Deserialize, Serialize};

use crate::{
    opaque::OpaqueJson,
    register::{Register, is_above},
    version::Version,
};

/// A customer as in customer.created and customer.updated. Stored as JSON without nulls.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Profile {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// In the billing provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub billing_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crm_id: Option<OpaqueJson>,
    /// Upper or lower case, depending on the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub billing_currency: Option<OpaqueJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<OpaqueJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclude_from_experiment: Option<OpaqueJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experiment_info: Option<OpaqueJson>,
}

/// A customer as embedded in another event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Embedded {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// In the billing provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub billing_id: Option<String>,
}

impl From<Embedded> for Profile {
    fn from(embedded: Embedded) -> Self {
        let Embedded { name, email, billing_id } = embedded;
        Self { name, email, billing_id, ..Self::default() }
    }
}

/// The registers of one customer. A check reads only versions: P and E are then `()`.
#[derive(Clone, Debug, PartialEq)]
pub struct CustomerRegisters<P = Profile, E = Embedded> {
    pub profile: Option<Register<P>>,
    /// Written by events that show that the customer is live.
    pub embedded: Option<Register<E>>,
    /// The highest version of a customer.deleted.
    pub tombstone: Option<Version>,
    /// The highest version of a customer.created.
    pub creation: Option<Version>,
    /// The version of the customer level's newest list of entitlements, which counts for `updatedAt`.
    pub list: Option<Version>,
}

impl<P, E> Default for CustomerRegisters<P, E> {
    fn default() -> Self {
        Self { profile: None, embedded: None, tombstone: None, creation: None, list: None }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CustomerState {
    /// The profile or the embedded register is above the tombstone.
    Live,
    /// Deleted; Stigg calls it archived.
    Archived,
    /// No event was received.
    Unknown,
}

impl<P, E> CustomerRegisters<P, E> {
    /// Whether a register of this customer or of a dependent is visible, see [`is_above`].
    pub fn is_visible(&self, version: &Version) -> bool {
        is_above(version, self.tombstone.as_ref())
    }

    pub fn visible_register<'a, T>(&self, register: &'a Option<Register<T>>) -> Option<&'a Register<T>> {
        register.as_ref().filter(|register| self.is_visible(&register.version))
    }

    pub fn state(&self) -> CustomerState {
        if self.visible_register(&self.profile).is_some() || self.visible_register(&self.embedded).is_some() {
            CustomerState::Live
        } else if self.tombstone.is_some() {
            CustomerState::Archived
        } else {
            CustomerState::Unknown
        }
    }
}

/// A customer as readers see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Customer {
    pub profile: Profile,
    /// None if no customer.created was received.
    pub created_at: Option<String>,
    /// The time of its newest visible register.
    pub updated_at: String,
}

impl CustomerRegisters {
    /// The customer as readers see it. None unless it is live. A visible profile wins over embedded data, even if that is
    /// newer: the profile is complete and authoritative.
    pub fn visible(&self) -> Option<Customer> {
        let profile = self.visible_register(&self.profile);
        let embedded = self.visible_register(&self.embedded);
        let shown = match (profile, embedded) {
            (Some(profile), _) => profile.value.clone(),
            (None, Some(embedded)) => embedded.value.clone().into(),
            (None, None) => return None,
        };
        let creation = self.creation.as_ref().filter(|version| self.is_visible(version));
        let newest = [
            profile.map(|register| &register.version),
            embedded.map(|register| &register.version),
            self.list.as_ref().filter(|version| self.is_visible(version)),
            creation,
        ]
        .into_iter()
        .flatten()
        .max()?;
        Some(Customer {
            profile: shown,
            created_at: creation.map(|version| version.time_text().to_owned()),
            updated_at: newest.time_text().to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(n: u8) -> Version {
        Version::new(format!("2026-01-0{n}T00:00:00Z").parse().unwrap(), "m")
    }

    fn register<T>(n: u8, value: T) -> Option<Register<T>> {
        Some(Register { version: version(n), value })
    }

    fn named(name: &str) -> Profile {
        Profile { name: Some(name.to_owned()), ..Profile::default() }
    }

    #[test]
    fn embedded_data_above_the_tombstone_is_visible_when_the_profile_is_below_it() {
        let customer = CustomerRegisters {
            profile: register(1, named("profile")),
            embedded: register(3, Embedded { name: Some("embedded".to_owned()), ..Embedded::default() }),
            tombstone: Some(version(2)),
            creation: Some(version(1)),
            list: None,
        };
        let seen = customer.visible().unwrap();
        assert_eq!(seen.profile, named("embedded"));
        assert_eq!((seen.created_at, seen.updated_at.as_str()), (None, "2026-01-03T00:00:00.000Z"));
    }

    #[test]
    fn a_visible_profile_wins_over_newer_embedded_data_which_still_counts_for_updated_at() {
        let customer = CustomerRegisters {
            profile: register(2, named("profile")),
            embedded: register(4, Embedded::default()),
            creation: Some(version(1)),
            list: Some(version(3)),
            tombstone: None,
        };
        let seen = customer.visible().unwrap();
        assert_eq!(seen.profile, named("profile"));
        assert_eq!(seen.created_at.as_deref(), Some("2026-01-01T00:00:00.000Z"));
        assert_eq!(seen.updated_at, "2026-01-04T00:00:00.000Z");
    }

    #[test]
    fn the_registers_above_the_tombstone_make_a_customer_live_archived_or_unknown() {
        let mut customer = CustomerRegisters::<Profile, Embedded> { list: Some(version(3)), ..CustomerRegisters::default() };
        assert_eq!(customer.state(), CustomerState::Unknown);
        customer.profile = register(2, named("n"));
        assert_eq!(customer.state(), CustomerState::Live);
        customer.tombstone = Some(version(2));
        assert_eq!(customer.state(), CustomerState::Archived);
        assert_eq!(customer.visible(), None);
    }
}
