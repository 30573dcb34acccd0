//! "History of a decision": the registers behind it in the order of their versions, with their age, and what the next
//! event has to be newer than.
//!
//! A register holds its newest version alone, so this is how far each part of the decision is, not every state it has
//! been in. When an event arrived is not stored either; the webhook's log has it.

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
    ask::{Asked, Problems, form},
    evidence::{self, Decided, Evidence, behind, counts},
    layout::{Tab, Tone, badge, empty, id, id_of, message_id, moment, name, table},
    text::{distance, duration},
    url,
};

pub(crate) async fn page(State(console): State<Console>, asked: Result<Query<Asked>, QueryRejection>) -> Response {
    let Ok(Query(asked)) = asked else {
        return console.bad_request(Tab::History, "The address takes `customer`, `feature` and `resource`, each once.");
    };
    let now = Timestamp::now();
    if asked.is_empty() {
        return console.ok(Tab::History, "History", &html! { (intro()) (form("history", &asked, &Problems::default(), &[])) });
    }
    match asked.request() {
        Ok(request) => match evidence::decide(&console.0.store, &request, now).await {
            Ok(decided) => {
                let main = html! {
                    (intro())
                    div.split {
                        (form("history", &asked, &Problems::default(), &decided.features))
                        div.answer { (timeline(&request, &decided, now)) }
                    }
                    (floors(&decided, now))
                };
                console.ok(Tab::History, "History", &main)
            }
            Err(error) => console.store_failed(Tab::History, &error),
        },
        Err(problems) => {
            let main = html! { (intro()) (form("history", &asked, &problems, &[])) };
            console.respond(StatusCode::BAD_REQUEST, Some(Tab::History), "History", &main)
        }
    }
}

fn intro() -> Markup {
    html! {
        header.intro {
            h1 { "History of a decision" }
            p.lead { "The newest event of each register that the decision stands on, and what the next one has to be newer than." }
        }
    }
}

/// The registers that are there, newest first.
fn timeline(request: &AccessRequest, decided: &Decided, now: Timestamp) -> Markup {
    let mut written: Vec<_> = decided.registers.iter().filter_map(|evidence| Some((evidence, evidence.part.as_ref()?))).collect();
    written.sort_by(|(_, one), (_, other)| other.version.cmp(&one.version));
    let newest = decided.newest();
    let decision = &decided.explanation.decision;
    let ask = url::decision("ask", &request.customer_id, &request.feature_id, request.resource_id.as_ref());
    html! {
        section aria-labelledby="timeline" {
            h2 #timeline {
                "Now: "
                @match decision.denied {
                    None => (badge(Tone::Good, "Granted")),
                    Some(reason) => { (badge(Tone::Bad, "Denied")) " " code { (format!("{reason:?}")) } }
                }
            }
            p { a href=(ask) { "Explain this decision" } }
            @if written.is_empty() {
                (empty("Nothing is stored that this decision could stand on."))
            } @else {
                ol.timeline {
                    @for (evidence, part) in &written {
                        li class=[evidence.counts.then_some("counts")] {
                            p.when {
                                (moment(part.version.time(), now))
                                @if let Some(behind) = behind(part, newest) {
                                    span.far { " · " (duration(behind)) " behind the newest" }
                                }
                            }
                            p { b { (name(&evidence.name)) } " " (counts(evidence)) }
                            p.far { (evidence.role) }
                            p { (message_id(&part.message_id)) }
                        }
                    }
                }
            }
        }
    }
}

fn floors(decided: &Decided, now: Timestamp) -> Markup {
    let newest = decided.newest();
    let columns = ["Register", "Age", "Behind the newest", "Its next event counts if it is newer than"];
    let rows = html! { @for evidence in &decided.registers { (row(evidence, newest, now)) } };
    html! {
        section aria-labelledby="floors" {
            h2 #floors { "What the next event has to be newer than" }
            (table("floors", "", &columns, &rows))
            div.hint {
                p {
                    "Versions are ordered by the event's time, then by its messageId. An event that is not newer than its"
                    " register is answered with " code { "stale" } " and changes nothing. A measurement that is newer than its"
                    " register, but not than a list that carries usage, is written and does not count."
                }
                p {
                    "A register holds its newest version alone, and not when it arrived. The webhook's log has both for every"
                    " event: look for the messageId, and its field " code { "lag_seconds" } "."
                }
            }
        }
    }
}

fn row(evidence: &Evidence, newest: Option<Timestamp>, now: Timestamp) -> Markup {
    html! {
        tr {
            th scope="row" { (name(&evidence.name)) span.far.under { (evidence.written_by) } }
            @match &evidence.part {
                Some(part) => {
                    td { (distance(part.version.time(), now)) }
                    td { @match behind(part, newest) { Some(behind) => (duration(behind)), None => "is the newest" } }
                }
                None => { td { span.far { "not stored" } } td { span.far { "–" } } }
            }
            td { @match &evidence.floor {
                Some(floor) => { div.event { time datetime=(floor.time_text()) { (floor.time_text()) } (id(id_of(floor))) } }
                None => { "anything: the first one counts" }
            } }
        }
    }
}
