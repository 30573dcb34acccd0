//! Cost tracking: requests to DynamoDB, their capacity units, and the time in flight.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use aws_sdk_dynamodb::{
    error::SdkError,
    operation::{
        batch_get_item::BatchGetItemOutput, delete_item::DeleteItemOutput, get_item::GetItemOutput, put_item::PutItemOutput,
        query::QueryOutput, update_item::UpdateItemOutput,
    },
    types::ConsumedCapacity,
};

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StoreCost {
    /// Without the SDK's retries.
    pub requests: u32,
    /// Consumed capacity units of tables and indexes, as reported by DynamoDB. It reports none for a write whose condition
    /// failed, although it charges for one.
    pub capacity: f64,
}

#[derive(Debug, Default)]
pub(super) struct CostTracker(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    cost: StoreCost,
    time_in_flight: Duration,
    in_flight: usize,
    /// When the oldest request in flight began.
    since: Option<Instant>,
}

/// An operation's output that reports consumed capacity.
pub(super) trait Consumed {
    fn consumed(&self) -> &[ConsumedCapacity];
}

macro_rules! consumed {
    ($($output:ty),*) => {$(
        impl Consumed for $output {
            fn consumed(&self) -> &[ConsumedCapacity] {
                self.consumed_capacity().map(std::slice::from_ref).unwrap_or_default()
            }
        }
    )*};
}

consumed!(UpdateItemOutput, PutItemOutput, DeleteItemOutput, GetItemOutput, QueryOutput);

impl Consumed for BatchGetItemOutput {
    fn consumed(&self) -> &[ConsumedCapacity] {
        self.consumed_capacity()
    }
}

impl CostTracker {
    /// Sends a request and adds its cost.
    pub(super) async fn track<O: Consumed, E>(
        &self,
        request: impl Future<Output = Result<O, SdkError<E>>>,
    ) -> Result<O, SdkError<E>> {
        let _in_flight = self.begin();
        let result = request.await;
        if let Ok(output) = &result {
            let capacity: f64 = output.consumed().iter().filter_map(ConsumedCapacity::capacity_units).sum();
            self.counts().cost.capacity += capacity;
        }
        result
    }

    /// Counts a request, which is in flight until the guard is dropped.
    fn begin(&self) -> InFlight<'_> {
        let mut counts = self.counts();
        counts.cost.requests += 1;
        counts.in_flight += 1;
        counts.since.get_or_insert_with(Instant::now);
        InFlight(self)
    }

    pub(super) fn cost(&self) -> StoreCost {
        self.counts().cost
    }

    pub(super) fn time_in_flight(&self) -> Duration {
        self.counts().time_in_flight
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct InFlight<'a>(&'a CostTracker);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let mut counts = self.0.counts();
        counts.in_flight -= 1;
        if counts.in_flight == 0
            && let Some(since) = counts.since.take()
        {
            counts.time_in_flight += since.elapsed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_in_flight_of_concurrent_requests_counts_once() {
        let costs = CostTracker::default();
        let (one, other) = (costs.begin(), costs.begin());
        std::thread::sleep(Duration::from_millis(20));
        drop(one);
        assert_eq!(costs.time_in_flight(), Duration::ZERO);
        drop(other);
        let waited = costs.time_in_flight();
        assert!(waited >= Duration::from_millis(20));
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!((costs.time_in_flight(), costs.cost().requests), (waited, 2));
    }
}
