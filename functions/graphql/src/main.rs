//! The Lambda function `graphql`.

use std::{sync::Arc, time::Instant};

use graphql::{Graphql, Options};
use lambda_http::{Error, LambdaEvent, Request, lambda_runtime, service_fn};
use shared::{
    aws::FunctionEnvironment,
    config::required,
    gateway::{self, GatewayEvent},
    reader::ReaderAuth,
    store::{Budget, Store, Tables, from_environment},
    telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let recorder = telemetry::start()?;
    let tables = Tables {
        customers: required("CUSTOMERS_TABLE")?,
        subscriptions: required("SUBSCRIPTIONS_TABLE")?,
        receipts: String::new(),
    };
    let connecting = Instant::now();
    let environment = FunctionEnvironment::read();
    let store = Store::new(from_environment(&environment, Budget::READ), tables);
    let auth = ReaderAuth::of_function(&environment, "GRAPHQL_API_TOKEN", "GRAPHQL_API_TOKEN_PREVIOUS");
    let shutdown = telemetry::write_at_shutdown(Arc::clone(&recorder));
    let (auth, (), ()) = tokio::join!(auth, store.open_for_reads(), shutdown);
    telemetry::connected(connecting.elapsed());
    let graphql = &Graphql::new(store, auth?, Options::from_environment()?).with_recorder(recorder);
    let answer = |event: LambdaEvent<GatewayEvent>| async move {
        let response = gateway::answer(|request: Request| graphql.handle(request), event).await;
        Ok::<_, Error>(gateway::in_json(&response)?)
    };
    lambda_runtime::run(service_fn(answer)).await
}
