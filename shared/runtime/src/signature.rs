//! Webhook signatures of Standard Webhooks: HMAC-SHA256 over id, timestamp and raw body.
//!
//! Source: the specification of Standard Webhooks (symmetric signatures, `v1`).

use std::fmt;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::{SignedDuration, Timestamp};
use sha2::Sha256;

/// The header with the message's id.
pub const ID_HEADER: &str = "webhook-id";
/// The header with the time of sending, in seconds since 1970.
pub const TIMESTAMP_HEADER: &str = "webhook-timestamp";
/// The header with the signatures, separated by spaces: `v1,<base64>`.
pub const SIGNATURE_HEADER: &str = "webhook-signature";

/// Maximum difference between the time of sending and now, in both directions. Prevents replay of recorded messages.
pub const TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// Minimum length of a key in the specification.
const MIN_KEY_BYTES: usize = 24;

/// A symmetric key. Its text is `whsec_` and base64.
#[derive(Clone)]
pub struct SigningKey(Hmac<Sha256>);

/// A text is not a key. The message does not contain the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be whsec_ followed by at least {MIN_KEY_BYTES} bytes in base64")]
pub struct KeyError;

/// Why a message is rejected. The error text is sent to the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// A header is missing or invalid.
    #[error("the header {0} is missing or invalid: a signature is required")]
    Header(&'static str),
    /// The time of sending differs from now by more than [`TOLERANCE`].
    #[error("the time in the header {TIMESTAMP_HEADER} is more than five minutes from now")]
    Time,
    /// No signature matches an accepted key.
    #[error("no signature in the header {SIGNATURE_HEADER} matches this endpoint's key")]
    Mismatch,
}

/// The headers of a signed message. A missing header is None.
#[derive(Clone, Copy, Debug)]
pub struct SignedHeaders<'a> {
    /// `webhook-id`
    pub id: Option<&'a str>,
    /// `webhook-timestamp`
    pub timestamp: Option<&'a str>,
    /// `webhook-signature`
    pub signature: Option<&'a str>,
}

impl SigningKey {
    /// Parses a key.
    ///
    /// # Errors
    /// If the text is not a key.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let base64 = text.strip_prefix("whsec_").ok_or(KeyError)?;
        let key = BASE64_STANDARD.decode(base64).ok().filter(|key| key.len() >= MIN_KEY_BYTES).ok_or(KeyError)?;
        Hmac::new_from_slice(&key).map(Self).map_err(|_| KeyError)
    }

    /// The signature of a message, in the header's format.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let signature = self.mac(id, &timestamp.to_string(), body).finalize().into_bytes();
        format!("v1,{}", BASE64_STANDARD.encode(signature))
    }

    fn mac(&self, id: &str, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        mac
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(redacted)")
    }
}

/// The accepted keys: the current one and, during a rotation, the previous one.
#[derive(Clone, Debug)]
pub struct SigningKeys(Vec<SigningKey>);

impl SigningKeys {
    /// Accepts `current`, and `previous` unless it is None or empty.
    ///
    /// # Errors
    /// If one of them is not a key.
    pub fn new(current: &str, previous: Option<&str>) -> Result<Self, KeyError> {
        let keys = [Some(current), previous.filter(|key| !key.is_empty())];
        keys.into_iter().flatten().map(SigningKey::parse).collect::<Result<_, _>>().map(Self)
    }

