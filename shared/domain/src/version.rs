//! Versions of registers. The highest version wins.
//!
//! `<event time, UTC, fixed width, milliseconds>|<event id>`, a string that sorts in time order. Events of the same
//! millisecond are ordered by id, so that every replica agrees.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::time;

/// The start of year 0, in milliseconds since 1970.
const YEAR_0: i64 = -62_167_219_200_000;

/// Compares by bytes, as DynamoDB compares strings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(String);

impl Version {
    pub fn new(time: Timestamp, id: &str) -> Self {
        Self(format!("{}|{id}", time::to_fixed_width(time)))
    }

    /// Parses [`Self::as_str`]'s form. None if the text is not a version.
    pub fn from_stored(text: &str) -> Option<Self> {
        (text.as_bytes().get(time::FIXED_WIDTH) == Some(&b'|')).then(|| Self(text.to_owned()))
    }

    /// A compact form with the same order: 7 bytes of time (milliseconds since year 0, big-endian), then the id.
    pub fn to_bytes(&self) -> Vec<u8> {
        let since_year_0 = u64::try_from(self.time().as_millisecond() - YEAR_0).unwrap_or_default();
        let mut bytes = since_year_0.to_be_bytes()[1..].to_vec();
        bytes.extend_from_slice(self.0.as_bytes().get(time::FIXED_WIDTH + 1..).unwrap_or_default());
        bytes
    }

    /// Parses [`Self::to_bytes`]'s form. None if the bytes are not a version.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (time, id) = bytes.split_first_chunk::<7>()?;
        let since_year_0 = time.iter().fold(0_i64, |sum, byte| sum << 8 | i64::from(*byte));
        let time = Timestamp::from_millisecond(since_year_0.checked_add(YEAR_0)?).ok()?;
        Some(Self::new(time, std::str::from_utf8(id).ok()?))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The event time in the fixed-width form.
    pub fn time_text(&self) -> &str {
        self.0.get(..time::FIXED_WIDTH).unwrap_or_default()
    }

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
    fn the_compact_form_has_the_same_order_and_round_trips() {
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
    fn stored_versions_round_trip_and_other_text_is_rejected() {
        let version = Version::new(NOW.parse().unwrap(), "m|1");
        assert_eq!(Version::from_stored(version.as_str()), Some(version.clone()));
        assert_eq!(version.time_text(), NOW);
        assert_eq!(Version::from_stored("m|1"), None);
    }
}
