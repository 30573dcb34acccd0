//! Rejects queries that would cost the parser or the validation too much time, memory or stack.
//!
//! Validation and planning expand each use of a fragment. A few hundred bytes of fragments that spread each other twice
//! expand to billions of fields, so they are counted first, each fragment once.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use async_graphql::{
    Name, Positioned,
    parser::types::{ExecutableDocument, OperationDefinition, Selection, SelectionSet},
};

/// Maximum nesting of brackets. The parser and the validation are recursive.
pub(crate) const MAX_NESTING: usize = 60;

/// Maximum number of names, values and punctuators of a query. The parser allocates about 100 bytes for each.
pub(crate) const MAX_TOKENS: usize = 5_000;

/// Why a query is rejected.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QueryRejection {
    #[error("the query nests brackets deeper than {MAX_NESTING}")]
    Nesting,
    #[error("the query has more than {MAX_TOKENS} tokens")]
    Tokens,
    #[error("There can be only one input field named \"{name}\".")]
    DuplicateInputField { name: String },
    #[error("the query has more than {limit} fields with its fragments expanded")]
    Fields { limit: usize },
    #[error("the fragment {name} spreads itself")]
    FragmentCycle { name: String },
    #[error("the document has no operation with the name in operationName")]
    UnknownOperation,
    #[error("operationName is required: the document has several operations")]
    NoOperationName,
    #[error("introspection is disabled")]
    Introspection,
    /// `measure` is the depth or the complexity.
    #[error(
        "the query's {measure} is {found}, and the limit is {limit}: use fewer levels, smaller pages (first) or fewer fields; \
         docs/graphql.md describes the limits"
    )]
    Size { measure: &'static str, found: usize, limit: usize },
}

impl QueryRejection {
    /// `extensions.code`.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Nesting | Self::Tokens | Self::Fields { .. } | Self::Size { .. } => "QUERY_TOO_COMPLEX",
            Self::FragmentCycle { .. } | Self::DuplicateInputField { .. } | Self::UnknownOperation | Self::NoOperationName => {
                "GRAPHQL_VALIDATION_FAILED"
            }
            Self::Introspection => "INTROSPECTION_DISABLED",
        }
    }
}

/// Checks the source text before it is parsed: nesting, number of tokens, and duplicate fields of input objects, of which
/// the parser would drop all but one. Returns the text with each surrogate pair of `\u` escapes replaced by its character,
/// since the parser does not support surrogates.
pub(crate) fn scan(query: &str) -> Result<Cow<'_, str>, QueryRejection> {
    let mut scanner = Scanner { query, at: 0, tokens: 0, open: Vec::new(), replaced: String::new(), copied: 0 };
    while let Some(first) = scanner.rest().bytes().next() {
        scanner.token(first)?;
    }
    if scanner.copied == 0 {
        return Ok(Cow::Borrowed(query));
    }
    let rest = query.get(scanner.copied..).unwrap_or_default();
    Ok(Cow::Owned(scanner.replaced + rest))
}

struct Scanner<'a> {
    query: &'a str,
    at: usize,
    tokens: usize,
    /// The open brackets, outermost first.
    open: Vec<Bracket<'a>>,
    /// The text up to `copied`, with surrogate pairs replaced.
    replaced: String,
    copied: usize,
}

enum Bracket<'a> {
    SelectionSet,
    /// Arguments, variable definitions or a list.
    Values,
    /// An input object, with the names of its fields so far.
    Object(HashSet<&'a str>),
}

