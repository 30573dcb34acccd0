//! The checkpoint file of an import, to continue from after an interruption.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::Counts;
use crate::stigg::{Cursor, Records};

const FORMAT_VERSION: u32 = 1;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Position {
    #[serde(rename = "form")]
    format_version: u32,
    /// Stigg's URL.
    pub(super) source: String,
    /// The customers table.
    pub(super) table: String,
    pub(super) records: Records,
    /// The next page.
    pub(super) from: Option<Cursor>,
    pub(super) counts: Counts,
}

#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("{0} is the checkpoint of an unfinished import: continue with --resume, or remove the file to start over")]
    Unfinished(PathBuf),
    #[error("the checkpoint {0} does not exist: start without --resume")]
    Missing(PathBuf),
    #[error("can't use {file}: {source}")]
    File { file: PathBuf, source: io::Error },
    #[error("{0} is not a checkpoint of this version")]
    Unreadable(PathBuf),
    #[error("{0} is the checkpoint of an import from {1} into {2}")]
    Other(PathBuf, String, String),
}

#[derive(Debug)]
pub struct Checkpoint {
    file: PathBuf,
    pub(super) position: Position,
}

impl Checkpoint {
    /// Starts a new checkpoint, or resumes from the file.
    pub fn open(file: &Path, resume: bool, source: &str, table: &str) -> Result<Self, CheckpointError> {
        let file_error = |source| CheckpointError::File { file: file.to_owned(), source };
        let text = match std::fs::read_to_string(file) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(file_error(error)),
        };
        let position = match (text, resume) {
            (Some(_), false) => return Err(CheckpointError::Unfinished(file.to_owned())),
            (None, true) => return Err(CheckpointError::Missing(file.to_owned())),
            (None, false) => Position {
                format_version: FORMAT_VERSION,
                source: source.to_owned(),
                table: table.to_owned(),
                records: Records::Customers,
                from: None,
                counts: Counts::default(),
            },
            (Some(text), true) => {
                let position: Position = serde_json::from_str(&text).map_err(|_| CheckpointError::Unreadable(file.to_owned()))?;
                if position.format_version != FORMAT_VERSION {
                    return Err(CheckpointError::Unreadable(file.to_owned()));
                }
                if position.source != source || position.table != table {
                    return Err(CheckpointError::Other(file.to_owned(), position.source, position.table));
                }
                position
            }
        };
        let checkpoint = Self { file: file.to_owned(), position };
        checkpoint.save()?;
        Ok(checkpoint)
    }

    /// Replaces the file atomically.
    pub(super) fn save(&self) -> Result<(), CheckpointError> {
        let file_error = |source| CheckpointError::File { file: self.file.clone(), source };
        let text = serde_json::to_string(&self.position).map_err(|error| file_error(error.into()))?;
        let mut temporary = self.file.clone().into_os_string();
        temporary.push(".new");
        std::fs::write(&temporary, text).map_err(file_error)?;
        std::fs::rename(&temporary, &self.file).map_err(file_error)
    }

    pub(super) fn remove(&self) -> Result<(), CheckpointError> {
        std::fs::remove_file(&self.file).map_err(|source| CheckpointError::File { file: self.file.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unfinished_import_continues_only_with_resume_and_the_same_source() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state.json");
        let open = |resume: bool, source: &str| Checkpoint::open(&file, resume, source, "customers");
        assert!(matches!(open(true, "s"), Err(CheckpointError::Missing(_))));
        let mut checkpoint = open(false, "s").unwrap();
        checkpoint.position.from = Some(Cursor::StartingAfter("x".to_owned()));
        checkpoint.position.records = Records::Subscriptions;
        checkpoint.save().unwrap();
        assert!(matches!(open(false, "s"), Err(CheckpointError::Unfinished(_))));
        assert!(matches!(open(true, "other"), Err(CheckpointError::Other(..))));
        let again = open(true, "s").unwrap();
        assert_eq!(again.position, checkpoint.position);
        again.remove().unwrap();
        open(false, "s").unwrap();
        std::fs::write(&file, "{}").unwrap();
        assert!(matches!(open(true, "s"), Err(CheckpointError::Unreadable(_))));
    }
}
