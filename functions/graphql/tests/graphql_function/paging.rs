//! Pages: rows, order, conditions and pageInfo.

use std::collections::HashMap;

use domain::customer::Profile;
use graphql::{Limits, Options};
use serde_json::{Value, json};

use crate::stack::{Stack, ask};

/// 24 customers whose creation order differs from their id order. Two each have the same time, every sixth has no creation
/// event, names repeat, and every fifth is null.
async fn filled() -> Stack {
    let stack = Stack::start().await;
    for n in 0..24_i64 {
        let customer = format!("c{n:02}");
        let name = (n % 5 != 0).then(|| format!("name {}", n % 3));
        let email = Some(format!("{}@example.com", n % 4));
        let profile = Profile { name, email, billing_id: Some(format!("b{}", n % 2)), ..Profile::default() };
        let (created_at, is_seen_created) = ((100 - n) / 2, n % 6 != 0);
        stack.profile(&customer, created_at, profile, is_seen_created).await;
        stack.subscription(&format!("s{:02}", 50 - n), &customer, n / 2, ["ACTIVE", "EXPIRED"][n as usize % 2]).await;
    }
    stack
}

const QUERY: &str = "query($first: Int, $last: Int, $offset: Int, $before: Cursor, $after: Cursor, $by: [CustomersOrderBy!], \
                     $if: CustomerCondition) { customers(first: $first, last: $last, offset: $offset, before: $before, after: $after, \
                     orderBy: $by, condition: $if) { edges { cursor node { customerId } } \
                     pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }";

fn ids(connection: &Value) -> Vec<String> {
    let edges = connection["edges"].as_array().unwrap();
    edges.iter().map(|edge| edge["node"]["customerId"].as_str().unwrap().to_owned()).collect()
}

/// PostGraphile's page, hasNextPage and hasPreviousPage. `after` and `before` are indexes into `all`.
fn expected(all: &[String], window: &HashMap<&str, usize>) -> (Vec<String>, bool, bool) {
    let get = |name: &str| window.get(name).copied();
    let lower = get("after").map_or(0, |at| at + 1);
    let upper = get("before").unwrap_or(all.len()).max(lower);
    let between = &all[lower..upper];
    let offset = get("offset").unwrap_or(0);
    if let Some(last) = get("last") {
        let page = &between[between.len().saturating_sub(last)..];
        let has_next = last > 0 && get("before").is_some();
        let has_previous = last > 0 && get("before").unwrap_or(all.len()) > page.len();
        (page.to_vec(), has_next, has_previous)
    } else {
        let first = get("first").unwrap_or(100);
        let page: Vec<String> = between.iter().skip(offset).take(first).cloned().collect();
        let has_next = match get("first") {
            Some(first) => first > 0 && all.len() - lower - page.len() > offset,
            None => get("before").is_some(),
        };
        let has_previous = first > 0 && (offset > 0 || get("after").is_some());
        (page, has_next, has_previous)
    }
}

