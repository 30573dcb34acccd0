//! A function's secrets as they are now: read from Secrets Manager, kept for some minutes, and read
//! again when what is presented is refused, so that a rotation needs neither a deployment nor a pause.

use std::{fmt, sync::Arc};

use aws_sdk_secretsmanager::Client;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;

use crate::{
    aws::{self, Budget, FunctionEnvironment},
    clock::Clock,
    config::{ConfigError, optional},
};

/// How old the secrets may become before a request reads them again.
const KEPT: SignedDuration = SignedDuration::from_mins(5);

/// How long after a reading the next one may come because something presented was refused: strangers
/// can't run up calls.
const BETWEEN_READINGS: SignedDuration = SignedDuration::from_secs(30);

/// The same while there is nothing that was read.
const BETWEEN_FIRST_READINGS: SignedDuration = SignedDuration::from_secs(1);

/// What a secret of Secrets Manager holds, for one function.
pub trait Secrets: Sized {
    /// Reads the secret's JSON. An error is fit for logs: it holds nothing of the JSON's values.
    ///
    /// # Errors
    /// If it is not what the function needs.
    fn of_json(json: &str) -> Result<Self, String>;
}

/// The secrets could not be read, now or ever before.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the function's secret could not be read from Secrets Manager")]
pub struct Unreadable;

/// A function's secrets.
pub struct Keyring<S> {
    manager: Option<Manager>,
    known: Mutex<Known<S>>,
    clock: Clock,
}

struct Manager {
    client: Client,
    secret: String,
}

struct Known<S> {
    secrets: Option<Arc<S>>,
    /// When they were read, and when a reading was last tried.
    read: Option<Timestamp>,
    tried: Option<Timestamp>,
}

impl<S> fmt::Debug for Keyring<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring(redacted)")
    }
}

impl<S> From<S> for Keyring<S> {
    /// Secrets that stay as they are.
    fn from(secrets: S) -> Self {
        let known = Known { secrets: Some(Arc::new(secrets)), read: None, tried: None };
        Self { manager: None, known: Mutex::new(known), clock: Clock::system() }
    }
}

impl<S: Secrets> Keyring<S> {
    /// The secrets in this secret of Secrets Manager, by its ARN or name. Nothing is read yet.
    pub fn in_secrets_manager(client: Client, secret: impl Into<String>, clock: Clock) -> Self {
        let known = Known { secrets: None, read: None, tried: None };
        Self { manager: Some(Manager { client, secret: secret.into() }), known: Mutex::new(known), clock }
    }

    /// The secrets of a function: those in the secret that `SECRET_ARN` names, else `local` ones. What is
    /// in Secrets Manager is read at once; if that fails, the first request tries again.
    ///
    /// # Errors
    /// Those of `local`, where it is asked.
    pub async fn of_function(
        environment: &FunctionEnvironment,
        local: impl FnOnce() -> Result<S, ConfigError>,
    ) -> Result<Self, ConfigError> {
        Self::of_variable(environment, "SECRET_ARN", local).await
    }

    /// The same where another variable names the secret.
    ///
    /// # Errors
    /// Those of `local`, where it is asked.
    pub async fn of_variable(
        environment: &FunctionEnvironment,
        variable: &str,
        local: impl FnOnce() -> Result<S, ConfigError>,
    ) -> Result<Self, ConfigError> {
        let Some(secret) = optional(variable) else { return Ok(local()?.into()) };
        let client = Client::new(&environment.service("SECRETS_MANAGER_ENDPOINT", Budget::SECRET));
        let keyring = Self::in_secrets_manager(client, secret, Clock::system());
        keyring.current().await;
        Ok(keyring)
    }

    /// What `check` says of the secrets; where it refuses, what it says of them read anew.
    ///
    /// # Errors
    /// If they could not be read. Otherwise the inner result is the check's.
    pub async fn check<T, E>(&self, check: impl Fn(&S) -> Result<T, E>) -> Result<Result<T, E>, Unreadable> {
        let secrets = self.current().await.ok_or(Unreadable)?;
        let result = check(&secrets);
        if result.is_ok() {
            return Ok(result);
        }
        Ok(match self.read_again().await {
            Some(newer) => check(&newer),
            None => result,
        })
    }

    /// The secrets, read again if they are older than [`KEPT`]; those from before where that fails.
    async fn current(&self) -> Option<Arc<S>> {
        let mut known = self.known.lock().await;
        if let Some(manager) = &self.manager {
            let now = self.clock.now();
            let is_fresh = known.read.is_some_and(|read| now.duration_since(read) < KEPT);
            let pause = if known.secrets.is_some() { BETWEEN_READINGS } else { BETWEEN_FIRST_READINGS };
            if !is_fresh && is_over(known.tried, pause, now) {
                manager.read(&mut known, now).await;
            }
        }
        known.secrets.clone()
    }

    /// The secrets read anew, unless that was done just now or fails.
    async fn read_again(&self) -> Option<Arc<S>> {
        let manager = self.manager.as_ref()?;
        let mut known = self.known.lock().await;
        let now = self.clock.now();
        let has_read = is_over(known.tried, BETWEEN_READINGS, now) && manager.read(&mut known, now).await;
        known.secrets.clone().filter(|_| has_read)
    }
}

fn is_over(tried: Option<Timestamp>, pause: SignedDuration, now: Timestamp) -> bool {
    tried.is_none_or(|tried| now.duration_since(tried) >= pause)
}

impl Manager {
    /// Reads the secret. Where that fails, what was known stays.
    async fn read<S: Secrets>(&self, known: &mut Known<S>, now: Timestamp) -> bool {
        known.tried = Some(now);
        match self.get().await.and_then(|json| S::of_json(&json)) {
            Ok(secrets) => {
                known.secrets = Some(Arc::new(secrets));
                known.read = Some(now);
                true
            }
            Err(problem) => {
                tracing::error!(secret = self.secret, problem, "the secret can't be read");
                false
            }
        }
    }

    async fn get(&self) -> Result<String, String> {
        let request = self.client.get_secret_value().secret_id(&self.secret);
        let output = request.send().await.map_err(|error| aws::problem(&error))?;
        output.secret_string.ok_or_else(|| "it holds no text".to_owned())
    }
}
