//! The local stack: the three functions behind a fake API Gateway, on an embedded DynamoDB with the tables of template.yaml.
//! `cargo run` serves it. The tests of the workspace use it.
#![allow(missing_docs)]

mod console_source;
pub mod embedded;
pub mod gateway;
pub mod last_hour;
pub mod serve;
