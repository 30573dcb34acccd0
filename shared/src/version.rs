//! The version of an event: what orders the writes of a register.
//!
//! `<event time, UTC, fixed width, to the millisecond>|<id of the event>`, a string that sorts in
//! time order. Two events of one millisecond are ordered by id, so every replica agrees.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{event::Envelope, id::Id, time};

/// How far ahead of its receipt an event's time is believed. Later, and a register written with it
/// would be locked until then.
pub const BELIEVED_AHEAD: SignedDuration = SignedDuration::from_hours(48);

/// How far ahead of its receipt a time may lie before the event's first receipt is looked up: an
/// event that was not believed at first must not be believed when it is delivered again later.
const SURELY_BELIEVED_AHEAD: SignedDuration = SignedDuration::from_hours(1);

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

/// The first 128 bits of the body's SHA-256 in hexadecimal: what identifies an event that says no
/// messageId, and tells apart the test events, which share one.
pub fn digest(body: &[u8]) -> String {
    use fmt::Write as _;
    Sha256::digest(body).iter().take(16).fold(String::with_capacity(32), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What the store has to be asked before an event can be dated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiptNeed {
    /// Nothing: the event says its time, and no receipt could change that.
    None,
    /// Whether a first receipt is remembered: the event's time lies ahead, though not too far, and
    /// may have lain too far ahead when it was first delivered.
    LookUp,
    /// The first receipt, to be remembered if this is the first: the event says no time, or one too
    /// far ahead to be believed.
    Remember,
}

/// What the store has to be asked to date an event received at `now`.
pub fn receipt_need(envelope: &Envelope, now: Timestamp) -> ReceiptNeed {
    let furthest = envelope.time().max(envelope.timestamp);
    match furthest.map(|time| time.duration_since(now)) {
        None => ReceiptNeed::Remember,
        Some(ahead) if ahead > BELIEVED_AHEAD => ReceiptNeed::Remember,
        Some(ahead) if ahead > SURELY_BELIEVED_AHEAD => ReceiptNeed::LookUp,
        Some(_) => ReceiptNeed::None,
    }
}

/// The versions that one event writes with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versions {
    /// Of what the event is about: at `entitlementsUpdatedAt` for a list of entitlements, else at
    /// `timestamp`, else at the first receipt.
    pub event: Version,
    /// Of the customer that it shows beside that: at the event's `timestamp` where it has one.
    pub embedded: Version,
    /// The event said a time that is not believed.
    pub disbelieved: bool,
}

/// The versions of an event first received at `received`. A redelivery gets the same ones.
pub fn versions(envelope: &Envelope, received: Timestamp) -> Versions {
    let believed = |time: Option<Timestamp>| time.filter(|time| time.duration_since(received) <= BELIEVED_AHEAD);
    let message_id = usable_message_id(envelope).unwrap_or(&envelope.digest);
    let own = believed(envelope.time()).map(|time| Version::new(time, message_id));
    let event = own.unwrap_or_else(|| Version::new(received, &receipt_key(envelope)));
    let embedded = believed(envelope.timestamp).map_or_else(|| event.clone(), |time| Version::new(time, message_id));
    let disbelieved = [envelope.time(), envelope.timestamp].into_iter().any(|time| time.is_some() && believed(time).is_none());
    Versions { event, embedded, disbelieved }
}

/// What the first receipt of an event is remembered under: its messageId and the digest of its
/// body (Stigg's test events share one messageId), or the digest alone.
pub fn receipt_key(envelope: &Envelope) -> String {
    let digest = &envelope.digest;
    match usable_message_id(envelope) {
        Some(message_id) => format!("{message_id}|{digest}"),
        None => digest.clone(),
    }
}

/// The messageId, unless it is none that could be part of a version.
fn usable_message_id(envelope: &Envelope) -> Option<&str> {
    envelope.message_id.as_deref().filter(|id| !id.is_empty() && id.len() <= Id::MAX_BYTES && !id.contains('\0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-23T14:00:00.000Z";

    fn envelope(body: &str) -> Envelope {
        Envelope::parse(body.as_bytes()).unwrap()
    }

    fn event_version(body: &str) -> String {
        versions(&envelope(body), NOW.parse().unwrap()).event.to_string()
    }

    #[test]
    fn the_event_time_is_that_of_the_list_else_the_timestamp_else_the_receipt() {
        let list = r#"{"type":"entitlements.updated","messageId":"m","timestamp":"2026-11-01T00:00:00Z","entitlementsUpdatedAt":"2026-11-02T00:00:00Z"}"#;
        assert_eq!(event_version(list), "2026-11-02T00:00:00.000Z|m");
        let versions = versions(&envelope(list), NOW.parse().unwrap());
        assert_eq!(versions.embedded.as_str(), "2026-11-01T00:00:00.000Z|m");
        assert_eq!(
            event_version(r#"{"type":"customer.updated","messageId":"m","timestamp":"2026-11-01T00:00:00Z"}"#),
            "2026-11-01T00:00:00.000Z|m"
        );
        let untimed = r#"{"type":"customer.updated","messageId":"m","timestamp":null}"#;
        assert_eq!(event_version(untimed), format!("{NOW}|m|{}", digest(untimed.as_bytes())));
    }

    #[test]
    fn an_event_without_a_message_id_gets_the_digest_of_its_body_as_one() {
        for message_id in ["null".to_owned(), r#""""#.to_owned(), format!(r#""{}""#, "m".repeat(501))] {
            let body = format!(r#"{{"type":"x","messageId":{message_id},"timestamp":"2026-11-01T00:00:00Z"}}"#);
            assert_eq!(event_version(&body), format!("2026-11-01T00:00:00.000Z|{}", digest(body.as_bytes())));
        }
    }

    #[test]
    fn a_time_more_than_48_hours_ahead_of_the_first_receipt_is_not_believed() {
        let at = |time: &str| format!(r#"{{"type":"x","messageId":"m","timestamp":"{time}"}}"#);
        let far = at("2026-11-25T14:00:00.001Z");
        let first = versions(&envelope(&far), NOW.parse().unwrap());
        assert!(first.disbelieved && first.event.as_str().starts_with(NOW));
        assert_eq!(receipt_need(&envelope(&far), NOW.parse().unwrap()), ReceiptNeed::Remember);
        // an hour later it would be believed, were its first receipt not looked up
        let later = "2026-11-23T15:00:00Z".parse().unwrap();
        assert_eq!(receipt_need(&envelope(&far), later), ReceiptNeed::LookUp);

        let near = at("2026-11-25T14:00:00.000Z");
        assert_eq!(event_version(&near), "2026-11-25T14:00:00.000Z|m");
        assert_eq!(receipt_need(&envelope(&at("2026-11-23T15:00:00Z")), NOW.parse().unwrap()), ReceiptNeed::None);
    }

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
