//! The stored form of a usage register: one binary attribute. It is compact, since the most frequent event pays for each
//! kilobyte of the item.
//!
//! It starts with the version and U+0000, so that DynamoDB compares registers by version.

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use domain::{entitlement::Usage, register::Register, version::Version};

#[derive(Serialize, Deserialize)]
struct Stored {
    current_usage: Number,
    // Milliseconds since 1970.
    anchor: Option<i64>,
    start: Option<i64>,
    end: Option<i64>,
    reset_period: Reset,
}

#[derive(Serialize, Deserialize)]
enum Number {
    Integer(i64),
    Fraction(f64),
}

#[derive(Serialize, Deserialize)]
enum Reset {
    None,
    Year,
    Month,
    Week,
    Day,
    Hour,
    /// Not documented by Stigg, or in lower case.
    Other(String),
}

impl From<f64> for Number {
    fn from(number: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "checked by the comparison")]
        let whole = number as i64;
        #[expect(clippy::cast_precision_loss, reason = "compared with the original below")]
        let is_whole = (whole as f64).to_bits() == number.to_bits() && whole != i64::MAX;
        if is_whole { Self::Integer(whole) } else { Self::Fraction(number) }
    }
}

const RESETS: [(&str, Reset); 5] =
    [("YEAR", Reset::Year), ("MONTH", Reset::Month), ("WEEK", Reset::Week), ("DAY", Reset::Day), ("HOUR", Reset::Hour)];

fn reset(text: Option<&str>) -> Reset {
    let Some(text) = text else { return Reset::None };
    RESETS.into_iter().find(|(word, _)| *word == text).map_or_else(|| Reset::Other(text.to_owned()), |(_, reset)| reset)
}

fn reset_text(reset: Reset) -> Option<String> {
    match reset {
        Reset::None => None,
        Reset::Year => Some("YEAR".to_owned()),
        Reset::Month => Some("MONTH".to_owned()),
        Reset::Week => Some("WEEK".to_owned()),
        Reset::Day => Some("DAY".to_owned()),
        Reset::Hour => Some("HOUR".to_owned()),
        Reset::Other(text) => Some(text),
    }
}

/// Every register of a lower version compares as less than this.
pub(super) fn version_bound(version: &Version) -> AttributeValue {
    let mut bytes = version.to_bytes();
    bytes.push(0);
    AttributeValue::B(Blob::new(bytes))
}

pub(super) fn to_attribute(version: &Version, usage: &Usage) -> AttributeValue {
    let milliseconds = |time: Option<Timestamp>| time.map(Timestamp::as_millisecond);
    let stored = Stored {
        current_usage: usage.current_usage.into(),
        anchor: milliseconds(usage.usage_period_anchor),
        start: milliseconds(usage.usage_period_start),
        end: milliseconds(usage.usage_period_end),
        reset_period: reset(usage.reset_period.as_deref()),
    };
    let mut bytes = version.to_bytes();
    bytes.push(0);
    bytes.extend(postcard::to_allocvec(&stored).unwrap_or_default());
    AttributeValue::B(Blob::new(bytes))
}

/// None if the bytes are not a usage register.
pub(super) fn from_bytes(bytes: &[u8]) -> Option<Register<Usage>> {
    let (time, rest) = bytes.split_at_checked(7)?;
    let end = time.len() + rest.iter().position(|byte| *byte == 0)?;
    let stored: Stored = postcard::from_bytes(bytes.get(end + 1..)?).ok()?;
    #[expect(clippy::cast_precision_loss, reason = "a whole number came from a double")]
    let current_usage = match stored.current_usage {
        Number::Integer(whole) => whole as f64,
        Number::Fraction(fraction) => fraction,
    };
    let time = |milliseconds: Option<i64>| milliseconds.map(Timestamp::from_millisecond).transpose().ok();
    let usage = Usage {
        current_usage,
        usage_period_anchor: time(stored.anchor)?,
        usage_period_start: time(stored.start)?,
        usage_period_end: time(stored.end)?,
        reset_period: reset_text(stored.reset_period),
    };
    Some(Register { version: Version::from_bytes(bytes.get(..end)?)?, value: usage })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(value: AttributeValue) -> Vec<u8> {
        value.as_b().unwrap().clone().into_inner()
    }

    fn any_version() -> impl Strategy<Value = Version> {
        (0..3_i64, "[a-c|]{0,3}").prop_map(|(time, id)| Version::new(Timestamp::from_millisecond(time * 1_000).unwrap(), &id))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_048, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn usage_registers_round_trip(
            version in any_version(),
            current_usage in prop_oneof![-1e15..1e15, Just(3.0), Just(-0.0), Just(f64::MAX), Just(9.3e18), prop::num::f64::SUBNORMAL],
            times in prop::array::uniform3(prop::option::of(-62_000_000_000_000..253_000_000_000_000_i64)),
            reset_period in prop::option::of(prop_oneof![Just("MONTH".to_owned()), Just("month".to_owned()), Just("HOUR".to_owned())]),
        ) {
            let [usage_period_anchor, usage_period_start, usage_period_end] =
                times.map(|time| time.map(|time| Timestamp::from_millisecond(time).unwrap()));
            let usage = Usage { current_usage, usage_period_anchor, usage_period_start, usage_period_end, reset_period };
            let stored = bytes(to_attribute(&version, &usage));
            prop_assert_eq!(from_bytes(&stored), Some(Register { version, value: usage }));
        }

        #[test]
        fn stored_registers_compare_by_version(one in any_version(), other in any_version()) {
            let usage = Usage {
                current_usage: 1.0, usage_period_anchor: None, usage_period_start: None, usage_period_end: None, reset_period: None,
            };
            prop_assert_eq!(bytes(to_attribute(&one, &usage)) < bytes(version_bound(&other)), one < other);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = from_bytes(&bytes);
        }
    }
}
