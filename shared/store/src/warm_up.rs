//! Opens the connection to DynamoDB while a function starts, so that its first request does not have to.

use std::time::Duration;

use tokio::time::timeout;

use super::{
    Store,
    attribute::{CUSTOMER_ID, ITEM},
    key::{Key, PROFILE_ITEM, text},
};

/// How long the start waits for the connection. After that, the first request opens it.
const TIMEOUT: Duration = Duration::from_secs(1);

impl Store {
    /// Uses a request that the webhook's IAM policy allows. Errors are ignored: the first real request reports them.
    pub async fn warm_up_for_writes(&self) {
        let _ = timeout(TIMEOUT, self.get(&self.tables.customers, absent_key(), &[])).await;
    }

    /// Uses a request that the readers' IAM policies allow.
    pub async fn warm_up_for_reads(&self) {
        let _ = timeout(TIMEOUT, self.batch_get(&self.tables.customers, vec![absent_key()], &[ITEM], false)).await;
    }
}

/// The key of an item that can't exist: ids do not contain U+0000.
fn absent_key() -> Key {
    Key::from([(CUSTOMER_ID.to_owned(), text("\0")), (ITEM.to_owned(), text(PROFILE_ITEM))])
}
