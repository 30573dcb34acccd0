//! Writes pending metrics when Lambda ends the process.

use std::{sync::Arc, time::Duration};

use lambda_http::{
    Error,
    http::{HeaderValue, Request},
};
use lambda_runtime_api_client::{PooledClient, body::Body};
use tokio::signal::unix::{SignalKind, signal};

use super::Recorder;

/// Timeout of the registration, a request to the same machine.
const REGISTRATION_TIMEOUT: Duration = Duration::from_secs(1);

/// The header with the id of a registered extension.
const IDENTIFIER: &str = "lambda-extension-identifier";

/// Installs a SIGTERM handler that writes pending metrics and ends the process. Lambda sends SIGTERM only to functions with
/// an extension, so this registers an internal extension, which receives no events. Must be called before the runtime
/// requests the first invocation. If the registration fails, logs a warning and continues.
///
/// Not done with lambda_runtime's helper: it panics if the registration fails, and prints lines that are not JSON.
///
/// Sources: AWS Lambda, "Lambda execution environment lifecycle" (Shutdown phase) and "Extensions API".
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
        // Lambda sends the first invocation only after the extension requests its next event. No event ever arrives.
        tokio::spawn(async move {
            let mut request = Request::get(NEXT).body(Body::empty())?;
            request.headers_mut().insert(IDENTIFIER, identifier);
            client.call(request).await
        });
        Ok::<_, Error>(())
    };
    if let Err(error) = started.await {
        tracing::warn!(problem = %error, "at shutdown, the metrics of the last seconds may be lost");
    }
}

const REGISTER: &str = "/2020-01-01/extension/register";
const NEXT: &str = "/2020-01-01/extension/event/next";

/// Registers an extension that receives no events. Returns its id.
async fn register(client: &PooledClient) -> Result<HeaderValue, Error> {
    let request = Request::post(REGISTER).header("lambda-extension-name", "metrics");
    let request = request.body(Body::from(r#"{"events":[]}"#))?;
    let response = tokio::time::timeout(REGISTRATION_TIMEOUT, client.call(request)).await??;
    let identifier = response.headers().get(IDENTIFIER).filter(|_| response.status().is_success());
    identifier.cloned().ok_or_else(|| format!("the extension could not be registered: {}", response.status()).into())
}
