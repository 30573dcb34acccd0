//! Delivery of events like Stigg's: its header, timeout and retries.

use std::time::{Duration, Instant};

use domain::event::digest;
use jiff::Timestamp;
use reqwest::{Client, header::HeaderValue};
use runtime::signature::{ID_HEADER, SIGNATURE_HEADER, SigningKey, TIMESTAMP_HEADER};
use serde::Deserialize;

use crate::outcome;

/// Stigg's timeout.
const DEADLINE: Duration = Duration::from_secs(30);

/// The retries of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Immediate retries.
    pub at_once: u32,
    /// Delayed retries, after the immediate ones.
    pub later: u32,
    /// Delay before each delayed retry.
    pub pause: Duration,
}

impl Schedule {
    /// Stigg's schedule.
    pub const STIGG: Self = Self { at_once: 3, later: 3, pause: Duration::from_secs(30) };
    /// No retries.
    pub const ONCE: Self = Self { at_once: 0, later: 0, pause: Duration::ZERO };

    /// The delay before the next attempt; None after the last one.
    fn pause_after(&self, tries: u32) -> Option<Duration> {
        if tries <= self.at_once { Some(Duration::ZERO) } else { (tries <= self.at_once + self.later).then_some(self.pause) }
    }
}

#[derive(Clone, Debug)]
pub struct Sender {
    /// Must not follow redirects.
    pub client: Client,
    pub url: String,
    /// Header `Stigg-Webhooks-Secret`; None to omit it.
    pub secret: Option<HeaderValue>,
    pub key: Option<SigningKey>,
    pub schedule: Schedule,
}

/// The result of the last attempt.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Number of attempts.
    pub tries: u32,
    /// Duration of the last attempt.
    pub took: Duration,
    pub answer: Answer,
}

/// What a webhook answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// An answer of HTTP's.
    Status {
        /// Its status.
        status: u16,
        /// What became of the event, as this project's webhook says it.
        outcome: Option<String>,
        /// Why it was not taken.
        error: Option<String>,
        /// When the webhook's side thinks it is.
        date: Option<Timestamp>,
    },
    /// None in time.
    None {
        /// Why.
        reason: String,
    },
}

impl Answer {
    /// Whether Stigg would take the event to be delivered.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Status { status: 200..=299, .. })
    }

    /// The status, if there was an answer.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            Self::None { .. } => None,
        }
    }

    pub fn words(&self) -> String {
        match self {
            Self::Status { status, outcome, error, .. } => {
                let words = outcome.as_ref().or(error.as_ref());
                words.map_or_else(|| status.to_string(), |words| format!("{status} {words}"))
            }
            Self::None { reason } => format!("no answer: {reason}"),
        }
    }
}

/// What an event says of itself, whatever else it holds.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Label {
    /// Its type.
    pub r#type: Option<String>,
    /// Stigg's id of the message.
    pub message_id: Option<String>,
}

impl Label {
    /// Reads it, as far as it is there.
    pub fn of(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_default()
    }
}

impl Sender {
    /// Delivers an event. Calls `retry` with the last answer and the delay before each retry.
    pub async fn deliver(&self, body: &[u8], mut retry: impl FnMut(&Answer, Duration)) -> Delivery {
        let mut tries = 0;
        loop {
            tries += 1;
            let start = Instant::now();
            let answer = self.try_once(body).await;
            let took = start.elapsed();
            match self.schedule.pause_after(tries).filter(|_| !answer.is_success()) {
                Some(pause) => {
                    retry(&answer, pause);
                    tokio::time::sleep(pause).await;
                }
                None => return Delivery { tries, took, answer },
            }
        }
    }

    async fn try_once(&self, body: &[u8]) -> Answer {
        let mut request = self.client.post(&self.url).timeout(DEADLINE).header("Content-Type", "application/json");
        if let Some(secret) = &self.secret {
            request = request.header("Stigg-Webhooks-Secret", secret.clone());
        }
        if let Some(key) = &self.key {
            let id = Label::of(body).message_id.or_else(|| digest(body).ok()).unwrap_or_default();
            let now = Timestamp::now().as_second();
            let signature = key.sign(&id, now, body);
            request = request.header(ID_HEADER, id).header(TIMESTAMP_HEADER, now).header(SIGNATURE_HEADER, signature);
        }
        match request.body(body.to_vec()).send().await {
            Ok(response) => read(response).await,
            Err(error) => Answer::None { reason: outcome::in_one_line(&error.without_url()) },
        }
    }
}

