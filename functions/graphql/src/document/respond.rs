//! The response, written by the plan of its operation.

use async_graphql::{
    Value,
    parser::types::{BaseType, Type},
};

use super::plan::Selected;
use crate::json;

/// The response has more bytes than it may.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// A null where the type has none: the nearest nullable parent becomes null.
enum Unwritten {
    Null,
    TooLong,
}

/// Appends what execution answered, at most up to `limit` bytes: members in the order of the query,
/// null for what failed.
pub(crate) fn respond(fields: &[Selected<'_>], data: &Value, limit: usize, out: &mut Vec<u8>) -> Result<(), TooLong> {
    let start = out.len();
    match object(fields, data, limit, out) {
        Ok(()) => Ok(()),
        Err(Unwritten::TooLong) => Err(TooLong),
        Err(Unwritten::Null) => {
            out.truncate(start);
            out.extend_from_slice(b"null");
            Ok(())
        }
    }
}

fn object(fields: &[Selected<'_>], value: &Value, limit: usize, out: &mut Vec<u8>) -> Result<(), Unwritten> {
    let Value::Object(members) = value else { return Err(Unwritten::Null) };
    out.push(b'{');
    for (index, field) in fields.iter().enumerate() {
        json::separate(index, out);
        // A name of GraphQL's has nothing to escape.
        out.push(b'"');
        out.extend_from_slice(field.key.as_bytes());
        out.extend_from_slice(b"\":");
        // Most members are in the query's order.
        let member = match members.get_index(index) {
            Some((key, value)) if *key == field.source => Some(value),
            _ => members.get(&field.source),
        };
        write(field.ty, field.fields.as_deref(), member, limit, out)?;
    }
    out.push(b'}');
    Ok(())
}

fn write(
    ty: &Type,
    fields: Option<&[Selected<'_>]>,
    value: Option<&Value>,
    limit: usize,
    out: &mut Vec<u8>,
) -> Result<(), Unwritten> {
    let start = out.len();
    let written = match (value, &ty.base, fields) {
        (None | Some(Value::Null), _, _) => Err(Unwritten::Null),
        (Some(Value::List(values)), BaseType::List(item), _) => list(item, fields, values, limit, out),
        (Some(value), _, Some(fields)) => object(fields, value, limit, out),
        (Some(value), _, None) => {
            json::write(value, out);
            Ok(())
        }
    };
    match written {
        Ok(()) if out.len() > limit => Err(Unwritten::TooLong),
        Err(Unwritten::Null) if ty.nullable => {
            out.truncate(start);
            out.extend_from_slice(b"null");
            Ok(())
        }
        written => written,
    }
}

fn list(
    item: &Type,
    fields: Option<&[Selected<'_>]>,
    values: &[Value],
    limit: usize,
    out: &mut Vec<u8>,
) -> Result<(), Unwritten> {
    out.push(b'[');
    for (index, value) in values.iter().enumerate() {
        json::separate(index, out);
        write(item, fields, Some(value), limit, out)?;
    }
    out.push(b']');
    Ok(())
}
