//! Reads a stack's outputs: its tables, addresses, secrets and queues.

use std::collections::HashMap;

use store::Tables;

use super::{Resources, Sdk, TargetError, Urls};
use crate::outcome;

#[derive(Debug)]
pub(super) struct Outputs {
    pub(super) tables: Tables,
    pub(super) urls: Urls,
    pub(super) resources: Resources,
    /// The stack's ARN, which contains region and account.
    pub(super) arn: Option<String>,
}

pub(super) async fn outputs(stack: &str, sdk: &Sdk) -> Result<Outputs, TargetError> {
    let failed = |reason: String| TargetError::Stack { stack: stack.to_owned(), reason };
    let response = sdk.cloudformation().await?.describe_stacks().stack_name(stack).send().await;
    let response = response.map_err(|error| failed(outcome::aws_error(&error)))?;
    let described = response.stacks().first().ok_or_else(|| failed("there is no such stack".to_owned()))?;
    let outputs = described.outputs().iter().filter_map(|output| Some((output.output_key()?, output.output_value()?)));
    Ok(Outputs { arn: described.stack_id().map(str::to_owned), ..read(stack, &outputs.collect())? })
}

fn read(stack: &str, outputs: &HashMap<&str, &str>) -> Result<Outputs, TargetError> {
    let optional = |output: &'static str| outputs.get(output).map(|&value| value.to_owned());
    let required = |output: &'static str| optional(output).ok_or_else(|| TargetError::Output { stack: stack.to_owned(), output });
    Ok(Outputs {
        tables: Tables {
            customers: required("CustomersTableName")?,
            subscriptions: required("SubscriptionsTableName")?,
            receipts: required("ReceiptsTableName")?,
        },
        urls: Urls {
            webhook: required("WebhookUrl")?,
            graphql: required("GraphqlUrl")?,
            check_access: required("CheckAccessUrl")?,
        },
        // Optional: they depend on the stack's parameters.
        resources: Resources {
            webhook_secret: optional("WebhookSecretArn"),
            graphql_secret: optional("GraphqlSecretArn"),
            check_access_secret: optional("CheckAccessSecretArn"),
            event_queue: optional("EventQueueUrl"),
            dead_letter_queue: optional("EventDeadLetterQueueUrl"),
            set_aside_queue: optional("SetAsideQueueUrl"),
        },
        arn: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use template::TEMPLATE;

    #[test]
    fn the_template_has_every_output_that_is_read() {
        let template: yaml_serde::Value = yaml_serde::from_str(TEMPLATE).unwrap();
        let outputs = template["Outputs"].as_mapping().unwrap();
        let outputs: HashMap<&str, &str> = outputs.iter().map(|(name, _)| (name.as_str().unwrap(), "value")).collect();
        let Resources { webhook_secret, graphql_secret, check_access_secret, event_queue, dead_letter_queue, set_aside_queue } =
            read("s", &outputs).unwrap().resources;
        let read = [webhook_secret, graphql_secret, check_access_secret, event_queue, dead_letter_queue, set_aside_queue];
        assert!(read.iter().all(Option::is_some), "{read:?}");
    }

    #[test]
    fn the_error_for_a_stack_of_another_project_names_the_missing_output() {
        let error = read("shop", &HashMap::from([("CustomersTableName", "c")])).err().unwrap().to_string();
        assert!(error.contains("shop") && error.contains("SubscriptionsTableName"), "{error}");
    }
}
