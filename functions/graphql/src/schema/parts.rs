//! Which parts of customers a query reads.

use async_graphql::parser::types::Field;
use store::Projection;

/// The part of a customer that a field of the schema needs.
///
/// A field of `Customer` that is not listed here reads every part. So a new field may read too much, but it is never null
/// because its data was not read.
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
