//! A customer's subscriptions, including hidden ones.

use maud::{Markup, html};
use serde_json::Value;

use super::View;
use crate::{
    layout::{Tone, badge, empty, fact, id, message_id, moment_of, name, value},
    report::Subscription,
};

/// Labels and JSON members.
const DATES: [(&str, &str); 5] = [
    ("Starts", "startDate"),
    ("Ends", "endDate"),
    ("Trial ends", "trialEndDate"),
    ("Canceled", "cancellationDate"),
    ("Billing period ends", "currentBillingPeriodEnd"),
];
const DETAILS: [(&str, &str); 3] = [("Resource", "resourceId"), ("Billing period", "billingPeriod"), ("Billing id", "billingId")];

impl View<'_> {
    pub(super) fn subscriptions(&self) -> Markup {
        let all = &self.report.subscriptions;
        let (entitlements, window) = self.windows();
        let (start, end) = window.bounds();
        html! {
            section aria-labelledby="subscriptions" {
                h2 #subscriptions { "Subscriptions" }
                @if all.is_empty() { (empty("No subscription is stored.")) } @else {
                    ul.cards {
                        @for subscription in all.iter().skip(start).take(end - start) {
                            li.card { (self.subscription(subscription)) }
                        }
                    }
                }
                (window.links("Subscriptions", |page| self.link_to(entitlements.page, page)))
            }
        }
    }

    fn subscription(&self, subscription: &Subscription) -> Markup {
        let Subscription { subscription_id, hidden, is_listed, expires_at, status, dates, details, .. } = subscription;
        let tone = match status.as_ref().map(|status| status.value.as_str()) {
            Some("ACTIVE" | "IN_TRIAL") => Tone::Good,
            Some("PAYMENT_PENDING" | "NOT_STARTED") => Tone::Warn,
            _ => Tone::Neutral,
        };
        let detail = |name: &str| details.as_ref().and_then(|register| register.value.get(name)).filter(|value| !value.is_null());
        let date = |name: &str| dates.as_ref().and_then(|register| register.value.get(name)).and_then(Value::as_str);
        let owner = detail("customerId").filter(|owner| owner.as_str() != Some(self.report.customer_id.as_str()));
        html! {
            header.card-head {
                h3 {
                    @match plan_of(subscription) { Some(plan) => (name(plan)), None => "Unknown plan" }
                    " "
                    @if let Some(status) = status { (badge(tone, &status.value)) }
                    @if hidden.is_some() { " " (badge(Tone::Warn, "Hidden")) }
                    @else if !is_listed { " " (badge(Tone::Warn, "Not in the indexes")) }
                }
                (id(subscription_id.as_str()))
            }
            @if let Some(reason) = hidden { p.why-hidden { "Hidden from readers: " (reason) "." } }
            dl.facts {
                @for (term, name) in DATES {
                    @if let Some(time) = date(name) { (fact(term, &moment_of(time, self.now))) }
                }
                @for (term, name) in DETAILS {
                    @if let Some(of) = detail(name) { (fact(term, &value(of))) }
                }
                @if let Some(owner) = owner { (fact("Customer", &value(owner))) }
                @if let Some((time, message)) = newest(subscription) {
                    (fact("Last event", &html! { div.event { (moment_of(time, self.now)) (message_id(message)) } }))
                }
                @if let Some(time) = expires_at { (fact("Removed by TTL after", &moment_of(time, self.now))) }
            }
        }
    }
}

/// Time and messageId of the newest event that wrote the subscription.
fn newest(Subscription { status, dates, details, .. }: &Subscription) -> Option<(&str, &str)> {
    let status = status.as_ref().map(|register| (&register.version, &register.time, &register.message_id));
    let dates = dates.as_ref().map(|register| (&register.version, &register.time, &register.message_id));
    let details = details.as_ref().map(|register| (&register.version, &register.time, &register.message_id));
    let (_, time, message) = [status, dates, details].into_iter().flatten().max()?;
    Some((time, message))
}

pub(super) fn plan_of(subscription: &Subscription) -> Option<&str> {
    subscription.details.as_ref().and_then(|register| register.value.get("planName")).and_then(Value::as_str)
}
