//! What an event is, as far as that can be told of one that can't be applied.

use serde::{Deserialize, Deserializer as _};
use serde_json::value::RawValue;

use super::{
    Kind,
    member::{Named, Object},
};
use crate::id::Id;

/// What is logged of an event that is refused or set aside.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// Its type, if it is one that is handled.
    pub kind: Option<Kind>,
    /// Its type as it says it, at most 100 characters.
    pub event_type: Option<String>,
    /// Its messageId.
    pub message_id: Option<String>,
    /// The id of the subscription or the customer that it is about.
    pub subject: Option<String>,
}

impl Outline {
    /// Reads what can be read, also of a body that is broken off or too large: what follows the first mistake is
    /// not looked at. Texts longer than an id are left out.
    pub fn of(body: &[u8]) -> Self {
        let mut members = Vec::new();
        let names = ["type", "messageId", "id", "customer", "customerId"];
        // What was read before a mistake is kept.
        let _ = serde_json::Deserializer::from_slice(body).deserialize_map(Named { names: &names, members: &mut members });
        let event = Object::new(String::new(), members);
        let event_type = text(&event, "type").map(|name| name.chars().take(100).collect::<String>());
        let of_customer = event.get("customer").and_then(|json| Object::of(json, String::new(), &["id"]));
        Self {
            kind: event_type.as_deref().and_then(Kind::parse),
            event_type,
            message_id: text(&event, "messageId"),
            subject: text(&event, "id").or_else(|| text(&of_customer?, "id")).or_else(|| text(&event, "customerId")),
        }
    }
}

/// The `type` of an event; None if it is missing, empty or not a text.
pub(super) fn type_of(json: &RawValue) -> Option<String> {
    let kind = Object::of(json, String::new(), &["type"])?.get("type")?;
    serde_json::from_str(kind.get()).ok().filter(|kind: &String| !kind.is_empty())
}

fn text(object: &Object<'_>, name: &str) -> Option<String> {
    let text = String::deserialize(&mut serde_json::Deserializer::from_str(object.get(name)?.get())).ok();
    text.filter(|text| text.len() <= Id::MAX_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_body_tells_what_it_is_as_far_as_it_goes() {
        let long = format!(r#"{{"messageId":"m","id":"{}","type":"x"}}"#, "i".repeat(501));
        for (body, expected) in [
            (r#"{"type":"customer.created","id":"c","messageId":"m""#, (Some("customer.created"), Some("m"), Some("c"))),
            (r#"{"messageId":5,"customer":{"name":1,"id":"c"},"type":"x","a":1e999"#, (Some("x"), None, Some("c"))),
            (r#"{"customerId":"c","customer":7,"type":["x"]}"#, (None, None, Some("c"))),
            (long.as_str(), (Some("x"), Some("m"), None)),
            ("[]", (None, None, None)),
            ("", (None, None, None)),
        ] {
            let Outline { event_type, message_id, subject, .. } = Outline::of(body.as_bytes());
            assert_eq!((event_type.as_deref(), message_id.as_deref(), subject.as_deref()), expected, "{body}");
        }
    }
}
