//! The keys of items and of the lists, and how two ids share one key without imitating another pair.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use sha2::{Digest as _, Sha256};

use super::attribute::{CUSTOMER_ID, ITEM, SUBSCRIPTION_ID};
use domain::id::Id;

/// Over how many partitions each list is spread; fixed for the life of the tables.
///
/// DynamoDB takes 1,000 write and 3,000 read units a second in one partition of an index. A list is
/// written when a customer or subscription comes or goes, not when it changes, and Stigg's API, from
/// which an import reads, serves 100 requests a second: 4 shards take 4,000 arrivals a second, forty
/// times that. A page reads about one read unit a shard, so 4 shards serve some 8,000 pages a second.
/// More shards would make each page dearer, since each is one more request.
pub const SHARDS: u8 = 4;

/// The shard that a customer and its subscriptions are listed in.
pub fn shard_of(customer_id: &Id) -> u8 {
    Sha256::digest(customer_id.as_str()).first().copied().unwrap_or_default() % SHARDS
}

/// The primary key of an item.
pub(super) type Key = HashMap<String, AttributeValue>;

/// A text attribute.
pub(super) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

/// A number attribute.
pub(super) fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// The sort keys of the Customers table.
pub(super) const PROFILE_ITEM: &str = "PROFILE";
pub(super) const RESOURCES: &str = "RESOURCE#";
pub(super) const SUBSCRIPTIONS: &str = "SUBSCRIPTION#";
pub(super) const USAGES: &str = "USAGE#";

/// The item of a scope's usage: `USAGE#` at customer level, `USAGE#<resource id>` for a resource, whose id is never
/// empty.
pub(super) fn usage_item(resource_id: Option<&Id>) -> String {
    format!("{USAGES}{}", resource_id.map(Id::as_str).unwrap_or_default())
}

pub(super) fn resource_item(resource_id: &Id) -> String {
    format!("{RESOURCES}{resource_id}")
}

pub(super) fn pointer_item(subscription_id: &Id) -> String {
    format!("{SUBSCRIPTIONS}{subscription_id}")
}

/// The key of a customer's item.
pub(super) fn customer_key(customer_id: &Id, item: impl Into<String>) -> Key {
    HashMap::from([(CUSTOMER_ID.to_owned(), text(customer_id.as_str())), (ITEM.to_owned(), text(item))])
}

pub(super) fn subscription_key(subscription_id: &Id) -> Key {
    HashMap::from([(SUBSCRIPTION_ID.to_owned(), text(subscription_id.as_str()))])
}

/// A row's place in creation order: `<time>|<id>`, or `~|<id>`, after all times, where the time is
/// not known: PostgreSQL puts nulls last ascending and first descending.
pub fn creation_order(created_at: Option<&str>, id: &Id) -> String {
    format!("{}|{id}", created_at.unwrap_or("~"))
}

/// A subscription's place in the order of customers, then of subscriptions. The separator sorts
/// before every character that an id may hold, so the order is that of the pairs.
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
    fn no_id_imitates_another_items_key() {
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
            assert!(key.len() <= 1_024, "{}", key.len());
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
    fn an_unknown_creation_sorts_after_every_known_one() {
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
