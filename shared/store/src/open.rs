//! Opening the connection to DynamoDB while a function starts, so that its first request finds it open.

use std::time::Duration;

use tokio::time::timeout;

use super::{
    Store,
    attribute::{CUSTOMER_ID, ITEM},
    key::{Key, PROFILE_ITEM, text},
};

/// How long a start waits for the connection at the most: the first request can open it as well.
const LIMIT: Duration = Duration::from_secs(1);

impl Store {
    /// Opens the connection by a request that a writer may make, for an item that can't be there. What
    /// becomes of it is the first real request's matter.
    pub async fn open_for_writes(&self) {
        let _ = timeout(LIMIT, self.get(&self.tables.customers, nobody(), &[])).await;
    }

    /// The same by a request that a reader may make.
    pub async fn open_for_reads(&self) {
        let _ = timeout(LIMIT, self.batch_get(&self.tables.customers, vec![nobody()], &[ITEM], false)).await;
    }
}

/// No customer's key: an id has no U+0000.
fn nobody() -> Key {
    Key::from([(CUSTOMER_ID.to_owned(), text("\0")), (ITEM.to_owned(), text(PROFILE_ITEM))])
}
