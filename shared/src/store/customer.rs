//! The PROFILE item: a customer's registers, and what puts it into the lists while it is live.

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};

use jiff::Timestamp;

use super::{
    Outcome, PLANS, Store, StoreError,
    attribute::{
        BILLING_ID, CREATION_ORDER, CREATION_VERSION, DELETION_VERSION, EMAIL, EMBEDDED, EMBEDDED_VERSION, EXPIRES_AT,
        LIST_LENGTH, LIST_VERSION, PROFILE, PROFILE_VERSION, SHARD, UNLISTED,
    },
    item::Item,
    key::{PROFILE_ITEM, creation_order, creation_order_of, customer_key, number, shard_of, text},
    update::{Update, Written},
};
use crate::{
    customer::{CustomerRegisters, Embedded, Profile, Standing},
    id::Id,
    version::Version,
};

/// What an event says of a customer: the registers of PROFILE that it writes.
#[derive(Debug, Default)]
pub(super) struct CustomerChange<'a> {
    pub(super) profile: Option<(&'a Version, &'a Profile)>,
    /// The profile's version is a creation too.
    pub(super) created: bool,
    pub(super) embedded: Option<(&'a Version, &'a Embedded)>,
    pub(super) list: Option<(&'a Version, usize)>,
}

/// PROFILE as a write or a read found it.
#[derive(Debug)]
pub(super) struct ProfileState {
    pub(super) registers: CustomerRegisters<(), ()>,
    /// See [`UNLISTED`].
    pub(super) unlisted: Option<String>,
}

impl ProfileState {
    pub(super) fn of(item: &Item) -> Result<Self, StoreError> {
        let unlisted = item.text(UNLISTED).map(str::to_owned);
        Ok(Self { registers: item.customer_versions()?, unlisted })
    }

    pub(super) fn is_live(&self) -> bool {
        self.registers.standing() == Standing::Live
    }
}

impl Store {
    /// Writes a customer's profile, and its creation if it is one. Nothing is written where the
    /// register holds this version or a higher one, or the customer was deleted at or above it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn write_profile(
        &self,
        customer_id: &Id,
        version: &Version,
        profile: &Profile,
        created: bool,
        now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        let change = CustomerChange { profile: Some((version, profile)), created, ..CustomerChange::default() };
        Ok(self.write_customer(customer_id, &change, now).await?.0)
    }

    /// Writes what the change says, register by register, and lists the subscriptions that waited
    /// for the customer to be live. Answers with PROFILE as it is afterwards.
    pub(super) async fn write_customer(
        &self,
        customer_id: &Id,
        change: &CustomerChange<'_>,
        now: Timestamp,
    ) -> Result<(Outcome, ProfileState), StoreError> {
        let (outcome, state) = self.write_customer_registers(customer_id, change).await?;
        match &state.unlisted {
            Some(mark) if state.is_live() => self.list_waiting_subscriptions(customer_id, mark, now).await?,
            _ => {}
        }
        Ok((outcome, state))
    }

    async fn write_customer_registers(
        &self,
        customer_id: &Id,
        change: &CustomerChange<'_>,
    ) -> Result<(Outcome, ProfileState), StoreError> {
        let mut found: Option<ProfileState> = None;
        for _ in 0..PLANS {
            let Some(update) = plan(self, customer_id, change, found.as_ref()) else {
                return match found {
                    Some(state) => Ok((Outcome::Stale, state)),
                    None => Ok((Outcome::Stale, self.read_profile(customer_id).await?)),
                };
            };
            match update.send(self, ReturnValue::AllNew).await? {
                Written::Done(item) => return Ok((Outcome::Applied, ProfileState::of(&item)?)),
                Written::Refused(item) => found = Some(ProfileState::of(&item)?),
            }
        }
        Err(StoreError::Contended { operation: "UpdateItem" })
    }

    /// PROFILE as it is now: a consistent read, for a writer that has written and now looks.
    pub(super) async fn read_profile(&self, customer_id: &Id) -> Result<ProfileState, StoreError> {
        let item = self.get(&self.tables.customers, customer_key(customer_id, PROFILE_ITEM)).await?;
        ProfileState::of(&item.unwrap_or_default())
    }
}