async fn read(response: reqwest::Response) -> Answer {
    #[derive(Default, Deserialize)]
    struct Body {
        outcome: Option<String>,
        error: Option<String>,
        /// API Gateway's own word.
        message: Option<String>,
    }
    let status = response.status().as_u16();
    let date = response.headers().get("date").and_then(|date| date.to_str().ok());
    let date = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok()).map(|date| date.timestamp());
    let Body { outcome, error, message } = response.json().await.unwrap_or_default();
    Answer::Status { status, outcome, error: error.or(message), date }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::{Json, Router, extract::State, http::HeaderMap, http::StatusCode};
    use serde_json::{Value, json};

    use super::*;
    use crate::http;

    type Seen = Arc<Mutex<Vec<(HeaderMap, String)>>>;

    /// A webhook that refuses so many deliveries and takes the next.
    async fn webhook(refusals: usize) -> (Sender, Seen) {
        let seen = Seen::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/webhook", listener.local_addr().unwrap());
        let answer = move |State(seen): State<Seen>, headers: HeaderMap, body: String| async move {
            let mut seen = seen.lock().unwrap();
            seen.push((headers, body));
            if seen.len() <= refusals {
                return (StatusCode::UNAUTHORIZED, Json(json!({"success": false, "error": "wrong"})));
            }
            (StatusCode::ACCEPTED, Json(json!({"success": true, "outcome": "queued"})))
        };
        let router = Router::new().fallback(answer).with_state(seen.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let schedule = Schedule { pause: Duration::from_millis(200), ..Schedule::STIGG };
        let sender = Sender {
            client: http::client().unwrap(),
            url,
            secret: Some(HeaderValue::from_static("s")),
            key: Some(SigningKey::parse("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").unwrap()),
            schedule,
        };
        (sender, seen)
    }

    #[tokio::test]
    async fn a_refused_event_comes_again_three_times_at_once_and_three_times_later() {
        for (refusals, tries, pauses) in [(0, 1, 0), (2, 3, 0), (3, 4, 0), (5, 6, 2), (6, 7, 3), (9, 7, 3)] {
            let (sender, seen) = webhook(refusals).await;
            let mut waited = Vec::new();
            let delivery = sender.deliver(b"{}", |answer, pause| waited.push((answer.status(), pause))).await;
            assert_eq!((delivery.tries, delivery.answer.is_success()), (tries, refusals < 7), "{refusals}");
            assert_eq!(seen.lock().unwrap().len(), tries as usize);
            assert!(waited.iter().all(|(status, _)| *status == Some(401)));
            assert_eq!(waited.iter().filter(|(_, pause)| *pause == sender.schedule.pause).count(), pauses, "{refusals}");
        }
    }

    #[tokio::test]
    async fn a_delivery_has_stiggs_header_and_a_signature_that_keeps_the_messages_id() {
        let (sender, seen) = webhook(1).await;
        let body = br#"{"type":"x","messageId":"m-1"}"#;
        let delivery = sender.deliver(body, |_, _| {}).await;
        assert_eq!(delivery.answer.words(), "202 queued");
        for (headers, got) in seen.lock().unwrap().iter() {
            assert_eq!(
                (&headers["stigg-webhooks-secret"], &headers["content-type"]),
                (&"s".parse().unwrap(), &"application/json".parse().unwrap())
            );
            let sent = headers["webhook-timestamp"].to_str().unwrap().parse().unwrap();
            let expected = sender.key.as_ref().unwrap().sign("m-1", sent, body);
            assert_eq!(headers["webhook-signature"], expected);
            assert_eq!((got.as_bytes(), &headers["webhook-id"]), (body.as_slice(), &"m-1".parse().unwrap()));
        }
    }

    #[tokio::test]
    async fn a_missing_answer_is_reported_without_the_secret() {
        let (sender, _) = webhook(0).await;
        let nowhere = Sender { url: "http://127.0.0.1:1/webhook".to_owned(), schedule: Schedule::ONCE, ..sender };
        let delivery = nowhere.deliver(b"{}", |_, _| {}).await;
        assert!(delivery.answer.words().starts_with("no answer: ") && delivery.answer.status().is_none());
        let value: Value = json!({"type": "a"});
        assert_eq!(Label::of(value.to_string().as_bytes()).r#type.as_deref(), Some("a"));
        assert_eq!(Label::of(b"[").r#type, None);
    }
}
