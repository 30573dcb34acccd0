//! Validation by section 5 of the GraphQL specification (October 2021).
//!
//! The library's own rules let pass what the specification refuses (an enum value as a string, a
//! nullable variable for a required argument, conflicting fields below the first level) and refuse
//! what it allows (a variable that only a directive at `__typename` uses). The first violation is
//! reported: a document of 60,000 unknown arguments is not worth 60,000 messages.
//!
//! The parser refuses duplicate operations and fragments, [`crate::guard`] fragment cycles and
//! duplicate members of input objects, which the parser drops.

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
    collect, selection_sets, short,
    types::{Input, InputValue, ROOT, Types, named},
};

/// Refuses a document that breaks a rule of the specification.
pub(crate) fn validate(types: &Types, document: &ExecutableDocument) -> Result<(), ServerError> {
    let validator = Validator { types, document };
    let mut fragments = HashMap::new();
    for (name, fragment) in &document.fragments {
        let mut uses = Uses::default();
        let on = validator.condition(&fragment.node.type_condition.node)?;
        validator.no_directive(&fragment.node.directives)?;
        validator.selections(on, &fragment.node.selection_set.node, &mut uses)?;
        fragments.insert(name.as_str(), uses);
    }
    let mut reached = HashSet::new();
    for (_, operation) in document.operations.iter() {
        reached.extend(validator.operation(operation, &fragments)?);
    }
    match document.fragments.iter().find(|(name, _)| !reached.contains(name.as_str())) {
        Some((name, fragment)) => Err(error(format!("Fragment \"{}\" is never used.", short(name)), fragment.pos)),
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

/// What an operation or a fragment uses, fragments within it not written out.
#[derive(Default)]
struct Uses<'a> {
    variables: Vec<Usage<'a>>,
    fragments: Vec<&'a str>,
}

/// A variable at a place that takes values of a type.
struct Usage<'a> {
    name: &'a str,
    pos: Pos,
    ty: &'a Type,
    /// Whether the place has a default.
    has_default: bool,
}

impl<'a> Validator<'a> {
    /// Checks an operation; returns the fragments that it reaches.
    fn operation(
        &self,
        operation: &'a Positioned<OperationDefinition>,
        fragments: &HashMap<&'a str, Uses<'a>>,
    ) -> Result<HashSet<&'a str>, ServerError> {
        let Positioned { pos, node: operation } = operation;
        if operation.ty != OperationType::Query {
            return Err(error(format!("The schema has no {}: only queries are served.", operation.ty), *pos));
        }
        self.no_directive(&operation.directives)?;
        let mut uses = Uses::default();
        self.selections(ROOT, &operation.selection_set.node, &mut uses)?;

