//! What the template lets each function do: its role's statements, with conditions decided.

use std::collections::BTreeSet;

use byos::template::{TEMPLATE, Template};
use yaml_serde::{Value, value::TaggedValue};

/// An action, and the resource it is allowed on as the template names it: `CustomersTable.Arn`, with
/// `/index/…` behind it, `WebhookSecret`, or `*`.
pub(crate) type Permission = (String, String);

/// The roles of a template whose other conditions do not hold.
pub(crate) struct Roles {
    template: Template,
    conditions: &'static [&'static str],
}

impl Roles {
    pub(crate) fn under(conditions: &'static [&'static str]) -> Self {
        Self { template: Template::read(TEMPLATE).unwrap(), conditions }
    }

    /// Everything that the function with this logical id may do.
    pub(crate) fn of_function(&self, function: &str) -> BTreeSet<Permission> {
        let function = self.one("AWS::Serverless::Function", function);
        assert!(function.get("Policies").is_none(), "SAM leaves Policies out where there is a Role");
        let role = name(&function["Role"]);
        let role = self.one("AWS::IAM::Role", role.strip_suffix(".Arn").unwrap());
        let keys: Vec<_> = role.as_mapping().unwrap().keys().filter_map(Value::as_str).collect();
        assert_eq!(keys, ["AssumeRolePolicyDocument", "Policies"], "and so no managed policy");
        let trust = &role["AssumeRolePolicyDocument"]["Statement"];
        assert_eq!(trust.as_sequence().unwrap().len(), 1);
        assert_eq!(trust[0]["Principal"]["Service"], "lambda.amazonaws.com");
        let policies = role["Policies"].as_sequence().unwrap();
        let statements = policies.iter().flat_map(|policy| policy["PolicyDocument"]["Statement"].as_sequence().unwrap());
        let mut permissions = BTreeSet::new();
        for statement in statements.filter_map(|statement| self.decided(statement)) {
            let keys: Vec<_> = statement.as_mapping().unwrap().keys().filter_map(Value::as_str).collect();
            assert_eq!(keys, ["Sid", "Effect", "Action", "Resource"]);
            assert_eq!(statement["Effect"], "Allow");
            for action in each(&statement["Action"]) {
                for resource in each(&statement["Resource"]) {
                    let permission = (action.as_str().unwrap().to_owned(), name(resource));
                    assert!(permissions.insert(permission.clone()), "{permission:?} is allowed twice");
                }
            }
        }
        permissions
    }

    /// A variable of the function's, as the template gives it.
    pub(crate) fn variable(&self, function: &str, variable: &str) -> String {
        let function = self.one("AWS::Serverless::Function", function);
        name(self.decided(&function["Environment"]["Variables"][variable]).unwrap())
    }

    /// The logical ids of all resources of a type.
    pub(crate) fn ids(&self, kind: &str) -> Vec<&str> {
        self.template.of_type(kind).map(|(id, _)| id).collect()
    }

    fn one(&self, kind: &str, id: &str) -> &Value {
        self.template.of_type(kind).find(|(other, _)| *other == id).unwrap_or_else(|| panic!("there is no {kind} {id}")).1
    }

    /// The value that `!If` leaves, None for none.
    fn decided<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        match value {
            Value::Tagged(tagged) if tagged.tag == "If" => {
                let holds = self.conditions.contains(&tagged.value[0].as_str().unwrap());
                self.decided(&tagged.value[if holds { 1 } else { 2 }])
            }
            Value::Tagged(tagged) if tagged.tag == "Ref" && tagged.value == "AWS::NoValue" => None,
            value => Some(value),
        }
    }
}

/// A value that may be a list or stand for a list of one.
fn each(value: &Value) -> &[Value] {
    value.as_sequence().map_or(std::slice::from_ref(value), Vec::as_slice)
}

/// What a reference refers to. Anything that this does not know is no resource that a role may name.
fn name(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Tagged(tagged) => {
            let TaggedValue { tag, value } = &**tagged;
            let text = value.as_str().unwrap();
            match text.strip_prefix("${") {
                None if *tag == "Ref" || *tag == "GetAtt" => text.to_owned(),
                Some(rest) if *tag == "Sub" => rest.replacen('}', "", 1),
                _ => panic!("{tagged:?} names no resource"),
            }
        }
        other => panic!("{other:?} names no resource"),
    }
}
