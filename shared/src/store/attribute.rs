//! The names of attributes. The ones in keys and indexes are fixed by template.yaml.

pub(super) const CUSTOMER_ID: &str = "customerId";
pub(super) const ITEM: &str = "item";
pub(super) const SUBSCRIPTION_ID: &str = "subscriptionId";
pub(super) const RECEIPT: &str = "receipt";

/// The lists' partition key: an item is in the lists exactly while it has one.
pub(super) const SHARD: &str = "shard";
pub(super) const CREATION_ORDER: &str = "creationOrder";
pub(super) const CUSTOMER_ORDER: &str = "customerOrder";
pub(super) const EMAIL: &str = "email";
pub(super) const BILLING_ID: &str = "billingId";

/// When TTL sweeps the item, in seconds since 1970.
pub(super) const EXPIRES_AT: &str = "expiresAt";

pub(super) const PROFILE: &str = "profile";
pub(super) const PROFILE_VERSION: &str = "profileVersion";
pub(super) const EMBEDDED: &str = "embedded";
pub(super) const EMBEDDED_VERSION: &str = "embeddedVersion";
pub(super) const DELETION_VERSION: &str = "deletionVersion";
pub(super) const CREATION_VERSION: &str = "creationVersion";
pub(super) const LIST_LENGTH: &str = "listLength";
pub(super) const LIST_VERSION: &str = "listVersion";

/// Some of the customer's subscriptions are complete and not in the lists, because the customer was
/// not live; whoever makes it live lists them.
pub(super) const UNLISTED: &str = "unlisted";

pub(super) const GRANT: &str = "grant";
pub(super) const GRANT_VERSION: &str = "grantVersion";
pub(super) const USAGE: &str = "usage";
pub(super) const USAGE_VERSION: &str = "usageVersion";

/// A pointer's version: the highest of the subscription's details that it was written for.
pub(super) const POINTER_VERSION: &str = "pointerVersion";

pub(super) const STATUS: &str = "status";
pub(super) const STATUS_VERSION: &str = "statusVersion";
pub(super) const DATES: &str = "dates";
pub(super) const DATES_VERSION: &str = "datesVersion";
pub(super) const DETAILS: &str = "details";
pub(super) const DETAILS_VERSION: &str = "detailsVersion";

pub(super) const RECEIVED_AT: &str = "receivedAt";
