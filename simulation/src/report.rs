//! The tables of docs/scale.md.

use std::fmt::Write as _;

use crate::{
    SECOND, Time,
    engine::{Results, run},
    scenario::{Part, Scenario, grouped},
};

/// The seed of the page's figures.
pub const SEED: u64 = 19;

const COLUMNS: [&str; 14] = [
    "events",
    "429 of the API",
    "no environment",
    "throttled by DynamoDB",
    "parked",
    "most waiting",
    "drained after",
    "applied: 99 %",
    "all",
    "**lost**",
    "checks without a decision",
    "p50, ms",
    "p99, ms",
    "executions at once",
];

/// The header of a part's table.
pub fn header(part: Part) -> String {
    header_of(part.label_columns(), &COLUMNS)
}

/// Runs a scenario. Returns its row of the table, and the results.
pub fn row(scenario: &Scenario) -> (String, Results) {
    let results = run(&scenario.setup, &scenario.load, SEED);
    let mut text = String::from("|");
    for cell in scenario.labels.iter().cloned().chain(cells(&results)) {
        let _ = write!(text, " {cell} |");
    }
    text.push('\n');
    (text, results)
}

fn cells(results: &Results) -> [String; 14] {
    let lag = |share| results.lag.quantile(share).map_or_else(|| "-".to_owned(), duration);
    let check = |share| results.checks.quantile(share).map_or_else(|| "-".to_owned(), whole_milliseconds);
    let drained = match (results.parked, results.drained_after, results.undrained) {
        (0, ..) => "-".to_owned(),
        (_, Some(drained), _) => duration(drained),
        (_, None, (left, rate)) if rate > 0.0 => format!("{} left, {rate:.0} a second", grouped(left as u64)),
        (_, None, (left, _)) => format!("{} left", grouped(left as u64)),
    };
    [
        grouped(results.events),
        grouped(results.refused_by_api),
        grouped(results.refused_by_lambda),
        grouped(results.throttled),
        grouped(results.parked),
        grouped(results.max_queue_length as u64),
        drained,
        lag(0.99),
        lag(1.0),
        format!("**{}**", grouped(results.lost + results.dead_letters)),
        format!("{:.2} %", results.undecided() * 100.0),
        check(0.5),
        check(0.99),
        grouped(results.peak_concurrency),
    ]
}

/// A duration in the unit that fits.
fn duration(time: Time) -> String {
    match time {
        time if time < 10 * SECOND => format!("{:.2} s", time as f64 / SECOND as f64),
        time if time < 120 * SECOND => format!("{} s", time / SECOND),
        time if time < 7_200 * SECOND => format!("{} min", time / (60 * SECOND)),
        time => format!("{:.1} h", time as f64 / (3_600 * SECOND) as f64),
    }
}

fn whole_milliseconds(time: Time) -> String {
    format!("{:.0}", time as f64 / 1e3)
}

/// The table of the raised parameters.
pub fn parameters(part: Part) -> String {
    let columns = [
        "WebhookRateLimit",
        "CheckAccessRateLimit",
        "API Gateway's quota, a second",
        "Lambda's quota, at once",
        "WebhookReservedConcurrency",
        "EventQueueConcurrency",
        "CustomersWarmWrites",
        "CustomersWarmReads",
        "SubscriptionsWarmWrites",
        "quota of a table",
    ];
    let label_columns = &part.label_columns()[..part.label_columns().len() - 1];
    let mut text = header_of(label_columns, &columns);
    for scenario in part.scenarios().iter().filter(|scenario| scenario.labels.last().is_some_and(|label| label == "raised")) {
        let setup = &scenario.setup;
        let cells = [
            setup.webhook.rate,
            setup.checks.rate,
            setup.api.rate,
            f64::from(setup.concurrency),
            f64::from(setup.webhook_reserved),
            f64::from(setup.queue_concurrency),
            setup.customers.writes,
            setup.customers.reads,
            setup.other_tables.writes,
            setup.table_quota,
        ];
        let labels = scenario.labels[..label_columns.len()].iter().cloned();
        let cells = labels.chain(cells.iter().map(|cell| grouped(*cell as u64)));
        let _ = writeln!(text, "| {} |", cells.collect::<Vec<_>>().join(" | "));
    }
    text
}

fn header_of(labels: &[&str], figures: &[&str]) -> String {
    let columns: Vec<&str> = labels.iter().chain(figures).copied().collect();
    let lines: Vec<&str> = labels.iter().map(|_| "---").chain(figures.iter().map(|_| "--:")).collect();
    format!("| {} |\n|{}|\n", columns.join(" | "), lines.join("|"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text between a part's markers in docs/scale.md.
    fn on_page(part: Part) -> &'static str {
        let page = include_str!("../../docs/scale.md");
        let (from, to) = (format!("<!-- {} -->\n", part.name()), format!("<!-- /{} -->", part.name()));
        let after = &page[page.find(&from).unwrap() + from.len()..];
        &after[..after.find(&to).unwrap()]
    }

    #[test]
    fn the_page_has_the_simulations_figures() {
        for part in Part::ALL {
            assert!(on_page(part).starts_with(&header(part)), "{}", part.name());
            assert!(on_page(part).contains(&parameters(part)), "{}", part.name());
            // The larger scenarios take minutes.
            for scenario in part.scenarios().iter().filter(|scenario| scenario.labels[0] == "100,000") {
                let (row, _) = row(scenario);
                assert!(on_page(part).contains(&row), "cargo run --release -p simulation -- {}\n{row}", part.name());
            }
        }
    }

    #[test]
    fn durations_have_the_unit_that_fits() {
        let texts = [0.5, 59.0, 600.0, 9_000.0].map(|count| duration(crate::seconds(count)));
        assert_eq!(texts, ["0.50 s", "59 s", "10 min", "2.5 h"]);
    }
}
