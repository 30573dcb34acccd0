//! Times by their size, a hundredth exact.

use crate::Time;

/// A bucket is a hundredth larger than the one before: 2,000 of them reach from 1 µs to 12 hours and more.
const BUCKETS: usize = 2_600;
const GROWTH: f64 = 1.01;

/// How many times of which size were seen.
#[derive(Clone, Debug)]
pub struct Histogram {
    bounds: Vec<Time>,
    counts: Vec<u64>,
    count: u64,
    most: Time,
}

impl Default for Histogram {
    fn default() -> Self {
        let mut bounds: Vec<Time> = Vec::with_capacity(BUCKETS);
        for _ in 0..BUCKETS {
            let last = bounds.last().copied().unwrap_or_default();
            bounds.push((last + 1).max((last as f64 * GROWTH) as Time));
        }
        Self { counts: vec![0; BUCKETS + 1], bounds, count: 0, most: 0 }
    }
}

impl Histogram {
    /// Counts a time.
    pub fn add(&mut self, time: Time) {
        self.counts[self.bounds.partition_point(|bound| *bound < time)] += 1;
        self.count += 1;
        self.most = self.most.max(time);
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The longest.
    pub fn most(&self) -> Time {
        self.most
    }

    /// What this share of the times does not exceed, by up to a hundredth more. None if nothing was counted.
    pub fn quantile(&self, share: f64) -> Option<Time> {
        let wanted = (self.count as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        let place = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        })?;
        Some(self.bounds.get(place).map_or(self.most, |bound| (*bound).min(self.most)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_exact_to_a_hundredth() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        (1..=100_000).for_each(|time| histogram.add(time));
        for (share, time) in [(0.5, 50_000.0), (0.99, 99_000.0), (1.0, 100_000.0)] {
            let found = histogram.quantile(share).unwrap() as f64;
            assert!((time..=time * 1.011).contains(&found), "{share}: {found}");
        }
    }

    #[test]
    fn a_time_of_days_is_counted() {
        let mut histogram = Histogram::default();
        histogram.add(3 * 86_400 * crate::SECOND);
        assert_eq!(histogram.quantile(0.99), Some(3 * 86_400 * crate::SECOND));
    }
}
