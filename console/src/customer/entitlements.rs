//! The entitlements of a customer, by scope.

use domain::{access::AccessRequest, entitlement, id::Id, period::ResetPeriod};
use maud::{Markup, html};
use serde_json::Value;

use super::{CHECK_FILTERS, NEAR_LIMIT, Row, View, credits::credits_left, scope_name};
use crate::{
    layout::{Tone, badge, bar, empty, event, id, moment_of, name, table},
    report::{Entitlement, Scope},
    text::{count, number},
    url::{self, link},
};

impl View<'_> {
    pub(super) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.report.scopes.iter().flat_map(|scope| scope.entitlements.iter().map(move |entitlement| (scope, entitlement)))
    }

    pub(super) fn is_near(&self, (_, entitlement): &Row<'_>) -> bool {
        self.share(entitlement).is_some_and(|share| share >= NEAR_LIMIT)
    }

    /// Usage as a share of a hard or soft limit. None if the feature has no limit or no meter.
    fn share(&self, entitlement: &Entitlement) -> Option<f64> {
        let merged = entitlement.merged.as_ref()?;
        let limit = merged.grant.usage_limit.filter(|_| !merged.has_unlimited_usage())?;
        let used = entitlement.check.snapshot.current_usage.as_ref()?.as_f64()?;
        Some(if limit > 0.0 { used / limit } else { 1.0 })
    }

    pub(super) fn is_shown(&self, row: &Row<'_>) -> bool {
        let (scope, entitlement) = row;
        let filter = self.parameters.filter.to_lowercase();
        let has = |id: &Id| id.as_str().to_lowercase().contains(&filter);
        let matches_filter = filter.is_empty() || has(&entitlement.feature_id) || scope.resource_id.as_ref().is_some_and(has);
        matches_filter
            && match self.parameters.only.as_str() {
                "denied" => !entitlement.check.has_access,
                "granted" => entitlement.check.has_access,
                "near" => self.is_near(row),
                _ => true,
            }
    }

    pub(super) fn entitlements(&self) -> Markup {
        let total = self.rows().count();
        let (window, subscriptions) = self.windows();
        let (start, end) = window.bounds();
        let shown: Vec<Row<'_>> = self.rows().filter(|row| self.is_shown(row)).skip(start).take(end - start).collect();
        let scopes = shown.chunk_by(|one, other| std::ptr::eq(one.0, other.0));
        html! {
            section aria-labelledby="entitlements" {
                h2 #entitlements { "Entitlements" }
                @if total > 8 || !self.parameters.filter.is_empty() || !self.parameters.only.is_empty() {
                    form.filter method="get" action=(link("customer", &[])) {
                        input type="hidden" name="id" value=(self.parameters.id);
                        label {
                            span { "Feature or resource" }
                            input name="filter" type="search" value=(self.parameters.filter) autocomplete="off" spellcheck="false";
                        }
                        label { span { "Show" } select name="only" {
                            @for (value, text) in CHECK_FILTERS { option value=(value) selected[value == self.parameters.only] { (text) } }
                        } }
                        button { "Apply" }
                    }
                }
                @if total == 0 {
                    (empty(if self.report.visible.is_none() {
                        "No entitlements are stored."
                    } else {
                        "No entitlements are stored: every check is denied with NoActiveSubscription. If the customer has an active \
                         subscription in Stigg, an event is missing: byos reconcile compares the two."
                    }))
                } @else if shown.is_empty() {
                    (empty("No entitlement matches."))
                }
                @for (index, rows) in scopes.enumerate() {
                    @if let Some((scope, _)) = rows.first() { (self.scope(index, scope, rows)) }
                }
                (window.links("Entitlements", |page| self.link_to(page, subscriptions.page)))
            }
        }
    }

    fn scope(&self, index: usize, scope: &Scope, rows: &[Row<'_>]) -> Markup {
        let heading = format!("scope-{index}");
        let rows = html! { @for (_, entitlement) in rows { (self.row(scope, entitlement)) } };
        html! {
            section.card aria-labelledby=(heading) {
                header.card-head {
                    h3 id=(heading) { (scope_name(scope)) }
                    @match &scope.list {
                        Some(list) => {
                            p { (count(list.value, "entitlement")) " in the newest list" @if !list.exists { ", not above the deletion" } }
                            (event(list, self.now))
                        }
                        None => { p { "No list is stored" } }
                    }
                    @if let Some(time) = &scope.expires_at { p { "Removed by TTL after " (moment_of(time, self.now)) } }
                }
                (table(&heading, "entitlements", &["Feature", "Check without usage", "Usage and limit", "Period", ""], &rows))
            }
        }
    }

    fn row(&self, scope: &Scope, entitlement: &Entitlement) -> Markup {
        let Entitlement { feature_id, grant, check, denies_one_more, .. } = entitlement;
        let request = AccessRequest {
            customer_id: self.report.customer_id.clone(),
            feature_id: feature_id.clone(),
            resource_id: scope.resource_id.clone(),
            // "Explain" leads to the decision that surprises.
            requested_usage: if *denies_one_more { 1.0 } else { 0.0 },
            requested_values: Vec::new(),
        };
        let feature = grant.as_ref().and_then(|grant| grant.get("feature"));
        let title = feature.and_then(|feature| feature.get("displayName").or_else(|| feature.get("name")));
        let title = title.and_then(Value::as_str).filter(|title| !title.is_empty() && *title != feature_id.as_str());
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
                    @if *denies_one_more { " " (badge(Tone::Warn, "1 more is denied")) }
                }
                td { (self.usage(entitlement)) }
                td { (self.period(entitlement)) }
                td.more {
                    a href=(url::decision("check", &request)) {
                        "Explain" span.hidden { " the decision for " (id(feature_id.as_str())) }
                    }
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
        let is_type = |name: &str| grant.feature.feature_type.as_deref().is_some_and(|kind| kind.eq_ignore_ascii_case(name));
        let used = entitlement.check.snapshot.current_usage.as_ref().and_then(Value::as_f64);
        html! {
            @if let Some(balance) = &merged.balance { (credits_left(balance)) }
            @if let Some(share) = self.share(entitlement) {
                (gauge(merged, used.unwrap_or_default(), share))
            } @else if merged.balance.is_some() {
            } @else if is_type("BOOLEAN") {
                "Included"
            } @else if is_type("ENUM") {
                @let values = grant.enum_values.as_deref().unwrap_or_default();
                ul.chips { @for value in values { li { (name(value)) } } }
                @if values.is_empty() { span.far { "no value" } }
            } @else if merged.has_unlimited_usage() {
                @if let Some(used) = used { b { (number(used)) } " used, " } "no limit"
            } @else if let Some(limit) = grant.usage_limit {
                b { (number(limit)) } " " span.far { "a value, not enforced" }
            } @else {
                span.far { "no limit given" }
            }
        }
    }

    fn period(&self, entitlement: &Entitlement) -> Markup {
        let Some(merged) = &entitlement.merged else { return html! {} };
        let snapshot = &entitlement.check.snapshot;
        let reset_period = merged.period.reset_period.as_deref();
        let resets = reset_period.map(|period| match ResetPeriod::parse(period) {
            Some(ResetPeriod::Hour) => "resets hourly".to_owned(),
            Some(ResetPeriod::Day) => "resets daily".to_owned(),
            Some(ResetPeriod::Week) => "resets weekly".to_owned(),
            Some(ResetPeriod::Month) => "resets monthly".to_owned(),
            Some(ResetPeriod::Year) => "resets yearly".to_owned(),
            None => format!("resets: {period}"),
        });
        let is_over = merged.period.is_over(self.now) && merged.current_usage.is_some();
        html! {
            @match (&snapshot.usage_period_end, &resets) {
                (None, None) => { span.far { "–" } }
                (end, resets) => {
                    @if let Some(end) = end {
                        div {
                            span.far { "until " } (moment_of(end, self.now))
                            @if let Some(resets) = resets { span.far { ", " (name(resets)) } }
                        }
                    } @else if let Some(resets) = resets {
                        div.far { (name(resets)) }
                    }
                    @if is_over {
                        div.far { (number(merged.current_usage.unwrap_or_default())) " used in the previous period" }
                    }
                }
            }
        }
    }
}

fn gauge(merged: &entitlement::Entitlement, used: f64, share: f64) -> Markup {
    let tone = match share {
        1.0.. => Tone::Bad,
        NEAR_LIMIT.. => Tone::Warn,
        _ => Tone::Good,
    };
    html! {
        div.gauge {
            p {
                b { (number(used)) } " of " (number(merged.grant.usage_limit.unwrap_or_default()))
                span.far { (number((share * 100.0).round())) " %" @if merged.has_soft_limit() { ", soft limit" } }
            }
            (bar(share, tone))
        }
    }
}
