//! The page "Check access": a form for a check, its decision, the steps to it, and the registers behind it.

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
    customers::state_badge,
    decision::{self, DecisionRegister, ExplainedDecision, counts_badge},
    layout::{Tab, Tone, bar, event, id, mark, moment_of, name, table},
    text::{number, number_of, shortened},
    url::{self, link},
};

/// The response to invalid query parameters of the pages "Check access" and "History".
pub(crate) const VALID_PARAMETERS: &str =
    "Valid parameters are `customer`, `feature`, `resource`, `usage` and `values`, each once.";

/// Maximum number of feature ids that the form suggests.
const MAX_SUGGESTIONS: usize = 300;

/// Maximum number of granted values that are shown.
const MAX_VALUES: usize = 100;

/// Query parameters of the pages "Check access" and "History".
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct CheckParameters {
    customer: String,
    feature: String,
    resource: String,
    usage: String,
    /// One per line.
    values: String,
}

/// Validation errors by field.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct FieldErrors {
    customer: Option<String>,
    feature: Option<String>,
    resource: Option<String>,
    usage: Option<String>,
}

/// Parses a requested usage by the same rule as `/check-access`.
///
/// # Errors
/// Says which values are valid.
pub fn requested_usage(text: &str) -> Result<f64, &'static str> {
    const EXPECTED: &str = "must be a finite number, not below 0";
    let usage: f64 = text.parse().map_err(|_| EXPECTED)?;
    if usage.is_finite() && usage >= 0.0 { Ok(usage) } else { Err(EXPECTED) }
}

impl CheckParameters {
    pub(crate) fn is_empty(&self) -> bool {
        self.customer.is_empty() && self.feature.is_empty()
    }

    /// The customer and the resource, if they are valid.
    fn scope(&self) -> Option<(Id, Option<Id>)> {
        let resource = Some(self.resource.trim()).filter(|resource| !resource.is_empty());
        Some((Id::try_from(self.customer.trim()).ok()?, resource.map(Id::try_from).transpose().ok()?))
    }

    pub(crate) fn request(&self) -> Result<AccessRequest, FieldErrors> {
        let mut errors = FieldErrors::default();
        let id = |text: &str, field_error: &mut Option<String>| {
            Id::try_from(text.trim()).map_err(|error| *field_error = Some(error.to_string())).ok()
        };
        let customer_id = id(&self.customer, &mut errors.customer);
        let feature_id = id(&self.feature, &mut errors.feature);
        let has_resource = !self.resource.trim().is_empty();
        let resource_id = has_resource.then(|| id(&self.resource, &mut errors.resource)).flatten();
        let usage = if self.usage.trim().is_empty() { Ok(0.0) } else { requested_usage(self.usage.trim()) };
        let requested_usage = usage.map_err(|error| errors.usage = Some(error.to_owned())).ok();
        let values = self.values.lines().map(str::trim).filter(|value| !value.is_empty());
        match (customer_id, feature_id, requested_usage) {
            (Some(customer_id), Some(feature_id), Some(requested_usage)) if errors == FieldErrors::default() => {
                Ok(AccessRequest {
                    customer_id,
                    feature_id,
                    resource_id,
                    requested_usage,
                    requested_values: values.map(str::to_owned).collect(),
                })
            }
            _ => Err(errors),
        }
    }
}

