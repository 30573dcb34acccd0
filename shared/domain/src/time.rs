//! Moments in UTC, as Stigg writes them and as the store sorts them.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use serde::{Deserialize, Deserializer};

/// A moment at the store's precision, milliseconds, in a form of fixed width that sorts in time
/// order: `2026-11-23T14:00:00.000Z`.
pub fn to_fixed_width(time: Timestamp) -> String {
    format!("{:.3}", to_millisecond(time))
}

/// The moment without what is smaller than a millisecond: two moments are the same to the replica
/// exactly if they are written the same.
pub fn to_millisecond(time: Timestamp) -> Timestamp {
    let nanosecond = time.as_nanosecond();
    Timestamp::from_nanosecond(nanosecond - nanosecond.rem_euclid(1_000_000)).unwrap_or(time)
}

/// Reads an RFC 3339 date-time with its offset; years 0 to 9999, the ones of fixed width.
///
/// # Errors
/// A message fit for the sender, without the value.
pub fn parse(text: &str) -> Result<Timestamp, &'static str> {
    const EXPECTED: &str = "must be a date-time with an offset, such as 2026-11-23T14:00:00.000Z";
    let time: Timestamp = text.parse().map_err(|_| EXPECTED)?;
    if to_fixed_width(time).len() == FIXED_WIDTH && !text.starts_with(['-', '+']) { Ok(time) } else { Err(EXPECTED) }
}

/// Reads a date-time as [`parse`] does, and also one without an offset, which is UTC, and a date, which is its
/// midnight in UTC.
///
/// # Errors
/// As [`parse`].
pub fn parse_tolerant(text: &str) -> Result<Timestamp, &'static str> {
    parse(text).or_else(|error| {
        // jiff passes over a time zone in brackets: a time in Berlin would be read as one in UTC.
        let civil = text.parse::<DateTime>().ok().filter(|_| !text.contains(['[', '+', 'Z', 'z']));
        let time = civil.and_then(|civil| TimeZone::UTC.to_timestamp(civil).ok()).ok_or(error)?;
        parse(&to_fixed_width(time))
    })
}

/// Length of [`to_fixed_width`]'s form.
pub const FIXED_WIDTH: usize = "2026-11-23T14:00:00.000Z".len();

/// For `#[serde(deserialize_with)]` on an optional date-time.
///
/// # Errors
/// As [`parse`].
pub fn optional<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Timestamp>, D::Error> {
    let text = Option::<std::borrow::Cow<'de, str>>::deserialize(input)?;
    text.map(|text| parse(&text).map_err(serde::de::Error::custom)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_written_form_sorts_in_time_order_and_has_one_width() {
        let inputs = ["0000-01-01T00:00:00Z", "2026-11-23T14:00:00+02:00", "2026-11-23T14:00:00.0019Z", "9999-12-30T22:00:00Z"];
        let written: Vec<String> = inputs.iter().map(|text| to_fixed_width(parse(text).unwrap())).collect();
        assert!(written.is_sorted());
        assert!(written.iter().all(|text| text.len() == FIXED_WIDTH));
        assert_eq!(written[2], "2026-11-23T14:00:00.001Z");
    }

    #[test]
    fn a_date_time_without_an_offset_or_of_another_width_is_refused() {
        for text in ["2026-11-23T14:00:00", "2026-11-23", "-000001-01-01T00:00:00Z", "yesterday", "", "+012026-01-01T00:00:00Z"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_date_is_its_midnight_and_a_time_without_an_offset_is_utc_where_that_is_tolerated() {
        for (text, expected) in [
            ("2026-09-01", Some("2026-09-01T00:00:00.000Z")),
            ("2026-09-01T10:20:30", Some("2026-09-01T10:20:30.000Z")),
            ("2026-09-01T10:20:30.5+02:00", Some("2026-09-01T08:20:30.500Z")),
            ("2026-09-01T10:20:30-02:00", Some("2026-09-01T12:20:30.000Z")),
            ("2026-09-01T10:20:30+99:99", None),
            ("2026-09-01T10:20:30-99:99", None),
            ("2026-09-01T10:20:30[Europe/Berlin]", None),
            ("-000001-01-01", None),
            ("9999-12-31T23:59:59-01:00", None),
            ("2026-02-30", None),
            ("10:20:30", None),
            ("1764000000", None),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(parse_tolerant(text).ok().map(to_fixed_width).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_smaller_than_a_millisecond_is_dropped_before_1970_too() {
        assert_eq!(to_fixed_width(parse("1969-12-31T23:59:59.9999Z").unwrap()), "1969-12-31T23:59:59.999Z");
    }
}
