//! "Ask": a check with what it requests, the decision, each step to it, and the registers it stands on.

use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::StatusCode,
    response::Response,
};
use domain::{
    access::{AccessRequest, EntitlementSnapshot, Explanation, Rule, Step},
    customer::CustomerState,
    id::Id,
};
use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    Console,
    evidence::{self, Decided, Evidence, counts},
    find::standing,
    layout::{Tab, Tone, bar, event, id, mark, moment_of, name, table},
    text::{number, number_of},
    url::{self, link},
};

/// Most features that are suggested.
const SUGGESTIONS: usize = 300;

/// Most granted values that are shown.
const VALUES: usize = 100;

/// The parameters of the pages on one decision.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    customer: String,
    feature: String,
    resource: String,
    usage: String,
    /// One a line.
    values: String,
}

/// What is wrong with a field.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Problems {
    customer: Option<String>,
    feature: Option<String>,
    resource: Option<String>,
    usage: Option<String>,
}

/// Reads a requested usage, as a check takes it.
///
/// # Errors
/// What it must be.
pub fn requested_usage(text: &str) -> Result<f64, &'static str> {
    const EXPECTED: &str = "must be a finite number, not below 0";
    let usage: f64 = text.parse().map_err(|_| EXPECTED)?;
    if usage.is_finite() && usage >= 0.0 { Ok(usage) } else { Err(EXPECTED) }
}

impl Asked {
    pub(crate) fn is_empty(&self) -> bool {
        self.customer.is_empty() && self.feature.is_empty()
    }

    /// The customer and resource alone, if they are valid.
    fn scope(&self) -> Option<(Id, Option<Id>)> {
        let resource = Some(self.resource.trim()).filter(|resource| !resource.is_empty());
        Some((Id::try_from(self.customer.trim()).ok()?, resource.map(Id::try_from).transpose().ok()?))
    }

    pub(crate) fn request(&self) -> Result<AccessRequest, Problems> {
        let mut problems = Problems::default();
        let id = |text: &str, problem: &mut Option<String>| {
            Id::try_from(text.trim()).map_err(|error| *problem = Some(error.to_string())).ok()
        };
        let customer_id = id(&self.customer, &mut problems.customer);
        let feature_id = id(&self.feature, &mut problems.feature);
        let has_resource = !self.resource.trim().is_empty();
        let resource_id = has_resource.then(|| id(&self.resource, &mut problems.resource)).flatten();
        let usage = if self.usage.trim().is_empty() { Ok(0.0) } else { requested_usage(self.usage.trim()) };
        let requested_usage = usage.map_err(|problem| problems.usage = Some(problem.to_owned())).ok();
        let values = self.values.lines().map(str::trim).filter(|value| !value.is_empty());
        match (customer_id, feature_id, requested_usage) {
            (Some(customer_id), Some(feature_id), Some(requested_usage)) if problems == Problems::default() => {
                Ok(AccessRequest {
                    customer_id,
                    feature_id,
                    resource_id,
                    requested_usage,
                    requested_values: values.map(str::to_owned).collect(),
                })
            }
            _ => Err(problems),
        }
    }
}

pub(crate) async fn page(State(console): State<Console>, asked: Result<Query<Asked>, QueryRejection>) -> Response {
    let Ok(Query(asked)) = asked else {
        return console
            .bad_request(Tab::Ask, "The address takes `customer`, `feature`, `resource`, `usage` and `values`, each once.");
    };
    let now = Timestamp::now();
    if asked.is_empty() {
        return console.ok(Tab::Ask, "Ask", &html! { (intro()) (form("ask", &asked, &Problems::default(), &[])) });
    }
    match asked.request() {
        Ok(request) => match evidence::decide(&console.0.store, &request, now).await {
            Ok(decided) => {
                let main = html! {
                    (intro())
                    div.split {
                        (form("ask", &asked, &Problems::default(), &decided.features))
                        div.answer { (answer(&request, &decided, now)) (steps(&decided)) }
                    }
                    (stands_on(&decided, now))
                };
                console.ok(Tab::Ask, "Ask", &main)
            }
            Err(error) => console.store_failed(Tab::Ask, &error),
        },
        Err(mut problems) => {
            let features = match asked.scope() {
                Some((customer, resource)) => match console.0.store.scope(&customer, resource.as_ref()).await {
                    Ok((registers, scope)) => {
                        let list = scope.visible_list(registers.tombstone.as_ref());
                        list.into_iter().flat_map(|list| list.value.iter()).map(|(id, _)| id.to_owned()).collect()
                    }
                    Err(error) => return console.store_failed(Tab::Ask, &error),
                },
                None => Vec::new(),
            };
            // From a customer's page one comes without a feature: that is no mistake yet.
            let is_begun = asked.feature.is_empty() && problems.customer.is_none() && problems.usage.is_none();
            if is_begun {
                problems.feature = None;
            }
            let main = html! { (intro()) (form("ask", &asked, &problems, &features)) };
            let status = if is_begun { StatusCode::OK } else { StatusCode::BAD_REQUEST };
            console.respond(status, Some(Tab::Ask), "Ask", &main)
        }
    }
}

