//! A customer's page: the data that readers see, hidden data with the reason, and the event that wrote each register.

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
    customers::state_badge,
    layout::{Tab, Tone, Window, badge, event, fact, id, moment_of, name, notice, table, tile},
    report::{Entitlement, Report, Scope, StoredRegister, Subscription},
    text::number_of,
    url::link,
};
use subscriptions::plan_of;

/// Usage of this share of its limit or more counts as near the limit.
const NEAR_LIMIT: f64 = 0.8;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Parameters {
    /// The customer.
    id: String,
    /// Substring of a feature's or a resource's id.
    filter: String,
    /// One of [`CHECK_FILTERS`].
    only: String,
    /// The page of entitlements, from 1.
    page: Option<String>,
    /// The page of subscriptions, from 1.
    subscriptions: Option<String>,
}

/// Filters of entitlements by the result of their check: the parameter's value, and its label.
const CHECK_FILTERS: [(&str, &str); 4] =
    [("", "All entitlements"), ("denied", "Denied"), ("near", "Near the limit"), ("granted", "Granted")];

pub(crate) async fn page(State(console): State<Console>, parameters: Result<Query<Parameters>, QueryRejection>) -> Response {
    let Ok(Query(parameters)) = parameters else {
        return console.bad_request(Tab::Customers, "The parameter `id` must name a customer.");
    };
    let customer_id = match Id::try_from(parameters.id.as_str()) {
        Ok(id) => id,
        Err(error) => return console.bad_request(Tab::Customers, &format!("`id` {error}.")),
    };
    let now = Timestamp::now();
    let stored = match console.0.store.stored_customer(&customer_id).await {
        Ok(stored) => stored,
        Err(error) => return console.store_failed(Tab::Customers, &error),
    };
    let Some(stored) = stored else {
        let what = format!("No data is stored for the id {customer_id}.");
        let advice =
            "No event of this customer was received, or it was deleted more than 30 days ago. Checks answer CustomerNotFound.";
        let main = notice("No such customer", &what, Some(advice));
        return console.respond(StatusCode::NOT_FOUND, Some(Tab::Customers), "No such customer", &main);
    };
    match Report::of(&customer_id, &stored, now) {
        Ok(report) => {
            let view = View { report: &report, parameters: &parameters, now };
            console.ok(Tab::Customers, customer_id.as_str(), &view.page(stored.registers.state()))
        }
        Err(error) => console.store_failed(Tab::Customers, &error),
    }
}

struct View<'a> {
    report: &'a Report,
    parameters: &'a Parameters,
    now: Timestamp,
}

/// An entitlement in its scope.
type Row<'a> = (&'a Scope, &'a Entitlement);

impl View<'_> {
    fn page(&self, state: CustomerState) -> Markup {
        html! {
            (self.head(state))
            (self.tiles())
            (self.hidden())
            (self.entitlements())
            (self.credits())
            (self.subscriptions())
            (self.registers())
        }
    }

    fn head(&self, state: CustomerState) -> Markup {
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
                    " " (state_badge(state))
                    a.act href=(link("check", &[("customer", customer_id.as_str())])) { "Check access" }
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
                            None => html! { span.far { "unknown: no customer.created was received" } },
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
        let visible = self.report.subscriptions.iter().filter(|subscription| subscription.hidden.is_none());
        let status = |subscription: &Subscription| subscription.status.as_ref().map_or("", |status| &status.value).to_owned();
        let plans =
            visible.clone().filter_map(|subscription| Some(format!("{} ({})", plan_of(subscription)?, status(subscription))));
        let plans: Vec<String> = plans.collect();
        let visible = visible.count();
        let hidden = self.report.subscriptions.len() - visible;
        let note = if hidden > 0 { format!("{hidden} hidden") } else { plans.join(", ") };
        let tone = |count: usize, tone: Tone| if count == 0 { Tone::Neutral } else { tone };
        html! {
            ul.tiles aria-label="Summary" {
                (tile(&number_of(granted), "granted", "by a check that requests nothing", tone(granted, Tone::Good)))
                (tile(&number_of(denied), "denied", "", tone(denied, Tone::Bad)))
                (tile(&number_of(near), "near or at the limit", "80 % or more is used", tone(near, Tone::Warn)))
                (tile(&number_of(visible), if visible == 1 { "subscription" } else { "subscriptions" }, &note, Tone::Neutral))
            }
        }
    }

    /// A link to another page of the entitlements or subscriptions.
    fn link_to(&self, page: usize, subscriptions: usize) -> String {
        let Parameters { id, filter, only, .. } = self.parameters;
        let number = |page: usize| if page > 1 { page.to_string() } else { String::new() };
        let (page, subscriptions) = (number(page), number(subscriptions));
        link("customer", &[("id", id), ("filter", filter), ("only", only), ("page", &page), ("subscriptions", &subscriptions)])
    }

    fn windows(&self) -> (Window, Window) {
        let entitlements = self.rows().filter(|row| self.is_shown(row)).count();
        (
            Window::new(self.parameters.page.as_deref(), entitlements),
            Window::new(self.parameters.subscriptions.as_deref(), self.report.subscriptions.len()),
        )
    }

    fn registers(&self) -> Markup {
        let registers = &self.report.registers;
        let rows = html! {
            (self.register("Profile", "customer.created, customer.updated", registers.profile.as_ref()))
            (self.register("Embedded", "subscriptions and lists that show that it is live", registers.embedded.as_ref()))
            (self.register("Creation", "customer.created", registers.creation.as_ref()))
            (self.register("Tombstone", "customer.deleted", registers.tombstone.as_ref()))
        };
        html! {
            section aria-labelledby="registers" {
                h2 #registers { "Events behind the customer" }
                (table("registers", "", &["Register", "Written by", "Last event", "Visible"], &rows))
                p.hint {
                    "Strongly consistent read at " (self.now.strftime("%Y-%m-%d %H:%M:%S")) ". All data as JSON: "
                    code { "byos show --json" }
                }
            }
        }
    }

    fn register<T>(&self, name: &str, written_by: &str, register: Option<&StoredRegister<T>>) -> Markup {
        html! {
            tr {
                th scope="row" { (name) }
                td.far { (written_by) }
                @match register {
                    Some(register) => {
                        td { (event(register, self.now)) }
                        td { @if register.exists { "yes" } @else { (badge(Tone::Warn, "Not above the deletion")) } }
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
