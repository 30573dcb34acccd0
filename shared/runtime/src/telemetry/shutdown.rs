//! Lambda's notice before it ends an idle process.

use std::{sync::Arc, time::Duration};

use lambda_http::{
    Error,
    http::{HeaderValue, Request},
};
use lambda_runtime_api_client::{PooledClient, body::Body};
use tokio::signal::unix::{SignalKind, signal};

use super::Recorder;

/// How long a start waits for the registration. It is a request to the same machine.
const TIME_LIMIT: Duration = Duration::from_secs(1);

/// The header with the id of a registered extension.
const IDENTIFIER: &str = "lambda-extension-identifier";

/// Writes the metrics that are not written yet when the process gets SIGTERM, and ends it. Lambda sends SIGTERM only to
/// a function that has an extension, so this registers an internal one, which takes part in no invocation. Must be
/// called before the first request is asked for. Where no extension can be registered, the function works without.
///
/// Sources: AWS Lambda, "Lambda execution environment lifecycle" (Shutdown phase) and "Extensions API".
/// lambda_runtime's own helper panics where no extension can be registered, and prints lines that are no JSON.
pub async fn write_at_shutdown(recorder: Arc<Recorder>) {
    if !recorder.has_metrics() {
        return;
    }
    let started = async {
        let mut terminated = signal(SignalKind::terminate())?;
        tokio::spawn(async move {
            terminated.recv().await;
            recorder.flush();
            std::process::exit(0);
        });
        let client = PooledClient::builder().build();
        let identifier = register(&client).await?;
        // Lambda begins with the first request once the extension waits for its next event. None ever comes.
        tokio::spawn(async move {
            let mut request = Request::get(NEXT).body(Body::empty())?;
            request.headers_mut().insert(IDENTIFIER, identifier);
            client.call(request).await
        });
        Ok::<_, Error>(())
    };
    if let Err(error) = started.await {
        tracing::warn!(problem = %error, "metrics of the last seconds may not be written at shutdown");
    }
}

const REGISTER: &str = "/2020-01-01/extension/register";
const NEXT: &str = "/2020-01-01/extension/event/next";

/// Registers an extension without events. Returns its id.
async fn register(client: &PooledClient) -> Result<HeaderValue, Error> {
    let request = Request::post(REGISTER).header("lambda-extension-name", "metrics");
    let request = request.body(Body::from(r#"{"events":[]}"#))?;
    let response = tokio::time::timeout(TIME_LIMIT, client.call(request)).await??;
    let identifier = response.headers().get(IDENTIFIER).filter(|_| response.status().is_success());
    identifier.cloned().ok_or_else(|| format!("no extension could be registered: {}", response.status()).into())
}
