//! One customer with all that hangs on it, on both sides.

use std::collections::HashSet;

use domain::{customer::CustomerState, id::Id, version::Version};

use super::{Difference, Fatal, Found, How, Mended, Mirror, Of, Trouble, Whole, difference, or_skip};
use crate::stigg::{Cursor, CustomerRecord, MESSAGE_ID, Records, SubscriptionRecord};

impl Mirror {
    /// Compares one customer, its entitlements and its subscriptions, and mends what may be mended. One
    /// that Stigg does not know is left to the caller.
    ///
    /// # Errors
    /// See [`Fatal`].
    pub async fn whole_customer(&self, customer_id: &Id) -> Result<Whole, Fatal> {
        let mut whole = Whole { found: Found::default(), unknown_at: None };
        let result = self.try_whole(customer_id, &mut whole).await;
        or_skip(result, &mut whole.found, "customer", customer_id)?;
        Ok(whole)
    }

    /// Deletes a customer whom Stigg did not know at this moment.
    ///
    /// # Errors
    /// See [`Fatal`].
    pub async fn delete_unknown(&self, customer_id: &Id, at: jiff::Timestamp) -> Result<Found, Fatal> {
        let mut found = Found::default();
        let result = self.delete(customer_id, at, &mut found).await;
        let mended = or_skip(result, &mut found, "customer", customer_id)?.unwrap_or(Mended::No);
        found.differences.push(Difference { mended, ..extra_customer(customer_id) });
        Ok(found)
    }

    async fn try_whole(&self, customer_id: &Id, whole: &mut Whole) -> Result<(), Trouble> {
        let (record, read_at) = self.stigg.record(Records::Customers, customer_id.as_str()).await?;
        let row = async || {
            Ok::<_, Trouble>(self.customer_rows(vec![customer_id.clone()]).await.map_err(Trouble::Fatal)?.remove(customer_id))
        };
        let held = row().await?;
        let Some(record) = record else {
            if held.is_some_and(|row| row.registers.state() == CustomerState::Live) {
                match self.confirms(Records::Customers).await? {
                    true => whole.unknown_at = Some(read_at),
                    false => whole.found.doubt("customer", customer_id),
                }
            }
            return Ok(());
        };
        let record = CustomerRecord::read(&record)?;
        if record.id != *customer_id {
            return Err(Trouble::Skip("Stigg answers with another customer".to_owned()));
        }
        whole.found.add(self.customer(&record, read_at, held.as_ref()).await.map_err(Trouble::Fatal)?);
        if record.is_archived {
            return Ok(());
        }
        let customer = row().await?;
        let mut listed: HashSet<Id> = HashSet::new();
        let mut from: Option<Cursor> = None;
        loop {
            let page = self.stigg.page(Records::Subscriptions, Some(customer_id.as_str()), from.as_ref()).await?;
            for record in &page.records {
                match SubscriptionRecord::read(record) {
                    // A server that does not know the filter lists all.
                    Ok(record) if record.customer_id != *customer_id => {}
                    Ok(record) => {
                        listed.insert(record.id.clone());
                        self.one_subscription(&record, page.read_at, customer.as_ref(), &mut whole.found).await?;
                    }
                    Err(bad) => whole.found.skip("subscription", customer_id, bad),
                }
            }
            match page.next {
                Some(next) => from = Some(next),
                None => break,
            }
        }
        self.subscriptions_beside(customer_id, customer.as_ref(), &listed, &mut whole.found).await
    }

    async fn one_subscription(
        &self,
        record: &SubscriptionRecord,
        read_at: jiff::Timestamp,
        customer: Option<&store::CustomerRow>,
        found: &mut Found,
    ) -> Result<(), Trouble> {
        let row = self.store.subscriptions(std::slice::from_ref(&record.id)).await?.pop();
        found.add(self.subscription(record, read_at, row.as_ref(), customer).await.map_err(Trouble::Fatal)?);
        Ok(())
    }

    /// The subscriptions that the replica shows and Stigg does not list. Stigg has no event for a subscription that it no
    /// longer knows, so mending gives it a tombstone.
    async fn subscriptions_beside(
        &self,
        customer_id: &Id,
        customer: Option<&store::CustomerRow>,
        listed: &HashSet<Id>,
        found: &mut Found,
    ) -> Result<(), Trouble> {
        let Some(row) = customer.filter(|row| row.registers.state() == CustomerState::Live) else { return Ok(()) };
        let mut ids = self.store.subscription_ids(customer_id).await?;
        ids.retain(|id| !listed.contains(id));
        for held in self.store.subscriptions(&ids).await? {
            let Some(visible) = held.registers.visible(row.registers.tombstone.as_ref()) else { continue };
            if visible.customer_id != *customer_id {
                continue;
            }
            let id = held.subscription_id;
            match self.stigg.record(Records::Subscriptions, id.as_str()).await? {
                (Some(record), read_at) => {
                    self.one_subscription(&SubscriptionRecord::read(&record)?, read_at, customer, found).await?;
                }
                (None, _) if !self.confirms(Records::Subscriptions).await? => found.doubt("subscription", &id),
                (None, read_at) => {
                    let mut mended = Mended::No;
                    if self.writes() {
                        let version = Version::new(read_at, MESSAGE_ID);
                        let deleted = self.store.delete_subscription(&id, customer_id, &version, self.stigg.now()).await?;
                        mended = super::mended(deleted);
                        found.writes += 1;
                    }
                    let of = Of::Subscription { subscription_id: id };
                    found.differences.push(Difference { mended, ..difference(customer_id, How::Extra, of) });
                }
            }
        }
        Ok(())
    }
}

/// A customer that the replica shows, and Stigg does not know.
pub fn extra_customer(customer_id: &Id) -> Difference {
    difference(customer_id, How::Extra, Of::Customer)
}