impl<'a> Scanner<'a> {
    fn rest(&self) -> &'a str {
        self.query.get(self.at..).unwrap_or_default()
    }

    fn token(&mut self, first: u8) -> Result<(), QueryRejection> {
        let rest = self.rest();
        match first {
            b'#' => {
                self.at += rest.find(['\n', '\r']).unwrap_or(rest.len());
                return Ok(());
            }
            b' ' | b'\t' | b'\n' | b'\r' | b',' => {
                self.at += 1;
                return Ok(());
            }
            b'"' => self.string(),
            b'A'..=b'Z' | b'a'..=b'z' | b'_' => {
                let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
                let (name, rest) = rest.split_at(end);
                self.at += end;
                let is_field = rest.trim_start_matches([' ', '\t', '\n', '\r', ',']).starts_with(':');
                if let Some(Bracket::Object(fields)) = self.open.last_mut()
                    && is_field
                    && !fields.insert(name)
                {
                    return Err(QueryRejection::DuplicateInputField { name: name.chars().take(100).collect() });
                }
            }
            b'{' => self.open(match self.open.last() {
                None | Some(Bracket::SelectionSet) => Bracket::SelectionSet,
                Some(Bracket::Values | Bracket::Object(_)) => Bracket::Object(HashSet::new()),
            })?,
            b'(' | b'[' => self.open(Bracket::Values)?,
            b'}' | b')' | b']' => {
                self.open.pop();
                self.at += 1;
            }
            _ => self.at += rest.chars().next().map_or(1, char::len_utf8),
        }
        self.tokens += 1;
        if self.tokens > MAX_TOKENS { Err(QueryRejection::Tokens) } else { Ok(()) }
    }

    fn open(&mut self, bracket: Bracket<'a>) -> Result<(), QueryRejection> {
        self.open.push(bracket);
        self.at += 1;
        if self.open.len() > MAX_NESTING { Err(QueryRejection::Nesting) } else { Ok(()) }
    }

    /// Skips a string, or the rest of the text if it has no end.
    fn string(&mut self) {
        if let Some(block) = self.rest().strip_prefix("\"\"\"") {
            self.at += 3;
            let mut block = block;
            while let Some(quotes) = block.find("\"\"\"") {
                let is_escaped = block.get(..quotes).is_some_and(|before| before.ends_with('\\'));
                block = block.get(quotes + 3..).unwrap_or_default();
                self.at = self.query.len() - block.len();
                if !is_escaped {
                    return;
                }
            }
            self.at = self.query.len();
            return;
        }
        self.at += 1;
        while let Some(offset) = self.rest().find(['"', '\\']) {
            self.at += offset;
            if self.rest().starts_with('"') {
                self.at += 1;
                return;
            }
            if let Some(character) = surrogate_pair(self.rest()) {
                self.replaced.push_str(self.query.get(self.copied..self.at).unwrap_or_default());
                self.replaced.push(character);
                self.at += SURROGATE_PAIR;
                self.copied = self.at;
            } else {
                // The backslash and the character that it escapes.
                self.at += self.rest().chars().take(2).map(char::len_utf8).sum::<usize>();
            }
        }
        self.at = self.query.len();
    }
}

/// Length of `\ud83d\ude00` in bytes.
const SURROGATE_PAIR: usize = 12;

/// The character of the surrogate pair at the start of the text. None if there is no pair.
fn surrogate_pair(text: &str) -> Option<char> {
    let unit = |text: &str| u16::from_str_radix(text.strip_prefix("\\u")?, 16).ok();
    let units = [unit(text.get(..6)?)?, unit(text.get(6..SURROGATE_PAIR)?)?];
    let mut characters = char::decode_utf16(units);
    let character = characters.next()?.ok()?;
    characters.next().is_none().then_some(character)
}

/// Checks the number of fields and fragments with each use of a fragment expanded, fragment cycles and, unless it is
/// allowed, introspection.
pub(crate) fn check_fields(document: &ExecutableDocument, limit: usize, introspection: bool) -> Result<(), QueryRejection> {
    let mut counter = FieldCounter { document, fragments: HashMap::new(), has_introspection: false };
    let mut fields = 0_usize;
    for (_, operation) in document.operations.iter() {
        fields = fields.saturating_add(counter.fields(&operation.node.selection_set.node)?);
    }
    // Unused fragments too.
    for name in document.fragments.keys() {
        counter.fragment(name)?;
    }
    if fields > limit {
        Err(QueryRejection::Fields { limit })
    } else if counter.has_introspection && !introspection {
        Err(QueryRejection::Introspection)
    } else {
        Ok(())
    }
}

struct FieldCounter<'a> {
    document: &'a ExecutableDocument,
    /// The count of each fragment; None while it is being counted.
    fragments: HashMap<&'a str, Option<usize>>,
    has_introspection: bool,
}

impl<'a> FieldCounter<'a> {
    fn fields(&mut self, set: &'a SelectionSet) -> Result<usize, QueryRejection> {
        let mut fields = 0_usize;
        for selection in &set.items {
            let more = match &selection.node {
                Selection::Field(field) => {
                    self.has_introspection |= matches!(field.node.name.node.as_str(), "__schema" | "__type");
                    self.fields(&field.node.selection_set.node)?.saturating_add(1)
                }
                Selection::InlineFragment(fragment) => self.fields(&fragment.node.selection_set.node)?.saturating_add(1),
                Selection::FragmentSpread(spread) => self.fragment(&spread.node.fragment_name.node)?.saturating_add(1),
            };
            fields = fields.saturating_add(more);
        }
        Ok(fields)
    }

