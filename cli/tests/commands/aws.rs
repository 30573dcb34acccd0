//! A local stack behind fakes of CloudFormation, Secrets Manager and SQS, as the stack `replica` in AWS.

use axum::{Router, http::StatusCode};
use serde_json::json;
use testkit::fake_aws::{SecretsManager, Sqs};

use crate::stack::{Local, Output, run};

pub(crate) struct Aws {
    pub(crate) local: Local,
    pub(crate) secrets: SecretsManager,
    pub(crate) sqs: Sqs,
    cloudformation: String,
}

impl Aws {
    pub(crate) async fn start() -> Self {
        let local = Local::start().await;
        // The fake returns this value for every secret.
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
        let described = format!(
            "<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>replica</StackName>\
             <StackId>arn:aws:cloudformation:eu-central-1:123456789012:stack/replica/1</StackId><CreationTime>2026-11-24T00:00:00Z</CreationTime><StackStatus>CREATE_COMPLETE</StackStatus>\
             <Outputs>{}</Outputs></member></Stacks></DescribeStacksResult></DescribeStacksResponse>",
            outputs.concat()
        );
        let missing = "<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code>\
                       <Message>Stack with id other does not exist</Message></Error></ErrorResponse>";
        let answer = move |body: String| async move {
            if body.contains("StackName=replica") {
                (StatusCode::OK, described)
            } else {
                (StatusCode::BAD_REQUEST, missing.to_owned())
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let cloudformation = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
        Self { local, secrets, sqs, cloudformation }
    }

    /// Runs the binary with only [`Self::environment`].
    pub(crate) async fn byos(&self, arguments: &[&str]) -> Output {
        self.byos_with(arguments, &[]).await
    }

    /// Runs the binary with [`Self::environment`] and more variables.
    pub(crate) async fn byos_with(&self, arguments: &[&str], more: &[(&str, &str)]) -> Output {
        run(arguments, &[&self.environment()[..], more].concat(), "").await
    }

    /// The environment variables that point the AWS SDK to the fakes.
    pub(crate) fn environment(&self) -> [(&'static str, &str); 7] {
        [
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "key"),
            ("AWS_ENDPOINT_URL_CLOUDFORMATION", &self.cloudformation),
            ("AWS_ENDPOINT_URL_DYNAMODB", &self.local.embedded.endpoint),
            ("AWS_ENDPOINT_URL_SQS", self.sqs.endpoint()),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", self.secrets.endpoint()),
        ]
    }
}

#[tokio::test]
async fn commands_find_a_stack_by_its_name() {
    let aws = Aws::start().await;
    let output = aws.byos(&["send", "--sample", "--stack", "replica", "--yes"]).await;
    assert!(output.code == 0 && output.out.ends_with("21 accepted.\n"), "{output:?}");
    let output = aws.byos(&["show", "customer-alder", "--stack", "replica", "--json"]).await;
    assert_eq!(output.json()["visible"]["name"], "Alder Analytics GmbH");
    let output = aws.byos(&["show", "customer-alder", "--stack", "other"]).await;
    assert!(output.code == 1 && output.err.contains("Stack with id other does not exist"), "{output:?}");
}

#[tokio::test]
async fn an_unset_secret_is_reported_before_anything_is_sent() {
    let aws = Aws::start().await;
    aws.secrets.put(Some(&json!({"secret": ""})));
    let output = aws.byos(&["send", "--sample", "--stack", "replica", "--yes"]).await;
    assert!(output.code == 1 && output.out.is_empty() && output.err.contains("arn:webhook is not set yet"), "{output:?}");
}

#[tokio::test]
async fn a_stack_conflicts_with_variables_that_name_tables_or_addresses() {
    let aws = Aws::start().await;
    let show = ["show", "customer-alder", "--stack", "replica"];
    for variable in [
        "CUSTOMERS_TABLE",
        "SUBSCRIPTIONS_TABLE",
        "RECEIPTS_TABLE",
        "DYNAMODB_ENDPOINT",
        "BYOS_URL",
        "SQS_ENDPOINT",
        "SECRETS_MANAGER_ENDPOINT",
    ] {
        for command in [&show[..], &["replay", "--stack", "replica", "--yes"], &["import", "--stack", "replica", "--yes"]] {
            let output = aws.byos_with(command, &[(variable, "http://127.0.0.1:1")]).await;
            assert!(
                output.code == 2 && output.out.is_empty() && output.err.contains(variable),
                "{command:?} {variable}: {output:?}"
            );
        }
    }
    // An empty variable counts as unset.
    assert_ne!(aws.byos_with(&show, &[("CUSTOMERS_TABLE", "")]).await.code, 2);
    for option in ["--customers-table", "--dynamodb-endpoint"] {
        let output = aws.byos(&[&show[..], &[option, "http://127.0.0.1:1"]].concat()).await;
        assert!(output.code == 2 && output.err.contains(option), "{output:?}");
    }
    let output = aws.byos_with(&["show", "customer-alder"], &[("BYOS_STACK", "replica"), ("CUSTOMERS_TABLE", "t")]).await;
    assert!(output.code == 2 && output.err.contains("CUSTOMERS_TABLE"), "{output:?}");
    // An explicit option may add an address to the stack.
    let url = aws.local.url.clone();
    let output = aws.byos(&["send", "--sample", "--stack", "replica", "--url", &url, "--yes"]).await;
    assert_eq!(output.code, 0, "{output:?}");
}

#[tokio::test]
async fn without_a_terminal_writing_to_aws_requires_yes_and_names_the_target() {
    let aws = Aws::start().await;
    let key = [("STIGG_API_KEY", "key")];
    // Nothing listens there. The commands end before they connect.
    let stigg = ["--stigg-url", "http://127.0.0.1:1", "--stigg-edge-url", "http://127.0.0.1:1"];
    for command in [
        &["replay"][..],
        &["send", "--sample"],
        &["environment", "--set", "e"],
        &[&["import"], &stigg[..]].concat(),
        &[&["reconcile", "--fix"], &stigg[..]].concat(),
    ] {
        let output = aws.byos_with(&[command, &["--stack", "replica"]].concat(), &key).await;
        assert!(output.code == 2 && output.out.is_empty() && output.err.contains("--yes"), "{command:?}: {output:?}");
        for part in ["the stack replica", "123456789012", "eu-central-1", "byos-customers, byos-subscriptions, byos-receipts"] {
            assert!(output.err.contains(part), "{command:?} {part}: {output:?}");
        }
    }
    assert_eq!(aws.byos(&["environment", "--stack", "replica", "--json"]).await.json()["environmentId"], json!(null));
    let output = aws.byos(&["environment", "--stack", "replica", "--set", "e", "--json", "--yes"]).await;
    assert_eq!((output.code, &output.json()["environmentId"]), (0, &json!("e")));
    let output = aws.byos(&["environment", "--stack", "replica", "--forget", "--json", "-y"]).await;
    assert_eq!((output.code, &output.json()["environmentId"]), (0, &json!(null)));
    // The local stack needs no confirmation.
    assert_eq!(aws.local.byos(&["send", "--sample"]).await.code, 0);
    // Tables in AWS need a confirmation too, which names the account.
    let tables = [
        "--customers-table",
        "byos-customers",
        "--subscriptions-table",
        "byos-subscriptions",
        "--receipts-table",
        "byos-receipts",
    ];
    let output = aws.byos(&[&["environment", "--forget"], &tables[..]].concat()).await;
    assert!(output.code == 2 && output.err.contains("--yes") && output.err.contains("account"), "{output:?}");
}
