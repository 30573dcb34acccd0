use domain::access::DecisionJson;
use serde::Serialize;

/// The decisions of a batch, in the order of its checks.
#[derive(Serialize)]
pub(crate) struct Batch<'a> {
    pub(crate) decisions: Vec<DecisionJson<'a>>,
}
