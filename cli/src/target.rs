//! The deployment that a command uses: a stack in AWS, named tables and URLs, or the local stack.

mod deployment;
mod sdk;
mod stack;

use std::time::Duration;

use clap::Args;
use reqwest::Url;
use runtime::aws::Budget;
use store::Tables;

pub use deployment::{Deployment, Place, Resources, Urls};
pub use sdk::Sdk;

use template::tables;

/// DynamoDB timeouts of commands: long, since no request waits for a command.
const PATIENT: Budget =
    Budget { connect: Duration::from_secs(5), attempt: Duration::from_secs(10), total: Duration::from_secs(60), attempts: 10 };

/// Options that select the deployment. Default: the local stack on this machine.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Deployment (default: the local stack)")]
pub struct Target {
    /// A deployed stack: its outputs name the tables, addresses, secrets and queues
    #[arg(long, env = "BYOS_STACK", value_name = "NAME")]
    pub stack: Option<String>,

    /// The AWS region, if not the one of the environment or the profile
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,

    /// The profile of AWS's configuration files, if not the one of the environment
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,

    /// The API's address, as the stack's ApiUrl or WebhookUrl say it [local stack: http://127.0.0.1:8080]
    #[arg(long, env = "BYOS_URL", value_name = "URL")]
    pub url: Option<String>,

    /// Another DynamoDB than AWS's; on this machine it takes any credentials
    #[arg(long, env = "DYNAMODB_ENDPOINT", value_name = "URL")]
    pub dynamodb_endpoint: Option<String>,

    /// The table of customers
    #[arg(long, env = "CUSTOMERS_TABLE", value_name = "NAME")]
    pub customers_table: Option<String>,

    /// The table of subscriptions
    #[arg(long, env = "SUBSCRIPTIONS_TABLE", value_name = "NAME")]
    pub subscriptions_table: Option<String>,

    /// The table of first receipts
    #[arg(long, env = "RECEIPTS_TABLE", value_name = "NAME")]
    pub receipts_table: Option<String>,

    /// Another SQS than AWS's, for trying
    #[arg(long, env = "SQS_ENDPOINT", value_name = "URL", hide_short_help = true)]
    pub sqs_endpoint: Option<String>,

    /// Another Secrets Manager than AWS's, for trying
    #[arg(long, env = "SECRETS_MANAGER_ENDPOINT", value_name = "URL", hide_short_help = true)]
    pub secrets_manager_endpoint: Option<String>,

    /// The local stack's port, as the local stack's --port sets it
    #[arg(skip = local_port())]
    pub local_port: u16,
}

/// Where the local stack serves: `BYOS_PORT`, which it reads too, or its default.
fn local_port() -> u16 {
    std::env::var("BYOS_PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(8080)
}

/// A command can't find its deployment, or not what it needs of it. The message says what to give.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    #[error("the stack {stack} can't be read: {reason}")]
    Stack { stack: String, reason: String },
    #[error("the stack {stack} has no output {output}: is it a stack of this project, and of this version?")]
    Output { stack: String, output: &'static str },
    #[error("no AWS region is known: give --region, or set AWS_REGION or the profile's region")]
    Region,
    #[error("{0} is missing: name all three tables, or the stack with --stack")]
    Table(&'static str),
    #[error("{option} is not an address with http:// or https://: {value}")]
    Address { option: &'static str, value: String },
    #[error(
        "the tables behind {0} are not known: name the stack with --stack, or the tables with --customers-table, \
         --subscriptions-table and --receipts-table"
    )]
    TablesUnknown(String),
    #[error(
        "no local stack answers on {url}: start it with `cargo run`, or say which deployment is meant with --stack, \
         or with --url and --dynamodb-endpoint ({reason})"
    )]
    NotServed { url: String, reason: String },
    #[error("what answers on {0} does not say where its DynamoDB is: give --dynamodb-endpoint too, or --stack")]
    NotLocalStack(String),
}

