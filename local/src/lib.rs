//! The local stack: the three functions behind a gateway, on an embedded DynamoDB with the tables of template.yaml.
//! `cargo run` serves it; the tests of the whole workspace run on it.
#![allow(missing_docs)]

mod console_source;
pub mod embedded;
pub mod gateway;
pub mod last_hour;
pub mod serve;
