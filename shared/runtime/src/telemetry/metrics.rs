//! Which metrics a request's line holds, in CloudWatch's embedded metric format.
//!
//! Source: Amazon CloudWatch, "Specification: Embedded metric format".

use serde_json::{Map, Value, json};

/// The metrics of a function's requests.
#[derive(Debug)]
pub struct MetricSet {
    /// The function's name, as the field `Function` of its lines says it.
    pub function: &'static str,
    /// The metrics that it alone has.
    pub own: &'static [Metric],
}

/// The metrics of every function.
static OF_ALL: [Metric; 4] = [
    Metric {
        name: "StoreLatency",
        unit: "Milliseconds",
        dimensions: &["Function"],
        value: Count::Field("dynamodb_milliseconds"),
    },
    Metric { name: "StoreErrors", unit: "Count", dimensions: &["Function"], value: Count::Where("store_failed") },
    Metric { name: "RejectedSecrets", unit: "Count", dimensions: &["Function"], value: Count::Where("secret_rejected") },
    Metric { name: "ServerErrors", unit: "Count", dimensions: &["Function"], value: Count::ServerErrors },
];

/// A metric, and where its value stands in a request's line.
#[derive(Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// CloudWatch's name of its unit.
    pub unit: &'static str,
    /// The names of its dimensions: fields of the line. Where one is not there, neither is the metric.
    pub dimensions: &'static [&'static str],
    /// What it counts or measures.
    pub value: Count,
}

/// The value of a metric.
#[derive(Debug)]
pub enum Count {
    /// One for each request.
    Requests,
    /// One for each request whose line says this field is true.
    Where(&'static str),
    /// One for each request that is answered with 5xx.
    ServerErrors,
    /// The number in this field, if there is one.
    Field(&'static str),
}

impl Count {
    fn of(&self, line: &Map<String, Value>) -> Option<Value> {
        let one_if = |holds: bool| holds.then(|| 1.into());
        match self {
            Self::Requests => Some(1.into()),
            Self::Where(field) => one_if(line.get(*field) == Some(&Value::Bool(true))),
            Self::ServerErrors => one_if(line.get("status").and_then(Value::as_u64).is_some_and(|status| status >= 500)),
            Self::Field(field) => line.get(*field).filter(|value| value.is_number()).cloned(),
        }
    }
}

impl MetricSet {
    /// All of them: its own, and those of every function.
    pub fn all(&self) -> impl Iterator<Item = &'static Metric> {
        self.own.iter().chain(&OF_ALL)
    }

    /// Adds to a request's line what makes CloudWatch read metrics out of it.
    pub(super) fn add_to(&self, line: &mut Map<String, Value>, namespace: &str, milliseconds: i64) {
        let mut directives: Vec<Value> = Vec::new();
        for metric in self.all() {
            let has_dimensions = metric.dimensions.iter().all(|name| line.contains_key(*name));
            let Some(value) = metric.value.of(line).filter(|_| has_dimensions) else { continue };
            line.insert(metric.name.to_owned(), value);
            directives.push(json!({
                "Namespace": namespace,
                "Dimensions": [metric.dimensions],
                "Metrics": [{ "Name": metric.name, "Unit": metric.unit }],
            }));
        }
        line.insert("_aws".to_owned(), json!({ "Timestamp": milliseconds, "CloudWatchMetrics": directives }));
    }
}
