//! Outcomes of writes, and errors.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use super::attribute::LIST;
use domain::entitlement;

/// The outcome of a write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// A register changed.
    Applied,
    /// Nothing changed: the registers have this version or a higher one, or it is at or below the tombstone.
    #[default]
    Stale,
}

impl Outcome {
    /// For several writes of one event: applied if one was.
    pub fn or(self, other: Self) -> Self {
        if self == Self::Applied { self } else { other }
    }
}

/// A request failed. It is always safe to retry the same event or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// DynamoDB was unreachable, throttled or failed. Retriable.
    #[error("DynamoDB was not available for {operation}")]
    Unavailable {
        operation: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// DynamoDB rejected the request: missing permissions or table, or a bug.
    #[error("DynamoDB refused {operation} with {code}: check the tables and the function's permissions")]
    Refused {
        operation: &'static str,
        /// DynamoDB's name for the error.
        code: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Other writers changed the item at each attempt. Retriable.
    #[error("other writers changed the item at each attempt")]
    Contended,
    /// The item would exceed DynamoDB's limit of 400 KB. Not retriable.
    #[error("the item would be larger than DynamoDB can store (400 KB)")]
    TooLarge,
    /// An attribute has a form that this version does not write.
    #[error("the attribute {attribute} of an item is not readable: another version of the replica wrote it")]
    Unreadable { attribute: &'static str },
}

impl StoreError {
    /// Whether a retry may succeed without an operator's action.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::Contended => true,
            Self::Refused { .. } | Self::TooLarge | Self::Unreadable { .. } => false,
        }
    }

    /// The kind of error in one word, for logs.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "unavailable",
            Self::Refused { .. } => "refused",
            Self::Contended => "contended",
            Self::TooLarge => "too_large",
            Self::Unreadable { .. } => "unreadable",
        }
    }

    pub(super) fn of<E>(operation: &'static str, error: SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        /// Transient errors that have a status of 4xx.
        const TRANSIENT: [&str; 6] = [
            "ProvisionedThroughputExceededException",
            "ThrottlingException",
            "Throttling",
            "RequestLimitExceeded",
            "TransactionConflictException",
            "LimitExceededException",
        ];
        let code = error.as_service_error().and_then(ProvideErrorMetadata::code).map(str::to_owned);
        // A ValidationException: DynamoDB has no code for it.
        let message = error.as_service_error().and_then(ProvideErrorMetadata::message).unwrap_or_default();
        if message.starts_with("Item size") {
            return Self::TooLarge;
        }
        let is_server_error = error.raw_response().is_some_and(|response| response.status().is_server_error());
        let source = Box::new(error);
        match code {
            Some(code) if !is_server_error && !TRANSIENT.contains(&code.as_str()) => Self::Refused { operation, code, source },
            _ => Self::Unavailable { operation, source },
        }
    }
}

impl From<entitlement::UnreadableEntitlement> for StoreError {
    fn from(_: entitlement::UnreadableEntitlement) -> Self {
        Self::Unreadable { attribute: LIST }
    }
}
