//! The specification's CoerceVariableValues. async-graphql's version does not distinguish absent variables from null.

use std::collections::HashMap;

use async_graphql::{
    Name, Number, ServerError, Value as ConstValue,
    indexmap::IndexMap,
    parser::types::{BaseType, OperationDefinition, Type},
};
use serde_json::{Map, Value};

use super::{
    truncate,
    types::{Input, InputValue, Types, named_type},
};

/// The variables that have a value. A variable without a value and without a default is absent, which is not null.
pub(super) type Variables<'a> = HashMap<&'a str, ConstValue>;

/// Fails at the first variable without a valid value.
pub(super) fn coerce_variables<'a>(
    types: &Types,
    operation: &'a OperationDefinition,
    given: &mut Map<String, Value>,
) -> Result<Variables<'a>, ServerError> {
    let mut variables = Variables::new();
    for definition in &operation.variable_definitions {
        let pos = definition.pos;
        let definition = &definition.node;
        let (name, ty) = (definition.name.node.as_str(), &definition.var_type.node);
        let error = |problem: &str| ServerError::new(format!("Variable \"${}\" {problem}", truncate(name)), Some(pos));
        let value = match (given.remove(name), &definition.default_value) {
            (Some(json), _) => value(types, ty, json).map_err(|problem| error(&format!("got an invalid value: {problem}")))?,
            (None, Some(default)) => default.node.clone(),
            (None, None) if ty.nullable => continue,
            (None, None) => return Err(error(&format!("of required type \"{ty}\" was not provided."))),
        };
        variables.insert(name, value);
    }
    Ok(variables)
}

fn value(types: &Types, ty: &Type, json: Value) -> Result<ConstValue, String> {
    match (&ty.base, json) {
        (_, Value::Null) if ty.nullable => Ok(ConstValue::Null),
        (_, Value::Null) => Err(format!("expected \"{ty}\" not to be null.")),
        (BaseType::List(item), Value::Array(values)) => {
            let values = values.into_iter().map(|json| value(types, item, json));
            values.collect::<Result<_, _>>().map(ConstValue::List)
        }
        (BaseType::List(item), json) => Ok(ConstValue::List(vec![value(types, item, json)?])),
        (BaseType::Named(name), json) => match types.input(name) {
            Some(Input::Object(known)) => object(types, ty, known, json),
            Some(input) => {
                let found = truncate(&json.to_string()).to_owned();
                leaf(input, json).ok_or_else(|| format!("expected type \"{}\", found {found}.", named_type(ty)))
            }
            None => Err(format!("unknown type \"{}\".", truncate(name))),
        },
    }
}

fn object(types: &Types, ty: &Type, known: &[InputValue], json: Value) -> Result<ConstValue, String> {
    let Value::Object(mut given) = json else {
        return Err(format!("expected type \"{}\" to be an object.", named_type(ty)));
    };
    let mut members = IndexMap::new();
    for member in known {
        match given.remove(&member.name) {
            Some(json) => {
                let value = value(types, &member.ty, json).map_err(|problem| format!("at \"{}\": {problem}", member.name))?;
                members.insert(Name::new(&member.name), value);
            }
            None if member.is_required() => return Err(format!("field \"{}\" of \"{ty}\" was not provided.", member.name)),
            None => {}
        }
    }
    match given.keys().next() {
        Some(unknown) => Err(format!("field \"{}\" is not defined by type \"{}\".", truncate(unknown), named_type(ty))),
        None => Ok(ConstValue::Object(members)),
    }
}

fn leaf(input: &Input, json: Value) -> Option<ConstValue> {
    match (input, json) {
        (Input::Int, Value::Number(number)) => to_int(&number).map(ConstValue::from),
        (Input::Float, Value::Number(number)) => Some(ConstValue::Number(number)),
        (Input::String | Input::Id, Value::String(text)) => Some(ConstValue::String(text)),
        (Input::Id, Value::Number(number)) if !number.is_f64() => Some(ConstValue::String(number.to_string())),
        (Input::Boolean, Value::Bool(value)) => Some(ConstValue::Boolean(value)),
        (Input::Enum(names), Value::String(name)) if names.contains(&name) => Some(ConstValue::Enum(Name::new(name))),
        _ => None,
    }
}

/// `2.0` is a valid Int in JSON.
fn to_int(number: &Number) -> Option<i32> {
    if let Some(number) = number.as_i64() {
        return i32::try_from(number).ok();
    }
    let number = number.as_f64()?;
    let is_whole = number.fract() == 0.0 && (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&number);
    // Exact: the number is whole and within an i32.
    #[allow(clippy::cast_possible_truncation, reason = "checked above")]
    is_whole.then_some(number as i32)
}