#[tokio::test]
async fn pages_equal_those_of_postgraphile_for_all_orders_and_arguments() {
    let stack = filled().await;
    let mut compared = 0;
    for (by, condition) in [
        (json!("PRIMARY_KEY_ASC"), Value::Null),
        (json!("PRIMARY_KEY_DESC"), Value::Null),
        (json!("CREATED_AT_ASC"), Value::Null),
        (json!("CREATED_AT_DESC"), Value::Null),
        (json!(["NAME_DESC", "CREATED_AT_ASC"]), Value::Null),
        (json!("NATURAL"), json!({"email": "1@example.com"})),
        (json!("PRIMARY_KEY_ASC"), json!({"name": "name 1"})),
        (json!("CREATED_AT_DESC"), json!({"billingId": "b1"})),
    ] {
        let list = stack.data(QUERY, json!({"by": by, "if": condition})).await["customers"].clone();
        let all = ids(&list);
        let cursor = |at: usize| list["edges"][at]["cursor"].clone();
        let middle = all.len() / 2;
        for window in [
            vec![],
            vec![("first", 0)],
            vec![("first", 3)],
            vec![("first", 100)],
            vec![("last", 0)],
            vec![("last", 3)],
            vec![("last", 100)],
            vec![("first", 2), ("offset", 1)],
            vec![("first", 2), ("offset", 50)],
            vec![("offset", 2)],
            vec![("first", 2), ("after", 0)],
            vec![("first", 2), ("after", middle)],
            vec![("first", 2), ("after", middle), ("offset", 1)],
            vec![("after", all.len() - 1)],
            vec![("before", middle)],
            vec![("before", 0)],
            vec![("last", 2), ("before", middle)],
            vec![("last", 2), ("before", 1)],
            vec![("last", 2), ("after", middle)],
            vec![("last", 2), ("after", 0), ("before", middle)],
            vec![("first", 2), ("after", 0), ("before", middle)],
            vec![("first", 9), ("after", 0), ("before", 2)],
            vec![("after", all.len() - 1), ("before", 1)],
            vec![("offset", 3), ("before", 2)],
            vec![("offset", all.len()), ("after", 0), ("before", 2)],
            vec![("first", 2), ("after", middle), ("before", 1)],
            vec![("first", 2), ("after", all.len() - 2), ("before", 1), ("offset", 1)],
            vec![("last", 2), ("after", middle), ("before", 1)],
            vec![("last", 2), ("after", middle), ("before", 0)],
            vec![("last", 2), ("after", middle), ("before", middle)],
            vec![("first", 2), ("offset", 3), ("before", 2)],
            vec![("first", 2), ("offset", all.len() - 1), ("before", 2)],
            vec![("first", 2), ("offset", all.len()), ("before", 2)],
            vec![("first", 2), ("offset", all.len()), ("before", 0)],
            vec![("first", 2), ("offset", all.len() - 2), ("after", 0), ("before", 2)],
            vec![("first", 2), ("offset", all.len() - 1), ("after", 0), ("before", 2)],
        ] {
            let window: HashMap<&str, usize> = window.into_iter().collect();
            let mut variables = json!({"by": by, "if": condition});
            for (name, value) in &window {
                variables[name] = if matches!(*name, "after" | "before") { cursor(*value) } else { json!(value) };
            }
            let page = stack.data(QUERY, variables).await["customers"].clone();
            let (rows, has_next, has_previous) = expected(&all, &window);
            let info = &page["pageInfo"];
            let context = format!("{by} {condition} {window:?}");
            assert_eq!(ids(&page), rows, "{context}");
            assert_eq!(info["hasNextPage"], has_next, "{context}: next");
            assert_eq!(info["hasPreviousPage"], has_previous, "{context}: previous");
            let ends = (info["startCursor"].clone(), info["endCursor"].clone());
            let edges = page["edges"].as_array().unwrap();
            let cursor_of = |edge: Option<&Value>| edge.map_or(Value::Null, |edge| edge["cursor"].clone());
            assert_eq!(ends, (cursor_of(edges.first()), cursor_of(edges.last())), "{context}");
            compared += 1;
        }
    }
    assert_eq!(compared, 8 * 36);
}

#[tokio::test]
async fn rows_are_ordered_as_in_postgresql() {
    let stack = filled().await;
    let order = async |by: Value| ids(&stack.data(QUERY, json!({"by": by})).await["customers"]);
    let created = order(json!("CREATED_AT_ASC")).await;
    // Higher ids were created earlier. Rows without createdAt come last.
    assert_eq!(created[..4], ["c23", "c21", "c22", "c19"]);
    assert_eq!(created[20..], ["c00", "c06", "c12", "c18"]);
    let backwards: Vec<String> = order(json!("CREATED_AT_DESC")).await.into_iter().rev().collect();
    assert_eq!(backwards, created);
    let named = order(json!("NAME_ASC")).await;
    assert_eq!(named[..3], ["c03", "c06", "c09"]);
    assert_eq!(named[19..], ["c00", "c05", "c10", "c15", "c20"]);
    let both = order(json!(["NAME_DESC", "CUSTOMER_ID_ASC"])).await;
    assert_eq!(both[..6], ["c00", "c05", "c10", "c15", "c20", "c02"]);
    // Ties are broken ascending where rows are sorted in memory.
    assert_eq!(order(json!("NAME_DESC")).await, both);
    let by_email = json!({"by": "CREATED_AT_DESC", "if": {"email": "1@example.com"}});
    let by_email = ids(&stack.data(QUERY, by_email).await["customers"]);
    assert_eq!(by_email, ["c01", "c05", "c09", "c13", "c17", "c21"]);
    assert_eq!(order(json!(null)).await, order(json!("PRIMARY_KEY_ASC")).await);
}