fn intro() -> Markup {
    html! {
        header.intro {
            h1 { "Ask for a decision" }
            p.lead { "What /check-access would answer now: read as a check reads, decided by the same code." }
        }
    }
}

/// The form of a page on one decision.
pub(crate) fn form(page: &str, asked: &Asked, problems: &Problems, features: &[String]) -> Markup {
    let is_ask = page == "ask";
    html! {
        form.card.ask method="get" action=(link(page, &[])) {
            (field("customer", "Customer", "Its whole id", &asked.customer, problems.customer.as_ref(), true, ""))
            (field("feature", "Feature", "Its id", &asked.feature, problems.feature.as_ref(), true, "features"))
            @if !features.is_empty() {
                datalist #features { @for feature in features.iter().take(SUGGESTIONS) { option value=(feature) {} } }
            }
            (field("resource", "Resource", "Empty asks at customer level", &asked.resource, problems.resource.as_ref(), false, ""))
            @if is_ask {
                (field("usage", "Requested usage", "How much more is about to be used", &asked.usage, problems.usage.as_ref(), false, ""))
                div.control {
                    label for="values" { "Requested values" span.far { " optional" } }
                    textarea #values name="values" rows="2" aria-describedby="values-hint" spellcheck="false" { (asked.values) }
                    p.hint #values-hint { "Of an ENUM feature, one a line" }
                }
            }
            button { @if is_ask { "Decide" } @else { "Show" } }
        }
    }
}

fn field(of: &str, label: &str, hint: &str, value: &str, problem: Option<&String>, required: bool, list: &str) -> Markup {
    let described = format!("{of}-hint");
    html! {
        div.control {
            label for=(of) { (label) @if !required { span.far { " optional" } } }
            input id=(of) name=(of) value=(value) aria-describedby=(described) aria-invalid=[problem.map(|_| "true")]
                autocomplete="off" spellcheck="false" list=[(!list.is_empty()).then_some(list)] required[required]
                inputmode=[(of == "usage").then_some("decimal")];
            p id=(described) class={ "hint" @if problem.is_some() { " problem" } } {
                @match problem { Some(problem) => { (label) " " (problem) }, None => (hint) }
            }
        }
    }
}

fn answer(request: &AccessRequest, decided: &Decided, now: Timestamp) -> Markup {
    let decision = &decided.explanation.decision;
    let is_granted = decision.has_access();
    let tone = if is_granted { Tone::Good } else { Tone::Bad };
    let snapshot = &decision.snapshot;
    let history = url::decision("history", &request.customer_id, &request.feature_id, request.resource_id.as_ref());
    html! {
        section class={ "verdict " (tone.class()) } aria-labelledby="verdict" {
            h2 #verdict { (mark(true, is_granted)) @if is_granted { "Granted" } @else { "Denied" } }
            @if let Some(reason) = decision.denied { p.code { code { (format!("{reason:?}")) } } }
            p.lead { (name_long(&decision.reason)) }
        }
        (numbers(request, &decided.explanation))
        @if let Some(end) = &snapshot.usage_period_end {
            p.hint {
                "Usage period: "
                @if let Some(start) = &snapshot.usage_period_start { "from " (moment_of(start, now)) " " }
                "to " (moment_of(end, now))
            }
        }
        p.hint {
            "Decided at " (now.strftime("%H:%M:%S")) " for "
            @match &request.resource_id { Some(resource) => { "the resource " (id(resource.as_str())) " of " }, None => "" }
            a href=(url::customer(&request.customer_id)) { (id(request.customer_id.as_str())) }
            @if decided.standing != CustomerState::Live { " " (standing(decided.standing)) }
            " · "
            a href=(history) { "History of this decision" }
        }
    }
}

/// A reason holds ids, so it is as long as they are.
fn name_long(text: &str) -> Markup {
    html! { bdi { (crate::text::shortened(text, 2_000).0) } }
}

