//! Tables, secrets and queues.

use aws_sdk_dynamodb::types::{PointInTimeRecoveryStatus, TimeToLiveStatus};
use aws_sdk_sqs::types::QueueAttributeName;
use store::Store;

use super::{Doctor, Findings};
use crate::{
    outcome,
    secrets::{self, ReaderSecret, WebhookSecret},
    target::{Deployment, Place},
};
use template::{
    TEMPLATE,
    tables::{self, Table},
};

/// Looks at the three tables.
pub(super) async fn tables(deployment: &Deployment, store: &Store, findings: &mut Findings) {
    let template = match tables::read(TEMPLATE) {
        Ok(template) => template,
        Err(error) => return findings.fail("tables", error.to_string(), "build byos from a whole template.yaml"),
    };
    let names = store.tables();
    for (logical_id, name) in
        [("CustomersTable", &names.customers), ("SubscriptionsTable", &names.subscriptions), ("ReceiptsTable", &names.receipts)]
    {
        if let Some(expected) = template.get(logical_id) {
            table(deployment, store, name, expected, findings).await;
        }
    }
}

async fn table(deployment: &Deployment, store: &Store, name: &str, expected: &Table, findings: &mut Findings) {
    let title = format!("table {name}");
    let client = store.client();
    let described = client.describe_table().table_name(name).send().await;
    let described = match described.map(|answer| answer.table) {
        Ok(Some(described)) => described,
        Ok(None) => return findings.fail(title, "DynamoDB does not describe it", "deploy the stack again"),
        Err(error) => {
            let mend = match deployment.place {
                Place::Local => "start the local stack with `cargo run`: it creates its tables",
                _ => "check the name, the region and the permissions; `sam deploy` creates the tables",
            };
            return findings.fail(title, outcome::aws_error(&error), mend);
        }
    };
    let differences = expected.differences(&described);
    if differences.is_empty() {
        let indexes = match expected.index_count() {
            0 => String::new(),
            count => format!(" and {count} indexes"),
        };
        findings.ok(&title, format!("keys{indexes} as in the template"));
    } else {
        let mend = "deploy the stack of this version; CloudFormation adds one index to a table in an update";
        findings.fail(&title, differences.join("; "), mend);
    }
    time_to_live(store, name, expected, findings).await;
    // The safeguards are AWS's: a DynamoDB on this machine has none.
    if deployment.place != Place::Local {
        if described.deletion_protection_enabled() == Some(true) {
            findings.ok(format!("{title}, deletion protection"), "on");
        } else {
            let mend = format!("aws dynamodb update-table --table-name {name} --deletion-protection-enabled");
            findings.warn(format!("{title}, deletion protection"), "off: one call deletes the table", mend);
        }
        point_in_time_recovery(store, name, findings).await;
    }
}

async fn time_to_live(store: &Store, name: &str, expected: &Table, findings: &mut Findings) {
    let title = format!("table {name}, TTL");
    let attribute = expected.ttl_attribute();
    let described = store.client().describe_time_to_live().table_name(name).send().await;
    let ttl = match described {
        Ok(answer) => answer.time_to_live_description,
        Err(error) => {
            return findings.warn(title, outcome::aws_error(&error), "allow dynamodb:DescribeTimeToLive to whoever looks");
        }
    };
    let is_on = ttl.as_ref().is_some_and(|ttl| {
        ttl.attribute_name() == Some(attribute)
            && matches!(ttl.time_to_live_status(), Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling))
    });
    if is_on {
        findings.ok(title, format!("on, by {attribute}"));
    } else {
        let mend = format!(
            "aws dynamodb update-time-to-live --table-name {name} --time-to-live-specification Enabled=true,AttributeName={attribute}"
        );
        findings.fail(title, "off: what is kept for 30 days is kept for ever", mend);
    }
}

