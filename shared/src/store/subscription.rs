//! A subscription's registers, the pointer to it beside its customer, and its place in the lists.

use aws_sdk_dynamodb::types::ReturnValue;
use jiff::Timestamp;

use super::{
    Outcome, PLANS, Store, StoreError,
    attribute::{
        CREATION_ORDER, CREATION_VERSION, CUSTOMER_ID, CUSTOMER_ORDER, DATES, DATES_VERSION, DETAILS, DETAILS_VERSION,
        EXPIRES_AT, LIST_VERSION, POINTER_VERSION, SHARD, STATUS, STATUS_VERSION, UNLISTED,
    },
    customer::{CustomerChange, ProfileState, json},
    expiry,
    item::Item,
    key::{
        PROFILE_ITEM, creation_order, creation_order_of, customer_key, customer_order, number, pointer_item, shard_of,
        subscription_key, text,
    },
    update::{Update, Written},
    window::Window,
};
use crate::{customer::Embedded, event::SubscriptionChange, id::Id, subscription::SubscriptionRegisters, version::Version};

/// A subscription as a write found it.
struct SubscriptionState {
    registers: SubscriptionRegisters,
    is_listed: bool,
}

impl SubscriptionState {
    fn of(item: &Item) -> Result<Self, StoreError> {
        Ok(Self { registers: item.subscription_registers()?, is_listed: item.has(SHARD) })
    }
}

/// The registers that an item of the Subscriptions table can hold: version and what goes with it.
const REGISTERS: [(&str, &[&str]); 4] = [
    (STATUS_VERSION, &[STATUS]),
    (DATES_VERSION, &[DATES]),
    (DETAILS_VERSION, &[DETAILS, CUSTOMER_ID, CUSTOMER_ORDER]),
    (CREATION_VERSION, &[]),
];

impl Store {
    /// Writes what an event says of a subscription, register by register, and the customer that it
    /// shows alive. Registers that hold this version or a higher one stay as they are, and what lies
    /// at or below the customer's deletion does not stay: stale, too.
    ///
    /// The pointer comes first, so that a deletion of the customer finds the subscription; then the
    /// registers; then a look at the customer, so that what lies below its deletion is removed: of
    /// the deletion and this writer, one always sees the other.
    ///
    /// # Errors
    /// See [`StoreError`]. The same event again completes what an error interrupted.
    pub async fn write_subscription(
        &self,
        subscription_id: &Id,
        version: &Version,
        change: &SubscriptionChange,
        alive: Option<(&Id, &Embedded)>,
        now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        if let Some((customer_id, _)) = &change.details {
            self.point_to(customer_id, subscription_id, version).await?;
        }
        let (mut outcome, state) = self.write_subscription_registers(subscription_id, version, change, now).await?;
        let mut shown = None;
        if let Some((customer_id, embedded)) = alive {
            let change = CustomerChange { embedded: Some((version, embedded)), ..CustomerChange::default() };
            let (of_customer, profile) = self.write_customer(customer_id, &change, now).await?;
            outcome = outcome.or(of_customer);
            shown = Some((customer_id, profile));
        }
        if let Some(customer_id) = state.registers.customer_id().cloned() {
            let profile = match shown {
                Some((shown, profile)) if *shown == customer_id => profile,
                _ => self.read_profile(&customer_id).await?,
            };
            if !profile.registers.exists(version) {
                outcome = Outcome::Stale;
            }
            self.settle(subscription_id, &customer_id, state, profile, now).await?;
        }
        Ok(outcome)
    }

    /// Writes the pointer beside the customer. It carries the version, so that a deletion that comes
    /// between it and the subscription's registers leaves it.
    async fn point_to(&self, customer_id: &Id, subscription_id: &Id, version: &Version) -> Result<(), StoreError> {
        let mut update = Update::new(&self.tables.customers, customer_key(customer_id, pointer_item(subscription_id)));
        update.if_below(POINTER_VERSION, version);
        update.set_version(POINTER_VERSION, version);
        match update.send(self, ReturnValue::None).await? {
            Written::Done(_) | Written::Refused(_) => Ok(()),
        }
    }

