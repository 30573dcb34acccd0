//! The headers of a signature, one per line, and the body. Random signatures are rejected, and valid ones are accepted only
//! within the tolerance of time. Parsing a random key does not panic.
#![no_main]

use std::sync::LazyLock;

use fuzz::now;
use jiff::{SignedDuration, Timestamp};
use libfuzzer_sys::fuzz_target;
use runtime::signature::{SignedHeaders, SigningKey, SigningKeys, TOLERANCE};

const KEY: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
static SIGNER: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::parse(KEY).unwrap());
static KEYS: LazyLock<SigningKeys> = LazyLock::new(|| SigningKeys::new(KEY, Some("whsec_Fx4VFBMSERAPDg0MCwoJCAcGBQQDAgEAGBk=")).unwrap());

fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(4, |byte| *byte == b'\n');
    let mut text = || parts.next().and_then(|part| std::str::from_utf8(part).ok());
    let (id, timestamp, signature) = (text(), text(), text());
    let body = parts.next().unwrap_or_default();
    // A random signature is never valid.
    assert!(KEYS.verify(SignedHeaders { id, timestamp, signature }, body, now()).is_err());

    let (Some(id), Some(timestamp)) = (id, timestamp) else { return };
    let _ = SigningKeys::new(id, Some(timestamp));
    let Some((seconds, sent)) = timestamp.parse::<i64>().ok().and_then(|at| Some((at, Timestamp::from_second(at).ok()?))) else { return };
    let signed = SIGNER.sign(id, seconds, body);
    let among_others = format!("v1a,x {} v1,{signed} {signed} v2,", signature.unwrap_or_default());
    let canonical = seconds.to_string();
    let headers = SignedHeaders { id: Some(id), timestamp: Some(&canonical), signature: Some(&among_others) };
    let is_recent = now().duration_since(sent).abs() <= TOLERANCE;
    assert_eq!(KEYS.verify(headers, body, now()).is_ok(), is_recent && !id.is_empty());
    assert!(KEYS.verify(headers, body, sent + SignedDuration::from_secs(301)).is_err() || sent > Timestamp::MAX - SignedDuration::from_secs(302));
    let other = [body, b" "].concat();
    assert!(KEYS.verify(headers, &other, now()).is_err());
});
