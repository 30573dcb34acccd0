//! Pages cut from a list that is there whole.

use super::{
    Ask, Column, Order, Position, Row,
    stream::Rows,
    window::{End, Window},
};

/// A page cut from a whole list.
#[derive(Debug)]
pub(super) struct Cut<R> {
    pub(super) rows: Rows<R>,
    pub(super) has_next: bool,
    pub(super) has_previous: bool,
}

/// Sorts the rows and cuts the page out of them.
pub(super) fn cut<R: Row>(rows: &[R], ask: &Ask<R::Column>) -> Cut<R> {
    let mut sorted: Rows<R> = rows.iter().map(|row| (ask.order.position(row), row.clone())).collect();
    sorted.sort_by(|(a, _), (b, _)| ask.order.compare(a, b));
    let positions: Vec<&Position> = sorted.iter().map(|(position, _)| position).collect();
    let (page, has_next, has_previous) = bounds(&positions, &ask.order, &ask.window);
    Cut { rows: sorted.get(page).map(<[_]>::to_vec).unwrap_or_default(), has_next, has_previous }
}

/// The page's rows, and whether there are some after and before it: as PostGraphile has it, a page
/// asked for with `first` looks back only as far as to say whether there is anything up to `after`,
/// and the same mirrored for `last`.
fn bounds<C: Column>(sorted: &[&Position], order: &Order<C>, window: &Window) -> (std::ops::Range<usize>, bool, bool) {
    if window.limit == 0 {
        return (0..0, false, false);
    }
    let lower = window.after.as_ref().map(|after| sorted.partition_point(|position| order.compare(position, after).is_le()));
    let upper = window.before.as_ref().map(|before| sorted.partition_point(|position| order.compare(position, before).is_lt()));
    let from = lower.unwrap_or(0);
    let until = upper.unwrap_or(sorted.len());
    match window.end {
        End::First => {
            let start = (from + window.offset).min(until.max(from));
            let end = (start + window.limit).min(until).max(start);
            let has_next = sorted.len() - from - (end - start) > window.offset;
            let has_previous = window.offset > 0 || lower.is_some_and(|lower| lower > 0);
            (start..end, has_next, has_previous)
        }
        End::Last => {
            let end = until.max(from);
            let start = until.saturating_sub(window.limit).max(from).min(end);
            let has_next = upper.is_some_and(|upper| upper < sorted.len());
            let has_previous = until > end - start;
            (start..end, has_next, has_previous)
        }
    }
}
