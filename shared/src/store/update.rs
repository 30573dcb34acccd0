//! One conditional write, put together clause by clause.

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    operation::{delete_item::DeleteItemError, update_item::UpdateItemError},
    types::{AttributeValue, ReturnConsumedCapacity, ReturnValue, ReturnValuesOnConditionCheckFailure},
};

use super::{
    Store, StoreError,
    item::Item,
    key::{Key, text},
};
use crate::version::Version;

/// What became of a conditional write.
#[derive(Debug)]
#[must_use]
pub(super) enum Written {
    /// It was made. The item as it is now, empty for a deletion and where it wasn't asked for.
    Done(Item),
    /// A condition did not hold, and nothing was written. The item as it is, empty if there is none.
    Refused(Item),
}

/// An UpdateItem or DeleteItem under conditions. Attribute names are always given by placeholder,
/// since DynamoDB reserves hundreds of words.
#[derive(Debug)]
pub(super) struct Update<'a> {
    table: &'a str,
    key: Key,
    sets: Vec<String>,
    removes: Vec<String>,
    conditions: Vec<String>,
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

impl<'a> Update<'a> {
    pub(super) fn new(table: &'a str, key: Key) -> Self {
        let (names, values) = (HashMap::new(), HashMap::new());
        Self { table, key, sets: Vec::new(), removes: Vec::new(), conditions: Vec::new(), names, values }
    }

    fn name(&mut self, attribute: &str) -> String {
        let name = format!("#{attribute}");
        self.names.insert(name.clone(), attribute.to_owned());
        name
    }

    fn value(&mut self, value: AttributeValue) -> String {
        let name = format!(":{}", self.values.len());
        self.values.insert(name.clone(), value);
        name
    }

    pub(super) fn set(&mut self, attribute: &str, value: AttributeValue) {
        let (name, value) = (self.name(attribute), self.value(value));
        self.sets.push(format!("{name} = {value}"));
    }

    pub(super) fn set_if_absent(&mut self, attribute: &str, value: AttributeValue) {
        let (name, value) = (self.name(attribute), self.value(value));
        self.sets.push(format!("{name} = if_not_exists({name}, {value})"));
    }

    pub(super) fn set_version(&mut self, attribute: &str, version: &Version) {
        self.set(attribute, text(version.as_str()));
    }

    pub(super) fn remove(&mut self, attributes: &[&str]) {
        for attribute in attributes {
            let name = self.name(attribute);
            self.removes.push(name);
        }
    }

    /// Only if the register is absent or its version lower.
    pub(super) fn if_below(&mut self, attribute: &str, version: &Version) {
        self.if_absent_or(attribute, "<", version);
    }

    /// Only if the register is absent, or its version lower or the same.
    pub(super) fn if_not_above(&mut self, attribute: &str, version: &Version) {
        self.if_absent_or(attribute, "<=", version);
    }

    fn if_absent_or(&mut self, attribute: &str, comparison: &str, version: &Version) {
        let (name, value) = (self.name(attribute), self.value(text(version.as_str())));
        self.conditions.push(format!("(attribute_not_exists({name}) OR {name} {comparison} {value})"));
    }

    /// Only if the register is there and its version higher.
    pub(super) fn if_above(&mut self, attribute: &str, version: &Version) {
        let (name, value) = (self.name(attribute), self.value(text(version.as_str())));
        self.conditions.push(format!("{name} > {value}"));
    }

    pub(super) fn if_equal(&mut self, attribute: &str, value: AttributeValue) {
        let (name, value) = (self.name(attribute), self.value(value));
        self.conditions.push(format!("{name} = {value}"));
    }

    pub(super) fn if_absent_or_equal(&mut self, attribute: &str, value: AttributeValue) {
        let (name, value) = (self.name(attribute), self.value(value));
        self.conditions.push(format!("(attribute_not_exists({name}) OR {name} = {value})"));
    }

    pub(super) fn if_absent(&mut self, attribute: &str) {
        let name = self.name(attribute);
        self.conditions.push(format!("attribute_not_exists({name})"));
    }

    pub(super) fn if_present(&mut self, attribute: &str) {
        let name = self.name(attribute);
        self.conditions.push(format!("attribute_exists({name})"));
    }

    pub(super) fn if_there(&mut self, attribute: &str, is_there: bool) {
        if is_there { self.if_present(attribute) } else { self.if_absent(attribute) }
    }

    fn expression(&self) -> Option<String> {
        let clause = |keyword: &str, parts: &[String]| {
            if parts.is_empty() { String::new() } else { format!("{keyword} {} ", parts.join(", ")) }
        };
        let expression = clause("SET", &self.sets) + &clause("REMOVE", &self.removes);
        (!expression.is_empty()).then_some(expression)
    }

    fn condition(&self) -> Option<String> {
        (!self.conditions.is_empty()).then(|| self.conditions.join(" AND "))
    }

    /// Makes the write, and answers with the item if `returning` is [`ReturnValue::AllNew`].
    ///
    /// # Errors
    /// See [`StoreError`]; a condition that fails is none.
    pub(super) async fn send(self, store: &Store, returning: ReturnValue) -> Result<Written, StoreError> {
        let request = store
            .client
            .update_item()
            .table_name(self.table)
            .set_update_expression(self.expression())
            .set_condition_expression(self.condition())
            .set_key(Some(self.key))
            .set_expression_attribute_names(Some(self.names))
            .set_expression_attribute_values((!self.values.is_empty()).then_some(self.values))
            .return_values(returning)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let under_way = store.meter.begin();
        match request.send().await {
            Ok(output) => {
                under_way.end(output.consumed_capacity());
                Ok(Written::Done(output.attributes.unwrap_or_default().into()))
            }
            Err(error) => {
                if let Some(UpdateItemError::ConditionalCheckFailedException(failed)) = error.as_service_error() {
                    return Ok(Written::Refused(failed.item.clone().unwrap_or_default().into()));
                }
                Err(StoreError::of("UpdateItem", error))
            }
        }
    }

    /// Deletes the item under the conditions.
    ///
    /// # Errors
    /// See [`StoreError`]; a condition that fails is none.
    pub(super) async fn delete(self, store: &Store) -> Result<Written, StoreError> {
        let request = store
            .client
            .delete_item()
            .table_name(self.table)
            .set_condition_expression(self.condition())
            .set_key(Some(self.key))
            .set_expression_attribute_names((!self.names.is_empty()).then_some(self.names))
            .set_expression_attribute_values((!self.values.is_empty()).then_some(self.values))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let under_way = store.meter.begin();
        match request.send().await {
            Ok(output) => {
                under_way.end(output.consumed_capacity());
                Ok(Written::Done(Item::default()))
            }
            Err(error) => {
                if let Some(DeleteItemError::ConditionalCheckFailedException(failed)) = error.as_service_error() {
                    return Ok(Written::Refused(failed.item.clone().unwrap_or_default().into()));
                }
                Err(StoreError::of("DeleteItem", error))
            }
        }
    }
}
