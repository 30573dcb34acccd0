//! Requests to DynamoDB, counted with their capacity and the time spent waiting for them.

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

use super::Store;

/// What was spent on DynamoDB.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spent {
    /// Requests, without the SDK's own retries.
    pub requests: u32,
    /// Capacity units of tables and indexes, reads and writes, as DynamoDB reports them. It reports none for a write
    /// whose condition failed, which takes the units of the item as it is.
    pub capacity: f64,
}

/// Counts requests, and measures for how long at least one was under way.
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

/// The output of an operation that reports its capacity.
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

impl Store {
    /// Sends a request and counts it.
    pub(super) async fn send<O: Consumed, E>(
        &self,
        request: impl Future<Output = Result<O, SdkError<E>>>,
    ) -> Result<O, SdkError<E>> {
        let _under_way = self.meter.begin();
        let result = request.await;
        if let Ok(output) = &result {
            let capacity: f64 = output.consumed().iter().filter_map(ConsumedCapacity::capacity_units).sum();
            self.meter.counts().spent.capacity += capacity;
        }
        result
    }
}

impl Meter {
    /// Counts a request, which is under way until the guard is dropped.
    fn begin(&self) -> UnderWay<'_> {
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
struct UnderWay<'a>(&'a Meter);

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
    fn the_time_of_concurrent_requests_counts_once() {
        let meter = Meter::default();
        let (one, other) = (meter.begin(), meter.begin());
        std::thread::sleep(Duration::from_millis(20));
        drop(one);
        assert_eq!(meter.waited(), Duration::ZERO);
        drop(other);
        let waited = meter.waited();
        assert!(waited >= Duration::from_millis(20));
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!((meter.waited(), meter.spent().requests), (waited, 2));
    }
}
