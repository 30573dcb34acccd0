//! Serves the local stack.

use std::{net::IpAddr, path::PathBuf, sync::Arc};

use aws_config::BehaviorVersion;
use axum::{Router, extract::DefaultBodyLimit, http::HeaderValue, middleware::map_response};
use check_access::CheckAccess;
use clap::{ArgAction, Args, builder::BoolishValueParser};
use console::{Console, ConsoleError};
use graphql::{Graphql, Options, OptionsError};
use runtime::{
    aws::{Budget, FunctionEnvironment, any_credentials, dynamodb, local_dynamodb},
    clock::Clock,
    config::ConfigError,
    secret::{EmptySecret, Secret},
};
use serde_json::Value;
use store::Store;
use tokio::net::TcpListener;
use webhook::{Webhook, WebhookSecrets};

use crate::{
    console_source::LocalSource,
    embedded::{Embedded, EmbeddedError},
    gateway::{Gateway, MAX_BODY_BYTES},
    last_hour::LastHour,
};
use template::{
    sample,
    tables::{self, TablesError},
};

/// Serve the three functions over HTTP on 127.0.0.1, on an embedded DynamoDB
#[derive(Args, Debug)]
pub struct Serve {
    /// Deliver the sample events of events/webhook first
    #[arg(long, env = "BYOS_SEED", action = ArgAction::SetTrue, value_parser = BoolishValueParser::new())]
    pub seed: bool,

    /// Port to serve on; 0 selects a free one
    #[arg(long, env = "BYOS_PORT", default_value_t = 8080)]
    pub port: u16,

    /// Folder for the embedded DynamoDB's data [default: in memory]
    #[arg(long, env = "BYOS_DATA", value_name = "DIR", conflicts_with = "dynamodb_endpoint")]
    pub data: Option<PathBuf>,

    /// Endpoint of a DynamoDB to use instead of the embedded one, also in AWS; creates the tables there
    #[arg(long, env = "DYNAMODB_ENDPOINT", value_name = "URL", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub dynamodb_endpoint: Option<String>,

    /// Port of the embedded DynamoDB, for other clients; 0 selects a free one
    #[arg(long, env = "BYOS_DYNAMODB_PORT", default_value_t = 0, value_name = "PORT", conflicts_with = "dynamodb_endpoint")]
    pub dynamodb_port: u16,

    /// Address of the embedded DynamoDB; containers of `sam local` need 0.0.0.0 on Linux
    #[arg(long, env = "BYOS_DYNAMODB_ADDRESS", default_value = "127.0.0.1", value_name = "IP")]
    pub dynamodb_address: IpAddr,

    /// Required value of the header Stigg-Webhooks-Secret
    #[arg(long, env = "STIGG_WEBHOOK_SECRET", default_value = template::local::WEBHOOK_SECRET, value_name = "SECRET", hide_env_values = true)]
    pub webhook_secret: String,

