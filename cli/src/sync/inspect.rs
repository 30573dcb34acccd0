//! One customer with its subscriptions and entitlements, in Stigg and in the replica.

use std::collections::HashSet;

use domain::{customer::CustomerState, id::Id};

use super::{
    Comparison, Difference, DifferenceKind, Fatal, FixStatus, InspectedCustomer, Subject, SyncError, Synchronizer, difference,
    difference::UNCONFIRMED, skip_on_error,
};
use crate::stigg::{Cursor, CustomerRecord, Records, SubscriptionRecord, version_at};

/// Why a customer without data on both sides was not compared.
const UNKNOWN: &str = "neither Stigg nor the replica has a customer with this id. A subscription's id is not a customer's";

impl Synchronizer {
    /// Compares one customer, its entitlements and its subscriptions, and fixes differences if the mode allows it.
    /// The caller handles a customer that is unknown to Stigg.
    pub async fn inspect_customer(&self, customer_id: &Id) -> Result<InspectedCustomer, Fatal> {
        let mut inspected = InspectedCustomer::default();
        match self.try_inspect(customer_id, &mut inspected).await {
            Ok(()) => {}
            Err(SyncError::Skip(reason)) => {
                inspected.comparison.skip("customer", customer_id, &reason);
                inspected.not_compared = Some(reason);
            }
            Err(SyncError::Fatal(fatal)) => return Err(fatal),
        }
        Ok(inspected)
    }

    /// Deletes a customer that was unknown to Stigg at this time.
    pub async fn delete_unknown(&self, customer_id: &Id, at: jiff::Timestamp) -> Result<Comparison, Fatal> {
        let mut comparison = Comparison::default();
        let result = self.delete(customer_id, at, &mut comparison).await;
        let fixed = skip_on_error(result, &mut comparison, "customer", customer_id)?.unwrap_or(FixStatus::No);
        comparison.differences.push(Difference { fixed, ..extra_customer(customer_id) });
        Ok(comparison)
    }

    async fn try_inspect(&self, customer_id: &Id, inspected: &mut InspectedCustomer) -> Result<(), SyncError> {
        let (record, read_at) = self.stigg.record(Records::Customers, customer_id.as_str()).await?;
        let row = async || {
            Ok::<_, SyncError>(self.customer_rows(vec![customer_id.clone()]).await.map_err(SyncError::Fatal)?.remove(customer_id))
        };
        let stored = row().await?;
        let Some(record) = record else {
            match stored {
                None => inspected.not_compared = Some(UNKNOWN.to_owned()),
                Some(_) if !self.is_not_found_reliable(Records::Customers).await? => {
                    inspected.comparison.is_unconfirmed = true;
                    return Err(SyncError::Skip(UNCONFIRMED.to_owned()));
                }
                Some(row) if row.registers.state() == CustomerState::Live => inspected.unknown_at = Some(read_at),
                Some(_) => {}
            }
            return Ok(());
        };
        let record = CustomerRecord::read(&record)?;
        if record.id != *customer_id {
            return Err(SyncError::Skip("Stigg returned another customer".to_owned()));
        }
        inspected.comparison.add(self.customer(&record, read_at, stored.as_ref()).await.map_err(SyncError::Fatal)?);
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
                    // A server that ignores the filter lists all customers.
                    Ok(record) if record.customer_id != *customer_id => {}
                    Ok(record) => {
                        listed.insert(record.id.clone());
                        self.compare_subscription(&record, page.read_at, customer.as_ref(), &mut inspected.comparison).await?;
                    }
                    Err(bad) => inspected.comparison.skip("subscription", customer_id, bad),
                }
            }
            match page.next {
                Some(next) => from = Some(next),
                None => break,
            }
        }
        self.extra_subscriptions(customer_id, customer.as_ref(), &listed, &mut inspected.comparison).await
    }

    async fn compare_subscription(
        &self,
        record: &SubscriptionRecord,
        read_at: jiff::Timestamp,
        customer: Option<&store::CustomerRow>,
        comparison: &mut Comparison,
    ) -> Result<(), SyncError> {
        let row = self.store.subscriptions(std::slice::from_ref(&record.id)).await?.pop();
        comparison.add(self.subscription(record, read_at, row.as_ref(), customer).await.map_err(SyncError::Fatal)?);
        Ok(())
    }

    /// Subscriptions that are visible in the replica and not listed by Stigg. Stigg sends no event when a subscription is
    /// removed, so fixing writes a tombstone.
    async fn extra_subscriptions(
        &self,
        customer_id: &Id,
        customer: Option<&store::CustomerRow>,
        listed: &HashSet<Id>,
        comparison: &mut Comparison,
    ) -> Result<(), SyncError> {
        let Some(row) = customer.filter(|row| row.registers.state() == CustomerState::Live) else { return Ok(()) };
        let mut ids = self.store.subscription_ids(customer_id).await?;
        ids.retain(|id| !listed.contains(id));
        for stored in self.store.subscriptions(&ids).await? {
            let Some(visible) = stored.registers.visible(row.registers.tombstone.as_ref()) else { continue };
            if visible.customer_id != *customer_id {
                continue;
            }
            let id = stored.subscription_id;
            match self.stigg.record(Records::Subscriptions, id.as_str()).await? {
                (Some(record), read_at) => {
                    self.compare_subscription(&SubscriptionRecord::read(&record)?, read_at, customer, comparison).await?;
                }
                (None, _) if !self.is_not_found_reliable(Records::Subscriptions).await? => {
                    comparison.skip_unconfirmed("subscription", &id)
                }
                (None, read_at) => {
                    let mut fixed = FixStatus::No;
                    if self.writes() {
                        let version = version_at(read_at);
                        let delete = async || self.store.delete_subscription(&id, customer_id, &version, self.stigg.now()).await;
                        fixed = super::fix_status(self.write(comparison, delete).await?);
                    }
                    let subject = Subject::Subscription { subscription_id: id };
                    comparison.differences.push(Difference { fixed, ..difference(customer_id, DifferenceKind::Extra, subject) });
                }
            }
        }
        Ok(())
    }
}

pub fn extra_customer(customer_id: &Id) -> Difference {
    difference(customer_id, DifferenceKind::Extra, Subject::Customer)
}
