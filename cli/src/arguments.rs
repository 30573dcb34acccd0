//! Parsers of command-line arguments.

use domain::id::{Id, IdError};

pub(crate) fn id(text: &str) -> Result<Id, IdError> {
    Id::try_from(text)
}
