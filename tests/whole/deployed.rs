//! What is deployed where some of the template's conditions hold: what each function may do, and what
//! each route asks for.

use std::collections::{BTreeMap, BTreeSet};

use template::{TEMPLATE, Template};
use yaml_serde::{Value, value::TaggedValue};

/// An action, and the resource it is allowed on as the template names it: `CustomersTable.Arn`, with
/// `/index/…` behind it, `WebhookSecret`, or `*`.
pub(crate) type Permission = (String, String);

/// The template where these conditions hold, and no other.
pub(crate) struct Deployed {
    template: Template,
    conditions: &'static [&'static str],
}

impl Deployed {
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

    /// The routes: what each is authorized by, the scope that it asks for, and the function behind it.
    pub(crate) fn routes(&self) -> BTreeMap<String, (String, Option<String>, String)> {
        let routes = self.template.of_type("AWS::ApiGatewayV2::Route").map(|(_, route)| {
            let one = |name: &str| route.get(name).and_then(|value| self.decided(value));
            let kind = name(one("AuthorizationType").unwrap());
            assert_eq!(one("AuthorizerId").map(name), (kind == "JWT").then(|| "JwtAuthorizer".to_owned()));
            let scopes = one("AuthorizationScopes").map(|scopes| name(&scopes[0]));
            let integration = name(&route["Target"]);
            let integration = self.one("AWS::ApiGatewayV2::Integration", integration.strip_prefix("integrations/").unwrap());
            (name(&route["RouteKey"]), (kind, scopes, name(&integration["IntegrationUri"])))
        });
        routes.collect()
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

/// A text, or what a reference refers to: a role or a route that is given in another way is not known.
fn name(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Tagged(tagged) => {
            let TaggedValue { tag, value } = &**tagged;
            let text = value.as_str().unwrap();
            match text.matches("${").count() {
                0 if *tag == "Ref" || *tag == "GetAtt" => text.to_owned(),
                1 if *tag == "Sub" => text.replacen("${", "", 1).replacen('}', "", 1),
                _ => panic!("{tagged:?} is not known here"),
            }
        }
        other => panic!("{other:?} is not known here"),
    }
}
