//! Reads recorded events from files or messages: bodies as Stigg sends them, API Gateway requests, or messages of the event
//! queue.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use domain::time;
use jiff::Timestamp;
use runtime::parked::{MAX_BODY_BYTES, NotParked, Parked};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedEvent {
    /// The file's name, and the event's number if the file contains several.
    pub name: String,
    /// The unchanged bytes of the body.
    pub body: Vec<u8>,
    /// None if the record does not contain it.
    pub received_at: Option<Timestamp>,
}

/// An invalid record. The message contains no data of the event.
#[derive(Debug, thiserror::Error)]
pub enum RecordedError {
    #[error("{file} can't be read: {source}")]
    File { file: PathBuf, source: std::io::Error },
    #[error("{name} is not JSON: line {line}, column {column}")]
    NotJson { name: String, line: usize, column: usize },
    #[error("{0} contains no event")]
    Empty(String),
    #[error("{0} is neither an event (an object with a `type`), nor an API Gateway request, nor a message of the event queue")]
    NotAnEvent(String),
    #[error("{name}: {source}")]
    Parked { name: String, source: NotParked },
    #[error("the body in {name} {problem}")]
    Body { name: String, problem: &'static str },
    #[error("`receivedAt` in {name} {problem}")]
    ReceivedAt { name: String, problem: &'static str },
}

/// The members that distinguish the formats of a record.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    r#type: Option<Value>,
    received_at: Option<String>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
    request_context: Option<RequestContext>,
    is_base64_encoded: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext {
    /// Time of receipt, in milliseconds since 1970.
    time_epoch: Option<i64>,
}

/// Reads the events in a file, or in standard input if the path is `-`: a single one, a JSON array, or several in a row.
pub fn from_file(file: &Path) -> Result<Vec<RecordedEvent>, RecordedError> {
    let failed = |source| RecordedError::File { file: file.to_owned(), source };
    if file == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).map_err(failed)?;
        return from_json("standard input", &bytes);
    }
    let bytes = std::fs::read(file).map_err(failed)?;
    let name = file.file_name().map_or_else(|| file.display().to_string(), |name| name.to_string_lossy().into_owned());
    from_json(&name, &bytes)
}

/// Parses the events in a text. `name` is its name in messages.
pub fn from_json(name: &str, text: &[u8]) -> Result<Vec<RecordedEvent>, RecordedError> {
    let not_json =
        |error: serde_json::Error| RecordedError::NotJson { name: name.to_owned(), line: error.line(), column: error.column() };
    let mut documents: Vec<&RawValue> = Vec::new();
    for document in serde_json::Deserializer::from_slice(text).into_iter::<&RawValue>() {
        let document = document.map_err(not_json)?;
        match document.get().starts_with('[') {
            true => documents.extend(serde_json::from_str::<Vec<&RawValue>>(document.get()).map_err(not_json)?),
            false => documents.push(document),
        }
    }
    let is_one = documents.len() == 1;
    let named = |index: usize| if is_one { name.to_owned() } else { format!("{name}#{}", index + 1) };
    let events: Result<Vec<_>, _> =
        documents.into_iter().enumerate().map(|(index, document)| from_document(named(index), document.get())).collect();
    events.and_then(|events| if events.is_empty() { Err(RecordedError::Empty(name.to_owned())) } else { Ok(events) })
}

fn from_document(name: String, document: &str) -> Result<RecordedEvent, RecordedError> {
    let Ok(record) = serde_json::from_str::<Record<'_>>(document) else { return Err(RecordedError::NotAnEvent(name)) };
    match record {
        Record { request_context: Some(context), body, is_base64_encoded, .. } => {
            let body = request_body(body, is_base64_encoded.unwrap_or(false));
            let body = body.map_err(|problem| RecordedError::Body { name: name.clone(), problem })?;
            let received_at = context.time_epoch.and_then(|time| Timestamp::from_millisecond(time).ok());
            Ok(RecordedEvent { name, body, received_at })
        }
        // Written by hand: the event as an object, with its time of receipt.
        Record { received_at: Some(time), body: Some(body), .. } if body.get().starts_with('{') => {
            let received_at = time::parse(&time).map_err(|problem| RecordedError::ReceivedAt { name: name.clone(), problem })?;
            Ok(RecordedEvent { name, body: body.get().as_bytes().to_vec(), received_at: Some(received_at) })
        }
        Record { received_at: Some(_), body: Some(_), .. } => {
            let parked = Parked::of_message(document, MAX_BODY_BYTES);
            let Parked { body, received_at, .. } =
                parked.map_err(|source| RecordedError::Parked { name: name.clone(), source })?;
            Ok(RecordedEvent { name, body, received_at: Some(received_at) })
        }
        Record { r#type: Some(Value::String(_)), .. } => {
            Ok(RecordedEvent { name, body: document.as_bytes().to_vec(), received_at: None })
        }
        _ => Err(RecordedError::NotAnEvent(name)),
    }
}

