//! Options and key of Stigg's API.

use std::time::Duration;

use clap::Args;
use reqwest::{Url, header::HeaderValue};

/// A variable and not an option, since options are visible in process lists.
const KEY_VARIABLE: &str = "STIGG_API_KEY";

/// Options of commands that read Stigg's API.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Stigg's API (set its key in the variable STIGG_API_KEY)")]
pub struct Options {
    /// Address of Stigg's REST API
    #[arg(long, env = "STIGG_URL", value_name = "URL", default_value = "https://api.stigg.io")]
    pub stigg_url: Url,

    /// Address of Stigg's Edge API
    #[arg(long, env = "STIGG_EDGE_URL", value_name = "URL", default_value = "https://edge.api.stigg.io")]
    pub stigg_edge_url: Url,

    /// Maximum requests per second, 0 for no limit. Stigg allows 100, shared with your product's own calls
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub rate: u32,

    /// Customers processed in parallel
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub concurrency: u16,

    /// Seconds that Stigg's API may lag behind its events
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub lag: u32,

    /// Request timeout in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..))]
    pub timeout: u16,

    /// Delay before the first retry; doubles with each attempt
    #[arg(skip = Duration::from_millis(500))]
    pub backoff: Duration,
}

/// Stigg's API key, redacted in `Debug`.
#[derive(Clone, Debug)]
pub struct Key(HeaderValue);

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("{KEY_VARIABLE} is not set: set it to the Full access key, in Stigg under Integrations, API keys")]
    Missing,
    #[error("{KEY_VARIABLE} contains invalid characters")]
    Unusable,
}

impl Key {
    pub fn from_environment() -> Result<Self, KeyError> {
        Self::new(std::env::var(KEY_VARIABLE).unwrap_or_default().trim())
    }

    pub fn new(key: &str) -> Result<Self, KeyError> {
        if key.is_empty() {
            return Err(KeyError::Missing);
        }
        let mut value = HeaderValue::from_str(key).map_err(|_| KeyError::Unusable)?;
        value.set_sensitive(true);
        Ok(Self(value))
    }

    /// Marked as sensitive.
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
