//! JSON that is kept and shown and decides nothing.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// JSON as text. As a tree it would take up to fifty times its size in memory.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OpaqueJson(Box<RawValue>);

impl OpaqueJson {
    /// The text, one value of JSON.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// The value, if it is a text.
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
    /// By text: values that differ in white space alone are not equal.
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}
