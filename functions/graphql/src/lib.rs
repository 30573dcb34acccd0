//! Answers GraphQL queries over the replica, and serves GraphiQL.