pub(crate) async fn page(State(console): State<Console>, parameters: Result<Query<CheckParameters>, QueryRejection>) -> Response {
    let Ok(Query(parameters)) = parameters else {
        return console.bad_request(Tab::Check, VALID_PARAMETERS);
    };
    let now = Timestamp::now();
    if parameters.is_empty() {
        return console.ok(
            Tab::Check,
            "Check access",
            &html! { (intro()) (form("check", &parameters, &FieldErrors::default(), &[])) },
        );
    }
    match parameters.request() {
        Ok(request) => match decision::explain_check(&console.0.store, &request, now).await {
            Ok(explained) => {
                let main = html! {
                    (intro())
                    div.split {
                        (form("check", &parameters, &FieldErrors::default(), &explained.features))
                        div.answer { (decision(&request, &explained, now)) (steps(&explained)) }
                    }
                    (registers(&explained, now))
                };
                console.ok(Tab::Check, "Check access", &main)
            }
            Err(error) => console.store_failed(Tab::Check, &error),
        },
        Err(mut errors) => {
            let features = match parameters.scope() {
                Some((customer, resource)) => match console.0.store.scope(&customer, resource.as_ref()).await {
                    Ok((registers, scope)) => {
                        let list = scope.visible_list(registers.tombstone.as_ref());
                        list.into_iter().flat_map(|list| list.value.iter()).map(|(id, _)| id.to_owned()).collect()
                    }
                    Err(error) => return console.store_failed(Tab::Check, &error),
                },
                None => Vec::new(),
            };
            // The link on a customer's page gives no feature yet. That is not an error.
            let is_incomplete = parameters.feature.is_empty() && errors.customer.is_none() && errors.usage.is_none();
            if is_incomplete {
                errors.feature = None;
            }
            let main = html! { (intro()) (form("check", &parameters, &errors, &features)) };
            let status = if is_incomplete { StatusCode::OK } else { StatusCode::BAD_REQUEST };
            console.respond(status, Some(Tab::Check), "Check access", &main)
        }
    }
}

fn intro() -> Markup {
    html! {
        header.intro {
            h1 { "Check access" }
            p.lead { "The answer that /check-access would give now, from the same read and the same code." }
        }
    }
}

/// The form of the pages "check" and "history".
pub(crate) fn form(page: &str, parameters: &CheckParameters, errors: &FieldErrors, features: &[String]) -> Markup {
    let is_check = page == "check";
    html! {
        form.card.check method="get" action=(link(page, &[])) {
            (field("customer", "Customer", "Its full id", &parameters.customer, errors.customer.as_ref(), true, ""))
            (field("feature", "Feature", "Its id", &parameters.feature, errors.feature.as_ref(), true, "features"))
            @if !features.is_empty() {
                datalist #features { @for feature in features.iter().take(MAX_SUGGESTIONS) { option value=(feature) {} } }
            }
            (field("resource", "Resource", "Empty for the customer level", &parameters.resource, errors.resource.as_ref(), false, ""))
            (field("usage", "Requested usage", "Usage to add to the current usage", &parameters.usage, errors.usage.as_ref(), false, ""))
            div.control {
                label for="values" { "Requested values" span.far { " optional" } }
                textarea #values name="values" rows="2" aria-describedby="values-hint" spellcheck="false" { (parameters.values) }
                p.hint #values-hint { "For an ENUM feature, one per line" }
            }
            button { @if is_check { "Check" } @else { "Show" } }
        }
    }
}

fn field(name: &str, label: &str, hint: &str, value: &str, error: Option<&String>, required: bool, list: &str) -> Markup {
    let hint_id = format!("{name}-hint");
    html! {
        div.control {
            label for=(name) { (label) @if !required { span.far { " optional" } } }
            input id=(name) name=(name) value=(value) aria-describedby=(hint_id) aria-invalid=[error.map(|_| "true")]
                autocomplete="off" spellcheck="false" list=[(!list.is_empty()).then_some(list)] required[required]
                inputmode=[(name == "usage").then_some("decimal")];
            p id=(hint_id) class={ "hint" @if error.is_some() { " problem" } } {
                @match error { Some(error) => { (label) " " (error) }, None => (hint) }
            }
        }
    }
}

fn decision(request: &AccessRequest, explained: &ExplainedDecision, now: Timestamp) -> Markup {
    let decision = &explained.explanation.decision;
    let is_granted = decision.has_access();
    let tone = if is_granted { Tone::Good } else { Tone::Bad };
    let snapshot = &decision.snapshot;
    let history = url::decision("history", request);
    html! {
        section class={ "verdict " (tone.class()) } aria-labelledby="verdict" {
            h2 #verdict { (mark(true, is_granted)) @if is_granted { "Granted" } @else { "Denied" } }
            @if let Some(reason) = decision.denied { p.code { code { (format!("{reason:?}")) } } }
            // A reason contains ids, so it can be long.
            p.lead { bdi { (shortened(&decision.reason, 2_000).0) } }
        }
        (numbers(request, &explained.explanation))
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
            @if explained.customer_state != CustomerState::Live { " " (state_badge(explained.customer_state)) }
            " · "
            a href=(history) { "History of this decision" }
        }
    }
}

