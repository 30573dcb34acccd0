//! Validation, section 5 of the GraphQL specification. `audit/reference.mjs` compares random queries with graphql-js.

use serde_json::{Value, json};

use crate::stack::Stack;

#[tokio::test]
async fn an_invalid_query_is_rejected_with_the_reason() {
    let stack = Stack::start().await;
    for (query, part) in [
        // Values
        (
            "{ customers(orderBy: \"NAME_ASC\") { totalCount } }",
            "Expected a value of type \"CustomersOrderBy!\", found \"NAME_ASC\"",
        ),
        ("{ customers(orderBy: [OTHER]) { totalCount } }", "found OTHER"),
        ("{ customers(first: 1.0) { totalCount } }", "\"Int\""),
        ("{ customers(first: 2147483648) { totalCount } }", "\"Int\""),
        ("{ customers(first: \"1\") { totalCount } }", "\"Int\""),
        ("{ customers(condition: {name: 5}) { totalCount } }", "\"String\""),
        ("{ customers(condition: {other: 5}) { totalCount } }", "\"other\" is not defined"),
        ("{ customers(condition: {name: \"a\", name: \"b\"}) { totalCount } }", "only one input field named \"name\""),
        ("{ customers(condition: [{name: \"a\"}]) { totalCount } }", "\"CustomerCondition\""),
        ("{ customers(condition: 5) { totalCount } }", "\"CustomerCondition\""),
        ("{ customer(customerId: null) { name } }", "\"String!\""),
        ("{ checkAccess(customerId: \"c\", featureId: \"f\", requestedValues: [null]) { hasAccess } }", "\"String!\""),
        ("query($n: Int = \"x\") { customers(first: $n) { totalCount } }", "\"Int\""),
        // Variables
        (
            "query($id: String) { customer(customerId: $id) { name } }",
            "\"$id\" of type \"String\" used in position expecting type \"String!\"",
        ),
        ("query($by: CustomersOrderBy!) { customers(orderBy: $by) { totalCount } }", "\"[CustomersOrderBy!]\""),
        ("query($by: [CustomersOrderBy]) { customers(orderBy: $by) { totalCount } }", "\"[CustomersOrderBy!]\""),
        ("query($by: CustomersOrderBy) { customers(orderBy: [$by]) { totalCount } }", "\"CustomersOrderBy!\""),
        ("query($n: String) { customers(condition: {createdAt: $n}) { totalCount } }", "\"Datetime\""),
        ("query($b: Boolean) { customers { totalCount @skip(if: $b) } }", "\"Boolean!\""),
        ("query($n: Int) { __typename }", "\"$n\" is never used"),
        ("{ customers(first: $n) { totalCount } }", "\"$n\" is not defined"),
        ("{ ...F } fragment F on Query { customers(first: $n) { totalCount } }", "\"$n\" is not defined"),
        ("query($n: Int, $n: Int) { customers(first: $n) { totalCount } }", "only one variable named \"$n\""),
        ("query($c: Customer) { customers(first: $c) { totalCount } }", "\"$c\" can't be of type \"Customer\""),
        // Fields that share a response key
        ("{ a: customers(first: 1) { totalCount } a: customers(first: 2) { totalCount } }", "\"a\" conflict"),
        ("{ customers { nodes { a: name } ...F } } fragment F on CustomersConnection { nodes { a: email } }", "\"a\" conflict"),
        (
            "{ customers { nodes { subscriptions(first: 1) { totalCount } } nodes { subscriptions { totalCount } } } }",
            "\"subscriptions\" conflict",
        ),
        ("{ customers { a: totalCount @skip(if: true) a: nodes { name } } }", "\"a\" conflict"),
        // Fields, arguments, fragments, directives
        ("{ nothing }", "\"nothing\" on type \"Query\""),
        ("{ customers }", "must have a selection"),
        ("{ customers { totalCount { a } } }", "must not have a selection"),
        ("{ customers(page: 1) { totalCount } }", "Unknown argument \"page\""),
        ("{ customers(first: 1, first: 2) { totalCount } }", "only one argument named \"first\""),
        ("{ customer { name } }", "\"customerId\" of type \"String!\" is required"),
        ("{ ...F }", "Unknown fragment \"F\""),
        ("{ ...F } fragment F on Customer { name }", "can never apply"),
        ("{ ...F } fragment F on Other { name }", "Unknown type \"Other\""),
        ("{ ...F } fragment F on String { name }", "cannot condition"),
        ("{ ... on Customer { name } }", "can never apply"),
        ("{ __typename } fragment F on Query { __typename }", "\"F\" is never used"),
        ("{ __typename @other }", "Unknown directive \"@other\""),
        ("{ __typename @deprecated }", "may not be used here"),
        ("query @skip(if: true) { __typename }", "may not be used here"),
        ("{ __typename @skip }", "\"if\" of type \"Boolean!\" is required"),
        ("{ __typename @skip(if: true) @skip(if: false) }", "only be used once"),
        ("{ __type { name } }", "\"name\" of type \"String!\" is required"),
        ("mutation { deleteCustomer { id } }", "no mutation"),
        ("{ __typename } query b { other }", ""),
        ("query a { __typename } query b { other }", "\"other\""),
    ] {
        let (code, message) = stack.error(query).await;
        assert!(message.contains(part), "{query}: {message}");
        assert!(["GRAPHQL_VALIDATION_FAILED", "GRAPHQL_PARSE_FAILED"].contains(&code.as_str()), "{query}: {code}");
    }
}

