//! `byos send`: delivers event files like Stigg, to try a deployment.

use std::path::PathBuf;

use clap::Args;
use domain::event::EventSummary;
use reqwest::header::{HeaderValue, InvalidHeaderValue};
use runtime::{
    signature::{KeyError, SigningKey},
    telemetry,
};
use serde::Serialize;

use crate::{
    consent::Consent,
    delivery::{Delivery, Schedule, Sender, WebhookResponse},
    http,
    outcome::ExitStatus,
    recorded::{self, RecordedError, RecordedEvent},
    secrets::{self, SecretError, WebhookSecret},
    target::{Deployment, DeploymentKind, Target, TargetError},
};
use template::sample;

/// Deliver event files to the webhook like Stigg, with its header and retries
///
/// A file contains events as Stigg sends them, API Gateway requests (as in events/), or messages of the event queue: a
/// single one, a JSON array, or several in a row. A delivery that fails is retried like Stigg does: three times
/// immediately, then three times every 30 seconds.
///
/// Exit codes: 0 if every event was accepted, else 1.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  byos send --sample                         the sample events of events/webhook, to the local stack
  byos send event.json --stack replica       one event, to a deployed stack, with its own secret
  byos send *.json --url https://… --secret \"$SECRET\" --no-retry
  jq -c .event log.json | byos send -        from standard input")]
pub struct Send {
    /// Event files; - is standard input
    #[arg(value_name = "FILE", required_unless_present = "sample")]
    pub files: Vec<PathBuf>,

    /// Send the 21 sample events of events/webhook, in order
    #[arg(long, conflicts_with = "files")]
    pub sample: bool,

    /// Value of the header Stigg-Webhooks-Secret [stack: its secret; local stack: local-secret]
    #[arg(long, env = "STIGG_WEBHOOK_SECRET", value_name = "SECRET", hide_env_values = true)]
    pub secret: Option<String>,

    /// Also sign with this key, as specified by Standard Webhooks [stack: its signing key, if it has one]
    #[arg(long, env = "WEBHOOK_SIGNING_KEY", value_name = "whsec_KEY", hide_env_values = true)]
    pub signing_key: Option<String>,

    /// Send each event once, without retries
    #[arg(long)]
    pub no_retry: bool,

    /// Print a JSON object for each event
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub consent: Consent,

    #[command(flatten)]
    pub target: Target,
}

