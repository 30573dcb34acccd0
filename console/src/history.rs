//! The page "History": the registers behind a decision in version order, with their age, and the version that the next
//! event must exceed.
//!
//! A register holds only its newest version, and not when its event arrived. The webhook's log has earlier events and
//! their arrival.

use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::StatusCode,
    response::Response,
};
use domain::access::AccessRequest;
use jiff::Timestamp;
use maud::{Markup, html};

use crate::{
    Console,
    check::{CheckParameters, FieldErrors, VALID_PARAMETERS, form},
    decision::{self, DecisionRegister, ExplainedDecision, behind, counts_badge},
    layout::{Tab, Tone, badge, empty, id, id_of, message_id, moment, name, table},
    text::{distance, duration, number},
    url,
};

pub(crate) async fn page(State(console): State<Console>, parameters: Result<Query<CheckParameters>, QueryRejection>) -> Response {
    let Ok(Query(parameters)) = parameters else {
        return console.bad_request(Tab::History, VALID_PARAMETERS);
    };
    let now = Timestamp::now();
    if parameters.is_empty() {
        return console.ok(
            Tab::History,
            "History",
            &html! { (intro()) (form("history", &parameters, &FieldErrors::default(), &[])) },
        );
    }
    match parameters.request() {
        Ok(request) => match decision::explain_check(&console.0.store, &request, now).await {
            Ok(explained) => {
                let main = html! {
                    (intro())
                    div.split {
                        (form("history", &parameters, &FieldErrors::default(), &explained.features))
                        div.answer { (timeline(&request, &explained, now)) }
                    }
                    (floors(&explained, now))
                };
                console.ok(Tab::History, "History", &main)
            }
            Err(error) => console.store_failed(Tab::History, &error),
        },
        Err(errors) => {
            let main = html! { (intro()) (form("history", &parameters, &errors, &[])) };
            console.respond(StatusCode::BAD_REQUEST, Some(Tab::History), "History", &main)
        }
    }
}

fn intro() -> Markup {
    html! {
        header.intro {
            h1 { "History of a decision" }
            p.lead { "The newest event of each register behind the decision, and the version that the next event must exceed." }
        }
    }
}

/// The stored registers, newest first.
fn timeline(request: &AccessRequest, explained: &ExplainedDecision, now: Timestamp) -> Markup {
    let stored = explained.registers.iter().filter_map(|register| Some((register, register.stored.as_ref()?)));
    let mut written: Vec<_> = stored.collect();
    written.sort_by(|(_, one), (_, other)| other.version.cmp(&one.version));
    let newest = explained.newest();
    let decision = &explained.explanation.decision;
    let check = url::decision("check", request);
    html! {
        section aria-labelledby="timeline" {
            h2 #timeline {
                "Now: "
                @match decision.denied {
                    None => (badge(Tone::Good, "Granted")),
                    Some(reason) => { (badge(Tone::Bad, "Denied")) " " code { (format!("{reason:?}")) } }
                }
                @if request.requested_usage > 0.0 { span.far { " with " (number(request.requested_usage)) " requested" } }
            }
            p { a href=(check) { "Explain this decision" } }
            @if written.is_empty() {
                (empty("No register behind this decision is stored."))
            } @else {
                ol.timeline {
                    @for (register, stored) in &written {
                        li class=[register.counts.then_some("counts")] {
                            p.when {
                                (moment(stored.version.time(), now))
                                @if let Some(behind) = behind(stored, newest) {
                                    span.far { " · " (duration(behind)) " older than the newest" }
                                }
                            }
                            p { b { (name(&register.name)) } " " (counts_badge(register)) }
                            p.far { (register.role) }
                            p { (message_id(&stored.message_id)) }
                        }
                    }
                }
            }
        }
    }
}

fn floors(explained: &ExplainedDecision, now: Timestamp) -> Markup {
    let newest = explained.newest();
    let columns = ["Register", "Age", "Older than the newest by", "The next event counts if it is newer than"];
    let rows = html! { @for register in &explained.registers { (row(register, newest, now)) } };
    html! {
        section aria-labelledby="floors" {
            h2 #floors { "Versions that the next event must exceed" }
            (table("floors", "", &columns, &rows))
            div.hint {
                p {
                    "Versions are ordered by the event's time, then by its messageId. The time is " code { "timestamp" } "; for a list,"
                    " it is " code { "entitlementsUpdatedAt" } ". A register does not change if the event is not newer. If no"
                    " register changes, the event is answered with " code { "stale" } ". A measurement that is newer than its"
                    " register, but not newer than a list with usage, is written but does not count."
                }
                p {
                    "A register holds only its newest version, and not when its event arrived. The webhook's log has every"
                    " event: search for its messageId. The field " code { "lag_seconds" } " is the time from event to arrival."
                }
            }
        }
    }
}

fn row(register: &DecisionRegister, newest: Option<Timestamp>, now: Timestamp) -> Markup {
    html! {
        tr {
            th scope="row" { (name(&register.name)) span.far.under { (register.written_by) } }
            @match &register.stored {
                Some(stored) => {
                    td { (distance(stored.version.time(), now)) }
                    td { @match behind(stored, newest) { Some(behind) => (duration(behind)), None => "is the newest" } }
                }
                None => { td { span.far { "not stored" } } td { span.far { "–" } } }
            }
            td { @match &register.floor {
                Some(floor) => { div.event { time datetime=(floor.time_text()) { (floor.time_text()) } (id(id_of(floor))) } }
                None => { "any: every event counts" }
            } }
        }
    }
}
