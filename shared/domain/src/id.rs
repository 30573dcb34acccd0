//! Ids of customers, subscriptions, features and resources, as the Stigg account's owner chose them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An id: 1 to [`Id::MAX_BYTES`] bytes of UTF-8, without U+0000.
///
/// U+0000 separates two ids in a sort key. (PostgreSQL, which Stigg's Node example uses, can't store it either.)
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Id(String);

/// Why a text is not an id. The message can be shown to the sender.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    #[error("must not be empty")]
    Empty,
    #[error("must be at most {} bytes long", Id::MAX_BYTES)]
    TooLong,
    #[error("must not contain the character U+0000")]
    Nul,
}

impl Id {
    /// Derived from DynamoDB's limit of 1,024 bytes for a sort key: the longest one here holds two ids and a separator.
    /// The crate `store` checks this when it is compiled.
    pub const MAX_BYTES: usize = 500;

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
    fn empty_and_too_long_ids_and_ids_with_u0000_are_rejected() {
        assert_eq!(Id::try_from(""), Err(IdError::Empty));
        assert_eq!(Id::try_from("é".repeat(251)), Err(IdError::TooLong));
        assert_eq!(Id::try_from("a\0b"), Err(IdError::Nul));
        assert!(Id::try_from("é".repeat(250)).is_ok());
    }
}