#[derive(Debug, thiserror::Error)]
pub enum SendError {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    Recorded(#[from] RecordedError),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("the signing key {0}")]
    SigningKey(#[from] KeyError),
    #[error("the secret contains characters that are not allowed in a header")]
    Header(#[from] InvalidHeaderValue),
    #[error("the webhook's address is unknown: give --url or --stack")]
    NoUrl,
    #[error("the HTTP client could not be set up: {0}")]
    Client(reqwest::Error),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    name: &'a str,
    r#type: Option<String>,
    message_id: Option<String>,
    delivered: bool,
    status: Option<u16>,
    outcome: Option<&'a str>,
    error: Option<&'a str>,
    tries: u32,
    milliseconds: f64,
}

pub async fn send(options: Send) -> Result<ExitStatus, SendError> {
    let events = events(&options)?;
    let deployment = options.target.find().await?;
    let schedule = if options.no_retry { Schedule::ONCE } else { Schedule::STIGG };
    let sender = sender(&deployment, options.secret.as_deref(), options.signing_key.as_deref(), schedule).await?;
    if !options.consent.ask_to_send(&deployment, &sender.url) {
        return Ok(ExitStatus::NotConfirmed);
    }
    let width = events.iter().map(|event| event.name.chars().count()).max().unwrap_or_default();
    let mut accepted = 0;
    for event in &events {
        let delivery = sender
            .deliver(&event.body, |response, delay| {
                eprintln!("{:width$}  {}; retry in {} s", event.name, response.summary(), delay.as_secs());
            })
            .await;
        accepted += usize::from(delivery.response.is_success());
        println!("{}", if options.json { json_line(event, &delivery) } else { line(event, &delivery, width) });
    }
    let rejected = events.len() - accepted;
    if !options.json {
        println!("{accepted} accepted{}.", if rejected > 0 { format!(", {rejected} not") } else { String::new() });
    }
    Ok(if rejected == 0 { ExitStatus::Success } else { ExitStatus::Failure })
}

fn events(options: &Send) -> Result<Vec<RecordedEvent>, RecordedError> {
    if options.sample {
        let sample = sample::events("webhook").into_iter();
        let events: Result<Vec<_>, _> =
            sample.map(|(name, event)| recorded::from_json(&name, event.to_string().as_bytes())).collect();
        return Ok(events?.into_iter().flatten().collect());
    }
    // Reads all files before the first event is sent, so that a wrong file name fails early.
    let events: Result<Vec<_>, _> = options.files.iter().map(|file| recorded::from_file(file)).collect();
    Ok(events?.into_iter().flatten().collect())
}

/// A sender to a deployment's webhook. The secret is `secret` if given, else the deployment's.
///
/// # Errors
/// If the secret or the address is unknown.
pub async fn sender(
    deployment: &Deployment,
    secret: Option<&str>,
    signing_key: Option<&str>,
    schedule: Schedule,
) -> Result<Sender, SendError> {
    let url = deployment.urls.as_ref().ok_or(SendError::NoUrl)?.webhook.clone();
    let given = secret.filter(|secret| !secret.is_empty());
    let own = match (given, &deployment.resources.webhook_secret) {
        (None, Some(arn)) => {
            let own: WebhookSecret = secrets::read(&deployment.sdk, arn).await?;
            if own.secret.is_empty() {
                return Err(SecretError::Unset { arn: arn.clone() }.into());
            }
            own
        }
        (Some(_), _) => WebhookSecret::default(),
        (None, None) if deployment.kind == DeploymentKind::Local => {
            WebhookSecret { secret: template::local::WEBHOOK_SECRET.to_owned(), ..WebhookSecret::default() }
        }
        (None, None) => {
            return Err(
                SecretError::Unknown { secret: "the webhook's secret", option: "--secret or STIGG_WEBHOOK_SECRET" }.into()
            );
        }
    };
    let mut header = HeaderValue::from_str(given.unwrap_or(&own.secret))?;
    header.set_sensitive(true);
    let key = signing_key.filter(|key| !key.is_empty()).unwrap_or(&own.signing_key);
    let key = if key.is_empty() { None } else { Some(SigningKey::parse(key)?) };
    Ok(Sender { client: http::client().map_err(SendError::Client)?, url, secret: Some(header), key, schedule })
}

fn line(event: &RecordedEvent, delivery: &Delivery, width: usize) -> String {
    let attempts = if delivery.attempts > 1 { format!("  {} attempts", delivery.attempts) } else { String::new() };
    let milliseconds = delivery.duration.as_millis();
    format!("{:width$}  {}  {milliseconds} ms{attempts}", event.name, delivery.response.summary())
}

fn json_line(event: &RecordedEvent, delivery: &Delivery) -> String {
    let (outcome, error) = match &delivery.response {
        WebhookResponse::Received { outcome, error, .. } => (outcome.as_deref(), error.as_deref()),
        WebhookResponse::Missing { reason } => (None, Some(reason.as_str())),
    };
    let EventSummary { event_type: r#type, message_id, .. } = EventSummary::of(&event.body);
    let line = Line {
        name: &event.name,
        r#type,
        message_id,
        delivered: delivery.response.is_success(),
        status: delivery.response.status(),
        outcome,
        error,
        tries: delivery.attempts,
        milliseconds: telemetry::milliseconds(delivery.duration),
    };
    serde_json::to_string(&line).unwrap_or_default()
}
