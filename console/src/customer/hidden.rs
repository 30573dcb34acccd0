//! What readers don't see of a customer, and why.

use maud::{Markup, html};

use super::{View, scope_name};
use crate::{
    layout::{event, id, moment_of},
    text::count,
};

/// Most hidden subscriptions that are named here; their own cards say why too.
const SUBSCRIPTIONS: usize = 20;

impl View<'_> {
    pub(super) fn hidden(&self) -> Markup {
        let mut points = self.hidden_customer();
        points.extend(self.hidden_parts());
        if let Some(time) = &self.report.expires_at {
            points.push(html! { "DynamoDB's TTL removes the customer's item after " (moment_of(time, self.now)) "." });
        }
        html! {
            @if !points.is_empty() {
                section.hidden-data aria-labelledby="hidden" {
                    h2 #hidden { "Hidden from readers, and why" }
                    ul { @for point in &points { li { (point) } } }
                }
            }
        }
    }

    /// Why the customer itself is not seen.
    fn hidden_customer(&self) -> Vec<Markup> {
        let registers = &self.report.registers;
        let mut points = Vec::new();
        match self.report.state {
            "deleted" => points.push(html! {
                b { "The customer is deleted." } " Checks answer CustomerIsArchived, and no list shows it. "
                @if let Some(tombstone) = &registers.tombstone { (event(tombstone, self.now)) }
            }),
            "unknown" => points.push(html! {
                b { "Nothing shows that the customer exists." }
                " Only data that depends on it has come. Checks answer CustomerNotFound until a customer.created, a live"
                " subscription or a list with entitlements comes."
            }),
            _ if !self.report.is_listed => points.push(html! {
                b { "The customer is live but not in the indexes." }
                " The writer that lists it was interrupted. The same event again, or the next one, completes it."
            }),
            _ => {}
        }
        let below = [
            ("profile", registers.profile.as_ref().is_some_and(|part| !part.exists)),
            ("embedded data", registers.embedded.as_ref().is_some_and(|part| !part.exists)),
            ("creation", registers.creation.as_ref().is_some_and(|part| !part.exists)),
        ];
        let below: Vec<&str> = below.into_iter().filter(|(_, is_below)| *is_below).map(|(what, _)| what).collect();
        if !below.is_empty() {
            points.push(html! {
                b { "Below the deletion: " } (below.join(", "))
                ". An event older than the deletion wrote it, or it is not removed yet."
            });
        }
        points
    }

    /// Why what depends on the customer is not seen.
    fn hidden_parts(&self) -> Vec<Markup> {
        let report = self.report;
        let mut points = Vec::new();
        for scope in report.scopes.iter().filter(|scope| scope.list.as_ref().is_some_and(|list| !list.exists)) {
            points.push(html! { b { "Below the deletion: " } "the list of entitlements of " (scope_name(scope)) "." });
        }
        let orphaned: usize =
            report.scopes.iter().filter(|scope| scope.list.is_none()).map(|scope| scope.entitlements.len()).sum();
        if orphaned > 0 {
            points.push(html! {
                b { "Usage without a list: " } (count(orphaned, "feature"))
                " with usage in a scope of which no list is stored. Usage alone grants nothing."
            });
        }
        if report.has_waiting_subscriptions {
            points.push(html! {
                b { "Subscriptions wait for the customer." }
                " They are complete, and are shown once an event shows the customer live."
            });
        }
        let hidden = report.subscriptions.iter().filter_map(|subscription| Some((subscription, subscription.hidden?)));
        for (subscription, reason) in hidden.clone().take(SUBSCRIPTIONS) {
            points.push(html! { b { "Subscription " (id(subscription.subscription_id.as_str())) ": " } (reason) "." });
        }
        let more = hidden.count().saturating_sub(SUBSCRIPTIONS);
        if more > 0 {
            points.push(html! { (count(more, "more hidden subscription")) ", below." });
        }
        points
    }
}
