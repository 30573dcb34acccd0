//! Exit codes and error texts of commands.

use std::{error::Error, process::ExitCode};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

/// The exit status of a command that ran. Errors exit with 1, bad usage with 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum ExitStatus {
    /// Exit code 0.
    Success,
    /// Completed with findings, such as differences: exit code 3.
    Findings,
    /// Completed, and the result is a failure: exit code 1.
    Failure,
    /// Not confirmed, nothing done: exit code 2.
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

/// An error with its sources in one line. A source whose text is already contained is left out.
pub fn in_one_line(error: &dyn Error) -> String {
    let mut line = error.to_string();
    for source in sources(error) {
        let source = source.to_string();
        if !line.contains(&source) {
            line = format!("{line}: {source}");
        }
    }
    line
}

fn sources(error: &dyn Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(error.source(), |&source| source.source())
}

/// The code and message of AWS's response, or the client's error if there is no response.
pub fn aws_error<E>(error: &SdkError<E>) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        _ => match sources(error).find_map(|source| source.downcast_ref::<CredentialsError>()) {
            Some(credentials) => {
                let reason = in_one_line(credentials);
                let reason = reason.lines().next().unwrap_or_default().trim_end_matches(". Attempted:");
                format!("no AWS credentials: log in with `aws sso login`, or select a profile with --profile ({reason})")
            }
            None => in_one_line(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::operation::put_item::PutItemError;
    use aws_smithy_runtime_api::client::result::ConnectorError;

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

    #[test]
    fn missing_credentials_are_named_with_what_to_do() {
        let credentials = CredentialsError::not_loaded("no credentials found in chain. Attempted:\n  Environment");
        let error = SdkError::<PutItemError>::dispatch_failure(ConnectorError::other(credentials.into(), None));
        let text = aws_error(&error);
        assert!(text.starts_with("no AWS credentials: log in") && !text.contains('\n'), "{text}");
        let timeout = SdkError::<PutItemError>::dispatch_failure(ConnectorError::timeout("too late".into()));
        assert_eq!(aws_error(&timeout), "dispatch failure: timeout: too late");
    }
}
