//! The deployment that a command uses: a stack in AWS, tables and URLs given by options, or the local stack.

mod deployment;
mod sdk;
mod stack;

use std::time::Duration;

use clap::Args;
use reqwest::Url;
use runtime::aws::Budget;
use store::Tables;

pub use deployment::{Deployment, DeploymentKind, Resources, Urls};
pub use sdk::Sdk;

use template::tables;

/// DynamoDB timeouts of commands: longer than those of the functions, since no caller waits.
const COMMAND_BUDGET: Budget =
    Budget { connect: Duration::from_secs(5), attempt: Duration::from_secs(10), total: Duration::from_secs(60), attempts: 10 };

/// Options that select the deployment. Default: the local stack on this machine.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Deployment (default: the local stack)")]
pub struct Target {
    /// A deployed stack; its outputs name the tables, addresses, secrets and queues
    #[arg(long, env = "BYOS_STACK", value_name = "NAME")]
    pub stack: Option<String>,

    /// AWS region [default: that of the environment or profile]
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,

    /// AWS profile [default: that of the environment]
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,

    /// Address of the API, such as the stack's output ApiUrl [local stack: http://127.0.0.1:8080]
    #[arg(long, env = "BYOS_URL", value_name = "URL")]
    pub url: Option<String>,

    /// Endpoint of another DynamoDB; on this machine it needs no credentials
    #[arg(long, env = "DYNAMODB_ENDPOINT", value_name = "URL")]
    pub dynamodb_endpoint: Option<String>,

    /// Table of customers
    #[arg(long, env = "CUSTOMERS_TABLE", value_name = "NAME")]
    pub customers_table: Option<String>,

    /// Table of subscriptions
    #[arg(long, env = "SUBSCRIPTIONS_TABLE", value_name = "NAME")]
    pub subscriptions_table: Option<String>,

    /// Table of receipts
    #[arg(long, env = "RECEIPTS_TABLE", value_name = "NAME")]
    pub receipts_table: Option<String>,

    /// Endpoint of another SQS, for tests
    #[arg(long, env = "SQS_ENDPOINT", value_name = "URL", hide_short_help = true)]
    pub sqs_endpoint: Option<String>,

    /// Endpoint of another Secrets Manager, for tests
    #[arg(long, env = "SECRETS_MANAGER_ENDPOINT", value_name = "URL", hide_short_help = true)]
    pub secrets_manager_endpoint: Option<String>,

    /// Port of the local stack
    #[arg(skip = local_port())]
    pub local_port: u16,
}

/// `BYOS_PORT`, which the local stack reads too, or its default port.
fn local_port() -> u16 {
    std::env::var("BYOS_PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(8080)
}

#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    #[error("can't read the stack {stack}: {reason}")]
    Stack { stack: String, reason: String },
    #[error("the stack {stack} has no output {output}: check that it is a stack of this project and version")]
    Output { stack: String, output: &'static str },
    #[error("the AWS region is unknown: give --region, or set AWS_REGION or the profile's region")]
    Region,
    #[error("{0} is missing: give all three tables, or the stack with --stack")]
    Table(&'static str),
    #[error("{option} must be an address with http:// or https://: {value}")]
    Address { option: &'static str, value: String },
    #[error(
        "the tables of {0} are unknown: give the stack with --stack, or the tables with --customers-table, \
         --subscriptions-table and --receipts-table"
    )]
    TablesUnknown(String),
    #[error(
        "no local stack answers on {url}: start it with `cargo run`, or select a deployment with --stack, or with --url \
         and --dynamodb-endpoint ({reason})"
    )]
    NotServed { url: String, reason: String },
    #[error("the server on {0} is not a local stack: give --dynamodb-endpoint too, or --stack")]
    NotLocalStack(String),
}

/// An option's value. An empty value, such as that of an empty environment variable, counts as absent.
fn non_empty(option: Option<&String>) -> Option<&str> {
    option.map(String::as_str).filter(|value| !value.is_empty())
}