/// The numbers that a decision was taken on: usage only where it was come to.
fn numbers(request: &AccessRequest, Explanation { steps, decision }: &Explanation) -> Markup {
    let EntitlementSnapshot { current_usage, enum_values, remaining_balance, .. } = &decision.snapshot;
    let of = |value: &Option<Value>| value.as_ref().and_then(Value::as_f64);
    let rule = steps.last().map(|step| step.rule);
    let is_by_usage = matches!(rule, Some(Rule::Unlimited | Rule::WithinLimit | Rule::BeyondLimit));
    html! {
        @if let Some(left) = of(remaining_balance) { div.card.sum { p { span { b { (number(left)) } " credits left" } } } }
        @if let Some(used) = of(current_usage).filter(|_| is_by_usage) { (sum(used, request.requested_usage, &decision.snapshot)) }
        @if let (Some(values), Some(Rule::Enum)) = (enum_values, rule) {
            div.card.sum {
                p { "Values granted" }
                ul.chips { @for value in values.iter().take(VALUES) { li { (name(value)) } } }
                @if values.is_empty() { p.far { "none" } }
                @if values.len() > VALUES { p.far { "and " (number_of(values.len() - VALUES)) " more" } }
            }
        }
    }
}

/// Used and requested, beside the limit.
fn sum(
    used: f64,
    requested: f64,
    EntitlementSnapshot { usage_limit, has_unlimited_usage, has_soft_limit, .. }: &EntitlementSnapshot,
) -> Markup {
    let limit = usage_limit.as_ref().and_then(Value::as_f64).unwrap_or_default();
    let total = used + requested;
    let (sign, tone) = match total <= limit {
        true => ("≤", Tone::Good),
        false => (">", if *has_soft_limit { Tone::Warn } else { Tone::Bad }),
    };
    html! {
        div.card.sum {
            p {
                span { b { (number(used)) } " used" } span.sign { "+" } span { b { (number(requested)) } " requested" }
                @if *has_unlimited_usage {
                    span { "no limit" }
                } @else {
                    span.sign { (sign) }
                    span {
                        b { (number(limit)) } @if *has_soft_limit { " soft limit" } @else { " limit" }
                        @if usage_limit.is_none() { ", since none is given" }
                    }
                }
            }
            @if !has_unlimited_usage { (bar(if limit > 0.0 { total / limit } else { 1.0 }, tone)) }
        }
    }
}

fn steps(decided: &Decided) -> Markup {
    let is_granted = decided.explanation.decision.has_access();
    html! {
        section aria-labelledby="steps" {
            h2 #steps { "Steps to the decision" }
            p.hint { "The conditions in the order of Stigg's SDK. The first that holds decides." }
            ol.steps.card {
                @for Step { rule, found, decides } in &decided.explanation.steps {
                    li class=[decides.then_some(if is_granted { "decides good" } else { "decides bad" })] {
                        (mark(*decides, is_granted))
                        span.number aria-hidden="true" { (rule.number()) }
                        span.condition { (rule.condition()) }
                        span.found { bdi { (crate::text::shortened(found, 1_000).0) } }
                        span class={ "outcome" @if !decides { " hidden" } } {
                            @if *decides { "Decides" } @else { "Does not hold." }
                        }
                    }
                }
            }
        }
    }
}

fn stands_on(decided: &Decided, now: Timestamp) -> Markup {
    let rows = html! { @for evidence in &decided.registers { (row(evidence, now)) } };
    html! {
        section aria-labelledby="registers" {
            h2 #registers { "Registers it stands on" }
            (table("registers", "", &["Register", "In this decision", "Written by the event"], &rows))
        }
    }
}

fn row(evidence: &Evidence, now: Timestamp) -> Markup {
    html! {
        tr {
            th scope="row" { (name(&evidence.name)) span.far.under { (evidence.written_by) } }
            td { (counts(evidence)) span.why { (evidence.role) } }
            td { @match &evidence.part { Some(part) => (event(part, now)), None => span.far { "not stored" } } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_what_a_check_would_take() {
        assert_eq!((requested_usage("0"), requested_usage("2.5")), (Ok(0.0), Ok(2.5)));
        for wrong in ["-1", "NaN", "inf", "", "1e999", "one"] {
            assert!(requested_usage(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_field_that_is_wrong_is_named() {
        let asked = Asked { customer: "c".repeat(501), usage: "-1".to_owned(), ..Asked::default() };
        let problems = asked.request().unwrap_err();
        assert_eq!(problems.customer.as_deref(), Some("must be at most 500 bytes long"));
        assert_eq!(problems.feature.as_deref(), Some("must not be empty"));
        assert_eq!((problems.resource, problems.usage.as_deref()), (None, Some("must be a finite number, not below 0")));
    }

    #[test]
    fn values_are_one_a_line() {
        let text = |text: &str| text.to_owned();
        let asked =
            Asked { customer: text("c"), feature: text("f"), values: text("chat\r\n\r\n phone, fax \n"), ..Asked::default() };
        assert_eq!(asked.request().unwrap().requested_values, ["chat", "phone, fax"]);
    }
}
