//! The function over the embedded store.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod cost;
mod cursors;
mod entitlements;
mod execution;
mod http;
mod limits;
mod paging;
mod queries;
mod schema;
mod stack;
mod validation;
