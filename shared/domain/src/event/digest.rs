//! Identifies an event by its content.

use std::fmt;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use sha2::{Digest as _, Sha256};

use super::member::MemberName;

/// Members of the envelope that differ between deliveries of the same event.
const DELIVERY_MEMBERS: [&str; 2] = ["traceId", "eventId"];

/// 128 bits in hexadecimal. Bodies have the same digest if they differ only in white space, the order of members, the
/// notation of a number or string, or the envelope's traceId and eventId. Identifies an event without a messageId, and
/// distinguishes Stigg's test events, which share one.
///
/// Fails if the body is not JSON, is nested deeper than 127, or has a number outside the range of a double or half of a
/// surrogate pair.
pub fn digest(body: &[u8]) -> serde_json::Result<String> {
    let mut hash = Sha256::new();
    let mut json = serde_json::Deserializer::from_slice(body);
    Value { hash: &mut hash, ignored: &DELIVERY_MEMBERS }.deserialize(&mut json)?;
    json.end()?;
    Ok(format!("{:032x}", first_128_bits(hash)))
}

fn first_128_bits(hash: Sha256) -> u128 {
    hash.finalize().iter().take(16).fold(0, |bits, byte| bits << 8 | u128::from(*byte))
}

/// Hashes a value while it is parsed, without building a tree. Each JSON type starts with a byte of its own.
///
/// The hash of an object is the sum of its members' hashes, so that their order is irrelevant and nothing is sorted. A
/// sum is easier to collide on purpose than a hash; only a sender who has the webhook's secret could, for no gain.
struct Value<'a> {
    hash: &'a mut Sha256,
    /// Members of this object (not of nested ones) that are ignored.
    ignored: &'a [&'a str],
}

impl Value<'_> {
    fn string(self, type_byte: u8, text: &str) {
        self.hash.update([type_byte]);
        self.hash.update(text.len().to_le_bytes());
        self.hash.update(text);
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.hash.update(b"0");
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.hash.update(if value { b"t" } else { b"f" });
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "numbers of JSON are doubles")]
    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        self.visit_f64(value as f64)
    }

    #[expect(clippy::cast_precision_loss, reason = "numbers of JSON are doubles")]
    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.visit_f64(value as f64)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        // -0 is 0.
        let value = if value == 0.0 { 0.0 } else { value };
        self.hash.update(b"n");
        self.hash.update(value.to_le_bytes());
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.string(b's', value);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        self.hash.update(b"[");
        while values.next_element_seed(Value { hash: &mut *self.hash, ignored: &[] })?.is_some() {}
        self.hash.update(b"]");
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut sum = 0_u128;
        while let Some(MemberName(name)) = members.next_key()? {
            let mut hash = Sha256::new();
            Value { hash: &mut hash, ignored: &[] }.string(b':', &name);
            members.next_value_seed(Value { hash: &mut hash, ignored: &[] })?;
            if !self.ignored.contains(&&*name) {
                sum = sum.wrapping_add(first_128_bits(hash));
            }
        }
        self.hash.update(b"{");
        self.hash.update(sum.to_le_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(body: &str) -> String {
        digest(body.as_bytes()).unwrap()
    }

    #[test]
    fn notation_and_member_order_do_not_change_the_digest() {
        let event = of(r#"{"type":"x","traceId":"1","eventId":"1","a":[1,{"b":null,"c":"é"}],"d":{"traceId":"t"}}"#);
        for same in [
            r#" {"d":{"traceId":"t"}, "a":[1.0, {"c":"\u00e9","b":null}], "type":"x"} "#,
            r#"{"type":"x","traceId":"2","eventId":{"x":[]},"a":[1e0,{"b":null,"c":"é"}],"d":{"traceId":"t"}}"#,
        ] {
            assert_eq!(of(same), event, "{same}");
        }
        assert_eq!(of("[-0,-0.0,100]"), of("[0,0.0,1e2]"));
    }

    #[test]
    fn different_content_has_different_digests() {
        let bodies = [
            "{}",
            "[]",
            "null",
            "0",
            "\"\"",
            "false",
            "true",
            "[0]",
            "[[]]",
            "[[],[]]",
            "[{}]",
            "[{},{}]",
            "\"0\"",
            "[\"a\",\"b\"]",
            "[\"b\",\"a\"]",
            "[\"ab\"]",
            r#"{"a":"b"}"#,
            r#"{"b":"a"}"#,
            r#"{"a":{"b":0}}"#,
            r#"{"a":{},"b":0}"#,
            r#"{"a":0,"b":{}}"#,
            r#"{"a":{"traceId":1}}"#,
            r#"{"a":{"traceId":2}}"#,
            r#"{"a":{}}"#,
            r#"{"a":null}"#,
            "1",
            "-1",
            "0.1",
        ];
        let digests: std::collections::HashSet<_> = bodies.iter().map(|body| of(body)).collect();
        assert_eq!(digests.len(), bodies.len());
        assert!(digests.iter().all(|digest| digest.len() == 32));
    }

    #[test]
    fn bodies_that_can_not_be_decoded_have_no_digest() {
        let nested = "[".repeat(128) + &"]".repeat(128);
        for body in ["", "{", "1e999", r#""\ud800""#, "[] []", nested.as_str()] {
            assert!(digest(body.as_bytes()).is_err(), "{body}");
        }
    }
}
