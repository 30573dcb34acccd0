//! The rows of a list that a field selects: its filter, its order and its page.

use super::{Order, Position};
use crate::{column::Column, error::ApiError, row::Row};

/// The paging arguments of a list field, unchecked.
#[derive(Debug, Default)]
pub(crate) struct PageArguments {
    pub(crate) first: Option<i32>,
    pub(crate) last: Option<i32>,
    pub(crate) offset: Option<i32>,
    pub(crate) before: Option<String>,
    pub(crate) after: Option<String>,
}

/// Columns and the values that they must all have. None is null.
#[derive(Clone, Debug)]
pub(crate) struct Filter<C>(pub(crate) Vec<(C, Option<String>)>);

impl<C: Column> Filter<C> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn matches<R: Row<Column = C>>(&self, row: &R) -> bool {
        self.0.iter().all(|(column, value)| row.value(*column) == value.as_deref())
    }

    /// The value that the column must have; None if it may have any, or must be null.
    pub(crate) fn value(&self, column: C) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(other, _)| *other == column)?;
        value.as_deref()
    }
}

/// The end of the window that the page starts at: `last` pages start at the last row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    First,
    Last,
}

/// The page's place in the list.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    pub(crate) after: Option<Position>,
    pub(crate) before: Option<Position>,
    pub(crate) end: End,
    /// Maximum number of rows: `first` or `last`, at most the page limit.
    pub(crate) limit: usize,
    /// `limit` is the page limit and below what was requested. Rows beyond it are an error unless the query selects
    /// the `pageInfo` field that shows them.
    pub(crate) is_capped: bool,
    /// `first` or `last` is given.
    pub(crate) has_size: bool,
    pub(crate) offset: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct ListQuery<C> {
    pub(crate) order: Order<C>,
    pub(crate) filter: Filter<C>,
    pub(crate) window: Window,
}

impl PageArguments {
    /// Checks the arguments. `page_limit` is the maximum number of rows of a page.
    pub(crate) fn list_query<C: Column>(
        self,
        order: Order<C>,
        filter: Filter<C>,
        page_limit: usize,
    ) -> Result<ListQuery<C>, ApiError> {
        let first = not_negative("first", self.first)?;
        let last = not_negative("last", self.last)?;
        let offset = not_negative("offset", self.offset)?.unwrap_or_default();
        let (end, rows) = match (first, last) {
            (Some(_), Some(_)) => return Err(ApiError::argument("last", "can't be combined with first")),
            (None, Some(_)) if self.offset.is_some() => {
                return Err(ApiError::argument("offset", "can't be combined with last"));
            }
            (None, Some(last)) => (End::Last, last),
            (first, None) => (End::First, first.unwrap_or(usize::MAX)),
        };
        let position =
            |name, cursor: Option<String>| cursor.map(|cursor| Position::from_cursor(name, &cursor, &order)).transpose();
        let (after, before) = (position("after", self.after)?, position("before", self.before)?);
        let has_size = first.is_some() || last.is_some();
        let window = Window { after, before, end, limit: rows.min(page_limit), is_capped: rows > page_limit, has_size, offset };
        Ok(ListQuery { order, filter, window })
    }
}

fn not_negative(name: &'static str, value: Option<i32>) -> Result<Option<usize>, ApiError> {
    value.map(|value| usize::try_from(value).map_err(|_| ApiError::argument(name, "must not be negative"))).transpose()
}
