//! Reads by key: a check in one request, rows in batches of 100.

use std::{
    collections::{BTreeMap, HashMap},
    slice,
    time::Duration,
};

use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, ReturnConsumedCapacity};
use futures_util::future::{try_join, try_join_all};

use super::{
    Store, StoreError,
    attribute::{
        BALANCES, CREATION_VERSION, CUSTOMER_ID, EMBEDDED, EMBEDDED_VERSION, ITEM, LIST, LIST_VERSION, PROFILE, PROFILE_VERSION,
        SUBSCRIPTION_ID, TOMBSTONE, usage_attribute,
    },
    item::Item,
    key::{Key, PROFILE_ITEM, RESOURCES, SUBSCRIPTIONS, USAGES, customer_key, resource_item, subscription_key, text, usage_item},
};
use domain::{
    access::{AccessRequest, AccessView},
    customer::{CustomerRegisters, CustomerState},
    entitlement::ScopeRegisters,
    id::Id,
    subscription::{Subscription, SubscriptionRegisters},
};

#[derive(Clone, Debug)]
pub struct CustomerRow {
    pub customer_id: Id,
    pub registers: CustomerRegisters,
    /// The customer level, empty unless [`Projection::Entitlements`] was requested.
    pub scope: ScopeRegisters,
}

/// Which attributes of customers are read. Capacity does not depend on it, since DynamoDB charges for whole items, but
/// fewer bytes are sent and parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Projection {
    /// Only versions: whether the customer is live, and since when.
    Versions,
    /// Versions and the profile.
    Profiles,
    /// Everything, including the customer level's list, balances and usage. Reads a second item (USAGE) in the same
    /// request.
    Entitlements,
}

#[derive(Clone, Debug)]
pub struct SubscriptionRow {
    pub subscription_id: Id,
    pub registers: SubscriptionRegisters,
}

/// DynamoDB's limit for a BatchGetItem.
const MAX_BATCH_KEYS: usize = 100;

/// Maximum number of consecutive requests that return no item.
const MAX_BATCH_ATTEMPTS: u32 = 5;

/// The attributes that a check reads, beside the feature's usage.
const CHECK_ATTRIBUTES: [&str; 7] = [ITEM, PROFILE_VERSION, EMBEDDED_VERSION, TOMBSTONE, LIST_VERSION, LIST, BALANCES];

const VERSION_ATTRIBUTES: [&str; 6] = [CUSTOMER_ID, PROFILE_VERSION, EMBEDDED_VERSION, TOMBSTONE, CREATION_VERSION, LIST_VERSION];

const PROFILE_ATTRIBUTES: [&str; 8] =
    [CUSTOMER_ID, PROFILE_VERSION, PROFILE, EMBEDDED_VERSION, EMBEDDED, TOMBSTONE, CREATION_VERSION, LIST_VERSION];

impl Store {
    /// The visible state that a check depends on. Always one request.
    pub async fn access_view(&self, request: &AccessRequest) -> Result<AccessView, StoreError> {
        let AccessRequest { customer_id, feature_id, resource_id, .. } = request;
        let usage = usage_attribute(feature_id.as_str());
        let (customer, scope) = self.read_scope(customer_id, resource_id.as_ref(), Some(&usage)).await?;
        Ok(AccessView::of(&customer, &scope, feature_id)?)
    }

    /// The registers of one scope, with the usage of all features. Always one request.
    pub async fn scope(
        &self,
        customer_id: &Id,
        resource_id: Option<&Id>,
    ) -> Result<(CustomerRegisters<(), ()>, ScopeRegisters), StoreError> {
        self.read_scope(customer_id, resource_id, None).await
    }

