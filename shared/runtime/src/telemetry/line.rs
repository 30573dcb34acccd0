//! Formats tracing events as lines of JSON.

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

use domain::time;

/// Writes each event as one object with the members timestamp, level, message and the event's fields.
#[derive(Clone, Copy, Debug)]
pub struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
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
        writeln!(writer, "{}", Value::Object(line))
    }
}

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
    use testkit::printed::Captured;

    use super::*;

    /// The lines that `log` prints.
    fn lines(log: impl FnOnce()) -> Vec<Value> {
        let printed = Captured::default();
        let writer = printed.clone();
        let subscriber = tracing_subscriber::fmt().event_format(JsonLines).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, log);
        printed.take().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn each_event_is_one_line_of_json() {
        let printed = lines(|| {
            tracing::info!(text = "two\nlines \"quoted\"", number = 1.5, absent = None::<u64>, debug = ?Some(1), "text");
            tracing::error!("failed");
        });
        assert_eq!(printed.len(), 2);
        assert_eq!(printed[0]["text"], "two\nlines \"quoted\"");
        assert_eq!((&printed[0]["number"], &printed[0]["debug"]), (&1.5.into(), &"Some(1)".into()));
        assert_eq!((&printed[0]["level"], &printed[0]["message"]), (&"INFO".into(), &"text".into()));
        assert!(printed[0].get("absent").is_none() && printed[0].get("target").is_none());
        assert_eq!(printed[1]["target"], module_path!());
    }
}
