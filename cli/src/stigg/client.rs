//! Client of Stigg's API: rate limit, retries, and a time for each response.

use std::{
    num::NonZeroU32,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use reqwest::{
    StatusCode, Url,
    header::{DATE, HeaderMap, RETRY_AFTER},
};
use runtime::clock::Clock;
use serde_json::Value;
use tokio::time::Instant;

use super::{Key, Options};
use crate::{http, outcome::in_one_line};

/// Attempts of a request that fails or times out.
const MAX_ATTEMPTS: u32 = 6;

/// Attempts of a request that is throttled (429).
const MAX_THROTTLED_ATTEMPTS: u32 = 60;

/// After so many consecutive failed requests the run ends: the cause is not a single record.
const MAX_CONSECUTIVE_FAILURES: u32 = 20;

/// Longest delay between two attempts, even if Retry-After is longer.
const MAX_WAIT: Duration = Duration::from_secs(120);

#[derive(Debug, thiserror::Error)]
pub enum StiggError {
    #[error("no HTTP client: {0}")]
    Client(String),
    #[error("Stigg rejects the key ({0}): check that it is a Full access key of this environment")]
    Key(StatusCode),
    #[error("Stigg rejects the request ({0})")]
    Refused(StatusCode),
    #[error("Stigg did not answer: {0}")]
    Unavailable(String),
    #[error("Stigg did not answer {MAX_CONSECUTIVE_FAILURES} requests in a row; the last: {0}")]
    Down(String),
    #[error("invalid response from Stigg: {0}")]
    Unreadable(&'static str),
}

impl StiggError {
    /// Whether the next request would fail too.
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::Client(_) | Self::Key(_) | Self::Down(_) => true,
            Self::Refused(_) | Self::Unavailable(_) | Self::Unreadable(_) => false,
        }
    }
}

/// A response, with a lower bound of the time that its content shows.
#[derive(Clone, Debug)]
pub struct StiggResponse {
    /// None for a 404.
    pub body: Option<Value>,
    /// The content includes all events up to this time on Stigg's clock.
    pub read_at: Timestamp,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests, including retries.
    pub calls: u64,
    /// Throttled requests (429).
    pub throttled: u64,
    /// Requests that failed or timed out.
    pub failed: u64,
}

/// A client of Stigg's API.
#[derive(Debug)]
pub struct Stigg {
    http: reqwest::Client,
    key: Key,
    api: Url,
    edge: Url,
    limiter: Option<DefaultDirectRateLimiter>,
    /// No request before this time: Stigg throttled the key.
    not_before: Mutex<Option<Instant>>,
    clock: Clock,
    lag: SignedDuration,
    timeout: Duration,
    backoff: Duration,
    calls: AtomicU64,
    throttled: AtomicU64,
    failed: AtomicU64,
    consecutive_failures: AtomicU32,
}

enum Attempt {
    Done(StiggResponse),
    /// Throttled, with the duration of Retry-After.
    Throttled(Option<Duration>),
    Failed(String),
}