    /// `usage` is the attribute of the only usage register to read; None reads all.
    ///
    /// BatchGetItem is not a snapshot of its items. It does not have to be: a list is one register, and usage, balances
    /// and the tombstone are merged by version.
    async fn read_scope(
        &self,
        customer_id: &Id,
        resource_id: Option<&Id>,
        usage: Option<&str>,
    ) -> Result<(CustomerRegisters<(), ()>, ScopeRegisters), StoreError> {
        let resource = resource_id.map(resource_item);
        let mut keys = vec![customer_key(customer_id, PROFILE_ITEM), customer_key(customer_id, usage_item(resource_id))];
        keys.extend(resource.as_ref().map(|item| customer_key(customer_id, item.as_str())));
        let mut attributes = CHECK_ATTRIBUTES.to_vec();
        attributes.extend(usage);
        let attributes = if usage.is_some() { attributes.as_slice() } else { &[] };
        let mut items: HashMap<String, Item> = HashMap::new();
        for item in self.batch_get(&self.tables.customers, keys, attributes, false).await? {
            items.insert(item.text(ITEM).unwrap_or_default().to_owned(), item);
        }
        let none = Item::default();
        let item = |name: &str| items.get(name).unwrap_or(&none);
        let list_item = item(resource.as_deref().unwrap_or(PROFILE_ITEM));
        Ok((item(PROFILE_ITEM).customer_versions()?, list_item.scope(Some(item(&usage_item(resource_id))))?))
    }

    /// The customers that have a PROFILE, in no particular order. Eventually consistent.
    pub async fn customers(&self, ids: &[Id], projection: Projection) -> Result<Vec<CustomerRow>, StoreError> {
        self.read_customers(ids, projection, false).await
    }

    /// Strongly consistent: for a caller that has just written them.
    pub async fn customers_consistently(&self, ids: &[Id], projection: Projection) -> Result<Vec<CustomerRow>, StoreError> {
        self.read_customers(ids, projection, true).await
    }

    async fn read_customers(&self, ids: &[Id], projection: Projection, consistent: bool) -> Result<Vec<CustomerRow>, StoreError> {
        let usages = ids.iter().filter(|_| projection == Projection::Entitlements).map(|id| customer_key(id, usage_item(None)));
        let keys = ids.iter().map(|id| customer_key(id, PROFILE_ITEM)).chain(usages).collect();
        let attributes: &[&str] = match projection {
            Projection::Versions => &VERSION_ATTRIBUTES,
            Projection::Profiles => &PROFILE_ATTRIBUTES,
            Projection::Entitlements => &[],
        };
        let items = self.batch_get(&self.tables.customers, keys, attributes, consistent).await?;
        let (usages, profiles): (Vec<Item>, Vec<Item>) =
            items.into_iter().partition(|item| item.text(ITEM).is_some_and(|item| item.starts_with(USAGES)));
        let usages = usages.into_iter().map(|item| Ok((item.id(CUSTOMER_ID)?, item)));
        let usages: HashMap<Id, Item> = usages.collect::<Result<_, StoreError>>()?;
        let row = |item: Item| {
            let customer_id = item.id(CUSTOMER_ID)?;
            let (registers, scope) = match projection {
                Projection::Versions => (item.customer_versions()?, ScopeRegisters::default()),
                Projection::Profiles => (item.customer_registers()?, ScopeRegisters::default()),
                Projection::Entitlements => (item.customer_registers()?, item.scope(usages.get(&customer_id))?),
            };
            Ok(CustomerRow { customer_id, registers, scope })
        };
        profiles.into_iter().map(row).collect()
    }

    /// The subscriptions that exist, in no particular order. Eventually consistent.
    pub async fn subscriptions(&self, ids: &[Id]) -> Result<Vec<SubscriptionRow>, StoreError> {
        let keys = ids.iter().map(subscription_key).collect();
        let items = self.batch_get(&self.tables.subscriptions, keys, &[], false).await?;
        let row = |item: Item| {
            Ok(SubscriptionRow { subscription_id: item.id(SUBSCRIPTION_ID)?, registers: item.subscription_registers()? })
        };
        items.into_iter().map(row).collect()
    }

