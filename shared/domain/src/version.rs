//! The version of an event: what orders the writes of a register.
//!
//! `<event time, UTC, fixed width, to the millisecond>|<id of the event>`, a string that sorts in
//! time order. Two events of one millisecond are ordered by id, so every replica agrees.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::time;

/// The start of year 0, in milliseconds since 1970.
const YEAR_0: i64 = -62_167_219_200_000;

/// A version of a register. Compares as DynamoDB compares strings: by bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(String);

impl Version {
    /// The version of an event that happened at `time` and is known by `id`.
    pub fn new(time: Timestamp, id: &str) -> Self {
        Self(format!("{}|{id}", time::to_fixed_width(time)))
    }

    /// A version as the store holds it. None if it is not one.
    pub fn from_stored(text: &str) -> Option<Self> {
        (text.as_bytes().get(time::FIXED_WIDTH) == Some(&b'|')).then(|| Self(text.to_owned()))
    }

    /// The version in a compact form that sorts as the text does: the time in 7 bytes (milliseconds since year 0,
    /// big-endian), then the id.
    pub fn to_bytes(&self) -> Vec<u8> {
        let since_year_0 = u64::try_from(self.time().as_millisecond() - YEAR_0).unwrap_or_default();
        let mut bytes = since_year_0.to_be_bytes()[1..].to_vec();
        bytes.extend_from_slice(self.0.as_bytes().get(time::FIXED_WIDTH + 1..).unwrap_or_default());
        bytes
    }

    /// Reads the compact form. None if it is not one.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (time, id) = bytes.split_first_chunk::<7>()?;
        let since_year_0 = time.iter().fold(0_i64, |sum, byte| sum << 8 | i64::from(*byte));
        let time = Timestamp::from_millisecond(since_year_0.checked_add(YEAR_0)?).ok()?;
        Some(Self::new(time, std::str::from_utf8(id).ok()?))
    }

    /// The version as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The time of the event in its fixed-width form.
    pub fn time_text(&self) -> &str {
        self.0.get(..time::FIXED_WIDTH).unwrap_or_default()
    }

    /// The time of the event.
    pub fn time(&self) -> Timestamp {
        self.time_text().parse().unwrap_or(Timestamp::MIN)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-23T14:00:00.000Z";

    #[test]
    fn the_compact_form_sorts_as_the_text_and_is_read_back() {
        let times = ["0000-01-01T00:00:00.000Z", "1969-12-31T23:59:59.999Z", NOW, "9999-12-30T22:00:00.000Z"];
        let versions = times.iter().flat_map(|time| ["", "m", "m|1", "mé"].map(|id| Version::new(time.parse().unwrap(), id)));
        let versions: Vec<Version> = versions.collect();
        assert!(versions.is_sorted() && versions.iter().map(Version::to_bytes).is_sorted());
        for version in versions {
            assert_eq!(Version::from_bytes(&version.to_bytes()), Some(version));
        }
        assert_eq!(Version::from_bytes(&[0xff; 7]), None);
    }

    #[test]
    fn a_stored_version_is_read_back_and_anything_else_is_not() {
        let version = Version::new(NOW.parse().unwrap(), "m|1");
        assert_eq!(Version::from_stored(version.as_str()), Some(version.clone()));
        assert_eq!(version.time_text(), NOW);
        assert_eq!(Version::from_stored("m|1"), None);
    }
}
