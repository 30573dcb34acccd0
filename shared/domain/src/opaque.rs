//! JSON that is stored and returned unparsed.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// One JSON value as text. Parsed, it would take up to 50 times as much memory.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OpaqueJson(Box<RawValue>);

impl OpaqueJson {
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// The value, if it is a string.
    pub fn to_text(&self) -> Option<String> {
        serde_json::from_str(self.as_str()).ok()
    }
}

impl From<Box<RawValue>> for OpaqueJson {
    fn from(json: Box<RawValue>) -> Self {
        Self(json)
    }
}

impl PartialEq for OpaqueJson {
    /// Compares text: values that differ only in white space are not equal.
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}
