//! A function's secrets, cached from Secrets Manager. They are read again when they are old, and when a presented value is
//! rejected. So a rotation needs no deployment and no downtime.

use std::{fmt, sync::Arc};

use aws_sdk_secretsmanager::Client;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;

use crate::{
    aws::{self, Budget, FunctionEnvironment},
    clock::Clock,
    config::{ConfigError, optional},
};

/// A request reads secrets of this age again.
const MAX_AGE: SignedDuration = SignedDuration::from_mins(5);

/// Minimum time between reads. It limits the calls that requests with wrong secrets can cause.
const MIN_READ_INTERVAL: SignedDuration = SignedDuration::from_secs(30);

/// The same until the first successful read.
const MIN_FIRST_READ_INTERVAL: SignedDuration = SignedDuration::from_secs(1);

/// The parsed content of a secret in Secrets Manager.
pub trait Secrets: Sized {
    /// Parses the secret's JSON. The error is logged, so it must not contain values of the JSON.
    ///
    /// # Errors
    /// If the JSON does not have the members that the function needs.
    fn of_json(json: &str) -> Result<Self, String>;
}

/// The secrets could not be read, and none are cached.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the function's secret could not be read from Secrets Manager")]
pub struct Unreadable;

/// A function's secrets.
pub struct Keyring<S> {
    manager: Option<Manager>,
    cache: Mutex<Cache<S>>,
    clock: Clock,
}

struct Manager {
    client: Client,
    secret: String,
}

struct Cache<S> {
    secrets: Option<Arc<S>>,
    /// The last successful read.
    read_at: Option<Timestamp>,
    /// The last attempt to read.
    tried_at: Option<Timestamp>,
}

impl<S> fmt::Debug for Keyring<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring(redacted)")
    }
}

impl<S> From<S> for Keyring<S> {
    /// Secrets that never change.
    fn from(secrets: S) -> Self {
        let cache = Cache { secrets: Some(Arc::new(secrets)), read_at: None, tried_at: None };
        Self { manager: None, cache: Mutex::new(cache), clock: Clock::system() }
    }
}

impl<S: Secrets> Keyring<S> {
    /// Secrets in a secret of Secrets Manager, given by its ARN or name. Reads nothing yet.
    pub fn in_secrets_manager(client: Client, secret: impl Into<String>, clock: Clock) -> Self {
        let cache = Cache { secrets: None, read_at: None, tried_at: None };
        Self { manager: Some(Manager { client, secret: secret.into() }), cache: Mutex::new(cache), clock }
    }

    /// A function's secrets: from the secret that `SECRET_ARN` names, or from `local` if the variable is empty. Reads from
    /// Secrets Manager immediately; if that fails, the first request tries again.
    ///
    /// # Errors
    /// Those of `local`.
    pub async fn of_function(
        environment: &FunctionEnvironment,
        local: impl FnOnce() -> Result<S, ConfigError>,
    ) -> Result<Self, ConfigError> {
        Self::of_variable(environment, "SECRET_ARN", local).await
    }

    /// The same, with the name of another variable.
    ///
    /// # Errors
    /// Those of `local`.
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

    /// Applies `check` to the secrets. If it fails, reads the secrets again and applies `check` once more.
    ///
    /// # Errors
    /// If the secrets could not be read. The inner result is that of `check`.
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

    /// The secrets. Reads them again if they are older than [`MAX_AGE`]; if that fails, returns the cached ones.
    async fn current(&self) -> Option<Arc<S>> {
        let mut cache = self.cache.lock().await;
        if let Some(manager) = &self.manager {
            let now = self.clock.now();
            let is_fresh = cache.read_at.is_some_and(|read_at| now.duration_since(read_at) < MAX_AGE);
            let interval = if cache.secrets.is_some() { MIN_READ_INTERVAL } else { MIN_FIRST_READ_INTERVAL };
            if !is_fresh && is_over(cache.tried_at, interval, now) {
                manager.read(&mut cache, now).await;
            }
        }
        cache.secrets.clone()
    }

    /// Reads the secrets again. None if the last attempt is too recent, or the read fails.
    async fn read_again(&self) -> Option<Arc<S>> {
        let manager = self.manager.as_ref()?;
        let mut cache = self.cache.lock().await;
        let now = self.clock.now();
        let has_read = is_over(cache.tried_at, MIN_READ_INTERVAL, now) && manager.read(&mut cache, now).await;
        cache.secrets.clone().filter(|_| has_read)
    }
}

fn is_over(tried_at: Option<Timestamp>, interval: SignedDuration, now: Timestamp) -> bool {
    tried_at.is_none_or(|tried_at| now.duration_since(tried_at) >= interval)
}

impl Manager {
    /// Reads the secret into the cache. Returns false, and keeps the cached secrets, if that fails.
    async fn read<S: Secrets>(&self, cache: &mut Cache<S>, now: Timestamp) -> bool {
        cache.tried_at = Some(now);
        match self.get().await.and_then(|json| S::of_json(&json)) {
            Ok(secrets) => {
                cache.secrets = Some(Arc::new(secrets));
                cache.read_at = Some(now);
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
        output.secret_string.ok_or_else(|| "the secret has no SecretString".to_owned())
    }
}
