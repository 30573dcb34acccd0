//! Secrets: compared in constant time, two of them valid during a rotation, never printed.

use std::fmt;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// A secret's values that are accepted: the current one, and the previous one during a rotation.
///
/// Only digests are kept, so that a comparison takes the same time whatever is presented, its
/// length included, and so that nothing secret can be printed.
#[derive(Clone)]
pub struct Secret {
    accepted: Vec<[u8; 32]>,
}

/// A secret's value is empty: anyone could present it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the secret is empty")]
pub struct EmptySecret;

impl Secret {
    /// Accepts `current`, and `previous` unless that is absent or empty.
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

    /// Whether the value presented is one of the accepted ones.
    pub fn accepts(&self, presented: &[u8]) -> bool {
        let presented: [u8; 32] = Sha256::digest(presented).into();
        let matches = self.accepted.iter().map(|accepted| accepted.ct_eq(&presented));
        matches.fold(subtle::Choice::from(0), |any, one| any | one).into()
    }

    /// Whether an `Authorization` header presents one of the accepted values as a bearer token.
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
    fn the_current_and_the_previous_value_are_accepted_and_no_other() {
        let secret = Secret::new("current", Some("previous")).unwrap();
        assert!(secret.accepts(b"current") && secret.accepts(b"previous"));
        for other in ["", "curren", "current ", "Current", "currentprevious"] {
            assert!(!secret.accepts(other.as_bytes()), "{other:?}");
        }
    }

    #[test]
    fn an_empty_value_is_refused_as_current_and_not_accepted_as_previous() {
        assert_eq!(Secret::new("", Some("previous")).unwrap_err(), EmptySecret);
        assert!(!Secret::new("current", Some("")).unwrap().accepts(b""));
    }

    #[test]
    fn a_bearer_token_needs_its_scheme() {
        let secret = Secret::new("token", None).unwrap();
        assert!(secret.accepts_bearer(Some(b"Bearer token")) && secret.accepts_bearer(Some(b"bearer token")));
        for header in [None, Some("token"), Some("Basic token"), Some("Bearer"), Some("Bearer "), Some("Bearer  token")] {
            assert!(!secret.accepts_bearer(header.map(str::as_bytes)), "{header:?}");
        }
    }

    #[test]
    fn nothing_secret_is_printed() {
        assert_eq!(format!("{:?}", Secret::new("current", None)), "Ok(Secret(redacted))");
    }
}
