//! Names of attributes. template.yaml fixes those of keys and indexes.

pub(super) const CUSTOMER_ID: &str = "customerId";
pub(super) const ITEM: &str = "item";
pub(super) const SUBSCRIPTION_ID: &str = "subscriptionId";
pub(super) const RECEIPT: &str = "receipt";

/// The partition key of the sharded indexes. An item is in them exactly while it has one.
pub(super) const SHARD: &str = "shard";
pub(super) const CREATION_ORDER: &str = "creationOrder";
pub(super) const CUSTOMER_ORDER: &str = "customerOrder";
pub(super) const EMAIL: &str = "email";
pub(super) const BILLING_ID: &str = "billingId";

/// When TTL removes the item, in seconds since 1970.
pub(super) const EXPIRES_AT: &str = "expiresAt";

/// Counts the writes of an item. A replacement of the whole item is conditional on it.
pub(super) const REVISION: &str = "revision";

/// The version of the customer's deletion. In PROFILE it is the register itself. In every other item it is a copy,
/// which the sweep leaves there so that a late write from before the deletion is refused.
pub(super) const TOMBSTONE: &str = "tombstone";

pub(super) const PROFILE: &str = "profile";
pub(super) const PROFILE_VERSION: &str = "profileVersion";
pub(super) const EMBEDDED: &str = "embedded";
pub(super) const EMBEDDED_VERSION: &str = "embeddedVersion";
pub(super) const CREATION_VERSION: &str = "creationVersion";

pub(super) const LIST: &str = "list";
pub(super) const LIST_VERSION: &str = "listVersion";

/// A map of the balance registers: currency id to `<version> U+0000 <JSON>`.
pub(super) const BALANCES: &str = "balances";

/// Some of the customer's subscriptions are complete but not in the indexes, because the customer is not live. The
/// value is the number of the mark.
pub(super) const WAITING: &str = "waiting";

/// The number of the last [`WAITING`] mark. It is kept when the mark is removed, so that no mark is set twice.
pub(super) const LAST_WAITING: &str = "lastWaiting";

/// A pointer's version: the highest of the subscription's details that it was written for.
pub(super) const POINTER_VERSION: &str = "pointerVersion";

pub(super) const STATUS: &str = "status";
pub(super) const STATUS_VERSION: &str = "statusVersion";
pub(super) const DATES: &str = "dates";
pub(super) const DATES_VERSION: &str = "datesVersion";
pub(super) const DETAILS: &str = "details";
pub(super) const DETAILS_VERSION: &str = "detailsVersion";

pub(super) const RECEIVED_AT: &str = "receivedAt";

pub(super) const ENVIRONMENT_ID: &str = "environmentId";
pub(super) const WITNESSES: &str = "witnesses";
pub(super) const WITNESSED_AT: &str = "witnessedAt";

/// What the names of usage registers begin with; the feature's id follows.
pub(super) const USAGE_PREFIX: &str = "#";

/// The attribute of a feature's usage register.
pub(super) fn usage_attribute(feature_id: &str) -> String {
    format!("{USAGE_PREFIX}{feature_id}")
}