    async fn write_subscription_registers(
        &self,
        subscription_id: &Id,
        version: &Version,
        change: &SubscriptionChange,
        now: Timestamp,
    ) -> Result<(Outcome, SubscriptionState), StoreError> {
        let mut found: Option<SubscriptionState> = None;
        for _ in 0..PLANS {
            let Some(update) = plan(self, subscription_id, version, change, found.as_ref(), now) else {
                let state = found.unwrap_or(SubscriptionState { registers: SubscriptionRegisters::default(), is_listed: false });
                return Ok((Outcome::Stale, state));
            };
            match update.send(self, ReturnValue::AllNew).await? {
                Written::Done(item) => return Ok((Outcome::Applied, SubscriptionState::of(&item)?)),
                Written::Refused(item) => found = Some(SubscriptionState::of(&item)?),
            }
        }
        Err(StoreError::Contended { operation: "UpdateItem" })
    }

    /// Brings a subscription that was just written into line with its customer: removes what lies
    /// below the customer's deletion, and has it in the lists exactly while the customer is live.
    async fn settle(
        &self,
        subscription_id: &Id,
        customer_id: &Id,
        mut state: SubscriptionState,
        mut profile: ProfileState,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        for _ in 0..PLANS {
            let deletion = profile.registers.deletion.as_ref();
            if let Some(deletion) = deletion.filter(|deletion| state.registers.versions().any(|version| version <= deletion)) {
                let cleaned = self.clean_subscription(subscription_id, customer_id, deletion, now).await?;
                self.clean_item(customer_id, pointer_item(subscription_id), deletion, now).await?;
                match cleaned {
                    Some(left) => state = left,
                    None => return Ok(()),
                }
            }
            if !state.registers.is_complete() || state.registers.customer_id() != Some(customer_id) {
                return Ok(());
            }
            match (profile.is_live(), state.is_listed) {
                (true, true) => return Ok(()),
                (true, false) => {
                    self.set_listed(subscription_id, customer_id, true, now).await?;
                    state.is_listed = true;
                }
                (false, true) => {
                    self.set_listed(subscription_id, customer_id, false, now).await?;
                    state.is_listed = false;
                }
                (false, false) => {
                    if self.mark_unlisted(customer_id, &state, now).await? {
                        return Ok(());
                    }
                }
            }
            // A look after the last write, so that of this writer and the customer's one sees the other.
            profile = self.read_profile(customer_id).await?;
        }
        Err(StoreError::Contended { operation: "UpdateItem" })
    }

    /// Removes what lies below the deletion of a subscription's customer, for the deletion.
    pub(super) async fn settle_after_deletion(
        &self,
        subscription_id: &Id,
        customer_id: &Id,
        deletion: &Version,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let left = self.clean_subscription(subscription_id, customer_id, deletion, now).await?;
        self.clean_item(customer_id, pointer_item(subscription_id), deletion, now).await?;
        if let Some(state) = left {
            let profile = self.read_profile(customer_id).await?;
            self.settle(subscription_id, customer_id, state, profile, now).await?;
        }
        Ok(())
    }

