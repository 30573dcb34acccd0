//! The scalars Datetime and Cursor.

use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};
use domain::time;
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

/// A date-time in its fixed-width form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Datetime(pub(crate) String);

/// A date-time in UTC: `2026-11-23T14:00:00.000Z`. Arguments may be any ISO 8601 date-time. Without an offset it is UTC,
/// without a time it is midnight.
#[Scalar]
impl ScalarType for Datetime {
    fn parse(value: Value) -> InputValueResult<Self> {
        const EXPECTED: &str = "must be a date-time such as 2026-11-23T14:00:00.000Z";
        let Value::String(text) = value else {
            return Err(InputValueError::custom(EXPECTED));
        };
        parse(&text).map(|time| Self(time::to_fixed_width(time))).ok_or_else(|| InputValueError::custom(EXPECTED))
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.clone())
    }
}

impl From<Datetime> for String {
    fn from(datetime: Datetime) -> Self {
        datetime.0
    }
}

fn parse(text: &str) -> Option<Timestamp> {
    let with_offset = time::parse(text).ok();
    with_offset.or_else(|| {
        let local: DateTime = text.parse().ok()?;
        let time = TimeZone::UTC.to_timestamp(local).ok()?;
        time::parse(&time::to_fixed_width(time)).ok()
    })
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cursor(pub(crate) String);

/// The position of a row in a list. Pass it to `after` or `before` of the same list in the same order.
#[Scalar]
impl ScalarType for Cursor {
    fn parse(value: Value) -> InputValueResult<Self> {
        match value {
            Value::String(text) => Ok(Self(text)),
            _ => Err(InputValueError::custom("must be a string that this API returned as a cursor")),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_iso_8601_date_time_is_accepted_and_normalized() {
        for (text, normalized) in [
            ("2026-11-23T14:00:00Z", Some("2026-11-23T14:00:00.000Z")),
            ("2026-11-23T14:00:00+00:00", Some("2026-11-23T14:00:00.000Z")),
            ("2026-11-23T16:00:00.1239+02:00", Some("2026-11-23T14:00:00.123Z")),
            ("2026-11-23T14:00:00", Some("2026-11-23T14:00:00.000Z")),
            ("2026-11-23", Some("2026-11-23T00:00:00.000Z")),
            ("yesterday", None),
            ("", None),
        ] {
            let parsed = Datetime::parse(Value::String(text.to_owned())).ok();
            assert_eq!(parsed.map(|datetime| datetime.0).as_deref(), normalized, "{text}");
        }
    }
}
