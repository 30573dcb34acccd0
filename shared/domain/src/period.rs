//! Usage periods: when usage resets to 0, and the bounds of the current period.

use jiff::{Span, Timestamp, ToSpan as _, tz::TimeZone};

/// How often usage resets. Source: Stigg's `resetPeriod`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetPeriod {
    Hour,
    Day,
    Week,
    /// A calendar month.
    Month,
    /// A calendar year.
    Year,
}

impl ResetPeriod {
    const NAMES: [(Self, &str); 5] =
        [(Self::Hour, "HOUR"), (Self::Day, "DAY"), (Self::Week, "WEEK"), (Self::Month, "MONTH"), (Self::Year, "YEAR")];

    /// Parses Stigg's name, ignoring case.
    pub fn parse(text: &str) -> Option<Self> {
        Self::NAMES.into_iter().find_map(|(period, name)| text.eq_ignore_ascii_case(name).then_some(period))
    }

    /// Stigg's name.
    pub fn as_str(self) -> &'static str {
        Self::NAMES.into_iter().find_map(|(period, name)| (period == self).then_some(name)).unwrap_or_default()
    }

    fn span(self, count: i32) -> Span {
        match self {
            Self::Hour => count.hours(),
            Self::Day => count.days(),
            Self::Week => count.weeks(),
            Self::Month => count.months(),
            Self::Year => count.years(),
        }
    }

    /// The length of the longest such period in hours: dividing by it never counts too many periods.
    fn max_hours(self) -> i64 {
        match self {
            Self::Hour => 1,
            Self::Day => 24,
            Self::Week => 7 * 24,
            Self::Month => 31 * 24,
            Self::Year => 366 * 24,
        }
    }
}

/// The period that usage was counted in, as in the event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsagePeriod {
    /// Every period starts a whole number of reset periods after it.
    pub usage_period_anchor: Option<Timestamp>,
    pub usage_period_start: Option<Timestamp>,
    /// Inclusive. None never ends.
    pub usage_period_end: Option<Timestamp>,
    /// As in the event. See [`ResetPeriod`].
    pub reset_period: Option<String>,
}

/// Start and end of a period; None if unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub start: Option<Timestamp>,
    /// Inclusive.
    pub end: Option<Timestamp>,
}

impl UsagePeriod {
    /// Whether the event named a period.
    pub fn is_given(&self) -> bool {
        self.usage_period_end.is_some() || self.usage_period_start.is_some() || self.usage_period_anchor.is_some()
    }

    /// Whether the period ended before `now`: usage then counts as 0.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.usage_period_end.is_some_and(|end| end < now)
    }

    /// The bounds of the period that contains `now`: this period until it ends, then one computed from the anchor.
    ///
    /// Each period is computed from the anchor, not from the period before it: a month from 31 January ends on
    /// 28 February, the next one on 31 March. Without an anchor or a known reset period, the bounds are unknown once
    /// this period has ended.
    pub fn at(&self, now: Timestamp) -> Bounds {
        if !self.is_over(now) {
            return Bounds { start: self.usage_period_start, end: self.usage_period_end };
        }
        self.computed_from_anchor(now).unwrap_or(Bounds { start: None, end: None })
    }

    fn computed_from_anchor(&self, now: Timestamp) -> Option<Bounds> {
        let anchor = self.usage_period_anchor.or(self.usage_period_start)?;
        let period = ResetPeriod::parse(self.reset_period.as_deref()?)?;
        let boundary = |count: i64| {
            let span = period.span(i32::try_from(count).ok()?);
            anchor.to_zoned_datetime(TimeZone::UTC).checked_add(span).ok().map(|boundary| boundary.timestamp())
        };
        let hours = now.duration_since(anchor).as_hours();
        let mut count = (hours / period.max_hours()).max(0);
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
    fn the_end_of_a_period_is_inclusive() {
        let period = period("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z", "MONTH");
        assert!(!period.is_over(time("2026-02-01T00:00:00Z")));
        assert!(period.is_over(time("2026-02-01T00:00:00.001Z")));
        assert!(!UsagePeriod::default().is_over(time("9999-01-01T00:00:00Z")));
    }

    #[test]
    fn months_are_computed_from_the_anchor_not_from_the_previous_month() {
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
    fn the_current_period_is_found_for_every_reset_period() {
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
    fn without_an_anchor_or_a_known_reset_period_the_next_period_is_unknown() {
        let mut period = period("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z", "FORTNIGHT");
        let unknown = Bounds { start: None, end: None };
        assert_eq!(period.at(time("2026-03-01T00:00:00Z")), unknown);
        period.reset_period = Some("MONTH".to_owned());
        period.usage_period_anchor = None;
        assert_eq!(period.at(time("2026-03-01T00:00:00Z")), unknown);
    }
}
