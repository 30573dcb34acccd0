//! Delivers events to the webhook with Stigg's header, timeout and retries.

use std::time::{Duration, Instant};

use domain::event::{EventSummary, digest};
use jiff::Timestamp;
use reqwest::{Client, header::HeaderValue};
use runtime::signature::{ID_HEADER, SIGNATURE_HEADER, SigningKey, TIMESTAMP_HEADER};
use serde::Deserialize;

use crate::outcome;

/// Stigg's timeout.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The retries of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Immediate retries.
    pub immediate: u32,
    /// Delayed retries, after the immediate ones.
    pub delayed: u32,
    /// Delay before each delayed retry.
    pub delay: Duration,
}

impl Schedule {
    pub const STIGG: Self = Self { immediate: 3, delayed: 3, delay: Duration::from_secs(30) };
    /// No retries.
    pub const ONCE: Self = Self { immediate: 0, delayed: 0, delay: Duration::ZERO };

    /// The delay before the next attempt; None after the last one.
    fn delay_after(&self, attempts: u32) -> Option<Duration> {
        if attempts <= self.immediate {
            Some(Duration::ZERO)
        } else {
            (attempts <= self.immediate + self.delayed).then_some(self.delay)
        }
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
    pub attempts: u32,
    /// Duration of the last attempt.
    pub duration: Duration,
    pub response: WebhookResponse,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebhookResponse {
    Received {
        status: u16,
        /// The webhook's `outcome`, such as `applied`.
        outcome: Option<String>,
        error: Option<String>,
        /// Header `Date`.
        date: Option<Timestamp>,
    },
    /// No response: the connection failed, or the timeout passed.
    Missing { reason: String },
}

impl WebhookResponse {
    /// Whether Stigg would consider the event delivered.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Received { status: 200..=299, .. })
    }

    /// The HTTP status.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Received { status, .. } => Some(*status),
            Self::Missing { .. } => None,
        }
    }

    /// Status and outcome or error, such as `200 applied`.
    pub fn summary(&self) -> String {
        match self {
            Self::Received { status, outcome, error, .. } => {
                let text = outcome.as_ref().or(error.as_ref());
                text.map_or_else(|| status.to_string(), |text| format!("{status} {text}"))
            }
            Self::Missing { reason } => format!("no answer: {reason}"),
        }
    }
}

impl Sender {
    /// Delivers an event. Before each retry, calls `on_retry` with the last response and the delay.
    pub async fn deliver(&self, body: &[u8], mut on_retry: impl FnMut(&WebhookResponse, Duration)) -> Delivery {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let start = Instant::now();
            let response = self.attempt(body).await;
            let duration = start.elapsed();
            match self.schedule.delay_after(attempts).filter(|_| !response.is_success()) {
                Some(delay) => {
                    on_retry(&response, delay);
                    tokio::time::sleep(delay).await;
                }
                None => return Delivery { attempts, duration, response },
            }
        }
    }

    async fn attempt(&self, body: &[u8]) -> WebhookResponse {
        let mut request = self.client.post(&self.url).timeout(TIMEOUT).header("Content-Type", "application/json");
        if let Some(secret) = &self.secret {
            request = request.header("Stigg-Webhooks-Secret", secret.clone());
        }
        if let Some(key) = &self.key {
            let id = EventSummary::of(body).message_id.or_else(|| digest(body).ok()).unwrap_or_default();
            let now = Timestamp::now().as_second();
            let signature = key.sign(&id, now, body);
            request = request.header(ID_HEADER, id).header(TIMESTAMP_HEADER, now).header(SIGNATURE_HEADER, signature);
        }
        match request.body(body.to_vec()).send().await {
            Ok(response) => read(response).await,
            Err(error) => WebhookResponse::Missing { reason: outcome::in_one_line(&error.without_url()) },
        }
    }
}

