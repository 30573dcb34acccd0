//! Pages of lists: orders, cursors, and how the rows of a page are found.
//!
//! A list is either read off an index, in the index's own order and at any size, or gathered whole,
//! sorted and cut, which is bounded. Both cut by the same rules, which are PostGraphile's.

mod cursor;
mod gathered;
mod listing;
mod order;
mod stream;
mod walk;
mod window;

pub(crate) use cursor::Position;
pub(crate) use listing::{Listing, Page, Source};
pub(crate) use order::{Column, Direction, Order, Row};
pub(crate) use window::{Arguments, Ask, Filter};
