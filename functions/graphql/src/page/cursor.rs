//! Cursors: the position of a row in an order, opaque to clients.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::{id::Id, time::FIXED_WIDTH};
use store::{Index, IndexEntry, creation_order, customer_order};

use super::Order;
use crate::{column::Column, error::ApiError};

/// The values of a row in the columns of an order. Unlike an offset, a position stays valid when rows are
/// added or deleted, its own row included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position(pub(crate) Vec<Option<String>>);

const OTHER_ORDER: &str = "belongs to another order: use the orderBy of the query that returned it, or start from the first page";
const INVALID: &str = "is not a cursor of this API";

impl Position {
    pub(crate) fn to_cursor<C: Column>(&self, order: &Order<C>) -> String {
        STANDARD.encode(serde_json::json!([order.name(), self.0]).to_string())
    }

    /// Reads a cursor, which must belong to this order. `name` is the argument's.
    pub(crate) fn from_cursor<C: Column>(name: &'static str, cursor: &str, order: &Order<C>) -> Result<Self, ApiError> {
        let wrong = |problem| ApiError::Cursor { name, problem };
        let json = STANDARD.decode(cursor).map_err(|_| wrong(INVALID))?;
        let (order_name, values): (String, Vec<Option<String>>) = serde_json::from_slice(&json).map_err(|_| wrong(INVALID))?;
        if order_name != order.name() {
            return Err(wrong(OTHER_ORDER));
        }
        let position = Self(values);
        let is_complete = position.0.len() == order.len() && position.id().is_some();
        let is_in_index = order.index().is_none_or(|(index, _)| position.to_sort_key(index).is_some());
        if is_complete && is_in_index { Ok(position) } else { Err(wrong(INVALID)) }
    }

    /// The primary key, the last column of every order.
    pub(crate) fn id(&self) -> Option<Id> {
        Id::try_from(self.0.last()?.as_deref()?).ok()
    }

    /// The sort key of this position in an index; None if no entry of the index can have it.
    pub(crate) fn to_sort_key(&self, index: Index) -> Option<String> {
        let id = self.id()?;
        match (index, self.0.as_slice()) {
            (Index::Customers | Index::Subscriptions, [_]) => Some(id.as_str().to_owned()),
            (Index::CustomersByCreation | Index::SubscriptionsByCreation, [time, _]) => {
                time.as_ref().is_none_or(|time| time.len() == FIXED_WIDTH).then(|| creation_order(time.as_deref(), &id))
            }
            (Index::SubscriptionsByCustomer, [customer, _]) => {
                let customer = Id::try_from(customer.as_deref()?).ok()?;
                Some(customer_order(&customer, id.as_str()))
            }
            _ => None,
        }
    }

    /// The position of an index entry. Cursors are taken from the index and not from the row: the row may be
    /// newer than its entry, and the next page has to continue where this one ended in the index.
    pub(crate) fn from_index(index: Index, entry: &IndexEntry) -> Self {
        let id = Some(entry.id.as_str().to_owned());
        match index {
            Index::Customers | Index::Subscriptions => Self(vec![id]),
            Index::CustomersByCreation | Index::SubscriptionsByCreation => {
                let (time, _) = entry.sort.split_once('|').unwrap_or_default();
                Self(vec![(time.len() == FIXED_WIDTH).then(|| time.to_owned()), id])
            }
            Index::SubscriptionsByCustomer => {
                let customer = entry.sort.split_once('\0').map(|(customer, _)| customer.to_owned());
                Self(vec![customer, id])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        column::CustomerColumn::{CreatedAt, CustomerId, Name},
        page::Direction::{Ascending, Descending},
    };

    #[test]
    fn a_cursor_is_rejected_in_another_order() {
        let order = Order::new([(Name, Ascending)], true);
        let position = Position(vec![None, Some("c\"|é".to_owned())]);
        let cursor = position.to_cursor(&order);
        assert_eq!(Position::from_cursor("after", &cursor, &order).unwrap(), position);

        for other in [Order::new([(Name, Descending)], true), Order::new([(CustomerId, Ascending)], true)] {
            let error = Position::from_cursor("after", &cursor, &other).unwrap_err();
            assert!(error.to_string().contains("another order"), "{error}");
        }
    }

    #[test]
    fn invalid_cursors_are_rejected() {
        let order = Order::new([(CreatedAt, Ascending)], true);
        let name = order.name();
        for json in [
            String::new(),
            "[]".to_owned(),
            format!(r#"["{name}",[]]"#),
            format!(r#"["{name}",["2026-01-01T00:00:00.000Z",null]]"#),
            format!(r#"["{name}",["2026-01-01T00:00:00.000Z",""]]"#),
            format!(r#"["{name}",["2026","c"]]"#),
            format!(r#"["{name}",["2026-01-01T00:00:00.000Z","{}"]]"#, "c".repeat(501)),
        ] {
            let cursor = STANDARD.encode(&json);
            assert!(Position::from_cursor("after", &cursor, &order).is_err(), "{json}");
        }
        assert!(Position::from_cursor("after", "%", &order).is_err());
    }

    #[test]
    fn an_index_entry_converts_to_a_position_and_back() {
        let id = Id::try_from("s|1").unwrap();
        let customer = Id::try_from("c|1").unwrap();
        for (index, sort) in [
            (Index::Customers, "s|1".to_owned()),
            (Index::CustomersByCreation, creation_order(Some("2026-01-01T00:00:00.000Z"), &id)),
            (Index::SubscriptionsByCreation, creation_order(None, &id)),
            (Index::SubscriptionsByCustomer, customer_order(&customer, "s|1")),
        ] {
            let entry = IndexEntry { sort, id: id.clone() };
            let position = Position::from_index(index, &entry);
            assert_eq!(position.to_sort_key(index), Some(entry.sort));
        }
    }
}
