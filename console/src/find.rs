//! The first page: customers in the order of their ids, and the search.
//!
//! A customer is found by its whole id, by its e-mail address or billing id (as Stigg wrote them, case included), and
//! by how its id begins: the index in primary-key order is sorted by id in each of its shards. Only live customers are
//! in the indexes. A deleted one is found by its whole id. Names have no index.

use std::collections::{BTreeMap, HashMap};

use axum::{
    extract::{Query, State, rejection::FormRejection, rejection::QueryRejection},
    http::StatusCode,
    response::{IntoResponse as _, Redirect, Response},
};
use domain::{customer::CustomerState, id::Id};
use futures_util::future::{try_join_all, try_join3};
use maud::{Markup, html};
use serde::Deserialize;
use store::{CustomerRow, Index, IndexEntry, Projection, SHARDS, SortKeyRange, Store, StoreError};

use crate::{
    Console,
    layout::{Tab, Tone, badge, empty, id, name},
    text::count,
    url::{self, link},
};

/// Rows of a page, and at most so many of each kind of match.
const ROWS: usize = 25;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct From {
    /// The id that the page begins behind.
    after: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Search {
    #[serde(default)]
    q: String,
}

/// A row of a list of customers.
struct Row {
    id: Id,
    name: Option<String>,
    standing: CustomerState,
    /// By what it was found.
    by: &'static str,
}

/// All customers, a page at a time.
pub(crate) async fn page(State(console): State<Console>, from: Result<Query<From>, QueryRejection>) -> Response {
    let after = match from {
        Ok(Query(from)) => from.after,
        Err(_) => return console.bad_request(Tab::Find, "`after` is a customer's id."),
    };
    let above = Some(after.clone()).filter(|after| !after.is_empty());
    match list(&console.0.store, &SortKeyRange { above, below: None }).await {
        Ok((rows, has_more)) => console.ok(Tab::Find, "Customers", &customers(&rows, has_more, &after)),
        Err(error) => console.store_failed(Tab::Find, &error),
    }
}

/// Looks for customers. One that is found by something that is its own alone is shown at once.
pub(crate) async fn search(State(console): State<Console>, form: Result<axum::Form<Search>, FormRejection>) -> Response {
    let term = match form {
        Ok(axum::Form(Search { q })) => q.trim().to_owned(),
        Err(_) => return console.bad_request(Tab::Find, "A search is a form with the field `q`, at most 16 KB long."),
    };
    if term.is_empty() {
        return Redirect::to(&link("", &[])).into_response();
    }
    let (rows, has_more) = match find(&console.0.store, &term).await {
        Ok(found) => found,
        Err(error) => return console.store_failed(Tab::Find, &error),
    };
    match rows.as_slice() {
        [Row { id, by: "id" | "e-mail address" | "billing id", .. }] => Redirect::to(&url::customer(id)).into_response(),
        _ => console.respond(StatusCode::OK, Some(Tab::Find), "Search", &found(&term, &rows, has_more)),
    }
}

/// The customers that match a term, the closest matches first, and whether there are more.
async fn find(store: &Store, term: &str) -> Result<(Vec<Row>, bool), StoreError> {
    let by_id = async {
        let Ok(id) = Id::try_from(term) else { return Ok((Vec::new(), (Vec::new(), false))) };
        // Anything that is stored of it, so that one that was deleted is found too.
        let own = store.stored_customer(&id).await?.map(|_| id);
        let range = SortKeyRange { above: Some(term.to_owned()), below: Some(format!("{term}\u{10ffff}")) };
        let begins = entries(store, &range).await?;
        Ok::<_, StoreError>((own.into_iter().collect::<Vec<_>>(), begins))
    };
    let ((own, (begins, has_more)), by_email, by_billing_id) =
        try_join3(by_id, store.customers_by_email(term, ROWS), store.customers_by_billing_id(term, ROWS)).await?;
    let mut by: BTreeMap<Id, &'static str> = BTreeMap::new();
    let mut order = Vec::new();
    for (ids, what) in [(own, "id"), (by_email, "e-mail address"), (by_billing_id, "billing id"), (begins, "start of the id")] {
        for id in ids {
            if !by.contains_key(&id) {
                by.insert(id.clone(), what);
                order.push(id);
            }
        }
    }
    let rows = rows(store, order, |id| by.get(id).copied().unwrap_or_default()).await?;
    Ok((rows, has_more))
}

/// The first live customers in a range of ids, and whether there are more.
async fn list(store: &Store, range: &SortKeyRange) -> Result<(Vec<Row>, bool), StoreError> {
    let (ids, has_more) = entries(store, range).await?;
    let mut rows = rows(store, ids, |_| "").await?;
    // The table may be newer than the index.
    rows.retain(|row| row.standing == CustomerState::Live);
    Ok((rows, has_more))
}

/// The first ids of the index in a range, merged from its shards.
async fn entries(store: &Store, range: &SortKeyRange) -> Result<(Vec<Id>, bool), StoreError> {
    let shards = (0..SHARDS).map(|shard| store.query_index(Index::Customers, shard, range, false, ROWS));
    let pages = try_join_all(shards).await?;
    let mut has_more = pages.iter().any(|page| page.has_more);
    let mut entries: Vec<IndexEntry> = pages.into_iter().flat_map(|page| page.entries).collect();
    entries.sort();
    has_more |= entries.len() > ROWS;
    entries.truncate(ROWS);
    Ok((entries.into_iter().map(|entry| entry.id).collect(), has_more))
}

/// The rows of these customers, in this order.
async fn rows(store: &Store, ids: Vec<Id>, by: impl Fn(&Id) -> &'static str) -> Result<Vec<Row>, StoreError> {
    let found = store.customers(&ids, Projection::Profiles).await?;
    let mut found: HashMap<Id, CustomerRow> = found.into_iter().map(|row| (row.customer_id.clone(), row)).collect();
    let row = |id: Id| {
        let registers = found.remove(&id).map(|row| row.registers).unwrap_or_default();
        let name = registers.visible().and_then(|customer| customer.profile.name);
        Row { name, standing: registers.state(), by: by(&id), id }
    };
    Ok(ids.into_iter().map(row).collect())
}

fn search_form(term: &str) -> Markup {
    html! {
        form.search method="post" action=(link("", &[])) role="search" {
            label for="q" { "Find a customer" }
            div.field {
                input #q name="q" type="search" value=(term) autocomplete="off" spellcheck="false" autofocus
                    aria-describedby="q-hint" placeholder="customer-alder";
                button { "Find" }
            }
            p.hint #q-hint { "Its id or how the id begins, its e-mail address, or its billing id. Names can't be searched." }
        }
    }
}

fn customers(rows: &[Row], has_more: bool, after: &str) -> Markup {
    html! {
        h1.hidden { "Customers" }
        (search_form(""))
        section aria-labelledby="all" {
            h2 #all { "Customers by id" }
            @if rows.is_empty() && after.is_empty() {
                (empty("No customer yet. Stigg's first customer.created or subscription.created event brings one."))
            } @else if rows.is_empty() {
                (empty("There are no more customers."))
            } @else {
                (table("Live customers in the order of their ids", rows, false))
            }
            @if has_more || !after.is_empty() {
                nav.pages aria-label="Pages of customers" {
                    p { "Live customers, " (ROWS) " a page" }
                    ul {
                        @if !after.is_empty() { li { a href=(link("", &[])) { "First page" } } }
                        @if let (true, Some(last)) = (has_more, rows.last()) {
                            li { a rel="next" href=(link("", &[("after", last.id.as_str())])) { "Next" } }
                        }
                    }
                }
            }
        }
    }
}

fn found(term: &str, rows: &[Row], has_more: bool) -> Markup {
    html! {
        h1.hidden { "Search" }
        (search_form(term))
        section aria-labelledby="found" {
            h2 #found { @if rows.is_empty() { "No customer found" } @else { (count(rows.len(), "customer")) " found" } }
            @if rows.is_empty() {
                div.empty {
                    p { "Nothing has this id, e-mail address or billing id, and no live customer's id begins so." }
                    p { "Upper and lower case count. A deleted customer is found by its whole id, for 30 days." }
                }
            } @else {
                (table("Customers that match", rows, true))
                @if has_more { p.hint { "More customers' ids begin so. Type more of the id to see them." } }
            }
        }
    }
}

fn table(caption: &str, rows: &[Row], with_by: bool) -> Markup {
    html! {
        div.scroll tabindex="0" role="group" aria-label=(caption) {
            table {
                caption.hidden { (caption) }
                thead { tr {
                    th scope="col" { "Customer" }
                    th scope="col" { "Id" }
                    th scope="col" { "Standing" }
                    @if with_by { th scope="col" { "Found by" } }
                } }
                tbody {
                    @for row in rows {
                        tr {
                            th scope="row" { a href=(url::customer(&row.id)) {
                                @match &row.name { Some(text) => (name(text)), None => span.far { "no name" } }
                            } }
                            td { (id(row.id.as_str())) }
                            td { (standing(row.standing)) }
                            @if with_by { td { (row.by) } }
                        }
                    }
                }
            }
        }
    }
}

pub(crate) fn standing(standing: CustomerState) -> Markup {
    match standing {
        CustomerState::Live => badge(Tone::Good, "Live"),
        CustomerState::Archived => badge(Tone::Bad, "Deleted"),
        CustomerState::Unknown => badge(Tone::Warn, "Not known"),
    }
}
