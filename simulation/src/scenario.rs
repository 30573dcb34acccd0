//! The days that docs/scale.md tells of.

use crate::{
    SECOND, limits, seconds,
    setup::{Setup, Throttle},
    table::Warm,
    work::{self, Kind},
    world::{Failure, Load},
};

/// Seconds of an ordinary day before it begins, so that environments are there.
const BEFORE: f64 = 60.0;

/// A simulation to run.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What tells it from the others of its table.
    pub names: Vec<String>,
    /// What it runs on.
    pub setup: Setup,
    /// What comes in.
    pub load: Load,
}

/// A table of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A plan is published.
    Plan,
    /// The first day of a month.
    Month,
    /// DynamoDB fails for half an hour.
    Outage,
    /// 50,000 checks a second.
    Checks,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Plan, Self::Month, Self::Outage, Self::Checks];

    /// What the command line and the page's markers call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Month => "month",
            Self::Outage => "outage",
            Self::Checks => "checks",
        }
    }

    /// The heads of the columns that [`Scenario::names`] fills.
    pub fn heads(self) -> &'static [&'static str] {
        match self {
            Self::Plan | Self::Month => &["customers", "Stigg sends, a second", "parameters"],
            Self::Outage => &["customers", "DynamoDB", "parameters"],
            Self::Checks => &["checks", "parameters"],
        }
    }

    /// Its scenarios.
    pub fn scenarios(self) -> Vec<Scenario> {
        match self {
            Self::Plan => storms(&[Kind::List], &[100.0, 1_000.0, 10_000.0]),
            Self::Month => storms(&[Kind::List, Kind::Subscription, Kind::Subscription], &[100.0, 1_000.0, 10_000.0]),
            Self::Outage => outages(),
            Self::Checks => checks(),
        }
    }
}

/// Customers.
pub const SIZES: [u32; 3] = [100_000, 1_000_000, 10_000_000];

/// The busiest moment of an ordinary day.
fn ordinary(customers: u32) -> Load {
    let checks = work::checks_a_second(customers);
    Load {
        customers,
        checks,
        checks_from_begin: checks,
        hot: 0.0,
        events: work::events_a_second(customers),
        storm: &[],
        storm_rate: 1.0,
        failure: None,
        begin: seconds(BEFORE),
        end: seconds(BEFORE),
        after: 3_600 * SECOND,
    }
}

fn storms(kinds: &'static [Kind], rates: &[f64]) -> Vec<Scenario> {
    let mut all = Vec::new();
    for customers in SIZES {
        for rate in rates {
            // More than three hours of the same take long to simulate and tell nothing more.
            if f64::from(customers) * kinds.len() as f64 / rate > 10_000.0 {
                continue;
            }
            let load = Load { storm: kinds, storm_rate: *rate, ..ordinary(customers) };
            let setups =
                [("default", Setup::default()), ("throttles raised", throttles_raised(&load)), ("raised", raised(&load))];
            for (name, setup) in setups {
                all.push(Scenario {
                    names: vec![grouped(customers), grouped(*rate as u32), name.to_owned()],
                    setup,
                    load: load.clone(),
                });
            }
        }
    }
    all
}

fn outages() -> Vec<Scenario> {
    let mut all = Vec::new();
    for customers in SIZES {
        for (failure, name) in [(Failure::Errors, "errors"), (Failure::Silence, "no answer")] {
            let load = Load { failure: Some(failure), end: seconds(BEFORE + 1_800.0), ..ordinary(customers) };
            for (parameters, setup) in [("default", Setup::default()), ("raised", raised(&load))] {
                all.push(Scenario {
                    names: vec![grouped(customers), name.to_owned(), parameters.to_owned()],
                    setup,
                    load: load.clone(),
                });
            }
        }
    }
    all
}

fn checks() -> Vec<Scenario> {
    let to =
        |hot| Load { checks: 1_000.0, checks_from_begin: 50_000.0, hot, end: seconds(BEFORE + 120.0), ..ordinary(1_000_000) };
    let (even, hot) = (to(0.0), to(0.1));
    let raised = raised(&even);
    let scenario = |checks: &str, parameters: &str, setup: &Setup, load: &Load| Scenario {
        names: vec![checks.to_owned(), parameters.to_owned()],
        setup: setup.clone(),
        load: load.clone(),
    };
    let cold = Setup { customers: Warm::NEW, ..raised.clone() };
    let provisioned = Setup { checks_provisioned: 1_500, ..raised.clone() };
    vec![
        scenario("of all customers", "default", &Setup::default(), &even),
        scenario("of all customers", "raised, the table not warm", &cold, &even),
        scenario("of all customers", "raised", &raised, &even),
        scenario("of all customers", "raised, 1,500 provisioned", &provisioned, &even),
        scenario("a tenth of them of one customer", "raised, 1,500 provisioned", &provisioned, &hot),
    ]
}