#[tokio::test]
async fn a_valid_query_is_executed() {
    let stack = Stack::start().await;
    for (query, variables) in [
        // A variable that only a directive at __typename uses
        ("query($b: Boolean!) { __typename @include(if: $b) }", json!({"b": true})),
        ("query($b: Boolean! = true) { ...F } fragment F on Query { ... @skip(if: $b) { __typename } }", json!({})),
        ("query($b: Boolean = true) { __typename @skip(if: $b) }", json!({})),
        ("query($by: [CustomersOrderBy!]) { customers(orderBy: $by) { totalCount } }", json!({"by": "NAME_ASC"})),
        ("query($by: CustomersOrderBy!) { customers(orderBy: [$by]) { totalCount } }", json!({"by": "NAME_ASC"})),
        ("query($n: Float) { checkAccess(customerId: \"c\", featureId: \"f\", requestedUsage: $n) { hasAccess } }", json!({})),
        (
            "query($v: [String!]! = \"v\") { checkAccess(customerId: \"c\", featureId: \"f\", requestedValues: $v) { hasAccess } }",
            json!({}),
        ),
        ("query($id: String = \"c\") { customer(customerId: $id) { name } }", json!({})),
        (
            "{ a: customers(first: 1, orderBy: NAME_ASC) { totalCount } a: customers(orderBy: NAME_ASC, first: 1) { totalCount } }",
            json!({}),
        ),
        (
            "query a($n: Int) { ...F } query b($n: Int!) { ...F } fragment F on Query { customers(first: $n) { totalCount } }",
            json!({"n": 1}),
        ),
    ] {
        let body = json!({"query": query, "variables": variables, "operationName": query.starts_with("query a").then_some("a")});
        let response = stack.graphql.handle(crate::stack::post(&body.to_string())).await;
        let answer = crate::stack::body_of(&response);
        assert_eq!(answer.get("errors"), None, "{query}: {answer}");
        assert_ne!(answer["data"], Value::Null, "{query}");
    }
}

#[tokio::test]
async fn a_variable_of_the_wrong_type_is_rejected() {
    let stack = Stack::start().await;
    let query = "query($n: Int, $s: String, $b: Boolean = true, $by: [CustomersOrderBy!], $if: CustomerCondition, $f: Float) { \
                 customers(first: $n, orderBy: $by, condition: $if) { totalCount @skip(if: $b) } \
                 customer(customerId: \"c\") { entitlementList(resourceId: $s) { usageLimit } } \
                 checkAccess(customerId: \"c\", featureId: \"f\", requestedUsage: $f) { hasAccess } }";
    assert_eq!(
        stack.ask(query, json!({"n": 1, "s": "s", "by": ["NAME_ASC"], "if": {"name": null}, "f": 1})).await.get("errors"),
        None
    );
    for variables in [
        json!({"n": 1.5}),
        json!({"n": 2_147_483_648_i64}),
        json!({"n": "1"}),
        json!({"n": true}),
        json!({"s": 1}),
        json!({"b": "true"}),
        json!({"b": null}),
        json!({"by": ["OTHER"]}),
        json!({"by": [null]}),
        json!({"by": {}}),
        json!({"if": {"other": 1}}),
        json!({"if": {"name": 1}}),
        json!({"if": []}),
        json!({"f": "1"}),
    ] {
        let answer = stack.ask(query, variables.clone()).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_USER_INPUT", "{variables}: {answer}");
        assert_eq!(answer.get("data"), None, "{variables}: {answer}");
    }
}
