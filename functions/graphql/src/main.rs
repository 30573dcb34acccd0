//! The Lambda function `graphql`.

use std::sync::Arc;

use graphql::{Graphql, Options};
use lambda_http::{Error, Request, run, service_fn};
use shared::{
    config::{required, secret},
    store::{Budget, Store, Tables, from_environment},
    telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start();
    let tables = Tables {
        customers: required("CUSTOMERS_TABLE")?,
        subscriptions: required("SUBSCRIPTIONS_TABLE")?,
        receipts: String::new(),
    };
    let store = Store::new(from_environment(Budget::READ), tables);
    let token = secret("GRAPHQL_API_TOKEN", "GRAPHQL_API_TOKEN_PREVIOUS")?;
    let graphql = Arc::new(Graphql::new(store, token, Options::from_environment()?));
    run(service_fn(async |request: Request| Ok::<_, Error>(graphql.handle(request).await))).await
}
