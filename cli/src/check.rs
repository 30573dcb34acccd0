//! `byos check`: explains a decision rule by rule.

use clap::Args;
use console::requested_usage;
use domain::{
    access::{AccessRequest, DecisionJson, Explanation, denies_one_more, explain},
    id::Id,
};
use jiff::Timestamp;
use serde::Serialize;

use crate::{
    arguments::id,
    outcome::ExitStatus,
    show::{ShowError, plain},
    target::Target,
};

/// Explain a decision of /check-access: the data that each row of the decision table was evaluated on, up to the
/// deciding row
///
/// It reads the same data as a check and uses the same code.
///
/// Exit codes: 0 if access is granted, 3 if it is denied.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  byos check customer-alder feature-seats --usage 1
  byos check customer-alder feature-support --value chat --value phone
  byos check customer-alder feature-sensors --resource site-berlin --usage 8 --stack replica")]
pub struct Check {
    /// The customer's id
    #[arg(value_name = "CUSTOMER", value_parser = id)]
    pub customer: Id,

    /// The feature's id
    #[arg(value_name = "FEATURE", value_parser = id)]
    pub feature: Id,

    /// Requested usage of a metered feature
    #[arg(long, value_name = "N", default_value_t = 0.0, value_parser = requested_usage)]
    pub usage: f64,

    /// Requested value of an ENUM feature; can be repeated
    #[arg(long = "value", value_name = "V")]
    pub values: Vec<String>,

    /// Check one of the customer's resources instead of the customer level
    #[arg(long, value_name = "ID", value_parser = id)]
    pub resource: Option<Id>,

    /// Print a JSON object: the response of /check-access, and the steps
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub target: Target,
}

#[derive(Serialize)]
struct Explained<'a> {
    #[serde(flatten)]
    decision: DecisionJson<'a>,
    steps: Vec<Step<'a>>,
}

#[derive(Serialize)]
struct Step<'a> {
    row: &'static str,
    condition: &'static str,
    found: &'a str,
    decides: bool,
}

pub async fn check(options: Check) -> Result<ExitStatus, ShowError> {
    let Check { customer, feature, usage, values, resource, json, target } = options;
    let store = target.find().await?.store().await?;
    let request = AccessRequest {
        customer_id: customer,
        feature_id: feature,
        resource_id: resource,
        requested_usage: usage,
        requested_values: values,
    };
    let view = store.access_view(&request).await?;
    let now = Timestamp::now();
    let explanation = explain(&view, &request, now);
    if json {
        println!("{}", as_json(&request, &explanation));
    } else {
        print!("{}", as_text(&request, &explanation));
        if denies_one_more(&view, &request, now) {
            println!("\nOne more is denied: see --usage {}", request.requested_usage + 1.0);
        }
    }
    Ok(if explanation.decision.has_access() { ExitStatus::Success } else { ExitStatus::Findings })
}

fn as_json(request: &AccessRequest, Explanation { steps, decision }: &Explanation) -> String {
    let steps = steps.iter().map(|step| Step {
        row: step.rule.number(),
        condition: step.rule.condition(),
        found: &step.found,
        decides: step.decides,
    });
    let explained = Explained { decision: DecisionJson::new(request, decision), steps: steps.collect() };
    serde_json::to_string_pretty(&explained).unwrap_or_default()
}

fn as_text(request: &AccessRequest, Explanation { steps, decision }: &Explanation) -> String {
    let result = decision.denied.map_or_else(|| "granted".to_owned(), |reason| format!("denied, {reason:?}"));
    let resource = request.resource_id.as_ref().map(|id| format!(", resource {id}")).unwrap_or_default();
    let head = format!("{}{resource}, {}: {result}", request.customer_id, request.feature_id);
    let mut text = format!("{}\n{}\n\n", plain(&head), plain(&decision.reason));
    for step in steps {
        let mark = if step.decides { "→" } else { " " };
        let (number, condition, found) = (step.rule.number(), step.rule.condition(), plain(&step.found));
        text.push_str(&format!("{mark} {number:>2}  {condition:31}  {found}\n"));
    }
    text
}