    /// Removes a subscription's registers at or below its customer's deletion, and the item with the
    /// last of them. Answers with what is left. A subscription of another customer stays whole.
    async fn clean_subscription(
        &self,
        subscription_id: &Id,
        customer_id: &Id,
        deletion: &Version,
        now: Timestamp,
    ) -> Result<Option<SubscriptionState>, StoreError> {
        let mut found = Item::default();
        for _ in 0..PLANS {
            let mut update = Update::new(&self.tables.subscriptions, subscription_key(subscription_id));
            let mut staying = Vec::new();
            for (version_attribute, _) in REGISTERS {
                if found.version(version_attribute)?.is_some_and(|held| held > *deletion) {
                    staying.push(version_attribute);
                    update.if_above(version_attribute, deletion);
                } else {
                    update.if_not_above(version_attribute, deletion);
                }
            }
            if found.text(CUSTOMER_ID).is_some_and(|other| other != customer_id.as_str()) {
                return Ok(Some(SubscriptionState::of(&found)?));
            }
            update.if_absent_or_equal(CUSTOMER_ID, text(customer_id.as_str()));
            let written = if staying.is_empty() {
                update.delete(self).await?
            } else {
                let mut is_clean = true;
                for (version_attribute, values) in REGISTERS.into_iter().filter(|(attribute, _)| !staying.contains(attribute)) {
                    is_clean &= found.version(version_attribute)?.is_none();
                    update.remove(&[version_attribute]);
                    update.remove(values);
                }
                if !staying.contains(&CREATION_VERSION) {
                    update.set(CREATION_ORDER, text(creation_order(None, subscription_id)));
                }
                if [STATUS_VERSION, DATES_VERSION, DETAILS_VERSION].iter().any(|needed| !staying.contains(needed)) {
                    update.remove(&[SHARD]);
                    update.set(EXPIRES_AT, number(expiry(now)));
                }
                if is_clean {
                    return Ok(Some(SubscriptionState::of(&found)?));
                }
                update.send(self, ReturnValue::AllNew).await?
            };
            match written {
                Written::Done(_) if staying.is_empty() => return Ok(None),
                Written::Done(item) => return Ok(Some(SubscriptionState::of(&item)?)),
                Written::Refused(item) => found = item,
            }
        }
        Err(StoreError::Contended { operation: "DeleteItem" })
    }

    /// Puts a complete subscription into the lists, or takes it out; does nothing if it is not
    /// complete or another customer's by then, which its own writer settles.
    async fn set_listed(&self, subscription_id: &Id, customer_id: &Id, listed: bool, now: Timestamp) -> Result<(), StoreError> {
        let mut update = Update::new(&self.tables.subscriptions, subscription_key(subscription_id));
        for register in [STATUS_VERSION, DATES_VERSION, DETAILS_VERSION] {
            update.if_present(register);
        }
        update.if_equal(CUSTOMER_ID, text(customer_id.as_str()));
        if listed {
            list(&mut update, customer_id);
        } else {
            update.remove(&[SHARD]);
            update.set(EXPIRES_AT, number(expiry(now)));
        }
        match update.send(self, ReturnValue::None).await? {
            Written::Done(_) | Written::Refused(_) => Ok(()),
        }
    }

    /// Notes beside a customer who is not live that a subscription of its waits to be listed. False
    /// if the customer is live by now.
    async fn mark_unlisted(&self, customer_id: &Id, state: &SubscriptionState, now: Timestamp) -> Result<bool, StoreError> {
        let mark = state.registers.versions().max().map(Version::to_string).unwrap_or_default();
        let mut has_list = false;
        for _ in 0..PLANS {
            let mut update = Update::new(&self.tables.customers, customer_key(customer_id, PROFILE_ITEM));
            update.if_absent(SHARD);
            update.if_there(LIST_VERSION, has_list);
            update.set(UNLISTED, text(mark.clone()));
            if !has_list {
                update.set(EXPIRES_AT, number(expiry(now)));
            }
            match update.send(self, ReturnValue::None).await? {
                Written::Done(_) => return Ok(true),
                Written::Refused(item) if item.has(SHARD) => return Ok(false),
                Written::Refused(item) => has_list = item.has(LIST_VERSION),
            }
        }
        Err(StoreError::Contended { operation: "UpdateItem" })
    }

    /// Lists the subscriptions of a customer who became live that waited for it, and takes back the
    /// mark that said so.
    pub(super) async fn list_waiting_subscriptions(
        &self,
        customer_id: &Id,
        mark: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let waiting = self.subscription_ids(customer_id).await?;
        let mut writes = Window::new();
        for subscription_id in &waiting {
            writes.push(self.settle_waiting(subscription_id, customer_id, now)).await?;
        }
        writes.finish().await?;
        let mut update = Update::new(&self.tables.customers, customer_key(customer_id, PROFILE_ITEM));
        update.if_equal(UNLISTED, text(mark));
        update.remove(&[UNLISTED]);
        match update.send(self, ReturnValue::None).await? {
            Written::Done(_) | Written::Refused(_) => Ok(()),
        }
    }