    /// The visible subscriptions of a customer; none if the customer is not live. Eventually consistent. Two concurrent
    /// requests, and a third if there are subscriptions.
    pub async fn subscriptions_of(&self, customer_id: &Id) -> Result<BTreeMap<Id, Subscription>, StoreError> {
        let customer = self.customers(slice::from_ref(customer_id), Projection::Versions);
        let pointers = self.query_prefix(customer_id, SUBSCRIPTIONS, &[ITEM], false);
        let (customers, pointers) = try_join(customer, pointers).await?;
        let customer = customers.first().map(|customer| &customer.registers);
        let Some(customer) = customer.filter(|customer| customer.state() == CustomerState::Live) else {
            return Ok(BTreeMap::new());
        };
        let ids: Vec<Id> = pointers.iter().map(|item| id_from_sort_key(item, SUBSCRIPTIONS)).collect::<Result<_, _>>()?;
        let visible = |row: SubscriptionRow| {
            let subscription = row.registers.visible(customer.tombstone.as_ref());
            // It may have been moved to another customer since.
            let subscription = subscription.filter(|subscription| subscription.customer_id == *customer_id);
            subscription.map(|subscription| (row.subscription_id, subscription))
        };
        Ok(self.subscriptions(&ids).await?.into_iter().filter_map(visible).collect())
    }

    /// The registers of every resource that has a list or a balance.
    pub async fn resources(&self, customer_id: &Id) -> Result<BTreeMap<Id, ScopeRegisters>, StoreError> {
        let usages = self.query_prefix(customer_id, USAGES, &[], false).await?;
        let items = self.query_prefix(customer_id, RESOURCES, &[], false).await?;
        let resource = |item: Item| {
            let resource_id = id_from_sort_key(&item, RESOURCES)?;
            let usage = usage_item(Some(&resource_id));
            let scope = item.scope(usages.iter().find(|item| item.text(ITEM) == Some(&usage)))?;
            Ok((resource_id, scope))
        };
        items.into_iter().map(resource).collect()
    }

    /// The subscriptions that a customer's pointers name, strongly consistent. They may be incomplete or gone, or belong to
    /// another customer by now.
    pub async fn subscription_ids(&self, customer_id: &Id) -> Result<Vec<Id>, StoreError> {
        let items = self.query_prefix(customer_id, SUBSCRIPTIONS, &[ITEM], true).await?;
        items.iter().map(|item| id_from_sort_key(item, SUBSCRIPTIONS)).collect()
    }

    /// A customer's items by sort key prefix. No attributes means all.
    pub(super) async fn query_prefix(
        &self,
        customer_id: &Id,
        prefix: &str,
        attributes: &[&str],
        consistent: bool,
    ) -> Result<Vec<Item>, StoreError> {
        let mut items = Vec::new();
        let mut start: Option<Key> = None;
        loop {
            let begins = if prefix.is_empty() { "" } else { " AND begins_with(#item, :prefix)" };
            let mut request = self
                .client
                .query()
                .table_name(&self.tables.customers)
                .key_condition_expression(format!("#customerId = :customerId{begins}"))
                .expression_attribute_names("#customerId", CUSTOMER_ID)
                .expression_attribute_values(":customerId", text(customer_id.as_str()))
                .consistent_read(consistent)
                .set_exclusive_start_key(start)
                .return_consumed_capacity(ReturnConsumedCapacity::Total);
            if !prefix.is_empty() {
                request = request.expression_attribute_names("#item", ITEM);
                request = request.expression_attribute_values(":prefix", text(prefix));
            }
            if !attributes.is_empty() {
                let (expression, names) = projection_expression(attributes);
                request = request.projection_expression(expression);
                for (placeholder, name) in names {
                    request = request.expression_attribute_names(placeholder, name);
                }
            }
            let output = self.costs.track(request.send()).await.map_err(|error| StoreError::of("Query", error))?;
            items.extend(output.items.unwrap_or_default().into_iter().map(Item::from));
            start = output.last_evaluated_key;
            if start.is_none() {
                return Ok(items);
            }
        }
    }

