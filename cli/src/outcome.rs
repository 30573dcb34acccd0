//! How a command ends: what its exit code says, and what is printed of an error.

use std::{error::Error, process::ExitCode};

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

/// How a command ended that did what it was asked. One that failed exits with 1, and one that was
/// asked wrongly with 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum ExitStatus {
    /// All is well: exit code 0.
    Success,
    /// It is done, and something wants a look: exit code 3.
    Findings,
    /// It is done, and what it found or got is bad: exit code 1.
    Failure,
    /// It was not confirmed, and nothing was done: exit code 2.
    NotConfirmed,
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        match status {
            ExitStatus::Success => Self::SUCCESS,
            ExitStatus::NotConfirmed => Self::from(2),
            ExitStatus::Findings => Self::from(3),
            ExitStatus::Failure => Self::FAILURE,
        }
    }
}

/// An error with all that is under it, in one line. What a message already says is not repeated.
pub fn in_one_line(error: &dyn Error) -> String {
    let mut line = error.to_string();
    for source in std::iter::successors(error.source(), |&source| source.source()) {
        let source = source.to_string();
        if !line.contains(&source) {
            line = format!("{line}: {source}");
        }
    }
    line
}

/// Why AWS did not do what it was asked: in its own words if it answered.
pub fn aws_error<E>(error: &SdkError<E>) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        _ => in_one_line(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_printed_with_its_sources_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("the table can't be read: {source}")]
        struct Outer {
            source: Inner,
        }
        #[derive(Debug, thiserror::Error)]
        #[error("no answer")]
        struct Inner(#[source] std::io::Error);
        let error = Outer { source: Inner(std::io::Error::other("refused")) };
        assert_eq!(in_one_line(&error), "the table can't be read: no answer: refused");
    }
}
