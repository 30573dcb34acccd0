//! The scenarios of docs/scale.md.

use crate::{
    SECOND,
    engine::{Failure, Load},
    limits, seconds,
    setup::{Setup, Throttle},
    table::WarmThroughput,
    work::{self, Kind},
};

/// Seconds of ordinary load before the measurement, which start the environments.
const WARM_UP_SECONDS: f64 = 60.0;

/// A simulation to run.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The first cells of its row.
    pub labels: Vec<String>,
    /// The deployment.
    pub setup: Setup,
    /// The load.
    pub load: Load,
}

/// A part of the page. Each has a table of results and one of parameters.
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
    /// All parts, in the order of the page.
    pub const ALL: [Self; 4] = [Self::Plan, Self::Month, Self::Outage, Self::Checks];

    /// The name on the command line and in the page's markers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Month => "month",
            Self::Outage => "outage",
            Self::Checks => "checks",
        }
    }

    /// The headers of the columns for [`Scenario::labels`].
    pub fn label_columns(self) -> &'static [&'static str] {
        match self {
            Self::Plan | Self::Month => &["customers", "Stigg sends, a second", "parameters"],
            Self::Outage => &["customers", "DynamoDB", "parameters"],
            Self::Checks => &["checks", "parameters"],
        }
    }

    /// The scenarios, in the order of the rows.
    pub fn scenarios(self) -> Vec<Scenario> {
        match self {
            Self::Plan => storms(&[Kind::List], &[100.0, 1_000.0, 10_000.0]),
            Self::Month => storms(&[Kind::List, Kind::Subscription, Kind::Subscription], &[100.0, 1_000.0, 10_000.0]),
            Self::Outage => outages(),
            Self::Checks => checks(),
        }
    }
}

/// Numbers of customers.
pub const SIZES: [u32; 3] = [100_000, 1_000_000, 10_000_000];

/// The load at the busiest moment of an ordinary day.
fn ordinary(customers: u32) -> Load {
    let checks = work::peak_checks_per_second(customers);
    Load {
        customers,
        checks_before_start: checks,
        checks_from_start: checks,
        hot_share: 0.0,
        events: work::peak_events_per_second(customers),
        storm: &[],
        storm_rate: 1.0,
        failure: None,
        start: seconds(WARM_UP_SECONDS),
        end: seconds(WARM_UP_SECONDS),
        max_drain_time: 3_600 * SECOND,
    }
}

