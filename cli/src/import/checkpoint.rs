//! Where an import stands, in a small file, so that another goes on from there.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::Counts;
use crate::stigg::{Cursor, Records};

/// The form of the file.
const FORM: u32 = 1;

/// Where an import stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Position {
    form: u32,
    /// What is read.
    pub(super) source: String,
    /// What is written.
    pub(super) table: String,
    /// What it is at.
    pub(super) records: Records,
    /// The page that is next.
    pub(super) from: Option<Cursor>,
    /// What was done so far.
    pub(super) counts: Counts,
}

/// Why a file is no use.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("{0} tells of an import that did not end: go on from there with --resume, or remove the file to start over")]
    Unfinished(PathBuf),
    #[error("there is no {0} to go on from: start over without --resume")]
    Missing(PathBuf),
    #[error("{file} can't be used: {source}")]
    File { file: PathBuf, source: io::Error },
    #[error("{0} is no state of an import by this version")]
    Unreadable(PathBuf),
    #[error("{0} is of an import from {1} into {2}")]
    Other(PathBuf, String, String),
}

/// The file.
#[derive(Debug)]
pub struct Checkpoint {
    file: PathBuf,
    /// What it holds.
    pub(super) position: Position,
}

impl Checkpoint {
    /// Begins at the beginning, or where the file says.
    pub fn open(file: &Path, resume: bool, source: &str, table: &str) -> Result<Self, CheckpointError> {
        let of_file = |source| CheckpointError::File { file: file.to_owned(), source };
        let text = match std::fs::read_to_string(file) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(of_file(error)),
        };
        let position = match (text, resume) {
            (Some(_), false) => return Err(CheckpointError::Unfinished(file.to_owned())),
            (None, true) => return Err(CheckpointError::Missing(file.to_owned())),
            (None, false) => Position {
                form: FORM,
                source: source.to_owned(),
                table: table.to_owned(),
                records: Records::Customers,
                from: None,
                counts: Counts::default(),
            },
            (Some(text), true) => {
                let position: Position = serde_json::from_str(&text).map_err(|_| CheckpointError::Unreadable(file.to_owned()))?;
                if position.form != FORM {
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

    /// Writes the file anew: whole, or not at all.
    pub(super) fn save(&self) -> Result<(), CheckpointError> {
        let of_file = |source| CheckpointError::File { file: self.file.clone(), source };
        let text = serde_json::to_string(&self.position).map_err(|error| of_file(error.into()))?;
        let mut beside = self.file.clone().into_os_string();
        beside.push(".new");
        std::fs::write(&beside, text).map_err(of_file)?;
        std::fs::rename(&beside, &self.file).map_err(of_file)
    }

    /// Removes the file: the import is done.
    pub(super) fn remove(&self) -> Result<(), CheckpointError> {
        std::fs::remove_file(&self.file).map_err(|source| CheckpointError::File { file: self.file.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unfinished_import_is_gone_on_with_only_when_asked_and_only_the_same() {
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
