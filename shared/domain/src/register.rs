//! Last-writer-wins registers.

use crate::version::Version;

/// A last-writer-wins register: a value, and the version of the event that wrote it.
#[derive(Clone, Debug, PartialEq)]
pub struct Register<T> {
    pub version: Version,
    pub value: T,
}

/// Whether a register of this version is visible. A register at or below its customer's tombstone counts as deleted.
pub fn is_above(version: &Version, tombstone: Option<&Version>) -> bool {
    tombstone.is_none_or(|tombstone| version > tombstone)
}
