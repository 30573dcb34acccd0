//! The Lambda function `graphql`.

use std::sync::Arc;

use graphql::{Graphql, METRICS, Options};
use lambda_http::{Error, Request, run, service_fn};
use shared::{
    aws::FunctionEnvironment,
    config::required,
    reader::ReaderAuth,
    store::{Budget, Store, Tables, from_environment},
    telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start(&METRICS);
    let tables = Tables {
        customers: required("CUSTOMERS_TABLE")?,
        subscriptions: required("SUBSCRIPTIONS_TABLE")?,
        receipts: String::new(),
    };
    let environment = FunctionEnvironment::read();
    let store = Store::new(from_environment(&environment, Budget::READ), tables);
    let auth = ReaderAuth::of_function(&environment, "GRAPHQL_API_TOKEN", "GRAPHQL_API_TOKEN_PREVIOUS");
    let (auth, ()) = tokio::join!(auth, store.open_for_reads());
    let graphql = Arc::new(Graphql::new(store, auth?, Options::from_environment()?));
    run(service_fn(async |request: Request| Ok::<_, Error>(graphql.handle(request).await))).await
}
