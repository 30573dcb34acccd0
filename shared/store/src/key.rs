//! Keys of items and indexes. No two different ids or pairs of ids have the same key.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use sha2::{Digest as _, Sha256};

use super::attribute::{CUSTOMER_ID, ITEM, SUBSCRIPTION_ID};
use domain::id::Id;

/// Number of partitions of each index. It can't be changed while the tables exist.
///
/// DynamoDB limits a partition of an index to 1,000 write and 3,000 read units per second. An index is written only when a
/// customer or subscription is created or removed: 4 shards take 4,000 such writes per second, and an import reads at
/// most 100 from Stigg's API. A page reads about one unit per shard: 4 shards serve some 8,000 pages per second. Each
/// shard is a request of its own, so that more shards would make pages more expensive.
pub const SHARDS: u8 = 4;

/// The shard of a customer and its subscriptions.
pub fn shard_of(customer_id: &Id) -> u8 {
    Sha256::digest(customer_id.as_str()).first().copied().unwrap_or_default() % SHARDS
}

/// DynamoDB's limit for a partition key.
pub const MAX_PARTITION_KEY_BYTES: usize = 2_048;

/// DynamoDB's limit for a sort key.
pub const MAX_SORT_KEY_BYTES: usize = 1_024;

/// [`customer_order`] has the longest sort keys.
const LONGEST_SORT_KEY_BYTES: usize = Id::MAX_BYTES + "\0".len() + Id::MAX_BYTES;

const _: () = assert!(LONGEST_SORT_KEY_BYTES <= MAX_SORT_KEY_BYTES);

/// A primary key.
pub(super) type Key = HashMap<String, AttributeValue>;

pub(super) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(super) fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// The sort keys of the Customers table.
pub(super) const PROFILE_ITEM: &str = "PROFILE";
pub(super) const RESOURCES: &str = "RESOURCE#";
pub(super) const SUBSCRIPTIONS: &str = "SUBSCRIPTION#";
pub(super) const USAGES: &str = "USAGE#";

/// `USAGE#` at customer level, `USAGE#<resource id>` for a resource. Ids are never empty.
pub(super) fn usage_item(resource_id: Option<&Id>) -> String {
    format!("{USAGES}{}", resource_id.map(Id::as_str).unwrap_or_default())
}

pub(super) fn resource_item(resource_id: &Id) -> String {
    format!("{RESOURCES}{resource_id}")
}

pub(super) fn pointer_item(subscription_id: &Id) -> String {
    format!("{SUBSCRIPTIONS}{subscription_id}")
}

pub(super) fn customer_key(customer_id: &Id, item: impl Into<String>) -> Key {
    HashMap::from([(CUSTOMER_ID.to_owned(), text(customer_id.as_str())), (ITEM.to_owned(), text(item))])
}

pub(super) fn subscription_key(subscription_id: &Id) -> Key {
    HashMap::from([(SUBSCRIPTION_ID.to_owned(), text(subscription_id.as_str()))])
}

/// A row's sort key by creation: `<time>|<id>`. Without a time it is `~|<id>`, after all times: PostgreSQL sorts nulls last
/// ascending and first descending.
pub fn creation_order(created_at: Option<&str>, id: &Id) -> String {
    format!("{}|{id}", created_at.unwrap_or("~"))
}

/// A subscription's sort key by customer id, then subscription id. The separator sorts before every character of an id.
pub fn customer_order(customer_id: &Id, subscription_id: &str) -> String {
    format!("{customer_id}\0{subscription_id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> Id {
        Id::try_from(text).unwrap()
    }

    #[test]
    fn different_ids_have_different_keys() {
        let items = [
            PROFILE_ITEM.to_owned(),
            usage_item(None),
            usage_item(Some(&id("#"))),
            usage_item(Some(&id("USAGE#"))),
            resource_item(&id("USAGE#")),
            resource_item(&id("#")),
            pointer_item(&id("PROFILE")),
        ];
        let mut distinct = items.to_vec();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), items.len());
    }

    #[test]
    fn the_longest_ids_fit_dynamodbs_sort_keys() {
        let longest = id(&"x".repeat(Id::MAX_BYTES));
        for key in [
            usage_item(Some(&longest)),
            customer_order(&longest, longest.as_str()),
            creation_order(Some("2026-11-23T14:00:00.000Z"), &longest),
            resource_item(&longest),
            pointer_item(&longest),
        ] {
            assert!(key.len() <= MAX_SORT_KEY_BYTES, "{}", key.len());
        }
    }

    #[test]
    fn subscriptions_sort_by_customer_then_by_their_own_id() {
        let mut orders = ["a|9", "a!|1", "a|1", "b|0"].map(|pair| {
            let (customer, subscription) = pair.split_once('|').unwrap();
            (customer_order(&id(customer), subscription), pair)
        });
        orders.sort();
        assert_eq!(orders.map(|(_, pair)| pair), ["a|1", "a|9", "a!|1", "b|0"]);
    }

    #[test]
    fn an_unknown_creation_time_sorts_last() {
        assert!(creation_order(None, &id("a")) > creation_order(Some("9999-12-31T23:59:59.999Z"), &id("z")));
    }

    #[test]
    fn customers_spread_over_the_shards() {
        let mut counts = [0; SHARDS as usize];
        for n in 0..4_000 {
            counts[usize::from(shard_of(&id(&format!("customer-{n}"))))] += 1;
        }
        assert!(counts.iter().all(|count| (850..1_150).contains(count)), "{counts:?}");
    }
}
