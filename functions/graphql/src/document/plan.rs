//! An operation in the form in which it is executed and answered.

use std::collections::HashMap;

use async_graphql::{
    Name, Positioned, ServerError,
    parser::types::{
        Directive, DocumentOperations, ExecutableDocument, Field, OperationDefinition, OperationType, Selection, SelectionSet,
        Type,
    },
};
use async_graphql_value::Value;
use serde_json::Map;

use super::{
    Group,
    coerce::{Variables, variables},
    collect, selection_sets,
    types::{ROOT, Types, named},
};
use crate::schema::cost::{self, Parent};

/// An operation to execute.
#[derive(Debug)]
pub(crate) struct Plan<'t> {
    /// The operation alone: no fragments, no directives, no variables, each response key of an object
    /// once, and no object without a member.
    pub(crate) document: ExecutableDocument,
    /// What the response holds.
    pub(crate) fields: Vec<Selected<'t>>,
    /// What it may cost: [`crate::schema::cost`].
    pub(crate) complexity: usize,
    /// The levels of fields.
    pub(crate) depth: usize,
}

/// A member of the response.
#[derive(Debug)]
pub(crate) struct Selected<'t> {
    /// Its name there.
    pub(super) key: Name,
    /// Its name in what execution answers.
    pub(super) source: Name,
    pub(super) ty: &'t Type,
    /// What is selected of it; None for a scalar or an enum.
    pub(super) fields: Option<Vec<Selected<'t>>>,
}

/// No name of a query's: marks an object whose members may all fail, or that has none, so that it is
/// not mistaken for null.
const MARK: &str = "";

/// Plans a valid document's operation with these variables.
pub(crate) fn plan<'t>(
    types: &'t Types,
    document: &ExecutableDocument,
    operation: &Positioned<OperationDefinition>,
    mut given: Map<String, serde_json::Value>,
    page: usize,
) -> Result<Plan<'t>, ServerError> {
    let variables = variables(types, &operation.node, &mut given)?;
    let planner = Planner { types, document, variables, page };
    let object = planner.object(ROOT, Parent::default(), &[&operation.node.selection_set.node])?;
    let definition = OperationDefinition {
        ty: OperationType::Query,
        variable_definitions: Vec::new(),
        directives: Vec::new(),
        selection_set: Positioned::new(object.set, operation.node.selection_set.pos),
    };
    let operations = DocumentOperations::Single(Positioned::new(definition, operation.pos));
    let document = ExecutableDocument { operations, fragments: Default::default() };
    Ok(Plan { document, fields: object.fields, complexity: object.complexity, depth: object.depth })
}

struct Planner<'t, 'd> {
    types: &'t Types,
    document: &'d ExecutableDocument,
    variables: Variables<'d>,
    /// The most rows of a page.
    page: usize,
}

/// What is selected of an object.
struct Object<'t> {
    set: SelectionSet,
    fields: Vec<Selected<'t>>,
    /// The fields that are answered from the row, which are executed once whatever their aliases: a row may
    /// be long, and a query have hundreds of aliases.
    of_row: HashMap<Name, Name>,
    complexity: usize,
    depth: usize,
}

impl<'t, 'd> Planner<'t, 'd> {
    fn object(&self, name: &'t str, parent: Parent, sets: &[&'d SelectionSet]) -> Result<Object<'t>, ServerError> {
        let mut object =
            Object { set: SelectionSet::default(), fields: Vec::new(), of_row: HashMap::new(), complexity: 0, depth: 0 };
        for group in collect(self.document, sets, &|directives| self.is_included(directives))? {
            self.field(name, parent, &group, &mut object)?;
        }
        if object.fields.iter().all(|field| field.ty.nullable) {
            object.set.items.push(mark());
        }
        Ok(object)
    }

    fn field(&self, of: &'t str, parent: Parent, group: &Group<'d>, object: &mut Object<'t>) -> Result<(), ServerError> {
        let Some(Positioned { pos, node: field }) = group.first() else { return Ok(()) };
        let Some(known) = self.types.field(of, &field.name.node) else { return Ok(()) };
        let argument = |(name, value): &(Positioned<Name>, Positioned<Value>)| {
            let node = self.substitute(&value.node)?;
            Some((name.clone(), Positioned::new(node, value.pos)))
        };
        let mut planned = Field {
            alias: field.alias.clone(),
            name: field.name.clone(),
            arguments: field.arguments.iter().filter_map(argument).collect(),
            directives: Vec::new(),
            selection_set: Positioned::new(SelectionSet::default(), field.selection_set.pos),
        };
        let key = field.response_key().node.clone();
        let (mut selected, mut below, mut depth) = (None, 0, 0);
        let child = parent.child(of, &planned, self.page);
        if self.types.is_object(named(&known.ty)) {
            let sub = self.object(named(&known.ty), child, &selection_sets(group))?;
            planned.selection_set.node = sub.set;
            (selected, below, depth) = (Some(sub.fields), sub.complexity, sub.depth);
        }
        let cost = cost::of(of, &planned, parent, below);
        object.complexity = object.complexity.saturating_add(cost);
        object.depth = object.depth.max(depth + 1);
        let is_of_row = selected.is_none() && matches!(of, "Customer" | "Subscription") && field.name.node != *"entitlements";
        let source = match object.of_row.get(&field.name.node) {
            Some(source) => source.clone(),
            None => key.clone(),
        };
        let is_executed_already = source != key;
        object.fields.push(Selected { key: key.clone(), source, ty: &known.ty, fields: selected });
        if is_executed_already {
            return Ok(());
        }
        if is_of_row {
            object.of_row.insert(field.name.node.clone(), key);
        }
        object.set.items.push(Positioned::new(Selection::Field(Positioned::new(planned, *pos)), *pos));
        Ok(())
    }

    /// The value without variables; None for a variable without a value: the argument, or the member of
    /// an input object, is not there.
    fn substitute(&self, value: &Value) -> Option<Value> {
        match value {
            Value::Variable(name) => self.variables.get(name.as_str()).map(|value| value.clone().into_value()),
            Value::List(values) => {
                Some(Value::List(values.iter().map(|value| self.substitute(value).unwrap_or_default()).collect()))
            }
            Value::Object(members) => {
                let given = |(name, value): (&Name, &Value)| Some((name.clone(), self.substitute(value)?));
                Some(Value::Object(members.iter().filter_map(given).collect()))
            }
            value => Some(value.clone()),
        }
    }

    fn is_included(&self, directives: &[Positioned<Directive>]) -> Result<bool, ServerError> {
        for Positioned { pos, node: directive } in directives {
            let condition = directive.get_argument("if").and_then(|condition| self.substitute(&condition.node));
            let Some(Value::Boolean(condition)) = condition else {
                let message = format!("The argument \"if\" of \"@{}\" must not be null.", directive.name.node);
                return Err(ServerError::new(message, Some(*pos)));
            };
            if condition != (directive.name.node.as_str() == "include") {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn mark() -> Positioned<Selection> {
    let at = async_graphql::Pos::default();
    let field = Field {
        alias: Some(Positioned::new(Name::new(MARK), at)),
        name: Positioned::new(Name::new("__typename"), at),
        arguments: Vec::new(),
        directives: Vec::new(),
        selection_set: Positioned::default(),
    };
    Positioned::new(Selection::Field(Positioned::new(field, at)), at)
}
