//! What is refused before the library looks at a query: what would take it long, or too deep.
//!
//! Depth and complexity are the library's to check, and it does so field by field, with fragments
//! written out at each of their uses. A few hundred bytes of fragments that use each other twice are
//! billions of fields then; so the fields are counted here first, each fragment once.

use std::collections::{HashMap, HashSet};

use async_graphql::{
    Name, Positioned, Variables,
    parser::types::{ExecutableDocument, OperationDefinition, Selection, SelectionSet},
};

/// The deepest that brackets may nest: the parser and the library descend by recursion.
pub(crate) const MAX_NESTING: usize = 60;

/// Why a query is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// Brackets within brackets.
    #[error("the query nests deeper than {MAX_NESTING} brackets")]
    Nesting,
    /// Too many fields.
    #[error("the query has more than {limit} fields once its fragments are written out")]
    Fields {
        /// The most.
        limit: usize,
    },
    /// A fragment that uses itself.
    #[error("the fragment {name} uses itself")]
    Cycle {
        /// The fragment.
        name: String,
    },
    /// The schema was asked for.
    #[error("introspection is switched off")]
    Introspection,
    /// A variable has no value.
    #[error("the variable ${name} of the required type {of} was not given")]
    Variable {
        /// The variable.
        name: String,
        /// Its type.
        of: String,
    },
}

impl Refused {
    /// The reason in one word, for programs.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Nesting | Self::Fields { .. } => "QUERY_TOO_COMPLEX",
            Self::Cycle { .. } => "GRAPHQL_VALIDATION_FAILED",
            Self::Introspection => "INTROSPECTION_DISABLED",
            Self::Variable { .. } => "BAD_USER_INPUT",
        }
    }
}

/// Refuses what nests too deep to be parsed.
pub(crate) fn check_nesting(query: &str) -> Result<(), Refused> {
    let mut depth = 0_usize;
    let mut rest = query;
    while let Some(first) = rest.chars().next() {
        rest = match first {
            '"' => after_string(rest),
            '#' => rest.find(['\n', '\r']).and_then(|end| rest.get(end..)).unwrap_or_default(),
            _ => {
                match first {
                    '{' | '(' | '[' => depth += 1,
                    '}' | ')' | ']' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                if depth > MAX_NESTING {
                    return Err(Refused::Nesting);
                }
                rest.get(first.len_utf8()..).unwrap_or_default()
            }
        };
    }
    Ok(())
}

/// What follows the string that the text begins with.
fn after_string(text: &str) -> &str {
    let (quotes, rest) = match text.strip_prefix("\"\"\"") {
        Some(rest) => ("\"\"\"", rest),
        None => ("\"", text.get(1..).unwrap_or_default()),
    };
    let mut rest = rest;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(quotes) {
            return after;
        }
        let skipped = if rest.starts_with('\\') { 2 } else { 1 };
        rest = rest.char_indices().nth(skipped).and_then(|(at, _)| rest.get(at..)).unwrap_or_default();
    }
    rest
}

/// The names of fields and of arguments that a document uses anywhere.
#[derive(Debug, Default)]
pub(crate) struct Names<'a>(HashSet<&'a str>);

impl Names<'_> {
    pub(crate) fn has_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.0.contains(name))
    }
}

/// Refuses a query with too many fields, and fragments that use themselves; answers with the names
/// that it uses.
pub(crate) fn check_fields(document: &ExecutableDocument, limit: usize) -> Result<Names<'_>, Refused> {
    let mut counted = Counted { document, fragments: HashMap::new(), names: Names::default() };
    let mut fields = 0_usize;
    for (_, operation) in document.operations.iter() {
        fields = fields.saturating_add(counted.fields(&operation.node.selection_set.node)?);
    }
    // Those that no operation uses are looked at all the same.
    for name in document.fragments.keys() {
        counted.fragment(name)?;
    }
    if fields > limit { Err(Refused::Fields { limit }) } else { Ok(counted.names) }
}

struct Counted<'a> {
    document: &'a ExecutableDocument,
    /// None while it is being counted.
    fragments: HashMap<&'a str, Option<usize>>,
    names: Names<'a>,
}

impl<'a> Counted<'a> {
    fn fields(&mut self, set: &'a SelectionSet) -> Result<usize, Refused> {
        let mut fields = 0_usize;
        for selection in &set.items {
            let more = match &selection.node {
                Selection::Field(field) => {
                    self.names.0.insert(field.node.name.node.as_str());
                    self.names.0.extend(field.node.arguments.iter().map(|(name, _)| name.node.as_str()));
                    self.fields(&field.node.selection_set.node)?.saturating_add(1)
                }
                Selection::InlineFragment(fragment) => self.fields(&fragment.node.selection_set.node)?.saturating_add(1),
                Selection::FragmentSpread(spread) => self.fragment(&spread.node.fragment_name.node)?.saturating_add(1),
            };
            fields = fields.saturating_add(more);
        }
        Ok(fields)
    }