async fn point_in_time_recovery(store: &Store, name: &str, findings: &mut Findings) {
    let title = format!("table {name}, point-in-time recovery");
    let answer = store.client().describe_continuous_backups().table_name(name).send().await;
    let backups = match answer {
        Ok(answer) => answer.continuous_backups_description,
        Err(error) => {
            return findings.warn(title, outcome::aws_error(&error), "allow dynamodb:DescribeContinuousBackups to whoever looks");
        }
    };
    let status = backups.as_ref().and_then(|backups| backups.point_in_time_recovery_description());
    let status = status.and_then(|recovery| recovery.point_in_time_recovery_status());
    if status == Some(&PointInTimeRecoveryStatus::Enabled) {
        findings.ok(title, "on");
    } else {
        let mend = format!(
            "aws dynamodb update-continuous-backups --table-name {name} --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true"
        );
        findings.warn(title, "off: what is overwritten can't be had back", mend);
    }
}

/// Looks at the secrets, and gives the token of /check-access.
pub(super) async fn secrets(options: &Doctor, deployment: &Deployment, findings: &mut Findings) -> Option<String> {
    let resources = &deployment.resources;
    if let Some(arn) = &resources.webhook_secret {
        match secrets::read::<WebhookSecret>(&deployment.sdk, arn).await {
            Ok(secret) if secret.secret.is_empty() => findings.fail(
                "secret of the webhook",
                "it holds no value yet, so the webhook takes no event",
                format!("put what Stigg shows for the webhook into the member `secret` of {arn}"),
            ),
            Ok(_) => findings.ok("secret of the webhook", "set"),
            Err(error) => {
                findings.warn("secret of the webhook", error.to_string(), "allow secretsmanager:GetSecretValue to whoever looks")
            }
        }
    }
    let mut own_token = None;
    for (name, arn) in [("/graphql", &resources.graphql_secret), ("/check-access", &resources.check_access_secret)] {
        let Some(arn) = arn else { continue };
        let title = format!("secret of {name}");
        match secrets::read::<ReaderSecret>(&deployment.sdk, arn).await {
            Ok(secret) if secret.token.is_empty() => {
                findings.fail(
                    title,
                    "it holds no token, so nobody can read",
                    format!("put one into the member `token` of {arn}"),
                );
            }
            Ok(secret) => {
                findings.ok(title, "set");
                own_token = Some(secret.token);
            }
            Err(error) => findings.warn(title, error.to_string(), "allow secretsmanager:GetSecretValue to whoever looks"),
        }
    }
    let local = (deployment.place == Place::Local).then(|| template::local::API_TOKEN.to_owned());
    // The last one read is the one of /check-access, if the stack has tokens at all.
    let own = own_token.filter(|_| resources.check_access_secret.is_some());
    options.token.clone().filter(|token| !token.is_empty()).or(own).or(local)
}

/// Looks at what waits in the queues.
pub(super) async fn queues(deployment: &Deployment, findings: &mut Findings) {
    let resources = &deployment.resources;
    for (title, url, mend) in [
        ("event queue", &resources.event_queue, "the webhook writes them by itself; look at its log if they grow more"),
        (
            "dead-letter queue",
            &resources.dead_letter_queue,
            "find out why in the webhook's log, then write them with `byos replay`",
        ),
        (
            "set-aside queue",
            &resources.set_aside_queue,
            "find out why in the webhook's log (outcome set_aside), deploy a version that can apply them, then `byos replay`",
        ),
    ] {
        let Some(url) = url else { continue };
        match waiting(deployment, url).await {
            Ok(0) => findings.ok(title, "empty"),
            Ok(count) => findings.warn(title, format!("about {count} events wait"), mend),
            Err(error) => findings.warn(title, error, "allow sqs:GetQueueAttributes to whoever looks"),
        }
    }
}

/// Approximate number of messages in a queue.
pub(crate) async fn waiting(deployment: &Deployment, url: &str) -> Result<u64, String> {
    let sqs = deployment.sdk.sqs().await.map_err(|error| error.to_string())?;
    let name = QueueAttributeName::ApproximateNumberOfMessages;
    let answer = sqs.get_queue_attributes().queue_url(url).attribute_names(name.clone()).send().await;
    let answer = answer.map_err(|error| outcome::aws_error(&error))?;
    let count = answer.attributes().and_then(|attributes| attributes.get(&name)).and_then(|count| count.parse().ok());
    count.ok_or_else(|| "SQS does not say how many messages it has".to_owned())
}
