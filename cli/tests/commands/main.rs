//! Runs the binary `byos` against a local stack.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod aws;
mod check;
mod compare;
mod console;
mod doctor;
mod import;
mod local_stack;
mod replay;
mod send;
mod show;
mod stack;
