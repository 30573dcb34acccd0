//! Reads by key: what a check needs in one request, and rows for lists a hundred a request.

use std::{collections::HashSet, time::Duration};

use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, ReturnConsumedCapacity};
use futures_util::future::try_join_all;

use super::{
    Store, StoreError,
    attribute::{
        CREATION_VERSION, CUSTOMER_ID, DELETION_VERSION, EMBEDDED_VERSION, GRANT, GRANT_VERSION, ITEM, LIST_LENGTH, LIST_VERSION,
        PROFILE_VERSION, SUBSCRIPTION_ID, USAGE, USAGE_VERSION,
    },
    item::Item,
    key::{
        ENTITLEMENTS, Key, PROFILE_ITEM, RESOURCES, SUBSCRIPTIONS, customer_key, entitlement_item, entitlements_of,
        parse_entitlement_item, resource_item, subscription_key, text,
    },
};
use crate::{
    access::{AccessRequest, AccessView},
    customer::{CustomerRegisters, Embedded, Profile, Register},
    entitlement::{FeatureState, Usage},
    id::Id,
    subscription::SubscriptionRegisters,
    version::Version,
};

/// A customer's registers under its id.
#[derive(Clone, Debug)]
pub struct CustomerRow {
    /// The customer.
    pub customer_id: Id,
    /// Its registers.
    pub registers: CustomerRegisters,
}

/// A subscription's registers under its id.
#[derive(Clone, Debug)]
pub struct SubscriptionRow {
    /// The subscription.
    pub subscription_id: Id,
    /// Its registers.
    pub registers: SubscriptionRegisters,
}

/// A feature's registers.
#[derive(Clone, Debug)]
pub struct FeatureRow {
    /// The resource, None at customer level.
    pub resource_id: Option<Id>,
    /// The feature.
    pub feature_id: Id,
    /// Stigg's JSON of the entitlement, without nulls.
    pub grant: Option<Register<String>>,
    /// What was measured.
    pub usage: Option<Register<Usage>>,
}

/// A resource's list register.
#[derive(Clone, Debug)]
pub struct ResourceRow {
    /// The resource.
    pub resource_id: Id,
    /// The length of its newest list.
    pub list: Option<Register<u64>>,
}

/// DynamoDB's limit for the keys of a BatchGetItem.
const BATCH: usize = 100;

/// How often keys that DynamoDB left unprocessed are asked for again.
const BATCH_TRIES: u32 = 5;

/// What a check reads of its items.
const CHECK_ATTRIBUTES: [&str; 10] = [
    ITEM,
    PROFILE_VERSION,
    EMBEDDED_VERSION,
    DELETION_VERSION,
    LIST_VERSION,
    LIST_LENGTH,
    GRANT_VERSION,
    GRANT,
    USAGE_VERSION,
    USAGE,
];

/// What tells whether a customer is live.
const STANDING_ATTRIBUTES: [&str; 7] =
    [CUSTOMER_ID, PROFILE_VERSION, EMBEDDED_VERSION, DELETION_VERSION, CREATION_VERSION, LIST_VERSION, LIST_LENGTH];

