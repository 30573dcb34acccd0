//! The store on DynamoDB: the only code that knows tables, keys and conditions.
//!
//! What is stored are last-writer-wins registers, each with a version of its own. A frequent event is one UpdateItem,
//! conditional on the versions that it overwrites being lower and on the item being as it usually is. If a condition
//! fails, DynamoDB returns the item as it is. The event's registers are then merged into that item, the attributes that
//! depend on several registers (indexes, TTL) are derived anew, and the whole item is replaced, conditional on its
//! revision. A failed condition is an answer, not an error. [`write`] has the one loop for this.

pub mod apply;
mod attribute;
mod customer;
mod deletion;
mod environment;
mod error;
mod inspect;
mod item;
mod key;
mod list;
mod meter;
mod open;
mod read;
mod receipt;
mod scope;
mod subscription;
mod usage;
mod write;

use std::{sync::Arc, time::Duration};

use aws_sdk_dynamodb::Client;
use jiff::{SignedDuration, Timestamp};

pub use environment::{Environment, Witness, Witnesses};
pub use error::{Outcome, StoreError};
pub use inspect::{StoredCustomer, StoredScope, StoredSubscription};
pub use key::{SHARDS, creation_order, customer_order, shard_of};
pub use list::{IndexPage, ListIndex, Place, Range};
pub use meter::Spent;
pub use read::{CustomerRow, Parts, SubscriptionRow};

/// Grace period before TTL removes invisible data: tombstones and incomplete subscriptions. An event that comes later
/// than this is not recognized as late.
pub const GRACE_PERIOD: SignedDuration = SignedDuration::from_hours(30 * 24);

/// How many requests of one step are under way at once.
const CONCURRENT: usize = 32;

/// The names of the three tables.
#[derive(Clone, Debug)]
pub struct Tables {
    /// Customers with their entitlements, and pointers to their subscriptions.
    pub customers: String,
    /// Subscriptions.
    pub subscriptions: String,
    /// First receipts of events without a time.
    pub receipts: String,
}

/// The store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    client: Client,
    tables: Arc<Tables>,
    meter: Arc<meter::Meter>,
}

impl Store {
    /// A store over these tables.
    pub fn new(client: Client, tables: Tables) -> Self {
        Self { client, tables: Arc::new(tables), meter: Arc::default() }
    }

    /// The same store with a count of its own of what it spends, for one request.
    pub fn metered(&self) -> Self {
        Self { meter: Arc::default(), ..self.clone() }
    }

    /// What has been spent through this store and its clones since [`Store::metered`].
    pub fn spent(&self) -> Spent {
        self.meter.spent()
    }

    /// For how long at least one request to DynamoDB was under way since [`Store::metered`].
    pub fn waited(&self) -> Duration {
        self.meter.waited()
    }

    /// The SDK's client, for what is not the replica's: creating tables, measuring.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The tables' names.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }
}

/// The end of the grace period that begins at `now`, in seconds since 1970.
fn expiry(now: Timestamp) -> i64 {
    now.as_second().saturating_add(GRACE_PERIOD.as_secs())
}
