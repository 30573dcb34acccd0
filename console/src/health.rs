//! "Health": what waits in the queues, what the functions did in the last hour where that can be read, and what
//! `byos doctor --read-only` says.
//!
//! The checks run when they are asked for, not with every reload: one of them presents a wrong secret to the webhook,
//! and four refused requests within five minutes raise an alarm (template.yaml, WebhookRefusalsAlarm).

use std::time::Duration;

use axum::{
    extract::State,
    response::{IntoResponse as _, Redirect, Response},
};
use jiff::Timestamp;
use maud::{Markup, html};
use tokio::{sync::Mutex, time::Instant};

use crate::{
    Console,
    layout::{Tab, Tone, badge, bar, empty, id, moment, tile},
    source::{Activity, Finding, Queue, QueueContent, Verdict, WaitingEvent},
    text::{count, duration, number, plain},
    url::link,
};

/// How long the results of the checks are shown again instead of running them again: at most three refused requests
/// in five minutes.
const FRESH: Duration = Duration::from_secs(120);

/// The last run of the checks.
#[derive(Default)]
pub(crate) struct Doctor(Mutex<Option<Run>>);

#[derive(Clone)]
struct Run {
    since: Instant,
    at: Timestamp,
    findings: Vec<Finding>,
}

pub(crate) async fn page(State(console): State<Console>) -> Response {
    let now = Timestamp::now();
    let queues = console.0.source.queues().await;
    let run = console.0.doctor.0.lock().await.clone();
    let main = html! {
        header.intro { h1 { "Health" } p.lead { "What waits, what happened in the last hour, and whether the deployment is as it should be." } }
        (self::queues(&queues, now))
        (activity(console.0.source.activity().as_ref()))
        (doctor(run.as_ref(), now))
    };
    console.ok(Tab::Health, "Health", &main)
}

/// Runs the checks, unless they have just run.
pub(crate) async fn run(State(console): State<Console>) -> Response {
    let mut run = console.0.doctor.0.lock().await;
    if !run.as_ref().is_some_and(|run| run.since.elapsed() < FRESH) {
        let findings = console.0.source.doctor().await;
        *run = Some(Run { since: Instant::now(), at: Timestamp::now(), findings });
    }
    Redirect::to(&link("health", &[])).into_response()
}

fn queues(queues: &[Queue], now: Timestamp) -> Markup {
    html! {
        section aria-labelledby="queues" {
            h2 #queues { "Events that wait" }
            @if queues.is_empty() {
                (empty("This deployment has no queues that are known here. The local stack has none: it answers 400 or 503 instead of keeping an event."))
            }
            @for queue in queues { (self::queue(queue, now)) }
        }
    }
}

fn queue(queue: &Queue, now: Timestamp) -> Markup {
    html! {
        section.card aria-label=(queue.name) {
            header.card-head {
                h3 {
                    (queue.name) " "
                    @match &queue.content {
                        Ok(QueueContent { count: 0, .. }) => (badge(Tone::Good, "Empty")),
                        Ok(content) => (badge(Tone::Warn, &format!("about {}", count(usize::try_from(content.count).unwrap_or(usize::MAX), "event")))),
                        Err(_) => (badge(Tone::Bad, "Not readable")),
                    }
                }
                p { (queue.purpose) }
            }
            @match &queue.content {
                Err(error) => { p.why-hidden { (plain(error)) } }
                Ok(QueueContent { count: 0, .. }) => {}
                Ok(QueueContent { events: None, .. }) => { p.hint { "Not looked into: reading it would count as a try to write the events." } }
                Ok(QueueContent { events: Some(events), .. }) => { (waiting(queue.name, events, now)) }
            }
        }
    }
}

