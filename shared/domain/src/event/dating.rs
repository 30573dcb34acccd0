//! The versions of an event: its own time if that is plausible, else the time of its first receipt.

use jiff::{SignedDuration, Timestamp};

use super::Envelope;
use crate::{id::Id, version::Version};

/// How far an event's time may be ahead of its first receipt. An event can't happen after it was received, so only clocks
/// can differ. A register with a time further ahead would win against all events until then.
pub const MAX_CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(5);

/// A time further ahead than this is checked against the stored first receipt: an event whose time was rejected at its
/// first delivery must be rejected again when it is redelivered later.
const NEGLIGIBLE_CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(1);

/// What has to be read from the store before an event gets its versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiptNeed {
    /// The event's own time is used.
    None,
    /// A stored receipt, if there is one: the event's time may have been too far ahead at its first delivery.
    Get,
    /// The first receipt, stored now if there is none: the event has no time, or one too far ahead.
    GetOrCreate,
}

pub fn receipt_need(envelope: &Envelope, now: Timestamp) -> ReceiptNeed {
    let furthest = envelope.time().max(envelope.timestamp);
    match furthest.map(|time| time.duration_since(now)) {
        None => ReceiptNeed::GetOrCreate,
        Some(ahead) if ahead > MAX_CLOCK_SKEW => ReceiptNeed::GetOrCreate,
        Some(ahead) if ahead > NEGLIGIBLE_CLOCK_SKEW || is_list_ahead_of_timestamp(envelope) => ReceiptNeed::Get,
        Some(_) => ReceiptNeed::None,
    }
}

/// Whether a list's time is far ahead of its event's timestamp, as in Stigg's documented example. If it is redelivered after
/// that time, it looks like any other list, so its first receipt has to be looked up.
fn is_list_ahead_of_timestamp(envelope: &Envelope) -> bool {
    let times = envelope.entitlements_updated_at.zip(envelope.timestamp);
    times.is_some_and(|(computed, sent)| computed.duration_since(sent) > MAX_CLOCK_SKEW)
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versions {
    /// At `entitlementsUpdatedAt` for a list of entitlements, else at `timestamp`, else at the first receipt.
    pub event: Version,
    /// Of embedded customer data: at `timestamp`, else as `event`.
    pub embedded: Version,
    /// The event has a time that was too far ahead.
    pub is_time_rejected: bool,
}

/// The versions of an event first received at `received`: the same for each redelivery.
pub fn versions(envelope: &Envelope, received: Timestamp) -> Versions {
    let plausible = |time: Option<Timestamp>| time.filter(|time| time.duration_since(received) <= MAX_CLOCK_SKEW);
    let message_id = usable_message_id(envelope).unwrap_or(&envelope.digest);
    let own = plausible(envelope.time()).map(|time| Version::new(time, message_id));
    let event = own.unwrap_or_else(|| Version::new(received, &receipt_key(envelope)));
    let embedded = plausible(envelope.timestamp).map_or_else(|| event.clone(), |time| Version::new(time, message_id));
    let is_time_rejected =
        [envelope.time(), envelope.timestamp].into_iter().any(|time| time.is_some() && plausible(time).is_none());
    Versions { event, embedded, is_time_rejected }
}

/// The key of an event's first receipt: its messageId and digest (Stigg's test events share one messageId), or the digest
/// alone.
pub fn receipt_key(envelope: &Envelope) -> String {
    let digest = &envelope.digest;
    match usable_message_id(envelope) {
        Some(message_id) => format!("{message_id}|{digest}"),
        None => digest.clone(),
    }
}

/// The messageId, if it can be part of a version.
fn usable_message_id(envelope: &Envelope) -> Option<&str> {
    envelope.message_id.as_deref().filter(|id| !id.is_empty() && id.len() <= Id::MAX_BYTES && !id.contains('\0'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{self, Received};

    const NOW: &str = "2026-11-23T14:00:00.000Z";

    fn envelope(body: &str) -> Envelope {
        match event::parse(body.as_bytes()) {
            Ok(Received::Handled(handled)) => handled.envelope,
            other => panic!("{other:?}"),
        }
    }

    fn at(time: &str) -> Envelope {
        envelope(&format!(r#"{{"type":"customer.deleted","id":"c","messageId":"m","timestamp":"{time}"}}"#))
    }

    fn event_version(envelope: &Envelope) -> String {
        versions(envelope, NOW.parse().unwrap()).event.to_string()
    }

    #[test]
    fn the_event_time_is_entitlements_updated_at_else_timestamp_else_the_first_receipt() {
        let list = envelope(
            r#"{"type":"entitlements.updated","messageId":"m","timestamp":"2026-11-01T00:00:00Z","customer":{"id":"c"},
                "entitlementsUpdatedAt":"2026-11-02T00:00:00Z","entitlements":[]}"#,
        );
        assert_eq!(event_version(&list), "2026-11-02T00:00:00.000Z|m");
        let versions = versions(&list, NOW.parse().unwrap());
        assert_eq!(versions.embedded.as_str(), "2026-11-01T00:00:00.000Z|m");
        assert_eq!(event_version(&at("2026-11-01T00:00:00Z")), "2026-11-01T00:00:00.000Z|m");
        for untimed in ["", "yesterday"].map(at) {
            assert_eq!(event_version(&untimed), format!("{NOW}|m|{}", untimed.digest));
        }
    }

    #[test]
    fn the_digest_replaces_a_missing_message_id() {
        for message_id in ["null".to_owned(), "5".to_owned(), r#""""#.to_owned(), format!(r#""{}""#, "m".repeat(501))] {
            let body =
                format!(r#"{{"type":"customer.deleted","id":"c","messageId":{message_id},"timestamp":"2026-11-01T00:00:00Z"}}"#);
            let envelope = envelope(&body);
            assert_eq!(event_version(&envelope), format!("2026-11-01T00:00:00.000Z|{}", envelope.digest));
        }
    }

    #[test]
    fn times_more_than_five_minutes_ahead_of_the_first_receipt_are_rejected() {
        let now = NOW.parse().unwrap();
        let far = at("2026-11-23T14:05:00.001Z");
        let first = versions(&far, now);
        assert!(first.is_time_rejected && first.event.as_str().starts_with(NOW));
        assert_eq!(receipt_need(&far, now), ReceiptNeed::GetOrCreate);
        // One millisecond later it would be accepted, if its first receipt was not looked up.
        let later = "2026-11-23T14:00:00.001Z".parse().unwrap();
        assert_eq!(receipt_need(&far, later), ReceiptNeed::Get);

        let near = at("2026-11-23T14:05:00.000Z");
        assert_eq!(event_version(&near), "2026-11-23T14:05:00.000Z|m");
        assert!(!versions(&near, now).is_time_rejected);
        assert_eq!(receipt_need(&at("2026-11-23T14:01:00Z"), now), ReceiptNeed::None);
    }

    #[test]
    fn the_receipt_of_a_list_far_ahead_of_its_timestamp_is_looked_up_also_after_that_time() {
        let list = |sent: &str| {
            envelope(&format!(
                r#"{{"type":"entitlements.updated","timestamp":"{sent}","entitlementsUpdatedAt":"2026-11-24T12:00:00Z",
                    "customer":{{"id":"c"}},"entitlements":[]}}"#
            ))
        };
        let days_later = "2026-11-26T14:00:00Z".parse().unwrap();
        assert_eq!(receipt_need(&list(NOW), days_later), ReceiptNeed::Get);
        assert_eq!(receipt_need(&list("2026-11-24T11:55:00Z"), days_later), ReceiptNeed::None);
    }
}
