//! The bare reference function: for each event, it sends the planned requests to DynamoDB with the functions' own client, and
//! returns an empty answer.
//!
//! `PLAN` names the file with the plan: a list of steps, each a list of concurrent requests. A request has the name of
//! DynamoDB's operation and the JSON that the measured function sent.

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    Client,
    operation::{
        batch_get_item::builders::BatchGetItemInputBuilder, delete_item::builders::DeleteItemInputBuilder,
        get_item::builders::GetItemInputBuilder, put_item::builders::PutItemInputBuilder, query::builders::QueryInputBuilder,
        update_item::builders::UpdateItemInputBuilder,
    },
    types::{AttributeValue, KeysAndAttributes, ReturnConsumedCapacity, ReturnValue, Select},
};
use futures_util::future::try_join_all;
use lambda_http::{Body, Error, Request, Response, run, service_fn};
use runtime::{
    aws::{Budget, FunctionEnvironment, function_dynamodb},
    config::required,
};
use serde::Deserialize;
use serde_json::Value;

type Attributes = HashMap<String, AttributeValue>;

/// A request of the plan.
#[derive(Deserialize)]
struct Planned {
    operation: String,
    body: Value,
}

/// A request that is ready to send.
#[derive(Clone)]
enum Prepared {
    BatchGet(BatchGetItemInputBuilder),
    Delete(DeleteItemInputBuilder),
    Get(GetItemInputBuilder),
    Put(PutItemInputBuilder),
    Query(QueryInputBuilder),
    Update(UpdateItemInputBuilder),
}

impl Prepared {
    async fn send(&self, client: &Client) -> Result<(), Error> {
        match self.clone() {
            Self::BatchGet(request) => drop(request.send_with(client).await?),
            Self::Delete(request) => drop(request.send_with(client).await?),
            Self::Get(request) => drop(request.send_with(client).await?),
            Self::Put(request) => drop(request.send_with(client).await?),
            Self::Query(request) => drop(request.send_with(client).await?),
            Self::Update(request) => drop(request.send_with(client).await?),
        }
        Ok(())
    }
}

fn text(body: &Value, member: &str) -> Option<String> {
    body.get(member).and_then(Value::as_str).map(str::to_owned)
}

fn attribute(value: &Value) -> AttributeValue {
    let of = |kind| value.get(kind).and_then(Value::as_str).map(str::to_owned);
    of("S").map(AttributeValue::S).or_else(|| of("N").map(AttributeValue::N)).unwrap_or(AttributeValue::Null(true))
}

fn attributes(value: Option<&Value>) -> Option<Attributes> {
    Some(value?.as_object()?.iter().map(|(name, value)| (name.clone(), attribute(value))).collect())
}

/// The placeholders that the expressions use. DynamoDB rejects unused ones.
fn used<T>(all: Option<HashMap<String, T>>, expressions: &[Option<String>]) -> Option<HashMap<String, T>> {
    let is_placeholder = |c: char| c.is_ascii_alphanumeric() || matches!(c, '#' | ':' | '_');
    let words: Vec<&str> = expressions.iter().flatten().flat_map(|text| text.split(|c| !is_placeholder(c))).collect();
    let kept: HashMap<_, _> = all?.into_iter().filter(|(name, _)| words.contains(&name.as_str())).collect();
    (!kept.is_empty()).then_some(kept)
}

fn names(body: &Value, expressions: &[Option<String>]) -> Option<HashMap<String, String>> {
    let names = body.get("ExpressionAttributeNames")?.as_object()?;
    let names = names.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect();
    used(Some(names), expressions)
}

fn values(body: &Value, expressions: &[Option<String>]) -> Option<Attributes> {
    used(attributes(body.get("ExpressionAttributeValues")), expressions)
}

