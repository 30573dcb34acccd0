//! What a function reads from its environment at start.

use crate::secret::Secret;

/// A function can't start: what of its environment is missing or wrong, and what to do.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A variable is missing or empty.
    #[error("the environment variable {0} is missing or empty: set it in template.yaml or in the function's configuration")]
    Missing(&'static str),
    /// A secret is in no place.
    #[error(
        "the environment variables SECRET_ARN and {0} are both missing or empty: set the first on AWS, the other one elsewhere"
    )]
    NoSecret(&'static str),
    /// A variable has a value that it can't have.
    #[error("the environment variable {variable} must be {allowed}")]
    Unknown {
        /// The variable.
        variable: &'static str,
        /// What it may be.
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

/// The variable's value, None if it is missing or empty.
pub fn optional(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The secret in the variable `current`, which may be rotated with `previous`.
///
/// # Errors
/// If `current` is missing or empty: a function without its secret would let everybody in.
pub fn secret(current: &'static str, previous: &str) -> Result<Secret, ConfigError> {
    let value = optional(current).unwrap_or_default();
    Secret::new(&value, optional(previous).as_deref()).map_err(|_| ConfigError::NoSecret(current))
}
