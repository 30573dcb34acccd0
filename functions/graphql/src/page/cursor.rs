//! Cursors: a row's position in an order, opaque to those who hold it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::{id::Id, time::FIXED_WIDTH};
use store::{Index, IndexEntry, creation_order, customer_order};

use super::{Column, Order};
use crate::error::ApiError;

/// Where a row stands in an order: its values in the order's columns. A position stays meaningful
/// when its row is gone, which is why a cursor holds it and not a number of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position(pub(crate) Vec<Option<String>>);

/// What a list that is not ordered like its cursor answers.
const OTHER_ORDER: &str = "is of another order than orderBy: begin anew, or ask with the orderBy that it came from";
const NO_CURSOR: &str = "is none that this API gave";

impl Position {
    /// The position as a cursor of this order.
    pub(crate) fn to_cursor<C: Column>(&self, order: &Order<C>) -> String {
        STANDARD.encode(serde_json::json!([order.name(), self.0]).to_string())
    }

    /// The position in a cursor that must be of this order.
    pub(crate) fn from_cursor<C: Column>(name: &'static str, cursor: &str, order: &Order<C>) -> Result<Self, ApiError> {
        let wrong = |problem| ApiError::Cursor { name, problem };
        let json = STANDARD.decode(cursor).map_err(|_| wrong(NO_CURSOR))?;
        let (of, values): (String, Vec<Option<String>>) = serde_json::from_slice(&json).map_err(|_| wrong(NO_CURSOR))?;
        if of != order.name() {
            return Err(wrong(OTHER_ORDER));
        }
        let position = Self(values);
        let is_whole = position.0.len() == order.len() && position.id().is_some();
        let is_in_index = order.index().is_none_or(|(index, _)| position.to_sort_key(index).is_some());
        if is_whole && is_in_index { Ok(position) } else { Err(wrong(NO_CURSOR)) }
    }

    /// The row that stands there: every order ends with the primary key.
    pub(crate) fn id(&self) -> Option<Id> {
        Id::try_from(self.0.last()?.as_deref()?).ok()
    }

    /// The position in an index's own form; None if the index can hold no such.
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

    /// The position of an entry in an index. It is the index's and not the row's: should the two
    /// differ for a moment, pages still join without a gap.
    pub(crate) fn of_entry(index: Index, entry: &IndexEntry) -> Self {
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
        page::Direction::{Ascending, Descending},
        row::CustomerColumn::{CreatedAt, CustomerId, Name},
    };

    #[test]
    fn a_cursor_is_read_back_in_its_own_order_and_refused_in_another() {
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
    fn what_is_no_cursor_is_refused() {
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
    fn a_place_and_its_position_are_one() {
        let id = Id::try_from("s|1").unwrap();
        let customer = Id::try_from("c|1").unwrap();
        for (index, sort) in [
            (Index::Customers, "s|1".to_owned()),
            (Index::CustomersByCreation, creation_order(Some("2026-01-01T00:00:00.000Z"), &id)),
            (Index::SubscriptionsByCreation, creation_order(None, &id)),
            (Index::SubscriptionsByCustomer, customer_order(&customer, "s|1")),
        ] {
            let entry = IndexEntry { sort, id: id.clone() };
            let position = Position::of_entry(index, &entry);
            assert_eq!(position.to_sort_key(index), Some(entry.sort));
        }
    }
}
