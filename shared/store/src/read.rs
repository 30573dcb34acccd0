//! Reads by key: what a check needs in one request, and rows for lists a hundred a request.

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
    customer::{CustomerRegisters, Standing},
    entitlement::ScopeRegisters,
    id::Id,
    subscription::{Subscription, SubscriptionRegisters},
};

/// A customer's registers under its id.
#[derive(Clone, Debug)]
pub struct CustomerRow {
    /// The customer.
    pub customer_id: Id,
    /// Its registers.
    pub registers: CustomerRegisters,
    /// The customer level, as far as it was asked for.
    pub scope: ScopeRegisters,
}

/// Which parts of customers are read. All of them cost the same capacity, since DynamoDB counts whole items, but fewer
/// bytes are sent and parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Parts {
    /// Versions: who is live, and since when.
    Versions,
    /// The profile too.
    Profiles,
    /// The profile, and the customer level's list, balances and usage. Reads a second item, USAGE, in the same request.
    Entitlements,
}

/// A subscription's registers under its id.
#[derive(Clone, Debug)]
pub struct SubscriptionRow {
    /// The subscription.
    pub subscription_id: Id,
    /// Its registers.
    pub registers: SubscriptionRegisters,
}

/// DynamoDB's limit for the keys of a BatchGetItem.
const BATCH: usize = 100;

/// How often keys that DynamoDB left unprocessed are asked for again.
const BATCH_TRIES: u32 = 5;

/// What a check reads of its items, beside the usage of its features.
const CHECK_ATTRIBUTES: [&str; 7] = [ITEM, PROFILE_VERSION, EMBEDDED_VERSION, TOMBSTONE, LIST_VERSION, LIST, BALANCES];

/// The versions of a customer's registers.
const VERSION_ATTRIBUTES: [&str; 6] = [CUSTOMER_ID, PROFILE_VERSION, EMBEDDED_VERSION, TOMBSTONE, CREATION_VERSION, LIST_VERSION];

/// A customer's registers.
const PROFILE_ATTRIBUTES: [&str; 8] =
    [CUSTOMER_ID, PROFILE_VERSION, PROFILE, EMBEDDED_VERSION, EMBEDDED, TOMBSTONE, CREATION_VERSION, LIST_VERSION];

impl Store {
    /// The visible state that a check depends on. One request, always.
    pub async fn access_view(&self, request: &AccessRequest) -> Result<AccessView, StoreError> {
        let AccessRequest { customer_id, feature_id, resource_id, .. } = request;
        let usage = usage_attribute(feature_id.as_str());
        let (customer, scope) = self.read_scope(customer_id, resource_id.as_ref(), Some(&usage)).await?;
        Ok(AccessView::of(&customer, &scope, feature_id)?)
    }

    /// A scope of a customer's with all its features. One request, always.
    pub async fn scope(
        &self,
        customer_id: &Id,
        resource_id: Option<&Id>,
    ) -> Result<(CustomerRegisters<(), ()>, ScopeRegisters), StoreError> {
        self.read_scope(customer_id, resource_id, None).await
    }