fn storms(kinds: &'static [Kind], rates: &[f64]) -> Vec<Scenario> {
    let mut all = Vec::new();
    for customers in SIZES {
        for rate in rates {
            // Storms of more than three hours take long to simulate and show nothing new.
            if f64::from(customers) * kinds.len() as f64 / rate > 10_000.0 {
                continue;
            }
            let load = Load { storm: kinds, storm_rate: *rate, ..ordinary(customers) };
            let setups =
                [("default", Setup::default()), ("throttles raised", throttles_raised(&load)), ("raised", raised(&load))];
            for (parameters, setup) in setups {
                all.push(Scenario {
                    labels: vec![grouped(customers), grouped(*rate as u32), parameters.to_owned()],
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
        for (failure, name) in [(Failure::Errors, "errors"), (Failure::NoAnswer, "no answer")] {
            let load = Load { failure: Some(failure), end: seconds(WARM_UP_SECONDS + 1_800.0), ..ordinary(customers) };
            for (parameters, setup) in [("default", Setup::default()), ("raised", raised(&load))] {
                all.push(Scenario {
                    labels: vec![grouped(customers), name.to_owned(), parameters.to_owned()],
                    setup,
                    load: load.clone(),
                });
            }
        }
    }
    all
}

fn checks() -> Vec<Scenario> {
    let load = |hot_share| Load {
        checks_before_start: 1_000.0,
        checks_from_start: 50_000.0,
        hot_share,
        end: seconds(WARM_UP_SECONDS + 120.0),
        ..ordinary(1_000_000)
    };
    let (uniform, hot) = (load(0.0), load(0.1));
    let raised = raised(&uniform);
    let scenario = |checks: &str, parameters: &str, setup: &Setup, load: &Load| Scenario {
        labels: vec![checks.to_owned(), parameters.to_owned()],
        setup: setup.clone(),
        load: load.clone(),
    };
    let cold = Setup { customers: WarmThroughput::NEW, ..raised.clone() };
    let provisioned = Setup { checks_provisioned: 1_500, ..raised.clone() };
    vec![
        scenario("of all customers", "default", &Setup::default(), &uniform),
        scenario("of all customers", "raised, the table not warm", &cold, &uniform),
        scenario("of all customers", "raised", &raised, &uniform),
        scenario("of all customers", "raised, 1,500 provisioned", &provisioned, &uniform),
        scenario("a tenth of them of one customer", "raised, 1,500 provisioned", &provisioned, &hot),
    ]
}

/// Parameters and quotas a third above what the load needs, and at least the defaults.
pub fn raised(load: &Load) -> Setup {
    let default = Setup::default();
    let storm = if load.storm.is_empty() { 0.0 } else { load.storm_rate };
    let (events, checks) = (load.events + storm, load.checks_before_start.max(load.checks_from_start));
    let with_margin = |need: f64, min: f64| round_up(need * 4.0 / 3.0).max(min);
    // Write units per event: 1.3 on average on an ordinary day; 3 for a list, and for other writes to an item with a list.
    let writes = load.events * 1.3 + storm * 3.0;
    let subscriptions = if load.storm.contains(&Kind::Subscription) { storm } else { 0.0 };
    let times_out = load.failure == Some(Failure::NoAnswer);
    // Duration of an invocation in seconds.
    let (event_seconds, check_seconds) = if times_out { (3.1, 0.95) } else { (0.06, 0.03) };
    // Arrivals are random: four standard deviations above the mean, and ten more for small numbers.
    let concurrency = |rate: f64, duration: f64| {
        let need = (rate * duration).max(rate / limits::REQUESTS_PER_CONCURRENCY);
        with_margin(need + 4.0 * need.sqrt() + 10.0, 0.0) as u32
    };
    // All events parked during an outage must be applied ten minutes after it. Each poller drains some 50 events a second.
    let parked = if load.failure.is_some() { events * (load.end - load.start) as f64 / SECOND as f64 } else { 0.0 };
    let queue_concurrency = (with_margin(parked / 600.0 / 50.0, 0.0) as u32).max(default.queue_concurrency);
    let webhook_reserved = concurrency(events, event_seconds) + queue_concurrency;
    let checks_needed = concurrency(checks, check_seconds);
    let throttle = |rate: f64, min: Throttle| {
        let rate = with_margin(rate, min.rate);
        Throttle { rate, burst: rate.max(min.burst) }
    };
    let (webhook, checks_throttle) = (throttle(events, default.webhook), throttle(checks, default.checks));
    let api = throttle(events + checks, default.api);
    Setup {
        webhook,
        checks: checks_throttle,
        api: Throttle { rate: api.rate, burst: limits::API_BURST },
        concurrency: (webhook_reserved + checks_needed + 100).max(default.concurrency),
        webhook_reserved,
        queue_concurrency,
        customers: WarmThroughput {
            reads: with_margin(checks, limits::NEW_TABLE_READS),
            writes: with_margin(writes, limits::NEW_TABLE_WRITES),
        },
        other_tables: WarmThroughput {
            reads: limits::NEW_TABLE_READS,
            writes: with_margin(subscriptions * 2.0, limits::NEW_TABLE_WRITES),
        },
        table_quota: with_margin(checks.max(writes), limits::TABLE_QUOTA),
        ..default
    }
}

/// The defaults, with API Gateway's throttles raised above the load.
fn throttles_raised(load: &Load) -> Setup {
    let Setup { webhook, checks, api, .. } = raised(load);
    Setup { webhook, checks, api, ..Setup::default() }
}

/// Rounds up to two significant digits.
fn round_up(number: f64) -> f64 {
    let mut step = 1.0;
    while number / step > 100.0 {
        step *= 10.0;
    }
    (number / step).ceil() * step
}

/// A number with commas between thousands.
pub fn grouped(number: impl Into<u64>) -> String {
    let digits = number.into().to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
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
        assert!(setup.webhook_reserved > setup.queue_concurrency);
        assert_eq!(Setup { webhook_reserved: 0, ..setup }, Setup::default());
    }

    #[test]
    fn raised_parameters_are_a_third_above_the_load() {
        let load = Load { storm: &[Kind::List], storm_rate: 2_400.0, events: 0.0, ..ordinary(1_000) };
        let setup = raised(&load);
        assert_eq!((setup.webhook.rate, setup.customers.writes), (3_200.0, 9_600.0));
    }
}
