//! A customer's registers and what is visible of them.

use serde::{Deserialize, Serialize};

use crate::{opaque::OpaqueJson, version::Version};

/// A last-writer-wins register: a value and the version it was written with.
#[derive(Clone, Debug, PartialEq)]
pub struct Register<T> {
    /// What orders its writes.
    pub version: Version,
    /// What the newest write said.
    pub value: T,
}

/// Whether a register of this version is visible beside its customer's tombstone. At or below the tombstone, a
/// register counts as deleted.
pub fn is_above(version: &Version, tombstone: Option<&Version>) -> bool {
    tombstone.is_none_or(|tombstone| version > tombstone)
}

/// A customer as its own events give it. What was absent is None; stored as JSON without nulls.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Profile {
    /// The customer's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The customer's e-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The customer's id in the billing provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub billing_id: Option<String>,
    /// The customer's id in the CRM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crm_id: Option<OpaqueJson>,
    /// The currency the customer pays in; Stigg varies its case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub billing_currency: Option<OpaqueJson>,
    /// The user's own data on the customer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<OpaqueJson>,
    /// Whether the customer is left out of pricing experiments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclude_from_experiment: Option<OpaqueJson>,
    /// The pricing experiment the customer takes part in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experiment_info: Option<OpaqueJson>,
}

/// A customer as another event carried it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Embedded {
    /// The customer's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The customer's e-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The customer's id in the billing provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub billing_id: Option<String>,
}

impl From<Embedded> for Profile {
    fn from(embedded: Embedded) -> Self {
        let Embedded { name, email, billing_id } = embedded;
        Self { name, email, billing_id, ..Self::default() }
    }
}

/// The registers of one customer, generic in what the profile and the embedded customer are read
/// as: a check needs their versions alone.
#[derive(Clone, Debug, PartialEq)]
pub struct CustomerRegisters<P = Profile, E = Embedded> {
    /// What customer.created and customer.updated said.
    pub profile: Option<Register<P>>,
    /// What events said that show the customer alive.
    pub embedded: Option<Register<E>>,
    /// The highest version of a customer.deleted.
    pub tombstone: Option<Version>,
    /// The highest version of a customer.created.
    pub creation: Option<Version>,
    /// The version of the customer level's newest list of entitlements. It counts for `updatedAt`.
    pub list: Option<Version>,
}

impl<P, E> Default for CustomerRegisters<P, E> {
    fn default() -> Self {
        Self { profile: None, embedded: None, tombstone: None, creation: None, list: None }
    }
}

/// Whether there is such a customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The customer is known and not deleted.
    Live,
    /// The customer was deleted, which Stigg calls archived.
    Archived,
    /// Nothing is known of such a customer.
    Unknown,
}

impl<P, E> CustomerRegisters<P, E> {
    /// Whether a register of this version, the customer's own or a dependent's, is above the tombstone.
    pub fn exists(&self, version: &Version) -> bool {
        is_above(version, self.tombstone.as_ref())
    }

    /// The register, unless it is at or below the tombstone.
    pub fn seen<'a, T>(&self, register: &'a Option<Register<T>>) -> Option<&'a Register<T>> {
        register.as_ref().filter(|register| self.exists(&register.version))
    }

    /// A customer is live when its profile or its embedded register is above the tombstone.
    pub fn standing(&self) -> Standing {
        if self.seen(&self.profile).is_some() || self.seen(&self.embedded).is_some() {
            Standing::Live
        } else if self.tombstone.is_some() {
            Standing::Archived
        } else {
            Standing::Unknown
        }
    }
}

/// A customer as readers see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Customer {
    /// What is known of it.
    pub profile: Profile,
    /// The time of its creation, where a customer.created told it.
    pub created_at: Option<String>,
    /// The time of its newest visible register.
    pub updated_at: String,
}

impl CustomerRegisters {
    /// The customer as readers see it; None unless it is live. A visible profile wins over what
    /// other events said, whichever is later: it is the full and authoritative form.
    pub fn visible(&self) -> Option<Customer> {
        let profile = self.seen(&self.profile);
        let embedded = self.seen(&self.embedded);
        let shown = match (profile, embedded) {
            (Some(profile), _) => profile.value.clone(),
            (None, Some(embedded)) => embedded.value.clone().into(),
            (None, None) => return None,
        };
        let creation = self.creation.as_ref().filter(|version| self.exists(version));
        let newest = [
            profile.map(|register| &register.version),
            embedded.map(|register| &register.version),
            self.list.as_ref().filter(|version| self.exists(version)),
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
    fn embedded_data_above_the_tombstone_is_shown_when_the_profile_is_below_it() {
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
    fn a_visible_profile_wins_over_a_later_embedded_customer_which_still_counts_for_updated_at() {
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
    fn a_customer_is_live_archived_or_unknown_by_the_registers_above_its_tombstone() {
        let mut customer = CustomerRegisters::<Profile, Embedded> { list: Some(version(3)), ..CustomerRegisters::default() };
        assert_eq!(customer.standing(), Standing::Unknown);
        customer.profile = register(2, named("n"));
        assert_eq!(customer.standing(), Standing::Live);
        customer.tombstone = Some(version(2));
        assert_eq!(customer.standing(), Standing::Archived);
        assert_eq!(customer.visible(), None);
    }
}