/// An option's value; an empty one, as an environment may hold it, is none.
fn given(option: Option<&String>) -> Option<&str> {
    option.map(String::as_str).filter(|value| !value.is_empty())
}

impl Target {
    /// What contradicts `--stack`, in words: a table or an endpoint that is named beside it, and any other address that a
    /// variable of the environment names. Such a variable is easily forgotten, and would redirect a command silently.
    pub fn conflict(&self) -> Option<String> {
        let stack = given(self.stack.as_ref())?;
        // The last column: given on the command line, the option is an addition to the stack.
        let others = [
            (&self.customers_table, "--customers-table", "CUSTOMERS_TABLE", false),
            (&self.subscriptions_table, "--subscriptions-table", "SUBSCRIPTIONS_TABLE", false),
            (&self.receipts_table, "--receipts-table", "RECEIPTS_TABLE", false),
            (&self.dynamodb_endpoint, "--dynamodb-endpoint", "DYNAMODB_ENDPOINT", false),
            (&self.url, "--url", "BYOS_URL", true),
            (&self.sqs_endpoint, "--sqs-endpoint", "SQS_ENDPOINT", true),
            (&self.secrets_manager_endpoint, "--secrets-manager-endpoint", "SECRETS_MANAGER_ENDPOINT", true),
        ];
        others.into_iter().find_map(|(value, option, variable, is_addition)| {
            let value = given(value.as_ref())?;
            let is_of_environment = std::env::var(variable).is_ok_and(|set| set == value);
            match (is_of_environment, is_addition) {
                (true, _) => Some(format!(
                    "the stack {stack} conflicts with the variable {variable}={value}: unset {variable}, or name no stack"
                )),
                (false, false) => Some(format!("the stack {stack} conflicts with {option} {value}: name one of them")),
                (false, true) => None,
            }
        })
    }

    /// Finds the deployment. Reads a stack's outputs; reaches for nothing else.
    pub async fn find(&self) -> Result<Deployment, TargetError> {
        let url = self.address("--url", self.url.as_ref())?;
        let dynamodb_endpoint = self.address("--dynamodb-endpoint", self.dynamodb_endpoint.as_ref())?;
        let sdk = Sdk::new(
            self.region.clone(),
            self.profile.clone(),
            self.address("--sqs-endpoint", self.sqs_endpoint.as_ref())?.map(str::to_owned),
            self.address("--secrets-manager-endpoint", self.secrets_manager_endpoint.as_ref())?.map(str::to_owned),
        );
        if let Some(stack) = given(self.stack.as_ref()) {
            let outputs = stack::outputs(stack, &sdk).await?;
            return Ok(Deployment {
                place: Place::Stack(stack.to_owned()),
                urls: Some(url.map_or_else(|| outputs.urls.clone(), Urls::under)),
                resources: outputs.resources,
                arn: outputs.arn,
                tables: Some(outputs.tables),
                dynamodb_endpoint: None,
                local_api: None,
                sdk,
            });
        }
        let tables = match (self.named_tables(), dynamodb_endpoint) {
            (Some(tables), _) => Some(tables),
            (None, _) if self.names_a_table() => return Err(self.missing_table()),
            // As the local stack creates them at --dynamodb-endpoint.
            (None, Some(_)) => Some(tables::local_names()),
            (None, None) => None,
        };
        let place = match (url, dynamodb_endpoint, &tables) {
            (Some(url), _, _) if !template::local::is_local(url) => Place::Named,
            (_, Some(endpoint), _) if !template::local::is_local(endpoint) => Place::Named,
            (_, None, Some(_)) => Place::Named,
            _ => Place::Local,
        };
        let local = format!("http://127.0.0.1:{}", self.local_port);
        let api = url.map(str::to_owned).or_else(|| (place == Place::Local).then_some(local));
        Ok(Deployment {
            urls: api.as_deref().map(Urls::under),
            resources: Resources::default(),
            arn: None,
            tables,
            dynamodb_endpoint: dynamodb_endpoint.map(str::to_owned),
            local_api: api,
            place,
            sdk,
        })
    }

