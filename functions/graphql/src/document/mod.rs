//! A query's document: validated by the specification's rules, and planned for execution.
//!
//! The library's executor keeps to less than the specification: members come in the order of
//! completion, a member that failed is left out, an object without members is null, and a variable
//! without a value counts as null. So each operation is executed in a form without fragments,
//! directives and variables ([`plan`]), and its response is written by that plan ([`respond`]).

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

/// The fields that share a response key, in the order of the document.
type Group<'a> = Vec<&'a Positioned<Field>>;

/// The fields of these selection sets, fragments written out, by response key in the order of their
/// first occurrence. `is_included` decides by a selection's directives.
fn collect<'a>(
    document: &'a ExecutableDocument,
    sets: &[&'a SelectionSet],
    is_included: &impl Fn(&[Positioned<Directive>]) -> Result<bool, ServerError>,
) -> Result<Vec<Group<'a>>, ServerError> {
    let mut collected = Collected { document, is_included, groups: Vec::new(), places: HashMap::new() };
    for set in sets {
        collected.add(set)?;
    }
    Ok(collected.groups)
}

struct Collected<'a, 'i, I> {
    document: &'a ExecutableDocument,
    is_included: &'i I,
    groups: Vec<Group<'a>>,
    /// Where each response key's group is.
    places: HashMap<&'a str, usize>,
}

impl<'a, I: Fn(&[Positioned<Directive>]) -> Result<bool, ServerError>> Collected<'a, '_, I> {
    fn add(&mut self, set: &'a SelectionSet) -> Result<(), ServerError> {
        for selection in &set.items {
            if !(self.is_included)(selection.node.directives())? {
                continue;
            }
            match &selection.node {
                Selection::Field(field) => {
                    let place = *self.places.entry(field.node.response_key().node.as_str()).or_insert(self.groups.len());
                    match self.groups.get_mut(place) {
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

/// The beginning of a name that a query gave, for messages.
fn short(name: &str) -> &str {
    name.char_indices().nth(100).and_then(|(end, _)| name.get(..end)).unwrap_or(name)
}

/// What is selected of a group's field.
fn selection_sets<'a>(group: &Group<'a>) -> Vec<&'a SelectionSet> {
    group.iter().map(|field| &field.node.selection_set.node).collect()
}
