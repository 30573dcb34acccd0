//! Conditional writes, and the one loop that sends them: optimistic concurrency.

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    error::{ProvideErrorMetadata, SdkError},
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

/// How often a write is planned anew while other writers keep changing the item.
const MAX_ATTEMPTS: usize = 8;

/// The result of [`Store::write`].
#[derive(Debug)]
#[must_use]
pub(super) enum Written {
    /// A write was carried out. Holds the new item if the whole item was replaced.
    Done(Option<Item>),
    /// The plan found nothing to write beside this item.
    Unchanged(Item),
}

/// What DynamoDB did with one conditional write.
enum Answer {
    Done,
    /// A condition failed; nothing was written. The item as it is, empty if there is none.
    Refused(Item),
}

/// A conditional write of one item. Every write counts up the item's revision.
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

    /// An UpdateItem: sets and removes single attributes.
    pub(super) fn update(table: &str, key: Key) -> Self {
        Self::new(table, Action::Update { key, sets: Vec::new(), removes: Vec::new() })
    }

    /// A PutItem that replaces `found` by `new`, on the condition that nobody has written the item since. An empty
    /// `found` stands for no item.
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

    /// A placeholder for an attribute: names can be reserved words, and hold any character.
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

    /// Sets a member of a map, which must exist.
    pub(super) fn set_path(&mut self, path: &[&str], value: AttributeValue) {
        let (path, value) = (self.path(path), self.value(value));
        self.set_to(format!("{path} = {value}"));
    }

    /// Sets an attribute to one more than another holds, or to 1 if that is absent.
    pub(super) fn set_to_successor(&mut self, attribute: &str, of: &str) {
        let (name, of) = (self.name(attribute), self.name(of));
        let (zero, one) = (self.value(number(0)), self.value(number(1)));
        self.set_to(format!("{name} = if_not_exists({of}, {zero}) + {one}"));
    }

    /// Sets a register: its version, on the condition that the stored one is absent or lower, and its values.
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

    /// Only if the attribute is absent or lower.
    pub(super) fn if_below(&mut self, path: &[&str], value: AttributeValue) {
        self.if_absent_or(path, "<", value);
    }

    /// Only if the attribute is absent or not higher.
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

/// Decides what to write, from the item as far as it is known. None ends the loop without a write.
pub(super) trait Plan {
    /// The next write.
    fn plan(&mut self, found: Option<&Item>) -> impl Future<Output = Result<Option<Write>, StoreError>> + Send;
}

/// A plan that needs nothing but the item.
impl<F: FnMut(Option<&Item>) -> Result<Option<Write>, StoreError>> Plan for F {
    fn plan(&mut self, found: Option<&Item>) -> impl Future<Output = Result<Option<Write>, StoreError>> + Send {
        std::future::ready(self(found))
    }
}

impl Store {
    /// The contract of every conditional write: plan, write conditionally, and plan again from the item that DynamoDB
    /// returns when a condition fails.
    ///
    /// The first plan gets None, since nothing was read: it assumes the frequent case, so that this takes one request.
    /// A plan of None ends the loop without a write.
    ///
    /// # Errors
    /// [`StoreError::Contended`] if other writers changed the item at each attempt.
    pub(super) async fn write(&self, mut plan: impl Plan) -> Result<Written, StoreError> {
        let mut found: Option<Item> = None;
        for _ in 0..MAX_ATTEMPTS {
            let Some(write) = plan.plan(found.as_ref()).await? else {
                return Ok(Written::Unchanged(found.unwrap_or_default()));
            };
            let new = match &write.action {
                Action::Put(item) => Some(item.clone()),
                Action::Update { .. } | Action::Delete(_) => None,
            };
            match self.send_write(write).await? {
                Answer::Done => return Ok(Written::Done(new)),
                Answer::Refused(item) => found = Some(item),
            }
        }
        Err(StoreError::Contended)
    }

    async fn send_write(&self, mut write: Write) -> Result<Answer, StoreError> {
        const ALL_OLD: ReturnValuesOnConditionCheckFailure = ReturnValuesOnConditionCheckFailure::AllOld;
        let expression = write.update_expression();
        let condition = (!write.conditions.is_empty()).then(|| write.conditions.join(" AND "));
        let Write { table, action, names, values, .. } = write;
        let (names, values) = ((!names.is_empty()).then_some(names), (!values.is_empty()).then_some(values));
        match action {
            Action::Update { key, .. } => {
                let request = self.client.update_item().table_name(table).set_key(Some(key)).update_expression(expression);
                let request = request.set_condition_expression(condition).set_expression_attribute_names(names);
                let request = request.set_expression_attribute_values(values).return_values_on_condition_check_failure(ALL_OLD);
                let sent = self.send(request.return_consumed_capacity(ReturnConsumedCapacity::Total).send()).await;
                answer("UpdateItem", sent, |error| match error {
                    UpdateItemError::ConditionalCheckFailedException(failed) => Some(failed.item.clone()),
                    _ => None,
                })
            }
            Action::Put(item) => {
                let request = self.client.put_item().table_name(table).set_item(Some(item.into()));
                let request = request.set_condition_expression(condition).set_expression_attribute_names(names);
                let request = request.set_expression_attribute_values(values).return_values_on_condition_check_failure(ALL_OLD);
                let sent = self.send(request.return_consumed_capacity(ReturnConsumedCapacity::Total).send()).await;
                answer("PutItem", sent, |error| match error {
                    PutItemError::ConditionalCheckFailedException(failed) => Some(failed.item.clone()),
                    _ => None,
                })
            }
            Action::Delete(key) => {
                let request = self.client.delete_item().table_name(table).set_key(Some(key));
                let request = request.set_condition_expression(condition).set_expression_attribute_names(names);
                let request = request.set_expression_attribute_values(values).return_values_on_condition_check_failure(ALL_OLD);
                let sent = self.send(request.return_consumed_capacity(ReturnConsumedCapacity::Total).send()).await;
                answer("DeleteItem", sent, |error| match error {
                    DeleteItemError::ConditionalCheckFailedException(failed) => Some(failed.item.clone()),
                    _ => None,
                })
            }
        }
    }
}

/// `refused` reads the item from an error if it is a failed condition.
fn answer<O, E>(
    operation: &'static str,
    sent: Result<O, SdkError<E>>,
    refused: impl FnOnce(&E) -> Option<Option<Key>>,
) -> Result<Answer, StoreError>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let Err(error) = sent else { return Ok(Answer::Done) };
    match error.as_service_error().and_then(refused) {
        Some(item) => Ok(Answer::Refused(item.unwrap_or_default().into())),
        None => Err(StoreError::of(operation, error)),
    }
}
