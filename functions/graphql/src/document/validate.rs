//! Validation, section 5 of the GraphQL specification (October 2021).
//!
//! Replaces async-graphql's validation, which accepts invalid queries (an enum value as a string, a nullable variable for
//! a required argument, conflicting fields below the first level) and rejects valid ones (a variable that only a
//! directive at `__typename` uses). Only the first violation is reported: a document may have thousands.
//!
//! Not checked here: duplicate operations and fragments, which the parser rejects, and fragment cycles and duplicate
//! fields of input objects, which [`crate::guard`] rejects.

use std::collections::{HashMap, HashSet};

use async_graphql::{
    Name, Pos, Positioned, ServerError,
    parser::types::{
        BaseType, Directive, ExecutableDocument, Field, OperationDefinition, OperationType, Selection, SelectionSet, Type,
        TypeCondition,
    },
};
use async_graphql_value::Value;

use super::{
    collect_fields, selection_sets, truncate,
    types::{Input, InputValue, ROOT, Types, named_type},
};

pub(crate) fn validate(types: &Types, document: &ExecutableDocument) -> Result<(), ServerError> {
    let validator = Validator { types, document };
    let mut fragments = HashMap::new();
    for (name, fragment) in &document.fragments {
        let mut uses = Uses::default();
        let on = validator.type_condition(&fragment.node.type_condition.node)?;
        validator.reject_directives(&fragment.node.directives)?;
        validator.selections(on, &fragment.node.selection_set.node, &mut uses)?;
        fragments.insert(name.as_str(), uses);
    }
    let mut reached = HashSet::new();
    for (_, operation) in document.operations.iter() {
        reached.extend(validator.operation(operation, &fragments)?);
    }
    match document.fragments.iter().find(|(name, _)| !reached.contains(name.as_str())) {
        Some((name, fragment)) => Err(error(format!("Fragment \"{}\" is never used.", truncate(name)), fragment.pos)),
        None => Ok(()),
    }
}

fn error(message: String, pos: Pos) -> ServerError {
    ServerError::new(message, Some(pos))
}

struct Validator<'a> {
    types: &'a Types,
    document: &'a ExecutableDocument,
}

/// What an operation or a fragment uses, without the fragments that it spreads.
#[derive(Default)]
struct Uses<'a> {
    variables: Vec<VariableUsage<'a>>,
    fragments: Vec<&'a str>,
}

/// A variable in a position of this type.
struct VariableUsage<'a> {
    name: &'a str,
    pos: Pos,
    ty: &'a Type,
    /// Whether the position has a default value.
    has_default: bool,
}

impl<'a> Validator<'a> {
    /// Returns the fragments that the operation uses, directly or through other fragments.
    fn operation(
        &self,
        operation: &'a Positioned<OperationDefinition>,
        fragments: &HashMap<&'a str, Uses<'a>>,
    ) -> Result<HashSet<&'a str>, ServerError> {
        let Positioned { pos, node: operation } = operation;
        if operation.ty != OperationType::Query {
            return Err(error(format!("The schema has no {}: only queries are served.", operation.ty), *pos));
        }
        self.reject_directives(&operation.directives)?;
        let mut uses = Uses::default();
        self.selections(ROOT, &operation.selection_set.node, &mut uses)?;

