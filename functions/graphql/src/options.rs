//! The function's configuration.

use std::{str::FromStr, time::Duration};

use runtime::config::optional;

/// [`Options::default`] has the documented defaults.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether introspection is allowed (`GRAPHQL_INTROSPECTION`, default on).
    pub introspection: bool,
    /// Whether /graphiql serves GraphiQL (`GRAPHIQL`, default on).
    pub graphiql: bool,
    /// The origin that CORS allows (`GRAPHQL_CORS_ORIGIN`, default none).
    pub cors_origin: Option<String>,
    pub limits: Limits,
}

/// Limits of one HTTP request.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Levels of fields of a query (`GRAPHQL_MAX_DEPTH`, default 20).
    pub depth: usize,
    /// Complexity of a query, see docs/graphql.md (`GRAPHQL_MAX_COMPLEXITY`, default 250,000).
    pub complexity: usize,
    /// Fields of a query with its fragments expanded (2,000).
    pub fields: usize,
    /// Rows of a page (`GRAPHQL_MAX_PAGE`, default 1,000).
    pub page: usize,
    /// Rows of a response, all lists together (4,000).
    pub rows: usize,
    /// Queries of a batch (10).
    pub batch: usize,
    /// Bytes of a request body (256 KiB).
    pub body: usize,
    /// Bytes of a response body as a JSON string (6 MiB minus 16 KiB for headers and status).
    pub answer: usize,
    /// Duration of a request (`GRAPHQL_TIME_LIMIT_SECONDS`, default 20).
    pub time: Duration,
    /// Rows that one list reads if its order or condition has no index (`GRAPHQL_MAX_CANDIDATES`, default 10,000).
    pub candidates: usize,
    /// Rows that `totalCount` counts (`GRAPHQL_MAX_COUNT`, default 1,000,000).
    pub count: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            depth: 20,
            complexity: 250_000,
            fields: 2_000,
            page: 1_000,
            rows: 4_000,
            batch: 10,
            body: 256 * 1024,
            answer: 6 * 1024 * 1024 - 16 * 1024,
            time: Duration::from_secs(20),
            candidates: 10_000,
            count: 1_000_000,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self { introspection: true, graphiql: true, cors_origin: None, limits: Limits::default() }
    }
}

/// An environment variable has an invalid value.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the environment variable {name} must be {expected}")]
pub struct OptionsError {
    pub name: &'static str,
    pub expected: &'static str,
}

impl Options {
    /// # Errors
    /// If a variable has an invalid value. The function must not start with a default that its operator tried to change.
    pub fn from_environment() -> Result<Self, OptionsError> {
        Self::read(optional)
    }

    fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, OptionsError> {
        let switch = |name, default| match variable(name).as_deref() {
            None => Ok(default),
            Some("on" | "true" | "1") => Ok(true),
            Some("off" | "false" | "0") => Ok(false),
            Some(_) => Err(OptionsError { name, expected: "on or off" }),
        };
        fn number<T: FromStr>(name: &'static str, value: Option<String>, default: T) -> Result<T, OptionsError> {
            let error = OptionsError { name, expected: "a whole number" };
            value.map_or(Ok(default), |value| value.parse().map_err(|_| error))
        }
        let number_of = |name, default| number(name, variable(name), default);
        let default = Self::default();
        let limits = default.limits;
        Ok(Self {
            introspection: switch("GRAPHQL_INTROSPECTION", default.introspection)?,
            graphiql: switch("GRAPHIQL", default.graphiql)?,
            cors_origin: variable("GRAPHQL_CORS_ORIGIN"),
            limits: Limits {
                depth: number_of("GRAPHQL_MAX_DEPTH", limits.depth)?,
                complexity: number_of("GRAPHQL_MAX_COMPLEXITY", limits.complexity)?,
                page: number_of("GRAPHQL_MAX_PAGE", limits.page)?,
                candidates: number_of("GRAPHQL_MAX_CANDIDATES", limits.candidates)?,
                count: number("GRAPHQL_MAX_COUNT", variable("GRAPHQL_MAX_COUNT"), limits.count)?,
                time: Duration::from_secs(number(
                    "GRAPHQL_TIME_LIMIT_SECONDS",
                    variable("GRAPHQL_TIME_LIMIT_SECONDS"),
                    limits.time.as_secs(),
                )?),
                ..limits
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unset_variables_have_defaults_and_invalid_ones_are_rejected() {
        let options = Options::read(|_| None).unwrap();
        assert!(options.introspection && options.graphiql && options.cors_origin.is_none());
        assert_eq!((options.limits.page, options.limits.candidates), (1_000, 10_000));

        let off = Options::read(|name| (name == "GRAPHQL_INTROSPECTION").then(|| "off".to_owned())).unwrap();
        assert!(!off.introspection && off.graphiql);

        for (name, value) in [("GRAPHIQL", "perhaps"), ("GRAPHQL_MAX_DEPTH", "deep"), ("GRAPHQL_MAX_COUNT", "-1")] {
            let error = Options::read(|variable| (variable == name).then(|| value.to_owned())).unwrap_err();
            assert_eq!(error.name, name);
        }
    }
}
