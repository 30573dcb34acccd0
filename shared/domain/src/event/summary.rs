//! An event's type and ids for the log, also if the event can't be parsed.

use serde::Deserializer as _;
use serde_json::value::RawValue;

use super::{
    EventType,
    member::{MemberCollector, Object},
};
use crate::id::Id;

/// Maximum length of an event's type in logs and answers.
pub(super) const MAX_TYPE_CHARS: usize = 100;

/// The fields of an event that are logged when it is rejected or set aside.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct EventSummary {
    /// None for unsupported types.
    pub kind: Option<EventType>,
    /// The event's `type`, truncated.
    pub event_type: Option<String>,
    pub message_id: Option<String>,
    /// The id of the subscription or customer.
    pub subject: Option<String>,
    /// The id of the customer; None if a subscription's event does not carry it.
    pub customer: Option<String>,
}

impl EventSummary {
    /// Works for truncated and invalid bodies: parsing stops at the first error and keeps what was read before it.
    /// Strings longer than an id are omitted.
    pub fn of(body: &[u8]) -> Self {
        let mut members = Vec::new();
        let names = ["type", "messageId", "id", "customer", "customerId"];
        let _ =
            serde_json::Deserializer::from_slice(body).deserialize_map(MemberCollector { names: &names, members: &mut members });
        let event = Object::new(String::new(), members);
        let event_type = text(&event, "type").map(|name| name.chars().take(MAX_TYPE_CHARS).collect::<String>());
        let of_customer = event.get("customer").and_then(|json| Object::of(json, String::new(), &["id"]));
        let customer = of_customer.and_then(|customer| text(&customer, "id")).or_else(|| text(&event, "customerId"));
        let id = text(&event, "id");
        let is_of_customer = event_type.as_ref().is_some_and(|event_type| event_type.starts_with("customer."));
        Self {
            kind: event_type.as_deref().and_then(EventType::parse),
            event_type,
            message_id: text(&event, "messageId"),
            subject: id.clone().or_else(|| customer.clone()),
            customer: customer.or_else(|| id.filter(|_| is_of_customer)),
        }
    }
}

/// The `type` of an event; None if it is missing, empty or not a string.
pub(super) fn type_of(json: &RawValue) -> Option<String> {
    let kind = Object::of(json, String::new(), &["type"])?.get("type")?;
    serde_json::from_str(kind.get()).ok().filter(|kind: &String| !kind.is_empty())
}

fn text(object: &Object<'_>, name: &str) -> Option<String> {
    serde_json::from_str(object.get(name)?.get()).ok().filter(|text: &String| text.len() <= Id::MAX_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_customer_is_named_beside_the_subscription_if_the_event_has_it() {
        for (body, customer, subject) in [
            (r#"{"type":"customer.updated","id":"c"}"#, Some("c"), "c"),
            (r#"{"type":"subscription.canceled","id":"s","customer":{"id":"c"}}"#, Some("c"), "s"),
            (r#"{"type":"subscription.expired","id":"s"}"#, None, "s"),
            (r#"{"type":"credit_balance.low","customerId":"c"}"#, Some("c"), "c"),
        ] {
            let summary = EventSummary::of(body.as_bytes());
            assert_eq!((summary.customer.as_deref(), summary.subject.as_deref()), (customer, Some(subject)), "{body}");
        }
    }

    #[test]
    fn truncated_bodies_are_summarized_up_to_the_first_error() {
        let long = format!(r#"{{"messageId":"m","id":"{}","type":"x"}}"#, "i".repeat(501));
        for (body, expected) in [
            (r#"{"type":"customer.created","id":"c","messageId":"m""#, (Some("customer.created"), Some("m"), Some("c"))),
            (r#"{"messageId":5,"customer":{"name":1,"id":"c"},"type":"x","a":1e999"#, (Some("x"), None, Some("c"))),
            (r#"{"customerId":"c","customer":7,"type":["x"]}"#, (None, None, Some("c"))),
            (long.as_str(), (Some("x"), Some("m"), None)),
            ("[]", (None, None, None)),
            ("", (None, None, None)),
        ] {
            let EventSummary { event_type, message_id, subject, .. } = EventSummary::of(body.as_bytes());
            assert_eq!((event_type.as_deref(), message_id.as_deref(), subject.as_deref()), expected, "{body}");
        }
    }
}
