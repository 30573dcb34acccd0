//! Pages of lists: orders, cursors, and which rows are on a page.
//!
//! If an index has the order of a list, the page is read from it, however long the list is. Other lists are sorted in memory,
//! up to [`Limits::candidates`](crate::Limits) rows. Both follow PostGraphile's rules.

mod cursor;
mod in_memory;
mod index_reader;
mod listing;
mod order;
mod shard_merge;
mod window;

pub(crate) use cursor::Position;
pub(crate) use listing::{Listing, Page, PageInfoRequest, Source};
pub(crate) use order::{Direction, Order};
pub(crate) use window::{Filter, ListQuery, PageArguments};