impl Target {
    /// The error message if another option or environment variable contradicts `--stack`. Environment variables are easily
    /// forgotten, and would silently redirect the command, so all that select a target conflict.
    pub fn conflict(&self) -> Option<String> {
        let stack = non_empty(self.stack.as_ref())?;
        // Last column: whether the option may be combined with --stack on the command line.
        let others = [
            (&self.customers_table, "--customers-table", "CUSTOMERS_TABLE", false),
            (&self.subscriptions_table, "--subscriptions-table", "SUBSCRIPTIONS_TABLE", false),
            (&self.receipts_table, "--receipts-table", "RECEIPTS_TABLE", false),
            (&self.dynamodb_endpoint, "--dynamodb-endpoint", "DYNAMODB_ENDPOINT", false),
            (&self.url, "--url", "BYOS_URL", true),
            (&self.sqs_endpoint, "--sqs-endpoint", "SQS_ENDPOINT", true),
            (&self.secrets_manager_endpoint, "--secrets-manager-endpoint", "SECRETS_MANAGER_ENDPOINT", true),
        ];
        others.into_iter().find_map(|(value, option, variable, is_combinable)| {
            let value = non_empty(value.as_ref())?;
            let is_from_environment = std::env::var(variable).is_ok_and(|set| set == value);
            match (is_from_environment, is_combinable) {
                (true, _) => Some(format!(
                    "the stack {stack} conflicts with the variable {variable}={value}: unset {variable}, or give no stack"
                )),
                (false, false) => Some(format!("the stack {stack} conflicts with {option} {value}: give one of them")),
                (false, true) => None,
            }
        })
    }

    /// Resolves the options. Sends no request, except for the outputs of a stack.
    pub async fn find(&self) -> Result<Deployment, TargetError> {
        let url = self.address("--url", self.url.as_ref())?;
        let dynamodb_endpoint = self.address("--dynamodb-endpoint", self.dynamodb_endpoint.as_ref())?;
        let sdk = Sdk::new(
            self.region.clone(),
            self.profile.clone(),
            self.address("--sqs-endpoint", self.sqs_endpoint.as_ref())?.map(str::to_owned),
            self.address("--secrets-manager-endpoint", self.secrets_manager_endpoint.as_ref())?.map(str::to_owned),
        );
        if let Some(stack) = non_empty(self.stack.as_ref()) {
            let outputs = stack::outputs(stack, &sdk).await?;
            return Ok(Deployment {
                kind: DeploymentKind::Stack(stack.to_owned()),
                urls: Some(url.map_or_else(|| outputs.urls.clone(), Urls::of_api)),
                resources: outputs.resources,
                arn: outputs.arn,
                tables: Some(outputs.tables),
                dynamodb_endpoint: None,
                api_url: None,
                sdk,
            });
        }
        let tables = match (self.all_tables(), dynamodb_endpoint) {
            (Some(tables), _) => Some(tables),
            (None, _) if self.has_any_table() => return Err(self.missing_table()),
            // The names of the tables that the local stack creates at --dynamodb-endpoint.
            (None, Some(_)) => Some(tables::local_names()),
            (None, None) => None,
        };
        let kind = match (url, dynamodb_endpoint, &tables) {
            (Some(url), _, _) if !template::local::is_local(url) => DeploymentKind::Explicit,
            (_, Some(endpoint), _) if !template::local::is_local(endpoint) => DeploymentKind::Explicit,
            (_, None, Some(_)) => DeploymentKind::Explicit,
            _ => DeploymentKind::Local,
        };
        let local_url = format!("http://127.0.0.1:{}", self.local_port);
        let api_url = url.map(str::to_owned).or_else(|| (kind == DeploymentKind::Local).then_some(local_url));
        Ok(Deployment {
            urls: api_url.as_deref().map(Urls::of_api),
            resources: Resources::default(),
            arn: None,
            tables,
            dynamodb_endpoint: dynamodb_endpoint.map(str::to_owned),
            api_url,
            kind,
            sdk,
        })
    }

    /// None unless all three tables were given.
    fn all_tables(&self) -> Option<Tables> {
        Some(Tables {
            customers: non_empty(self.customers_table.as_ref())?.to_owned(),
            subscriptions: non_empty(self.subscriptions_table.as_ref())?.to_owned(),
            receipts: non_empty(self.receipts_table.as_ref())?.to_owned(),
        })
    }

    fn has_any_table(&self) -> bool {
        [&self.customers_table, &self.subscriptions_table, &self.receipts_table]
            .into_iter()
            .any(|table| non_empty(table.as_ref()).is_some())
    }

