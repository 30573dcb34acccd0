//! The work of events and checks: requests to DynamoDB with their units, from docs/cost.md and docs/architecture.md, for a
//! customer with 20 entitlements and two subscriptions.

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

/// A kind of event or request.
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

/// A request to DynamoDB: its table and its capacity.
pub type Request = (TableName, Units);

impl Kind {
    /// The requests, in order. Writing a list takes three units, and so does every other write to its item.
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

    /// A random event of an ordinary day, with the shares of docs/cost.md. Rare kinds count as subscription.updated.
    pub fn random_of_ordinary_day(random: &mut Random) -> Self {
        match random.unit() * EVENTS_A_MONTH {
            n if n < 57.0 => Self::Measurement,
            n if n < 60.0 => Self::MeasurementWithoutTime,
            n if n < 63.0 => Self::List,
            _ => Self::Subscription,
        }
    }
}

/// Checks per customer; docs/cost.md, "Assumptions".
pub const CHECKS_A_MONTH: f64 = 600.0;
/// Events per customer; docs/cost.md, "Assumptions".
pub const EVENTS_A_MONTH: f64 = 64.7;
/// Ratio of the load's peak to its average; docs/cost.md.
pub const PEAK: f64 = 4.0;
const SECONDS_A_MONTH: f64 = 730.0 * 3_600.0;

/// Checks per second at the busiest moment of an ordinary day.
pub fn peak_checks_per_second(customers: u32) -> f64 {
    f64::from(customers) * CHECKS_A_MONTH * PEAK / SECONDS_A_MONTH
}

/// Events per second at the busiest moment of an ordinary day.
pub fn peak_events_per_second(customers: u32) -> f64 {
    f64::from(customers) * EVENTS_A_MONTH * PEAK / SECONDS_A_MONTH
}

/// Deciles of DynamoDB's latency in milliseconds; the median is 4. An assumption: AWS documents "single-digit
/// milliseconds".
pub const STORE_MS: [f64; 11] = [2.2, 2.8, 3.1, 3.4, 3.7, 4.0, 4.4, 4.9, 5.6, 7.0, 20.0];

/// Latency of SQS's SendMessage in milliseconds. An assumption.
pub const QUEUE_MS: f64 = 10.0;

/// CPU time of an invocation without its requests to DynamoDB, in milliseconds on a whole vCPU; docs/cost.md. Higher than
/// measured in docs/performance.md.
pub const CPU_MS: f64 = 0.3;
/// CPU time of a request to DynamoDB; see [`CPU_MS`].
pub const CPU_MS_A_REQUEST: f64 = 0.5;
/// Memory at which Lambda gives a whole vCPU.
pub const MEMORY_OF_A_VCPU_MB: f64 = 1_769.0;

/// Cold start of an environment in milliseconds, including Lambda's part. An assumption.
pub const START_MS: f64 = 150.0;

/// Time between two batches of a poller in milliseconds. An assumption.
pub const POLL_MS: f64 = 20.0;
