//! Test support that the workspace's tests and benchmarks share.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

pub mod fake_aws;
pub mod histories;
pub mod hostile;
pub mod http;
pub mod model;
pub mod printed;
pub mod proxy;
pub mod runtime_api;
pub mod store;
