//! The scalars that GraphQL does not bring along.

use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};
use domain::time;
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use serde::Serialize;

/// A date-time in its fixed-width form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Datetime(pub(crate) String);

/// A moment in UTC: `2026-11-23T14:00:00.000Z`. As an argument any ISO 8601 date-time does; one
/// without an offset is taken to be UTC, a date alone to be its first moment.
#[Scalar]
impl ScalarType for Datetime {
    fn parse(value: Value) -> InputValueResult<Self> {
        const EXPECTED: &str = "must be a date-time such as 2026-11-23T14:00:00.000Z";
        let Value::String(text) = value else {
            return Err(InputValueError::custom(EXPECTED));
        };
        read(&text).map(|time| Self(time::to_fixed_width(time))).ok_or_else(|| InputValueError::custom(EXPECTED))
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.clone())
    }
}

fn read(text: &str) -> Option<Timestamp> {
    let with_offset = time::parse(text).ok();
    with_offset.or_else(|| {
        let local: DateTime = text.parse().ok()?;
        let time = TimeZone::UTC.to_timestamp(local).ok()?;
        time::parse(&time::to_fixed_width(time)).ok()
    })
}

/// A cursor as it goes over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cursor(pub(crate) String);

/// Where a row stands in a list: give it to `after` or `before` of the same list in the same order.
#[Scalar]
impl ScalarType for Cursor {
    fn parse(value: Value) -> InputValueResult<Self> {
        match value {
            Value::String(text) => Ok(Self(text)),
            _ => Err(InputValueError::custom("must be a text that this API gave as a cursor")),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.clone())
    }
}

/// JSON, written already: [`crate::json`] answers it as it stands, since a page holds thousands of
/// entitlements. Nothing else of the schema is binary.
#[derive(Clone, Debug)]
pub(crate) struct Json(Value);

impl Json {
    /// What is JSON already.
    pub(crate) fn written(json: Vec<u8>) -> Self {
        Self(Value::Binary(json.into()))
    }

    pub(crate) fn of(value: &impl Serialize) -> serde_json::Result<Self> {
        serde_json::to_vec(value).map(Self::written)
    }
}

/// A scalar that can represent any JSON value.
#[Scalar(name = "JSON")]
impl ScalarType for Json {
    fn parse(_: Value) -> InputValueResult<Self> {
        Err(InputValueError::custom("is no argument of this API"))
    }

    fn to_value(&self) -> Value {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_may_be_written_in_many_ways_and_is_shown_in_one() {
        for (text, shown) in [
            ("2026-11-23T14:00:00Z", Some("2026-11-23T14:00:00.000Z")),
            ("2026-11-23T14:00:00+00:00", Some("2026-11-23T14:00:00.000Z")),
            ("2026-11-23T16:00:00.1239+02:00", Some("2026-11-23T14:00:00.123Z")),
            ("2026-11-23T14:00:00", Some("2026-11-23T14:00:00.000Z")),
            ("2026-11-23", Some("2026-11-23T00:00:00.000Z")),
            ("yesterday", None),
            ("", None),
        ] {
            let read = Datetime::parse(Value::String(text.to_owned())).ok();
            assert_eq!(read.map(|datetime| datetime.0).as_deref(), shown, "{text}");
        }
    }
}
