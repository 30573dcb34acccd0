//! The template resolved under a set of conditions: each function's permissions and variables, and each route's
//! authorization.

use std::collections::{BTreeMap, BTreeSet};

use template::{TEMPLATE, Template};
use yaml_serde::{Value, value::TaggedValue};

/// An action, and the resource as the template names it: `CustomersTable.Arn`, `CustomersTable.Arn/index/…`,
/// `WebhookSecret` or `*`.
pub(crate) type Permission = (String, String);

/// The template with `conditions` true and all other conditions false.
pub(crate) struct Deployed {
    template: Template,
    conditions: &'static [&'static str],
}

impl Deployed {
    pub(crate) fn with_conditions(conditions: &'static [&'static str]) -> Self {
        Self { template: Template::read(TEMPLATE).unwrap(), conditions }
    }

    /// The permissions of the role of a function, given by its logical id.
    pub(crate) fn permissions(&self, function: &str) -> BTreeSet<Permission> {
        let function = self.resource("AWS::Serverless::Function", function);
        assert!(function.get("Policies").is_none(), "SAM ignores Policies if there is a Role");
        let role = reference(&function["Role"]);
        let role = self.resource("AWS::IAM::Role", role.strip_suffix(".Arn").unwrap());
        let keys: Vec<_> = role.as_mapping().unwrap().keys().filter_map(Value::as_str).collect();
        assert_eq!(
            keys,
            ["PermissionsBoundary", "AssumeRolePolicyDocument", "Policies"],
            "the role must not have managed policies"
        );
        let trust = &role["AssumeRolePolicyDocument"]["Statement"];
        assert_eq!(trust.as_sequence().unwrap().len(), 1);
        assert_eq!(trust[0]["Principal"]["Service"], "lambda.amazonaws.com");
        let policies = role["Policies"].as_sequence().unwrap();
        let statements = policies.iter().flat_map(|policy| policy["PolicyDocument"]["Statement"].as_sequence().unwrap());
        let mut permissions = BTreeSet::new();
        for statement in statements.filter_map(|statement| self.resolve(statement)) {
            let keys: Vec<_> = statement.as_mapping().unwrap().keys().filter_map(Value::as_str).collect();
            assert_eq!(keys, ["Sid", "Effect", "Action", "Resource"]);
            assert_eq!(statement["Effect"], "Allow");
            for action in as_list(&statement["Action"]) {
                for resource in as_list(&statement["Resource"]) {
                    let permission = (action.as_str().unwrap().to_owned(), reference(resource));
                    assert!(permissions.insert(permission.clone()), "{permission:?} is allowed twice");
                }
            }
        }
        permissions
    }

    /// The value of an environment variable of a function.
    pub(crate) fn variable(&self, function: &str, variable: &str) -> String {
        let function = self.resource("AWS::Serverless::Function", function);
        reference(self.resolve(&function["Environment"]["Variables"][variable]).unwrap())
    }

    /// The routes by key, each with its authorization type, its JWT scope, and its function.
    pub(crate) fn routes(&self) -> BTreeMap<String, (String, Option<String>, String)> {
        let routes = self.template.of_type("AWS::ApiGatewayV2::Route").map(|(_, route)| {
            let property = |name: &str| route.get(name).and_then(|value| self.resolve(value));
            let kind = reference(property("AuthorizationType").unwrap());
            assert_eq!(property("AuthorizerId").map(reference), (kind == "JWT").then(|| "JwtAuthorizer".to_owned()));
            let scope = property("AuthorizationScopes").map(|scopes| reference(&scopes[0]));
            let target = reference(&route["Target"]);
            let integration = self.resource("AWS::ApiGatewayV2::Integration", target.strip_prefix("integrations/").unwrap());
            (reference(&route["RouteKey"]), (kind, scope, reference(&integration["IntegrationUri"])))
        });
        routes.collect()
    }

    /// The logical ids of all resources of a type.
    pub(crate) fn ids(&self, kind: &str) -> Vec<&str> {
        self.template.of_type(kind).map(|(id, _)| id).collect()
    }

    fn resource(&self, kind: &str, id: &str) -> &Value {
        self.template.of_type(kind).find(|(other, _)| *other == id).unwrap_or_else(|| panic!("there is no {kind} {id}")).1
    }

    /// Resolves `!If`. None for `AWS::NoValue`.
    fn resolve<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        match value {
            Value::Tagged(tagged) if tagged.tag == "If" => {
                let holds = self.conditions.contains(&tagged.value[0].as_str().unwrap());
                self.resolve(&tagged.value[if holds { 1 } else { 2 }])
            }
            Value::Tagged(tagged) if tagged.tag == "Ref" && tagged.value == "AWS::NoValue" => None,
            value => Some(value),
        }
    }
}

/// The elements of a list, or the value itself as the only element.
fn as_list(value: &Value) -> &[Value] {
    value.as_sequence().map_or(std::slice::from_ref(value), Vec::as_slice)
}

/// A string, or the text of a `!Ref`, `!GetAtt` or `!Sub` with at most one reference. Panics for anything else.
fn reference(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Tagged(tagged) => {
            let TaggedValue { tag, value } = &**tagged;
            let text = value.as_str().unwrap();
            match text.matches("${").count() {
                0 if *tag == "Ref" || *tag == "GetAtt" => text.to_owned(),
                1 if *tag == "Sub" => text.replacen("${", "", 1).replacen('}', "", 1),
                _ => panic!("{tagged:?} is not supported"),
            }
        }
        other => panic!("{other:?} is not supported"),
    }
}
