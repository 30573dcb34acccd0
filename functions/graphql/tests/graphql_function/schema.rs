//! The served schema equals the committed one and is a superset of the example's.

use std::{collections::BTreeMap, path::Path};

use async_graphql::parser::{
    parse_schema,
    types::{ServiceDocument, TypeKind, TypeSystemDefinition},
};

fn committed(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

#[test]
fn the_committed_schema_is_up_to_date() {
    let served = graphql::sdl();
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("schema.graphql"), &served).unwrap();
    }
    let is_up_to_date = committed("schema.graphql") == served;
    assert!(is_up_to_date, "UPDATE_SCHEMA=1 cargo test --workspace --test graphql_function schema updates it");
}

/// All fields, arguments, enum values and input fields of a schema, with their types and defaults.
fn parts(schema: &ServiceDocument) -> BTreeMap<String, String> {
    let mut parts = BTreeMap::new();
    for definition in &schema.definitions {
        let TypeSystemDefinition::Type(definition) = definition else { continue };
        let name = &definition.node.name.node;
        match &definition.node.kind {
            TypeKind::Object(object) => {
                for field in &object.fields {
                    let path = format!("{name}.{}", field.node.name.node);
                    for argument in &field.node.arguments {
                        let default = argument.node.default_value.as_ref().map(|value| value.node.to_string());
                        let kind = format!("{} = {}", argument.node.ty.node, default.unwrap_or_default());
                        parts.insert(format!("{path}({})", argument.node.name.node), kind);
                    }
                    parts.insert(path, field.node.ty.node.to_string());
                }
            }
            TypeKind::Enum(values) => {
                for value in &values.values {
                    parts.insert(format!("{name}.{}", value.node.value.node), "a value".to_owned());
                }
            }
            TypeKind::InputObject(input) => {
                for field in &input.fields {
                    parts.insert(format!("{name}.{}", field.node.name.node), field.node.ty.node.to_string());
                }
            }
            TypeKind::Scalar => {
                parts.insert(name.to_string(), "a scalar".to_owned());
            }
            TypeKind::Interface(_) | TypeKind::Union(_) => unreachable!("neither schema has any"),
        }
    }
    parts
}

#[test]
fn the_schema_is_a_superset_of_the_examples() {
    let example = parts(&parse_schema(committed("tests/example-schema.graphql")).unwrap());
    let ours = parts(&parse_schema(graphql::sdl()).unwrap());
    assert!(example.len() > 125, "{}", example.len());
    let missing: Vec<_> =
        example.iter().filter(|(path, kind)| ours.get(*path) != Some(kind)).map(|(path, _)| path.as_str()).collect();
    // These fail in the example: PostgreSQL can't sort or compare JSON.
    assert_eq!(
        missing,
        ["CustomerCondition.entitlements", "CustomersOrderBy.ENTITLEMENTS_ASC", "CustomersOrderBy.ENTITLEMENTS_DESC"]
    );
}

#[test]
fn every_type_and_every_field_has_a_description() {
    let schema = parse_schema(graphql::sdl()).unwrap();
    for definition in &schema.definitions {
        let TypeSystemDefinition::Type(definition) = definition else { continue };
        let name = &definition.node.name.node;
        assert!(definition.node.description.is_some(), "{name}");
        match &definition.node.kind {
            TypeKind::Object(object) => {
                for field in &object.fields {
                    assert!(field.node.description.is_some(), "{name}.{}", field.node.name.node);
                    for argument in &field.node.arguments {
                        let argument = &argument.node;
                        assert!(argument.description.is_some(), "{name}.{}({})", field.node.name.node, argument.name.node);
                    }
                }
            }
            TypeKind::InputObject(input) => {
                for field in &input.fields {
                    assert!(field.node.description.is_some(), "{name}.{}", field.node.name.node);
                }
            }
            _ => {}
        }
    }
}

/// `/check-access` answers with these members, from the same decision.
#[test]
fn an_access_decision_has_the_members_of_check_access() {
    let served = parts(&parse_schema(graphql::sdl()).unwrap());
    let served: Vec<_> = served.keys().filter_map(|path| path.strip_prefix("AccessDecision.")).collect();
    let snapshot = serde_json::to_value(domain::access::EntitlementSnapshot::default()).unwrap();
    let mut expected = vec!["hasAccess", "reason", "accessDeniedReason"];
    expected.extend(snapshot.as_object().unwrap().keys().map(String::as_str));
    expected.sort_unstable();
    assert_eq!(served, expected);
}
