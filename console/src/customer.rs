//! A customer's page: what readers see of it, what they don't and why, and the event behind each part.

use std::collections::BTreeMap;

use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::StatusCode,
    response::Response,
};
use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;
use shared::{entitlement::Balance, id::Id, period::ResetPeriod};

use crate::{
    Console,
    find::standing,
    layout::{self, Tab, Tone, Window, badge, bar, empty, event, fact, id, moment_of, name, notice, tile, value},
    report::{Entitlement, Part, Report, Scope, Subscription},
    text::{count, number},
    url::{self, link},
};

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
        Ok(report) => console.ok(
            Tab::Find,
            customer_id.as_str(),
            &View { report: &report, asked: &asked, now }.page(stored.registers.standing()),
        ),
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
    fn page(&self, standing: shared::customer::Standing) -> Markup {
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

    fn head(&self, is: shared::customer::Standing) -> Markup {
        let Report { customer_id, visible, .. } = self.report;
        let profile = visible.as_ref().map(|visible| &visible.profile);
        let text = |text: Option<&String>| match text {
            Some(text) => name(text),
            None => html! { span.far { "none" } },
        };
        html! {
            header.subject {
                h1 {
                    @match profile.and_then(|profile| profile.name.as_ref()) { Some(text) => (name(text)), None => (id(customer_id.as_str())) }
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

    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.report.scopes.iter().flat_map(|scope| scope.entitlements.iter().map(move |entitlement| (scope, entitlement)))
    }

    fn tiles(&self) -> Markup {
        let granted = self.rows().filter(|(_, entitlement)| entitlement.check.has_access).count();
        let denied = self.rows().count() - granted;
        let near = self.rows().filter(|row| self.is_near(row)).count();
        let seen = self.report.subscriptions.iter().filter(|subscription| subscription.hidden.is_none()).count();
        let unseen = self.report.subscriptions.len() - seen;
        let plans: Vec<&str> = self.report.subscriptions.iter().filter(|it| it.hidden.is_none()).filter_map(plan_of).collect();
        let hidden = if unseen > 0 { format!("{unseen} hidden") } else { plans.join(", ") };
        let tone = |count: usize, tone: Tone| if count == 0 { Tone::Neutral } else { tone };
        html! {
            ul.tiles aria-label="Summary" {
                (tile(&layout::number_of(granted), "granted", "by a check that requests nothing", tone(granted, Tone::Good)))
                (tile(&layout::number_of(denied), "denied", "", tone(denied, Tone::Bad)))
                (tile(&layout::number_of(near), "near or at the limit", "80 % or more is used", tone(near, Tone::Warn)))
                (tile(&layout::number_of(seen), if seen == 1 { "subscription" } else { "subscriptions" }, &hidden, Tone::Neutral))
            }
        }
    }

    /// Why readers don't see what is stored.
    fn hidden(&self) -> Markup {
        let report = self.report;
        let registers = &report.registers;
        let below = [
            ("profile", registers.profile.as_ref().is_some_and(|part| !part.exists)),
            ("embedded data", registers.embedded.as_ref().is_some_and(|part| !part.exists)),
            ("creation", registers.creation.as_ref().is_some_and(|part| !part.exists)),
        ];
        let below: Vec<&str> = below.into_iter().filter(|(_, is_below)| *is_below).map(|(what, _)| what).collect();
        let subscriptions: Vec<&Subscription> = report.subscriptions.iter().filter(|it| it.hidden.is_some()).collect();
        let orphaned: usize =
            report.scopes.iter().filter(|scope| scope.list.is_none()).map(|scope| scope.entitlements.len()).sum();
        let mut points: Vec<Markup> = Vec::new();
        if report.standing == "deleted" {
            points.push(html! {
                b { "The customer is deleted." } " Checks answer CustomerIsArchived, and no list shows it. "
                @if let Some(tombstone) = &registers.tombstone { (event(tombstone, self.now)) }
            });
        } else if report.standing == "unknown" {
            points.push(html! {
                b { "Nothing shows that the customer exists." } " Only data that depends on it has come. Checks answer CustomerNotFound until a customer.created, a live subscription or a list with entitlements comes."
            });
        } else if !report.is_listed {
            points.push(html! { b { "The customer is live but not in the indexes." } " The writer that lists it was interrupted; its next event, or the same again, completes it." });
        }
        if !below.is_empty() {
            points.push(html! { b { "Below the deletion: " } (below.join(", ")) ". An event older than the deletion wrote it, or it is not removed yet." });
        }
        for scope in report.scopes.iter().filter(|scope| scope.list.as_ref().is_some_and(|list| !list.exists)) {
            points.push(html! { b { "Below the deletion: " } "the list of entitlements of " (scope_name(scope)) "." });
        }
        if orphaned > 0 {
            points.push(html! { b { "Usage without a list: " } (count(orphaned, "feature")) " with usage in a scope of which no list has come. Usage alone grants nothing." });
        }
        if report.has_waiting_subscriptions {
            points.push(html! { b { "Subscriptions wait for the customer." } " They are complete, and are shown once an event shows the customer live." });
        }
        for subscription in subscriptions.iter().take(20) {
            points.push(html! { b { "Subscription " (id(subscription.subscription_id.as_str())) ": " } (subscription.hidden.unwrap_or_default()) "." });
        }
        if subscriptions.len() > 20 {
            points.push(html! { (count(subscriptions.len() - 20, "more hidden subscription")) ", below." });
        }
        if let Some(time) = &report.expires_at {
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

    fn is_near(&self, (_, entitlement): &Row<'_>) -> bool {
        self.share(entitlement).is_some_and(|share| share >= NEAR)
    }

    /// Usage as a share of a limit that is enforced or soft. None without such a limit.
    fn share(&self, entitlement: &Entitlement) -> Option<f64> {
        let merged = entitlement.merged.as_ref()?;
        let limit = merged.grant.usage_limit.filter(|_| !merged.has_unlimited_usage())?;
        // A feature that is not metered has none.
        let used = entitlement.check.decided_on.current_usage.as_ref()?.as_f64()?;
        Some(if limit > 0.0 { used / limit } else { 1.0 })
    }

    fn is_shown(&self, row: &Row<'_>) -> bool {
        let (scope, entitlement) = row;
        let filter = self.asked.filter.to_lowercase();
        let has = |id: &Id| id.as_str().to_lowercase().contains(&filter);
        let is_asked = filter.is_empty() || has(&entitlement.feature_id) || scope.resource_id.as_ref().is_some_and(has);
        is_asked
            && match self.asked.only.as_str() {
                "denied" => !entitlement.check.has_access,
                "granted" => entitlement.check.has_access,
                "near" => self.is_near(row),
                _ => true,
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

    fn entitlements(&self) -> Markup {
        let total = self.rows().count();
        let (window, beside) = self.windows();
        let (start, end) = window.bounds();
        let shown: Vec<Row<'_>> = self.rows().filter(|row| self.is_shown(row)).skip(start).take(end - start).collect();
        let scopes = shown.chunk_by(|one, other| std::ptr::eq(one.0, other.0));
        html! {
            section aria-labelledby="entitlements" {
                h2 #entitlements { "Entitlements" }
                @if total > 8 || !self.asked.filter.is_empty() || !self.asked.only.is_empty() {
                    form.filter method="get" action=(link("customer", &[])) {
                        input type="hidden" name="id" value=(self.asked.id);
                        label { span { "Feature or resource" } input name="filter" type="search" value=(self.asked.filter) autocomplete="off" spellcheck="false"; }
                        label { span { "Show" } select name="only" {
                            @for (value, text) in ONLY { option value=(value) selected[value == self.asked.only] { (text) } }
                        } }
                        button { "Apply" }
                    }
                }
                @if total == 0 {
                    (empty("Nothing is stored: no list of entitlements, no usage."))
                } @else if shown.is_empty() {
                    (empty("No entitlement matches."))
                }
                @for (index, rows) in scopes.enumerate() {
                    @if let Some((scope, _)) = rows.first() { (self.scope(index, scope, rows)) }
                }
                (window.links("Entitlements", |page| self.to(page, beside.page)))
            }
        }
    }

    fn scope(&self, index: usize, scope: &Scope, rows: &[Row<'_>]) -> Markup {
        let heading = format!("scope-{index}");
        html! {
            section.card aria-labelledby=(heading) {
                header.card-head {
                    h3 id=(heading) { (scope_name(scope)) }
                    @match &scope.list {
                        Some(list) => {
                            p { (count(list.value, "entitlement")) " in the newest list" @if !list.exists { ", below the deletion" } }
                            (event(list, self.now))
                        }
                        None => { p { "No list is stored" } }
                    }
                    @if let Some(time) = &scope.expires_at { p { "Removed by TTL after " (moment_of(time, self.now)) } }
                }
                div.scroll tabindex="0" role="group" aria-labelledby=(heading) {
                    table.entitlements {
                        thead { tr {
                            th scope="col" { "Feature" }
                            th scope="col" { "Next check" }
                            th scope="col" { "Usage and limit" }
                            th scope="col" { "Period" }
                            th scope="col" { span.hidden { "More" } }
                        } }
                        tbody { @for (_, entitlement) in rows { (self.row(scope, entitlement)) } }
                    }
                }
            }
        }
    }

    fn row(&self, scope: &Scope, entitlement: &Entitlement) -> Markup {
        let Entitlement { feature_id, grant, check, .. } = entitlement;
        let feature = grant.as_ref().and_then(|grant| grant.get("feature"));
        let title = feature.and_then(|feature| feature.get("displayName").or_else(|| feature.get("name")));
        let title = title.and_then(Value::as_str).filter(|title| !title.is_empty() && *title != feature_id.as_str());
        let of = |page: &str| url::decision(page, &self.report.customer_id, feature_id, scope.resource_id.as_ref());
        html! {
            tr {
                th scope="row" {
                    @if let Some(title) = title { span.title { (name(title)) } }
                    (id(feature_id.as_str()))
                }
                td {
                    @match check.access_denied_reason {
                        None => (badge(Tone::Good, "Granted")),
                        Some(reason) => { (badge(Tone::Bad, "Denied")) span.why { (format!("{reason:?}")) } }
                    }
                }
                td { (self.usage(entitlement)) }
                td { (self.period(entitlement)) }
                td.more {
                    a href=(of("ask")) { "Explain" span.hidden { " the decision for " (id(feature_id.as_str())) } }
                }
            }
        }
    }

    fn usage(&self, entitlement: &Entitlement) -> Markup {
        let Some(merged) = &entitlement.merged else {
            let used = entitlement.usage.as_ref().map(|usage| usage.value.current_usage);
            return html! {
                span.far { "not in the newest list" @if let Some(used) = used { "; " (number(used)) " measured" } }
            };
        };
        let grant = &merged.grant;
        let is = |kind: &str| grant.feature.feature_type.as_deref().is_some_and(|of| of.eq_ignore_ascii_case(kind));
        let used = entitlement.check.decided_on.current_usage.as_ref().and_then(Value::as_f64);
        if let Some(balance) = &merged.balance {
            return credits_left(balance);
        }
        if is("BOOLEAN") {
            return html! { span.plain { "Included" } };
        }
        if is("ENUM") {
            let values = grant.enum_values.as_deref().unwrap_or_default();
            return html! { ul.chips { @for value in values { li { (name(value)) } } } @if values.is_empty() { span.far { "no value" } } };
        }
        if let Some(share) = self.share(entitlement) {
            let (used, limit) = (used.unwrap_or_default(), grant.usage_limit.unwrap_or_default());
            let tone = if share >= 1.0 {
                Tone::Bad
            } else if share >= NEAR {
                Tone::Warn
            } else {
                Tone::Good
            };
            return html! {
                div.gauge {
                    p { b { (number(used)) } " of " (number(limit)) span.far { (number((share * 100.0).round())) " %" @if merged.has_soft_limit() { ", soft limit" } } }
                    (bar(share, tone))
                }
            };
        }
        html! {
            @if merged.has_unlimited_usage() {
                p { @if let Some(used) = used { b { (number(used)) } " used, " } "no limit" }
            } @else if let Some(limit) = grant.usage_limit {
                p { b { (number(limit)) } " " span.far { "a value, not enforced" } }
            } @else {
                p.far { "no limit given" }
            }
        }
    }

    fn period(&self, entitlement: &Entitlement) -> Markup {
        let Some(merged) = &entitlement.merged else { return html! {} };
        let decided = &entitlement.check.decided_on;
        let word = merged.period.reset_period.as_deref();
        let resets = word.map(|word| match ResetPeriod::parse(word) {
            Some(ResetPeriod::Hour) => "resets hourly".to_owned(),
            Some(ResetPeriod::Day) => "resets daily".to_owned(),
            Some(ResetPeriod::Week) => "resets weekly".to_owned(),
            Some(ResetPeriod::Month) => "resets monthly".to_owned(),
            Some(ResetPeriod::Year) => "resets yearly".to_owned(),
            None => format!("resets: {word}"),
        });
        let is_over = merged.period.is_over(self.now) && merged.current_usage.is_some();
        html! {
            @match (&decided.usage_period_end, &resets) {
                (None, None) => { span.far { "–" } }
                (end, resets) => {
                    @if let Some(end) = end { div { span.far { "until " } (moment_of(end, self.now)) @if let Some(resets) = resets { span.far { ", " (name(resets)) } } } }
                    @else if let Some(resets) = resets { div.far { (name(resets)) } }
                    @if is_over { div.far { (number(merged.current_usage.unwrap_or_default())) " used in the period before" } }
                }
            }
        }
    }

    /// The credits of each scope by currency: from the balance register or the list, whichever is newer.
    fn credits(&self) -> Markup {
        let mut credits: BTreeMap<(Option<&Id>, &str), (Balance, Option<&Part<Balance>>, &Scope)> = BTreeMap::new();
        for (scope, entitlement) in self.rows() {
            let Some(merged) = &entitlement.merged else { continue };
            if let (Some(currency), Some(balance)) = (merged.grant.currency_id(), &merged.balance) {
                let register = scope.balances.get(currency).filter(|_| merged.is_balance_newer);
                credits.insert((scope.resource_id.as_ref(), currency), (balance.clone(), register, scope));
            }
        }
        let unused = self.report.scopes.iter().flat_map(|scope| scope.balances.iter().map(move |balance| (scope, balance)));
        let unused: Vec<_> = unused
            .filter(|(scope, (currency, _))| !credits.contains_key(&(scope.resource_id.as_ref(), currency.as_str())))
            .collect();
        html! {
            @if !credits.is_empty() || !unused.is_empty() {
                section aria-labelledby="credits" {
                    h2 #credits { "Credits" }
                    div.scroll.card tabindex="0" role="group" aria-labelledby="credits" {
                        table {
                            thead { tr { th scope="col" { "Currency" } th scope="col" { "Scope" } th scope="col" { "Balance" } th scope="col" { "From" } } }
                            tbody {
                                @for ((_, currency), (balance, register, scope)) in &credits {
                                    tr {
                                        th scope="row" { (id(currency)) }
                                        td { (scope_name(scope)) }
                                        td { (credits_left(balance)) }
                                        td {
                                            @match register {
                                                Some(register) => { "a balance event" (event(register, self.now)) }
                                                None => { "the list" @if let Some(list) = &scope.list { (event(list, self.now)) } }
                                            }
                                        }
                                    }
                                }
                                @for (scope, (currency, balance)) in &unused {
                                    tr {
                                        th scope="row" { (id(currency)) }
                                        td { (scope_name(scope)) }
                                        td { (credits_left(&balance.value)) }
                                        td { "a balance event; no entitlement of the newest list is paid with it" (event(balance, self.now)) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn subscriptions(&self) -> Markup {
        let all = &self.report.subscriptions;
        let (beside, window) = self.windows();
        let (start, end) = window.bounds();
        html! {
            section aria-labelledby="subscriptions" {
                h2 #subscriptions { "Subscriptions" }
                @if all.is_empty() { (empty("Nothing is stored: no subscription.")) } @else {
                    ul.cards {
                        @for subscription in all.iter().skip(start).take(end - start) { li.card { (self.subscription(subscription)) } }
                    }
                }
                (window.links("Subscriptions", |page| self.to(beside.page, page)))
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
        let detail = |name: &str| details.as_ref().and_then(|part| part.value.get(name)).filter(|value| !value.is_null());
        let date = |name: &str| dates.as_ref().and_then(|part| part.value.get(name)).and_then(Value::as_str);
        let newest = [
            status.as_ref().map(|part| (&part.version, part.time.as_str(), part.message_id.as_str())),
            dates.as_ref().map(|part| (&part.version, part.time.as_str(), part.message_id.as_str())),
            details.as_ref().map(|part| (&part.version, part.time.as_str(), part.message_id.as_str())),
        ];
        let newest = newest.into_iter().flatten().max();
        html! {
            header.card-head {
                h3 {
                    @match plan_of(subscription) { Some(plan) => (name(plan)), None => "Plan not known" }
                    " "
                    @if let Some(status) = status { (badge(tone, &status.value)) }
                    @if hidden.is_some() { " " (badge(Tone::Warn, "Hidden")) }
                    @else if !is_listed { " " (badge(Tone::Warn, "Not in the indexes")) }
                }
                (id(subscription_id.as_str()))
            }
            @if let Some(reason) = hidden { p.why-hidden { "Readers don't see it: " (reason) "." } }
            dl.facts {
                @for (term, name) in [("Starts", "startDate"), ("Ends", "endDate"), ("Trial ends", "trialEndDate"), ("Canceled", "cancellationDate"), ("Billing period ends", "currentBillingPeriodEnd")] {
                    @if let Some(time) = date(name) { (fact(term, &moment_of(time, self.now))) }
                }
                @for (term, name) in [("Resource", "resourceId"), ("Billing period", "billingPeriod"), ("Billing id", "billingId"), ("Customer", "customerId")] {
                    @if let Some(of) = detail(name).filter(|of| name != "customerId" || of.as_str() != Some(self.report.customer_id.as_str())) { (fact(term, &value(of))) }
                }
                @if let Some((_, time, message)) = newest {
                    (fact("Last event", &html! { div.event { (moment_of(time, self.now)) (layout::message_id(message)) } }))
                }
                @if let Some(time) = expires_at { (fact("Removed by TTL after", &moment_of(time, self.now))) }
            }
        }
    }

    /// The customer's own registers.
    fn registers(&self) -> Markup {
        let registers = &self.report.registers;
        let rows: [(&str, &str, Option<(Markup, bool)>); 4] = [
            (
                "Profile",
                "customer.created, customer.updated",
                registers.profile.as_ref().map(|part| (event(part, self.now), part.exists)),
            ),
            (
                "Embedded",
                "subscriptions and lists that show it live",
                registers.embedded.as_ref().map(|part| (event(part, self.now), part.exists)),
            ),
            ("Creation", "customer.created", registers.creation.as_ref().map(|part| (event(part, self.now), part.exists))),
            ("Tombstone", "customer.deleted", registers.tombstone.as_ref().map(|part| (event(part, self.now), part.exists))),
        ];
        html! {
            section aria-labelledby="registers" {
                h2 #registers { "Events behind the customer" }
                div.scroll.card tabindex="0" role="group" aria-labelledby="registers" {
                    table {
                        thead { tr { th scope="col" { "Register" } th scope="col" { "Written by" } th scope="col" { "Last event" } th scope="col" { "Seen" } } }
                        tbody {
                            @for (register, by, written) in &rows {
                                tr {
                                    th scope="row" { (register) }
                                    td.far { (by) }
                                    @match written {
                                        Some((event, exists)) => { td { (event) } td { @if *exists { "yes" } @else { (badge(Tone::Warn, "Below the deletion")) } } }
                                        None => { td { span.far { "not stored" } } td { span.far { "–" } } }
                                    }
                                }
                            }
                        }
                    }
                }
                p.hint { "Read consistently at " (self.now.strftime("%Y-%m-%d %H:%M:%S")) ". Everything at once, for machines: " code { "byos show --json" } }
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

fn plan_of(subscription: &Subscription) -> Option<&str> {
    subscription.details.as_ref().and_then(|part| part.value.get("planName")).and_then(Value::as_str)
}

/// What is left of credits, as a bar where it is known how many were granted.
fn credits_left(balance: &Balance) -> Markup {
    let left = balance.remaining_balance;
    let total = balance.total_granted.filter(|total| *total > 0.0);
    let share = total.map(|total| left / total);
    let tone = match share {
        _ if left <= 0.0 => Tone::Bad,
        Some(share) if share <= 1.0 - NEAR => Tone::Warn,
        _ => Tone::Good,
    };
    html! {
        div.gauge {
            p { b { (number(left)) } @if let Some(total) = total { " of " (number(total)) } " credits left" }
            @if let Some(share) = share { (bar(share, tone)) }
        }
    }
}
