//! The order of a list, and what a list is made of.

use std::{cmp::Ordering, collections::HashMap, fmt::Debug};

use domain::id::Id;
use store::{Index, Projection};

use super::Position;
use crate::{error::ApiError, load::Loaders};

/// A column of rows: every one holds a text, a date-time in its fixed-width form, or nothing.
pub(crate) trait Column: Copy + Eq + Debug + Send + Sync + 'static {
    /// The column that no two rows share.
    const PRIMARY_KEY: Self;

    /// Its name in cursors, which is that of its orders.
    fn name(self) -> &'static str;

    /// The index that lists rows by these columns, ascending.
    fn index(columns: &[Self]) -> Option<Index>;
}

/// A row of a list.
pub(crate) trait Row: Clone + Send + Sync + 'static {
    /// Its columns.
    type Column: Column;

    /// Its primary key.
    fn id(&self) -> &Id;

    /// What it holds.
    fn value(&self, column: Self::Column) -> Option<&str>;

    /// The rows among these that readers see, kept for the request.
    fn load(loaders: &Loaders, ids: Vec<Id>) -> impl Future<Output = Result<HashMap<Id, Self>, ApiError>> + Send;

    /// The same without keeping them, and with these parts of customers alone.
    fn read(loaders: &Loaders, ids: &[Id], parts: Projection)
    -> impl Future<Output = Result<HashMap<Id, Self>, ApiError>> + Send;
}

/// Up or down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Nulls last, as in PostgreSQL.
    Ascending,
    /// Nulls first.
    Descending,
}

/// A total order: the first column decides, the next ones break ties, the last is the primary key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order<C> {
    keys: Vec<(C, Direction)>,
}

impl<C: Column> Order<C> {
    /// The order of these columns. The primary key breaks ties, ascending as in PostGraphile. In an order
    /// that an index has it has the direction of the last column, so that a descending order is the
    /// ascending one backwards; `has_indexes` says whether one may be read.
    pub(crate) fn new(named: impl IntoIterator<Item = (C, Direction)>, has_indexes: bool) -> Self {
        let mut keys: Vec<(C, Direction)> = Vec::new();
        for (column, direction) in named {
            if keys.iter().all(|(earlier, _)| *earlier != column) {
                keys.push((column, direction));
            }
            if column == C::PRIMARY_KEY {
                return Self { keys };
            }
        }
        let direction = keys.last().map_or(Direction::Ascending, |(_, direction)| *direction);
        keys.push((C::PRIMARY_KEY, direction));
        let mut order = Self { keys };
        if !(has_indexes && order.index().is_some())
            && let Some((_, ties)) = order.keys.last_mut()
        {
            *ties = Direction::Ascending;
        }
        order
    }

    /// The index that has this order, and the way to read it.
    pub(crate) fn index(&self) -> Option<(Index, Direction)> {
        let (_, direction) = *self.keys.first()?;
        if self.keys.iter().any(|(_, other)| *other != direction) {
            return None;
        }
        let columns: Vec<C> = self.keys.iter().map(|(column, _)| *column).collect();
        Some((C::index(&columns)?, direction))
    }

    /// Its name in cursors.
    pub(crate) fn name(&self) -> String {
        let name = |(column, direction): &(C, Direction)| match direction {
            Direction::Ascending => format!("{}_asc", column.name()),
            Direction::Descending => format!("{}_desc", column.name()),
        };
        self.keys.iter().map(name).collect::<Vec<_>>().join(",")
    }

    /// How many columns it has.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Where a row stands in it.
    pub(crate) fn position<R: Row<Column = C>>(&self, row: &R) -> Position {
        Position(self.keys.iter().map(|(column, _)| row.value(*column).map(str::to_owned)).collect())
    }

    /// Which of two positions comes first.
    pub(crate) fn compare(&self, a: &Position, b: &Position) -> Ordering {
        let pairs = a.0.iter().zip(&b.0);
        let mut compared = self.keys.iter().zip(pairs).map(|((_, direction), (a, b))| match direction {
            Direction::Ascending => ascending(a.as_deref(), b.as_deref()),
            Direction::Descending => ascending(b.as_deref(), a.as_deref()),
        });
        compared.find(|ordering| ordering.is_ne()).unwrap_or(Ordering::Equal)
    }
}

/// Null comes after everything.
fn ascending(a: Option<&str>, b: Option<&str>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => a.cmp(b),
        (a, b) => a.is_none().cmp(&b.is_none()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::CustomerColumn::{self, CreatedAt, CustomerId, Name};
    use Direction::{Ascending, Descending};

    fn position(values: &[Option<&str>]) -> Position {
        Position(values.iter().map(|value| value.map(str::to_owned)).collect())
    }

    #[test]
    fn nulls_are_last_ascending_and_first_descending() {
        let known = position(&[Some("b"), Some("1")]);
        let unknown = position(&[None, Some("0")]);
        assert!(Order::new([(Name, Ascending)], true).compare(&known, &unknown).is_lt());
        assert!(Order::new([(Name, Descending)], true).compare(&known, &unknown).is_gt());
    }

    #[test]
    fn the_first_order_decides_the_next_break_ties_and_the_primary_key_is_last() {
        let order = Order::new([(Name, Descending), (CreatedAt, Ascending), (Name, Ascending)], true);
        assert_eq!(order.name(), "name_desc,created_at_asc,customer_id_asc");
        assert_eq!(Order::new([(CustomerId, Descending), (Name, Ascending)], true).name(), "customer_id_desc");
        let nothing: [(CustomerColumn, Direction); 0] = [];
        assert_eq!(Order::new(nothing, true).name(), "customer_id_asc");
    }

    #[test]
    fn ties_are_broken_ascending_unless_an_index_is_read_backwards() {
        let name = |named, has_indexes| Order::new([named], has_indexes).name();
        assert_eq!(name((Name, Descending), true), "name_desc,customer_id_asc");
        assert_eq!(name((CreatedAt, Descending), true), "created_at_desc,customer_id_desc");
        assert_eq!(name((CreatedAt, Descending), false), "created_at_desc,customer_id_asc");
        assert_eq!(name((CustomerId, Descending), false), "customer_id_desc");
    }

    #[test]
    fn an_index_serves_its_own_order_in_both_directions_and_no_other() {
        let index = |named: &[(CustomerColumn, Direction)]| Order::new(named.iter().copied(), true).index();
        assert_eq!(index(&[]), Some((Index::Customers, Ascending)));
        assert_eq!(index(&[(CreatedAt, Descending)]), Some((Index::CustomersByCreation, Descending)));
        assert_eq!(index(&[(CreatedAt, Descending), (CustomerId, Ascending)]), None);
        assert_eq!(index(&[(Name, Ascending)]), None);
    }
}
