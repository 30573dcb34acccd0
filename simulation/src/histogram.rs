//! A histogram of durations, exact to 1 %.

use crate::Time;

/// Each bucket is 1 % larger than the one before: 2,000 buckets reach from 1 µs to more than 12 hours.
const BUCKETS: usize = 2_600;
const GROWTH: f64 = 1.01;

/// Counts of durations.
#[derive(Clone, Debug)]
pub struct Histogram {
    bounds: Vec<Time>,
    counts: Vec<u64>,
    count: u64,
    max: Time,
}

impl Default for Histogram {
    fn default() -> Self {
        let mut bounds: Vec<Time> = Vec::with_capacity(BUCKETS);
        for _ in 0..BUCKETS {
            let last = bounds.last().copied().unwrap_or_default();
            bounds.push((last + 1).max((last as f64 * GROWTH) as Time));
        }
        Self { counts: vec![0; BUCKETS + 1], bounds, count: 0, max: 0 }
    }
}

impl Histogram {
    /// Adds a duration.
    pub fn add(&mut self, time: Time) {
        self.counts[self.bounds.partition_point(|bound| *bound < time)] += 1;
        self.count += 1;
        self.max = self.max.max(time);
    }

    /// Number of durations.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The longest duration.
    pub fn max(&self) -> Time {
        self.max
    }

    /// The quantile for a share from 0 to 1, at most 1 % too high. None if the histogram is empty.
    pub fn quantile(&self, share: f64) -> Option<Time> {
        let rank = (self.count as f64 * share).ceil().max(1.0) as u64;
        let mut cumulative = 0;
        let index = self.counts.iter().position(|count| {
            cumulative += count;
            cumulative >= rank
        })?;
        Some(self.bounds.get(index).map_or(self.max, |bound| (*bound).min(self.max)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_exact_to_one_percent() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        (1..=100_000).for_each(|time| histogram.add(time));
        for (share, time) in [(0.5, 50_000.0), (0.99, 99_000.0), (1.0, 100_000.0)] {
            let found = histogram.quantile(share).unwrap() as f64;
            assert!((time..=time * 1.011).contains(&found), "{share}: {found}");
        }
    }

    #[test]
    fn a_duration_of_days_is_counted() {
        let mut histogram = Histogram::default();
        histogram.add(3 * 86_400 * crate::SECOND);
        assert_eq!(histogram.quantile(0.99), Some(3 * 86_400 * crate::SECOND));
    }
}
