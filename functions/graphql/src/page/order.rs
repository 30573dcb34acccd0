//! The order of a list.

use std::cmp::Ordering;

use store::Index;

use super::Position;
use crate::{column::Column, row::Row};

/// Nulls come last ascending and first descending, as in PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Ascending,
    Descending,
}

impl Direction {
    pub(crate) fn reversed(self) -> Self {
        match self {
            Self::Ascending => Self::Descending,
            Self::Descending => Self::Ascending,
        }
    }
}

/// A total order: later columns break ties, and the last is the primary key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order<C> {
    keys: Vec<(C, Direction)>,
}

impl<C: Column> Order<C> {
    /// Appends the primary key, ascending as in PostGraphile. If an index has the order, the primary key takes the
    /// direction of the last column, so that the index can be read backwards. `use_index` is whether the list may be
    /// read from an index.
    pub(crate) fn new(columns: impl IntoIterator<Item = (C, Direction)>, use_index: bool) -> Self {
        let mut keys: Vec<(C, Direction)> = Vec::new();
        for (column, direction) in columns {
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
        if !(use_index && order.index().is_some())
            && let Some((_, primary_key_direction)) = order.keys.last_mut()
        {
            *primary_key_direction = Direction::Ascending;
        }
        order
    }

    /// The index that has this order, and the direction to read it in.
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

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(crate) fn position<R: Row<Column = C>>(&self, row: &R) -> Position {
        Position(self.keys.iter().map(|(column, _)| row.value(*column).map(str::to_owned)).collect())
    }

    pub(crate) fn compare(&self, a: &Position, b: &Position) -> Ordering {
        let pairs = a.0.iter().zip(&b.0);
        let mut compared = self.keys.iter().zip(pairs).map(|((_, direction), (a, b))| match direction {
            Direction::Ascending => ascending(a.as_deref(), b.as_deref()),
            Direction::Descending => ascending(b.as_deref(), a.as_deref()),
        });
        compared.find(|ordering| ordering.is_ne()).unwrap_or(Ordering::Equal)
    }
}

/// Nulls last.
fn ascending(a: Option<&str>, b: Option<&str>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => a.cmp(b),
        (a, b) => a.is_none().cmp(&b.is_none()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::column::CustomerColumn::{self, CreatedAt, CustomerId, Name};
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
    fn later_columns_break_ties_and_the_primary_key_is_last() {
        let order = Order::new([(Name, Descending), (CreatedAt, Ascending), (Name, Ascending)], true);
        assert_eq!(order.name(), "name_desc,created_at_asc,customer_id_asc");
        assert_eq!(Order::new([(CustomerId, Descending), (Name, Ascending)], true).name(), "customer_id_desc");
        let no_columns: [(CustomerColumn, Direction); 0] = [];
        assert_eq!(Order::new(no_columns, true).name(), "customer_id_asc");
    }

    #[test]
    fn the_primary_key_is_ascending_unless_an_index_is_read_backwards() {
        let name = |column, use_index| Order::new([column], use_index).name();
        assert_eq!(name((Name, Descending), true), "name_desc,customer_id_asc");
        assert_eq!(name((CreatedAt, Descending), true), "created_at_desc,customer_id_desc");
        assert_eq!(name((CreatedAt, Descending), false), "created_at_desc,customer_id_asc");
        assert_eq!(name((CustomerId, Descending), false), "customer_id_desc");
    }

    #[test]
    fn an_index_serves_its_own_order_in_both_directions_only() {
        let index = |columns: &[(CustomerColumn, Direction)]| Order::new(columns.iter().copied(), true).index();
        assert_eq!(index(&[]), Some((Index::Customers, Ascending)));
        assert_eq!(index(&[(CreatedAt, Descending)]), Some((Index::CustomersByCreation, Descending)));
        assert_eq!(index(&[(CreatedAt, Descending), (CustomerId, Ascending)]), None);
        assert_eq!(index(&[(Name, Ascending)]), None);
    }
}
