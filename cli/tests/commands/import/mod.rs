//! `byos import` and `byos reconcile`, against a fake of Stigg's API.

mod fake_stigg;
mod guards;
mod history;
mod property;
mod scenarios;
