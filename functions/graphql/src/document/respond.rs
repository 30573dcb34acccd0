//! Writes the `data` of a response by the plan of its operation.

use async_graphql::{
    Value,
    parser::types::{BaseType, Type},
};

use super::plan::PlannedField;
use crate::json;

/// The response is larger than the limit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

enum WriteError {
    /// Null for a non-null type: the nearest nullable parent becomes null.
    NullViolation,
    TooLong,
}

/// Appends the data that execution returned, at most up to `limit` bytes in all. Members are in the order of the query;
/// failed ones are null.
pub(crate) fn respond(fields: &[PlannedField<'_>], data: &Value, limit: usize, out: &mut Vec<u8>) -> Result<(), TooLong> {
    let start = out.len();
    match object(fields, data, limit, out) {
        Ok(()) => Ok(()),
        Err(WriteError::TooLong) => Err(TooLong),
        Err(WriteError::NullViolation) => {
            out.truncate(start);
            out.extend_from_slice(b"null");
            Ok(())
        }
    }
}

fn object(fields: &[PlannedField<'_>], value: &Value, limit: usize, out: &mut Vec<u8>) -> Result<(), WriteError> {
    let Value::Object(members) = value else { return Err(WriteError::NullViolation) };
    out.push(b'{');
    for (index, field) in fields.iter().enumerate() {
        json::write_comma(index, out);
        json::write_name(&field.response_key, out);
        // Execution mostly returns members in the order of the query.
        let member = match members.get_index(index) {
            Some((key, value)) if *key == field.executed_key => Some(value),
            _ => members.get(&field.executed_key),
        };
        write(field.ty, field.fields.as_deref(), member, limit, out)?;
    }
    out.push(b'}');
    Ok(())
}

fn write(
    ty: &Type,
    fields: Option<&[PlannedField<'_>]>,
    value: Option<&Value>,
    limit: usize,
    out: &mut Vec<u8>,
) -> Result<(), WriteError> {
    let start = out.len();
    let written = match (value, &ty.base, fields) {
        (None | Some(Value::Null), _, _) => Err(WriteError::NullViolation),
        (Some(Value::List(values)), BaseType::List(item), _) => list(item, fields, values, limit, out),
        (Some(value), _, Some(fields)) => object(fields, value, limit, out),
        (Some(value), _, None) => {
            json::write(value, out);
            Ok(())
        }
    };
    match written {
        Ok(()) if out.len() > limit => Err(WriteError::TooLong),
        Err(WriteError::NullViolation) if ty.nullable => {
            out.truncate(start);
            out.extend_from_slice(b"null");
            Ok(())
        }
        written => written,
    }
}

fn list(
    item: &Type,
    fields: Option<&[PlannedField<'_>]>,
    values: &[Value],
    limit: usize,
    out: &mut Vec<u8>,
) -> Result<(), WriteError> {
    out.push(b'[');
    for (index, value) in values.iter().enumerate() {
        json::write_comma(index, out);
        write(item, fields, Some(value), limit, out)?;
    }
    out.push(b']');
    Ok(())
}