#[tokio::test]
async fn subscriptions_are_sorted_by_customer_by_creation_and_in_any_order_for_one_customer() {
    let stack = filled().await;
    for n in 0..5 {
        stack.subscription(&format!("t{n}"), "c03", 10 - n, ["ACTIVE", "EXPIRED"][n as usize % 2]).await;
    }
    let list = async |arguments: &str| {
        let query = format!("{{ subscriptions({arguments}) {{ totalCount nodes {{ subscriptionId }} }} }}");
        let connection = stack.data(&query, Value::Null).await["subscriptions"].clone();
        let nodes = connection["nodes"].as_array().unwrap();
        let ids: Vec<String> = nodes.iter().map(|node| node["subscriptionId"].as_str().unwrap().to_owned()).collect();
        (ids, connection["totalCount"].as_u64().unwrap())
    };
    assert_eq!(
        list("first: 5, offset: 2, orderBy: CUSTOMER_ID_ASC").await,
        (["s48", "s47", "t0", "t1", "t2"].map(str::to_owned).to_vec(), 29)
    );
    assert_eq!(list("first: 2, orderBy: [CREATED_AT_ASC]").await.0, ["s49", "s50"]);
    let mine = "condition: {customerId: \"c03\"}";
    assert_eq!(
        list(&format!("{mine}, orderBy: [STATUS_DESC, SUBSCRIPTION_ID_ASC]")).await.0,
        ["s47", "t1", "t3", "t0", "t2", "t4"]
    );
    assert_eq!(list(&format!("{mine}, orderBy: CREATED_AT_DESC, first: 2")).await, (vec!["t0".to_owned(), "t1".to_owned()], 6));
    assert_eq!(list("condition: {customerId: \"c03\", status: \"ACTIVE\"}").await.1, 3);
    assert_eq!(list("condition: {subscriptionId: \"t1\"}").await, (vec!["t1".to_owned()], 1));
    assert_eq!(list("condition: {subscriptionId: \"t1\", customerId: \"c04\"}").await, (vec![], 0));
    assert_eq!(list("condition: {status: \"EXPIRED\"}, first: 1").await, (vec!["s27".to_owned()], 14));
    let query = "{ customer(customerId: \"c03\") { subscriptions(last: 2, orderBy: STATUS_ASC, condition: {endDate: null}) { totalCount \
                 nodes { subscriptionId status customerId customer { name } } pageInfo { hasPreviousPage } } } }";
    let nested = &stack.data(query, Value::Null).await["customer"]["subscriptions"];
    assert_eq!(nested["totalCount"], 6);
    assert_eq!(
        nested["nodes"][1],
        json!({"subscriptionId": "t3", "status": "EXPIRED", "customerId": "c03", "customer": {"name": "name 0"}})
    );
    assert_eq!(nested["pageInfo"]["hasPreviousPage"], true);
}

#[tokio::test]
async fn conditions_compare_columns_and_null_matches_null() {
    let stack = filled().await;
    let count = async |condition: &str| {
        let query = format!("{{ customers(condition: {condition}) {{ totalCount nodes {{ customerId }} }} }}");
        let connection = stack.data(&query, Value::Null).await["customers"].clone();
        let count = connection["totalCount"].as_u64().unwrap();
        assert_eq!(connection["nodes"].as_array().unwrap().len() as u64, count, "{condition}");
        count
    };
    for (condition, expected) in [
        ("{}", 24),
        ("{customerId: \"c07\"}", 1),
        ("{customerId: \"\"}", 0),
        ("{customerId: null}", 0),
        ("{email: \"1@example.com\"}", 6),
        ("{email: \"\"}", 0),
        ("{email: \"1@example.com\", billingId: \"b1\"}", 6),
        ("{email: \"1@example.com\", billingId: \"b0\"}", 0),
        ("{billingId: \"b1\", name: \"name 1\"}", 4),
        ("{name: null}", 5),
        ("{createdAt: null}", 4),
        ("{createdAt: \"2026-01-01T00:00:00.040+00:00\"}", 2),
        ("{updatedAt: \"2026-01-01T01:00:00.040+01:00\", createdAt: \"2026-01-01T00:00:00.040\"}", 2),
    ] {
        assert_eq!(count(condition).await, expected, "{condition}");
    }
}

