//! What can be set about the function, with its defaults.

use std::{str::FromStr, time::Duration};

use runtime::config::optional;

/// What can be set. [`Options::default`] is what the docs name.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether the schema may be asked for (`GRAPHQL_INTROSPECTION`, default on).
    pub introspection: bool,
    /// Whether there is a page at /graphiql (`GRAPHIQL`, default on).
    pub graphiql: bool,
    /// The one origin whose pages may ask (`GRAPHQL_CORS_ORIGIN`, default none).
    pub cors_origin: Option<String>,
    /// The bounds of one request.
    pub limits: Limits,
}

/// The bounds of one request.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The deepest a query may nest (`GRAPHQL_MAX_DEPTH`, default 20).
    pub depth: usize,
    /// The most a query may cost by its page sizes (`GRAPHQL_MAX_COMPLEXITY`, default 250,000).
    pub complexity: usize,
    /// The most fields a query may have once its fragments are written out (2,000).
    pub fields: usize,
    /// The most rows of a page (`GRAPHQL_MAX_PAGE`, default 1,000).
    pub page: usize,
    /// The most rows of an answer, all lists together (4,000).
    pub rows: usize,
    /// The most queries in one request (10).
    pub batch: usize,
    /// The most bytes of a request's body (256 KiB).
    pub body: usize,
    /// The most bytes of an answer, as Lambda counts it (6 MiB less room for its envelope).
    pub answer: usize,
    /// How long a request may take (`GRAPHQL_TIME_LIMIT_SECONDS`, default 20).
    pub time: Duration,
    /// The most rows that one field reads where no index gives its order or its condition
    /// (`GRAPHQL_MAX_CANDIDATES`, default 10,000).
    pub candidates: usize,
    /// The most rows that are counted (`GRAPHQL_MAX_COUNT`, default 1,000,000).
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

/// A variable of the environment has a value that it can't have.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the environment variable {name} must be {expected}")]
pub struct OptionsError {
    /// The variable.
    pub name: &'static str,
    /// What it can have.
    pub expected: &'static str,
}

impl Options {
    /// The options as the environment sets them.
    ///
    /// # Errors
    /// If a variable has a value that it can't have: better no start than an open door.
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
    fn what_is_not_set_has_its_default_and_what_is_wrong_is_named() {
        let options = Options::read(|_| None).unwrap();
        assert!(options.introspection && options.graphiql && options.cors_origin.is_none());
        assert_eq!((options.limits.page, options.limits.candidates), (1_000, 10_000));

        let off = Options::read(|name| (name == "GRAPHQL_INTROSPECTION").then(|| "off".to_owned())).unwrap();
        assert!(!off.introspection && off.graphiql);

        for (name, value) in [("GRAPHIQL", "perhaps"), ("GRAPHQL_MAX_DEPTH", "deep"), ("GRAPHQL_MAX_COUNT", "-1")] {
            let error = Options::read(|asked| (asked == name).then(|| value.to_owned())).unwrap_err();
            assert_eq!(error.name, name);
        }
    }
}
