//! Signatures in the Standard Webhooks form, as a sender makes them.

use std::fmt;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use sha2::Sha256;

/// A key in the form `whsec_<base64>`. It is never printed.
#[derive(Clone)]
pub struct SigningKey(Hmac<Sha256>);

/// A key that is none. The message does not hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a signing key has the form whsec_ and then base64")]
pub struct NoSigningKey;

impl SigningKey {
    /// Reads a key.
    ///
    /// # Errors
    /// If it does not have that form, or is empty.
    pub fn parse(text: &str) -> Result<Self, NoSigningKey> {
        let key = text.strip_prefix("whsec_").and_then(|key| BASE64_STANDARD.decode(key).ok());
        let key = key.filter(|key| !key.is_empty()).ok_or(NoSigningKey)?;
        Hmac::new_from_slice(&key).map(Self).map_err(|_| NoSigningKey)
    }

    /// The headers of a signed request: who it is, when it is sent, and the signature of both with the
    /// body.
    pub fn sign(&self, id: &str, now: Timestamp, body: &[u8]) -> [(&'static str, String); 3] {
        let seconds = now.as_second().to_string();
        let mut mac = self.0.clone();
        for part in [id.as_bytes(), b".", seconds.as_bytes(), b".", body] {
            mac.update(part);
        }
        let signature = format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()));
        [("webhook-id", id.to_owned()), ("webhook-timestamp", seconds), ("webhook-signature", signature)]
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_one_of_the_specifications_example() {
        let key = SigningKey::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let sent = Timestamp::from_second(1_614_265_330).unwrap();
        let headers = key.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", sent, br#"{"test": 2432232314}"#);
        assert_eq!(headers[1].1, "1614265330");
        assert_eq!(headers[2].1, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_key_of_another_form_is_refused_and_none_is_printed() {
        for key in ["", "whsec_", "whsec_?", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            assert_eq!(SigningKey::parse(key).unwrap_err(), NoSigningKey, "{key}");
        }
        assert_eq!(format!("{:?}", SigningKey::parse("whsec_AAAA")), "Ok(SigningKey(redacted))");
    }
}
