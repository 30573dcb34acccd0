//! Which rows of a list are asked for: the arguments that every list takes.

use super::{Column, Order, Position, Row};
use crate::error::ApiError;

/// The arguments of a list, as they came.
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    pub(crate) first: Option<i32>,
    pub(crate) last: Option<i32>,
    pub(crate) offset: Option<i32>,
    pub(crate) before: Option<String>,
    pub(crate) after: Option<String>,
}

/// What every row of a list must hold: all of it.
#[derive(Clone, Debug)]
pub(crate) struct Filter<C>(pub(crate) Vec<(C, Option<String>)>);

impl<C: Column> Filter<C> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn admits<R: Row<Column = C>>(&self, row: &R) -> bool {
        self.0.iter().all(|(column, value)| row.value(*column) == value.as_deref())
    }

    /// What the column must hold, where it must hold something.
    pub(crate) fn text(&self, column: C) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(other, _)| *other == column)?;
        value.as_deref()
    }
}

/// The end of the window that the page is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    First,
    Last,
}

/// The part of a list that is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    pub(crate) after: Option<Position>,
    pub(crate) before: Option<Position>,
    pub(crate) end: End,
    /// The most rows: what was asked for, or what a page may have.
    pub(crate) limit: usize,
    /// More rows than `limit` were asked for. Rows beyond it are an error, or told by `pageInfo`.
    pub(crate) is_capped: bool,
    /// `first` or `last` was given.
    pub(crate) has_size: bool,
    pub(crate) offset: usize,
}

/// A list as it is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Ask<C> {
    pub(crate) order: Order<C>,
    pub(crate) filter: Filter<C>,
    pub(crate) window: Window,
}

impl Arguments {
    /// What they ask for, if they can be had together. `page` is the most rows of a page.
    pub(crate) fn ask<C: Column>(self, order: Order<C>, filter: Filter<C>, page: usize) -> Result<Ask<C>, ApiError> {
        let first = count("first", self.first)?;
        let last = count("last", self.last)?;
        let offset = count("offset", self.offset)?.unwrap_or_default();
        let (end, rows) = match (first, last) {
            (Some(_), Some(_)) => return Err(ApiError::argument("last", "can't be given together with first")),
            (None, Some(_)) if self.offset.is_some() => {
                return Err(ApiError::argument("offset", "can't be given together with last"));
            }
            (None, Some(last)) => (End::Last, last),
            (first, None) => (End::First, first.unwrap_or(usize::MAX)),
        };
        let position =
            |name, cursor: Option<String>| cursor.map(|cursor| Position::from_cursor(name, &cursor, &order)).transpose();
        let (after, before) = (position("after", self.after)?, position("before", self.before)?);
        let has_size = first.is_some() || last.is_some();
        let window = Window { after, before, end, limit: rows.min(page), is_capped: rows > page, has_size, offset };
        Ok(Ask { order, filter, window })
    }
}

fn count(name: &'static str, value: Option<i32>) -> Result<Option<usize>, ApiError> {
    value.map(|value| usize::try_from(value).map_err(|_| ApiError::argument(name, "must not be negative"))).transpose()
}
