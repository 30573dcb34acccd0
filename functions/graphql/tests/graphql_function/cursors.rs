//! Cursors stay valid when rows change between pages.

use domain::customer::Profile;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::stack::Stack;

/// A write between two pages.
#[derive(Clone, Debug)]
enum Write {
    Create(u8),
    Rename(u8),
    Delete(u8),
}

fn write() -> impl Strategy<Value = Write> {
    (0_u8..40, 0..3).prop_map(|(customer, kind)| match kind {
        0 => Write::Create(customer),
        1 => Write::Rename(customer),
        _ => Write::Delete(customer),
    })
}

fn customer(n: u8) -> String {
    format!("c{n:02}")
}

async fn apply(stack: &Stack, write: &Write, at: i64) {
    match write {
        Write::Create(n) => stack.customer(&customer(*n), at).await,
        Write::Rename(n) => {
            let profile = Profile { name: Some(format!("renamed at {at}")), ..Profile::default() };
            stack.profile(&customer(*n), at, profile, false).await;
        }
        Write::Delete(n) => stack.delete(&customer(*n), at).await,
    }
}

/// All customers, with the columns of this order.
async fn all(stack: &Stack, order: &str) -> Vec<(String, Value)> {
    let name = if order.contains("NAME") { "name" } else { "" };
    let data = stack.data(&format!("{{ customers {{ nodes {{ customerId createdAt {name} }} }} }}"), Value::Null).await;
    let nodes = data["customers"]["nodes"].as_array().unwrap().clone();
    nodes.into_iter().map(|node| (node["customerId"].as_str().unwrap().to_owned(), node)).collect()
}

async fn page_through(order: &str, forward: bool, page: usize, before: &[u8], between: &[Vec<Write>]) {
    let stack = Stack::start().await;
    for (at, n) in before.iter().enumerate() {
        stack.customer(&customer(*n), 1 + at as i64).await;
    }
    let mut unchanged = all(&stack, order).await;
    let (size, from, end, more) = if forward {
        ("first", "after", "endCursor", "hasNextPage")
    } else {
        ("last", "before", "startCursor", "hasPreviousPage")
    };
    let query = format!(
        "query($cursor: Cursor) {{ customers(orderBy: {order}, {size}: {page}, {from}: $cursor) {{ nodes {{ customerId }} \
         pageInfo {{ {end} {more} }} }} }}"
    );
    let mut cursor = Value::Null;
    let mut returned: Vec<String> = Vec::new();
    let mut at = 1_000;
    for step in 0.. {
        let data = stack.data(&query, json!({"cursor": cursor})).await["customers"].clone();
        let nodes = data["nodes"].as_array().unwrap();
        let mut ids: Vec<String> = nodes.iter().map(|node| node["customerId"].as_str().unwrap().to_owned()).collect();
        if !forward {
            ids.reverse();
        }
        returned.extend(ids);
        if data["pageInfo"][more] == json!(false) {
            break;
        }
        assert_eq!(nodes.len(), page, "every page but the last is full");
        cursor = data["pageInfo"][end].clone();
        let writes = between.get(step).map(Vec::as_slice).unwrap_or_default();
        for write in writes {
            at += 1;
            apply(&stack, write, at).await;
        }
        if !writes.is_empty() {
            let now = all(&stack, order).await;
            unchanged.retain(|row| now.contains(row));
        }
    }
    for (customer, _) in &unchanged {
        let times = returned.iter().filter(|id| *id == customer).count();
        assert_eq!(times, 1, "{customer} did not change and was returned {times} times in {returned:?}");
    }
}

/// BYOS_HISTORIES, up to 200 (default 8).
fn cases() -> u32 {
    let histories = std::env::var("BYOS_HISTORIES").ok().and_then(|count| count.parse().ok());
    histories.map_or(8, |histories: u32| histories.min(200))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_that_do_not_change_are_returned_exactly_once(
        order in prop::sample::select(vec!["PRIMARY_KEY_ASC", "PRIMARY_KEY_DESC", "CREATED_AT_ASC", "CREATED_AT_DESC", "[CREATED_AT_ASC, NAME_ASC]"]),
        forward in any::<bool>(),
        page in 1_usize..6,
        before in prop::collection::vec(0_u8..40, 5..30),
        between in prop::collection::vec(prop::collection::vec(write(), 0..4), 0..10),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(page_through(order, forward, page, &before, &between));
    }
}
