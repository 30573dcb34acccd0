//! Creates the tables that template.yaml defines, so the local stack has the same tables as a deployed one.

mod described;

use std::collections::BTreeMap;

use aws_sdk_dynamodb::{
    Client,
    error::DisplayErrorContext,
    types::{
        AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection, ProjectionType,
        ScalarAttributeType, TimeToLiveSpecification,
    },
};
use serde::Deserialize;
use store::Tables;

use crate::{TEMPLATE, Template, local::TABLE_PREFIX};

/// The tables could not be created.
#[derive(Debug, thiserror::Error)]
pub enum TablesError {
    /// The template could not be parsed.
    #[error("template.yaml: {0}")]
    Template(#[from] yaml_serde::Error),
    /// The template does not define the table.
    #[error("template.yaml has no table {0}")]
    Missing(&'static str),
    /// DynamoDB rejected the table, or did not respond.
    #[error("the table {table} could not be created: {reason}")]
    Create {
        /// The table's name.
        table: String,
        /// DynamoDB's error.
        reason: String,
    },
}

/// A table of the template.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Table {
    attribute_definitions: Vec<Attribute>,
    key_schema: Vec<KeyPart>,
    #[serde(default)]
    global_secondary_indexes: Vec<Index>,
    time_to_live_specification: TimeToLive,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Attribute {
    attribute_name: String,
    attribute_type: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct KeyPart {
    attribute_name: String,
    key_type: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Index {
    index_name: String,
    key_schema: Vec<KeyPart>,
    projection: IndexProjection,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct IndexProjection {
    projection_type: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TimeToLive {
    attribute_name: String,
    enabled: bool,
}

/// The tables of a template, by logical id.
///
/// # Errors
/// If the text is not a template, or a table's definition uses intrinsic functions.
pub fn read(template: &str) -> Result<BTreeMap<String, Table>, TablesError> {
    let template = Template::read(template)?;
    let tables = template.of_type("AWS::DynamoDB::Table");
    tables.map(|(name, properties)| Ok((name.to_owned(), yaml_serde::from_value(properties.clone())?))).collect()
}

/// The names of the local stack's tables.
pub fn local_names() -> Tables {
    names(TABLE_PREFIX)
}

/// Table names with this prefix.
pub fn names(prefix: &str) -> Tables {
    let name = |table: &str| format!("{prefix}{table}");
    Tables { customers: name("customers"), subscriptions: name("subscriptions"), receipts: name("receipts") }
}

/// Creates the template's tables, except those that exist.
///
/// # Errors
/// See [`TablesError`].
pub async fn create(client: &Client, names: &Tables) -> Result<(), TablesError> {
    let mut tables = read(TEMPLATE)?;
    for (logical_id, name) in
        [("CustomersTable", &names.customers), ("SubscriptionsTable", &names.subscriptions), ("ReceiptsTable", &names.receipts)]
    {
        let table = tables.remove(logical_id).ok_or(TablesError::Missing(logical_id))?;
        create_one(client, name, &table).await.map_err(|reason| TablesError::Create { table: name.clone(), reason })?;
    }
    Ok(())
}

async fn create_one(client: &Client, name: &str, table: &Table) -> Result<(), String> {
    let attributes: Result<Vec<_>, _> = table
        .attribute_definitions
        .iter()
        .map(|attribute| {
            let kind = ScalarAttributeType::from(attribute.attribute_type.as_str());
            AttributeDefinition::builder().attribute_name(&attribute.attribute_name).attribute_type(kind).build()
        })
        .collect();
    let indexes: Result<Vec<_>, String> = table.global_secondary_indexes.iter().map(index).collect();
    let indexes = indexes?;
    let request = client
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest)
        .set_attribute_definitions(Some(attributes.map_err(|error| error.to_string())?))
        .set_key_schema(Some(key_schema(&table.key_schema)?))
        .set_global_secondary_indexes((!indexes.is_empty()).then_some(indexes));
    match request.send().await.map_err(aws_sdk_dynamodb::Error::from) {
        Ok(_) => {}
        Err(aws_sdk_dynamodb::Error::ResourceInUseException(_)) => return Ok(()),
        Err(error) => return Err(DisplayErrorContext(error).to_string()),
    }
    let TimeToLive { attribute_name, enabled } = &table.time_to_live_specification;
    let specification = TimeToLiveSpecification::builder().attribute_name(attribute_name).enabled(*enabled).build();
    let request = client
        .update_time_to_live()
        .table_name(name)
        .time_to_live_specification(specification.map_err(|error| error.to_string())?);
    request.send().await.map_err(|error| aws_sdk_dynamodb::Error::from(error).to_string())?;
    Ok(())
}

fn index(index: &Index) -> Result<GlobalSecondaryIndex, String> {
    let projection = ProjectionType::from(index.projection.projection_type.as_str());
    GlobalSecondaryIndex::builder()
        .index_name(&index.index_name)
        .set_key_schema(Some(key_schema(&index.key_schema)?))
        .projection(Projection::builder().projection_type(projection).build())
        .build()
        .map_err(|error| error.to_string())
}

fn key_schema(parts: &[KeyPart]) -> Result<Vec<KeySchemaElement>, String> {
    let element = |part: &KeyPart| {
        let kind = KeyType::from(part.key_type.as_str());
        KeySchemaElement::builder().attribute_name(&part.attribute_name).key_type(kind).build().map_err(|error| error.to_string())
    };
    parts.iter().map(element).collect()
}