    async fn settle_waiting(&self, subscription_id: &Id, customer_id: &Id, now: Timestamp) -> Result<(), StoreError> {
        let key = subscription_key(subscription_id);
        let Some(item) = self.get(&self.tables.subscriptions, key).await? else { return Ok(()) };
        let profile = self.read_profile(customer_id).await?;
        self.settle(subscription_id, customer_id, SubscriptionState::of(&item)?, profile, now).await
    }
}

/// The write for what of the change still holds beside what was found. None if nothing does.
///
/// Where nothing was found yet, it is taken that everything holds, and that the registers which the
/// event does not speak of are there: so the frequent events are one write.
fn plan<'a>(
    store: &'a Store,
    subscription_id: &Id,
    version: &Version,
    change: &SubscriptionChange,
    found: Option<&SubscriptionState>,
    now: Timestamp,
) -> Option<Update<'a>> {
    let held = found.map(|state| &state.registers);
    let holds = |register: Option<&Version>| register.is_none_or(|register| register < version);
    let status =
        change.status.as_ref().filter(|_| holds(held.and_then(|held| held.status.as_ref()).map(|register| &register.version)));
    let dates =
        change.dates.as_ref().filter(|_| holds(held.and_then(|held| held.dates.as_ref()).map(|register| &register.version)));
    let details =
        change.details.as_ref().filter(|_| holds(held.and_then(|held| held.details.as_ref()).map(|register| &register.version)));
    let created = change.created && holds(held.and_then(|held| held.creation.as_ref()));
    if status.is_none() && dates.is_none() && details.is_none() && !created {
        return None;
    }

    let mut update = Update::new(&store.tables.subscriptions, subscription_key(subscription_id));
    let mut is_complete = true;
    for (attribute, is_written, is_held) in [
        (STATUS_VERSION, status.is_some(), held.is_none_or(|held| held.status.is_some())),
        (DATES_VERSION, dates.is_some(), held.is_none_or(|held| held.dates.is_some())),
        (DETAILS_VERSION, details.is_some(), held.is_none_or(|held| held.details.is_some())),
    ] {
        if is_written {
            update.if_below(attribute, version);
            update.set_version(attribute, version);
        } else {
            update.if_there(attribute, is_held);
            is_complete &= is_held;
        }
    }
    if let Some(status) = status {
        update.set(STATUS, text(status));
    }
    if let Some(dates) = dates {
        update.set(DATES, json(dates));
    }
    if let Some((customer_id, details)) = details {
        update.set(DETAILS, json(details));
        update.set(CUSTOMER_ID, text(customer_id.as_str()));
        update.set(CUSTOMER_ORDER, text(customer_order(customer_id, subscription_id.as_str())));
    }
    if created {
        update.if_below(CREATION_VERSION, version);
        update.set_version(CREATION_VERSION, version);
        update.set(CREATION_ORDER, text(creation_order_of(version, subscription_id)));
    } else {
        update.set_if_absent(CREATION_ORDER, text(creation_order(None, subscription_id)));
    }
    let was_complete = held.is_some_and(SubscriptionRegisters::is_complete);
    match (details, held.and_then(SubscriptionRegisters::customer_id)) {
        _ if !is_complete => update.set(EXPIRES_AT, number(expiry(now))),
        (Some((customer_id, _)), _) => list(&mut update, customer_id),
        (None, Some(customer_id)) if !was_complete => {
            update.if_equal(CUSTOMER_ID, text(customer_id.as_str()));
            list(&mut update, customer_id);
        }
        // It was complete before, and is listed or not as its customer is live or not.
        (None, _) => {}
    }
    Some(update)
}

fn list(update: &mut Update<'_>, customer_id: &Id) {
    update.set(SHARD, number(shard_of(customer_id)));
    update.remove(&[EXPIRES_AT]);
}
