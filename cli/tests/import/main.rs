//! Importing from Stigg's API and reconciling with it, against a stand-in in the documented shapes.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../model/mod.rs"]
mod model;
mod property;
#[path = "../replica/mod.rs"]
mod replica;
mod scenarios;
mod standin;
mod world;
