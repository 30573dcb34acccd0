//! The page "Customers": live customers by id, and the search.
//!
//! The search finds a customer by its id, by a prefix of its id, and by its e-mail address or billing id (full and
//! case-sensitive). A prefix is a range in each shard of the index in primary-key order. The indexes contain only live
//! customers, so a deleted customer is found only by its full id. Names have no index.

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

/// Rows per page, and maximum number of matches of each kind.
const PAGE_ROWS: usize = 25;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ListParameters {
    /// The page starts after this id.
    after: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct SearchForm {
    #[serde(default)]
    q: String,
}

struct Row {
    id: Id,
    name: Option<String>,
    state: CustomerState,
    matched_by: &'static str,
}

/// A page of all live customers.
pub(crate) async fn page(State(console): State<Console>, parameters: Result<Query<ListParameters>, QueryRejection>) -> Response {
    let after = match parameters {
        Ok(Query(parameters)) => parameters.after,
        Err(_) => return console.bad_request(Tab::Customers, "`after` must be a customer's id."),
    };
    let above = Some(after.clone()).filter(|after| !after.is_empty());
    match list(&console.0.store, &SortKeyRange { above, below: None }).await {
        Ok((rows, has_more)) => console.ok(Tab::Customers, "Customers", &customers(&rows, has_more, &after)),
        Err(error) => console.store_failed(Tab::Customers, &error),
    }
}

/// Searches customers. Redirects to the customer's page if a single customer matches and the match is not by prefix.
pub(crate) async fn search(State(console): State<Console>, form: Result<axum::Form<SearchForm>, FormRejection>) -> Response {
    let term = match form {
        Ok(axum::Form(SearchForm { q })) => q.trim().to_owned(),
        Err(_) => return console.bad_request(Tab::Customers, "A search must be a form with the field `q` of at most 16 KB."),
    };
    if term.is_empty() {
        return Redirect::to(&link("", &[])).into_response();
    }
    let (rows, has_more) = match find(&console.0.store, &term).await {
        Ok(found) => found,
        Err(error) => return console.store_failed(Tab::Customers, &error),
    };
    match rows.as_slice() {
        [Row { id, matched_by: "id" | "e-mail address" | "billing id", .. }] => Redirect::to(&url::customer(id)).into_response(),
        _ => console.respond(StatusCode::OK, Some(Tab::Customers), "Search", &found(&term, &rows, has_more)),
    }
}

/// The customers that match a term, exact matches first, and whether there are more.
async fn find(store: &Store, term: &str) -> Result<(Vec<Row>, bool), StoreError> {
    let by_id = async {
        let Ok(id) = Id::try_from(term) else { return Ok((Vec::new(), (Vec::new(), false))) };
        // Reads all items, since a deleted customer is in no index.
        let exact = store.stored_customer(&id).await?.map(|_| id);
        let range = SortKeyRange { above: Some(term.to_owned()), below: Some(format!("{term}\u{10ffff}")) };
        let by_prefix = first_ids(store, &range).await?;
        Ok::<_, StoreError>((exact.into_iter().collect::<Vec<_>>(), by_prefix))
    };
    let ((exact, (by_prefix, has_more)), by_email, by_billing_id) =
        try_join3(by_id, store.customers_by_email(term, PAGE_ROWS), store.customers_by_billing_id(term, PAGE_ROWS)).await?;
    let mut matched_by: BTreeMap<Id, &'static str> = BTreeMap::new();
    let mut order = Vec::new();
    for (ids, by) in [(exact, "id"), (by_email, "e-mail address"), (by_billing_id, "billing id"), (by_prefix, "start of the id")]
    {
        for id in ids {
            if !matched_by.contains_key(&id) {
                matched_by.insert(id.clone(), by);
                order.push(id);
            }
        }
    }
    let rows = rows(store, order, |id| matched_by.get(id).copied().unwrap_or_default()).await?;
    Ok((rows, has_more))
}

/// The first live customers in a range of ids, and whether there are more.
async fn list(store: &Store, range: &SortKeyRange) -> Result<(Vec<Row>, bool), StoreError> {
    let (ids, has_more) = first_ids(store, range).await?;
    let mut rows = rows(store, ids, |_| "").await?;
    // The table may be newer than the index.
    rows.retain(|row| row.state == CustomerState::Live);
    Ok((rows, has_more))
}

/// The first ids of the index in a range, merged from its shards, and whether there are more.
async fn first_ids(store: &Store, range: &SortKeyRange) -> Result<(Vec<Id>, bool), StoreError> {
    let shards = (0..SHARDS).map(|shard| store.query_index(Index::Customers, shard, range, false, PAGE_ROWS));
    let pages = try_join_all(shards).await?;
    let mut has_more = pages.iter().any(|page| page.has_more);
    let mut entries: Vec<IndexEntry> = pages.into_iter().flat_map(|page| page.entries).collect();
    entries.sort();
    has_more |= entries.len() > PAGE_ROWS;
    entries.truncate(PAGE_ROWS);
    Ok((entries.into_iter().map(|entry| entry.id).collect(), has_more))
}

/// The rows of these customers, in this order.
async fn rows(store: &Store, ids: Vec<Id>, matched_by: impl Fn(&Id) -> &'static str) -> Result<Vec<Row>, StoreError> {
    let found = store.customers(&ids, Projection::Profiles).await?;
    let mut found: HashMap<Id, CustomerRow> = found.into_iter().map(|row| (row.customer_id.clone(), row)).collect();
    let row = |id: Id| {
        let registers = found.remove(&id).map(|row| row.registers).unwrap_or_default();
        let name = registers.visible().and_then(|customer| customer.profile.name);
        Row { name, state: registers.state(), matched_by: matched_by(&id), id }
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
            p.hint #q-hint { "Its id or a prefix of it, its e-mail address, or its billing id. Names can't be searched." }
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
                (empty("No customer yet. Stigg's first customer.created or subscription.created event creates one."))
            } @else if rows.is_empty() {
                (empty("There are no more customers."))
            } @else {
                (table("Live customers by id", rows, false))
            }
            @if has_more || !after.is_empty() {
                nav.pages aria-label="Pages of customers" {
                    p { "Live customers, " (PAGE_ROWS) " per page" }
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
                    p { "No customer has this id, e-mail address or billing id, and no live customer's id starts with it." }
                    p { "The search is case-sensitive. A deleted customer is found only by its full id, for 30 days." }
                }
            } @else {
                (table("Customers that match", rows, true))
                @if has_more { p.hint { "More customers match. Enter more of the id to see them." } }
            }
        }
    }
}

fn table(caption: &str, rows: &[Row], is_search: bool) -> Markup {
    html! {
        div.scroll tabindex="0" role="group" aria-label=(caption) {
            table {
                caption.hidden { (caption) }
                thead { tr {
                    th scope="col" { "Customer" }
                    th scope="col" { "Id" }
                    th scope="col" { "State" }
                    @if is_search { th scope="col" { "Matched by" } }
                } }
                tbody {
                    @for row in rows {
                        tr {
                            th scope="row" { a href=(url::customer(&row.id)) {
                                @match &row.name { Some(text) => (name(text)), None => span.far { "no name" } }
                            } }
                            td { (id(row.id.as_str())) }
                            td { (state_badge(row.state)) }
                            @if is_search { td { (row.matched_by) } }
                        }
                    }
                }
            }
        }
    }
}

pub(crate) fn state_badge(state: CustomerState) -> Markup {
    match state {
        CustomerState::Live => badge(Tone::Good, "Live"),
        CustomerState::Archived => badge(Tone::Bad, "Deleted"),
        CustomerState::Unknown => badge(Tone::Warn, "Unknown"),
    }
}
