//! The ids of customers, subscriptions, features and resources: the user's own references.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An id that fits every key of the tables.
///
/// At least one byte, at most [`Id::MAX_BYTES`], and without U+0000, which joins two ids in an
/// index's sort key (PostgreSQL, under the Node example, can't store it either).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Id(String);

/// Why a text is no id. The message is fit for the sender.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// It is empty.
    #[error("must not be empty")]
    Empty,
    /// It is longer than [`Id::MAX_BYTES`].
    #[error("must be at most {} bytes long", Id::MAX_BYTES)]
    TooLong,
    /// It contains U+0000.
    #[error("must not contain the character U+0000")]
    Nul,
}

impl Id {
    /// The limit for every id, in bytes of UTF-8.
    ///
    /// DynamoDB's tightest key, a sort key, takes 1,024 bytes. The longest sort key here holds two ids and a
    /// separator: a subscription's place in the order of customers.
    pub const MAX_BYTES: usize = 500;

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Id {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        if text.is_empty() {
            Err(IdError::Empty)
        } else if text.len() > Self::MAX_BYTES {
            Err(IdError::TooLong)
        } else if text.contains('\0') {
            Err(IdError::Nul)
        } else {
            Ok(Self(text))
        }
    }
}

impl TryFrom<&str> for Id {
    type Error = IdError;

    fn try_from(text: &str) -> Result<Self, IdError> {
        text.to_owned().try_into()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for Id {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Id {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_refused_when_empty_too_long_or_with_a_nul() {
        assert_eq!(Id::try_from(""), Err(IdError::Empty));
        assert_eq!(Id::try_from("é".repeat(251)), Err(IdError::TooLong));
        assert_eq!(Id::try_from("a\0b"), Err(IdError::Nul));
        assert!(Id::try_from("é".repeat(250)).is_ok());
    }
}