impl Store {
    /// What a check depends on, in one request.
    ///
    /// That request is neither atomic nor consistent, so it can show a new list beside an old grant:
    /// where the grant looks revoked the same is read once more, consistently.
    ///
    /// Even then each item is read at a moment of its own, and another list can come in between. So it
    /// is the list of the first read that says what is revoked: all its grants were durable before the
    /// second began. A grant from a newer list is decided on as one whose list is being written.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn access_view(&self, request: &AccessRequest) -> Result<AccessView, StoreError> {
        let (view, list) = self.read_access_view(request, None).await?;
        match list {
            Some(list) if view.feature == FeatureState::Revoked => Ok(self.read_access_view(request, Some(list)).await?.0),
            _ => Ok(view),
        }
    }

    /// Reads consistently if it has been read before, when the list was this one.
    async fn read_access_view(
        &self,
        request: &AccessRequest,
        known_list: Option<Register<u64>>,
    ) -> Result<(AccessView, Option<Register<u64>>), StoreError> {
        let AccessRequest { customer_id, feature_id, resource_id, .. } = request;
        let resource = resource_id.as_ref().map(resource_item);
        let mut keys = vec![
            customer_key(customer_id, PROFILE_ITEM),
            customer_key(customer_id, entitlement_item(resource_id.as_ref(), feature_id)),
        ];
        keys.extend(resource.as_ref().map(|item| customer_key(customer_id, item.as_str())));
        let items = self.batch_get(&self.tables.customers, keys, &CHECK_ATTRIBUTES, known_list.is_some()).await?;

        let (mut profile, mut list, mut feature) = (Item::default(), Item::default(), Item::default());
        for item in items {
            match item.text(ITEM) {
                Some(PROFILE_ITEM) => profile = item,
                name if name == resource.as_deref() => list = item,
                _ => feature = item,
            }
        }
        let customer = profile.customer_versions()?;
        let list = if resource_id.is_some() { list.list_register()? } else { customer.list.clone() };
        let list = known_list.filter(|register| customer.exists(&register.version)).or(list);
        let list = list.filter(|register| customer.exists(&register.version));
        let grant = feature.json_register(GRANT_VERSION, GRANT)?;
        let usage = feature.json_register(USAGE_VERSION, USAGE)?;
        Ok((AccessView::of(&customer, list.as_ref(), grant, usage.as_ref()), list))
    }

    /// The customers among these that have a PROFILE, in no particular order.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn customers(&self, ids: &[Id]) -> Result<Vec<CustomerRow>, StoreError> {
        self.read_customers(ids, false).await
    }

    /// The same read consistently, for who has written them a moment ago.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn customers_consistently(&self, ids: &[Id]) -> Result<Vec<CustomerRow>, StoreError> {
        self.read_customers(ids, true).await
    }

    async fn read_customers(&self, ids: &[Id], consistent: bool) -> Result<Vec<CustomerRow>, StoreError> {
        let keys = ids.iter().map(|id| customer_key(id, PROFILE_ITEM)).collect();
        let items = self.batch_get(&self.tables.customers, keys, &[], consistent).await?;
        let row = |item: Item| Ok(CustomerRow { customer_id: item.id(CUSTOMER_ID)?, registers: item.customer_registers()? });
        items.into_iter().map(row).collect()
    }

    /// The same without what the customers are like: who is live, and since when. Fewer bytes on the
    /// way for the same price, since DynamoDB counts whole items.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn customers_without_profiles(&self, ids: &[Id]) -> Result<Vec<CustomerRow>, StoreError> {
        let keys = ids.iter().map(|id| customer_key(id, PROFILE_ITEM)).collect();
        let items = self.batch_get(&self.tables.customers, keys, &STANDING_ATTRIBUTES, false).await?;
        let row = |item: Item| {
            let CustomerRegisters { profile, embedded, deletion, creation, list } = item.customer_versions()?;
            let registers = CustomerRegisters {
                profile: profile.map(|register| Register { version: register.version, value: Profile::default() }),
                embedded: embedded.map(|register| Register { version: register.version, value: Embedded::default() }),
                deletion,
                creation,
                list,
            };
            Ok(CustomerRow { customer_id: item.id(CUSTOMER_ID)?, registers })
        };
        items.into_iter().map(row).collect()
    }

    /// The subscriptions among these that there are, in no particular order.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn subscriptions(&self, ids: &[Id]) -> Result<Vec<SubscriptionRow>, StoreError> {
        let keys = ids.iter().map(subscription_key).collect();
        let items = self.batch_get(&self.tables.subscriptions, keys, &[], false).await?;
        let row = |item: Item| {
            Ok(SubscriptionRow { subscription_id: item.id(SUBSCRIPTION_ID)?, registers: item.subscription_registers()? })
        };
        items.into_iter().map(row).collect()
    }

    /// A customer's features in every scope, or in one: `Some(None)` is the customer level.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn features(&self, customer_id: &Id, scope: Option<Option<&Id>>) -> Result<Vec<FeatureRow>, StoreError> {
        self.read_features(customer_id, scope, false).await
    }

    /// The same read consistently, for who finds fewer grants than the list should have.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn features_consistently(
        &self,
        customer_id: &Id,
        scope: Option<Option<&Id>>,
    ) -> Result<Vec<FeatureRow>, StoreError> {
        self.read_features(customer_id, scope, true).await
    }

    async fn read_features(
        &self,
        customer_id: &Id,
        scope: Option<Option<&Id>>,
        consistent: bool,
    ) -> Result<Vec<FeatureRow>, StoreError> {
        let prefix = scope.map_or_else(|| ENTITLEMENTS.to_owned(), entitlements_of);
        let items = self.query_prefix(customer_id, &prefix, &[], consistent).await?;
        items.into_iter().map(Item::feature_row).collect()
    }

    /// A customer's resources.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn resources(&self, customer_id: &Id) -> Result<Vec<ResourceRow>, StoreError> {
        let items = self.query_prefix(customer_id, RESOURCES, &[], false).await?;
        items.iter().map(Item::resource_row).collect()
    }

    /// The subscriptions that a customer has had pointers to, read consistently; they may be another
    /// customer's by now, incomplete or gone.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn subscription_ids(&self, customer_id: &Id) -> Result<Vec<Id>, StoreError> {
        let items = self.items_with_prefix(customer_id, SUBSCRIPTIONS).await?;
        let ids = items.iter().filter_map(|item| item.strip_prefix(SUBSCRIPTIONS)).map(Id::try_from);
        ids.map(|id| id.map_err(|_| StoreError::Unreadable { attribute: ITEM })).collect()
    }

    /// The sort keys of a customer's items that begin so, read consistently. All begin with nothing.
    pub(super) async fn items_with_prefix(&self, customer_id: &Id, prefix: &str) -> Result<Vec<String>, StoreError> {
        let items = self.query_prefix(customer_id, prefix, &[ITEM], true).await?;
        Ok(items.into_iter().filter_map(|mut item| item.take_text(ITEM)).collect())
    }

    /// The features of a scope whose grants hold this version or a higher one, read consistently.
    pub(super) async fn granted_since(
        &self,
        customer_id: &Id,
        resource_id: Option<&Id>,
        version: &Version,
    ) -> Result<HashSet<Id>, StoreError> {
        let prefix = entitlements_of(resource_id);
        let items = self.query_prefix(customer_id, &prefix, &[ITEM, GRANT_VERSION], true).await?;
        let is_granted = |item: &Item| item.text(GRANT_VERSION).is_some_and(|granted| granted >= version.as_str());
        let granted = items.iter().filter(|item| is_granted(item));
        Ok(granted
            .filter_map(|item| item.text(ITEM).and_then(parse_entitlement_item))
            .map(|(_, feature_id)| feature_id)
            .collect())
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
            for attribute in attributes {
                request = request.expression_attribute_names(format!("#{attribute}"), *attribute);
            }
            if !attributes.is_empty() {
                request = request.projection_expression(projection(attributes));
            }
            let under_way = self.meter.begin();
            let output = request.send().await.map_err(|error| StoreError::of("Query", error))?;
            under_way.end(output.consumed_capacity());
            items.extend(output.items.unwrap_or_default().into_iter().map(Item::from));
            start = output.last_evaluated_key;
            if start.is_none() {
                return Ok(items);
            }
        }
    }

    /// An item as it is now: a consistent read, for a writer that has written and now looks.
    pub(super) async fn get(&self, table: &str, key: Key) -> Result<Option<Item>, StoreError> {
        let request = self
            .client
            .get_item()
            .table_name(table)
            .set_key(Some(key))
            .consistent_read(true)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let under_way = self.meter.begin();
        let output = request.send().await.map_err(|error| StoreError::of("GetItem", error))?;
        under_way.end(output.consumed_capacity());
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
                wanted = wanted.projection_expression(projection(attributes)).set_expression_attribute_names(Some(
                    attributes.iter().map(|name| (format!("#{name}"), (*name).to_owned())).collect(),
                ));
            }
            let wanted =
                wanted.build().map_err(|error| StoreError::Unavailable { operation: OPERATION, source: Box::new(error) })?;
            let request =
                self.client.batch_get_item().request_items(table, wanted).return_consumed_capacity(ReturnConsumedCapacity::Total);
            let under_way = self.meter.begin();
            let output = request.send().await.map_err(|error| StoreError::of(OPERATION, error))?;
            under_way.end(output.consumed_capacity());
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

