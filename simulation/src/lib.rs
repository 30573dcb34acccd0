//! A discrete-event simulation of the deployed stack under loads that are too large for a test: Stigg, API Gateway, Lambda,
//! DynamoDB and the queue of parked events. It uses AWS's documented limits ([`limits`]) and the measured cost of the
//! functions' requests ([`work`]). docs/scale.md has its output, and lists what is not modelled.
//!
//! ```sh
//! cargo run --release -p simulation            # all tables of docs/scale.md
//! cargo run --release -p simulation -- month   # one of them
//! ```
//!
//! The same seed gives the same figures on every machine: random numbers are derived from integers, and the system's
//! mathematical library is not used.
// Indexes are ids that the simulation itself assigned.
#![allow(clippy::indexing_slicing)]
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]

pub mod bucket;
pub mod engine;
pub mod function;
pub mod histogram;
pub mod limits;
pub mod queue;
pub mod random;
pub mod report;
pub mod scenario;
pub mod setup;
pub mod table;
pub mod work;

/// Simulated time, in microseconds.
pub type Time = u64;

/// A second.
pub const SECOND: Time = 1_000_000;

/// Converts seconds.
pub fn seconds(count: f64) -> Time {
    (count * SECOND as f64) as Time
}

/// Converts milliseconds.
pub fn milliseconds(count: f64) -> Time {
    (count * 1e3) as Time
}
