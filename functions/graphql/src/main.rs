//! The Lambda function `graphql`.

use std::{sync::Arc, time::Instant};

use graphql::{Graphql, Options};
use lambda_http::{Error, LambdaEvent, Request, lambda_runtime, service_fn};
use runtime::{
    aws::{Budget, FunctionEnvironment, function_dynamodb},
    config::required,
    gateway::{self, GatewayEvent},
    reader::ReaderAuth,
    telemetry,
};
use store::{Store, Tables};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let recorder = telemetry::start()?;
    let tables = Tables {
        customers: required("CUSTOMERS_TABLE")?,
        subscriptions: required("SUBSCRIPTIONS_TABLE")?,
        // Only the webhook uses receipts.
        receipts: String::new(),
    };
    let connecting = Instant::now();
    let environment = FunctionEnvironment::read();
    let store = Store::new(function_dynamodb(&environment, Budget::READ), tables);
    let auth = ReaderAuth::of_function(&environment, "GRAPHQL_API_TOKEN", "GRAPHQL_API_TOKEN_PREVIOUS");
    let shutdown = telemetry::write_at_shutdown(Arc::clone(&recorder));
    let (auth, (), ()) = tokio::join!(auth, store.warm_up_for_reads(), shutdown);
    telemetry::connected(connecting.elapsed());
    let graphql = &Graphql::new(store, auth?, Options::from_environment()?).with_recorder(recorder);
    let answer = |event: LambdaEvent<GatewayEvent>| async move {
        Ok::<_, Error>(gateway::answer(|request: Request| graphql.handle(request), event).await)
    };
    lambda_runtime::run(service_fn(answer)).await
}
