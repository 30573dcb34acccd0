//! Errors of fields.

use std::sync::Arc;

use store::StoreError;

/// Why a field has no value. The messages are shown to the caller and have no internals.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("the argument {name} {problem}")]
    Argument { name: &'static str, problem: String },
    /// The page would be truncated, and the query does not select the `pageInfo` field that shows it.
    #[error(
        "the list has more rows than the page limit of {limit}: page through it with first and after, or select \
         pageInfo {{ hasNextPage }} to accept a partial list"
    )]
    PageTooLarge { limit: usize },
    #[error("the response would have more than {limit} rows, all lists together: request fewer rows")]
    ResponseTooManyRows { limit: usize },
    /// `name` is `before` or `after`.
    #[error("the cursor in {name} {problem}")]
    Cursor { name: &'static str, problem: &'static str },
    #[error("an exact answer would have to read more than {limit} rows: {suggestion}")]
    TooManyRows { limit: usize, suggestion: &'static str },
    #[error("the list has more than {limit} rows, the most that totalCount counts: leave totalCount out")]
    TooManyToCount { limit: u64 },
    /// The store's own error is in the log.
    #[error("the store did not answer: retry the query later")]
    Store,
}

impl ApiError {
    /// `extensions.code`.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Argument { .. } => "BAD_USER_INPUT",
            Self::PageTooLarge { .. } => "PAGE_TOO_LARGE",
            Self::Cursor { .. } => "INVALID_CURSOR",
            Self::ResponseTooManyRows { .. } | Self::TooManyRows { .. } => "TOO_MANY_ROWS",
            Self::TooManyToCount { .. } => "TOO_MANY_TO_COUNT",
            Self::Store => "SERVICE_UNAVAILABLE",
        }
    }

    pub(crate) fn argument(name: &'static str, problem: impl Into<String>) -> Self {
        Self::Argument { name, problem: problem.into() }
    }
}

impl From<&StoreError> for ApiError {
    fn from(error: &StoreError) -> Self {
        tracing::error!(kind = error.label(), %error, "the store failed");
        Self::Store
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::from(&error)
    }
}

impl From<Arc<StoreError>> for ApiError {
    fn from(error: Arc<StoreError>) -> Self {
        Self::from(error.as_ref())
    }
}
