//! First receipts of events without a plausible time.

use jiff::{SignedDuration, Timestamp};

use super::{
    Store, StoreError,
    attribute::{EXPIRES_AT, RECEIPT, RECEIVED_AT},
    item::Item,
    key::{Key, number, text},
    write::{Write, Written},
};
use domain::time;

/// How long a receipt is kept. Stigg's retries end after some 90 seconds.
const RETENTION: SignedDuration = SignedDuration::from_hours(7 * 24);

impl Store {
    /// The time when the event was first received. If none is stored, stores and returns `received`.
    pub async fn get_or_create_receipt(
        &self,
        receipt: &str,
        received: Timestamp,
        now: Timestamp,
    ) -> Result<Timestamp, StoreError> {
        let received = time::to_millisecond(received);
        let expires_at = now.as_second().saturating_add(RETENTION.as_secs());
        let mut write = Write::update(&self.tables.receipts, receipt_key(receipt));
        write.if_absent(RECEIVED_AT);
        write.set(RECEIVED_AT, text(time::to_fixed_width(received)));
        write.set(EXPIRES_AT, number(expires_at));
        match self.write_once(write).await? {
            Written::Done(_) => Ok(received),
            Written::Unchanged(item) => received_at(&item),
        }
    }

    pub async fn first_receipt(&self, receipt: &str) -> Result<Option<Timestamp>, StoreError> {
        let item = self.get(&self.tables.receipts, receipt_key(receipt), &[]).await?;
        item.map(|item| received_at(&item)).transpose()
    }
}

fn receipt_key(receipt: &str) -> Key {
    Key::from([(RECEIPT.to_owned(), text(receipt))])
}

fn received_at(item: &Item) -> Result<Timestamp, StoreError> {
    let time = item.text(RECEIVED_AT).and_then(|time| time::parse(time).ok());
    time.ok_or(StoreError::Unreadable { attribute: RECEIVED_AT })
}
