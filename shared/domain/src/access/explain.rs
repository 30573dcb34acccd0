//! Explains a decision: lists the rules up to the one that decided, each with the facts that it was checked against.

use std::borrow::Cow;

use jiff::Timestamp;

use super::{AccessRequest, AccessView, Decision, decide, used_requested_allowed};
use crate::{
    customer::CustomerState,
    entitlement::{Entitlement, to_number},
    time,
};

/// The rules in their order. Each has a number and a condition under which it decides.
macro_rules! rules {
    ($($rule:ident $number:literal $condition:literal)*) => {
        /// A rule of the access decision, in the order in which they are checked.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Rule {
            $(#[doc = $condition] $rule,)*
        }

        impl Rule {
            const ALL: &[Self] = &[$(Self::$rule),*];

            pub fn number(self) -> &'static str {
                match self { $(Self::$rule => $number,)* }
            }

            /// When the rule decides.
            pub fn condition(self) -> &'static str {
                match self { $(Self::$rule => $condition,)* }
            }
        }
    };
}

rules! {
    UnknownCustomer "1" "no such customer"
    ArchivedCustomer "2" "the customer is deleted"
    NoResource "3" "a resource without a list"
    NoList "3a" "no list, or an empty one"
    NotInList "4" "the feature is not in the list"
    CreditsUsedUp "5" "credits used up, no soft limit"
    CreditsLeft "5a" "credits left, no other limit"
    Boolean "6" "BOOLEAN"
    Enum "7" "ENUM"
    UnknownType "7a" "an unsupported type"
    Unmetered "8" "NUMBER without a meter"
    Unlimited "9" "unlimited, or a soft limit"
    WithinLimit "10" "used + requested ≤ limit"
    BeyondLimit "11" "otherwise"
}

/// A rule that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub rule: Rule,
    /// The facts that the rule was checked against.
    pub found: String,
    /// Whether the rule decided: true for the last step only.
    pub decides: bool,
}

/// A decision with the rules that led to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    pub steps: Vec<Step>,
    pub decision: Decision,
}

/// Decides as [`decide`] does, and lists every rule up to the one that decided.
pub fn explain(view: &AccessView, request: &AccessRequest, now: Timestamp) -> Explanation {
    let decision = decide(view, request, now);
    let has_credits = view.entitlement.as_ref().is_some_and(|entitlement| entitlement.balance.is_some());
    let checked = Rule::ALL.iter().copied().take_while(|rule| *rule <= decision.rule);
    let checked = checked.filter(|rule| *rule != Rule::CreditsLeft || has_credits);
    let step = |rule| {
        let decides = rule == decision.rule;
        Step { rule, found: found(rule, decides, view, request, now).into_owned(), decides }
    };
    Explanation { steps: checked.map(step).collect(), decision }
}

/// The facts that a rule is checked against.
fn found(rule: Rule, decides: bool, view: &AccessView, request: &AccessRequest, now: Timestamp) -> Cow<'static, str> {
    let list = || match view.list {
        None => "no list received".to_owned(),
        Some(1) => "1 feature in the newest list".to_owned(),
        Some(length) => format!("{length} features in the newest list"),
    };
    match (rule, &view.entitlement) {
        (Rule::UnknownCustomer | Rule::ArchivedCustomer, _) => match view.customer_state {
            CustomerState::Unknown => "no event of this customer is stored".into(),
            CustomerState::Archived => "the customer was deleted".into(),
            CustomerState::Live => "the customer is live".into(),
        },
        (Rule::NoResource, _) => match &request.resource_id {
            Some(resource_id) => format!("{} for the resource {resource_id}", list()).into(),
            None => "no resource requested".into(),
        },
        (Rule::NoList, _) => list().into(),
        (_, None) => "not in the newest list".into(),
        (Rule::NotInList, Some(_)) => "in the newest list".into(),
        (Rule::Enum, Some(entitlement)) if decides => {
            let granted = entitlement.grant.enum_values.as_deref().unwrap_or_default();
            format!("requested {}; granted {}", values(&request.requested_values), values(granted)).into()
        }
        (_, Some(entitlement)) => found_in_entitlement(rule, entitlement, request, now),
    }
}

fn found_in_entitlement(rule: Rule, entitlement: &Entitlement, request: &AccessRequest, now: Timestamp) -> Cow<'static, str> {
    let grant = &entitlement.grant;
    let left = entitlement.balance.as_ref().map(|balance| to_number(balance.remaining_balance));
    let or_none = |text: &Option<String>| text.as_deref().unwrap_or("none").to_owned();
    match (rule, left) {
        (Rule::CreditsUsedUp, Some(left)) if entitlement.has_soft_limit() => format!("{left} credits left, soft limit").into(),
        (Rule::CreditsUsedUp, Some(left)) => format!("{left} credits left, no soft limit").into(),
        (Rule::CreditsUsedUp, None) => "not paid with credits".into(),
        (Rule::CreditsLeft, left) => {
            let limit = grant.usage_limit.map(to_number);
            let limit = limit.map_or_else(|| "no usage limit".to_owned(), |limit| format!("usage limit {limit}"));
            format!("{} credits left, {limit}", left.unwrap_or_default()).into()
        }
        (Rule::Boolean | Rule::Enum | Rule::UnknownType, _) => format!("type {}", or_none(&grant.feature.feature_type)).into(),
        (Rule::Unmetered, _) => format!("meter {}", or_none(&grant.feature.meter_type)).into(),
        (Rule::Unlimited, _) if entitlement.has_unlimited_usage() => "unlimited usage".into(),
        (Rule::Unlimited, _) if entitlement.has_soft_limit() => "soft limit".into(),
        (Rule::Unlimited, _) => "hard limit".into(),
        _ => numbers(entitlement, request, now).into(),
    }
}

fn values(values: &[String]) -> String {
    if values.is_empty() { "nothing".to_owned() } else { values.join(", ") }
}

/// The numbers of rules 10 and 11, and why usage counts as 0 if its period has ended.
fn numbers(entitlement: &Entitlement, request: &AccessRequest, now: Timestamp) -> String {
    let Entitlement { grant, period, current_usage, .. } = entitlement;
    let mut text = used_requested_allowed(entitlement, request, now);
    if let (true, Some(end), Some(usage)) = (period.is_over(now), period.usage_period_end, current_usage) {
        text.push_str(&format!("; the period in which {} were used ended at {}", to_number(*usage), time::to_fixed_width(end)));
    }
    if grant.usage_limit.is_none() {
        text.push_str("; the list has no limit, which counts as 0");
    }
    text
}
