//! Each field of a customer reads the parts of the customer that it needs.

use async_graphql::parser::{
    parse_schema,
    types::{TypeKind, TypeSystemDefinition},
};
use domain::customer::Profile;
use serde_json::{Value, json};

use crate::stack::Stack;

/// The fields of the type Customer, with a selection of subfields for those that need one.
fn customer_fields() -> Vec<(String, &'static str)> {
    let schema = parse_schema(graphql::sdl()).unwrap();
    let fields = schema.definitions.into_iter().find_map(|definition| match definition {
        TypeSystemDefinition::Type(definition) if definition.node.name.node == "Customer" => match definition.node.kind {
            TypeKind::Object(object) => Some(object.fields),
            _ => None,
        },
        _ => None,
    });
    let name_and_subfields = |name: String| {
        let subfields = match name.as_str() {
            "entitlementList" => "{ feature { featureId } }",
            "resources" => "{ resourceId }",
            "subscriptions" => "{ nodes { planName } }",
            _ => "",
        };
        (name, subfields)
    };
    fields.unwrap().into_iter().map(|field| name_and_subfields(field.node.name.node.to_string())).collect()
}

#[tokio::test]
async fn a_customer_field_selected_alone_has_the_same_value_as_with_all_others() {
    let stack = Stack::start().await;
    let profile: Profile = serde_json::from_value(json!({
        "name": "Name", "email": "a@example.com", "billingId": "b", "crmId": "crm", "billingCurrency": "USD", "metadata": {"a": 1},
    }))
    .unwrap();
    stack.profile("c", 1, profile, true).await;
    let grant = [("f", json!({"feature": {"id": "f", "featureType": "BOOLEAN"}}))];
    stack.list("c", None, 2, &grant).await;
    stack.list("c", Some("r"), 2, &grant).await;
    stack.subscription("s", "c", 3, "ACTIVE").await;
    let customer = async |selection: &str| {
        let data = stack.data(&format!("{{ customer(customerId: \"c\") {{ {selection} }} }}"), Value::Null).await;
        data["customer"].clone()
    };
    let fields = customer_fields();
    let all: String = fields.iter().map(|(name, subfields)| format!("{name} {subfields} ")).collect();
    let all = customer(&all).await;
    for (name, subfields) in fields {
        assert!(!all[&name].is_null() && all[&name] != json!([]), "the customer of this test needs a value for {name}");
        assert_eq!(customer(&format!("{name} {subfields}")).await[&name], all[&name], "{name}");
    }
}