async fn read(response: reqwest::Response) -> WebhookResponse {
    #[derive(Default, Deserialize)]
    struct Body {
        outcome: Option<String>,
        error: Option<String>,
        /// Error of API Gateway itself.
        message: Option<String>,
    }
    let status = response.status().as_u16();
    let date = response.headers().get("date").and_then(|date| date.to_str().ok());
    let date = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok()).map(|date| date.timestamp());
    let Body { outcome, error, message } = response.json().await.unwrap_or_default();
    WebhookResponse::Received { status, outcome, error: error.or(message), date }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::{Json, Router, extract::State, http::HeaderMap, http::StatusCode};
    use serde_json::json;

    use super::*;
    use crate::http;

    /// Headers and bodies.
    type Requests = Arc<Mutex<Vec<(HeaderMap, String)>>>;

    /// A webhook that rejects the first `rejections` deliveries.
    async fn webhook(rejections: usize) -> (Sender, Requests) {
        let requests = Requests::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/webhook", listener.local_addr().unwrap());
        let handler = move |State(requests): State<Requests>, headers: HeaderMap, body: String| async move {
            let mut requests = requests.lock().unwrap();
            requests.push((headers, body));
            if requests.len() <= rejections {
                return (StatusCode::UNAUTHORIZED, Json(json!({"success": false, "error": "wrong"})));
            }
            (StatusCode::ACCEPTED, Json(json!({"success": true, "outcome": "queued"})))
        };
        let router = Router::new().fallback(handler).with_state(requests.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let schedule = Schedule { delay: Duration::from_millis(200), ..Schedule::STIGG };
        let sender = Sender {
            client: http::client().unwrap(),
            url,
            secret: Some(HeaderValue::from_static("s")),
            key: Some(SigningKey::parse("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").unwrap()),
            schedule,
        };
        (sender, requests)
    }

    #[tokio::test]
    async fn a_rejected_event_is_retried_three_times_immediately_and_three_times_with_a_delay() {
        for (rejections, attempts, delays) in [(0, 1, 0), (2, 3, 0), (3, 4, 0), (5, 6, 2), (6, 7, 3), (9, 7, 3)] {
            let (sender, requests) = webhook(rejections).await;
            let mut retries = Vec::new();
            let delivery = sender.deliver(b"{}", |response, delay| retries.push((response.status(), delay))).await;
            assert_eq!((delivery.attempts, delivery.response.is_success()), (attempts, rejections < 7), "{rejections}");
            assert_eq!(requests.lock().unwrap().len(), attempts as usize);
            assert!(retries.iter().all(|(status, _)| *status == Some(401)));
            assert_eq!(retries.iter().filter(|(_, delay)| *delay == sender.schedule.delay).count(), delays, "{rejections}");
        }
    }

    #[tokio::test]
    async fn each_attempt_has_stiggs_header_and_a_signature_over_the_message_id() {
        let (sender, requests) = webhook(1).await;
        let body = br#"{"type":"x","messageId":"m-1"}"#;
        let delivery = sender.deliver(body, |_, _| {}).await;
        assert_eq!(delivery.response.summary(), "202 queued");
        for (headers, received) in requests.lock().unwrap().iter() {
            assert_eq!(
                (&headers["stigg-webhooks-secret"], &headers["content-type"]),
                (&"s".parse().unwrap(), &"application/json".parse().unwrap())
            );
            let timestamp = headers["webhook-timestamp"].to_str().unwrap().parse().unwrap();
            let expected = sender.key.as_ref().unwrap().sign("m-1", timestamp, body);
            assert_eq!(headers["webhook-signature"], expected);
            assert_eq!((received.as_bytes(), &headers["webhook-id"]), (body.as_slice(), &"m-1".parse().unwrap()));
        }
    }

    #[tokio::test]
    async fn a_failed_connection_is_reported() {
        let (sender, _) = webhook(0).await;
        let unreachable = Sender { url: "http://127.0.0.1:1/webhook".to_owned(), schedule: Schedule::ONCE, ..sender };
        let delivery = unreachable.deliver(b"{}", |_, _| {}).await;
        assert!(delivery.response.summary().starts_with("no answer: ") && delivery.response.status().is_none());
    }
}