/// Prepares a request. Conditions of writes are left out, so that a write succeeds repeatedly.
fn prepare(Planned { operation, body }: &Planned) -> Result<Prepared, Error> {
    let table = text(body, "TableName");
    let key = attributes(body.get("Key"));
    let capacity = Some(ReturnConsumedCapacity::Total);
    let is_consistent = body.get("ConsistentRead").and_then(Value::as_bool);
    Ok(match operation.as_str() {
        "BatchGetItem" => {
            let mut request = BatchGetItemInputBuilder::default().set_return_consumed_capacity(capacity);
            for (table, read) in body.get("RequestItems").and_then(Value::as_object).into_iter().flatten() {
                let keys = read.get("Keys").and_then(Value::as_array).into_iter().flatten();
                let projection = text(read, "ProjectionExpression");
                let read = KeysAndAttributes::builder()
                    .set_keys(Some(keys.filter_map(|key| attributes(Some(key))).collect()))
                    .set_expression_attribute_names(names(read, std::slice::from_ref(&projection)))
                    .set_projection_expression(projection)
                    .set_consistent_read(read.get("ConsistentRead").and_then(Value::as_bool));
                request = request.request_items(table, read.build()?);
            }
            Prepared::BatchGet(request)
        }
        "GetItem" => Prepared::Get(
            GetItemInputBuilder::default()
                .set_table_name(table)
                .set_key(key)
                .set_consistent_read(is_consistent)
                .set_return_consumed_capacity(capacity),
        ),
        "Query" => {
            let (condition, projection) = (text(body, "KeyConditionExpression"), text(body, "ProjectionExpression"));
            let expressions = [condition.clone(), projection.clone(), text(body, "FilterExpression")];
            Prepared::Query(
                QueryInputBuilder::default()
                    .set_table_name(table)
                    .set_index_name(text(body, "IndexName"))
                    .set_key_condition_expression(condition)
                    .set_projection_expression(projection)
                    .set_filter_expression(text(body, "FilterExpression"))
                    .set_expression_attribute_names(names(body, &expressions))
                    .set_expression_attribute_values(values(body, &expressions))
                    .set_exclusive_start_key(attributes(body.get("ExclusiveStartKey")))
                    .set_select(text(body, "Select").map(|select| Select::from(select.as_str())))
                    .set_limit(body.get("Limit").and_then(Value::as_i64).and_then(|limit| i32::try_from(limit).ok()))
                    .set_scan_index_forward(body.get("ScanIndexForward").and_then(Value::as_bool))
                    .set_consistent_read(is_consistent)
                    .set_return_consumed_capacity(capacity),
            )
        }
        "UpdateItem" => {
            let update = text(body, "UpdateExpression");
            let expressions = std::slice::from_ref(&update);
            Prepared::Update(
                UpdateItemInputBuilder::default()
                    .set_table_name(table)
                    .set_key(key)
                    .set_expression_attribute_names(names(body, expressions))
                    .set_expression_attribute_values(values(body, expressions))
                    .set_return_values(text(body, "ReturnValues").map(|returned| ReturnValue::from(returned.as_str())))
                    .set_update_expression(update)
                    .set_return_consumed_capacity(capacity),
            )
        }
        "DeleteItem" => Prepared::Delete(
            DeleteItemInputBuilder::default().set_table_name(table).set_key(key).set_return_consumed_capacity(capacity),
        ),
        "PutItem" => Prepared::Put(
            PutItemInputBuilder::default()
                .set_table_name(table)
                .set_item(attributes(body.get("Item")))
                .set_return_consumed_capacity(capacity),
        ),
        other => return Err(format!("unsupported operation {other}").into()),
    })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let client = function_dynamodb(&FunctionEnvironment::read(), Budget::READ);
    let plan: Vec<Vec<Planned>> = serde_json::from_slice(&std::fs::read(required("PLAN")?)?)?;
    let steps: Result<Vec<Vec<Prepared>>, Error> = plan.iter().map(|step| step.iter().map(prepare).collect()).collect();
    let (client, steps) = (&client, &steps?);
    let answer = |_: Request| async move {
        for step in steps {
            try_join_all(step.iter().map(|request| request.send(client))).await?;
        }
        Ok::<_, Error>(Response::new(Body::Text("{}".to_owned())))
    };
    run(service_fn(answer)).await
}