    /// Bearer token of all readers
    #[arg(long, env = "API_TOKEN", default_value = template::local::API_TOKEN, value_name = "TOKEN", hide_env_values = true)]
    pub api_token: String,
}

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("the port {port} can't be used ({source}): choose another with --port")]
    Port { port: u16, source: std::io::Error },
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    #[error(transparent)]
    Tables(#[from] TablesError),
    #[error("--webhook-secret and --api-token must not be empty: {0}")]
    Secret(#[from] EmptySecret),
    #[error(transparent)]
    Options(#[from] OptionsError),
    #[error(transparent)]
    CheckAccess(#[from] ConfigError),
    #[error("can't deliver {file}: {reason}")]
    Seed { file: String, reason: String },
    #[error(transparent)]
    Console(#[from] ConsoleError),
    #[error("the server stopped: {0}")]
    Server(std::io::Error),
}

#[derive(Debug)]
pub struct Stack {
    pub gateway: Gateway,
    pub store: Store,
    pub last_hour: LastHour,
    console: Option<Console>,
    embedded: Option<Embedded>,
    /// Endpoint of its DynamoDB. Sent in a response header, so that the commands find it.
    dynamodb: Option<String>,
}

impl Stack {
    /// `api_token` is the token of both readers.
    pub fn on(store: Store, webhook_secret: &str, api_token: &str, clock: Clock) -> Result<Self, EmptySecret> {
        Self::with_options(store, webhook_secret, api_token, clock, Options::default(), check_access::Options::default())
    }

    pub fn with_options(
        store: Store,
        webhook_secret: &str,
        api_token: &str,
        clock: Clock,
        graphql: Options,
        check_access: check_access::Options,
    ) -> Result<Self, EmptySecret> {
        let token = Secret::new(api_token, None)?;
        let last_hour = LastHour::default();
        let recorder = Arc::new(last_hour.recorder());
        let gateway = Gateway::new(
            Webhook::new(store.clone(), WebhookSecrets::from(Secret::new(webhook_secret, None)?), clock.clone())
                .with_recorder(recorder.clone()),
            Graphql::new(store.clone(), token.clone(), graphql).with_clock(clock.clone()).with_recorder(recorder.clone()),
            CheckAccess::new(store.clone(), token, clock).with_options(check_access).with_recorder(recorder),
        );
        Ok(Self { gateway, store, last_hour, console: None, embedded: None, dynamodb: None })
    }

    /// Starts the embedded DynamoDB, or connects to the given one. Reads the functions' options from the environment.
    pub async fn start(options: &Serve) -> Result<Self, ServeError> {
        let (store, embedded) = match &options.dynamodb_endpoint {
            Some(endpoint) => (store_at(endpoint).await?, None),
            None => {
                let address = (options.dynamodb_address, options.dynamodb_port).into();
                let embedded = Embedded::start(options.data.as_deref(), address).await?;
                (embedded.store.clone(), Some(embedded))
            }
        };
        let Serve { webhook_secret, api_token, .. } = options;
        let check_access = check_access::Options::of_function(&FunctionEnvironment::read()).await?;
        let graphql = Options::from_environment()?;
        let stack = Self::with_options(store, webhook_secret, api_token, Clock::system(), graphql, check_access)?;
        let dynamodb = embedded.as_ref().map(|embedded| embedded.endpoint.clone()).or_else(|| options.dynamodb_endpoint.clone());
        Ok(Self { embedded, dynamodb, ..stack })
    }

    /// Adds the console. `port` is the port of the server.
    fn add_console(&mut self, port: u16) -> Result<(), ServeError> {
        let source = LocalSource::new(self.store.clone(), self.last_hour.clone());
        self.console = Some(Console::new(self.store.clone(), source, port)?);
        Ok(())
    }

    /// Delivers the sample events of events/webhook in the order of their names. Returns their number. Stops at the first
    /// event that is not answered with 200.
    pub async fn seed(&self, webhook_secret: &str) -> Result<usize, ServeError> {
        let events = sample::events("webhook");
        let count = events.len();
        for (name, mut event) in events {
            let failed = |reason: String| ServeError::Seed { file: name.clone(), reason };
            if let Some(Value::Object(headers)) = event.get_mut("headers") {
                headers.insert("stigg-webhooks-secret".to_owned(), webhook_secret.into());
            }
            let response = self.gateway.invoke(event).await.map_err(|error| failed(error.to_string()))?;
            if response.get("statusCode").and_then(Value::as_u64) != Some(200) {
                return Err(failed(response.to_string()));
            }
        }
        Ok(count)
    }

    /// Routes of the functions and the console.
    pub fn router(&self) -> Router {
        let gateway = self.gateway.clone();
        let serve = move |request: axum::http::Request<axum::body::Body>| {
            let gateway = gateway.clone();
            async move {
                let (parts, body) = request.into_parts();
                match axum::body::to_bytes(body, MAX_BODY_BYTES).await {
                    Ok(body) => gateway.serve(axum::http::Request::from_parts(parts, body)).await,
                    Err(_) => too_large(),
                }
            }
        };
        let router = Router::new().fallback(serve).layer(DefaultBodyLimit::disable());
        let router = router.merge(self.console.as_ref().map(Console::router).unwrap_or_default());
        match self.dynamodb.as_deref().and_then(|endpoint| HeaderValue::from_str(endpoint).ok()) {
            Some(endpoint) => router.layer(map_response(move |mut response: axum::response::Response| {
                response.headers_mut().insert(template::local::DYNAMODB_HEADER, endpoint.clone());
                async move { response }
            })),
            None => router,
        }
    }
}

/// API Gateway's response to a body above its limit.
fn too_large() -> axum::http::Response<axum::body::Body> {
    let mut response = axum::http::Response::new(r#"{"message":"Request Entity Too Large"}"#.into());
    *response.status_mut() = axum::http::StatusCode::PAYLOAD_TOO_LARGE;
    response
}

/// A store at the given endpoint. A DynamoDB on this machine gets dummy credentials, any other those of the SDK's default
/// chain.
async fn store_at(endpoint: &str) -> Result<Store, ServeError> {
    let client = if template::local::is_local(endpoint) {
        local_dynamodb(endpoint)
    } else {
        let region = std::env::var("AWS_REGION").ok();
        let config = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(runtime::aws::http_client()).load().await;
        let region = region.or_else(|| config.region().map(ToString::to_string));
        let credentials = config.credentials_provider().unwrap_or_else(any_credentials);
        dynamodb(region, credentials, Some(endpoint.to_owned()), Budget::WEBHOOK)
    };
    let names = tables::local_names();
    tables::create(&client, &names).await?;
    Ok(Store::new(client, names))
}

/// Serves until Ctrl-C or SIGTERM.
pub async fn serve(options: Serve) -> Result<(), ServeError> {
    let port = options.port;
    let listener = TcpListener::bind(("127.0.0.1", port)).await.map_err(|source| ServeError::Port { port, source })?;
    let address = listener.local_addr().map_err(|source| ServeError::Port { port, source })?;
    let mut stack = Stack::start(&options).await?;
    stack.add_console(address.port())?;
    let delivered = if options.seed { Some(stack.seed(&options.webhook_secret).await?) } else { None };
    let stop = console::stop_signal().map_err(ServeError::Server)?;
    println!("{}", welcome(&options, &stack, address.port(), delivered));
    axum::serve(listener, stack.router()).with_graceful_shutdown(stop).await.map_err(ServeError::Server)?;
    if let Some(embedded) = stack.embedded {
        embedded.stop().await;
    }
    println!("Stopped.");
    Ok(())
}

/// The text printed at start: addresses, secrets and an example request.
fn welcome(options: &Serve, stack: &Stack, port: u16, delivered: Option<usize>) -> String {
    let Serve { webhook_secret, api_token, .. } = options;
    let dynamodb = match (&stack.embedded, &options.dynamodb_endpoint, &options.data) {
        (Some(embedded), _, Some(folder)) => format!("{} (embedded, data in {})", embedded.endpoint, folder.display()),
        (Some(embedded), _, None) => format!("{} (embedded, in memory)", embedded.endpoint),
        (None, endpoint, _) => endpoint.clone().unwrap_or_default(),
    };
    let seeded = delivered.map_or_else(String::new, |count| format!("\nDelivered {count} events of events/webhook.\n"));
    let console = stack.console.as_ref().map(Console::address).unwrap_or_default();
    let customer = if delivered.is_some() { "customer-alder" } else { "some-customer" };
    format!(
        r#"{seeded}
The replica is served on http://127.0.0.1:{port} — Ctrl-C stops it.

Console in a browser, read-only; the address contains the token:

  {console}

  POST /webhook        Stigg-Webhooks-Secret: {webhook_secret}
  POST /check-access   Authorization: Bearer {api_token}
  GET  /v1/c/…         X-API-KEY: {api_token} (baseEdgeUri of Stigg's SDKs)
  POST /ofrep/v1/…     X-API-KEY: {api_token} (OpenFeature)
  GET  /api/v1/…       X-API-KEY: {api_token} (base_url of Stigg's REST client)
  POST /graphql        Authorization: Bearer {api_token}
  GET  /graphiql       in a browser
  DynamoDB             {dynamodb}

Try it:

  curl -s http://127.0.0.1:{port}/check-access -H 'Authorization: Bearer {api_token}' \
    -H 'Content-Type: application/json' -d '{{"customerId":"{customer}","featureId":"feature-api-calls"}}'

Explain a decision: on the console's page "Check access", or with the command, whose first build takes a minute or two:

  BYOS_PORT={port} cargo run --package byos -- check {customer} feature-seats --usage 1
"#
    )
}
