//! Tests of the function: of the library, and of the binary that Lambda runs.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod faults;
mod hostile;
mod lambda;
mod routes;
