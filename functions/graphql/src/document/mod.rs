//! Validation and execution as the GraphQL specification requires, around async-graphql's executor.
//!
//! async-graphql deviates from the specification: members come in the order of completion, a failed member is missing
//! instead of null, an object without members is null, and a variable without a value is null instead of absent.
//! Therefore [`plan`] rewrites each operation without fragments, directives and variables before it is executed, and
//! [`respond`] writes the response by the plan. This makes responses equal to graphql-js's (audit/reference.mjs compares
//! random queries), and executes a field of a row once however many aliases it has.

mod coerce;
mod plan;
mod respond;
mod types;
mod validate;

use std::collections::HashMap;

use async_graphql::{
    Positioned, ServerError,
    parser::types::{Directive, ExecutableDocument, Field, Selection, SelectionSet},
};

pub(crate) use plan::{Plan, plan};
pub(crate) use respond::{TooLong, respond};
pub(crate) use types::Types;
pub(crate) use validate::validate;

/// The fields with the same response key, in document order.
type FieldGroup<'a> = Vec<&'a Positioned<Field>>;

/// The specification's CollectFields: the fields of these selection sets with fragments expanded, by response key, in
/// the order of first occurrence. `is_included` evaluates the directives of a selection.
fn collect_fields<'a>(
    document: &'a ExecutableDocument,
    sets: &[&'a SelectionSet],
    is_included: &impl Fn(&[Positioned<Directive>]) -> Result<bool, ServerError>,
) -> Result<Vec<FieldGroup<'a>>, ServerError> {
    let mut collector = FieldCollector { document, is_included, groups: Vec::new(), indexes: HashMap::new() };
    for set in sets {
        collector.add(set)?;
    }
    Ok(collector.groups)
}

struct FieldCollector<'a, 'i, I> {
    document: &'a ExecutableDocument,
    is_included: &'i I,
    groups: Vec<FieldGroup<'a>>,
    /// The index of each response key's group.
    indexes: HashMap<&'a str, usize>,
}

impl<'a, I: Fn(&[Positioned<Directive>]) -> Result<bool, ServerError>> FieldCollector<'a, '_, I> {
    fn add(&mut self, set: &'a SelectionSet) -> Result<(), ServerError> {
        for selection in &set.items {
            if !(self.is_included)(selection.node.directives())? {
                continue;
            }
            match &selection.node {
                Selection::Field(field) => {
                    let index = *self.indexes.entry(field.node.response_key().node.as_str()).or_insert(self.groups.len());
                    match self.groups.get_mut(index) {
                        Some(group) => group.push(field),
                        None => self.groups.push(vec![field]),
                    }
                }
                Selection::InlineFragment(fragment) => self.add(&fragment.node.selection_set.node)?,
                Selection::FragmentSpread(spread) => {
                    if let Some(fragment) = self.document.fragments.get(&spread.node.fragment_name.node) {
                        self.add(&fragment.node.selection_set.node)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// The first 100 characters of a part of the query, for error messages.
fn truncate(name: &str) -> &str {
    name.char_indices().nth(100).and_then(|(end, _)| name.get(..end)).unwrap_or(name)
}

fn selection_sets<'a>(group: &FieldGroup<'a>) -> Vec<&'a SelectionSet> {
    group.iter().map(|field| &field.node.selection_set.node).collect()
}