    /// Strongly consistent. No attributes means all.
    pub(super) async fn get(&self, table: &str, key: Key, attributes: &[&str]) -> Result<Option<Item>, StoreError> {
        let mut request = self.client.get_item().table_name(table).set_key(Some(key)).consistent_read(true);
        if !attributes.is_empty() {
            let (expression, names) = projection_expression(attributes);
            request = request.projection_expression(expression).set_expression_attribute_names(Some(names));
        }
        let request = request.return_consumed_capacity(ReturnConsumedCapacity::Total);
        let output = self.costs.track(request.send()).await.map_err(|error| StoreError::of("GetItem", error))?;
        Ok(output.item.map(Item::from))
    }

    /// Concurrent requests of up to 100 keys. No attributes means all.
    pub(super) async fn batch_get(
        &self,
        table: &str,
        keys: Vec<Key>,
        attributes: &[&str],
        consistent: bool,
    ) -> Result<Vec<Item>, StoreError> {
        let batches = keys.chunks(MAX_BATCH_KEYS).map(|keys| self.batch_get_chunk(table, keys.to_vec(), attributes, consistent));
        let batches: Vec<_> = batches.collect();
        Ok(try_join_all(batches).await?.into_iter().flatten().collect())
    }

    /// Requests keys again that DynamoDB left unprocessed, because it throttled or the response became too large.
    async fn batch_get_chunk(
        &self,
        table: &str,
        mut keys: Vec<Key>,
        attributes: &[&str],
        consistent: bool,
    ) -> Result<Vec<Item>, StoreError> {
        const OPERATION: &str = "BatchGetItem";
        let mut items = Vec::with_capacity(keys.len());
        let mut attempts = 0;
        while !keys.is_empty() {
            let mut request_items = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(consistent);
            if !attributes.is_empty() {
                let (expression, names) = projection_expression(attributes);
                request_items = request_items.projection_expression(expression).set_expression_attribute_names(Some(names));
            }
            let request_items = request_items
                .build()
                .map_err(|error| StoreError::Unavailable { operation: OPERATION, source: Box::new(error) })?;
            let request = self
                .client
                .batch_get_item()
                .request_items(table, request_items)
                .return_consumed_capacity(ReturnConsumedCapacity::Total);
            let output = self.costs.track(request.send()).await.map_err(|error| StoreError::of(OPERATION, error))?;
            let found = output.responses.unwrap_or_default().remove(table).unwrap_or_default();
            let is_progress = !found.is_empty();
            items.extend(found.into_iter().map(Item::from));
            keys = output.unprocessed_keys.unwrap_or_default().remove(table).map(|left| left.keys).unwrap_or_default();
            if !keys.is_empty() {
                attempts = if is_progress { 0 } else { attempts + 1 };
                if attempts == MAX_BATCH_ATTEMPTS {
                    return Err(StoreError::Unavailable { operation: OPERATION, source: "keys were left unprocessed".into() });
                }
                tokio::time::sleep(Duration::from_millis(10 << attempts)).await;
            }
        }
        Ok(items)
    }
}

/// The id that follows the prefix in an item's sort key.
pub(super) fn id_from_sort_key(item: &Item, prefix: &str) -> Result<Id, StoreError> {
    let id = item.text(ITEM).and_then(|item| item.strip_prefix(prefix)).and_then(|id| Id::try_from(id).ok());
    id.ok_or(StoreError::Unreadable { attribute: ITEM })
}

/// A projection expression, and the names of its placeholders.
fn projection_expression(attributes: &[&str]) -> (String, HashMap<String, String>) {
    let names: Vec<(String, String)> =
        attributes.iter().enumerate().map(|(index, name)| (format!("#p{index}"), (*name).to_owned())).collect();
    let placeholders: Vec<&str> = names.iter().map(|(placeholder, _)| placeholder.as_str()).collect();
    (placeholders.join(","), names.into_iter().collect())
}

pub(super) fn id_from_key(key: &Key, attribute: &'static str) -> Result<Id, StoreError> {
    let id = key.get(attribute).and_then(|value: &AttributeValue| value.as_s().ok());
    id.and_then(|id| Id::try_from(id.as_str()).ok()).ok_or(StoreError::Unreadable { attribute })
}
