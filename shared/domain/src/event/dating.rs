//! The versions that an event writes with: when it happened, as far as that is believed.

use jiff::{SignedDuration, Timestamp};

use super::Envelope;
use crate::{id::Id, version::Version};

/// How far ahead of its receipt an event's time is believed: as far as clocks differ, since nothing happens
/// after it was received. A register written with a later time would beat whatever follows until then.
pub const BELIEVED_AHEAD: SignedDuration = SignedDuration::from_mins(5);

/// How far ahead of its receipt a time may lie before the event's first receipt is looked up: an
/// event that was not believed at first must not be believed when it is delivered again later.
const SURELY_BELIEVED_AHEAD: SignedDuration = SignedDuration::from_mins(1);

/// What the store has to be asked before an event can be dated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiptNeed {
    /// Nothing: the event says its time, and no receipt could change that.
    None,
    /// Whether a first receipt is remembered: the event's time lies ahead, though not too far, and
    /// may have lain too far ahead when it was first delivered; or a list says that it was made long after
    /// it was sent.
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
        Some(ahead) if ahead > SURELY_BELIEVED_AHEAD || is_ahead_of_itself(envelope) => ReceiptNeed::LookUp,
        Some(_) => ReceiptNeed::None,
    }
}

/// Whether a list was made longer after its own timestamp than is believed, as in Stigg's documented example.
/// Delivered again after that time it looks like any other, so that its first receipt has to be looked up.
fn is_ahead_of_itself(envelope: &Envelope) -> bool {
    let times = envelope.entitlements_updated_at.zip(envelope.timestamp);
    times.is_some_and(|(made, sent)| made.duration_since(sent) > BELIEVED_AHEAD)
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
    fn the_event_time_is_that_of_the_list_else_the_timestamp_else_the_receipt() {
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
    fn an_event_without_a_message_id_gets_the_digest_of_its_content_as_one() {
        for message_id in ["null".to_owned(), "5".to_owned(), r#""""#.to_owned(), format!(r#""{}""#, "m".repeat(501))] {
            let body =
                format!(r#"{{"type":"customer.deleted","id":"c","messageId":{message_id},"timestamp":"2026-11-01T00:00:00Z"}}"#);
            let envelope = envelope(&body);
            assert_eq!(event_version(&envelope), format!("2026-11-01T00:00:00.000Z|{}", envelope.digest));
        }
    }

    #[test]
    fn a_time_more_than_five_minutes_ahead_of_the_first_receipt_is_not_believed() {
        let now = NOW.parse().unwrap();
        let far = at("2026-11-23T14:05:00.001Z");
        let first = versions(&far, now);
        assert!(first.disbelieved && first.event.as_str().starts_with(NOW));
        assert_eq!(receipt_need(&far, now), ReceiptNeed::Remember);
        // A moment later it would be believed, were its first receipt not looked up.
        let later = "2026-11-23T14:00:00.001Z".parse().unwrap();
        assert_eq!(receipt_need(&far, later), ReceiptNeed::LookUp);

        let near = at("2026-11-23T14:05:00.000Z");
        assert_eq!(event_version(&near), "2026-11-23T14:05:00.000Z|m");
        assert!(!versions(&near, now).disbelieved);
        assert_eq!(receipt_need(&at("2026-11-23T14:01:00Z"), now), ReceiptNeed::None);
    }

    #[test]
    fn a_list_far_ahead_of_its_own_timestamp_is_not_believed_once_that_time_has_come_either() {
        let list = |sent: &str| {
            envelope(&format!(
                r#"{{"type":"entitlements.updated","timestamp":"{sent}","entitlementsUpdatedAt":"2026-11-24T12:00:00Z",
                    "customer":{{"id":"c"}},"entitlements":[]}}"#
            ))
        };
        let days_later = "2026-11-26T14:00:00Z".parse().unwrap();
        assert_eq!(receipt_need(&list(NOW), days_later), ReceiptNeed::LookUp);
        assert_eq!(receipt_need(&list("2026-11-24T11:55:00Z"), days_later), ReceiptNeed::None);
    }
}
