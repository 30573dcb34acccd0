//! Importing from Stigg's API and reconciling with it, against a stand-in in the documented shapes.

mod guards;
mod property;
mod scenarios;
mod standin;
mod world;
