//! Tables, secrets and queues.

use aws_sdk_dynamodb::types::{PointInTimeRecoveryStatus, TimeToLiveStatus};
use store::Store;

use super::{Doctor, Findings};
use crate::{
    outcome,
    queue::QueueSize,
    secrets::{self, ReaderSecret, WebhookSecret},
    target::{Deployment, DeploymentKind},
};
use template::{
    TEMPLATE,
    tables::{self, Table},
};

const CHECK_ACCESS: &str = "/check-access";

/// Checks the three tables.
pub(super) async fn tables(deployment: &Deployment, store: &Store, findings: &mut Findings) {
    let template = match tables::read(TEMPLATE) {
        Ok(template) => template,
        Err(error) => return findings.fail("tables", error.to_string(), "rebuild byos: its template.yaml is invalid"),
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
    let described = match described.map(|response| response.table) {
        Ok(Some(described)) => described,
        Ok(None) => return findings.fail(title, "DynamoDB returned no description", "deploy the stack again"),
        Err(error) => {
            let fix = match deployment.kind {
                DeploymentKind::Local => "start the local stack with `cargo run`: it creates its tables",
                _ => "check the name, the region and the permissions; `sam deploy` creates the tables",
            };
            return findings.fail(title, outcome::aws_error(&error), fix);
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
        let fix = "deploy this version's stack; CloudFormation adds at most one index per table and update";
        findings.fail(&title, differences.join("; "), fix);
    }
    time_to_live(store, name, expected, findings).await;
    // Only DynamoDB in AWS has these safeguards.
    if deployment.kind != DeploymentKind::Local {
        if described.deletion_protection_enabled() == Some(true) {
            findings.ok(format!("{title}, deletion protection"), "on");
        } else {
            let fix = format!("aws dynamodb update-table --table-name {name} --deletion-protection-enabled");
            findings.warn(format!("{title}, deletion protection"), "off: a single request deletes the table", fix);
        }
        point_in_time_recovery(store, name, findings).await;
    }
}

async fn time_to_live(store: &Store, name: &str, expected: &Table, findings: &mut Findings) {
    let title = format!("table {name}, TTL");
    let attribute = expected.ttl_attribute();
    let described = store.client().describe_time_to_live().table_name(name).send().await;
    let ttl = match described {
        Ok(response) => response.time_to_live_description,
        Err(error) => {
            return findings.warn(title, outcome::aws_error(&error), "grant yourself dynamodb:DescribeTimeToLive");
        }
    };
    let is_on = ttl.as_ref().is_some_and(|ttl| {
        ttl.attribute_name() == Some(attribute)
            && matches!(ttl.time_to_live_status(), Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling))
    });
    if is_on {
        findings.ok(title, format!("on, by {attribute}"));
    } else {
        let fix = format!(
            "aws dynamodb update-time-to-live --table-name {name} --time-to-live-specification Enabled=true,AttributeName={attribute}"
        );
        findings.fail(title, "off: expired items are never removed", fix);
    }
}

async fn point_in_time_recovery(store: &Store, name: &str, findings: &mut Findings) {
    let title = format!("table {name}, point-in-time recovery");
    let described = store.client().describe_continuous_backups().table_name(name).send().await;
    let backups = match described {
        Ok(response) => response.continuous_backups_description,
        Err(error) => {
            return findings.warn(title, outcome::aws_error(&error), "grant yourself dynamodb:DescribeContinuousBackups");
        }
    };
    let status = backups.as_ref().and_then(|backups| backups.point_in_time_recovery_description());
    let status = status.and_then(|recovery| recovery.point_in_time_recovery_status());
    if status == Some(&PointInTimeRecoveryStatus::Enabled) {
        findings.ok(title, "on");
    } else {
        let fix = format!(
            "aws dynamodb update-continuous-backups --table-name {name} --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true"
        );
        findings.warn(title, "off: lost or overwritten data can't be restored", fix);
    }
}

/// Checks the secrets. Returns the token of /check-access, if it is known.
pub(super) async fn secrets(options: &Doctor, deployment: &Deployment, findings: &mut Findings) -> Option<String> {
    let resources = &deployment.resources;
    if let Some(arn) = &resources.webhook_secret {
        match secrets::read::<WebhookSecret>(&deployment.sdk, arn).await {
            Ok(secret) if secret.secret.is_empty() => findings.fail(
                "secret of the webhook",
                "not set yet, so the webhook rejects all events",
                format!("store the secret that Stigg shows for the webhook in the member `secret` of {arn}"),
            ),
            Ok(_) => findings.ok("secret of the webhook", "set"),
            Err(error) => {
                findings.warn("secret of the webhook", error.to_string(), "grant yourself secretsmanager:GetSecretValue")
            }
        }
    }
    let mut stack_token = None;
    let readers = [("/graphql", &resources.graphql_secret), (CHECK_ACCESS, &resources.check_access_secret)];
    for (name, arn) in readers {
        let Some(arn) = arn else { continue };
        let title = format!("secret of {name}");
        match secrets::read::<ReaderSecret>(&deployment.sdk, arn).await {
            Ok(secret) if secret.token.is_empty() => {
                let fix = format!("store a token in the member `token` of {arn}");
                findings.fail(title, "contains no token, so the function rejects all requests", fix);
            }
            Ok(secret) => {
                findings.ok(title, "set");
                if name == CHECK_ACCESS {
                    stack_token = Some(secret.token);
                }
            }
            Err(error) => findings.warn(title, error.to_string(), "grant yourself secretsmanager:GetSecretValue"),
        }
    }
    let local = (deployment.kind == DeploymentKind::Local).then(|| template::local::API_TOKEN.to_owned());
    options.token.clone().filter(|token| !token.is_empty()).or(stack_token).or(local)
}

/// Checks that no events wait in the queues.
pub(super) async fn queues(deployment: &Deployment, findings: &mut Findings) {
    let resources = &deployment.resources;
    for (title, url, fix) in [
        ("event queue", &resources.event_queue, "the webhook retries them automatically; see its log if their number grows"),
        (
            "dead-letter queue",
            &resources.dead_letter_queue,
            "find the reason in the webhook's log, then write them with `byos replay`",
        ),
        (
            "set-aside queue",
            &resources.set_aside_queue,
            "find the reason and the customer under Health of `byos console`, and correct the customer with \
             `byos reconcile --customer ID --fix`; later deploy a version that can apply the event, and run `byos replay`",
        ),
    ] {
        let Some(url) = url else { continue };
        let size = async { QueueSize::of(&deployment.sdk.sqs().await.map_err(|error| error.to_string())?, url).await };
        match size.await {
            Ok(size) if size.total() == 0 => findings.ok(title, "empty"),
            Ok(size) => findings.warn(title, size.to_string(), fix),
            Err(error) => findings.warn(title, error, "grant yourself sqs:GetQueueAttributes"),
        }
    }
}