        let mut reached = HashSet::new();
        let mut ahead = uses.fragments.clone();
        while let Some(name) = ahead.pop() {
            if reached.insert(name) {
                ahead.extend(fragments.get(name).into_iter().flat_map(|uses| &uses.fragments));
            }
        }
        let in_fragments = reached.iter().filter_map(|name| fragments.get(name)).flat_map(|uses| &uses.variables);
        self.variables(operation, uses.variables.iter().chain(in_fragments))?;
        self.merge(&[&operation.selection_set.node])?;
        Ok(reached)
    }

    fn variables<'u>(
        &self,
        operation: &'a OperationDefinition,
        usages: impl Iterator<Item = &'u Usage<'a>>,
    ) -> Result<(), ServerError>
    where
        'a: 'u,
    {
        let mut unused = HashMap::new();
        let mut defined = HashMap::new();
        for definition in &operation.variable_definitions {
            let Positioned { pos, node: definition } = definition;
            let (name, ty) = (definition.name.node.as_str(), &definition.var_type.node);
            if self.types.input(named(ty)).is_none() {
                return Err(error(
                    format!("Variable \"${}\" can't be of type \"{}\".", short(name), short(&ty.to_string())),
                    *pos,
                ));
            }
            self.no_directive(&definition.directives)?;
            if let Some(default) = &definition.default_value {
                let value = default.node.clone().into_value();
                self.literal(ty, &value).map_err(|message| error(message, default.pos))?;
            }
            if defined.insert(name, definition).is_some() {
                return Err(error(format!("There can be only one variable named \"${}\".", short(name)), *pos));
            }
            unused.insert(name, *pos);
        }
        for usage in usages {
            let Some(definition) = defined.get(usage.name) else {
                return Err(error(format!("Variable \"${}\" is not defined.", short(usage.name)), usage.pos));
            };
            let has_default = definition.default_value.as_ref().is_some_and(|value| value.node != async_graphql::Value::Null);
            let ty = &definition.var_type.node;
            if !is_allowed(ty, has_default, usage) {
                let message = format!(
                    "Variable \"${}\" of type \"{}\" used in position expecting type \"{}\".",
                    short(usage.name),
                    short(&ty.to_string()),
                    usage.ty
                );
                return Err(error(message, usage.pos));
            }
            unused.remove(usage.name);
        }
        match unused.into_iter().min_by_key(|(_, pos)| (pos.line, pos.column)) {
            Some((name, pos)) => Err(error(format!("Variable \"${}\" is never used.", short(name)), pos)),
            None => Ok(()),
        }
    }

    fn selections(&self, object: &'a str, set: &'a SelectionSet, uses: &mut Uses<'a>) -> Result<(), ServerError> {
        for selection in &set.items {
            self.directives(selection.node.directives(), uses)?;
            match &selection.node {
                Selection::Field(field) => self.field(object, field, uses)?,
                Selection::InlineFragment(fragment) => {
                    if let Some(condition) = &fragment.node.type_condition {
                        self.applies(object, &condition.node)?;
                    }
                    self.selections(object, &fragment.node.selection_set.node, uses)?;
                }
                Selection::FragmentSpread(spread) => {
                    let name = &spread.node.fragment_name;
                    let Some(fragment) = self.document.fragments.get(&name.node) else {
                        return Err(error(format!("Unknown fragment \"{}\".", short(&name.node)), name.pos));
                    };
                    self.applies(object, &fragment.node.type_condition.node)?;
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
            return Err(error(format!("Cannot query field \"{}\" on type \"{object}\".", short(name)), *pos));
        };
        self.arguments(name, &known.arguments, &field.arguments, *pos, uses)?;
        let set = &field.selection_set.node;
        match (self.types.is_object(named(&known.ty)), set.items.is_empty()) {
            (true, false) => self.selections(named(&known.ty), set, uses),
            (false, true) => Ok(()),
            (true, true) => {
                Err(error(format!("Field \"{name}\" of type \"{}\" must have a selection of subfields.", known.ty), *pos))
            }
            (false, false) => {
                Err(error(format!("Field \"{name}\" must not have a selection: type \"{}\" has no subfields.", known.ty), *pos))
            }
        }
    }

    /// The object type that a fragment is on.
    fn condition(&self, condition: &'a TypeCondition) -> Result<&'a str, ServerError> {
        let name = condition.on.node.as_str();
        let problem = match (self.types.is_object(name), self.types.input(name)) {
            (true, _) => return Ok(name),
            (false, Some(_)) => "Fragment cannot condition on the type",
            (false, None) => "Unknown type",
        };
        Err(error(format!("{problem} \"{}\".", short(name)), condition.on.pos))
    }

    fn applies(&self, object: &str, condition: &'a TypeCondition) -> Result<(), ServerError> {
        let on = self.condition(condition)?;
        if on == object {
            return Ok(());
        }
        Err(error(format!("A fragment on \"{on}\" can never apply to an object of type \"{object}\"."), condition.on.pos))
    }

    /// The directives of a selection: `@skip` and `@include`, each once.
    fn directives(&self, directives: &'a [Positioned<Directive>], uses: &mut Uses<'a>) -> Result<(), ServerError> {
        let mut seen = Vec::new();
        for directive in directives {
            let name = directive.node.name.node.as_str();
            if !matches!(name, "skip" | "include") {
                return self.no_directive(std::slice::from_ref(directive));
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

    fn no_directive(&self, directives: &[Positioned<Directive>]) -> Result<(), ServerError> {
        let Some(directive) = directives.first() else { return Ok(()) };
        let name = directive.node.name.node.as_str();
        let message = match name {
            "skip" | "include" | "deprecated" | "specifiedBy" | "oneOf" => format!("Directive \"@{name}\" may not be used here."),
            _ => format!("Unknown directive \"@{}\".", short(name)),
        };
        Err(error(message, directive.pos))
    }

    fn arguments(
        &self,
        of: &str,
        known: &'a [InputValue],
        given: &'a [(Positioned<Name>, Positioned<Value>)],
        pos: Pos,
        uses: &mut Uses<'a>,
    ) -> Result<(), ServerError> {
        let mut seen: Vec<&str> = Vec::new();
        for (name, value) in given {
            let Positioned { pos, node: name } = name;
            let Some(argument) = known.iter().find(|argument| argument.name == name.as_str()) else {
                return Err(error(format!("Unknown argument \"{}\" on \"{of}\".", short(name)), *pos));
            };
            if seen.contains(&name.as_str()) {
                return Err(error(format!("There can be only one argument named \"{name}\"."), *pos));
            }
            seen.push(name.as_str());
            self.value(&argument.ty, argument.has_default, value.pos, &value.node, uses)?;
        }
        match known.iter().find(|argument| argument.is_required() && !seen.contains(&argument.name.as_str())) {
            Some(InputValue { name, ty, .. }) => {
                Err(error(format!("Argument \"{name}\" of type \"{ty}\" is required on \"{of}\", but it was not provided."), pos))
            }
            None => Ok(()),
        }
    }

    /// A value that may hold variables.
    fn value(&self, ty: &'a Type, has_default: bool, pos: Pos, value: &'a Value, uses: &mut Uses<'a>) -> Result<(), ServerError> {
        if let Value::Variable(name) = value {
            uses.variables.push(Usage { name: name.as_str(), pos, ty, has_default });
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
                        return Err(error(format!("Field \"{}\" is not defined by type \"{ty}\".", short(name)), pos));
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

    /// Null, or a value of a scalar or an enum.
    fn leaf(&self, ty: &Type, value: &Value) -> Result<(), String> {
        let is_valid = match (value, self.types.input(named(ty))) {
            (Value::Null, _) => ty.nullable,
            (Value::Number(number), Some(Input::Int)) => number.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
            (Value::Number(_), Some(Input::Float))
            | (Value::String(_), Some(Input::String | Input::Id))
            | (Value::Boolean(_), Some(Input::Boolean)) => true,
            (Value::Number(number), Some(Input::Id)) => number.is_i64() || number.is_u64(),
            (Value::Enum(name), Some(Input::Enum(names))) => names.iter().any(|known| known == name.as_str()),
            _ => false,
        };
        if is_valid { Ok(()) } else { Err(format!("Expected a value of type \"{ty}\", found {}.", short(&value.to_string()))) }
    }

    /// Refuses fields of one response key that differ in name or arguments, at any depth. Types cannot
    /// differ then: there are only object types.
    fn merge(&self, sets: &[&'a SelectionSet]) -> Result<(), ServerError> {
        for group in collect(self.document, sets, &|_| Ok(true))? {
            let Some((first, others)) = group.split_first() else { continue };
            for other in others {
                if first.node.name.node != other.node.name.node || !same_arguments(&first.node, &other.node) {
                    let key = short(&first.node.response_key().node);
                    let message = format!(
                        "Fields \"{key}\" conflict: they are different fields, or have different arguments. Use different aliases."
                    );
                    return Err(ServerError { locations: vec![first.pos, other.pos], ..error(message, first.pos) });
                }
            }
            self.merge(&selection_sets(&group))?;
        }
        Ok(())
    }
}

fn same_arguments(one: &Field, other: &Field) -> bool {
    one.arguments.len() == other.arguments.len()
        && one.arguments.iter().all(|(name, value)| other.get_argument(&name.node).is_some_and(|other| other.node == value.node))
}

/// The specification's IsVariableUsageAllowed: a default of the variable or of the place makes up for
/// a nullable type.
fn is_allowed(variable: &Type, has_default: bool, usage: &Usage<'_>) -> bool {
    let is_made_up_for = variable.nullable && (has_default || usage.has_default);
    (usage.ty.nullable || !variable.nullable || is_made_up_for) && is_compatible_base(&variable.base, &usage.ty.base)
}

fn is_compatible_base(variable: &BaseType, place: &BaseType) -> bool {
    match (variable, place) {
        (BaseType::Named(variable), BaseType::Named(place)) => variable == place,
        (BaseType::List(variable), BaseType::List(place)) => {
            (place.nullable || !variable.nullable) && is_compatible_base(&variable.base, &place.base)
        }
        _ => false,
    }
}
