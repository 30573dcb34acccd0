//! Tests of the whole replica: all functions on one store, and the template that deploys them.
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
