//! Opens the connection to DynamoDB while a function starts, so that its first request does not have to.

use std::time::Duration;

use tokio::time::timeout;

use super::{
    Environment, Store,
    attribute::{CUSTOMER_ID, ITEM},
    key::{Key, PROFILE_ITEM, text},
};

/// How long the start waits for the connection. After that, the first request opens it.
const TIMEOUT: Duration = Duration::from_secs(1);

impl Store {
    /// Reads the environment, which the webhook's IAM policy allows. None if that failed or took too long: the first event
    /// then reads it.
    pub async fn warm_up_for_writes(&self) -> Option<Environment> {
        timeout(TIMEOUT, self.environment()).await.ok()?.ok()
    }

    /// Sends a request that the readers' IAM policies allow. Errors are ignored: the first real request reports them.
    pub async fn warm_up_for_reads(&self) {
        let _ = timeout(TIMEOUT, self.batch_get(&self.tables.customers, vec![absent_key()], &[ITEM], false)).await;
    }
}

/// The key of an item that can't exist: ids do not contain U+0000.
fn absent_key() -> Key {
    Key::from([(CUSTOMER_ID.to_owned(), text("\0")), (ITEM.to_owned(), text(PROFILE_ITEM))])
}
