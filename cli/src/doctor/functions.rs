//! The functions' responses to requests without valid credentials, and the clock.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reqwest::header::HeaderValue;
use serde_json::{Value, json};

use super::Findings;
use crate::{
    delivery::{Schedule, Sender, WebhookResponse},
    http, outcome,
    target::Deployment,
};

/// Timeout of a request to a reader.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A larger clock skew is a warning.
const MAX_SKEW_WITHOUT_WARNING: SignedDuration = SignedDuration::from_secs(30);

/// A larger clock skew is a failure: the webhook rejects signatures with such a timestamp.
const MAX_SKEW_OF_SIGNATURES: SignedDuration = SignedDuration::from_mins(5);

const WRONG_SECRET: &str = "byos-doctor-presents-a-wrong-secret";

/// Sends an event with a wrong secret, and checks that the webhook rejects it. Returns whether test events can be sent.
pub(super) async fn webhook(deployment: &Deployment, findings: &mut Findings) -> bool {
    let Some(urls) = &deployment.urls else {
        findings.warn("webhook", "its address is unknown, so it was not checked", "give --url or --stack");
        return false;
    };
    let client = match http::client() {
        Ok(client) => client,
        Err(error) => {
            findings.fail("webhook", outcome::in_one_line(&error), "install the system's certificates");
            return false;
        }
    };
    let sender = Sender {
        client,
        url: urls.webhook.clone(),
        secret: Some(HeaderValue::from_static(WRONG_SECRET)),
        key: None,
        schedule: Schedule::ONCE,
    };
    // The webhook ignores events of this type, should it accept the secret.
    let event = json!({"type": "byos.doctor", "messageId": "byos-doctor"}).to_string();
    let response = sender.deliver(event.as_bytes(), |_, _| {}).await.response;
    let title = "webhook, a wrong secret";
    let summary = response.summary();
    let can_send_events = match response.status() {
        Some(401) => {
            findings.ok(title, "rejected");
            true
        }
        Some(503) => {
            let fix = "if the secret is not set yet, store the secret that Stigg shows; otherwise see the webhook's log";
            findings.fail(title, summary, fix);
            false
        }
        Some(403) => {
            let fix = "the webhook accepts requests from its allowed sources only: run this command on one of them";
            findings.warn(title, summary, fix);
            false
        }
        Some(200..=299) => {
            let fix = "the webhook accepts any secret: check which program is deployed at this address";
            findings.fail(title, format!("accepted: {summary}"), fix);
            false
        }
        Some(_) => {
            findings.fail(title, summary, "this is not a response of the webhook function: check the address");
            false
        }
        None => {
            findings.fail(title, summary, "check the address, and that this machine can reach it");
            false
        }
    };
    if let WebhookResponse::Received { date: Some(date), .. } = response {
        clock(Timestamp::now().duration_since(date), findings);
    }
    can_send_events
}

/// Compares this machine's clock with the webhook's `Date` header, which has a resolution of a second.
fn clock(ahead: SignedDuration, findings: &mut Findings) {
    let seconds = ahead.as_secs();
    let found = format!("this machine is {} s {}", seconds.abs(), if seconds < 0 { "behind" } else { "ahead" });
    let fix = "synchronize this machine's clock by NTP";
    if ahead.abs() > MAX_SKEW_OF_SIGNATURES {
        findings.fail("clock", format!("{found}: the webhook rejects signatures made on it"), fix);
    } else if ahead.abs() > MAX_SKEW_WITHOUT_WARNING {
        findings.warn("clock", found, fix);
    } else {
        findings.ok("clock", found);
    }
}

/// Checks that the readers reject requests without a token.
pub(super) async fn readers(deployment: &Deployment, findings: &mut Findings) {
    let Some(urls) = &deployment.urls else { return };
    for (name, url, body) in [
        ("/check-access", &urls.check_access, json!({"customerId": "byos-doctor", "featureId": "byos-doctor"})),
        ("/graphql", &urls.graphql, json!({"query": "{ __typename }"})),
    ] {
        let title = format!("{name}, no token");
        match post_json(url, None, &body).await {
            // API Gateway's authorizers answer 401 or 403.
            Ok((401, _)) => findings.ok(title, "rejected"),
            Ok((403, body)) if body.get("hasAccess").is_none() => findings.ok(title, "rejected by API Gateway"),
            Ok((200 | 403, _)) => {
                findings.fail(title, "answered", "anyone can read: check its authorization, and that its secret is set")
            }
            Ok((status, _)) => findings.fail(title, format!("answers {status}"), "see the function's log"),
            Err(error) => findings.fail(title, error, "check the address, and that this machine can reach it"),
        }
    }
}

/// Returns the status and the body, null if that is not JSON.
pub(super) async fn post_json(url: &str, token: Option<&str>, body: &Value) -> Result<(u16, Value), String> {
    let failed = |error: reqwest::Error| outcome::in_one_line(&error.without_url());
    let mut request = http::client().map_err(failed)?.post(url).timeout(TIMEOUT);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let response = request.header("Content-Type", "application/json").body(body.to_string()).send().await.map_err(failed)?;
    Ok((response.status().as_u16(), response.json().await.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn a_clock_skew_warns_above_30_seconds_and_fails_above_5_minutes() {
        for (seconds, verdict) in
            [(0, Verdict::Ok), (-30, Verdict::Ok), (31, Verdict::Warn), (-299, Verdict::Warn), (301, Verdict::Fail)]
        {
            let mut findings = Findings::default();
            clock(SignedDuration::from_secs(seconds), &mut findings);
            assert_eq!(findings.0[0].verdict, verdict, "{seconds}: {findings:?}");
        }
    }
}
