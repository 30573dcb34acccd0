//! The Lambda function `check-access`.

use std::{sync::Arc, time::Instant};

use check_access::{CheckAccess, Invocation, Options};
use lambda_http::{Error, LambdaEvent, lambda_runtime, service_fn};
use runtime::{
    aws::{Budget, FunctionEnvironment, function_dynamodb},
    clock::Clock,
    config::required,
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
    let store = Store::new(function_dynamodb(&environment, Budget::CHECK), tables);
    let auth = ReaderAuth::of_function(&environment, "CHECK_ACCESS_API_TOKEN", "CHECK_ACCESS_API_TOKEN_PREVIOUS");
    let options = Options::of_function(&environment);
    let shutdown = telemetry::write_at_shutdown(Arc::clone(&recorder));
    let (auth, options, (), ()) = tokio::join!(auth, options, store.warm_up_for_reads(), shutdown);
    telemetry::connected(connecting.elapsed());
    let check_access = &CheckAccess::new(store, auth?, Clock::system()).with_options(options?).with_recorder(recorder);
    let answer = |event: LambdaEvent<Invocation>| async move { Ok::<_, Error>(check_access.invoke(event).await) };
    lambda_runtime::run(service_fn(answer)).await
}
