//! Pages of lists: orders, cursors, and how the rows of a page are found.
//!
//! A list is either read from an index, in the index's own order and at any size, or sorted in memory,
//! which is bounded. The rules for what is on the page are PostGraphile's in both cases.

mod cursor;
mod in_memory;
mod listing;
mod order;
mod shard_merge;
mod stream;
mod window;

pub(crate) use cursor::Position;
pub(crate) use listing::{Answered, Listing, Page, Source};
pub(crate) use order::{Column, Direction, Order, Row};
pub(crate) use window::{Arguments, Ask, Filter};
