//! Lists and single records of the REST API, with all documented forms of pagination.

use domain::id::Id;
use jiff::Timestamp;
use reqwest::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Stigg, StiggError, client::StiggResponse};

/// Records requested per page.
const PAGE_SIZE: &str = "100";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Records {
    Customers,
    Subscriptions,
}

impl Records {
    fn path(self) -> &'static str {
        match self {
            Self::Customers => "customers",
            Self::Subscriptions => "subscriptions",
        }
    }
}

/// The start of a page. Each form of pagination has its own query parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Cursor {
    /// For responses with `pagination: {next, prev}`.
    After(String),
    /// For responses with `has_more` and `next_cursor`.
    StartingAfter(String),
}

impl Cursor {
    fn parameter(&self) -> (&'static str, &str) {
        match self {
            Self::After(cursor) => ("after", cursor),
            Self::StartingAfter(cursor) => ("starting_after", cursor),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Page {
    pub records: Vec<Value>,
    /// None for the last page.
    pub next: Option<Cursor>,
    /// See [`StiggResponse::read_at`].
    pub read_at: Timestamp,
}

impl Stigg {
    /// A page of all records, or of a customer's records.
    pub async fn page(&self, records: Records, customer_id: Option<&str>, from: Option<&Cursor>) -> Result<Page, StiggError> {
        let mut url = self.api_url(&[records.path()]).ok_or(StiggError::Refused(StatusCode::NOT_FOUND))?;
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("limit", PAGE_SIZE);
            if let Some(customer_id) = customer_id {
                query.append_pair("customerId", customer_id);
            }
            if let Some((name, cursor)) = from.map(Cursor::parameter) {
                query.append_pair(name, cursor);
            }
        }
        let StiggResponse { body, read_at } = self.get(url).await?;
        let body = body.ok_or(StiggError::Refused(StatusCode::NOT_FOUND))?;
        let (records, next) = read(body).ok_or(StiggError::Unreadable("a page must be an object with a list `data`"))?;
        if next.is_some() && next.as_ref() == from {
            return Err(StiggError::Unreadable("a page has itself as the next page"));
        }
        Ok(Page { records, next, read_at })
    }

    /// One record by its id. None if Stigg does not know it.
    pub async fn record(&self, records: Records, id: &str) -> Result<(Option<Value>, Timestamp), StiggError> {
        self.record_at(records.path(), id).await
    }

    /// A plan's record. None if Stigg does not know it.
    pub async fn plan_record(&self, plan_id: &Id) -> Result<(Option<Value>, Timestamp), StiggError> {
        self.record_at("plans", plan_id.as_str()).await
    }

    async fn record_at(&self, path: &str, id: &str) -> Result<(Option<Value>, Timestamp), StiggError> {
        let url = self.api_url(&[path, id]).ok_or(StiggError::Unreadable("the id can't be part of a URL"))?;
        let StiggResponse { body, read_at } = self.get(url).await?;
        let Some(mut body) = body else { return Ok((None, read_at)) };
        match body.get_mut("data").map(Value::take).unwrap_or(body) {
            record @ Value::Object(_) => Ok((Some(record), read_at)),
            _ => Err(StiggError::Unreadable("a record must be an object")),
        }
    }
}

/// The records of a page, and the cursor of the next. None if the body is not a page.
fn read(mut body: Value) -> Option<(Vec<Value>, Option<Cursor>)> {
    let Value::Array(records) = body.get_mut("data")?.take() else { return None };
    let text = |value: Option<&Value>| value.and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    if let Some(pagination) = body.get("pagination") {
        let next = text(pagination.get("next")).map(Cursor::After);
        return Some((records, next));
    }
    let member = |names: [&str; 2]| names.into_iter().find_map(|name| body.get(name));
    let has_more = member(["has_more", "hasMore"]).and_then(Value::as_bool);
    let next = text(member(["next_cursor", "nextCursor"]));
    // A third form has a cursor in each record, and ends with an empty page.
    let last_cursor = || records.last().and_then(|record| text(record.get("cursor_id").or_else(|| record.get("cursorId"))));
    let next = if has_more == Some(false) { None } else { next.or_else(last_cursor) };
    Some((records, next.map(Cursor::StartingAfter)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_next_cursor_is_read_from_each_documented_form() {
        let after = |cursor: &str| Some(Cursor::After(cursor.to_owned()));
        let starting = |cursor: &str| Some(Cursor::StartingAfter(cursor.to_owned()));
        for (body, expected) in [
            (json!({"data": [{}], "pagination": {"next": "n", "prev": null}}), after("n")),
            (json!({"data": [{}], "pagination": {"next": null, "prev": "p"}}), None),
            (json!({"data": [{}], "pagination": {"next": ""}}), None),
            (json!({"data": [{}], "has_more": true, "next_cursor": "n"}), starting("n")),
            (json!({"data": [{"cursor_id": "c"}], "has_more": true}), starting("c")),
            (json!({"data": [{"cursor_id": "c"}], "has_more": false, "next_cursor": "n"}), None),
            (json!({"data": [{"cursor_id": "c"}]}), starting("c")),
            (json!({"data": [{"id": "c"}]}), None),
            (json!({"data": []}), None),
        ] {
            assert_eq!(read(body.clone()).unwrap().1, expected, "{body}");
        }
        for invalid in [json!({}), json!([]), json!({"data": {}}), json!(null)] {
            assert_eq!(read(invalid), None);
        }
    }
}
