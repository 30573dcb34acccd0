//! What requests to DynamoDB cost, counted as they are made.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use aws_sdk_dynamodb::types::ConsumedCapacity;

/// What was spent on DynamoDB.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spent {
    /// Requests, the SDK's own retries not counted.
    pub requests: u32,
    /// Capacity units as DynamoDB told them, tables and indexes, reads and writes. It does not tell
    /// them for a write whose condition failed, which takes the units of the item as it is.
    pub capacity: f64,
}

/// Counts, and measures for how long at least one request was under way.
#[derive(Debug, Default)]
pub(super) struct Meter(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    spent: Spent,
    waited: Duration,
    under_way: usize,
    /// When the first of those under way began.
    since: Option<Instant>,
}

impl Meter {
    /// Begins a request, which is under way until what this answers with is dropped.
    pub(super) fn begin(&self) -> UnderWay<'_> {
        let mut counts = self.counts();
        counts.spent.requests += 1;
        counts.under_way += 1;
        counts.since.get_or_insert_with(Instant::now);
        UnderWay(self)
    }

    pub(super) fn spent(&self) -> Spent {
        self.counts().spent
    }

    pub(super) fn waited(&self) -> Duration {
        self.counts().waited
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is under way.
#[derive(Debug)]
pub(super) struct UnderWay<'a>(&'a Meter);

impl UnderWay<'_> {
    /// Ends it, with the capacity that DynamoDB told.
    pub(super) fn end<'a>(self, consumed: impl IntoIterator<Item = &'a ConsumedCapacity>) {
        let capacity: f64 = consumed.into_iter().filter_map(ConsumedCapacity::capacity_units).sum();
        self.0.counts().spent.capacity += capacity;
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut counts = self.0.counts();
        counts.under_way -= 1;
        if counts.under_way == 0
            && let Some(since) = counts.since.take()
        {
            counts.waited += since.elapsed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_under_way_at_once_are_waited_for_once() {
        let meter = Meter::default();
        let (one, other) = (meter.begin(), meter.begin());
        std::thread::sleep(Duration::from_millis(20));
        one.end(None);
        assert_eq!(meter.waited(), Duration::ZERO);
        drop(other);
        let waited = meter.waited();
        assert!(waited >= Duration::from_millis(20));
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!((meter.waited(), meter.spent().requests), (waited, 2));
    }
}
