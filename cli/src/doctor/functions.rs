//! What the functions answer to strangers, and what their side thinks the time is.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reqwest::header::HeaderValue;
use serde_json::{Value, json};

use super::Findings;
use crate::{
    delivery::{Answer, Schedule, Sender},
    http, outcome,
    target::Deployment,
};

/// How long a reader may take to answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// How far this machine's clock may be off before it is worth a word, and before signatures fail.
const SKEW: SignedDuration = SignedDuration::from_secs(30);
const TOO_FAR: SignedDuration = SignedDuration::from_mins(5);

/// A stranger's secret. It is no one's.
const WRONG: &str = "byos-doctor-presents-a-wrong-secret";

/// Looks at the webhook by presenting a wrong secret. Says whether more can be tried from here.
pub(super) async fn webhook(deployment: &Deployment, findings: &mut Findings) -> bool {
    let Some(urls) = &deployment.urls else {
        findings.warn("webhook", "its address is not known", "give --url or --stack to have it looked at");
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
        secret: Some(HeaderValue::from_static(WRONG)),
        key: None,
        schedule: Schedule::ONCE,
    };
    // Whoever took it would ignore it.
    let event = json!({"type": "byos.doctor", "messageId": "byos-doctor"}).to_string();
    let answer = sender.deliver(event.as_bytes(), |_, _| {}).await.answer;
    let title = "webhook, a wrong secret";
    let words = answer.words();
    let is_reached = match answer.status() {
        Some(401) => {
            findings.ok(title, "refused");
            true
        }
        Some(503) => {
            let mend = "if the secret is not set yet, put there what Stigg shows; else look at the webhook's log";
            findings.fail(title, words, mend);
            false
        }
        Some(403) => {
            let mend = "the webhook takes events from allowed sources only, and this machine is none: try from one of them";
            findings.warn(title, words, mend);
            false
        }
        Some(200..=299) => {
            findings.fail(title, format!("taken, with {words}"), "the webhook lets everybody in: check what is deployed there");
            false
        }
        Some(_) => {
            findings.fail(title, words, "that is no answer of this project's webhook: check the address");
            false
        }
        None => {
            findings.fail(title, words, "check the address, and that this machine may reach it");
            false
        }
    };
    if let Answer::Status { date: Some(date), .. } = answer {
        clock(Timestamp::now().duration_since(date), findings);
    }
    is_reached
}

/// Looks at how far this machine's clock is from the webhook's side, whose Date has whole seconds.
fn clock(ahead: SignedDuration, findings: &mut Findings) {
    let seconds = ahead.as_secs();
    let found = format!("this machine is {} s {}", seconds.abs(), if seconds < 0 { "behind" } else { "ahead" });
    let mend = "set this machine's clock by NTP";
    if ahead.abs() > TOO_FAR {
        findings.fail("clock", format!("{found}: signatures made here are refused"), mend);
    } else if ahead.abs() > SKEW {
        findings.warn("clock", found, mend);
    } else {
        findings.ok("clock", found);
    }
}

/// Looks at whether the readers refuse who has no token.
pub(super) async fn readers(deployment: &Deployment, findings: &mut Findings) {
    let Some(urls) = &deployment.urls else { return };
    for (name, url, body) in [
        ("/check-access", &urls.check_access, json!({"customerId": "byos-doctor", "featureId": "byos-doctor"})),
        ("/graphql", &urls.graphql, json!({"query": "{ __typename }"})),
    ] {
        let title = format!("{name}, no token");
        match ask(url, None, &body).await {
            // API Gateway's authorizers answer with either.
            Ok((401, _)) => findings.ok(title, "refused"),
            Ok((403, answer)) if answer.get("hasAccess").is_none() => findings.ok(title, "refused by API Gateway"),
            Ok((200 | 403, _)) => {
                findings.fail(title, "answered", "it lets everybody read: check its authorization, and that its secret is set")
            }
            Ok((status, _)) => findings.fail(title, format!("answers {status}"), "look at the function's log"),
            Err(error) => findings.fail(title, error, "check the address, and that this machine may reach it"),
        }
    }
}

/// Asks a reader.
pub(super) async fn ask(url: &str, token: Option<&str>, body: &Value) -> Result<(u16, Value), String> {
    let failed = |error: reqwest::Error| outcome::in_one_line(&error.without_url());
    let mut request = http::client().map_err(failed)?.post(url).timeout(DEADLINE);
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
    fn a_clock_may_be_a_little_off() {
        for (seconds, verdict) in
            [(0, Verdict::Ok), (-30, Verdict::Ok), (31, Verdict::Warn), (-299, Verdict::Warn), (301, Verdict::Fail)]
        {
            let mut findings = Findings::default();
            clock(SignedDuration::from_secs(seconds), &mut findings);
            assert_eq!(findings.0[0].verdict, verdict, "{seconds}: {findings:?}");
        }
    }
}
