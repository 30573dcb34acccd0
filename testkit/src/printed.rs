//! A function's output, parsed: log lines, and metrics in CloudWatch's embedded metric format.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
};

use serde_json::Value;

/// A function's JSON lines, in order of output.
#[derive(Debug, Default)]
pub struct Printed {
    /// Log lines: one per request, and any others.
    pub requests: Vec<Value>,
    /// Metrics in embedded metric format.
    pub metrics: Vec<Value>,
}

impl Printed {
    /// Fails if a line is not JSON.
    pub fn parse(text: &str) -> serde_json::Result<Self> {
        let lines = text.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>()?;
        let (metrics, requests) = lines.into_iter().partition(|line| line.get("_aws").is_some());
        Ok(Self { requests, metrics })
    }

    /// See [`sums`].
    pub fn sums(&self, metric: &str) -> BTreeMap<String, f64> {
        sums(&self.metrics, metric)
    }
}

/// The sums of a metric, per combination of dimension values. The key joins the values with commas.
pub fn sums(lines: &[Value], metric: &str) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for line in lines {
        for directive in line.pointer("/_aws/CloudWatchMetrics").and_then(Value::as_array).into_iter().flatten() {
            if directive.pointer("/Metrics/0/Name").is_none_or(|name| name != metric) {
                continue;
            }
            let dimensions = directive.pointer("/Dimensions/0").and_then(Value::as_array).into_iter().flatten();
            let values = dimensions.filter_map(|name| line.get(name.as_str()?)?.as_str()).collect::<Vec<_>>();
            let value = line.get(metric).unwrap_or(&Value::Null);
            let value = value.as_f64().or_else(|| value.as_array()?.iter().map(Value::as_f64).sum());
            *sums.entry(values.join(",")).or_default() += value.unwrap_or(f64::NAN);
        }
    }
    sums
}

/// A writer into memory. Clones share the memory.
#[derive(Clone, Debug, Default)]
pub struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    /// Returns the text written since the last call.
    pub fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
