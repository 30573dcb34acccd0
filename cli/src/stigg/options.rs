//! How Stigg's API is read: where, how fast, with which key.

use std::time::Duration;

use clap::Args;
use reqwest::{Url, header::HeaderValue};

/// The variable that holds Stigg's key. It is no option: those are seen in lists of processes.
const KEY_VARIABLE: &str = "STIGG_API_KEY";

/// The options by which a command is told how to read Stigg's API, to be flattened into its own.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Stigg's API (its key in the variable STIGG_API_KEY)")]
pub struct Options {
    /// The address of Stigg's REST API
    #[arg(long, env = "STIGG_URL", value_name = "URL", default_value = "https://api.stigg.io")]
    pub stigg_url: Url,

    /// The address of Stigg's Edge API
    #[arg(long, env = "STIGG_EDGE_URL", value_name = "URL", default_value = "https://edge.api.stigg.io")]
    pub stigg_edge_url: Url,

    /// The most requests a second, 0 for no limit. Stigg allows 100, which your product's own calls to Stigg share
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub rate: u32,

    /// How many customers are worked on at once
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub concurrency: u16,

    /// By how many seconds Stigg's API may lag behind its events
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub lag: u32,

    /// How many seconds a request may take
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..))]
    pub timeout: u16,

    /// The first wait before a request that failed is tried again; it doubles with each try
    #[arg(skip = Duration::from_millis(500))]
    pub backoff: Duration,
}

/// Stigg's key. Its `Debug` does not show it.
#[derive(Clone, Debug)]
pub struct Key(HeaderValue);

/// There is no usable key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("{KEY_VARIABLE} is not set: it is the Full access key, in Stigg under Integrations, API keys")]
    Missing,
    #[error("{KEY_VARIABLE} holds characters that no key has")]
    Unusable,
}

impl Key {
    /// The key in the environment.
    pub fn from_environment() -> Result<Self, KeyError> {
        Self::new(std::env::var(KEY_VARIABLE).unwrap_or_default().trim())
    }

    /// This key.
    pub fn new(key: &str) -> Result<Self, KeyError> {
        if key.is_empty() {
            return Err(KeyError::Missing);
        }
        let mut value = HeaderValue::from_str(key).map_err(|_| KeyError::Unusable)?;
        value.set_sensitive(true);
        Ok(Self(value))
    }

    /// The key as a header, which is not shown either.
    pub(crate) fn header(&self) -> &HeaderValue {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_not_shown() {
        assert!(!format!("{:?}", Key::new("secret-key").unwrap()).contains("secret-key"));
        assert_eq!(Key::new("").unwrap_err(), KeyError::Missing);
        assert_eq!(Key::new("a\nb").unwrap_err(), KeyError::Unusable);
    }
}