    fn fragment(&mut self, name: &'a Name) -> Result<usize, Refused> {
        match self.fragments.get(name.as_str()) {
            Some(Some(fields)) => return Ok(*fields),
            Some(None) => return Err(Refused::Cycle { name: name.to_string() }),
            None => {}
        }
        // One that is not there is the library's to name.
        let Some(fragment) = self.document.fragments.get(name) else {
            return Ok(0);
        };
        self.fragments.insert(name.as_str(), None);
        let fields = self.fields(&fragment.node.selection_set.node)?;
        self.fragments.insert(name.as_str(), Some(fields));
        Ok(fields)
    }
}

/// The operation that is to be carried out, if the document has it.
pub(crate) fn operation<'a>(document: &'a ExecutableDocument, name: Option<&str>) -> Option<&'a Positioned<OperationDefinition>> {
    let mut operations = document.operations.iter();
    match name {
        Some(name) => {
            operations.find(|(known, _)| known.is_some_and(|known| known.as_str() == name)).map(|(_, operation)| operation)
        }
        None => operations.next().map(|(_, operation)| operation),
    }
}

/// Refuses a query whose required variables were not all given: the library would find out field by
/// field, when it is under way.
pub(crate) fn check_variables(operation: &OperationDefinition, variables: &Variables) -> Result<(), Refused> {
    let missing = operation.variable_definitions.iter().map(|definition| &definition.node).find(|definition| {
        let given = variables.get(definition.name.node.as_str());
        let is_given = given.is_some_and(|value| *value != async_graphql::Value::Null);
        let has_default = given.is_none() && definition.default_value.is_some();
        !definition.var_type.node.nullable && !is_given && !has_default
    });
    match missing {
        Some(definition) => {
            Err(Refused::Variable { name: definition.name.node.to_string(), of: definition.var_type.node.to_string() })
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_graphql::parser::parse_query;

    #[test]
    fn brackets_count_where_they_are_brackets() {
        let deep = "{a".repeat(MAX_NESTING);
        assert_eq!(check_nesting(&deep), Ok(()));
        assert_eq!(check_nesting(&format!("{deep}{{")), Err(Refused::Nesting));
        assert_eq!(check_nesting(&format!("{deep}(a:[")), Err(Refused::Nesting));
        let brackets = "[".repeat(1_000);
        for text in [
            format!("\"{brackets}\""),
            format!("\"\\\"{brackets}\""),
            format!("\"\"\"{brackets}\" \\\"\"\"{brackets}\"\"\""),
            format!("#{brackets}\n"),
            format!("#{brackets}"),
            format!("\"{brackets}"),
            "\"é\\".to_owned(),
        ] {
            assert_eq!(check_nesting(&text), Ok(()), "{}", &text[..4]);
        }
        assert_eq!(check_nesting(&format!("\"a\" {brackets}")), Err(Refused::Nesting));
        assert_eq!(check_nesting(&format!("#\n{brackets}")), Err(Refused::Nesting));
    }

    #[test]
    fn fragments_that_use_each_other_twice_are_refused_at_once() {
        let mut query = "{ ...f0 }".to_owned();
        for n in 0..50 {
            query += &format!(" fragment f{n} on Query {{ ...f{next} ...f{next} }}", next = n + 1);
        }
        query += " fragment f50 on Query { query { __typename } }";
        let document = parse_query(&query).unwrap();
        assert_eq!(check_fields(&document, 2_000).unwrap_err(), Refused::Fields { limit: 2_000 });
    }

    #[test]
    fn a_fragment_that_uses_itself_is_refused_used_or_not() {
        for query in [
            "{ ...a } fragment a on Query { query { ...b } } fragment b on Query { ...a }",
            "{ __typename } fragment a on Query { ...a }",
        ] {
            let document = parse_query(query).unwrap();
            assert!(matches!(check_fields(&document, 2_000), Err(Refused::Cycle { .. })), "{query}");
        }
    }

    #[test]
    fn a_required_variable_must_be_given() {
        let document = parse_query("query q($a: String!, $b: String! = \"x\", $c: String) { __typename }").unwrap();
        let operation = operation(&document, Some("q")).unwrap();
        let check = |json| check_variables(&operation.node, &Variables::from_json(json));
        assert_eq!(check(serde_json::json!({"a": "x"})), Ok(()));
        assert!(check(serde_json::json!({})).is_err());
        assert!(check(serde_json::json!({"a": null})).is_err());
        assert!(check(serde_json::json!({"a": "x", "b": null})).is_err());
    }
}
