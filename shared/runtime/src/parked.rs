//! The queue's message format for parked and set-aside events: the compressed body, with the time of receipt.

use std::io::{Read as _, Write as _};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use domain::time;

/// Maximum bytes of an SQS message.
///
/// Source: Amazon SQS, message quotas (1 MiB since August 2025). template.yaml sets it for the queues.
pub const MAX_MESSAGE_BYTES: usize = 1_048_576;

/// Maximum bytes of an event's body. Lambda's limit is 6 MB, including base64 and envelope.
pub const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;

/// An event in a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    /// When the webhook received it.
    pub received_at: Timestamp,
    /// The event's type, for people who inspect the queue.
    pub kind: String,
    /// The event's messageId, for people who inspect the queue.
    pub message_id: Option<String>,
    /// The raw body.
    pub body: Vec<u8>,
}

/// The event does not fit into a message.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event is too large for the queue: {bytes} bytes compressed, at most {MAX_MESSAGE_BYTES}")]
pub struct TooLarge {
    /// The message's size.
    pub bytes: usize,
}

/// A message does not have this format.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message is not a parked event: {0}")]
pub struct NotParked(&'static str);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    received_at: String,
    r#type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
    body: String,
}

impl Parked {
    /// Encodes the event as a message.
    ///
    /// # Errors
    /// If the message exceeds [`MAX_MESSAGE_BYTES`].
    pub fn to_message(&self) -> Result<String, TooLarge> {
        let message = Message {
            received_at: time::to_fixed_width(self.received_at),
            r#type: self.kind.clone(),
            message_id: self.message_id.clone(),
            body: BASE64_STANDARD.encode(compress(&self.body)),
        };
        let text = serde_json::to_string(&message).unwrap_or_default();
        if text.len() <= MAX_MESSAGE_BYTES { Ok(text) } else { Err(TooLarge { bytes: text.len() }) }
    }

    /// Decodes a message whose event's body has at most `max_bytes`.
    ///
    /// # Errors
    /// If the message has another format, or the body is larger.
    pub fn of_message(text: &str, max_bytes: usize) -> Result<Self, NotParked> {
        let message: Message = serde_json::from_str(text).map_err(|_| NotParked("not JSON, or a member is missing"))?;
        let received_at = time::parse(&message.received_at).map_err(|_| NotParked("`receivedAt` is not a date-time"))?;
        let compressed = BASE64_STANDARD.decode(message.body).map_err(|_| NotParked("`body` is not base64"))?;
        let mut body = Vec::new();
        // Reads one byte more than allowed, to detect larger bodies.
        let limit = u64::try_from(max_bytes).unwrap_or(u64::MAX).saturating_add(1);
        let read = GzDecoder::new(compressed.as_slice()).take(limit).read_to_end(&mut body);
        read.map_err(|_| NotParked("`body` is not compressed with gzip"))?;
        if body.len() > max_bytes {
            return Err(NotParked("`body` exceeds the maximum size of an event"));
        }
        Ok(Self { received_at, kind: message.r#type, message_id: message.message_id, body })
    }
}

fn compress(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // Writing to memory does not fail.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parked(body: &[u8]) -> Parked {
        let received_at = "2026-11-24T05:00:00.123Z".parse().unwrap();
        Parked { received_at, kind: "customer.created".into(), message_id: Some("m".into()), body: body.to_vec() }
    }

    #[test]
    fn events_round_trip_through_messages() {
        for body in [&b""[..], b"{\"type\":\"customer.created\"}", &[0xff; 1_000]] {
            for message_id in [Some("m".to_owned()), None] {
                let parked = Parked { message_id, ..parked(body) };
                assert_eq!(Parked::of_message(&parked.to_message().unwrap(), 1_000), Ok(parked));
            }
        }
    }

    #[test]
    fn messages_and_bodies_above_the_maximum_size_are_rejected() {
        // Bytes that gzip can't compress.
        let mut state = 1_u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(900_000)
        .collect();
        assert!(matches!(parked(&noise).to_message(), Err(TooLarge { bytes }) if bytes > MAX_MESSAGE_BYTES));
        assert!(parked(&vec![b' '; 4 * 1024 * 1024]).to_message().is_ok());
        let bomb = parked(&vec![b' '; 1_000_000]).to_message().unwrap();
        assert!(Parked::of_message(&bomb, 999_999).is_err() && Parked::of_message(&bomb, 1_000_000).is_ok());
    }

    #[test]
    fn malformed_messages_are_rejected() {
        let valid = parked(b"{}").to_message().unwrap();
        let not_gzip = valid.replace("H4sI", "AAAA");
        for text in ["", "{}", "[]", &valid.replace("2026-11-24T", "yesterday "), &not_gzip, &valid.replace("H4sI", "?")] {
            assert!(Parked::of_message(text, 1_000).is_err(), "{text}");
        }
    }
}
