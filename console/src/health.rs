//! The page "Health": the events in the queues, the functions' last hour where it is known, and the results of
//! `byos doctor --read-only`.
//!
//! The doctor's checks run on request, not on every page load: one of them presents a wrong secret to the webhook, and
//! four rejected requests in five minutes raise an alarm (template.yaml, WebhookRefusalsAlarm).

use std::time::Duration;

use axum::{
    extract::State,
    response::{IntoResponse as _, Redirect, Response},
};
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};
use tokio::{sync::Mutex, time::Instant};

use crate::{
    Console,
    layout::{Tab, Tone, badge, bar, empty, id, moment, table, tile},
    source::{Activity, Finding, Lag, Queue, QueueContent, Verdict, WaitingEvent},
    text::{count, duration, number, number_of, plain},
    url::link,
};

/// Results are cached for this time. It limits rejected requests to three in five minutes.
const CACHE_TIME: Duration = Duration::from_secs(120);

/// The page warns of a median lag above this number of seconds, the threshold of EventLagAlarm.
const LAG_WARNING_SECONDS: i64 = 300;

/// The last run of the doctor's checks.
#[derive(Default)]
pub(crate) struct DoctorCache(Mutex<Option<Run>>);

#[derive(Clone)]
struct Run {
    instant: Instant,
    time: Timestamp,
    findings: Vec<Finding>,
}

pub(crate) async fn page(State(console): State<Console>) -> Response {
    let now = Timestamp::now();
    let queues = console.0.source.queues().await;
    let run = console.0.doctor.0.lock().await.clone();
    let main = html! {
        header.intro {
            h1 { "Health" }
            p.lead { "Events in the queues, the last hour, and the checks of the deployment." }
        }
        (self::queues(&queues, now))
        (activity(console.0.source.activity().as_ref()))
        (doctor(run.as_ref(), now))
    };
    console.ok(Tab::Health, "Health", &main)
}

/// Runs the checks, unless their results are cached.
pub(crate) async fn run(State(console): State<Console>) -> Response {
    let mut run = console.0.doctor.0.lock().await;
    if run.as_ref().is_none_or(|run| run.instant.elapsed() >= CACHE_TIME) {
        let findings = console.0.source.doctor().await;
        *run = Some(Run { instant: Instant::now(), time: Timestamp::now(), findings });
    }
    Redirect::to(&link("health", &[])).into_response()
}

fn queues(queues: &[Queue], now: Timestamp) -> Markup {
    html! {
        section aria-labelledby="queues" {
            h2 #queues { "Queued events" }
            @if queues.is_empty() {
                (empty("No queues. The local stack has none: it answers 400 or 503 where a deployed stack queues the event."))
            }
            @for (index, queue) in queues.iter().enumerate() { (self::queue(index, queue, now)) }
        }
    }
}

fn queue(index: usize, queue: &Queue, now: Timestamp) -> Markup {
    let heading = format!("queue-{index}");
    html! {
        section.card aria-labelledby=(heading) {
            header.card-head {
                h3 id=(heading) {
                    (queue.name) " "
                    @match &queue.content {
                        Ok(QueueContent { count: 0, .. }) => (badge(Tone::Good, "Empty")),
                        Ok(content) => (badge(Tone::Warn, &format!("about {}", count(content.count, "event")))),
                        Err(_) => (badge(Tone::Bad, "Not readable")),
                    }
                }
                p { (queue.purpose) }
            }
            @match &queue.content {
                Err(error) => { p.why-hidden { (plain(error)) } }
                Ok(QueueContent { count: 0, .. }) => {}
                Ok(QueueContent { events: None, .. }) => {
                    p.hint { "The events are not shown: receiving them would count as an attempt to write them." }
                }
                Ok(QueueContent { events: Some(events), .. }) => { (queued_events(&heading, events, now)) }
            }
            @if let Ok(QueueContent { in_flight: in_flight @ 1.., .. }) = &queue.content {
                p.hint {
                    (count(*in_flight, "event"))
                    " in flight: being tried, or read by byos replay. They are back within three minutes."
                }
            }
        }
    }
}