fn waiting(queue: &str, events: &[WaitingEvent], now: Timestamp) -> Markup {
    html! {
        div.scroll tabindex="0" role="group" aria-label={ "Events in the " (queue) } {
            table {
                thead { tr { th scope="col" { "Type" } th scope="col" { "messageId" } th scope="col" { "Received" } th scope="col" { "Why it waits" } } }
                tbody {
                    @for event in events {
                        tr {
                            th scope="row" { @match &event.kind { Some(kind) => (id(kind)), None => span.far { "not told" } } }
                            td { @match &event.message_id { Some(message) => (id(message)), None => span.far { "none" } } }
                            td { @match event.received { Some(time) => (moment(time, now)), None => span.far { "not told" } } }
                            td { @match &event.problem {
                                Some(problem) => (plain(problem)),
                                None => "This version can apply it: `byos replay` writes it.",
                            } }
                        }
                    }
                }
            }
        }
        p.hint { "A sample: SQS shows some of a queue's messages at a time. Looking leaves them where they are." }
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn activity(activity: Option<&Activity>) -> Markup {
    let seconds = |seconds: i64| duration(jiff::SignedDuration::from_secs(seconds.max(0)));
    html! {
        section aria-labelledby="activity" {
            h2 #activity { "The last hour" }
            @match activity {
                None => div.empty {
                    p { "The functions' metrics are in CloudWatch, which this console does not read." }
                    p { "The stack's dashboard has the decisions by reason and the lag of events; docs/operations.md has the queries of their logs." }
                },
                Some(activity) => {
                    ul.tiles aria-label="Events and decisions" {
                        (tile(&number(activity.events.values().sum::<u64>() as f64), "events", &activity.events.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect::<Vec<_>>().join(", "), Tone::Neutral))
                        @if let Some(lag) = activity.lag {
                            (tile(&seconds(lag.median), "median event lag", &format!("at most {}", seconds(lag.highest)), if lag.median > 300 { Tone::Warn } else { Tone::Neutral }))
                        }
                        (tile(&number(activity.decisions.values().sum::<u64>() as f64), "decisions", "", Tone::Neutral))
                    }
                    (decisions(activity))
                    p.hint { "Of this process, since it started. The sample data are dated in the past, so their lag is long." }
                }
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn decisions(activity: &Activity) -> Markup {
    let total = activity.decisions.values().sum::<u64>().max(1) as f64;
    let mut by: Vec<_> = activity.decisions.iter().collect();
    by.sort_by(|one, other| other.1.cmp(one.1));
    html! {
        @if by.is_empty() { (empty("No check has been decided.")) } @else {
            div.card.scroll tabindex="0" role="group" aria-label="Decisions by reason" {
                table {
                    thead { tr { th scope="col" { "Decision" } th scope="col" { "Number" } th scope="col" { "Share" } } }
                    tbody { @for (reason, count) in by {
                        tr {
                            th scope="row" { @match reason { None => (badge(Tone::Good, "Granted")), Some(reason) => { (badge(Tone::Bad, "Denied")) " " (id(reason)) } } }
                            td { (number(*count as f64)) }
                            td { div.gauge { p { (number((*count as f64 / total * 100.0).round())) " %" } (bar(*count as f64 / total, if reason.is_none() { Tone::Good } else { Tone::Bad })) } }
                        }
                    } }
                }
            }
        }
    }
}

fn doctor(run: Option<&Run>, now: Timestamp) -> Markup {
    html! {
        section aria-labelledby="doctor" {
            div.headline {
                h2 #doctor { "Checks of the deployment" }
                form method="post" action=(link("health", &[])) { button { @if run.is_some() { "Run again" } @else { "Run the checks" } } }
            }
            @match run {
                None => div.empty {
                    p { "Not run yet. They are those of " code { "byos doctor --read-only" } ": tables, safeguards, secrets, queues, what the functions answer to strangers, and the clock. They send no events." }
                    p { "One of them presents a wrong secret to the webhook, so results are kept for two minutes." }
                },
                Some(run) => {
                    p { "Run at " (moment(run.at, now)) ": " (summary(&run.findings)) }
                    ul.findings.card { @for finding in &run.findings { (self::finding(finding)) } }
                }
            }
        }
    }
}

fn summary(findings: &[Finding]) -> String {
    let of = |verdict: Verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let (ok, warnings, failures) = (of(Verdict::Ok), of(Verdict::Warn), of(Verdict::Fail));
    format!("{ok} ok, {}, {}.", count(warnings, "warning"), count(failures, "failure"))
}

fn finding(finding: &Finding) -> Markup {
    let (tone, word) = match finding.verdict {
        Verdict::Ok => (Tone::Good, "ok"),
        Verdict::Warn => (Tone::Warn, "warning"),
        Verdict::Fail => (Tone::Bad, "failure"),
    };
    html! {
        li {
            (badge(tone, word))
            div {
                p { b { (plain(&finding.name)) } ": " (plain(&finding.found)) }
                @if let Some(mend) = &finding.mend { p.far { "→ " (plain(mend)) } }
            }
        }
    }
}
