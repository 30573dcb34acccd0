//! The types of the schema, from async-graphql's registry.

use std::collections::HashMap;

use async_graphql::{
    Name, OutputType as _,
    parser::types::{BaseType, Type},
    registry::{MetaInputValue, MetaType, Registry},
};

use crate::schema::Query;

/// Types by name. The schema has no interfaces and no unions.
#[derive(Debug)]
pub(crate) struct Types {
    objects: HashMap<String, Object>,
    inputs: HashMap<String, Input>,
    /// `__typename`, a field of every object.
    typename: FieldType,
    /// The argument of `@skip` and `@include`.
    directive_condition: InputValue,
}

/// Fields by name.
type Object = HashMap<String, FieldType>;

#[derive(Debug)]
pub(crate) struct FieldType {
    pub(crate) ty: Type,
    pub(crate) arguments: Vec<InputValue>,
}

/// An argument, or a field of an input object.
#[derive(Debug)]
pub(crate) struct InputValue {
    pub(crate) name: String,
    pub(crate) ty: Type,
    pub(crate) has_default: bool,
}

impl InputValue {
    pub(crate) fn is_required(&self) -> bool {
        !self.ty.nullable && !self.has_default
    }
}

/// An input type.
#[derive(Debug)]
pub(crate) enum Input {
    Int,
    Float,
    /// Also the schema's own scalars, which are written as strings.
    String,
    Boolean,
    Id,
    Enum(Vec<String>),
    Object(Vec<InputValue>),
}

pub(crate) const ROOT: &str = "Query";

/// The introspection types, which are not in the registry: type, then fields with their types.
const INTROSPECTION: [(&str, &str); 7] = [
    (ROOT, "__schema:__Schema! __type:__Type"),
    (
        "__Schema",
        "description:String! types:[__Type!]! queryType:__Type! mutationType:__Type subscriptionType:__Type directives:[__Directive!]!",
    ),
    (
        "__Type",
        "kind:__TypeKind! name:String description:String fields:[__Field!] interfaces:[__Type!] possibleTypes:[__Type!] \
         enumValues:[__EnumValue!] inputFields:[__InputValue!] ofType:__Type specifiedByURL:String isOneOf:Boolean",
    ),
    (
        "__Field",
        "name:String! description:String args:[__InputValue!]! type:__Type! isDeprecated:Boolean! deprecationReason:String",
    ),
    (
        "__InputValue",
        "name:String! description:String type:__Type! defaultValue:String isDeprecated:Boolean! deprecationReason:String",
    ),
    ("__EnumValue", "name:String! description:String isDeprecated:Boolean! deprecationReason:String"),
    (
        "__Directive",
        "name:String! description:String locations:[__DirectiveLocation!]! args:[__InputValue!]! isRepeatable:Boolean!",
    ),
];

/// Introspection fields with the argument `includeDeprecated`.
const WITH_DEPRECATED: [&str; 4] = ["fields", "enumValues", "inputFields", "args"];

impl Types {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::default();
        Query::create_type_info(&mut registry);
        let builtin = [
            ("Int", Input::Int),
            ("Float", Input::Float),
            ("String", Input::String),
            ("Boolean", Input::Boolean),
            ("ID", Input::Id),
        ];
        let required = |name: &str| Type { base: BaseType::Named(Name::new(name)), nullable: false };
        let mut types = Self {
            objects: HashMap::new(),
            inputs: builtin.map(|(name, input)| (name.to_owned(), input)).into_iter().collect(),
            typename: FieldType { ty: required("String"), arguments: Vec::new() },
            directive_condition: InputValue { name: "if".to_owned(), ty: required("Boolean"), has_default: false },
        };
        for (name, ty) in registry.types {
            match ty {
                MetaType::Object { fields, .. } => {
                    let fields = fields.into_iter().filter_map(|(name, field)| {
                        let arguments = field.args.into_values().filter_map(input_value).collect();
                        Some((name, FieldType { ty: Type::new(&field.ty)?, arguments }))
                    });
                    types.objects.insert(name, fields.collect());
                }
                MetaType::Enum { enum_values, .. } => {
                    types.inputs.insert(name, Input::Enum(enum_values.into_keys().collect()));
                }
                MetaType::InputObject { input_fields, .. } => {
                    let members = input_fields.into_values().filter_map(input_value).collect();
                    types.inputs.insert(name, Input::Object(members));
                }
                MetaType::Scalar { .. } => {
                    types.inputs.entry(name).or_insert(Input::String);
                }
                MetaType::Interface { .. } | MetaType::Union { .. } => {}
            }
        }
        for (name, fields) in INTROSPECTION {
            types.objects.entry(name.to_owned()).or_default().extend(fields.split(' ').filter_map(introspection_field));
        }
        types
    }

    pub(crate) fn field(&self, object: &str, name: &str) -> Option<&FieldType> {
        if name == "__typename" { Some(&self.typename) } else { self.objects.get(object)?.get(name) }
    }

    pub(crate) fn directive_condition(&self) -> &InputValue {
        &self.directive_condition
    }

    pub(crate) fn is_object(&self, name: &str) -> bool {
        self.objects.contains_key(name)
    }

    pub(crate) fn input(&self, name: &str) -> Option<&Input> {
        self.inputs.get(name)
    }
}

