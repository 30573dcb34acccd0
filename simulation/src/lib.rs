//! A discrete-event simulation of the deployed stack under load that can't be made here: Stigg, API Gateway, Lambda,
//! DynamoDB and the queue of parked events, with AWS's documented limits ([`limits`]) and the figures that were measured
//! of the functions ([`work`]). docs/scale.md has its output and says what is not modelled.
//!
//! ```sh
//! cargo run --release -p simulation            # all tables of docs/scale.md
//! cargo run --release -p simulation -- month   # one of them
//! ```
//!
//! The same seed gives the same figures on every machine: random numbers are made of integers, and no function of the
//! system's mathematical library is used.
// Indexes are the simulation's own, of slots and partitions that it made.
#![allow(clippy::indexing_slicing)]
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]

pub mod bucket;
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
pub mod world;

/// Simulated time, in microseconds.
pub type Time = u64;

/// A second.
pub const SECOND: Time = 1_000_000;

/// So many seconds.
pub fn seconds(count: f64) -> Time {
    (count * SECOND as f64) as Time
}

/// So many milliseconds.
pub fn milliseconds(count: f64) -> Time {
    (count * 1e3) as Time
}