    fn missing_table(&self) -> TargetError {
        if non_empty(self.customers_table.as_ref()).is_none() {
            TargetError::Table("--customers-table")
        } else if non_empty(self.subscriptions_table.as_ref()).is_none() {
            TargetError::Table("--subscriptions-table")
        } else {
            TargetError::Table("--receipts-table")
        }
    }

    fn address<'a>(&self, option: &'static str, value: Option<&'a String>) -> Result<Option<&'a str>, TargetError> {
        let Some(value) = non_empty(value) else { return Ok(None) };
        match Url::parse(value) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(Some(value)),
            _ => Err(TargetError::Address { option, value: value.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        Target { local_port: 8080, ..Target::default() }
    }

    fn text(value: &str) -> Option<String> {
        Some(value.to_owned())
    }

    #[tokio::test]
    async fn without_options_the_target_is_the_local_stack() {
        let found = Target { url: text(""), stack: text(""), ..target() }.find().await.unwrap();
        assert_eq!((found.kind.clone(), found.urls), (DeploymentKind::Local, Some(Urls::of_api("http://127.0.0.1:8080"))));
    }

    #[tokio::test]
    async fn the_kind_of_a_deployment_follows_from_its_dynamodb_tables_and_address() {
        let tables = Target { customers_table: text("c"), subscriptions_table: text("s"), receipts_table: text("r"), ..target() };
        let api = "https://api.example.com/";
        for (target, kind, webhook, customers) in [
            (
                Target { dynamodb_endpoint: text("http://localhost:8000"), ..target() },
                DeploymentKind::Local,
                "http://127.0.0.1:8080",
                "byos-customers",
            ),
            (
                Target { dynamodb_endpoint: text("http://[::1]:8000"), ..tables.clone() },
                DeploymentKind::Local,
                "http://127.0.0.1:8080",
                "c",
            ),
            (Target { url: text(api), ..tables.clone() }, DeploymentKind::Explicit, "https://api.example.com", "c"),
            (tables.clone(), DeploymentKind::Explicit, "", "c"),
            (
                Target { dynamodb_endpoint: text("https://dynamodb.example.com"), ..target() },
                DeploymentKind::Explicit,
                "",
                "byos-customers",
            ),
            (Target { url: text(api), ..target() }, DeploymentKind::Explicit, "https://api.example.com", ""),
        ] {
            let found = target.find().await.unwrap();
            assert_eq!(found.kind, kind, "{target:?}");
            let expected = (!webhook.is_empty()).then(|| format!("{webhook}/webhook"));
            assert_eq!(found.urls.map(|urls| urls.webhook), expected, "{target:?}");
            assert_eq!(found.tables.map(|tables| tables.customers).unwrap_or_default(), customers, "{target:?}");
        }
    }

    #[tokio::test]
    async fn errors_name_the_missing_or_invalid_option() {
        for (target, message) in [
            (
                Target { url: text("api.example.com"), ..target() },
                "--url must be an address with http:// or https://: api.example.com",
            ),
            (Target { customers_table: text("c"), receipts_table: text("r"), ..target() }, "--subscriptions-table is missing"),
            (
                Target { dynamodb_endpoint: text("http://localhost:1"), receipts_table: text("r"), ..target() },
                "--customers-table is missing",
            ),
        ] {
            let error = target.find().await.unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
        let found = Target { url: text("https://api.example.com"), ..target() }.find().await.unwrap();
        let error = found.store().await.unwrap_err().to_string();
        assert!(error.contains("https://api.example.com") && error.contains("--stack"), "{error}");
        // Nothing listens on port 1.
        let error = Target { local_port: 1, ..target() }.find().await.unwrap().store().await.unwrap_err().to_string();
        assert!(error.contains("http://127.0.0.1:1") && error.contains("cargo run") && error.contains("--stack"), "{error}");
    }

    #[test]
    fn the_urls_follow_from_the_address_of_the_api_or_of_one_function() {
        for url in
            ["https://a.example/v1", "https://a.example/v1/", "https://a.example/v1/webhook", "https://a.example/v1/graphql/"]
        {
            assert_eq!(Urls::of_api(url).check_access, "https://a.example/v1/check-access", "{url}");
        }
    }
}
