//! Usage periods: when usage counts as 0 again, and which period is the present one.

use jiff::{Span, Timestamp, ToSpan as _, tz::TimeZone};

/// How often usage starts anew. Source: Stigg's `resetPeriod`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetPeriod {
    /// Every hour.
    Hour,
    /// Every day.
    Day,
    /// Every seven days.
    Week,
    /// Every month of the calendar.
    Month,
    /// Every year of the calendar.
    Year,
}

impl ResetPeriod {
    const WORDS: [(Self, &str); 5] =
        [(Self::Hour, "HOUR"), (Self::Day, "DAY"), (Self::Week, "WEEK"), (Self::Month, "MONTH"), (Self::Year, "YEAR")];

    /// Reads Stigg's word for it, in any case. None for a word that is none.
    pub fn parse(text: &str) -> Option<Self> {
        Self::WORDS.into_iter().find_map(|(period, word)| text.eq_ignore_ascii_case(word).then_some(period))
    }

    /// Stigg's word for it.
    pub fn word(self) -> &'static str {
        Self::WORDS.into_iter().find_map(|(period, word)| (period == self).then_some(word)).unwrap_or_default()
    }

    fn times(self, count: i32) -> Span {
        match self {
            Self::Hour => count.hours(),
            Self::Day => count.days(),
            Self::Week => count.weeks(),
            Self::Month => count.months(),
            Self::Year => count.years(),
        }
    }

    /// A little more than the longest such period in hours, for a first guess that is never too far.
    fn longest_hours(self) -> i64 {
        match self {
            Self::Hour => 1,
            Self::Day => 24,
            Self::Week => 7 * 24,
            Self::Month => 31 * 24,
            Self::Year => 366 * 24,
        }
    }
}

/// The period that usage was counted in, as an event gave it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsagePeriod {
    /// What periods are counted from.
    pub usage_period_anchor: Option<Timestamp>,
    /// When the period began.
    pub usage_period_start: Option<Timestamp>,
    /// When it ends; the moment itself still belongs to it. None never ends.
    pub usage_period_end: Option<Timestamp>,
    /// How often usage starts anew, in Stigg's words.
    pub reset_period: Option<String>,
}

/// A period's start and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// When it began, where that is known.
    pub start: Option<Timestamp>,
    /// When it ends; the moment itself still belongs to it.
    pub end: Option<Timestamp>,
}

impl UsagePeriod {
    /// Whether the event said which period it is about.
    pub fn is_given(&self) -> bool {
        self.usage_period_end.is_some() || self.usage_period_start.is_some() || self.usage_period_anchor.is_some()
    }

    /// Whether the period was over before `now`: usage then counts as 0.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.usage_period_end.is_some_and(|end| end < now)
    }

    /// The period that holds `now`: this one while it lasts, else the one counted from the anchor.
    ///
    /// Periods are counted from the anchor, never from one another: a month from 31 January ends on
    /// 28 February, and the next on 31 March. Where the anchor or the reset period is not known, the
    /// bounds of a period that is over are not known either.
    pub fn at(&self, now: Timestamp) -> Bounds {
        if !self.is_over(now) {
            return Bounds { start: self.usage_period_start, end: self.usage_period_end };
        }
        self.counted_from_anchor(now).unwrap_or(Bounds { start: None, end: None })
    }

    fn counted_from_anchor(&self, now: Timestamp) -> Option<Bounds> {
        let anchor = self.usage_period_anchor.or(self.usage_period_start)?;
        let period = ResetPeriod::parse(self.reset_period.as_deref()?)?;
        let boundary = |count: i64| {
            let span = period.times(i32::try_from(count).ok()?);
            anchor.to_zoned_datetime(TimeZone::UTC).checked_add(span).ok().map(|boundary| boundary.timestamp())
        };
        let hours = now.duration_since(anchor).as_hours();
        let mut count = (hours / period.longest_hours()).max(0);
        while boundary(count + 1)? < now {
            count += 1;
        }
        Some(Bounds { start: boundary(count), end: boundary(count + 1) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn period(anchor: &str, end: &str, reset: &str) -> UsagePeriod {
        UsagePeriod {
            usage_period_anchor: Some(time(anchor)),
            usage_period_start: None,
            usage_period_end: Some(time(end)),
            reset_period: Some(reset.to_owned()),
        }
    }

    #[test]
    fn the_end_itself_still_belongs_to_the_period() {
        let period = period("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z", "MONTH");
        assert!(!period.is_over(time("2026-02-01T00:00:00Z")));
        assert!(period.is_over(time("2026-02-01T00:00:00.001Z")));
        assert!(!UsagePeriod::default().is_over(time("9999-01-01T00:00:00Z")));
    }

    #[test]
    fn months_are_counted_from_the_anchor_and_not_from_one_another() {
        let period = period("2026-01-31T10:00:00Z", "2026-01-31T10:00:00Z", "month");
        for (now, start, end) in [
            ("2026-02-10T00:00:00Z", "2026-01-31T10:00:00Z", "2026-02-28T10:00:00Z"),
            ("2026-03-01T00:00:00Z", "2026-02-28T10:00:00Z", "2026-03-31T10:00:00Z"),
            ("2026-04-01T00:00:00Z", "2026-03-31T10:00:00Z", "2026-04-30T10:00:00Z"),
            ("2028-02-29T10:00:00Z", "2028-01-31T10:00:00Z", "2028-02-29T10:00:00Z"),
        ] {
            assert_eq!(period.at(time(now)), Bounds { start: Some(time(start)), end: Some(time(end)) }, "{now}");
        }
    }

    #[test]
    fn every_reset_period_finds_the_present_one() {
        for (reset, end) in [
            ("HOUR", "2026-11-23T14:30:00Z"),
            ("DAY", "2026-11-24T00:30:00Z"),
            ("WEEK", "2026-11-26T00:30:00Z"),
            ("MONTH", "2026-12-01T00:30:00Z"),
            ("YEAR", "2027-01-01T00:30:00Z"),
        ] {
            let period = period("2026-01-01T00:30:00Z", "2026-01-01T00:30:00Z", reset);
            assert_eq!(period.at(time("2026-11-23T14:00:00Z")).end, Some(time(end)), "{reset}");
        }
    }

    #[test]
    fn a_period_that_is_over_has_no_known_successor_without_an_anchor_or_a_known_reset_period() {
        let mut period = period("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z", "FORTNIGHT");
        let unknown = Bounds { start: None, end: None };
        assert_eq!(period.at(time("2026-03-01T00:00:00Z")), unknown);
        period.reset_period = Some("MONTH".to_owned());
        period.usage_period_anchor = None;
        assert_eq!(period.at(time("2026-03-01T00:00:00Z")), unknown);
    }
}
