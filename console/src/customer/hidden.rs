//! Stored data of a customer that is hidden from readers, with the reasons.

use maud::{Markup, html};

use super::{View, scope_name};
use crate::{
    layout::{event, id, moment_of},
    text::count,
};

/// Maximum number of hidden subscriptions listed here. Each one's card has its reason too.
const MAX_SUBSCRIPTIONS: usize = 20;

impl View<'_> {
    pub(super) fn hidden(&self) -> Markup {
        let mut points = self.hidden_customer();
        points.extend(self.hidden_dependents());
        if let Some(time) = &self.report.expires_at {
            points.push(html! { "DynamoDB's TTL removes the customer's item after " (moment_of(time, self.now)) "." });
        }
        html! {
            @if !points.is_empty() {
                section.hidden-data aria-labelledby="hidden" {
                    h2 #hidden { "Hidden from readers" }
                    ul { @for point in &points { li { (point) } } }
                }
            }
        }
    }

    fn hidden_customer(&self) -> Vec<Markup> {
        let registers = &self.report.registers;
        let mut points = Vec::new();
        match self.report.state {
            "deleted" => points.push(html! {
                b { "The customer is deleted." } " Checks answer CustomerIsArchived, and queries omit it. "
                @if let Some(tombstone) = &registers.tombstone { (event(tombstone, self.now)) }
            }),
            "unknown" => points.push(html! {
                b { "No event shows that the customer exists." }
                " Only data that depends on it was received. Checks answer CustomerNotFound until a customer.created, a live"
                " subscription or a list with entitlements arrives."
            }),
            _ if !self.report.is_listed => points.push(html! {
                b { "The customer is live but not in the indexes." }
                " The write that adds it was interrupted. A redelivery or the next event completes it."
            }),
            _ => {}
        }
        let deleted = [
            ("profile", registers.profile.as_ref().is_some_and(|register| !register.exists)),
            ("embedded data", registers.embedded.as_ref().is_some_and(|register| !register.exists)),
            ("creation", registers.creation.as_ref().is_some_and(|register| !register.exists)),
        ];
        let deleted: Vec<&str> = deleted.into_iter().filter(|(_, is_deleted)| *is_deleted).map(|(name, _)| name).collect();
        if !deleted.is_empty() {
            points.push(html! {
                b { "Not above the deletion: " } (deleted.join(", "))
                ". An event older than the deletion wrote it, or it is not removed yet."
            });
        }
        points
    }

    fn hidden_dependents(&self) -> Vec<Markup> {
        let report = self.report;
        let mut points = Vec::new();
        for scope in report.scopes.iter().filter(|scope| scope.list.as_ref().is_some_and(|list| !list.exists)) {
            points.push(html! { b { "Not above the deletion: " } "the list of entitlements, " (scope_name(scope)) "." });
        }
        let orphaned: usize =
            report.scopes.iter().filter(|scope| scope.list.is_none()).map(|scope| scope.entitlements.len()).sum();
        if orphaned > 0 {
            points.push(html! {
                b { "Usage without a list: " } (count(orphaned, "feature"))
                " with usage in a scope without a list. Usage alone grants nothing."
            });
        }
        if report.has_waiting_subscriptions {
            points.push(html! {
                b { "Subscriptions wait for the customer." }
                " They are complete, and become visible when an event shows that the customer is live."
            });
        }
        let hidden = report.subscriptions.iter().filter_map(|subscription| Some((subscription, subscription.hidden?)));
        for (subscription, reason) in hidden.clone().take(MAX_SUBSCRIPTIONS) {
            points.push(html! { b { "Subscription " (id(subscription.subscription_id.as_str())) ": " } (reason) "." });
        }
        let more = hidden.count().saturating_sub(MAX_SUBSCRIPTIONS);
        if more > 0 {
            points.push(html! { (count(more, "more hidden subscription")) ", below." });
        }
        points
    }
}