/// What the load needs, and a third more: the rule of the page's last table.
pub fn raised(load: &Load) -> Setup {
    let default = Setup::default();
    let storm = if load.storm.is_empty() { 0.0 } else { load.storm_rate };
    let (events, checks) = (load.events + storm, load.checks.max(load.checks_from_begin));
    let room = |need: f64, least: f64| two_digits(need * 4.0 / 3.0).max(least);
    // Events of an ordinary day write some 1.3 units, a list or what stands beside it in its item three.
    let writes = load.events * 1.3 + storm * 3.0;
    let subscriptions = if load.storm.contains(&Kind::Subscription) { storm } else { 0.0 };
    let is_silent = load.failure == Some(Failure::Silence);
    // How long an invocation holds its environment.
    let (of_event, of_check) = if is_silent { (3.1, 0.95) } else { (0.06, 0.03) };
    // By chance more come at once, and few vary more.
    let concurrency = |rate: f64, held: f64| {
        let need = (rate * held).max(rate / limits::REQUESTS_PER_CONCURRENCY);
        room(need + 4.0 * need.sqrt() + 10.0, 0.0) as u32
    };
    // All that an outage parks is to be applied within ten minutes of its end: a batch at a time drains some 50 a second.
    let parked = if load.failure.is_some() { events * (load.end - load.begin) as f64 / SECOND as f64 } else { 0.0 };
    let drains = (room(parked / 600.0 / 50.0, 0.0) as u32).max(default.drains);
    let (webhook_reserved, checks_needed) = (concurrency(events, of_event) + drains, concurrency(checks, of_check));
    let throttle = |rate: f64, least: Throttle| {
        let rate = room(rate, least.rate);
        Throttle { rate, burst: rate.max(least.burst) }
    };
    let (webhook, checks_throttle) = (throttle(events, default.webhook), throttle(checks, default.checks));
    let api = throttle(events + checks, default.api);
    Setup {
        webhook,
        checks: checks_throttle,
        api: Throttle { rate: api.rate, burst: limits::API_BURST },
        concurrency: (webhook_reserved + checks_needed + 100).max(default.concurrency),
        webhook_reserved,
        drains,
        customers: Warm { reads: room(checks, limits::NEW_TABLE_READS), writes: room(writes, limits::NEW_TABLE_WRITES) },
        others: Warm { reads: limits::NEW_TABLE_READS, writes: room(subscriptions * 2.0, limits::NEW_TABLE_WRITES) },
        table_quota: room(checks.max(writes), limits::TABLE_QUOTA),
        ..default
    }
}

/// API Gateway lets the load through, and all else is as by default.
fn throttles_raised(load: &Load) -> Setup {
    let Setup { webhook, checks, api, .. } = raised(load);
    Setup { webhook, checks, api, ..Setup::default() }
}

/// To two digits, upwards.
fn two_digits(number: f64) -> f64 {
    let mut step = 1.0;
    while number / step > 100.0 {
        step *= 10.0;
    }
    (number / step).ceil() * step
}

/// With commas between thousands.
pub fn grouped(number: impl Into<u64>) -> String {
    let digits = number.into().to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!([0_u32, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn raised_parameters_are_never_below_the_defaults() {
        let load = ordinary(1_000);
        let setup = raised(&load);
        assert!(setup.webhook_reserved > setup.drains);
        assert_eq!(Setup { webhook_reserved: 0, ..setup }, Setup::default());
    }

    #[test]
    fn raised_parameters_have_a_third_more_than_the_load() {
        let load = Load { storm: &[Kind::List], storm_rate: 1_000.0, events: 0.0, ..ordinary(1_000) };
        let setup = raised(&load);
        assert_eq!((setup.webhook.rate, setup.customers.writes), (1_400.0, 4_000.0));
    }
}
