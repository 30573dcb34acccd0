//! Secrets: compared in constant time, never printed, with two valid values during a rotation.

use std::fmt;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// The accepted values of a secret: the current one and, during a rotation, the previous one.
///
/// Stores digests only. So the duration of a comparison depends neither on the presented value nor on its length, and
/// the secret can't be printed.
#[derive(Clone)]
pub struct Secret {
    accepted: Vec<[u8; 32]>,
}

/// The secret is empty, so every caller could present it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the secret is empty")]
pub struct EmptySecret;

impl Secret {
    /// Accepts `current`, and `previous` unless it is None or empty.
    ///
    /// # Errors
    /// If `current` is empty.
    pub fn new(current: &str, previous: Option<&str>) -> Result<Self, EmptySecret> {
        if current.is_empty() {
            return Err(EmptySecret);
        }
        let values = [Some(current), previous.filter(|value| !value.is_empty())];
        Ok(Self { accepted: values.into_iter().flatten().map(|value| Sha256::digest(value).into()).collect() })
    }

    /// Whether the presented value is accepted.
    pub fn accepts(&self, presented: &[u8]) -> bool {
        let presented: [u8; 32] = Sha256::digest(presented).into();
        let matches = self.accepted.iter().map(|accepted| accepted.ct_eq(&presented));
        matches.fold(subtle::Choice::from(0), |any, one| any | one).into()
    }

    /// Whether an `Authorization` header has an accepted value as its bearer token.
    pub fn accepts_bearer(&self, authorization: Option<&[u8]>) -> bool {
        let token = authorization.and_then(|header| header.split_at_checked("Bearer ".len()));
        token.is_some_and(|(scheme, token)| scheme.eq_ignore_ascii_case(b"Bearer ") && self.accepts(token))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_current_and_the_previous_value_are_accepted() {
        let secret = Secret::new("current", Some("previous")).unwrap();
        assert!(secret.accepts(b"current") && secret.accepts(b"previous"));
        for other in ["", "curren", "current ", "Current", "currentprevious"] {
            assert!(!secret.accepts(other.as_bytes()), "{other:?}");
        }
    }

    #[test]
    fn an_empty_current_value_is_rejected_and_an_empty_previous_value_is_ignored() {
        assert_eq!(Secret::new("", Some("previous")).unwrap_err(), EmptySecret);
        assert!(!Secret::new("current", Some("")).unwrap().accepts(b""));
    }

    #[test]
    fn a_bearer_token_requires_the_bearer_scheme() {
        let secret = Secret::new("token", None).unwrap();
        assert!(secret.accepts_bearer(Some(b"Bearer token")) && secret.accepts_bearer(Some(b"bearer token")));
        for header in [None, Some("token"), Some("Basic token"), Some("Bearer"), Some("Bearer "), Some("Bearer  token")] {
            assert!(!secret.accepts_bearer(header.map(str::as_bytes)), "{header:?}");
        }
    }

    #[test]
    fn debug_output_is_redacted() {
        assert_eq!(format!("{:?}", Secret::new("current", None)), "Ok(Secret(redacted))");
    }
}
