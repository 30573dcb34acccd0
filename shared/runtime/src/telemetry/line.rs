//! How an event of tracing becomes a line of JSON.

use std::fmt;

use jiff::Timestamp;
use serde_json::{Map, Value};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use super::{MetricSet, REQUEST};
use domain::time;

/// Writes each event as one object: its time, level and message, and its fields beside them.
#[derive(Debug)]
pub struct Lines {
    namespace: Option<String>,
    sets: Vec<&'static MetricSet>,
}

impl Lines {
    /// Lines with these functions' metrics, in this namespace of CloudWatch; with none without one.
    pub fn new(namespace: Option<String>, sets: Vec<&'static MetricSet>) -> Self {
        Self { namespace, sets }
    }

    fn set_of(&self, line: &Map<String, Value>) -> Option<&'static MetricSet> {
        let function = line.get("Function").and_then(Value::as_str)?;
        self.sets.iter().copied().find(|set| set.function == function)
    }
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let now = Timestamp::now();
        let metadata = event.metadata();
        let mut line = Members(Map::new());
        line.add("timestamp", time::to_fixed_width(now).into());
        line.add("level", metadata.level().as_str().into());
        event.record(&mut line);
        let Members(mut line) = line;
        if *metadata.level() <= Level::WARN {
            line.insert("target".to_owned(), metadata.target().into());
        }
        if metadata.target() == REQUEST
            && let (Some(namespace), Some(set)) = (&self.namespace, self.set_of(&line))
        {
            set.add_to(&mut line, namespace, now.as_millisecond());
        }
        writeln!(writer, "{}", Value::Object(line))
    }
}

/// The members of a line, as they are told.
struct Members(Map<String, Value>);

impl Members {
    fn add(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }
}

impl Visit for Members {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field.name(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field.name(), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field.name(), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field.name(), format!("{value:?}").into());
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use super::*;
    use crate::telemetry::{Count, Metric};

    static METRICS: MetricSet = MetricSet {
        function: "webhook",
        own: &[
            Metric { name: "Events", unit: "Count", dimensions: &["EventType", "Outcome"], value: Count::Requests },
            Metric { name: "EventLag", unit: "Seconds", dimensions: &[], value: Count::Field("lag_seconds") },
        ],
    };

    #[derive(Clone, Default)]
    struct Printed(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Printed {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that are printed for what `log` does.
    fn lines(namespace: Option<&str>, log: impl FnOnce()) -> Vec<Value> {
        let printed = Printed::default();
        let writer = printed.clone();
        let lines = Lines::new(namespace.map(str::to_owned), vec![&METRICS]);
        let subscriber = tracing_subscriber::fmt().event_format(lines).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, log);
        let printed = printed.0.lock().unwrap();
        std::str::from_utf8(&printed).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_line_is_one_object_whatever_its_fields_hold() {
        let printed = lines(None, || {
            tracing::info!(text = "two\nlines \"quoted\"", number = 1.5, absent = None::<u64>, debug = ?Some(1), "said");
            tracing::error!("failed");
        });
        assert_eq!(printed.len(), 2);
        assert_eq!(printed[0]["text"], "two\nlines \"quoted\"");
        assert_eq!((&printed[0]["number"], &printed[0]["debug"]), (&1.5.into(), &"Some(1)".into()));
        assert_eq!((&printed[0]["level"], &printed[0]["message"]), (&"INFO".into(), &"said".into()));
        assert!(printed[0].get("absent").is_none() && printed[0].get("target").is_none());
        assert_eq!(printed[1]["target"], module_path!());
    }

    #[test]
    fn a_requests_line_holds_its_metrics_and_no_other_line_does() {
        let log = || {
            tracing::info!(
                target: REQUEST,
                Function = "webhook",
                EventType = "customer.created",
                Outcome = "applied",
                lag_seconds = 2,
                status = 200,
                "one"
            );
            tracing::info!(target: REQUEST, Function = "webhook", status = 503, secret_rejected = true, "two");
            tracing::info!(Function = "webhook", status = 503, "three");
            tracing::info!(target: REQUEST, Function = "another", status = 503, "four");
        };
        let printed = lines(Some("stack"), log);
        let directives = |line: &Value| -> Vec<String> {
            let directives = line["_aws"]["CloudWatchMetrics"].as_array().unwrap();
            directives
                .iter()
                .map(|directive| {
                    assert_eq!(directive["Namespace"], "stack");
                    let name = directive["Metrics"][0]["Name"].as_str().unwrap();
                    assert!(line[name].is_number());
                    let dimensions = directive["Dimensions"][0].as_array().unwrap();
                    assert!(dimensions.iter().all(|name| line[name.as_str().unwrap()].is_string()));
                    format!("{name} {} {}", directive["Metrics"][0]["Unit"].as_str().unwrap(), directive["Dimensions"])
                })
                .collect()
        };
        assert_eq!(directives(&printed[0]), [r#"Events Count [["EventType","Outcome"]]"#, "EventLag Seconds [[]]"]);
        assert_eq!(directives(&printed[1]), [r#"RejectedSecrets Count [["Function"]]"#, r#"ServerErrors Count [["Function"]]"#]);
        assert_eq!((&printed[0]["EventLag"], &printed[1]["Function"]), (&2.into(), &"webhook".into()));
        assert!(printed[0]["_aws"]["Timestamp"].as_i64().unwrap() > 1_700_000_000_000);
        assert!(printed[2].get("_aws").is_none() && printed[3].get("_aws").is_none());
        assert!(lines(None, log).iter().all(|line| line.get("_aws").is_none()));
    }
}
