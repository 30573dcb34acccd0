//! An event that the store did not take, as it waits in the queue: compressed, with its receipt.

use std::io::{Read as _, Write as _};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use domain::time;

/// The most bytes of a message of SQS.
///
/// Source: Amazon SQS, message quotas (1 MiB since August 2025); template.yaml sets it for the queue.
pub const MAX_MESSAGE_BYTES: usize = 1_048_576;

/// Maximum size of an event's body. Lambda's own limit is 6 MB, base64 and envelope included.
pub const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;

/// An event with what has to be kept of its delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    /// When the webhook received it.
    pub received_at: Timestamp,
    /// Its type, for those who look into the queue.
    pub kind: String,
    /// Its messageId, likewise.
    pub message_id: Option<String>,
    /// The raw body.
    pub body: Vec<u8>,
}

/// An event can't wait in the queue.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event is too large for the queue: {bytes} bytes compressed, at most {MAX_MESSAGE_BYTES}")]
pub struct TooLarge {
    /// The message's size.
    pub bytes: usize,
}

/// A message of the queue is no parked event.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message is no parked event: {0}")]
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
    /// The message that the event waits as.
    ///
    /// # Errors
    /// If it is larger than a message can be.
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

    /// The event that a message holds, with a body of at most `max_bytes`.
    ///
    /// # Errors
    /// If it holds none.
    pub fn of_message(text: &str, max_bytes: usize) -> Result<Self, NotParked> {
        let message: Message = serde_json::from_str(text).map_err(|_| NotParked("it is not JSON with its members"))?;
        let received_at = time::parse(&message.received_at).map_err(|_| NotParked("`receivedAt` is no date-time"))?;
        let compressed = BASE64_STANDARD.decode(message.body).map_err(|_| NotParked("`body` is not base64"))?;
        let mut body = Vec::new();
        // One byte more than it may have, to tell.
        let limit = u64::try_from(max_bytes).unwrap_or(u64::MAX).saturating_add(1);
        let read = GzDecoder::new(compressed.as_slice()).take(limit).read_to_end(&mut body);
        read.map_err(|_| NotParked("`body` is not compressed with gzip"))?;
        if body.len() > max_bytes {
            return Err(NotParked("`body` is larger than an event can be"));
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
    fn an_event_comes_out_as_it_went_in() {
        for body in [&b""[..], b"{\"type\":\"customer.created\"}", &[0xff; 1_000]] {
            for message_id in [Some("m".to_owned()), None] {
                let parked = Parked { message_id, ..parked(body) };
                assert_eq!(Parked::of_message(&parked.to_message().unwrap(), 1_000), Ok(parked));
            }
        }
    }

    #[test]
    fn what_is_too_large_for_a_message_or_for_an_event_is_told() {
        // Bytes that gzip can't make smaller.
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
    fn a_message_that_is_no_event_is_told_so() {
        let whole = parked(b"{}").to_message().unwrap();
        let cut = whole.replace("H4sI", "AAAA");
        for text in ["", "{}", "[]", &whole.replace("2026-11-24T", "yesterday "), &cut, &whole.replace("H4sI", "?")] {
            assert!(Parked::of_message(text, 1_000).is_err(), "{text}");
        }
    }
}