impl Stigg {
    /// # Errors
    /// If the HTTP client can't be created.
    pub fn new(options: &Options, key: Key, clock: Clock) -> Result<Self, StiggError> {
        let http = http::client().map_err(|error| StiggError::Client(in_one_line(&error)))?;
        Ok(Self {
            http,
            key,
            api: options.stigg_url.clone(),
            edge: options.stigg_edge_url.clone(),
            limiter: NonZeroU32::new(options.rate).map(|rate| RateLimiter::direct(Quota::per_second(rate))),
            not_before: Mutex::default(),
            clock,
            lag: SignedDuration::from_secs(options.lag.into()),
            timeout: Duration::from_secs(options.timeout.into()),
            backoff: options.backoff,
            calls: AtomicU64::new(0),
            throttled: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            consecutive_failures: AtomicU32::new(0),
        })
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn counts(&self) -> Counts {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts { calls: count(&self.calls), throttled: count(&self.throttled), failed: count(&self.failed) }
    }

    /// A REST API URL from path segments such as `["customers", id]`. None if a segment is empty or a dot segment.
    pub(super) fn api_url(&self, parts: &[&str]) -> Option<Url> {
        join(&self.api, &[&["api", "v1"], parts].concat())
    }

    /// An Edge API URL; see [`Stigg::api_url`].
    pub(super) fn edge_url(&self, parts: &[&str]) -> Option<Url> {
        join(&self.edge, &[&["v1"], parts].concat())
    }

    /// Sends a GET request with retries.
    ///
    /// `read_at` is never later than the state that the response shows. It is the earlier of the time of sending by this
    /// machine's clock and the response's `Date` less the duration of the request (a cached response carries the date of
    /// the cached content), less the configured lag of Stigg's API.
    pub(super) async fn get(&self, url: Url) -> Result<StiggResponse, StiggError> {
        let (mut failures, mut throttled) = (0, 0);
        loop {
            let reason = match self.attempt(&url).await? {
                Attempt::Done(response) => {
                    self.consecutive_failures.store(0, Ordering::Relaxed);
                    return Ok(response);
                }
                Attempt::Throttled(wait) => {
                    self.throttled.fetch_add(1, Ordering::Relaxed);
                    throttled += 1;
                    if throttled < MAX_THROTTLED_ATTEMPTS {
                        self.pause(wait.unwrap_or(self.backoff * 2).min(MAX_WAIT));
                        continue;
                    }
                    "still throttled (429)".to_owned()
                }
                Attempt::Failed(reason) => {
                    self.failed.fetch_add(1, Ordering::Relaxed);
                    failures += 1;
                    if failures < MAX_ATTEMPTS {
                        tokio::time::sleep((self.backoff * 2_u32.pow(failures - 1)).min(MAX_WAIT)).await;
                        continue;
                    }
                    reason
                }
            };
            let consecutive = self.consecutive_failures.fetch_add(1, Ordering::Relaxed) + 1;
            return Err(if consecutive < MAX_CONSECUTIVE_FAILURES {
                StiggError::Unavailable(reason)
            } else {
                StiggError::Down(reason)
            });
        }
    }

    async fn attempt(&self, url: &Url) -> Result<Attempt, StiggError> {
        self.wait_for_slot().await;
        self.calls.fetch_add(1, Ordering::Relaxed);
        let (sent_at, start) = (self.clock.now(), Instant::now());
        let request =
            self.http.get(url.clone()).header("X-API-KEY", self.key.header()).header("X-API-VERSION", "1").timeout(self.timeout);
        // The URL's path and query contain ids.
        let failed = |error: reqwest::Error| {
            Attempt::Failed(format!("{}: {}", url.host_str().unwrap_or_default(), in_one_line(&error.without_url())))
        };
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Ok(failed(error)),
        };
        let read_at = self.read_at(sent_at, start.elapsed(), response.headers());
        match response.status() {
            status if status.is_success() => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(StiggError::Key(response.status())),
            StatusCode::NOT_FOUND => return Ok(Attempt::Done(StiggResponse { body: None, read_at })),
            StatusCode::TOO_MANY_REQUESTS => return Ok(Attempt::Throttled(self.retry_after(response.headers()))),
            StatusCode::REQUEST_TIMEOUT => return Ok(Attempt::Failed("request timeout (408)".to_owned())),
            status if status.is_server_error() => {
                // A failing server may send Retry-After too.
                if let Some(wait) = self.retry_after(response.headers()) {
                    self.pause(wait.min(MAX_WAIT));
                }
                return Ok(Attempt::Failed(format!("server error ({status})")));
            }
            status => return Err(StiggError::Refused(status)),
        }
        match response.bytes().await {
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(body) => Ok(Attempt::Done(StiggResponse { body: Some(body), read_at })),
                Err(_) => Err(StiggError::Unreadable("not JSON")),
            },
            Err(error) => Ok(failed(error)),
        }
    }

    fn read_at(&self, sent_at: Timestamp, duration: Duration, headers: &HeaderMap) -> Timestamp {
        let duration = SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
        let sent_at_by_stigg = http_date(headers, &DATE).and_then(|date| date.checked_sub(duration).ok());
        let earlier = sent_at_by_stigg.map_or(sent_at, |by_stigg| by_stigg.min(sent_at));
        earlier.checked_sub(self.lag).unwrap_or(earlier)
    }

    fn retry_after(&self, headers: &HeaderMap) -> Option<Duration> {
        let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
        match text.trim().parse() {
            Ok(seconds) => Some(Duration::from_secs(seconds)),
            Err(_) => {
                let until = http_date(headers, &RETRY_AFTER)?;
                Some(Duration::try_from(until.duration_since(self.clock.now())).unwrap_or_default())
            }
        }
    }

    /// Delays all requests: they share a key.
    fn pause(&self, wait: Duration) {
        let until = Instant::now() + wait;
        let mut not_before = self.not_before.lock().unwrap_or_else(PoisonError::into_inner);
        *not_before = Some(not_before.map_or(until, |before| before.max(until)));
    }

    /// Waits for the rate limiter and for Retry-After.
    async fn wait_for_slot(&self) {
        loop {
            let not_before = *self.not_before.lock().unwrap_or_else(PoisonError::into_inner);
            match not_before {
                Some(moment) if moment > Instant::now() => tokio::time::sleep_until(moment).await,
                _ => break,
            }
        }
        if let Some(limiter) = &self.limiter {
            limiter.until_ready().await;
        }
    }
}

