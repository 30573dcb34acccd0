//! Rewrites an operation for execution.

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
use store::Projection;

use super::{
    FieldGroup,
    coerce::{Variables, coerce_variables},
    collect_fields, selection_sets,
    types::{ROOT, Types, named_type},
};
use crate::schema::{
    cost::{self, Parent},
    parts,
};

#[derive(Debug)]
pub(crate) struct Plan<'t> {
    /// One operation without fragments, directives and variables. Each response key of an object occurs once, and no
    /// object is without members.
    pub(crate) document: ExecutableDocument,
    /// The members of `data`.
    pub(crate) fields: Vec<PlannedField<'t>>,
    /// See [`crate::schema::cost`].
    pub(crate) complexity: usize,
    /// Levels of fields.
    pub(crate) depth: usize,
    /// The parts of customers that the operation reads.
    pub(crate) parts: Projection,
}

/// A member of the response.
#[derive(Debug)]
pub(crate) struct PlannedField<'t> {
    pub(super) response_key: Name,
    /// The response key in what execution returns.
    pub(super) executed_key: Name,
    pub(super) ty: &'t Type,
    /// The members; None for a scalar or an enum.
    pub(super) fields: Option<Vec<PlannedField<'t>>>,
}

/// Response key of a `__typename` that is added to objects without members, or whose members may all fail, since
/// async-graphql returns null for an object without members. No query can use this key.
const PLACEHOLDER: &str = "";

/// Plans an operation of a valid document. `page_limit` is the maximum number of rows of a page.
pub(crate) fn plan<'t>(
    types: &'t Types,
    document: &ExecutableDocument,
    operation: &Positioned<OperationDefinition>,
    mut variables: Map<String, serde_json::Value>,
    page_limit: usize,
) -> Result<Plan<'t>, ServerError> {
    let variables = coerce_variables(types, &operation.node, &mut variables)?;
    let planner = Planner { types, document, variables, page_limit };
    let object = planner.object(ROOT, Parent::default(), &[&operation.node.selection_set.node])?;
    let definition = OperationDefinition {
        ty: OperationType::Query,
        variable_definitions: Vec::new(),
        directives: Vec::new(),
        selection_set: Positioned::new(object.set, operation.node.selection_set.pos),
    };
    let operations = DocumentOperations::Single(Positioned::new(definition, operation.pos));
    let document = ExecutableDocument { operations, fragments: Default::default() };
    Ok(Plan { document, fields: object.fields, complexity: object.complexity, depth: object.depth, parts: object.parts })
}

struct Planner<'t, 'd> {
    types: &'t Types,
    document: &'d ExecutableDocument,
    variables: Variables<'d>,
    page_limit: usize,
}

/// The selection of an object.
struct Object<'t> {
    set: SelectionSet,
    fields: Vec<PlannedField<'t>>,
    /// Response keys of the row's own fields by field name. These are executed once whatever their aliases: a value may
    /// be long, and a query may have hundreds of aliases.
    row_fields: HashMap<Name, Name>,
    complexity: usize,
    depth: usize,
    parts: Projection,
}

impl<'t, 'd> Planner<'t, 'd> {
    fn object(&self, name: &'t str, parent: Parent, sets: &[&'d SelectionSet]) -> Result<Object<'t>, ServerError> {
        let mut object = Object {
            set: SelectionSet::default(),
            fields: Vec::new(),
            row_fields: HashMap::new(),
            complexity: 0,
            depth: 0,
            parts: Projection::Versions,
        };
        for group in collect_fields(self.document, sets, &|directives| self.is_included(directives))? {
            self.field(name, parent, &group, &mut object)?;
        }
        if object.fields.iter().all(|field| field.ty.nullable) {
            object.set.items.push(placeholder());
        }
        Ok(object)
    }

    fn field(
        &self,
        type_name: &'t str,
        parent: Parent,
        group: &FieldGroup<'d>,
        object: &mut Object<'t>,
    ) -> Result<(), ServerError> {
        let Some(Positioned { pos, node: field }) = group.first() else { return Ok(()) };
        let Some(known) = self.types.field(type_name, &field.name.node) else { return Ok(()) };
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
        let response_key = field.response_key().node.clone();
        let (mut fields, mut subfields_cost, mut subfields_depth) = (None, 0, 0);
        object.parts = object.parts.max(parts::of(type_name, &planned));
        if self.types.is_object(named_type(&known.ty)) {
            let child = parent.child(type_name, &planned, self.page_limit);
            let sub = self.object(named_type(&known.ty), child, &selection_sets(group))?;
            planned.selection_set.node = sub.set;
            object.parts = object.parts.max(sub.parts);
            (fields, subfields_cost, subfields_depth) = (Some(sub.fields), sub.complexity, sub.depth);
        }
        let cost = cost::of(type_name, &planned, parent, subfields_cost);
        object.complexity = object.complexity.saturating_add(cost);
        object.depth = object.depth.max(subfields_depth + 1);
        // `entitlements` has a cache of its own.
        let is_row_field =
            fields.is_none() && matches!(type_name, "Customer" | "Subscription") && field.name.node != *"entitlements";
        let executed_key = object.row_fields.get(&field.name.node).unwrap_or(&response_key).clone();
        let is_planned = executed_key != response_key;
        object.fields.push(PlannedField { response_key: response_key.clone(), executed_key, ty: &known.ty, fields });
        if is_planned {
            return Ok(());
        }
        if is_row_field {
            object.row_fields.insert(field.name.node.clone(), response_key);
        }
        object.set.items.push(Positioned::new(Selection::Field(Positioned::new(planned, *pos)), *pos));
        Ok(())
    }

    /// Replaces variables by their values. None if the value is an absent variable: the argument, or the member of an
    /// input object, is then absent too.
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

fn placeholder() -> Positioned<Selection> {
    let at = async_graphql::Pos::default();
    let field = Field {
        alias: Some(Positioned::new(Name::new(PLACEHOLDER), at)),
        name: Positioned::new(Name::new("__typename"), at),
        arguments: Vec::new(),
        directives: Vec::new(),
        selection_set: Positioned::default(),
    };
    Positioned::new(Selection::Field(Positioned::new(field, at)), at)
}
