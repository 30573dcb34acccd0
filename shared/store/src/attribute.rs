//! Attribute names. Those of keys and indexes are also in template.yaml.

pub(super) const CUSTOMER_ID: &str = "customerId";
pub(super) const ITEM: &str = "item";
pub(super) const SUBSCRIPTION_ID: &str = "subscriptionId";
pub(super) const RECEIPT: &str = "receipt";

/// The partition key of the sharded indexes. Items without it are not in them.
pub(super) const SHARD: &str = "shard";
pub(super) const CREATION_ORDER: &str = "creationOrder";
pub(super) const CUSTOMER_ORDER: &str = "customerOrder";
pub(super) const EMAIL: &str = "email";
pub(super) const BILLING_ID: &str = "billingId";

/// When TTL removes the item, in seconds since 1970.
pub(super) const EXPIRES_AT: &str = "expiresAt";

/// Incremented by each write of the item. Replacing the whole item is conditional on it.
pub(super) const REVISION: &str = "revision";

/// The version of the customer's deletion. PROFILE has the register. Other items have a copy, written by the sweep, so
/// that late writes from before the deletion fail.
pub(super) const TOMBSTONE: &str = "tombstone";

pub(super) const PROFILE: &str = "profile";
pub(super) const PROFILE_VERSION: &str = "profileVersion";
pub(super) const EMBEDDED: &str = "embedded";
pub(super) const EMBEDDED_VERSION: &str = "embeddedVersion";
pub(super) const CREATION_VERSION: &str = "creationVersion";

pub(super) const LIST: &str = "list";
pub(super) const LIST_VERSION: &str = "listVersion";

/// The balance registers: a map from currency id to `<version> U+0000 <JSON>`.
pub(super) const BALANCES: &str = "balances";

/// Marks a customer that is not live but has complete subscriptions, which have to be put into the indexes once it
/// becomes live. The value is the mark's number.
pub(super) const WAITING: &str = "waiting";

/// The number of the last [`WAITING`] mark. It stays when the mark is removed, so that no number is used twice.
pub(super) const LAST_WAITING: &str = "lastWaiting";

/// The highest version of the subscription's details that the pointer was written for.
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

/// Prefix of the attributes of usage registers; the feature's id follows.
pub(super) const USAGE_PREFIX: &str = "#";

pub(super) fn usage_attribute(feature_id: &str) -> String {
    format!("{USAGE_PREFIX}{feature_id}")
}
