//! Configuration from environment variables, read at start.

use crate::secret::Secret;

/// An error in the environment that prevents a function's start.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A variable is missing or empty.
    #[error("the environment variable {0} is missing or empty: set it in template.yaml or in the function's configuration")]
    Missing(&'static str),
    /// Neither Secrets Manager's ARN nor a plain value is configured.
    #[error("the environment variables SECRET_ARN and {0} are both missing or empty: set SECRET_ARN on AWS, {0} elsewhere")]
    NoSecret(&'static str),
    /// A variable has an invalid value.
    #[error("the environment variable {variable} must be {allowed}")]
    Unknown {
        /// The variable.
        variable: &'static str,
        /// The valid values.
        allowed: &'static str,
    },
}

/// The variable's value.
///
/// # Errors
/// If it is missing or empty.
pub fn required(name: &'static str) -> Result<String, ConfigError> {
    optional(name).ok_or(ConfigError::Missing(name))
}

/// The variable's value. None if it is missing or empty.
pub fn optional(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The secret in the variable `current`. During a rotation, `previous` holds the old value, which is accepted too.
///
/// # Errors
/// If `current` is missing or empty: a function without a secret would accept every caller.
pub fn secret(current: &'static str, previous: &str) -> Result<Secret, ConfigError> {
    let value = optional(current).unwrap_or_default();
    Secret::new(&value, optional(previous).as_deref()).map_err(|_| ConfigError::NoSecret(current))
}
