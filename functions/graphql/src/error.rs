//! What can be wrong with a query, in words for its writer and a code for programs.

use std::sync::Arc;

use store::StoreError;

/// A field could not be answered. The message is fit for the caller.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// An argument has a value that it can't have.
    #[error("the argument {name} {problem}")]
    Argument {
        /// The argument.
        name: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A list has more rows than a page may have, and nothing in the answer would say so.
    #[error(
        "there are more rows than a page may have, which is {limit}: page on with first and after, or ask whether there are more \
         with pageInfo {{ hasNextPage }}"
    )]
    PageTooLarge {
        /// The most rows of a page.
        limit: usize,
    },
    /// The lists of an answer have more rows together than one answer may.
    #[error("the answer would have more than {bound} rows, all lists together: ask for fewer at a time")]
    AnswerTooLong {
        /// The most.
        bound: usize,
    },
    /// A cursor that this list did not give.
    #[error("the cursor in {name} {problem}")]
    Cursor {
        /// before or after.
        name: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// More rows would have to be read than one query may.
    #[error("more than {bound} rows would have to be read to answer this exactly: {instead}")]
    TooManyRows {
        /// The most.
        bound: usize,
        /// What to use in its place.
        instead: &'static str,
    },
    /// There are more rows than are counted.
    #[error("there are more than {bound} rows, and no more than that are counted: leave totalCount out")]
    TooManyToCount {
        /// The most.
        bound: u64,
    },
    /// The store failed; the details are in the log.
    #[error("the store did not answer: the same query may succeed a little later")]
    Store,
}

impl ApiError {
    /// The error in one word, for programs.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Argument { .. } => "BAD_USER_INPUT",
            Self::PageTooLarge { .. } => "PAGE_TOO_LARGE",
            Self::Cursor { .. } => "INVALID_CURSOR",
            Self::AnswerTooLong { .. } | Self::TooManyRows { .. } => "TOO_MANY_ROWS",
            Self::TooManyToCount { .. } => "TOO_MANY_TO_COUNT",
            Self::Store => "SERVICE_UNAVAILABLE",
        }
    }

    /// Of an argument.
    pub(crate) fn argument(name: &'static str, problem: impl Into<String>) -> Self {
        Self::Argument { name, problem: problem.into() }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        tracing::error!(kind = error.label(), %error, "the store failed");
        Self::Store
    }
}

impl From<Arc<StoreError>> for ApiError {
    fn from(error: Arc<StoreError>) -> Self {
        tracing::error!(kind = error.label(), %error, "the store failed");
        Self::Store
    }
}
