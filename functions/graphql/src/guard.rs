//! Refuses queries that would take the parser or the validation long, or too deep a recursion.
//!
//! Validation and planning write fragments out at each of their uses. A few hundred bytes of fragments
//! that use each other twice are billions of fields then; so the fields are counted here first, each
//! fragment once.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use async_graphql::{
    Name, Positioned,
    parser::types::{ExecutableDocument, OperationDefinition, Selection, SelectionSet},
};

/// The deepest that brackets may nest: the parser and the validation descend by recursion.
pub(crate) const MAX_NESTING: usize = 60;

/// The most names, values and punctuators of a query: the parser takes some hundred bytes for each.
pub(crate) const MAX_TOKENS: usize = 5_000;

/// Why a query is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// Brackets within brackets.
    #[error("the query nests deeper than {MAX_NESTING} brackets")]
    Nesting,
    /// Too long to be parsed.
    #[error("the query has more than {MAX_TOKENS} tokens")]
    Tokens,
    /// A member of an input object twice.
    #[error("There can be only one input field named \"{name}\".")]
    DuplicateMember {
        /// The member.
        name: String,
    },
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
    /// operationName is none of the document's.
    #[error("the document has no operation of the name given as operationName")]
    UnknownOperation,
    /// Several operations, and none named.
    #[error("operationName must be given: the document has several operations")]
    NoOperationName,
    /// The schema was asked for.
    #[error("introspection is switched off")]
    Introspection,
    /// The operation nests or costs more than it may.
    #[error(
        "the query {problem}: {found}, at most {limit} is allowed. Take fewer levels, smaller pages (first) or fewer fields; \
         docs/graphql.md has the limits"
    )]
    Size {
        /// What is too large.
        problem: &'static str,
        /// How large it is.
        found: usize,
        /// The most.
        limit: usize,
    },
}

impl Refused {
    /// The reason in one word, for programs.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Nesting | Self::Tokens | Self::Fields { .. } | Self::Size { .. } => "QUERY_TOO_COMPLEX",
            Self::Cycle { .. } | Self::DuplicateMember { .. } | Self::UnknownOperation | Self::NoOperationName => {
                "GRAPHQL_VALIDATION_FAILED"
            }
            Self::Introspection => "INTROSPECTION_DISABLED",
        }
    }
}

/// Refuses a text that is too deep or too long to be parsed, and one with a duplicate member in an
/// input object, which the parser would drop. Returns the text with surrogate pairs of `\u` escapes
/// replaced by their character, since the parser takes no surrogates.
pub(crate) fn scan(query: &str) -> Result<Cow<'_, str>, Refused> {
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
    /// The brackets around, from the outermost.
    open: Vec<Bracket<'a>>,
    /// The text up to `copied`, with its surrogate pairs replaced.
    replaced: String,
    copied: usize,
}

enum Bracket<'a> {
    /// A selection set.
    Selection,
    /// Arguments, variable definitions or a list: values stand in it.
    Values,
    /// An input object, with the names of its members so far.
    Object(HashSet<&'a str>),
}

impl<'a> Scanner<'a> {
    fn rest(&self) -> &'a str {
        self.query.get(self.at..).unwrap_or_default()
    }

    fn token(&mut self, first: u8) -> Result<(), Refused> {
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
                let is_member = rest.trim_start_matches([' ', '\t', '\n', '\r', ',']).starts_with(':');
                if let Some(Bracket::Object(members)) = self.open.last_mut()
                    && is_member
                    && !members.insert(name)
                {
                    return Err(Refused::DuplicateMember { name: name.chars().take(100).collect() });
                }
            }
            b'{' => self.open(match self.open.last() {
                None | Some(Bracket::Selection) => Bracket::Selection,
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
        if self.tokens > MAX_TOKENS { Err(Refused::Tokens) } else { Ok(()) }
    }

    fn open(&mut self, bracket: Bracket<'a>) -> Result<(), Refused> {
        self.open.push(bracket);
        self.at += 1;
        if self.open.len() > MAX_NESTING { Err(Refused::Nesting) } else { Ok(()) }
    }

    /// Passes a string, or what there is of one without an end.
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
                // The backslash, and what it escapes.
                self.at += self.rest().chars().take(2).map(char::len_utf8).sum::<usize>();
            }
        }
        self.at = self.query.len();
    }
}

