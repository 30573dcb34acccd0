//! The Lambda that decides access.

use check_access::CheckAccess;
use lambda_http::{Error, Request, run, service_fn};
use shared::{
    config::{required, secret},
    store::{Budget, Store, Tables, from_environment},
    telemetry,
    time::Clock,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start();
    // It reads one table, and may know no other.
    let tables = Tables { customers: required("CUSTOMERS_TABLE")?, subscriptions: String::new(), receipts: String::new() };
    let store = Store::new(from_environment(Budget::CHECK), tables);
    let token = secret("CHECK_ACCESS_API_TOKEN", "CHECK_ACCESS_API_TOKEN_PREVIOUS")?;
    let check_access = &CheckAccess::new(store, token, Clock::system());
    run(service_fn(|request: Request| async move { Ok::<_, Error>(check_access.handle(request).await) })).await
}
