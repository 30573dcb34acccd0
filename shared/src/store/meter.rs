//! What requests to DynamoDB cost, counted as they are made.

use std::sync::Mutex;

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

#[derive(Debug, Default)]
pub(super) struct Meter(Mutex<Spent>);

impl Meter {
    pub(super) fn count<'a>(&self, consumed: impl IntoIterator<Item = &'a ConsumedCapacity>) {
        let capacity: f64 = consumed.into_iter().filter_map(ConsumedCapacity::capacity_units).sum();
        let mut spent = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        spent.requests += 1;
        spent.capacity += capacity;
    }

    pub(super) fn spent(&self) -> Spent {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