#[tokio::test]
async fn deleted_rows_are_replaced_by_later_ones() {
    let stack = filled().await;
    // Deleted rows whose index entries still exist.
    let client = stack.store().client();
    for customer in ["c02", "c04", "c05", "c23"] {
        let request = client
            .update_item()
            .table_name(&stack.store().tables().customers)
            .key("customerId", aws_sdk_dynamodb::types::AttributeValue::S(customer.to_owned()))
            .key("item", aws_sdk_dynamodb::types::AttributeValue::S("PROFILE".to_owned()))
            .update_expression("SET tombstone = :version")
            .expression_attribute_values(
                ":version",
                aws_sdk_dynamodb::types::AttributeValue::S("2027-01-01T00:00:00.000Z|m".to_owned()),
            );
        request.send().await.unwrap();
    }
    let page = stack.data(QUERY, json!({"first": 4})).await["customers"].clone();
    assert_eq!(ids(&page), ["c00", "c01", "c03", "c06"]);
    assert_eq!(page["pageInfo"]["hasNextPage"], true);
    let page = stack.data(QUERY, json!({"first": 2, "after": page["pageInfo"]["startCursor"]})).await["customers"].clone();
    assert_eq!(ids(&page), ["c01", "c03"]);
    let last = stack.data(QUERY, json!({"last": 2})).await["customers"].clone();
    assert_eq!(ids(&last), ["c21", "c22"]);
    let before_the_last = stack.data(QUERY, json!({"first": 20, "offset": 18})).await["customers"].clone();
    assert_eq!(
        (ids(&before_the_last), &before_the_last["pageInfo"]["hasNextPage"]),
        (vec!["c21".to_owned(), "c22".to_owned()], &json!(false))
    );
    // Subscriptions of deleted customers are hidden too.
    let query =
        "{ subscriptions(orderBy: CUSTOMER_ID_ASC, first: 3) { nodes { customerId } } customer(customerId: \"c04\") { name } }";
    let data = stack.data(query, Value::Null).await;
    assert_eq!(data["subscriptions"]["nodes"][2]["customerId"], "c03");
    assert_eq!(data["customer"], Value::Null);
}

#[tokio::test]
async fn unsupported_arguments_are_errors_that_name_the_alternative() {
    let stack = filled().await;
    for (query, code, part) in [
        ("{ customers(first: -1) { totalCount } }", "BAD_USER_INPUT", "negative"),
        ("{ customers(offset: -1) { totalCount } }", "BAD_USER_INPUT", "negative"),
        ("{ customers(first: 1, last: 1) { totalCount } }", "BAD_USER_INPUT", "combined with first"),
        ("{ customers(last: 1, offset: 1) { totalCount } }", "BAD_USER_INPUT", "combined with last"),
        ("{ customers(after: \"x\") { totalCount } }", "INVALID_CURSOR", "after"),
        ("{ customers(offset: 10000) { nodes { name } } }", "TOO_MANY_ROWS", "after with a cursor"),
        (
            "{ checkAccess(customerId: \"c\", featureId: \"f\", requestedUsage: -1) { hasAccess } }",
            "BAD_USER_INPUT",
            "requestedUsage",
        ),
        ("{ checkAccess(customerId: \"\", featureId: \"f\") { hasAccess } }", "BAD_USER_INPUT", "customerId must not be empty"),
        ("{ customers(condition: {createdAt: \"soon\"}) { totalCount } }", "BAD_USER_INPUT", "date-time"),
    ] {
        let error = stack.error(query).await;
        assert_eq!(error.0, code, "{query}: {error:?}");
        assert!(error.1.contains(part), "{query}: {error:?}");
    }
    let cursor =
        stack.data(QUERY, json!({"first": 1, "by": "CREATED_AT_ASC"})).await["customers"]["pageInfo"]["endCursor"].clone();
    let answer = stack.ask(QUERY, json!({"after": cursor})).await;
    assert_eq!(answer["errors"][0]["extensions"]["code"], "INVALID_CURSOR");
    assert!(answer["errors"][0]["message"].as_str().unwrap().contains("another order"));
}

