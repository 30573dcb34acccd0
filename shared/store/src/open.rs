//! Opening the connection to DynamoDB while a function starts, so that its first request finds it open.

use std::time::Duration;

use tokio::time::timeout;

use super::{
    Environment, Store,
    attribute::{CUSTOMER_ID, ITEM},
    key::{Key, PROFILE_ITEM, text},
};

/// How long a start waits for the connection at the most: the first request can open it as well.
const LIMIT: Duration = Duration::from_secs(1);

impl Store {
    /// Opens the connection for a writer, by the read of the environment. None if that failed or took too long: the
    /// first event reads it then.
    pub async fn open_for_writes(&self) -> Option<Environment> {
        timeout(LIMIT, self.environment()).await.ok()?.ok()
    }

    /// Opens the connection for a reader, by a request for an item that does not exist. A failure is left to the first
    /// real request.
    pub async fn open_for_reads(&self) {
        let _ = timeout(LIMIT, self.batch_get(&self.tables.customers, vec![nobody()], &[ITEM], false)).await;
    }
}

/// No customer's key: an id has no U+0000.
fn nobody() -> Key {
    Key::from([(CUSTOMER_ID.to_owned(), text("\0")), (ITEM.to_owned(), text(PROFILE_ITEM))])
}
