//! The Lambda function `webhook`.

use std::{sync::Arc, time::Instant};

use lambda_http::{Error, LambdaEvent, lambda_runtime, service_fn};
use runtime::{
    aws::{Budget, FunctionEnvironment, function_dynamodb},
    clock::Clock,
    config::required,
    keyring::Keyring,
    telemetry,
};
use store::{Store, Tables};
use webhook::{AllowedSources, Incoming, Queue, Webhook, WebhookSecrets};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let recorder = telemetry::start()?;
    let tables = Tables {
        customers: required("CUSTOMERS_TABLE")?,
        subscriptions: required("SUBSCRIPTIONS_TABLE")?,
        receipts: required("RECEIPTS_TABLE")?,
    };
    let connecting = Instant::now();
    let environment = FunctionEnvironment::read();
    let store = Store::new(function_dynamodb(&environment, Budget::WEBHOOK), tables);
    let (secrets, own_environment, ()) = tokio::join!(
        Keyring::of_function(&environment, WebhookSecrets::of_environment),
        store.warm_up_for_writes(),
        telemetry::write_at_shutdown(Arc::clone(&recorder)),
    );
    telemetry::connected(connecting.elapsed());
    let [queue, set_aside_queue] = Queue::of_function(&environment);
    let webhook = &Webhook::new(store, secrets?, Clock::system())
        .with_allowed_sources(AllowedSources::of_environment()?)
        .with_environment(own_environment)
        .with_queue(queue)
        .with_set_aside_queue(set_aside_queue)
        .with_recorder(recorder);
    lambda_runtime::run(service_fn(|event: LambdaEvent<Incoming>| webhook.call(event))).await
}
