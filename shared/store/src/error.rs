//! What a write comes to, and what can go wrong with the store.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use super::attribute::LIST;
use domain::entitlement;

/// What a write came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// It changed a register.
    Applied,
    /// The registers already held this version or a higher one, or it is at or below the tombstone.
    #[default]
    Stale,
}

impl Outcome {
    /// Of two writes of one event: applied if either was.
    pub fn or(self, other: Self) -> Self {
        if self == Self::Applied { self } else { other }
    }
}

/// The store did not carry out a request. Sending the same event or the same read again is always safe.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// DynamoDB could not be reached in time, throttled or failed: the same again may succeed.
    #[error("DynamoDB was not available for {operation}")]
    Unavailable {
        /// The request.
        operation: &'static str,
        /// What the SDK says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// DynamoDB refused the request: permissions, a missing table, or a mistake of ours.
    #[error("DynamoDB refused {operation} with {code}: check the tables and the function's permissions")]
    Refused {
        /// The request.
        operation: &'static str,
        /// DynamoDB's name for the error.
        code: String,
        /// What the SDK says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Other writers changed the item at each attempt. Retriable.
    #[error("other writers changed the item at each attempt")]
    Contended,
    /// The item would exceed DynamoDB's limit of 400 KB. Not retriable.
    #[error("the item would be larger than DynamoDB can store (400 KB)")]
    TooLarge,
    /// An item holds what this program did not write.
    #[error("the attribute {attribute} of an item is not readable: another version of the replica wrote it")]
    Unreadable {
        /// The attribute.
        attribute: &'static str,
    },
}

impl StoreError {
    /// Whether the same again may succeed without anybody doing something.
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

    /// The error of an SDK's request.
    pub(super) fn of<E>(operation: &'static str, error: SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        /// DynamoDB's errors that are not the server's fault by status, and pass all the same.
        const PASSING: [&str; 6] = [
            "ProvisionedThroughputExceededException",
            "ThrottlingException",
            "Throttling",
            "RequestLimitExceeded",
            "TransactionConflictException",
            "LimitExceededException",
        ];
        let code = error.as_service_error().and_then(ProvideErrorMetadata::code).map(str::to_owned);
        // DynamoDB has no code of its own for it.
        let message = error.as_service_error().and_then(ProvideErrorMetadata::message).unwrap_or_default();
        if message.starts_with("Item size") {
            return Self::TooLarge;
        }
        let is_servers_fault = error.raw_response().is_some_and(|response| response.status().is_server_error());
        let source = Box::new(error);
        match code {
            Some(code) if !is_servers_fault && !PASSING.contains(&code.as_str()) => Self::Refused { operation, code, source },
            _ => Self::Unavailable { operation, source },
        }
    }
}

impl From<entitlement::Unreadable> for StoreError {
    fn from(_: entitlement::Unreadable) -> Self {
        Self::Unreadable { attribute: LIST }
    }
}
