//! Importing from Stigg's API and reconciling with it, against a fake API with the documented response shapes.

mod fake_stigg;
mod guards;
mod property;
mod scenarios;
mod world;