/// The numbers that the decision used. Usage is shown only if a usage rule decided.
fn numbers(request: &AccessRequest, Explanation { steps, decision }: &Explanation) -> Markup {
    let EntitlementSnapshot { current_usage, enum_values, remaining_balance, .. } = &decision.snapshot;
    let of = |value: &Option<Value>| value.as_ref().and_then(Value::as_f64);
    let rule = steps.last().map(|step| step.rule);
    let is_by_usage = matches!(rule, Some(Rule::Unlimited | Rule::WithinLimit | Rule::BeyondLimit));
    html! {
        @if let Some(left) = of(remaining_balance) { div.card.sum { p { span { b { (number(left)) } " credits left" } } } }
        @if let Some(used) = of(current_usage).filter(|_| is_by_usage) { (usage_sum(used, request.requested_usage, &decision.snapshot)) }
        @if let (Some(values), Some(Rule::Enum)) = (enum_values, rule) {
            div.card.sum {
                p { "Values granted" }
                ul.chips { @for value in values.iter().take(MAX_VALUES) { li { (name(value)) } } }
                @if values.is_empty() { p.far { "none" } }
                @if values.len() > MAX_VALUES { p.far { "and " (number_of(values.len() - MAX_VALUES)) " more" } }
            }
        }
    }
}

/// Used plus requested, compared with the limit.
fn usage_sum(
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
                        @if usage_limit.is_none() { ", because none is given" }
                    }
                }
            }
            @if !has_unlimited_usage { (bar(if limit > 0.0 { total / limit } else { 1.0 }, tone)) }
        }
    }
}

fn steps(explained: &ExplainedDecision) -> Markup {
    let is_granted = explained.explanation.decision.has_access();
    html! {
        section aria-labelledby="steps" {
            h2 #steps { "Steps to the decision" }
            p.hint { "The conditions in the order of Stigg's SDK. The first one that is true decides." }
            ol.steps.card {
                @for Step { rule, found, decides } in &explained.explanation.steps {
                    li class=[decides.then_some(if is_granted { "decides good" } else { "decides bad" })] {
                        (mark(*decides, is_granted))
                        span.number aria-hidden="true" { (rule.number()) }
                        span.condition { (rule.condition()) }
                        span.found { bdi { (shortened(found, 1_000).0) } }
                        span class={ "outcome" @if !decides { " hidden" } } {
                            @if *decides { "Decides" } @else { "Not true." }
                        }
                    }
                }
            }
        }
    }
}

fn registers(explained: &ExplainedDecision, now: Timestamp) -> Markup {
    let rows = html! { @for register in &explained.registers { (row(register, now)) } };
    html! {
        section aria-labelledby="registers" {
            h2 #registers { "Registers behind the decision" }
            (table("registers", "", &["Register", "In this decision", "Written by the event"], &rows))
        }
    }
}

fn row(register: &DecisionRegister, now: Timestamp) -> Markup {
    html! {
        tr {
            th scope="row" { (name(&register.name)) span.far.under { (register.written_by) } }
            td { (counts_badge(register)) span.why { (register.role) } }
            td { @match &register.stored { Some(stored) => (event(stored, now)), None => span.far { "not stored" } } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requested_usage_is_a_finite_number_not_below_zero() {
        assert_eq!((requested_usage("0"), requested_usage("2.5")), (Ok(0.0), Ok(2.5)));
        for wrong in ["-1", "NaN", "inf", "", "1e999", "one"] {
            assert!(requested_usage(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_invalid_field_has_an_error() {
        let parameters = CheckParameters { customer: "c".repeat(501), usage: "-1".to_owned(), ..CheckParameters::default() };
        let errors = parameters.request().unwrap_err();
        assert_eq!(errors.customer.as_deref(), Some("must be at most 500 bytes long"));
        assert_eq!(errors.feature.as_deref(), Some("must not be empty"));
        assert_eq!((errors.resource, errors.usage.as_deref()), (None, Some("must be a finite number, not below 0")));
    }

    #[test]
    fn requested_values_are_one_per_line() {
        let text = |text: &str| text.to_owned();
        let parameters = CheckParameters {
            customer: text("c"),
            feature: text("f"),
            values: text("chat\r\n\r\n phone, fax \n"),
            ..CheckParameters::default()
        };
        assert_eq!(parameters.request().unwrap().requested_values, ["chat", "phone, fax"]);
    }
}
