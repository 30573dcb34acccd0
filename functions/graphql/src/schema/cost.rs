//! The complexity of a query: an estimate of what it reads and returns, computed before anything is read.

use async_graphql::parser::types::Field;
use async_graphql_value::Value;

/// A list without its rows: a request per shard and one for the rows.
const LIST: usize = 20;

/// Assumed rows of a list without `first` and `last`.
const DEFAULT_ROWS: usize = 100;

/// A list with an order or a condition that has no index.
const SCAN: usize = 2_000;

/// Maximum number of rows that such a list reads.
const MAX_SCANNED: usize = 10_000;

/// `totalCount` of a list of all rows, which reads up to a million keys.
const COUNT: usize = 100;

/// The customer of a subscription, which is read with the subscription.
const ROW: usize = 10;

/// One read: a row, the entitlements of a customer, or an access check.
const READ: usize = 20;

/// Assumed entitlements or resources of a customer.
const DEFAULT_ENTITLEMENTS: usize = 20;

/// The list that an object is part of.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Parent {
    /// Maximum number of rows of the page.
    rows: usize,
    /// The list has the subscriptions of one customer.
    is_of_one_customer: bool,
    /// The object is the customer of such a subscription, whose row the query has read already.
    is_loaded: bool,
}

impl Parent {
    /// The parent of the subfields of this field. `page_limit` is the maximum number of rows of a page.
    pub(crate) fn child(self, object: &str, field: &Field, page_limit: usize) -> Self {
        match (object, field.name.node.as_str()) {
            ("Query", "customers" | "subscriptions") => Self { rows: rows(field, page_limit), ..Self::default() },
            ("Customer", "subscriptions") => Self { rows: rows(field, page_limit), is_of_one_customer: true, ..self },
            ("Subscription", "customer") => Self { is_loaded: self.is_of_one_customer, is_of_one_customer: false, ..self },
            ("Query", _) => Self::default(),
            _ => self,
        }
    }
}

/// The complexity of a field. `subfields` is that of its subfields.
pub(crate) fn of(object: &str, field: &Field, parent: Parent, subfields: usize) -> usize {
    match (object, field.name.node.as_str()) {
        ("Query", "customers" | "subscriptions") if !is_indexed(field) => subfields.saturating_add(SCAN),
        ("Query", "customers" | "subscriptions") => subfields.saturating_add(LIST).saturating_add(offset(field)),
        ("Customer", "subscriptions") => subfields.saturating_add(LIST),
        ("CustomersConnection" | "SubscriptionsConnection", "nodes" | "edges") => {
            subfields.saturating_add(1).saturating_mul(parent.rows)
        }
        ("CustomersConnection" | "SubscriptionsConnection", "totalCount") if !parent.is_of_one_customer => COUNT,
        ("Query", "customer" | "subscription" | "checkAccess") => subfields.saturating_add(READ),
        ("Subscription", "customer") => subfields.saturating_add(ROW),
        ("Customer", "entitlements" | "entitlementList" | "resources") if parent.is_loaded => subfields.saturating_add(1),
        ("Customer", "entitlements") => 2 * READ,
        ("Customer" | "Resource", "entitlementList" | "resources") => {
            subfields.saturating_mul(DEFAULT_ENTITLEMENTS).saturating_add(READ)
        }
        _ => subfields.saturating_add(1),
    }
}

/// Maximum number of rows of a list's page.
fn rows(list: &Field, page_limit: usize) -> usize {
    size(list, "first").or_else(|| size(list, "last")).unwrap_or(DEFAULT_ROWS).min(page_limit)
}

/// The cost of skipped rows: per row, that of a scan.
fn offset(list: &Field) -> usize {
    size(list, "offset").unwrap_or_default().min(MAX_SCANNED) / (MAX_SCANNED / SCAN)
}

fn size(list: &Field, argument: &str) -> Option<usize> {
    match value(list, argument) {
        Some(Value::Number(number)) => Some(number.as_u64().and_then(|rows| usize::try_from(rows).ok()).unwrap_or_default()),
        _ => None,
    }
}

/// Whether an index has the list's order and condition. More than one order counts as having none.
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