    fn fragment(&mut self, name: &'a Name) -> Result<usize, QueryRejection> {
        match self.fragments.get(name.as_str()) {
            Some(Some(fields)) => return Ok(*fields),
            Some(None) => return Err(QueryRejection::FragmentCycle { name: name.to_string() }),
            None => {}
        }
        // Validation reports unknown fragments.
        let Some(fragment) = self.document.fragments.get(name) else {
            return Ok(0);
        };
        self.fragments.insert(name.as_str(), None);
        let fields = self.fields(&fragment.node.selection_set.node)?;
        self.fragments.insert(name.as_str(), Some(fields));
        Ok(fields)
    }
}

/// The operation to execute and its name.
pub(crate) fn operation<'a>(
    document: &'a ExecutableDocument,
    name: Option<&str>,
) -> Result<(Option<&'a Name>, &'a Positioned<OperationDefinition>), QueryRejection> {
    let mut operations = document.operations.iter();
    match name {
        Some(name) => operations
            .find(|(known, _)| known.is_some_and(|known| known.as_str() == name))
            .ok_or(QueryRejection::UnknownOperation),
        None => match (operations.next(), operations.next()) {
            (Some(operation), None) => Ok(operation),
            _ => Err(QueryRejection::NoOperationName),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_graphql::parser::parse_query;

    #[test]
    fn brackets_in_strings_and_comments_do_not_nest() {
        let deep = "{a".repeat(MAX_NESTING);
        assert_eq!(scan(&deep), Ok(deep.as_str().into()));
        assert_eq!(scan(&format!("{deep}{{")), Err(QueryRejection::Nesting));
        assert_eq!(scan(&format!("{deep}(a:[")), Err(QueryRejection::Nesting));
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
            assert_eq!(scan(&text), Ok(text.as_str().into()), "{}", &text[..4]);
        }
        assert_eq!(scan(&format!("\"a\" {brackets}")), Err(QueryRejection::Nesting));
        assert_eq!(scan(&format!("#\n{brackets}")), Err(QueryRejection::Nesting));
    }

    #[test]
    fn exponential_fragments_are_rejected() {
        let mut query = "{ ...f0 }".to_owned();
        for n in 0..50 {
            query += &format!(" fragment f{n} on Query {{ ...f{next} ...f{next} }}", next = n + 1);
        }
        query += " fragment f50 on Query { query { __typename } }";
        let document = parse_query(&query).unwrap();
        assert_eq!(check_fields(&document, 2_000, true).unwrap_err(), QueryRejection::Fields { limit: 2_000 });
    }

    #[test]
    fn fragment_cycles_are_rejected_even_if_unused() {
        for query in [
            "{ ...a } fragment a on Query { query { ...b } } fragment b on Query { ...a }",
            "{ __typename } fragment a on Query { ...a }",
        ] {
            let document = parse_query(query).unwrap();
            assert!(matches!(check_fields(&document, 2_000, true), Err(QueryRejection::FragmentCycle { .. })), "{query}");
        }
    }

    #[test]
    fn surrogate_pairs_in_strings_become_one_character() {
        for (text, expected) in [
            (r#"{ a(b: "\ud83d\ude00!") }"#, Ok("{ a(b: \"\u{1f600}!\") }")),
            (r#""\uD83D\uDE00\ud83d\ude00""#, Ok("\"\u{1f600}\u{1f600}\"")),
            // Not in block strings, after an escaped backslash, or outside of strings.
            (r#""""\ud83d\ude00""""#, Err(())),
            (r#""\\ud83d\ude00""#, Err(())),
            (r#"\ud83d\ude00"#, Err(())),
            (r#""\ude00\ud83d""#, Err(())),
            (r#""\ud83dx""#, Err(())),
            (r#""\u0041\u0042""#, Err(())),
        ] {
            assert_eq!(scan(text).unwrap(), expected.unwrap_or(text), "{text}");
        }
    }

    #[test]
    fn duplicate_input_fields_are_rejected() {
        for (text, is_rejected) in [
            ("{ a(b: {c: 1, c: 2}) }", true),
            ("{ a(b: [{c: 1, d: {c: 1, e: C, c: 2}}]) }", true),
            ("query($a: A = {c: 1 c : 2}) { a }", true),
            ("{ a(b: {c: 1, d: {c: 2}}, e: {c: 1}) { c: a c: a } }", false),
            ("{ a(b: {c: d, d: 1, e: \"c: 1, c: 2\"}) }", false),
        ] {
            assert_eq!(matches!(scan(text), Err(QueryRejection::DuplicateInputField { .. })), is_rejected, "{text}");
        }
    }

    #[test]
    fn queries_with_too_many_tokens_are_rejected() {
        let text = |count: usize| "a ".repeat(count);
        assert!(scan(&text(MAX_TOKENS)).is_ok());
        assert_eq!(scan(&text(MAX_TOKENS + 1)), Err(QueryRejection::Tokens));
    }
}
