//! The GraphQL schema: the read side of what PostGraphile generates for the Node example's two tables, and more.

mod access;
mod arguments;
mod connection;
pub(crate) mod cost;
mod entitlement;
mod node;
pub(crate) mod parts;
mod query;
mod scalar;

use async_graphql::{EmptyMutation, EmptySubscription, ValidationMode};

pub(crate) use query::Query;

use crate::options::Options;

pub(crate) type Schema = async_graphql::Schema<Query, EmptyMutation, EmptySubscription>;

/// Executes operations that [`crate::document`] has validated and planned. Has no extension: async-graphql calls
/// extensions for each field.
pub(crate) fn build(options: &Options) -> Schema {
    let schema = Schema::build(Query, EmptyMutation, EmptySubscription)
        .validation_mode(ValidationMode::Fast)
        .limit_recursive_depth(crate::guard::MAX_NESTING);
    if options.introspection { schema.finish() } else { schema.disable_introspection().finish() }
}