fn http_date(headers: &HeaderMap, name: &reqwest::header::HeaderName) -> Option<Timestamp> {
    let text = headers.get(name)?.to_str().ok()?;
    rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

fn join(base: &Url, parts: &[&str]) -> Option<Url> {
    // URL parsing would resolve dot segments.
    if parts.iter().any(|part| matches!(*part, "" | "." | "..")) {
        return None;
    }
    let mut url = base.clone();
    url.path_segments_mut().ok()?.pop_if_empty().extend(parts);
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-23T14:00:00.500Z";

    fn stigg(lag: u32) -> Stigg {
        let options = Options {
            stigg_url: "https://api.example/base/".parse().unwrap(),
            stigg_edge_url: "https://edge.example".parse().unwrap(),
            rate: 0,
            concurrency: 1,
            lag,
            timeout: 1,
            backoff: Duration::ZERO,
        };
        Stigg::new(&options, Key::new("secret-key").unwrap(), Clock::of(|| NOW.parse().unwrap())).unwrap()
    }

    fn headers(name: reqwest::header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn a_response_is_dated_by_the_earlier_clock_less_the_lag() {
        let sent: Timestamp = NOW.parse().unwrap();
        let duration = Duration::from_millis(1_500);
        for (date, lag, expected) in [
            (None, 0, "2026-11-23T14:00:00.500Z"),
            (None, 60, "2026-11-23T13:59:00.500Z"),
            // This machine's clock is ahead of Stigg's.
            (Some("Mon, 23 Nov 2026 13:55:00 GMT"), 60, "2026-11-23T13:53:58.500Z"),
            // It is behind.
            (Some("Mon, 23 Nov 2026 14:05:00 GMT"), 60, "2026-11-23T13:59:00.500Z"),
            (Some("nonsense"), 0, "2026-11-23T14:00:00.500Z"),
        ] {
            let headers = date.map(|date| headers(DATE, date)).unwrap_or_default();
            let read_at = stigg(lag).read_at(sent, duration, &headers);
            assert_eq!(read_at, expected.parse().unwrap(), "{date:?}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        for (text, expected) in [
            ("7", Some(7_000)),
            ("Mon, 23 Nov 2026 14:00:03 GMT", Some(2_500)),
            ("Mon, 23 Nov 2026 13:00:00 GMT", Some(0)),
            ("soon", None),
        ] {
            let wait = stigg(0).retry_after(&headers(RETRY_AFTER, text));
            assert_eq!(wait, expected.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn an_id_is_escaped_to_one_path_segment() {
        let url = |id: &str| stigg(0).api_url(&["customers", id]).map(String::from);
        assert_eq!(url("a/b?c#d e%2F").as_deref(), Some("https://api.example/base/api/v1/customers/a%2Fb%3Fc%23d%20e%252F"));
        assert_eq!(url(".."), None);
    }
}
