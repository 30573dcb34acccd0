//! Importing from Stigg's API and reconciling with it, against a stand-in in the documented shapes.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod guards;
#[path = "../histories/mod.rs"]
mod histories;
#[path = "../model/mod.rs"]
mod model;
mod property;
mod scenarios;
mod standin;
mod world;