/// How many bytes two escapes take: `\ud83d\ude00`.
const SURROGATE_PAIR: usize = 12;

/// The character that a text's first two escapes write together, if they are a surrogate pair.
fn surrogate_pair(text: &str) -> Option<char> {
    let unit = |text: &str| u16::from_str_radix(text.strip_prefix("\\u")?, 16).ok();
    let units = [unit(text.get(..6)?)?, unit(text.get(6..SURROGATE_PAIR)?)?];
    let mut characters = char::decode_utf16(units);
    let character = characters.next()?.ok()?;
    characters.next().is_none().then_some(character)
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
        // Validation names one that is not there.
        let Some(fragment) = self.document.fragments.get(name) else {
            return Ok(0);
        };
        self.fragments.insert(name.as_str(), None);
        let fields = self.fields(&fragment.node.selection_set.node)?;
        self.fragments.insert(name.as_str(), Some(fields));
        Ok(fields)
    }
}

/// The operation to execute, with its name, or why there is none.
pub(crate) fn operation<'a>(
    document: &'a ExecutableDocument,
    name: Option<&str>,
) -> Result<(Option<&'a Name>, &'a Positioned<OperationDefinition>), Refused> {
    let mut operations = document.operations.iter();
    match name {
        Some(name) => {
            operations.find(|(known, _)| known.is_some_and(|known| known.as_str() == name)).ok_or(Refused::UnknownOperation)
        }
        None => match (operations.next(), operations.next()) {
            (Some(operation), None) => Ok(operation),
            _ => Err(Refused::NoOperationName),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_graphql::parser::parse_query;

    #[test]
    fn brackets_count_where_they_are_brackets() {
        let deep = "{a".repeat(MAX_NESTING);
        assert_eq!(scan(&deep), Ok(deep.as_str().into()));
        assert_eq!(scan(&format!("{deep}{{")), Err(Refused::Nesting));
        assert_eq!(scan(&format!("{deep}(a:[")), Err(Refused::Nesting));
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
        assert_eq!(scan(&format!("\"a\" {brackets}")), Err(Refused::Nesting));
        assert_eq!(scan(&format!("#\n{brackets}")), Err(Refused::Nesting));
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
    fn a_surrogate_pair_is_one_character() {
        for (text, expected) in [
            (r#"{ a(b: "\ud83d\ude00!") }"#, Ok("{ a(b: \"\u{1f600}!\") }")),
            (r#""\uD83D\uDE00\ud83d\ude00""#, Ok("\"\u{1f600}\u{1f600}\"")),
            // Not in a block string, after an escaped backslash, or outside of strings.
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
    fn a_member_of_an_input_object_is_given_once() {
        for (text, is_refused) in [
            ("{ a(b: {c: 1, c: 2}) }", true),
            ("{ a(b: [{c: 1, d: {c: 1, e: C, c: 2}}]) }", true),
            ("query($a: A = {c: 1 c : 2}) { a }", true),
            ("{ a(b: {c: 1, d: {c: 2}}, e: {c: 1}) { c: a c: a } }", false),
            ("{ a(b: {c: d, d: 1, e: \"c: 1, c: 2\"}) }", false),
        ] {
            assert_eq!(matches!(scan(text), Err(Refused::DuplicateMember { .. })), is_refused, "{text}");
        }
    }

    #[test]
    fn a_text_of_too_many_tokens_is_refused() {
        let text = |count: usize| "a ".repeat(count);
        assert!(scan(&text(MAX_TOKENS)).is_ok());
        assert_eq!(scan(&text(MAX_TOKENS + 1)), Err(Refused::Tokens));
    }
}
