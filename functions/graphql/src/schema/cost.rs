//! What a field counts for in a query's complexity: what it may have to read and write.

use async_graphql::parser::types::Field;
use async_graphql_value::Value;

/// What a list counts beside its rows: a request to each shard and one for the rows.
const LIST: usize = 20;

/// The rows that a list without `first` and `last` is taken to have.
const USUAL_ROWS: usize = 100;

/// A list in an order or on a condition that no index serves.
const SCAN: usize = 2_000;

/// The rows that are read for it at most.
const SCANNED: usize = 10_000;

/// A count of a whole list: up to a million keys are read.
const COUNT: usize = 100;

/// A customer beside its subscription: a row of the answer, if not one that is read for it.
const ROW: usize = 10;

/// A read of one row, of one customer's entitlements, or of what a decision needs.
const READ: usize = 20;

/// How many entitlements, or resources, a customer is taken to have.
const USUAL_ENTITLEMENTS: usize = 20;

/// The list that an object comes from.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Parent {
    /// The most rows of its page.
    rows: usize,
    /// It holds one customer's subscriptions.
    is_of_one_customer: bool,
    /// The object is the customer of such a subscription, read with the page that the list hangs on.
    is_read: bool,
}

impl Parent {
    /// For what is selected of this field. `page` is the most rows of a page.
    pub(crate) fn child(self, object: &str, field: &Field, page: usize) -> Self {
        match (object, field.name.node.as_str()) {
            ("Query", "customers" | "subscriptions") => Self { rows: rows(field, page), ..Self::default() },
            ("Customer", "subscriptions") => Self { rows: rows(field, page), is_of_one_customer: true, ..self },
            ("Subscription", "customer") => Self { is_read: self.is_of_one_customer, is_of_one_customer: false, ..self },
            ("Query", _) => Self::default(),
            _ => self,
        }
    }
}

/// What a field counts for, whose own fields count for `below`.
pub(crate) fn of(object: &str, field: &Field, parent: Parent, below: usize) -> usize {
    match (object, field.name.node.as_str()) {
        ("Query", "customers" | "subscriptions") if !is_indexed(field) => below.saturating_add(SCAN),
        ("Query", "customers" | "subscriptions") => below.saturating_add(LIST).saturating_add(passed(field)),
        ("Customer", "subscriptions") => below.saturating_add(LIST),
        ("CustomersConnection" | "SubscriptionsConnection", "nodes" | "edges") => {
            below.saturating_add(1).saturating_mul(parent.rows)
        }
        ("CustomersConnection" | "SubscriptionsConnection", "totalCount") if !parent.is_of_one_customer => COUNT,
        ("Query", "customer" | "subscription" | "checkAccess") => below.saturating_add(READ),
        ("Subscription", "customer") => below.saturating_add(ROW),
        ("Customer", "entitlements" | "entitlementList" | "resources") if parent.is_read => below.saturating_add(1),
        ("Customer", "entitlements") => 2 * READ,
        ("Customer" | "Resource", "entitlementList" | "resources") => {
            below.saturating_mul(USUAL_ENTITLEMENTS).saturating_add(READ)
        }
        _ => below.saturating_add(1),
    }
}

/// The most rows of a list's page.
fn rows(list: &Field, page: usize) -> usize {
    size(list, "first").or_else(|| size(list, "last")).unwrap_or(USUAL_ROWS).min(page)
}

/// What the rows count for that an offset passes: as many of them as a scan reads count as one.
fn passed(list: &Field) -> usize {
    size(list, "offset").unwrap_or_default().min(SCANNED) / (SCANNED / SCAN)
}

fn size(list: &Field, argument: &str) -> Option<usize> {
    match value(list, argument) {
        Some(Value::Number(number)) => Some(number.as_u64().and_then(|rows| usize::try_from(rows).ok()).unwrap_or_default()),
        _ => None,
    }
}

/// Whether an index serves the list's order and condition. Several orders are taken to have none.
fn is_indexed(list: &Field) -> bool {
    let is_customers = list.name.node.as_str() == "customers";
    let looked_up: &[&str] = if is_customers { &["customerId", "email", "billingId"] } else { &["subscriptionId", "customerId"] };
    let condition = match value(list, "condition") {
        Some(Value::Object(members)) if !members.is_empty() => Some(members),
        _ => None,
    };
    if let Some(members) = condition {
        return looked_up.iter().any(|name| members.get(*name).is_some_and(|value| *value != Value::Null));
    }
    let order = match value(list, "orderBy") {
        Some(Value::List(orders)) if orders.len() > 1 => return false,
        Some(Value::List(orders)) => orders.first(),
        order => order,
    };
    let Some(Value::Enum(order)) = order else { return true };
    let column = order.trim_end_matches("_ASC").trim_end_matches("_DESC");
    matches!(column, "NATURAL" | "PRIMARY_KEY" | "CREATED_AT" | "CUSTOMER_ID") || (!is_customers && column == "SUBSCRIPTION_ID")
}

fn value<'a>(field: &'a Field, argument: &str) -> Option<&'a Value> {
    field.get_argument(argument).map(|value| &value.node)
}
