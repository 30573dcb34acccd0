//! A customer's page: what readers see of it, what they don't and why, and the event behind each part.

mod credits;
mod entitlements;
mod hidden;
mod subscriptions;

use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::StatusCode,
    response::Response,
};
use domain::{customer::CustomerState, id::Id};
use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;

use crate::{
    Console,
    find::standing,
    layout::{Tab, Tone, Window, badge, event, fact, id, moment_of, name, notice, table, tile},
    report::{Entitlement, Part, Report, Scope},
    text::number_of,
    url::link,
};
use subscriptions::plan_of;

/// From this share of its limit on, usage is near it.
const NEAR: f64 = 0.8;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    /// The customer.
    id: String,
    /// A part of a feature's or a resource's id.
    filter: String,
    /// One of [`ONLY`].
    only: String,
    /// The page of entitlements, from 1.
    page: Option<String>,
    /// The page of subscriptions, from 1.
    subscriptions: Option<String>,
}

/// Which entitlements are shown.
const ONLY: [(&str, &str); 4] =
    [("", "All entitlements"), ("denied", "Denied"), ("near", "Near the limit"), ("granted", "Granted")];

pub(crate) async fn page(State(console): State<Console>, asked: Result<Query<Asked>, QueryRejection>) -> Response {
    let Ok(Query(asked)) = asked else { return console.bad_request(Tab::Find, "The address names a customer by `id`.") };
    let customer_id = match Id::try_from(asked.id.as_str()) {
        Ok(id) => id,
        Err(error) => return console.bad_request(Tab::Find, &format!("`id` {error}.")),
    };
    let now = Timestamp::now();
    let stored = match console.0.store.stored_customer(&customer_id).await {
        Ok(stored) => stored,
        Err(error) => return console.store_failed(Tab::Find, &error),
    };
    let Some(stored) = stored else {
        let what = format!("Nothing is stored under the id {customer_id}.");
        let advice = "No event of it has come, or it was deleted more than 30 days ago. Checks answer CustomerNotFound.";
        let main = notice("No such customer", &what, Some(advice));
        return console.respond(StatusCode::NOT_FOUND, Some(Tab::Find), "No such customer", &main);
    };
    match Report::of(&customer_id, &stored, now) {
        Ok(report) => {
            let view = View { report: &report, asked: &asked, now };
            console.ok(Tab::Find, customer_id.as_str(), &view.page(stored.registers.state()))
        }
        Err(error) => console.store_failed(Tab::Find, &error),
    }
}

struct View<'a> {
    report: &'a Report,
    asked: &'a Asked,
    now: Timestamp,
}

/// An entitlement in its scope.
type Row<'a> = (&'a Scope, &'a Entitlement);

