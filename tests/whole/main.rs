//! Tests of the whole replica.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod convergence;
mod deployed;
mod faults;
mod hostile;
mod http;
mod lints;
mod metrics;
mod policies;
mod scale;
mod served;