    /// The tables, if all of them were named.
    fn named_tables(&self) -> Option<Tables> {
        Some(Tables {
            customers: given(self.customers_table.as_ref())?.to_owned(),
            subscriptions: given(self.subscriptions_table.as_ref())?.to_owned(),
            receipts: given(self.receipts_table.as_ref())?.to_owned(),
        })
    }

    fn names_a_table(&self) -> bool {
        [&self.customers_table, &self.subscriptions_table, &self.receipts_table]
            .into_iter()
            .any(|table| given(table.as_ref()).is_some())
    }

    fn missing_table(&self) -> TargetError {
        if given(self.customers_table.as_ref()).is_none() {
            TargetError::Table("--customers-table")
        } else if given(self.subscriptions_table.as_ref()).is_none() {
            TargetError::Table("--subscriptions-table")
        } else {
            TargetError::Table("--receipts-table")
        }
    }

    fn address<'a>(&self, option: &'static str, value: Option<&'a String>) -> Result<Option<&'a str>, TargetError> {
        let Some(value) = given(value) else { return Ok(None) };
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
    async fn without_any_option_it_is_the_local_stack() {
        let found = Target { url: text(""), stack: text(""), ..target() }.find().await.unwrap();
        assert_eq!((found.place.clone(), found.urls), (Place::Local, Some(Urls::under("http://127.0.0.1:8080"))));
    }

    #[tokio::test]
    async fn a_deployment_is_told_by_its_dynamodb_its_tables_or_its_address() {
        let named = Target { customers_table: text("c"), subscriptions_table: text("s"), receipts_table: text("r"), ..target() };
        let api = "https://api.example.com/";
        for (target, place, webhook, customers) in [
            (
                Target { dynamodb_endpoint: text("http://localhost:8000"), ..target() },
                Place::Local,
                "http://127.0.0.1:8080",
                "byos-customers",
            ),
            (
                Target { dynamodb_endpoint: text("http://[::1]:8000"), ..named.clone() },
                Place::Local,
                "http://127.0.0.1:8080",
                "c",
            ),
            (Target { url: text(api), ..named.clone() }, Place::Named, "https://api.example.com", "c"),
            (named.clone(), Place::Named, "", "c"),
            (Target { dynamodb_endpoint: text("https://dynamodb.example.com"), ..target() }, Place::Named, "", "byos-customers"),
            (Target { url: text(api), ..target() }, Place::Named, "https://api.example.com", ""),
        ] {
            let found = target.find().await.unwrap();
            assert_eq!(found.place, place, "{target:?}");
            let expected = (!webhook.is_empty()).then(|| format!("{webhook}/webhook"));
            assert_eq!(found.urls.map(|urls| urls.webhook), expected, "{target:?}");
            assert_eq!(found.tables.map(|tables| tables.customers).unwrap_or_default(), customers, "{target:?}");
        }
    }

    #[tokio::test]
    async fn what_is_missing_or_wrong_is_named() {
        for (target, message) in [
            (
                Target { url: text("api.example.com"), ..target() },
                "--url is not an address with http:// or https://: api.example.com",
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
        // nothing listens on port 1
        let error = Target { local_port: 1, ..target() }.find().await.unwrap().store().await.unwrap_err().to_string();
        assert!(error.contains("http://127.0.0.1:1") && error.contains("cargo run") && error.contains("--stack"), "{error}");
    }

    #[test]
    fn the_address_of_one_function_tells_those_of_the_others() {
        for url in
            ["https://a.example/v1", "https://a.example/v1/", "https://a.example/v1/webhook", "https://a.example/v1/graphql/"]
        {
            assert_eq!(Urls::under(url).check_access, "https://a.example/v1/check-access", "{url}");
        }
    }
}
