//! The function, as a library and as the binary that Lambda runs.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod environment;
mod faults;
mod hostile;
mod lambda;
mod memory;
mod processes;
