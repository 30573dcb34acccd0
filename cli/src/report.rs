//! Output of long-running commands: results on standard output, progress on standard error.

use std::{
    io::{self, IsTerminal as _, Write},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::{Value, json};

use crate::sync::{Difference, DifferenceKind, FixStatus, Skipped, Subject};

/// Interval of progress lines without a terminal.
const INTERVAL: Duration = Duration::from_secs(5);

/// Results, one per line, as text or JSON.
pub struct Report {
    out: Box<dyn Write + Send>,
    is_json: bool,
    shows_values: bool,
    bar: Bar,
}

impl Report {
    /// Writes to standard output, with a progress bar on standard error if that is a terminal.
    pub fn new(is_json: bool, shows_values: bool) -> Self {
        let bar = if io::stderr().is_terminal() { Bar::drawn() } else { Bar::plain() };
        Self { out: Box::new(io::stdout()), is_json, shows_values, bar }
    }

    /// Writes to `out`, without progress.
    pub fn to(out: Box<dyn Write + Send>, is_json: bool, shows_values: bool) -> Self {
        Self { out, is_json, shows_values, bar: Bar::silent() }
    }

    pub fn skipped(&mut self, skipped: &Skipped) -> io::Result<()> {
        let Skipped { id, record, reason } = skipped;
        let id = id.as_ref().map(|id| format!(" {id}")).unwrap_or_default();
        self.line("skipped", skipped, || format!("skipped: {record}{id}: {reason}"))
    }

    /// Prints a difference; its values only with `--values`, since they may be personal data.
    pub fn difference(&mut self, difference: &Difference) -> io::Result<()> {
        let mut shown = difference.clone();
        if !self.shows_values {
            (shown.stigg, shown.replica) = (None, None);
        }
        self.line("difference", &shown, || difference_text(&shown))
    }

    pub fn summary(&mut self, summary: &impl Serialize, text: impl FnOnce() -> String) -> io::Result<()> {
        self.bar.end();
        self.line("summary", summary, text)
    }

    fn line(&mut self, kind: &str, value: &impl Serialize, text: impl FnOnce() -> String) -> io::Result<()> {
        let line = if self.is_json {
            let mut line = json!({ "kind": kind });
            if let (Some(line), Ok(Value::Object(members))) = (line.as_object_mut(), serde_json::to_value(value)) {
                line.extend(members);
            }
            line.to_string()
        } else {
            text()
        };
        let out = &mut self.out;
        self.bar.suspended(|| writeln!(out, "{line}").and_then(|()| out.flush()))
    }

    /// Starts a progress phase; `total` is None if unknown.
    pub fn begin(&mut self, what: &'static str, total: Option<u64>) {
        self.bar.begin(what, total);
    }

    pub fn step(&mut self) {
        self.bar.step();
    }
}

fn difference_text(difference: &Difference) -> String {
    let Difference { customer_id, kind, subject, field, stigg, replica, fixed } = difference;
    let scope =
        |resource_id: &Option<domain::id::Id>| resource_id.as_ref().map(|id| format!(" of resource {id}")).unwrap_or_default();
    let subject = match subject {
        Subject::Customer => String::new(),
        Subject::List { resource_id } => format!(", entitlements{}", scope(resource_id)),
        Subject::Entitlement { resource_id, feature_id } => format!(", entitlement {feature_id}{}", scope(resource_id)),
        Subject::Subscription { subscription_id } => format!(", subscription {subscription_id}"),
    };
    let kind = match (kind, field) {
        (DifferenceKind::Missing, _) => "missing in the replica".to_owned(),
        (DifferenceKind::Extra, _) => "not in Stigg".to_owned(),
        (DifferenceKind::Differs, Some(field)) => format!("{field} differs"),
        (DifferenceKind::Differs, None) => "differs".to_owned(),
    };
    let values = match (stigg, replica) {
        (Some(stigg), Some(replica)) => format!(" (Stigg: {stigg}, replica: {replica})"),
        _ => String::new(),
    };
    let fixed = match fixed {
        FixStatus::No => "",
        FixStatus::Yes => ": fixed",
        FixStatus::Newer => ": not fixed, a newer event arrived meanwhile",
    };
    format!("customer {customer_id}{subject}: {kind}{values}{fixed}")
}

enum Bar {
    Drawn(ProgressBar),
    Plain { what: &'static str, started: Instant, reported: Instant, done: u64, total: Option<u64> },
    Silent,
}

impl Bar {
    fn drawn() -> Self {
        Self::Drawn(ProgressBar::no_length())
    }

    fn plain() -> Self {
        Self::Plain { what: "", started: Instant::now(), reported: Instant::now(), done: 0, total: None }
    }

    fn silent() -> Self {
        Self::Silent
    }

    fn begin(&mut self, what: &'static str, total: Option<u64>) {
        match self {
            Self::Drawn(bar) => {
                let template = match total {
                    Some(_) => "{msg} [{wide_bar}] {human_pos} of {human_len}, {per_sec}, {eta} left",
                    None => "{spinner} {msg}: {human_pos}, {per_sec}, for {elapsed}",
                };
                bar.reset();
                match total {
                    Some(total) => bar.set_length(total),
                    None => bar.unset_length(),
                }
                if let Ok(style) = ProgressStyle::with_template(template) {
                    bar.set_style(style);
                }
                bar.set_message(what);
            }
            Self::Plain { .. } => {
                *self = Self::Plain { what, started: Instant::now(), reported: Instant::now(), done: 0, total };
            }
            Self::Silent => {}
        }
    }

    fn step(&mut self) {
        match self {
            Self::Drawn(bar) => bar.inc(1),
            Self::Plain { what, started, reported, done, total } => {
                *done += 1;
                if reported.elapsed() >= INTERVAL {
                    *reported = Instant::now();
                    eprintln!("{}", progress_line(what, *done, *total, started.elapsed()));
                }
            }
            Self::Silent => {}
        }
    }

    /// Suspends the bar while writing.
    fn suspended<T>(&self, write: impl FnOnce() -> T) -> T {
        match self {
            Self::Drawn(bar) => bar.suspend(write),
            Self::Plain { .. } | Self::Silent => write(),
        }
    }

    fn end(&self) {
        if let Self::Drawn(bar) = self {
            bar.finish_and_clear();
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "an approximate rate")]
fn progress_line(what: &str, done: u64, total: Option<u64>, elapsed: Duration) -> String {
    let rate = done as f64 / elapsed.as_secs_f64();
    match total.filter(|total| *total > done) {
        Some(total) => {
            let left = (total - done) as f64 / rate;
            format!("{what}: {done} of {total}, {rate:.0} a second, {:.0} minutes left", left / 60.0)
        }
        None => format!("{what}: {done}, {rate:.0} a second"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_shows_rate_and_time_left() {
        let minute = Duration::from_secs(60);
        assert_eq!(
            progress_line("customers", 3_000, Some(9_000), minute),
            "customers: 3000 of 9000, 50 a second, 2 minutes left"
        );
        assert_eq!(progress_line("customers", 3_000, None, minute), "customers: 3000, 50 a second");
    }
}