        let mut reached = HashSet::new();
        let mut pending = uses.fragments.clone();
        while let Some(name) = pending.pop() {
            if reached.insert(name) {
                pending.extend(fragments.get(name).into_iter().flat_map(|uses| &uses.fragments));
            }
        }
        let in_fragments = reached.iter().filter_map(|name| fragments.get(name)).flat_map(|uses| &uses.variables);
        self.variables(operation, uses.variables.iter().chain(in_fragments))?;
        self.fields_can_merge(&[&operation.selection_set.node])?;
        Ok(reached)
    }

    fn variables<'u>(
        &self,
        operation: &'a OperationDefinition,
        usages: impl Iterator<Item = &'u VariableUsage<'a>>,
    ) -> Result<(), ServerError>
    where
        'a: 'u,
    {
        let mut unused = HashMap::new();
        let mut defined = HashMap::new();
        for definition in &operation.variable_definitions {
            let Positioned { pos, node: definition } = definition;
            let (name, ty) = (definition.name.node.as_str(), &definition.var_type.node);
            if self.types.input(named_type(ty)).is_none() {
                return Err(error(
                    format!("Variable \"${}\" can't be of type \"{}\".", truncate(name), truncate(&ty.to_string())),
                    *pos,
                ));
            }
            self.reject_directives(&definition.directives)?;
            if let Some(default) = &definition.default_value {
                let value = default.node.clone().into_value();
                self.literal(ty, &value).map_err(|message| error(message, default.pos))?;
            }
            if defined.insert(name, definition).is_some() {
                return Err(error(format!("There can be only one variable named \"${}\".", truncate(name)), *pos));
            }
            unused.insert(name, *pos);
        }
        for usage in usages {
            let Some(definition) = defined.get(usage.name) else {
                return Err(error(format!("Variable \"${}\" is not defined.", truncate(usage.name)), usage.pos));
            };
            let has_default = definition.default_value.as_ref().is_some_and(|value| value.node != async_graphql::Value::Null);
            let ty = &definition.var_type.node;
            if !is_usage_allowed(ty, has_default, usage) {
                let message = format!(
                    "Variable \"${}\" of type \"{}\" used in position expecting type \"{}\".",
                    truncate(usage.name),
                    truncate(&ty.to_string()),
                    usage.ty
                );
                return Err(error(message, usage.pos));
            }
            unused.remove(usage.name);
        }
        match unused.into_iter().min_by_key(|(_, pos)| (pos.line, pos.column)) {
            Some((name, pos)) => Err(error(format!("Variable \"${}\" is never used.", truncate(name)), pos)),
            None => Ok(()),
        }
    }

    fn selections(&self, object: &'a str, set: &'a SelectionSet, uses: &mut Uses<'a>) -> Result<(), ServerError> {
        for selection in &set.items {
            self.selection_directives(selection.node.directives(), uses)?;
            match &selection.node {
                Selection::Field(field) => self.field(object, field, uses)?,
                Selection::InlineFragment(fragment) => {
                    if let Some(condition) = &fragment.node.type_condition {
                        self.fragment_applies(object, &condition.node)?;
                    }
                    self.selections(object, &fragment.node.selection_set.node, uses)?;
                }
                Selection::FragmentSpread(spread) => {
                    let name = &spread.node.fragment_name;
                    let Some(fragment) = self.document.fragments.get(&name.node) else {
                        return Err(error(format!("Unknown fragment \"{}\".", truncate(&name.node)), name.pos));
                    };
                    self.fragment_applies(object, &fragment.node.type_condition.node)?;
                    uses.fragments.push(name.node.as_str());
                }
            }
        }
        Ok(())
    }

    fn field(&self, object: &'a str, field: &'a Positioned<Field>, uses: &mut Uses<'a>) -> Result<(), ServerError> {
        let Positioned { pos, node: field } = field;
        let name = field.name.node.as_str();
        let Some(known) = self.types.field(object, name) else {
            return Err(error(format!("Cannot query field \"{}\" on type \"{object}\".", truncate(name)), *pos));
        };
        self.arguments(name, &known.arguments, &field.arguments, *pos, uses)?;
        let set = &field.selection_set.node;
        match (self.types.is_object(named_type(&known.ty)), set.items.is_empty()) {
            (true, false) => self.selections(named_type(&known.ty), set, uses),
            (false, true) => Ok(()),
            (true, true) => {
                Err(error(format!("Field \"{name}\" of type \"{}\" must have a selection of subfields.", known.ty), *pos))
            }
            (false, false) => {
                Err(error(format!("Field \"{name}\" must not have a selection: type \"{}\" has no subfields.", known.ty), *pos))
            }
        }
    }

    /// The object type of a fragment.
    fn type_condition(&self, condition: &'a TypeCondition) -> Result<&'a str, ServerError> {
        let name = condition.on.node.as_str();
        let problem = match (self.types.is_object(name), self.types.input(name)) {
            (true, _) => return Ok(name),
            (false, Some(_)) => "Fragment cannot condition on the type",
            (false, None) => "Unknown type",
        };
        Err(error(format!("{problem} \"{}\".", truncate(name)), condition.on.pos))
    }

    fn fragment_applies(&self, object: &str, condition: &'a TypeCondition) -> Result<(), ServerError> {
        let on = self.type_condition(condition)?;
        if on == object {
            return Ok(());
        }
        Err(error(format!("A fragment on \"{on}\" can never apply to an object of type \"{object}\"."), condition.on.pos))
    }

    /// A selection may have `@skip` and `@include`, each once.
    fn selection_directives(&self, directives: &'a [Positioned<Directive>], uses: &mut Uses<'a>) -> Result<(), ServerError> {
        let mut seen = Vec::new();
        for directive in directives {
            let name = directive.node.name.node.as_str();
            if !matches!(name, "skip" | "include") {
                return self.reject_directives(std::slice::from_ref(directive));
            }
            if seen.contains(&name) {
                return Err(error(format!("The directive \"@{name}\" can only be used once at this location."), directive.pos));
            }
            seen.push(name);
            let condition = std::slice::from_ref(self.types.directive_condition());
            self.arguments(name, condition, &directive.node.arguments, directive.pos, uses)?;
        }
        Ok(())
    }

    fn reject_directives(&self, directives: &[Positioned<Directive>]) -> Result<(), ServerError> {
        let Some(directive) = directives.first() else { return Ok(()) };
        let name = directive.node.name.node.as_str();
        let message = match name {
            "skip" | "include" | "deprecated" | "specifiedBy" | "oneOf" => format!("Directive \"@{name}\" may not be used here."),
            _ => format!("Unknown directive \"@{}\".", truncate(name)),
        };
        Err(error(message, directive.pos))
    }

    fn arguments(
        &self,
        owner: &str,
        known: &'a [InputValue],
        given: &'a [(Positioned<Name>, Positioned<Value>)],
        pos: Pos,
        uses: &mut Uses<'a>,
    ) -> Result<(), ServerError> {
        let mut seen: Vec<&str> = Vec::new();
        for (name, value) in given {
            let Positioned { pos, node: name } = name;
            let Some(argument) = known.iter().find(|argument| argument.name == name.as_str()) else {
                return Err(error(format!("Unknown argument \"{}\" on \"{owner}\".", truncate(name)), *pos));
            };
            if seen.contains(&name.as_str()) {
                return Err(error(format!("There can be only one argument named \"{name}\"."), *pos));
            }
            seen.push(name.as_str());
            self.value(&argument.ty, argument.has_default, value.pos, &value.node, uses)?;
        }
        match known.iter().find(|argument| argument.is_required() && !seen.contains(&argument.name.as_str())) {
            Some(InputValue { name, ty, .. }) => Err(error(
                format!("Argument \"{name}\" of type \"{ty}\" is required on \"{owner}\", but it was not provided."),
                pos,
            )),
            None => Ok(()),
        }
    }

    /// A value that may contain variables.
    fn value(&self, ty: &'a Type, has_default: bool, pos: Pos, value: &'a Value, uses: &mut Uses<'a>) -> Result<(), ServerError> {
        if let Value::Variable(name) = value {
            uses.variables.push(VariableUsage { name: name.as_str(), pos, ty, has_default });
            return Ok(());
        }
        match (&ty.base, value) {
            (BaseType::List(item), Value::List(values)) => {
                values.iter().try_for_each(|value| self.value(item, false, pos, value, uses))
            }
            (BaseType::List(item), value) if *value != Value::Null => self.value(item, false, pos, value, uses),
            (BaseType::Named(name), Value::Object(given)) => {
                let Some(Input::Object(known)) = self.types.input(name) else {
                    return self.leaf(ty, value).map_err(|message| error(message, pos));
                };
                for (name, value) in given {
                    let Some(member) = known.iter().find(|member| member.name == name.as_str()) else {
                        return Err(error(format!("Field \"{}\" is not defined by type \"{ty}\".", truncate(name)), pos));
                    };
                    self.value(&member.ty, member.has_default, pos, value, uses)?;
                }
                match known.iter().find(|member| member.is_required() && !given.contains_key(member.name.as_str())) {
                    Some(InputValue { name, .. }) => {
                        Err(error(format!("Field \"{name}\" of type \"{ty}\" is required, but it was not provided."), pos))
                    }
                    None => Ok(()),
                }
            }
            _ => self.leaf(ty, value).map_err(|message| error(message, pos)),
        }
    }

    /// A value without variables, such as a default.
    fn literal(&self, ty: &Type, value: &Value) -> Result<(), String> {
        let validator = Validator { types: self.types, document: self.document };
        validator.value(ty, false, Pos::default(), value, &mut Uses::default()).map_err(|error| error.message)
    }

    /// A scalar, an enum value or null.
    fn leaf(&self, ty: &Type, value: &Value) -> Result<(), String> {
        let is_valid = match (value, self.types.input(named_type(ty))) {
            (Value::Null, _) => ty.nullable,
            (Value::Number(number), Some(Input::Int)) => number.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
            (Value::Number(_), Some(Input::Float))
            | (Value::String(_), Some(Input::String | Input::Id))
            | (Value::Boolean(_), Some(Input::Boolean)) => true,
            (Value::Number(number), Some(Input::Id)) => number.is_i64() || number.is_u64(),
            (Value::Enum(name), Some(Input::Enum(names))) => names.iter().any(|known| known == name.as_str()),
            _ => false,
        };
        if is_valid { Ok(()) } else { Err(format!("Expected a value of type \"{ty}\", found {}.", truncate(&value.to_string()))) }
    }

    /// The specification's FieldsInSetCanMerge: fields with the same response key must have the same name and arguments,
    /// at any depth. Their types are then the same too, since the schema has no interfaces and no unions.
    fn fields_can_merge(&self, sets: &[&'a SelectionSet]) -> Result<(), ServerError> {
        for group in collect_fields(self.document, sets, &|_| Ok(true))? {
            let Some((first, others)) = group.split_first() else { continue };
            for other in others {
                if first.node.name.node != other.node.name.node || !same_arguments(&first.node, &other.node) {
                    let key = truncate(&first.node.response_key().node);
                    let message = format!(
                        "Fields \"{key}\" conflict: they are different fields, or have different arguments. Use different aliases."
                    );
                    return Err(ServerError { locations: vec![first.pos, other.pos], ..error(message, first.pos) });
                }
            }
            self.fields_can_merge(&selection_sets(&group))?;
        }
        Ok(())
    }
}

fn same_arguments(one: &Field, other: &Field) -> bool {
    one.arguments.len() == other.arguments.len()
        && one.arguments.iter().all(|(name, value)| other.get_argument(&name.node).is_some_and(|other| other.node == value.node))
}

/// The specification's IsVariableUsageAllowed: a nullable variable is allowed in a non-null position if the variable or
/// the position has a default.
fn is_usage_allowed(variable: &Type, has_default: bool, usage: &VariableUsage<'_>) -> bool {
    let has_any_default = has_default || usage.has_default;
    (usage.ty.nullable || !variable.nullable || has_any_default) && is_compatible_base(&variable.base, &usage.ty.base)
}

fn is_compatible_base(variable: &BaseType, position: &BaseType) -> bool {
    match (variable, position) {
        (BaseType::Named(variable), BaseType::Named(position)) => variable == position,
        (BaseType::List(variable), BaseType::List(position)) => {
            (position.nullable || !variable.nullable) && is_compatible_base(&variable.base, &position.base)
        }
        _ => false,
    }
}
