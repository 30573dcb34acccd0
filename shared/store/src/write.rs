//! Conditional writes, and the one loop that sends them (optimistic concurrency).

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    operation::{delete_item::DeleteItemError, put_item::PutItemError, update_item::UpdateItemError},
    types::{AttributeValue, ReturnConsumedCapacity, ReturnValuesOnConditionCheckFailure},
};

use super::{
    Store, StoreError,
    attribute::REVISION,
    item::Item,
    key::{Key, number, text},
};
use domain::version::Version;

/// Maximum number of attempts while other writers keep changing the item.
const MAX_ATTEMPTS: usize = 8;

/// The result of a conditional write.
#[derive(Debug)]
#[must_use]
pub(super) enum Written {
    /// Written. Contains the new item if the whole item was replaced.
    Done(Option<Item>),
    /// A condition failed, or the plan had nothing to write. Contains the stored item, empty if there is none.
    Unchanged(Item),
}

/// A conditional write of one item. Every write increments the item's revision.
#[derive(Debug)]
pub(super) struct Write {
    table: String,
    action: Action,
    conditions: Vec<String>,
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

#[derive(Debug)]
enum Action {
    Update { key: Key, sets: Vec<String>, removes: Vec<String> },
    Put(Item),
    Delete(Key),
}

impl Write {
    fn new(table: &str, action: Action) -> Self {
        Self { table: table.to_owned(), action, conditions: Vec::new(), names: HashMap::new(), values: HashMap::new() }
    }

    /// An UpdateItem.
    pub(super) fn update(table: &str, key: Key) -> Self {
        Self::new(table, Action::Update { key, sets: Vec::new(), removes: Vec::new() })
    }

    /// A PutItem that replaces `found` by `new`, on the condition that the stored revision is still that of `found`. An
    /// empty `found` means that there is no item.
    pub(super) fn replace(table: &str, key: Key, found: &Item, mut new: Item) -> Self {
        let revision = found.number(REVISION);
        new.set(REVISION, number(revision.unwrap_or(0) + 1));
        for (name, value) in key {
            new.set(&name, value);
        }
        let mut write = Self::new(table, Action::Put(new));
        match revision {
            Some(revision) => write.if_equal(REVISION, number(revision)),
            None => write.if_absent(REVISION),
        }
        write
    }

    /// A DeleteItem.
    pub(super) fn delete(table: &str, key: Key) -> Self {
        Self::new(table, Action::Delete(key))
    }

    /// A placeholder for an attribute's name, which may be a reserved word or contain any character.
    fn name(&mut self, attribute: &str) -> String {
        if let Some((placeholder, _)) = self.names.iter().find(|(_, name)| *name == attribute) {
            return placeholder.clone();
        }
        let placeholder = format!("#{}", self.names.len());
        self.names.insert(placeholder.clone(), attribute.to_owned());
        placeholder
    }

    fn value(&mut self, value: AttributeValue) -> String {
        let placeholder = format!(":{}", self.values.len());
        self.values.insert(placeholder.clone(), value);
        placeholder
    }

    fn path(&mut self, path: &[&str]) -> String {
        path.iter().map(|name| self.name(name)).collect::<Vec<_>>().join(".")
    }

    fn set_to(&mut self, assignment: String) {
        if let Action::Update { sets, .. } = &mut self.action {
            sets.push(assignment);
        }
    }

    pub(super) fn set(&mut self, attribute: &str, value: AttributeValue) {
        self.set_path(&[attribute], value);
    }

    /// Sets a member of a map. The map must exist.
    pub(super) fn set_path(&mut self, path: &[&str], value: AttributeValue) {
        let (path, value) = (self.path(path), self.value(value));
        self.set_to(format!("{path} = {value}"));
    }

    /// Sets an attribute to the value of `of` plus 1, or to 1 if `of` is absent.
    pub(super) fn set_to_successor(&mut self, attribute: &str, of: &str) {
        let (name, of) = (self.name(attribute), self.name(of));
        let (zero, one) = (self.value(number(0)), self.value(number(1)));
        self.set_to(format!("{name} = if_not_exists({of}, {zero}) + {one}"));
    }

    /// Sets a register's version and values, on the condition that the stored version is absent or lower.
    pub(super) fn set_register<const N: usize>(
        &mut self,
        version_attribute: &str,
        version: &Version,
        values: [(&str, AttributeValue); N],
    ) {
        self.if_below(&[version_attribute], text(version.as_str()));
        self.set(version_attribute, text(version.as_str()));
        for (attribute, value) in values {
            self.set(attribute, value);
        }
    }

    pub(super) fn remove(&mut self, attributes: &[&str]) {
        for attribute in attributes {
            let name = self.name(attribute);
            if let Action::Update { removes, .. } = &mut self.action {
                removes.push(name);
            }
        }
    }

    /// Condition: the attribute is absent or lower.
    pub(super) fn if_below(&mut self, path: &[&str], value: AttributeValue) {
        self.if_absent_or(path, "<", value);
    }