#[tokio::test]
async fn a_page_over_the_limit_is_an_error_unless_page_info_shows_it() {
    let stack = filled().await;
    let under = |limits: Limits| stack.with_options(Options { limits, ..Options::default() });
    let small = under(Limits { page: 20, ..Limits::default() });
    let condition = "condition: {billingId: \"b1\"}";
    for (arguments, fields, expected) in [
        // 24 customers and subscriptions, a page of at most 20
        ("", "nodes { customerId }", Err("PAGE_TOO_LARGE")),
        ("", "edges { cursor } pageInfo { hasPreviousPage endCursor }", Err("PAGE_TOO_LARGE")),
        ("", "nodes { customerId } pageInfo { hasNextPage }", Ok(20)),
        ("(orderBy: NAME_ASC)", "nodes { customerId }", Err("PAGE_TOO_LARGE")),
        ("(orderBy: NAME_ASC)", "nodes { customerId } pageInfo { hasNextPage }", Ok(20)),
        ("(first: 21)", "nodes { customerId }", Err("PAGE_TOO_LARGE")),
        ("(first: 2147483647)", "nodes { customerId } pageInfo { hasNextPage }", Ok(20)),
        ("(last: 21)", "nodes { customerId } pageInfo { hasNextPage }", Err("PAGE_TOO_LARGE")),
        ("(last: 21)", "nodes { customerId } pageInfo { hasPreviousPage }", Ok(20)),
        ("(last: 21, orderBy: NAME_ASC)", "nodes { customerId }", Err("PAGE_TOO_LARGE")),
        ("(first: 20)", "nodes { customerId }", Ok(20)),
        ("(offset: 4)", "nodes { customerId }", Ok(20)),
        ("(offset: 3)", "nodes { customerId }", Err("PAGE_TOO_LARGE")),
        (&format!("(first: 500, {condition})"), "nodes { customerId }", Ok(12)),
        ("(first: 1000)", "totalCount", Ok(0)),
        ("(last: 1000)", "totalCount", Ok(0)),
    ] {
        for list in ["customers", "subscriptions"] {
            if list == "subscriptions" && (arguments.contains("NAME") || arguments.contains("billingId")) {
                continue;
            }
            let query = format!("{{ {list}{arguments} {{ {fields} }} }}");
            let answer = ask(&small, &query, Value::Null).await;
            let actual = match answer["errors"][0]["extensions"]["code"].as_str() {
                Some(code) => Err(code),
                None => Ok(answer["data"][list]["nodes"].as_array().map_or(0, Vec::len)),
            };
            assert_eq!(actual, expected, "{query}: {answer}");
        }
    }
    let complete = stack.data("{ customers(first: 101) { nodes { customerId } } }", Value::Null).await;
    assert_eq!(complete["customers"]["nodes"].as_array().unwrap().len(), 24);

    // The limit of all lists together.
    let few = under(Limits { rows: 30, ..Limits::default() });
    let query = "{ customers(first: 20) { nodes { subscriptions { nodes { planId } } } } }";
    assert_eq!(ask(&few, query, Value::Null).await["errors"][0]["extensions"]["code"], "TOO_MANY_ROWS");
    assert_eq!(ask(&few, &query.replace("20", "15"), Value::Null).await.get("errors"), None);
}

#[tokio::test]
async fn a_long_list_is_served_from_its_indexes_only() {
    let stack = filled().await;
    let limits = Limits { candidates: 10, count: 20, ..Limits::default() };
    let small = stack.with_options(Options { limits, ..Options::default() });
    for (query, code) in [
        ("{ customers(first: 5) { nodes { customerId } pageInfo { hasNextPage } } }", None),
        ("{ customers(first: 5, orderBy: CREATED_AT_DESC) { nodes { customerId } } }", None),
        ("{ subscriptions(last: 5, orderBy: CUSTOMER_ID_DESC) { nodes { customerId } } }", None),
        ("{ customers(condition: {email: \"1@example.com\"}, orderBy: NAME_ASC) { totalCount nodes { customerId } } }", None),
        ("{ customer(customerId: \"c01\") { subscriptions(orderBy: STATUS_ASC) { totalCount } } }", None),
        ("{ customers(first: 5, orderBy: NAME_ASC) { nodes { customerId } } }", Some("TOO_MANY_ROWS")),
        ("{ customers(first: 5, offset: 6) { nodes { customerId } } }", Some("TOO_MANY_ROWS")),
        ("{ customers(condition: {name: \"none\"}) { nodes { customerId } } }", Some("TOO_MANY_ROWS")),
        ("{ customers(condition: {name: \"name 1\"}) { totalCount } }", Some("TOO_MANY_ROWS")),
        ("{ customers(condition: {billingId: \"b1\"}) { nodes { customerId } } }", Some("TOO_MANY_ROWS")),
        ("{ customers { totalCount } }", Some("TOO_MANY_TO_COUNT")),
        // The row is found before the limit is reached.
        ("{ customers(first: 1, condition: {name: \"name 1\"}) { nodes { customerId } } }", None),
    ] {
        let answer = ask(&small, query, Value::Null).await;
        let error = answer["errors"][0]["extensions"]["code"].as_str();
        assert_eq!(error, code, "{query}: {answer}");
    }
}
