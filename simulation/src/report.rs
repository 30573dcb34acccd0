//! The tables of docs/scale.md.

use std::fmt::Write as _;

use crate::{
    SECOND, Time,
    scenario::{Part, Scenario, grouped},
    world::{Seen, run},
};

/// The seed of the page's figures.
pub const SEED: u64 = 19;

const HEADS: [&str; 14] = [
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

/// The head of a part's table.
pub fn head(part: Part) -> String {
    let heads: Vec<&str> = part.heads().iter().chain(&HEADS).copied().collect();
    let lines: Vec<&str> = part.heads().iter().map(|_| "---").chain(HEADS.iter().map(|_| "--:")).collect();
    format!("| {} |\n|{}|\n", heads.join(" | "), lines.join("|"))
}

/// Runs a scenario, and tells it as a row of its part's table.
pub fn row(scenario: &Scenario) -> (String, Seen) {
    let seen = run(&scenario.setup, &scenario.load, SEED);
    let mut text = String::from("|");
    for cell in scenario.names.iter().cloned().chain(cells(&seen)) {
        let _ = write!(text, " {cell} |");
    }
    text.push('\n');
    (text, seen)
}

fn cells(seen: &Seen) -> [String; 14] {
    let lag = |share| seen.lag.quantile(share).map_or_else(|| "-".to_owned(), duration);
    let check = |share| seen.checks.quantile(share).map_or_else(|| "-".to_owned(), tenths);
    let drained = match (seen.parked, seen.drained, seen.left) {
        (0, ..) => "-".to_owned(),
        (_, Some(drained), _) => duration(drained),
        (_, None, (waiting, rate)) if rate > 0.0 => {
            format!("{} left, {rate:.0} a second", grouped(waiting as u64))
        }
        (_, None, (waiting, _)) => format!("{} left", grouped(waiting as u64)),
    };
    [
        grouped(seen.events),
        grouped(seen.refused_by_api),
        grouped(seen.refused_by_lambda),
        grouped(seen.throttled),
        grouped(seen.parked),
        grouped(seen.most_waiting as u64),
        drained,
        lag(0.99),
        lag(1.0),
        format!("**{}**", grouped(seen.lost + seen.dead)),
        format!("{:.2} %", seen.undecided() * 100.0),
        check(0.5),
        check(0.99),
        grouped(seen.most_concurrent),
    ]
}

/// A time for people.
fn duration(time: Time) -> String {
    match time {
        time if time < 10 * SECOND => format!("{:.2} s", time as f64 / SECOND as f64),
        time if time < 120 * SECOND => format!("{} s", time / SECOND),
        time if time < 7_200 * SECOND => format!("{} min", time / (60 * SECOND)),
        time => format!("{:.1} h", time as f64 / (3_600 * SECOND) as f64),
    }
}

fn tenths(time: Time) -> String {
    format!("{:.0}", time as f64 / 1e3)
}

/// The parameters of the scenarios that were raised.
pub fn parameters(part: Part) -> String {
    let heads = [
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
    let names = &part.heads()[..part.heads().len() - 1];
    let all: Vec<&str> = names.iter().chain(&heads).copied().collect();
    let lines: Vec<&str> = names.iter().map(|_| "---").chain(heads.iter().map(|_| "--:")).collect();
    let mut text = format!("| {} |\n|{}|\n", all.join(" | "), lines.join("|"));
    for scenario in part.scenarios().iter().filter(|scenario| scenario.names.last().is_some_and(|name| name == "raised")) {
        let setup = &scenario.setup;
        let cells = [
            setup.webhook.rate,
            setup.checks.rate,
            setup.api.rate,
            f64::from(setup.concurrency),
            f64::from(setup.webhook_reserved),
            f64::from(setup.drains),
            setup.customers.writes,
            setup.customers.reads,
            setup.others.writes,
            setup.table_quota,
        ];
        let names = scenario.names[..names.len()].iter().cloned();
        let cells = names.chain(cells.iter().map(|cell| grouped(*cell as u64)));
        let _ = writeln!(text, "| {} |", cells.collect::<Vec<_>>().join(" | "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the page, between a part's markers.
    fn written(part: Part) -> &'static str {
        let page = include_str!("../../docs/scale.md");
        let (from, to) = (format!("<!-- {} -->\n", part.name()), format!("<!-- /{} -->", part.name()));
        let after = &page[page.find(&from).unwrap() + from.len()..];
        &after[..after.find(&to).unwrap()]
    }

    #[test]
    fn the_page_has_the_simulations_own_figures() {
        for part in Part::ALL {
            assert!(written(part).starts_with(&head(part)), "{}", part.name());
            assert!(written(part).contains(&parameters(part)), "{}", part.name());
            // The smallest scenarios; the others take minutes.
            for scenario in part.scenarios().iter().filter(|scenario| scenario.names[0] == "100,000") {
                let (row, _) = row(scenario);
                assert!(written(part).contains(&row), "cargo run --release -p simulation -- {}\n{row}", part.name());
            }
        }
    }

    #[test]
    fn times_are_told_in_the_unit_that_fits() {
        let told = [0.5, 59.0, 600.0, 9_000.0].map(|count| duration(crate::seconds(count)));
        assert_eq!(told, ["0.50 s", "59 s", "10 min", "2.5 h"]);
    }
}
