//! Tests of the function: of the library, and of the binary that Lambda runs.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod cost;
mod cursors;
mod entitlements;
mod execution;
mod faults;
mod hostile;
mod http;
mod lambda;
mod limits;
mod memory;
mod paging;
mod parts;
mod queries;
mod schema;
mod stack;
mod validation;
