//! The store on DynamoDB: the only code that knows tables, keys and conditions.
//!
//! It stores last-writer-wins registers, each with its own version. A frequent event is one UpdateItem, on the condition
//! that the stored versions are lower and that the customer or subscription is in its usual state. If a condition fails,
//! DynamoDB returns the stored item. The event's registers are then merged into it, the attributes that depend on several
//! registers (index keys, TTL) are derived again, and the whole item is replaced on the condition that its revision is
//! unchanged. A failed condition is a result, not an error. The module `write` has the one loop for this.
#![allow(missing_docs, reason = "names are those of the tables and the domain")]

pub mod apply;
mod attribute;
mod cost;
mod customer;
mod deletion;
mod environment;
mod error;
mod index;
mod inspect;
mod item;
mod key;
mod read;
mod receipt;
mod scope;
mod subscription;
mod usage;
mod warm_up;
mod write;

use std::{sync::Arc, time::Duration};

use aws_sdk_dynamodb::Client;
use jiff::{SignedDuration, Timestamp};

pub use cost::StoreCost;
pub use customer::CustomerChange;
pub use environment::{Environment, Witness, Witnesses};
pub use error::{Outcome, StoreError};
pub use index::{Index, IndexEntry, IndexPage, SortKeyRange};
pub use inspect::{StoredCustomer, StoredScope, StoredSubscription};
pub use key::{MAX_PARTITION_KEY_BYTES, MAX_SORT_KEY_BYTES, SHARDS, creation_order, customer_order, shard_of};
pub use read::{CustomerRow, Projection, SubscriptionRow};
pub use subscription::SubscriptionWrite;

/// Grace period before TTL removes invisible data: tombstones and incomplete subscriptions. A late event from before a
/// deletion is no longer recognized after this.
pub const GRACE_PERIOD: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Maximum number of concurrent requests of one event.
const MAX_CONCURRENT_REQUESTS: usize = 32;

/// Table names.
#[derive(Clone, Debug)]
pub struct Tables {
    /// Customers, their entitlements, and pointers to their subscriptions.
    pub customers: String,
    pub subscriptions: String,
    /// First receipts of events without a time.
    pub receipts: String,
}

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    client: Client,
    tables: Arc<Tables>,
    costs: Arc<cost::CostTracker>,
}

impl Store {
    pub fn new(client: Client, tables: Tables) -> Self {
        Self { client, tables: Arc::new(tables), costs: Arc::default() }
    }

    /// A clone with its own cost counters, for one request of a function.
    pub fn with_cost_tracking(&self) -> Self {
        Self { costs: Arc::default(), ..self.clone() }
    }

    /// The cost of this store's and its clones' requests since [`Store::with_cost_tracking`].
    pub fn cost(&self) -> StoreCost {
        self.costs.cost()
    }

    /// How long at least one request to DynamoDB was in flight since [`Store::with_cost_tracking`].
    pub fn time_in_flight(&self) -> Duration {
        self.costs.time_in_flight()
    }

    /// For code that creates tables or measures.
    pub fn client(&self) -> &Client {
        &self.client
    }

    pub fn tables(&self) -> &Tables {
        &self.tables
    }
}

/// The end of the grace period, in seconds since 1970.
fn expiry(now: Timestamp) -> i64 {
    now.as_second().saturating_add(GRACE_PERIOD.as_secs())
}
