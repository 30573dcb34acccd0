//! The operator's commands. Each runs on any deployment; see [`target`].
#![allow(missing_docs)]

mod arguments;
pub mod check;
pub mod compare;
pub mod consent;
pub mod delivery;
pub mod doctor;
pub mod environment;
pub mod guard;
pub mod http;
pub mod import;
pub mod outcome;
mod queue;
pub mod reconcile;
pub mod recorded;
pub mod replay;
pub mod report;
pub mod secrets;
pub mod send;
pub mod serve_console;
pub mod show;
pub mod stigg;
pub mod sync;
pub mod target;