impl Item {
    /// An ENTITLEMENT item.
    pub(super) fn feature_row(mut self) -> Result<FeatureRow, StoreError> {
        let ids = self.text(ITEM).and_then(parse_entitlement_item);
        let (resource_id, feature_id) = ids.ok_or(StoreError::Unreadable { attribute: ITEM })?;
        let usage = self.json_register(USAGE_VERSION, USAGE)?;
        Ok(FeatureRow { resource_id, feature_id, grant: self.take_register(GRANT_VERSION, GRANT)?, usage })
    }

    /// A RESOURCE item.
    pub(super) fn resource_row(&self) -> Result<ResourceRow, StoreError> {
        let resource_id = self.text(ITEM).and_then(|item| item.strip_prefix(RESOURCES)).map(Id::try_from);
        let resource_id = resource_id.and_then(Result::ok).ok_or(StoreError::Unreadable { attribute: ITEM })?;
        Ok(ResourceRow { resource_id, list: self.list_register()? })
    }
}

/// The attributes by the names that stand for them in an expression.
fn projection(attributes: &[&str]) -> String {
    attributes.iter().map(|name| format!("#{name}")).collect::<Vec<_>>().join(",")
}

/// The id in a key that DynamoDB answered with.
pub(super) fn id_in(key: &Key, attribute: &'static str) -> Result<Id, StoreError> {
    let id = key.get(attribute).and_then(|value: &AttributeValue| value.as_s().ok());
    id.and_then(|id| Id::try_from(id.as_str()).ok()).ok_or(StoreError::Unreadable { attribute })
}
