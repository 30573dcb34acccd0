//! The store on DynamoDB: the only code that knows tables, keys and conditions.
//!
//! What is stored are last-writer-wins registers, each with a version of its own. Every write is
//! conditional on the versions it overwrites being lower; where an item's other attributes depend on
//! more than one register (its place in the lists, its TTL), the write also states what it takes the
//! other registers to be. If a condition fails, DynamoDB answers with the item as it is, and the
//! write is planned anew from that: a failed condition is an answer, not an error. Nothing is read
//! first to decide what to write over.

mod attribute;
mod clean;
mod client;
mod customer;
mod deletion;
mod entitlement;
mod error;
mod item;
mod key;
mod list;
mod meter;
mod open;
mod read;
mod receipt;
mod subscription;
mod update;
mod whole;
mod window;

use std::{sync::Arc, time::Duration};

use aws_sdk_dynamodb::Client;
use jiff::{SignedDuration, Timestamp};

pub use client::{Budget, connect, from_environment, http_client};
pub use error::{Outcome, StoreError};
pub use key::{SHARDS, creation_order, customer_order, shard_of};
pub use list::{IndexPage, ListIndex, Place, Range};
pub use meter::Spent;
pub use read::{CustomerRow, FeatureRow, ResourceRow, SubscriptionRow};
pub use whole::{WholeCustomer, WholeFeature, WholeSubscription};

/// How long what nobody can see any more is kept before TTL sweeps it: a deletion, an incomplete
/// subscription, usage without a grant. An event that comes later than this is not recognized as
/// late.
pub const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// How often a write is planned anew when others keep changing the item, before the sender is told
/// to come again.
const PLANS: usize = 8;

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

/// When TTL may sweep what is kept only for [`KEPT`] from `now`, in seconds since 1970.
fn expiry(now: Timestamp) -> i64 {
    now.as_second().saturating_add(KEPT.as_secs())
}