/// Decodes the body of an API Gateway request.
fn request_body(body: Option<&RawValue>, is_base64: bool) -> Result<Vec<u8>, &'static str> {
    let text: Option<String> = body.and_then(|body| serde_json::from_str(body.get()).ok());
    let text = text.ok_or("is missing or not a string")?;
    if is_base64 { BASE64_STANDARD.decode(text).map_err(|_| "is not base64") } else { Ok(text.into_bytes()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"type": "customer.created",  "id":"c"}"#;

    fn message(body: &str) -> String {
        format!(r#"{{"receivedAt":"2026-11-24T05:00:00.000Z","type":"customer.created","body":{body}}}"#)
    }

    fn parked(body: &str) -> String {
        let received_at = "2026-11-24T05:00:00Z".parse().unwrap();
        let parked = Parked { received_at, kind: "customer.created".into(), message_id: None, body: body.as_bytes().to_vec() };
        parked.to_message().unwrap()
    }

    fn read(text: &str) -> Result<Vec<(String, String, Option<i64>)>, String> {
        let events = from_json("file", text.as_bytes()).map_err(|error| error.to_string())?;
        let parts = |RecordedEvent { name, body, received_at }| {
            (name, String::from_utf8(body).unwrap(), received_at.map(Timestamp::as_millisecond))
        };
        Ok(events.into_iter().map(parts).collect())
    }

    #[test]
    fn an_event_keeps_its_bytes_and_time_of_receipt_in_every_format() {
        let received_at = Some(1_795_496_400_000);
        let request = serde_json::json!({"version": "2.0", "requestContext": {"timeEpoch": received_at}, "body": EVENT});
        let encoded = serde_json::json!({"requestContext": {}, "body": BASE64_STANDARD.encode(EVENT), "isBase64Encoded": true});
        for (text, expected) in [
            (EVENT.to_owned(), None),
            (format!("\n {EVENT}\n"), None),
            (request.to_string(), received_at),
            (encoded.to_string(), None),
            (parked(EVENT), received_at),
            (message(EVENT), received_at),
            // An event with a member `body`.
            (r#"{"type":"x","body":7}"#.to_owned(), None),
        ] {
            let events = read(&text).unwrap();
            assert_eq!((events[0].0.as_str(), events[0].2), ("file", expected), "{text}");
            assert!(events[0].1 == EVENT || events[0].1 == text, "{text}");
        }
    }

    #[test]
    fn a_file_can_contain_several_events() {
        for text in [format!("{EVENT}\n{EVENT}"), format!("[{EVENT},{EVENT}]"), format!("[{EVENT}]{EVENT}")] {
            let names: Vec<_> = read(&text).unwrap().into_iter().map(|(name, ..)| name).collect();
            assert_eq!(names, ["file#1", "file#2"], "{text}");
        }
    }

    #[test]
    fn an_invalid_event_is_reported_without_its_content() {
        for (text, message) in [
            (String::new(), "file contains no event"),
            ("[]".to_owned(), "file contains no event"),
            ("{".to_owned(), "file is not JSON: line 1, column 1"),
            ("5".to_owned(), "file is neither an event"),
            (r#"{"id":"personal"}"#.to_owned(), "file is neither an event"),
            (r#"{"requestContext":{}}"#.to_owned(), "the body in file is missing or not a string"),
            (r#"{"requestContext":{},"body":"?","isBase64Encoded":true}"#.to_owned(), "the body in file is not base64"),
            (message("\"?\""), "file: the message is not a parked event: "),
            (message("7"), "file: the message is not a parked event: "),
            (parked(&" ".repeat(MAX_BODY_BYTES + 1)), "file: the message is not a parked event: "),
            (r#"{"receivedAt":"yesterday","body":{}}"#.to_owned(), "`receivedAt` in file must be a date-time"),
        ] {
            let error = read(&text).unwrap_err();
            assert!(error.starts_with(message) && !error.contains("personal"), "{text}: {error}");
        }
        assert!(read(&parked(&" ".repeat(MAX_BODY_BYTES))).is_ok());
    }
}
