//! Which parts of customers a query reads.

use async_graphql::parser::types::Field;
use store::Projection;

/// The part of a customer that a field of the schema needs.
///
/// Fields of `Customer` that are not listed read every part, so a new field costs more until it is listed but is never
/// null for want of data.
pub(crate) fn of(object: &str, field: &Field) -> Projection {
    match (object, field.name.node.as_str()) {
        ("Customer", "customerId" | "createdAt" | "updatedAt" | "resources" | "subscriptions" | "__typename") => {
            Projection::Versions
        }
        ("Customer", "name" | "email" | "billingId" | "crmId" | "billingCurrency" | "metadata") => Projection::Profiles,
        ("Customer", _) => Projection::Entitlements,
        // Conditions and orders compare columns of the profile.
        ("Query", "customers") if ["condition", "orderBy"].iter().any(|name| field.get_argument(name).is_some()) => {
            Projection::Profiles
        }
        _ => Projection::Versions,
    }
}