    /// Verifies the signatures of a message received at `now`, in constant time.
    ///
    /// # Errors
    /// If no signature matches an accepted key, or the time of sending differs from `now` by more than [`TOLERANCE`].
    pub fn verify(&self, headers: SignedHeaders<'_>, body: &[u8], now: Timestamp) -> Result<(), SignatureError> {
        let id = headers.id.filter(|id| !id.is_empty()).ok_or(SignatureError::Header(ID_HEADER))?;
        let timestamp = headers.timestamp.ok_or(SignatureError::Header(TIMESTAMP_HEADER))?;
        let seconds = timestamp.parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
        let sent = seconds.ok_or(SignatureError::Header(TIMESTAMP_HEADER))?;
        let signatures = headers.signature.ok_or(SignatureError::Header(SIGNATURE_HEADER))?;
        if now.duration_since(sent).abs() > TOLERANCE {
            return Err(SignatureError::Time);
        }
        let mut matches = false;
        for signature in signatures.split(' ').filter_map(|signature| signature.strip_prefix("v1,")) {
            let Ok(signature) = BASE64_STANDARD.decode(signature) else { continue };
            for key in &self.0 {
                matches |= key.mac(id, timestamp, body).verify_slice(&signature).is_ok();
            }
        }
        if matches { Ok(()) } else { Err(SignatureError::Mismatch) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test vector of the Standard Webhooks libraries.
    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const TIMESTAMP: &str = "1614265330";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    const OTHER_KEY: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    fn headers(signature: &str) -> SignedHeaders<'_> {
        SignedHeaders { id: Some(ID), timestamp: Some(TIMESTAMP), signature: Some(signature) }
    }

    fn sent() -> Timestamp {
        Timestamp::from_second(TIMESTAMP.parse().unwrap()).unwrap()
    }

    #[test]
    fn the_published_test_vector_is_signed_and_verified() {
        assert_eq!(SigningKey::parse(KEY).unwrap().sign(ID, TIMESTAMP.parse().unwrap(), BODY), SIGNATURE);
        let keys = SigningKeys::new(KEY, None).unwrap();
        assert_eq!(keys.verify(headers(SIGNATURE), BODY, sent()), Ok(()));
    }

    #[test]
    fn one_matching_signature_and_either_key_of_a_rotation_suffice() {
        let others = format!("v1,AAAA v1a,{} v2,x {SIGNATURE} v1,", &SIGNATURE[3..]);
        for keys in
            [SigningKeys::new(KEY, Some("")), SigningKeys::new(OTHER_KEY, Some(KEY)), SigningKeys::new(KEY, Some(OTHER_KEY))]
        {
            assert_eq!(keys.unwrap().verify(headers(&others), BODY, sent()), Ok(()));
        }
    }

    #[test]
    fn any_altered_part_is_rejected() {
        let keys = SigningKeys::new(KEY, None).unwrap();
        let valid = headers(SIGNATURE);
        for (headers, body, expected) in [
            (valid, &BODY[1..], SignatureError::Mismatch),
            (SignedHeaders { id: Some("msg_other"), ..valid }, BODY, SignatureError::Mismatch),
            (SignedHeaders { timestamp: Some("1614265331"), ..valid }, BODY, SignatureError::Mismatch),
            (headers("v1,"), BODY, SignatureError::Mismatch),
            (headers(&SIGNATURE[3..]), BODY, SignatureError::Mismatch),
            (headers(&SIGNATURE.replace("v1,", "v1a,")), BODY, SignatureError::Mismatch),
            (SignedHeaders { id: None, ..valid }, BODY, SignatureError::Header(ID_HEADER)),
            (SignedHeaders { timestamp: Some("now"), ..valid }, BODY, SignatureError::Header(TIMESTAMP_HEADER)),
            (SignedHeaders { timestamp: Some("99999999999999999"), ..valid }, BODY, SignatureError::Header(TIMESTAMP_HEADER)),
            (SignedHeaders { signature: None, ..valid }, BODY, SignatureError::Header(SIGNATURE_HEADER)),
        ] {
            assert_eq!(keys.verify(headers, body, sent()), Err(expected), "{headers:?}");
        }
        assert_eq!(SigningKeys::new(OTHER_KEY, None).unwrap().verify(valid, BODY, sent()), Err(SignatureError::Mismatch));
    }

    #[test]
    fn times_up_to_five_minutes_from_now_are_accepted_in_both_directions() {
        let keys = SigningKeys::new(KEY, None).unwrap();
        let at = |seconds| keys.verify(headers(SIGNATURE), BODY, sent() + SignedDuration::from_secs(seconds));
        assert_eq!((at(300), at(-300)), (Ok(()), Ok(())));
        assert_eq!((at(301), at(-301)), (Err(SignatureError::Time), Err(SignatureError::Time)));
    }

    #[test]
    fn keys_require_the_prefix_and_24_bytes_and_debug_output_is_redacted() {
        for text in ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa==", "whsec_?"] {
            assert_eq!(SigningKey::parse(text).err(), Some(KeyError), "{text}");
        }
        assert_eq!(format!("{:?}", SigningKeys::new(KEY, None).unwrap()), "SigningKeys([SigningKey(redacted)])");
    }
}
