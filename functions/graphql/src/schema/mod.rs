//! The schema: the read side of what PostGraphile generates for the Node example's two tables, and
//! what this replica knows beyond them.

mod access;
mod arguments;
mod connection;
mod cost;
mod customer;
mod entitlement;
mod query;
mod scalar;
mod subscription;

use async_graphql::{EmptyMutation, EmptySubscription};

use crate::options::Options;

/// The schema.
pub(crate) type Schema = async_graphql::Schema<query::Query, EmptyMutation, EmptySubscription>;

/// The schema within the options' bounds. Without an extension: one alone would be asked about each field.
pub(crate) fn build(options: &Options) -> Schema {
    let schema = Schema::build(query::Query, EmptyMutation, EmptySubscription)
        .limit_depth(options.limits.depth)
        .limit_complexity(options.limits.complexity)
        .limit_recursive_depth(crate::guard::MAX_NESTING);
    if options.introspection { schema.finish() } else { schema.disable_introspection().finish() }
}
