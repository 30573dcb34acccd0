//! What events and checks take: requests to DynamoDB and their units, as docs/cost.md and docs/architecture.md have them
//! of a customer with 20 entitlements and two subscriptions.

use crate::{
    random::Random,
    table::Units::{self, Read, Write},
};

/// A table of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableName {
    /// Customers, lists and usage.
    Customers,
    /// Subscriptions.
    Subscriptions,
    /// First receipts of events without a time.
    Receipts,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// POST /check-access at customer level.
    Check,
    /// entitlements.updated with 20 features.
    List,
    /// measurement.reported.
    Measurement,
    /// measurement.reported without a time.
    MeasurementWithoutTime,
    /// subscription.updated.
    Subscription,
}

/// A request to DynamoDB.
pub type Request = (TableName, Units);

impl Kind {
    /// Its requests, one after the other. A list has three units, and so has whatever else is written to its item.
    pub fn requests(self) -> &'static [Request] {
        use TableName::{Customers, Receipts, Subscriptions};
        match self {
            Self::Check => &[(Customers, Read(1.0))],
            Self::List => &[(Customers, Write(3.0))],
            Self::Measurement => &[(Customers, Write(1.0))],
            Self::MeasurementWithoutTime => &[(Receipts, Write(1.0)), (Customers, Write(1.0))],
            Self::Subscription => &[(Subscriptions, Write(2.0)), (Customers, Write(3.0))],
        }
    }

    /// An event of an ordinary day, by the shares of docs/cost.md; its rare kinds count as subscriptions'.
    pub fn of_a_day(random: &mut Random) -> Self {
        match random.unit() * EVENTS_A_MONTH {
            place if place < 57.0 => Self::Measurement,
            place if place < 60.0 => Self::MeasurementWithoutTime,
            place if place < 63.0 => Self::List,
            _ => Self::Subscription,
        }
    }
}

/// Of a customer; docs/cost.md, "Assumptions".
pub const CHECKS_A_MONTH: f64 = 600.0;
/// See [`CHECKS_A_MONTH`].
pub const EVENTS_A_MONTH: f64 = 64.7;
/// The busiest moment has this many times the average; docs/cost.md.
pub const PEAK: f64 = 4.0;
const SECONDS_A_MONTH: f64 = 730.0 * 3_600.0;

/// Checks a second of so many customers, at the busiest moment.
pub fn checks_a_second(customers: u32) -> f64 {
    f64::from(customers) * CHECKS_A_MONTH * PEAK / SECONDS_A_MONTH
}

/// Events a second of so many customers, at the busiest moment.
pub fn events_a_second(customers: u32) -> f64 {
    f64::from(customers) * EVENTS_A_MONTH * PEAK / SECONDS_A_MONTH
}

/// DynamoDB's answer to a request, in milliseconds, at the tenths of all answers: 4 in the middle. An assumption: AWS says
/// "single-digit milliseconds".
pub const STORE_MS: [f64; 11] = [2.2, 2.8, 3.1, 3.4, 3.7, 4.0, 4.4, 4.9, 5.6, 7.0, 20.0];

/// SQS's answer to a message, in milliseconds. An assumption.
pub const QUEUE_MS: f64 = 10.0;

/// CPU of an invocation beside its requests, and of each request, in milliseconds of a whole vCPU; docs/cost.md, which
/// takes more than docs/performance.md measured.
pub const CPU_MS: f64 = 0.3;
/// See [`CPU_MS`].
pub const CPU_MS_A_REQUEST: f64 = 0.5;
/// Memory that brings a whole vCPU.
pub const MEMORY_OF_A_VCPU_MB: f64 = 1_769.0;

/// The start of a new environment, in milliseconds, Lambda's own part included. An assumption.
pub const START_MS: f64 = 150.0;

/// Between two batches of a poller, in milliseconds. An assumption.
pub const POLL_MS: f64 = 20.0;