    /// Condition: the attribute is absent, lower or equal.
    pub(super) fn if_not_above(&mut self, attribute: &str, value: AttributeValue) {
        self.if_absent_or(&[attribute], "<=", value);
    }

    fn if_absent_or(&mut self, path: &[&str], comparison: &str, value: AttributeValue) {
        let (path, value) = (self.path(path), self.value(value));
        self.conditions.push(format!("(attribute_not_exists({path}) OR {path} {comparison} {value})"));
    }

    pub(super) fn if_equal(&mut self, attribute: &str, value: AttributeValue) {
        let (name, value) = (self.name(attribute), self.value(value));
        self.conditions.push(format!("{name} = {value}"));
    }

    pub(super) fn if_absent(&mut self, attribute: &str) {
        let name = self.name(attribute);
        self.conditions.push(format!("attribute_not_exists({name})"));
    }

    pub(super) fn if_present(&mut self, attribute: &str) {
        let name = self.name(attribute);
        self.conditions.push(format!("attribute_exists({name})"));
    }

    fn update_expression(&mut self) -> String {
        if !matches!(self.action, Action::Update { .. }) {
            return String::new();
        }
        let (revision, one) = (self.name(REVISION), self.value(number(1)));
        let Action::Update { sets, removes, .. } = &self.action else { return String::new() };
        let mut expression = format!("ADD {revision} {one}");
        for (keyword, parts) in [(" SET ", sets), (" REMOVE ", removes)] {
            if !parts.is_empty() {
                expression.push_str(keyword);
                expression.push_str(&parts.join(","));
            }
        }
        expression
    }
}

/// Computes the next write from the stored item. None ends the loop without a write.
pub(super) trait Plan {
    fn plan(&mut self, found: Option<&Item>) -> impl Future<Output = Result<Option<Write>, StoreError>> + Send;
}

/// A plan that needs only the item.
impl<F: FnMut(Option<&Item>) -> Result<Option<Write>, StoreError>> Plan for F {
    fn plan(&mut self, found: Option<&Item>) -> impl Future<Output = Result<Option<Write>, StoreError>> + Send {
        std::future::ready(self(found))
    }
}

impl Store {
    /// Plans and sends a conditional write. If a condition fails, plans again from the item that DynamoDB returned.
    ///
    /// The first plan gets None, since nothing was read yet: it assumes the frequent case, which then takes one request.
    /// Fails with [`StoreError::Contended`] if other writers changed the item at each attempt.
    pub(super) async fn write(&self, plan: impl Plan) -> Result<Written, StoreError> {
        self.write_loop(None, plan).await
    }

    /// Like [`Self::write`], but the first plan gets an item that was read before.
    pub(super) async fn write_from(&self, read: Item, plan: impl Plan) -> Result<Written, StoreError> {
        self.write_loop(Some(read), plan).await
    }

    async fn write_loop(&self, mut found: Option<Item>, mut plan: impl Plan) -> Result<Written, StoreError> {
        for _ in 0..MAX_ATTEMPTS {
            let Some(write) = plan.plan(found.as_ref()).await? else {
                return Ok(Written::Unchanged(found.unwrap_or_default()));
            };
            match self.write_once(write).await? {
                Written::Done(new) => return Ok(Written::Done(new)),
                Written::Unchanged(item) => found = Some(item),
            }
        }
        Err(StoreError::Contended)
    }

    /// Sends a conditional write that is not planned again if a condition fails.
    pub(super) async fn write_once(&self, mut write: Write) -> Result<Written, StoreError> {
        let expression = write.update_expression();
        let condition = (!write.conditions.is_empty()).then(|| write.conditions.join(" AND "));
        let Write { table, action, names, values, .. } = write;
        let (names, values) = ((!names.is_empty()).then_some(names), (!values.is_empty()).then_some(values));
        macro_rules! send {
            ($operation:literal, $request:expr, $error:ident) => {{
                let request = $request
                    .table_name(table)
                    .set_condition_expression(condition)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values)
                    .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
                    .return_consumed_capacity(ReturnConsumedCapacity::Total);
                match self.costs.track(request.send()).await {
                    Ok(_) => Ok(None),
                    Err(error) => match error.as_service_error() {
                        Some($error::ConditionalCheckFailedException(failed)) => {
                            Ok(Some(failed.item.clone().unwrap_or_default()))
                        }
                        _ => Err(StoreError::of($operation, error)),
                    },
                }
            }};
        }
        let mut new = None;
        let failed_condition = match action {
            Action::Update { key, .. } => {
                let request = self.client.update_item().set_key(Some(key)).update_expression(expression);
                send!("UpdateItem", request, UpdateItemError)
            }
            Action::Put(item) => {
                let request = self.client.put_item().set_item(Some(item.clone().into()));
                new = Some(item);
                send!("PutItem", request, PutItemError)
            }
            Action::Delete(key) => send!("DeleteItem", self.client.delete_item().set_key(Some(key)), DeleteItemError),
        };
        Ok(failed_condition?.map_or(Written::Done(new), |item| Written::Unchanged(item.into())))
    }
}
