//! The schema: the read side of what PostGraphile generates for the Node example's two tables, and
//! what this replica knows beyond them.

mod access;
mod arguments;
mod connection;
pub(crate) mod cost;
mod customer;
mod entitlement;
mod query;
mod scalar;
mod subscription;

use async_graphql::{EmptyMutation, EmptySubscription, ValidationMode};

pub(crate) use query::Query;
pub(crate) use scalar::Json;

use crate::options::Options;

/// The schema.
pub(crate) type Schema = async_graphql::Schema<Query, EmptyMutation, EmptySubscription>;

/// The schema, for operations that [`crate::document`] has validated and planned. Without an
/// extension: one alone would be asked about each field.
pub(crate) fn build(options: &Options) -> Schema {
    let schema = Schema::build(Query, EmptyMutation, EmptySubscription)
        .validation_mode(ValidationMode::Fast)
        .limit_recursive_depth(crate::guard::MAX_NESTING);
    if options.introspection { schema.finish() } else { schema.disable_introspection().finish() }
}
