//! A local stack that looks like one in AWS: CloudFormation tells its outputs, Secrets Manager its
//! secrets, SQS its queues.

use axum::{Router, http::StatusCode};
use byos::standin::{SecretsManager, Sqs};
use serde_json::json;

use crate::stack::{Local, Ran, run};

/// The stack `replica`, and what stands in for AWS.
pub(crate) struct Aws {
    pub(crate) local: Local,
    pub(crate) secrets: SecretsManager,
    pub(crate) sqs: Sqs,
    cloudformation: String,
}

impl Aws {
    pub(crate) async fn start() -> Self {
        let local = Local::start().await;
        // One value serves whichever secret is asked for.
        let secrets = SecretsManager::start(&json!({"secret": "local-secret", "token": "local-token"})).await.unwrap();
        let sqs = Sqs::start().await.unwrap();
        let tables = local.embedded.store.tables();
        let url = &local.url;
        let outputs = [
            ("ApiUrl", url.clone()),
            ("WebhookUrl", format!("{url}/webhook")),
            ("GraphqlUrl", format!("{url}/graphql")),
            ("CheckAccessUrl", format!("{url}/check-access")),
            ("CustomersTableName", tables.customers.clone()),
            ("SubscriptionsTableName", tables.subscriptions.clone()),
            ("ReceiptsTableName", tables.receipts.clone()),
            ("WebhookSecretArn", "arn:webhook".to_owned()),
            ("GraphqlSecretArn", "arn:graphql".to_owned()),
            ("CheckAccessSecretArn", "arn:check-access".to_owned()),
            ("EventDeadLetterQueueUrl", sqs.queue_url()),
            ("SetAsideQueueUrl", sqs.url_of("set-aside")),
        ];
        let outputs = outputs
            .map(|(key, value)| format!("<member><OutputKey>{key}</OutputKey><OutputValue>{value}</OutputValue></member>"));
        let found = format!(
            "<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>replica</StackName>\
             <CreationTime>2026-11-24T00:00:00Z</CreationTime><StackStatus>CREATE_COMPLETE</StackStatus>\
             <Outputs>{}</Outputs></member></Stacks></DescribeStacksResult></DescribeStacksResponse>",
            outputs.concat()
        );
        let missing = "<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code>\
                       <Message>Stack with id other does not exist</Message></Error></ErrorResponse>";
        let answer = move |body: String| async move {
            if body.contains("StackName=replica") {
                (StatusCode::OK, found)
            } else {
                (StatusCode::BAD_REQUEST, missing.to_owned())
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let cloudformation = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
        Self { local, secrets, sqs, cloudformation }
    }

    /// Runs the binary with AWS's environment and nothing else.
    pub(crate) async fn byos(&self, arguments: &[&str]) -> Ran {
        run(arguments, &self.environment(), "").await
    }

    /// The variables by which the binary finds it.
    pub(crate) fn environment(&self) -> [(&str, &str); 7] {
        [
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "key"),
            ("AWS_ENDPOINT_URL_CLOUDFORMATION", &self.cloudformation),
            ("AWS_ENDPOINT_URL_DYNAMODB", &self.local.embedded.endpoint),
            ("SQS_ENDPOINT", self.sqs.endpoint()),
            ("SECRETS_MANAGER_ENDPOINT", self.secrets.endpoint()),
        ]
    }
}

#[tokio::test]
async fn a_stack_is_known_by_its_name_alone() {
    let aws = Aws::start().await;
    let ran = aws.byos(&["send", "--story", "--stack", "replica"]).await;
    assert!(ran.code == 0 && ran.out.ends_with("21 taken.\n"), "{ran:?}");
    let ran = aws.byos(&["show", "customer-alder", "--stack", "replica", "--json"]).await;
    assert_eq!(ran.json()["visible"]["name"], "Alder Analytics GmbH");
    let ran = aws.byos(&["show", "customer-alder", "--stack", "other"]).await;
    assert!(ran.code == 1 && ran.err.contains("Stack with id other does not exist"), "{ran:?}");
}

#[tokio::test]
async fn a_secret_that_is_not_set_is_told_before_anything_is_sent() {
    let aws = Aws::start().await;
    aws.secrets.put(Some(&json!({"secret": ""})));
    let ran = aws.byos(&["send", "--story", "--stack", "replica"]).await;
    assert!(ran.code == 1 && ran.out.is_empty() && ran.err.contains("arn:webhook holds no value yet"), "{ran:?}");
}
