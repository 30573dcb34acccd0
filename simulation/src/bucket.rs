//! A token bucket: what comes in faster than its rate is refused, once the burst is used up.

use crate::{SECOND, Time};

/// Tokens that come back at a rate, up to a capacity. Full at first.
#[derive(Clone, Debug)]
pub struct Bucket {
    rate: f64,
    capacity: f64,
    tokens: f64,
    at: Time,
}

impl Bucket {
    /// So many tokens a second, and so many at once.
    pub fn new(rate: f64, capacity: f64) -> Self {
        Self { rate, capacity, tokens: capacity, at: 0 }
    }

    /// One that holds what comes in a second, and is full from this moment on.
    pub fn of_a_second(rate: f64, now: Time) -> Self {
        Self { at: now, ..Self::new(rate, rate) }
    }

    fn refill(&mut self, now: Time) {
        let elapsed = now.saturating_sub(self.at) as f64 / SECOND as f64;
        self.tokens = (self.tokens + elapsed * self.rate).min(self.capacity);
        self.at = self.at.max(now);
    }

    /// Takes so many tokens, or none.
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
    fn a_burst_is_taken_and_the_rest_at_the_rate() {
        let mut bucket = Bucket::new(100.0, 50.0);
        assert_eq!((0..200).filter(|_| bucket.take(0, 1.0)).count(), 50);
        // Ten seconds of 1,000 requests each, evenly.
        let taken = (1..=10_000).filter(|n| bucket.take(n * 1_000, 1.0)).count();
        assert!((999..=1_001).contains(&taken), "{taken}");
    }

    #[test]
    fn tokens_that_nobody_takes_do_not_pile_up_beyond_the_capacity() {
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