fn queued_events(heading: &str, events: &[WaitingEvent], now: Timestamp) -> Markup {
    let rows = html! {
        @for event in events {
            tr {
                th scope="row" { @match &event.kind { Some(kind) => (id(kind)), None => span.far { "unknown" } } }
                td {
                    @match &event.customer { Some(customer) => (id(customer)), None => span.far { "not named" } }
                    @if let Some(subscription) = &event.subscription { br; span.far { "subscription " } (id(subscription)) }
                }
                td { @match &event.message_id { Some(message) => (id(message)), None => span.far { "none" } } }
                td { @match event.received { Some(time) => (moment(time, now)), None => span.far { "unknown" } } }
                td {
                    @match &event.problem {
                        Some(problem) => (plain(problem)),
                        None => { "It can: " code { "byos replay" } " writes it." }
                    }
                }
            }
        }
    };
    html! {
        @if events.is_empty() {
            p.hint { "SQS returned none of them this time. Reload the page." }
        } @else {
            (table(heading, "", &["Type", "Customer", "messageId", "Received", "Why it can't be applied"], &rows))
            p.hint { "A sample: SQS returns some of a queue's messages at a time. They stay in the queue." }
        }
    }
}

fn activity(activity: Option<&Activity>) -> Markup {
    html! {
        section aria-labelledby="activity" {
            h2 #activity { "The last hour" }
            @match activity {
                None => div.empty {
                    p { "The functions' metrics are in CloudWatch, which this console does not read." }
                    p {
                        "With Dashboard=on, the stack's dashboard has decisions by reason and the lag of events."
                        " docs/operations.md has queries for the logs."
                    }
                },
                Some(activity) => { (last_hour(activity)) }
            }
        }
    }
}

fn last_hour(activity: &Activity) -> Markup {
    let seconds = |seconds: i64| duration(SignedDuration::from_secs(seconds.max(0)));
    let outcomes: Vec<String> = activity.events.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
    let total: u64 = activity.decisions.values().sum();
    html! {
        ul.tiles aria-label="Events and decisions" {
            (tile(&number_of(activity.events.values().sum::<u64>()), "events", &outcomes.join(", "), Tone::Neutral))
            @if let Some(Lag { median, highest }) = activity.lag {
                @let tone = if median > LAG_WARNING_SECONDS { Tone::Warn } else { Tone::Neutral };
                (tile(&seconds(median), "median event lag", &format!("at most {}", seconds(highest)), tone))
            }
            (tile(&number_of(total), "decisions", "", Tone::Neutral))
        }
        @if total == 0 { (empty("No check has been decided.")) } @else { (decisions(activity, total)) }
        p.hint { "Counted in this process since it started. The sample data is dated in the past, so its lag is long." }
    }
}

fn decisions(activity: &Activity, total: u64) -> Markup {
    let mut by_count: Vec<_> = activity.decisions.iter().collect();
    by_count.sort_by(|one, other| other.1.cmp(one.1));
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let share = |count: u64| count as f64 / total as f64;
    let rows = html! {
        @for (reason, count) in by_count {
            tr {
                th scope="row" {
                    @match reason {
                        None => (badge(Tone::Good, "Granted")),
                        Some(reason) => { (badge(Tone::Bad, "Denied")) " " (id(reason)) }
                    }
                }
                td { (number_of(*count)) }
                td {
                    div.gauge {
                        p { (number((share(*count) * 100.0).round())) " %" }
                        (bar(share(*count), if reason.is_none() { Tone::Good } else { Tone::Bad }))
                    }
                }
            }
        }
    };
    table("activity", "", &["Decision", "Number", "Share"], &rows)
}

fn doctor(run: Option<&Run>, now: Timestamp) -> Markup {
    html! {
        section aria-labelledby="doctor" {
            div.headline {
                h2 #doctor { "Checks of the deployment" }
                form method="post" action=(link("health", &[])) {
                    button { @if run.is_some() { "Run again" } @else { "Run the checks" } }
                }
            }
            @match run {
                None => div.empty {
                    p {
                        "Not run yet. These are the checks of " code { "byos doctor --read-only" } ": tables, safeguards,"
                        " secrets, queues, unauthenticated requests to the functions, and the clock. They send no events. The local"
                        " stack's own console checks only the tables."
                    }
                    p { "One of them presents a wrong secret to the webhook, so results are cached for two minutes." }
                },
                Some(run) => {
                    p { "Run at " (moment(run.time, now)) ": " (summary(&run.findings)) }
                    ul.findings.card { @for finding in &run.findings { (self::finding(finding)) } }
                }
            }
        }
    }
}

fn summary(findings: &[Finding]) -> String {
    let count_of = |verdict: Verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let (ok, warnings, failures) = (count_of(Verdict::Ok), count_of(Verdict::Warn), count_of(Verdict::Fail));
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
                @if let Some(fix) = &finding.fix { p.far { "→ " (plain(fix)) } }
            }
        }
    }
}