impl View<'_> {
    fn page(&self, standing: CustomerState) -> Markup {
        html! {
            (self.head(standing))
            (self.tiles())
            (self.hidden())
            (self.entitlements())
            (self.credits())
            (self.subscriptions())
            (self.registers())
        }
    }

    fn head(&self, is: CustomerState) -> Markup {
        let Report { customer_id, visible, .. } = self.report;
        let profile = visible.as_ref().map(|visible| &visible.profile);
        let text = |text: Option<&String>| match text {
            Some(text) => name(text),
            None => html! { span.far { "none" } },
        };
        html! {
            header.subject {
                h1 {
                    @match profile.and_then(|profile| profile.name.as_ref()) {
                        Some(text) => (name(text)),
                        None => (id(customer_id.as_str())),
                    }
                    " " (standing(is))
                    a.act href=(link("ask", &[("customer", customer_id.as_str())])) { "Ask for a decision" }
                }
                dl.facts {
                    (fact("Id", &id(customer_id.as_str())))
                    @if let Some(profile) = profile {
                        (fact("E-mail", &text(profile.email.as_ref())))
                        (fact("Billing id", &text(profile.billing_id.as_ref())))
                    }
                    @if let Some(visible) = visible {
                        (fact("Created", &match &visible.created_at {
                            Some(time) => moment_of(time, self.now),
                            None => html! { span.far { "not known: no customer.created came" } },
                        }))
                        (fact("Updated", &moment_of(&visible.updated_at, self.now)))
                    }
                }
            }
        }
    }

    fn tiles(&self) -> Markup {
        let granted = self.rows().filter(|(_, entitlement)| entitlement.check.has_access).count();
        let denied = self.rows().count() - granted;
        let near = self.rows().filter(|row| self.is_near(row)).count();
        let seen = self.report.subscriptions.iter().filter(|subscription| subscription.hidden.is_none()).count();
        let unseen = self.report.subscriptions.len() - seen;
        let plans: Vec<&str> = self.report.subscriptions.iter().filter(|it| it.hidden.is_none()).filter_map(plan_of).collect();
        let note = if unseen > 0 { format!("{unseen} hidden") } else { plans.join(", ") };
        let tone = |count: usize, tone: Tone| if count == 0 { Tone::Neutral } else { tone };
        html! {
            ul.tiles aria-label="Summary" {
                (tile(&number_of(granted), "granted", "by a check that requests nothing", tone(granted, Tone::Good)))
                (tile(&number_of(denied), "denied", "", tone(denied, Tone::Bad)))
                (tile(&number_of(near), "near or at the limit", "80 % or more is used", tone(near, Tone::Warn)))
                (tile(&number_of(seen), if seen == 1 { "subscription" } else { "subscriptions" }, &note, Tone::Neutral))
            }
        }
    }

    /// This page with another window.
    fn to(&self, page: usize, subscriptions: usize) -> String {
        let Asked { id, filter, only, .. } = self.asked;
        let number = |page: usize| if page > 1 { page.to_string() } else { String::new() };
        let (page, subscriptions) = (number(page), number(subscriptions));
        link("customer", &[("id", id), ("filter", filter), ("only", only), ("page", &page), ("subscriptions", &subscriptions)])
    }

    fn windows(&self) -> (Window, Window) {
        let entitlements = self.rows().filter(|row| self.is_shown(row)).count();
        (
            Window::new(self.asked.page.as_deref(), entitlements),
            Window::new(self.asked.subscriptions.as_deref(), self.report.subscriptions.len()),
        )
    }

    /// The customer's own registers.
    fn registers(&self) -> Markup {
        let registers = &self.report.registers;
        let rows = html! {
            (self.register("Profile", "customer.created, customer.updated", registers.profile.as_ref()))
            (self.register("Embedded", "subscriptions and lists that show it live", registers.embedded.as_ref()))
            (self.register("Creation", "customer.created", registers.creation.as_ref()))
            (self.register("Tombstone", "customer.deleted", registers.tombstone.as_ref()))
        };
        html! {
            section aria-labelledby="registers" {
                h2 #registers { "Events behind the customer" }
                (table("registers", "", &["Register", "Written by", "Last event", "Seen"], &rows))
                p.hint {
                    "Read consistently at " (self.now.strftime("%Y-%m-%d %H:%M:%S")) ". Everything at once, for machines: "
                    code { "byos show --json" }
                }
            }
        }
    }

    fn register<T>(&self, register: &str, written_by: &str, part: Option<&Part<T>>) -> Markup {
        html! {
            tr {
                th scope="row" { (register) }
                td.far { (written_by) }
                @match part {
                    Some(part) => {
                        td { (event(part, self.now)) }
                        td { @if part.exists { "yes" } @else { (badge(Tone::Warn, "Below the deletion")) } }
                    }
                    None => { td { span.far { "not stored" } } td { span.far { "–" } } }
                }
            }
        }
    }
}

fn scope_name(scope: &Scope) -> Markup {
    match &scope.resource_id {
        None => html! { "Customer level" },
        Some(resource) => html! { "Resource " (id(resource.as_str())) },
    }
}
