//! The Lambda that takes Stigg's events.

use lambda_http::{Error, Request, run, service_fn};
use shared::{
    config::{required, secret},
    store::{Budget, Store, Tables, from_environment},
    telemetry,
    time::Clock,
};
use webhook::Webhook;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start();
    let tables = Tables {
        customers: required("CUSTOMERS_TABLE")?,
        subscriptions: required("SUBSCRIPTIONS_TABLE")?,
        receipts: required("RECEIPTS_TABLE")?,
    };
    let store = Store::new(from_environment(Budget::WEBHOOK), tables);
    let secret = secret("STIGG_WEBHOOK_SECRET", "STIGG_WEBHOOK_SECRET_PREVIOUS")?;
    let webhook = &Webhook::new(store, secret, Clock::system());
    run(service_fn(|request: Request| async move { Ok::<_, Error>(webhook.handle(request).await) })).await
}