fn input_value(value: MetaInputValue) -> Option<InputValue> {
    Some(InputValue { ty: Type::new(&value.ty)?, has_default: value.default_value.is_some(), name: value.name })
}

fn introspection_field(field: &str) -> Option<(String, FieldType)> {
    let (name, ty) = field.split_once(':')?;
    let argument = |name: &str, ty, has_default| Some(InputValue { name: name.to_owned(), ty: Type::new(ty)?, has_default });
    let argument = match name {
        "__type" => argument("name", "String!", false),
        name if WITH_DEPRECATED.contains(&name) => argument("includeDeprecated", "Boolean!", true),
        _ => None,
    };
    Some((name.to_owned(), FieldType { ty: Type::new(ty)?, arguments: argument.into_iter().collect() }))
}

/// The innermost type: `Customer` of `[Customer!]!`.
pub(crate) fn named_type(ty: &Type) -> &str {
    match &ty.base {
        BaseType::Named(name) => name.as_str(),
        BaseType::List(item) => named_type(item),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{options::Options, schema};

    fn type_of(json: &serde_json::Value) -> String {
        let inner = || type_of(&json["ofType"]);
        match json["kind"].as_str() {
            Some("NON_NULL") => format!("{}!", inner()),
            Some("LIST") => format!("[{}]", inner()),
            _ => json["name"].as_str().unwrap_or_default().to_owned(),
        }
    }

    #[tokio::test]
    async fn every_field_has_the_type_that_introspection_returns() {
        const TYPE: &str = "kind name ofType { kind name ofType { kind name ofType { kind name } } }";
        let query = format!(
            "{{ __schema {{ types {{ name fields {{ name type {{ {TYPE} }} args {{ name defaultValue type {{ {TYPE} }} }} }} \
             inputFields {{ name defaultValue type {{ {TYPE} }} }} }} }} }}"
        );
        let served = schema::build(&Options::default()).execute(query).await.data.into_json().unwrap();
        let values = |json: &serde_json::Value| {
            let values = json.as_array().into_iter().flatten().map(|value| {
                let has_default = value["defaultValue"].is_string();
                (value["name"].as_str().unwrap().to_owned(), (type_of(&value["type"]), has_default))
            });
            values.collect::<BTreeMap<_, _>>()
        };
        let known = |values: &[InputValue]| {
            let values = values.iter().map(|value| (value.name.clone(), (value.ty.to_string(), value.has_default)));
            values.collect::<BTreeMap<_, _>>()
        };
        let types = Types::new();
        let mut compared = 0;
        for of in served["__schema"]["types"].as_array().unwrap() {
            let name = of["name"].as_str().unwrap();
            let fields = of["fields"].as_array().map(Vec::as_slice).unwrap_or_default();
            for field in fields {
                let field_name = field["name"].as_str().unwrap();
                let known_field = types.field(name, field_name).unwrap_or_else(|| panic!("{name}.{field_name}"));
                assert_eq!(known_field.ty.to_string(), type_of(&field["type"]), "{name}.{field_name}");
                assert_eq!(known(&known_field.arguments), values(&field["args"]), "{name}.{field_name}");
                compared += 1;
            }
            if let Some(Input::Object(members)) = types.input(name) {
                assert_eq!(known(members), values(&of["inputFields"]), "{name}");
            }
        }
        assert!(compared > 120, "{compared}");
        let introspected = types.objects.keys().filter(|name| name.starts_with("__")).count();
        assert_eq!(introspected, 6);
    }
}