/// The write for what of the change still holds beside what was found. None if nothing does.
///
/// Where nothing was found yet, it is taken that everything holds and that there is a profile: so
/// the frequent events are one request.
fn plan<'a>(store: &'a Store, customer_id: &Id, change: &CustomerChange<'_>, found: Option<&ProfileState>) -> Option<Update<'a>> {
    let found = found.map(|state| &state.registers);
    let holds = |version: &Version, register: Option<&Version>| {
        found.is_none_or(|found| found.exists(version)) && register.is_none_or(|register| register < version)
    };
    let version_of = |register: fn(&CustomerRegisters<(), ()>) -> Option<&Version>| found.and_then(register);
    let profile =
        change.profile.filter(|(version, _)| holds(version, version_of(|found| found.profile.as_ref().map(|r| &r.version))));
    let creation =
        change.profile.filter(|(version, _)| change.created && holds(version, version_of(|found| found.creation.as_ref())));
    let embedded =
        change.embedded.filter(|(version, _)| holds(version, version_of(|found| found.embedded.as_ref().map(|r| &r.version))));
    let list = change.list.filter(|(version, _)| holds(version, version_of(|found| found.list.as_ref().map(|r| &r.version))));

    let mut update = Update::new(&store.tables.customers, customer_key(customer_id, PROFILE_ITEM));
    if let Some((version, value)) = profile {
        write_register(&mut update, PROFILE_VERSION, PROFILE, version, json(value));
        show_in_look_ups(&mut update, value.email.as_deref(), value.billing_id.as_deref());
    }
    if let Some((version, _)) = creation {
        update.if_below(CREATION_VERSION, version);
        update.set_version(CREATION_VERSION, version);
        update.set(CREATION_ORDER, text(creation_order_of(version, customer_id)));
    }
    if let Some((version, value)) = embedded {
        write_register(&mut update, EMBEDDED_VERSION, EMBEDDED, version, json(value));
        if profile.is_none() {
            let has_profile = found.is_none_or(|found| found.profile.is_some());
            update.if_there(PROFILE_VERSION, has_profile);
            if !has_profile {
                show_in_look_ups(&mut update, value.email.as_deref(), value.billing_id.as_deref());
            }
        }
    }
    if let Some((version, length)) = list {
        write_register(&mut update, LIST_VERSION, LIST_LENGTH, version, number(length));
    }
    let lowest =
        [profile.map(|p| p.0), creation.map(|c| c.0), embedded.map(|e| e.0), list.map(|l| l.0)].into_iter().flatten().min()?;
    update.if_below(DELETION_VERSION, lowest);
    update.remove(&[EXPIRES_AT]);
    if profile.is_some() || embedded.is_some() {
        update.set(SHARD, number(shard_of(customer_id)));
        if creation.is_none() {
            update.set_if_absent(CREATION_ORDER, text(creation_order(None, customer_id)));
        }
    }
    Some(update)
}

fn write_register(update: &mut Update<'_>, version_attribute: &str, attribute: &str, version: &Version, value: AttributeValue) {
    update.if_below(version_attribute, version);
    update.set_version(version_attribute, version);
    update.set(attribute, value);
}

/// The most bytes a value can have and be looked up by: DynamoDB's limit for a partition key.
pub(super) const MAX_LOOK_UP_BYTES: usize = 2_048;

/// Makes the customer found by what it shows: an absent, empty or overlong value is no key.
pub(super) fn show_in_look_ups(update: &mut Update<'_>, email: Option<&str>, billing_id: Option<&str>) {
    for (attribute, value) in [(EMAIL, email), (BILLING_ID, billing_id)] {
        match value.filter(|value| !value.is_empty() && value.len() <= MAX_LOOK_UP_BYTES) {
            Some(value) => update.set(attribute, text(value)),
            None => update.remove(&[attribute]),
        }
    }
}

pub(super) fn json(value: &impl serde::Serialize) -> AttributeValue {
    text(serde_json::to_string(value).unwrap_or_default())
}