    /// `usage` names the one usage register to read; without it all are read.
    ///
    /// BatchGetItem reads each item at a moment of its own. That is right all the same: a list is one register, and
    /// usage, balances and the tombstone merge by version.
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
        let of_list = item(resource.as_deref().unwrap_or(PROFILE_ITEM));
        Ok((item(PROFILE_ITEM).customer_versions()?, of_list.scope(Some(item(&usage_item(resource_id))))?))
    }

    /// The customers among these that have a PROFILE, in no particular order.
    pub async fn customers(&self, ids: &[Id], parts: Parts) -> Result<Vec<CustomerRow>, StoreError> {
        self.read_customers(ids, parts, false).await
    }

    /// The same by a strongly consistent read, for a caller who has just written them.
    pub async fn customers_consistently(&self, ids: &[Id], parts: Parts) -> Result<Vec<CustomerRow>, StoreError> {
        self.read_customers(ids, parts, true).await
    }

    async fn read_customers(&self, ids: &[Id], parts: Parts, consistent: bool) -> Result<Vec<CustomerRow>, StoreError> {
        let usages = ids.iter().filter(|_| parts == Parts::Entitlements).map(|id| customer_key(id, usage_item(None)));
        let keys = ids.iter().map(|id| customer_key(id, PROFILE_ITEM)).chain(usages).collect();
        let attributes: &[&str] = match parts {
            Parts::Versions => &VERSION_ATTRIBUTES,
            Parts::Profiles => &PROFILE_ATTRIBUTES,
            Parts::Entitlements => &[],
        };
        let items = self.batch_get(&self.tables.customers, keys, attributes, consistent).await?;
        let (usages, profiles): (Vec<Item>, Vec<Item>) =
            items.into_iter().partition(|item| item.text(ITEM).is_some_and(|item| item.starts_with(USAGES)));
        let usages = usages.into_iter().map(|item| Ok((item.id(CUSTOMER_ID)?, item)));
        let usages: HashMap<Id, Item> = usages.collect::<Result<_, StoreError>>()?;
        let row = |item: Item| {
            let customer_id = item.id(CUSTOMER_ID)?;
            let (registers, scope) = match parts {
                Parts::Versions => (item.customer_versions()?, ScopeRegisters::default()),
                Parts::Profiles => (item.customer_registers()?, ScopeRegisters::default()),
                Parts::Entitlements => (item.customer_registers()?, item.scope(usages.get(&customer_id))?),
            };
            Ok(CustomerRow { customer_id, registers, scope })
        };
        profiles.into_iter().map(row).collect()
    }

    /// The subscriptions among these that there are, in no particular order.
    pub async fn subscriptions(&self, ids: &[Id]) -> Result<Vec<SubscriptionRow>, StoreError> {
        let keys = ids.iter().map(subscription_key).collect();
        let items = self.batch_get(&self.tables.subscriptions, keys, &[], false).await?;
        let row = |item: Item| {
            Ok(SubscriptionRow { subscription_id: item.id(SUBSCRIPTION_ID)?, registers: item.subscription_registers()? })
        };
        items.into_iter().map(row).collect()
    }

    /// The visible subscriptions of a customer by id; none if the customer is not live. Eventually consistent.
    ///
    /// Two requests beside one another, and a third if there are subscriptions.
    pub async fn subscriptions_of(&self, customer_id: &Id) -> Result<BTreeMap<Id, Subscription>, StoreError> {
        let customer = self.customers(slice::from_ref(customer_id), Parts::Versions);
        let pointers = self.query_prefix(customer_id, SUBSCRIPTIONS, &[ITEM], false);
        let (customers, pointers) = try_join(customer, pointers).await?;
        let customer = customers.first().map(|customer| &customer.registers);
        let Some(customer) = customer.filter(|customer| customer.standing() == Standing::Live) else {
            return Ok(BTreeMap::new());
        };
        let ids: Vec<Id> = pointers.iter().map(|item| id_after(item, SUBSCRIPTIONS)).collect::<Result<_, _>>()?;
        let visible = |row: SubscriptionRow| {
            let subscription = row.registers.visible(customer.tombstone.as_ref());
            // Stigg may have moved it to another customer since.
            let subscription = subscription.filter(|subscription| subscription.customer_id == *customer_id);
            subscription.map(|subscription| (row.subscription_id, subscription))
        };
        Ok(self.subscriptions(&ids).await?.into_iter().filter_map(visible).collect())
    }

    /// The resources that a customer has had lists or balances for, with their registers.
    pub async fn resources(&self, customer_id: &Id) -> Result<BTreeMap<Id, ScopeRegisters>, StoreError> {
        let usages = self.query_prefix(customer_id, USAGES, &[], false).await?;
        let items = self.query_prefix(customer_id, RESOURCES, &[], false).await?;
        let resource = |item: Item| {
            let resource_id = id_after(&item, RESOURCES)?;
            let usage = usage_item(Some(&resource_id));
            let scope = item.scope(usages.iter().find(|item| item.text(ITEM) == Some(&usage)))?;
            Ok((resource_id, scope))
        };
        items.into_iter().map(resource).collect()
    }

    /// The subscriptions that a customer has had pointers to, read consistently; they may be another
    /// customer's by now, incomplete or gone.
    pub async fn subscription_ids(&self, customer_id: &Id) -> Result<Vec<Id>, StoreError> {
        let items = self.query_prefix(customer_id, SUBSCRIPTIONS, &[ITEM], true).await?;
        items.iter().map(|item| id_after(item, SUBSCRIPTIONS)).collect()
    }

    /// A customer's items whose sort keys begin so: these attributes of theirs, or all where none are
    /// named. A writer that has to see every item reads consistently.
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
                let (projection, names) = projection(attributes);
                request = request.projection_expression(projection);
                for (placeholder, name) in names {
                    request = request.expression_attribute_names(placeholder, name);
                }
            }
            let output = self.send(request.send()).await.map_err(|error| StoreError::of("Query", error))?;
            items.extend(output.items.unwrap_or_default().into_iter().map(Item::from));
            start = output.last_evaluated_key;
            if start.is_none() {
                return Ok(items);
            }
        }
    }

    /// These attributes of an item, or all, by a strongly consistent read.
    pub(super) async fn get(&self, table: &str, key: Key, attributes: &[&str]) -> Result<Option<Item>, StoreError> {
        let mut request = self.client.get_item().table_name(table).set_key(Some(key)).consistent_read(true);
        if !attributes.is_empty() {
            let (projection, names) = projection(attributes);
            request = request.projection_expression(projection).set_expression_attribute_names(Some(names));
        }
        let request = request.return_consumed_capacity(ReturnConsumedCapacity::Total);
        let output = self.send(request.send()).await.map_err(|error| StoreError::of("GetItem", error))?;
        Ok(output.item.map(Item::from))
    }

    /// The items under these keys, a hundred a request, the requests beside one another.
    pub(super) async fn batch_get(
        &self,
        table: &str,
        keys: Vec<Key>,
        attributes: &[&str],
        consistent: bool,
    ) -> Result<Vec<Item>, StoreError> {
        let batches = keys.chunks(BATCH).map(|keys| self.batch_get_once(table, keys.to_vec(), attributes, consistent));
        let batches: Vec<_> = batches.collect();
        Ok(try_join_all(batches).await?.into_iter().flatten().collect())
    }

    /// One batch; what DynamoDB leaves unprocessed, when it throttles or the answer grows too large,
    /// is asked for again.
    async fn batch_get_once(
        &self,
        table: &str,
        mut keys: Vec<Key>,
        attributes: &[&str],
        consistent: bool,
    ) -> Result<Vec<Item>, StoreError> {
        const OPERATION: &str = "BatchGetItem";
        let mut items = Vec::with_capacity(keys.len());
        let mut tries = 0;
        while !keys.is_empty() {
            let mut wanted = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(consistent);
            if !attributes.is_empty() {
                let (projection, names) = projection(attributes);
                wanted = wanted.projection_expression(projection).set_expression_attribute_names(Some(names));
            }
            let wanted =
                wanted.build().map_err(|error| StoreError::Unavailable { operation: OPERATION, source: Box::new(error) })?;
            let request =
                self.client.batch_get_item().request_items(table, wanted).return_consumed_capacity(ReturnConsumedCapacity::Total);
            let output = self.send(request.send()).await.map_err(|error| StoreError::of(OPERATION, error))?;
            let found = output.responses.unwrap_or_default().remove(table).unwrap_or_default();
            let is_progress = !found.is_empty();
            items.extend(found.into_iter().map(Item::from));
            keys = output.unprocessed_keys.unwrap_or_default().remove(table).map(|left| left.keys).unwrap_or_default();
            if !keys.is_empty() {
                tries = if is_progress { 0 } else { tries + 1 };
                if tries == BATCH_TRIES {
                    return Err(StoreError::Unavailable { operation: OPERATION, source: "keys were left unprocessed".into() });
                }
                tokio::time::sleep(Duration::from_millis(10 << tries)).await;
            }
        }
        Ok(items)
    }
}

/// The id behind a prefix of an item's sort key.
pub(super) fn id_after(item: &Item, prefix: &str) -> Result<Id, StoreError> {
    let id = item.text(ITEM).and_then(|item| item.strip_prefix(prefix)).and_then(|id| Id::try_from(id).ok());
    id.ok_or(StoreError::Unreadable { attribute: ITEM })
}

/// A projection of these attributes, and the names that its placeholders stand for.
fn projection(attributes: &[&str]) -> (String, HashMap<String, String>) {
    let names: Vec<(String, String)> =
        attributes.iter().enumerate().map(|(index, name)| (format!("#p{index}"), (*name).to_owned())).collect();
    let placeholders: Vec<&str> = names.iter().map(|(placeholder, _)| placeholder.as_str()).collect();
    (placeholders.join(","), names.into_iter().collect())
}

/// The id in a key that DynamoDB answered with.
pub(super) fn id_in(key: &Key, attribute: &'static str) -> Result<Id, StoreError> {
    let id = key.get(attribute).and_then(|value: &AttributeValue| value.as_s().ok());
    id.and_then(|id| Id::try_from(id.as_str()).ok()).ok_or(StoreError::Unreadable { attribute })
}
