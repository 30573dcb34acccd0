//! A token bucket: a limit on the rate of requests that allows bursts.

use crate::{SECOND, Time};

/// A token bucket: it is full at first, and refilled at a rate up to its capacity.
#[derive(Clone, Debug)]
pub struct Bucket {
    rate: f64,
    capacity: f64,
    tokens: f64,
    refilled_at: Time,
}

impl Bucket {
    /// `rate` is in tokens per second.
    pub fn new(rate: f64, capacity: f64) -> Self {
        Self { rate, capacity, tokens: capacity, refilled_at: 0 }
    }

    /// A bucket with a capacity of one second's tokens. It is full at `now`.
    pub fn with_one_second_burst(rate: f64, now: Time) -> Self {
        Self { refilled_at: now, ..Self::new(rate, rate) }
    }

    fn refill(&mut self, now: Time) {
        let elapsed = now.saturating_sub(self.refilled_at) as f64 / SECOND as f64;
        self.tokens = (self.tokens + elapsed * self.rate).min(self.capacity);
        self.refilled_at = self.refilled_at.max(now);
    }

    /// Takes `count` tokens. Takes none and returns false if there are fewer.
    pub fn take(&mut self, now: Time, count: f64) -> bool {
        self.refill(now);
        let is_enough = self.tokens >= count;
        if is_enough {
            self.tokens -= count;
        }
        is_enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_limited_by_the_capacity_and_the_rest_by_the_rate() {
        let mut bucket = Bucket::new(100.0, 50.0);
        assert_eq!((0..200).filter(|_| bucket.take(0, 1.0)).count(), 50);
        // Ten seconds of 1,000 requests each, evenly.
        let taken = (1..=10_000).filter(|n| bucket.take(n * 1_000, 1.0)).count();
        assert!((999..=1_001).contains(&taken), "{taken}");
    }

    #[test]
    fn unused_tokens_do_not_exceed_the_capacity() {
        let mut bucket = Bucket::new(100.0, 50.0);
        bucket.take(0, 50.0);
        assert_eq!((0..200).filter(|_| bucket.take(1_000 * SECOND, 1.0)).count(), 50);
    }

    #[test]
    fn a_request_takes_all_of_its_tokens_or_none() {
        let mut bucket = Bucket::new(1.0, 4.0);
        assert!(bucket.take(0, 3.0) && !bucket.take(0, 3.0) && bucket.take(0, 1.0));
    }
}
