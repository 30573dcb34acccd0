//! The Lambda that decides access.

use std::time::Instant;

use check_access::{CheckAccess, Invocation, METRICS};
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
    telemetry::start(&METRICS);
    // It reads no receipts.
    let tables = Tables {
        customers: required("CUSTOMERS_TABLE")?,
        subscriptions: required("SUBSCRIPTIONS_TABLE")?,
        receipts: String::new(),
    };
    let connecting = Instant::now();
    let environment = FunctionEnvironment::read();
    let store = Store::new(function_dynamodb(&environment, Budget::CHECK), tables);
    let auth = ReaderAuth::of_function(&environment, "CHECK_ACCESS_API_TOKEN", "CHECK_ACCESS_API_TOKEN_PREVIOUS");
    let (auth, ()) = tokio::join!(auth, store.warm_up_for_reads());
    telemetry::connected(connecting.elapsed());
    let check_access = &CheckAccess::new(store, auth?, Clock::system());
    let answer = |event: LambdaEvent<Invocation>| async move { Ok::<_, Error>(check_access.invoke(event).await) };
    lambda_runtime::run(service_fn(answer)).await
}
