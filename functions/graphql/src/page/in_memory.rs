//! The page of a list that was sorted in memory.

use super::{
    Order, Position,
    window::{End, Window},
};
use crate::column::Column;

/// The page as a range of the sorted positions.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) page: std::ops::Range<usize>,
    pub(super) has_next: bool,
    pub(super) has_previous: bool,
    /// Whether the window has rows beyond the page, at the end opposite to [`Window::end`].
    pub(super) has_more: bool,
}

/// PostGraphile's rules for `hasNextPage` and `hasPreviousPage`. With `first`, there is a previous page if there are
/// rows up to and including `after`, or an offset; with `last`, a next page if there are rows from `before` on. Without
/// both, rows from `before` on are the next page.
pub(super) fn bounds<C: Column>(sorted: &[Position], order: &Order<C>, window: &Window) -> Bounds {
    if window.limit == 0 {
        return Bounds { page: 0..0, has_next: false, has_previous: false, has_more: false };
    }
    let lower = window.after.as_ref().map(|after| sorted.partition_point(|position| order.compare(position, after).is_le()));
    let upper = window.before.as_ref().map(|before| sorted.partition_point(|position| order.compare(position, before).is_lt()));
    let from = lower.unwrap_or(0);
    let until = upper.unwrap_or(sorted.len()).max(from);
    match window.end {
        End::First => {
            let start = from.saturating_add(window.offset).min(until);
            let end = start.saturating_add(window.limit).min(until);
            let has_next = match window.has_size {
                true => sorted.len() - from - (end - start) > window.offset,
                false => end < until || upper.is_some_and(|upper| upper < sorted.len()),
            };
            let has_previous = window.offset > 0 || lower.is_some_and(|lower| lower > 0);
            Bounds { page: start..end, has_next, has_previous, has_more: end < until }
        }
        End::Last => {
            let start = until.saturating_sub(window.limit).max(from);
            let has_next = upper.is_some_and(|upper| upper < sorted.len());
            let has_previous = upper.unwrap_or(sorted.len()) > until - start;
            Bounds { page: start..until, has_next, has_previous, has_more: start > from }
        }
    }
}
