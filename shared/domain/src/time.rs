//! Timestamps: Stigg's formats, and the fixed-width form that the store sorts by.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use serde::{Deserialize, Deserializer};

/// `2026-11-23T14:00:00.000Z`: milliseconds, in UTC, of fixed width, so that strings sort in time order.
pub fn to_fixed_width(time: Timestamp) -> String {
    format!("{:.3}", to_millisecond(time))
}

/// Rounds down to milliseconds, the precision of the fixed-width form.
pub fn to_millisecond(time: Timestamp) -> Timestamp {
    let nanosecond = time.as_nanosecond();
    Timestamp::from_nanosecond(nanosecond - nanosecond.rem_euclid(1_000_000)).unwrap_or(time)
}

/// Parses an RFC 3339 date-time with an offset, in the years 0 to 9999. The error can be shown to the sender.
pub fn parse(text: &str) -> Result<Timestamp, &'static str> {
    const EXPECTED: &str = "must be a date-time with an offset, such as 2026-11-23T14:00:00.000Z";
    let time: Timestamp = text.parse().map_err(|_| EXPECTED)?;
    if to_fixed_width(time).len() == FIXED_WIDTH && !text.starts_with(['-', '+']) { Ok(time) } else { Err(EXPECTED) }
}

/// Like [`parse`], but also accepts a date-time without an offset (taken as UTC) and a date (midnight UTC).
pub fn parse_tolerant(text: &str) -> Result<Timestamp, &'static str> {
    parse(text).or_else(|error| {
        // jiff ignores a time zone in brackets: a time in Berlin would become UTC.
        let civil = text.parse::<DateTime>().ok().filter(|_| !text.contains(['[', '+', 'Z', 'z']));
        let time = civil.and_then(|civil| TimeZone::UTC.to_timestamp(civil).ok()).ok_or(error)?;
        parse(&to_fixed_width(time))
    })
}

/// Length of [`to_fixed_width`]'s form.
pub const FIXED_WIDTH: usize = "2026-11-23T14:00:00.000Z".len();

/// For `#[serde(deserialize_with)]` on an optional date-time.
pub fn optional<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Timestamp>, D::Error> {
    let text = Option::<std::borrow::Cow<'de, str>>::deserialize(input)?;
    text.map(|text| parse(&text).map_err(serde::de::Error::custom)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fixed_width_form_sorts_in_time_order() {
        let inputs = ["0000-01-01T00:00:00Z", "2026-11-23T14:00:00+02:00", "2026-11-23T14:00:00.0019Z", "9999-12-30T22:00:00Z"];
        let written: Vec<String> = inputs.iter().map(|text| to_fixed_width(parse(text).unwrap())).collect();
        assert!(written.is_sorted());
        assert!(written.iter().all(|text| text.len() == FIXED_WIDTH));
        assert_eq!(written[2], "2026-11-23T14:00:00.001Z");
    }

    #[test]
    fn date_times_without_an_offset_or_outside_the_years_0_to_9999_are_rejected() {
        for text in ["2026-11-23T14:00:00", "2026-11-23", "-000001-01-01T00:00:00Z", "yesterday", "", "+012026-01-01T00:00:00Z"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn tolerant_parsing_takes_a_date_as_midnight_utc_and_a_missing_offset_as_utc() {
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
    fn timestamps_round_down_to_milliseconds_before_1970_too() {
        assert_eq!(to_fixed_width(parse("1969-12-31T23:59:59.9999Z").unwrap()), "1969-12-31T23:59:59.999Z");
    }
}
