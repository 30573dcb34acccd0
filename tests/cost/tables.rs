//! The tables of docs/cost.md.

use std::fmt::Write as _;

use crate::{
    assumptions::{LOAD, PEAK, SIZES, TASK_VCPU},
    measured::{Kind, Measured},
    model::{
        API_GATEWAY, BATCH, DIRECT, FUNCTION_URL, KINDS, Month, Options, Route, Usage, always_on, bill_of_million, billed_ms,
        fargate_vcpu, fixed_costs,
    },
    prices::{ALL, ARM, READS, X86},
};

/// A number with commas between thousands.
fn number(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), String::new()), |(whole, rest)| (whole, format!(".{rest}")));
    let groups: Vec<&str> = whole.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap()).collect();
    groups.join(",") + &rest
}

fn dollars(value: f64) -> String {
    let cents = (value * 100.0).round() / 100.0;
    number(cents, if cents < 1_000.0 { 2 } else { 0 })
}

/// A number without trailing zeros.
fn plain(value: f64) -> String {
    let text = number(value, 10);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn months(measured: &Measured) -> [Month; 3] {
    SIZES.map(|customers| Month::of(measured, customers))
}

fn row(table: &mut String, label: &str, cells: impl IntoIterator<Item = String>) {
    let cells: Vec<String> = cells.into_iter().collect();
    writeln!(table, "| {label} | {} |", cells.join(" | ")).unwrap();
}

pub(crate) fn month(measured: &Measured) -> String {
    let months = months(measured);
    let mut table = String::from("| dollars a month | 1,000 customers | 100,000 | 10 million |\n|---|--:|--:|--:|\n");
    type Line = (&'static str, fn(&Month) -> f64);
    let lines: [Line; 8] = [
        ("fixed, see below", |month| month.fixed),
        ("API Gateway", |month| month.bill.gateway),
        ("Lambda", |month| month.bill.lambda),
        ("DynamoDB, reads and writes", |month| month.bill.dynamodb),
        ("DynamoDB, storage and point-in-time recovery", |month| month.storage),
        ("logs", |month| month.bill.logs),
        ("data out", |month| month.bill.transfer),
        ("Secrets Manager, calls", |month| month.secret_reads),
    ];
    for (label, figure) in lines {
        row(&mut table, label, months.iter().map(|month| dollars(figure(month))));
    }
    row(&mut table, "**total**", months.iter().map(|month| format!("**{}**", dollars(month.sum()))));
    let each = months.iter().zip(SIZES).map(|(month, customers)| number(month.sum() / customers, 4));
    row(&mut table, "per customer", each);
    let busy = months.iter().map(|month| {
        let each = month.requests_a_second();
        number(each, usize::from(each < 100.0))
    });
    row(&mut table, "requests a second, on average", busy);
    row(&mut table, "GB stored", months.iter().map(|month| number(month.stored_gb, if month.stored_gb < 1.0 { 2 } else { 0 })));
    table
}

pub(crate) fn comparison(measured: &Measured) -> String {
    let mut table = String::from("| dollars a month | one of each | two of each |\n|---|--:|--:|\n");
    let parts = always_on();
    for (part, one, two) in parts {
        row(&mut table, part, [dollars(one), dollars(two)]);
    }
    let [one, two] = [parts.iter().map(|part| part.1).sum::<f64>(), parts.iter().map(|part| part.2).sum::<f64>()];
    row(&mut table, "**total**", [format!("**{}**", dollars(one)), format!("**{}**", dollars(two))]);

    let routes =
        [API_GATEWAY, FUNCTION_URL].map(|route| (route, SIZES.map(|customers| month_with_route(measured, customers, route))));
    table += "\n| dollars a month | 1,000 customers | 100,000 | 10 million |\n|---|--:|--:|--:|\n";
    for (route, months) in &routes {
        row(&mut table, &format!("this stack, checks by {}", route.name), months.iter().map(|month| dollars(month.sum())));
    }
    for (route, months) in &routes {
        let more = months.iter().map(|month| {
            let more = month.sum() - two;
            if month.node_vcpus >= 2.0 * TASK_VCPU { "—".to_owned() } else { signed(more) }
        });
        row(&mut table, &format!("… compared with two of each, by {} (— if those are too small)", route.name), more);
    }
    let months = months(measured);
    row(
        &mut table,
        &format!("vCPUs that the example and its database need at the peak ({PEAK} × the average)"),
        months.iter().map(|month| plain((month.node_vcpus * 1e4).round() / 1e4)),
    );
    let enough = |month: &Month| if month.node_vcpus < TASK_VCPU { "yes" } else { "no" }.to_owned();
    row(&mut table, "one of each is enough", months.iter().map(enough));

    // The number of customers at which this stack costs as much.
    let break_even = |dollars: f64, route: Route| {
        let cost = |thousands: i32| month_with_route(measured, f64::from(thousands) * 1e3, route).sum();
        let thousands = (1..).find(|thousands| cost(*thousands) >= dollars).unwrap();
        number(f64::from(thousands) * 1e3, 0)
    };
    let [_, large, largest] = &months;
    writeln!(
        table,
        "\nThe always-on machines are cheaper from some {} customers with one of each, and from {} with two of each; \
         if checks use the function URL, from {} and {}. \
         At some {},000 customers, the peak needs all of a task of {TASK_VCPU} vCPU. \
         At 10 million, the example needs some {} vCPUs to be half busy at the peak: {} dollars a month of Fargate, \
         plus a database of that size, which is not priced here.",
        break_even(one, API_GATEWAY),
        break_even(two, API_GATEWAY),
        break_even(one, FUNCTION_URL),
        break_even(two, FUNCTION_URL),
        number((TASK_VCPU / large.node_vcpus * SIZES[1] / 1e3).floor(), 0),
        number((2.0 * largest.node_vcpus).ceil(), 0),
        dollars((2.0 * largest.node_vcpus).ceil() * fargate_vcpu()),
    )
    .unwrap();
    table
}

fn month_with_route(measured: &Measured, customers: f64, route: Route) -> Month {
    Month::with(measured, customers, route, &Options::DEFAULT)
}

/// Dollars with their sign.
fn signed(value: f64) -> String {
    if value < 0.0 { format!("−{}", dollars(-value)) } else { format!("+{}", dollars(value)) }
}

pub(crate) fn routes(measured: &Measured) -> String {
    let mut table = String::from(
        "| checks by | a million checks | 1,000 customers, a month | 100,000 | 10 million |\n|---|--:|--:|--:|--:|\n",
    );
    for route in [API_GATEWAY, FUNCTION_URL, DIRECT] {
        for route in [route, route.in_batches()] {
            let (kind, checks) = if route.batched { (Kind::Batch20, BATCH) } else { (Kind::Check, 1.0) };
            let million = bill_of_million(measured, kind, route).sum() / checks;
            let months = SIZES.map(|customers| dollars(month_with_route(measured, customers, route).sum()));
            let name = if route.batched { format!("{}, 20 at a time", route.name) } else { route.name.to_owned() };
            row(&mut table, &name, [dollars(million)].into_iter().chain(months));
        }
    }
    table
}

pub(crate) fn options(measured: &Measured) -> String {
    let mut table = String::from("| parameter | 1,000 customers | 100,000 | 10 million |\n|---|--:|--:|--:|\n");
    let default = Options::DEFAULT;
    for (parameter, options) in [
        ("`CheckLogSampling=1`", Options { check_log_sampling: 1.0, ..default }),
        ("`EventLogSampling=100`", Options { event_log_sampling: 100.0, ..default }),
        ("`ApiAccessLogs=on`", Options { access_logs: true, ..default }),
        ("`SystemLogLevel=INFO`", Options { system_logs: true, ..default }),
        ("`MetricsLevel=detailed`", Options { detailed_metrics: true, ..default }),
        ("`Dashboard=on`", Options { dashboard: true, ..default }),
        ("`Tracing=Active`", Options { tracing: true, ..default }),
    ] {
        let more = SIZES.map(|customers| {
            let [with, without] = [&options, &default].map(|options| Month::with(measured, customers, API_GATEWAY, options));
            signed(with.sum() - without.sum())
        });
        row(&mut table, parameter, more);
    }
    table
}

pub(crate) fn millions(measured: &Measured) -> String {
    let mut table = String::from(
        "| a million of | DynamoDB requests, write units, read units of each | billed ms | API Gateway | Lambda | DynamoDB | logs | \
         data out | total, dollars |\n|---|---|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for kind in KINDS {
        let cost = measured.cost_of(*kind);
        let bill = bill_of_million(measured, *kind, API_GATEWAY);
        let counts = [cost.requests, cost.write_units, cost.read_units].map(plain).join(", ");
        let parts = [bill.gateway, bill.lambda, bill.dynamodb, bill.logs, bill.transfer].map(dollars);
        let cells = [counts, plain(billed_ms(&cost))].into_iter().chain(parts).chain([format!("**{}**", dollars(bill.sum()))]);
        row(&mut table, kind.name(), cells);
    }
    let [one, many] =
        [Kind::Entitlements1, Kind::Entitlements50].map(|kind| bill_of_million(measured, kind, API_GATEWAY).dynamodb);
    let check = Usage::of(measured, Kind::Check, 1e6, API_GATEWAY, &Options::DEFAULT).gb_seconds;
    let page = measured.cost_of(Kind::PageWithEntitlements);
    writeln!(
        table,
        "\n- Each additional feature in a list adds {} dollars of DynamoDB per million lists.\n\
         - On x86_64 the duration of a million checks costs {} dollars; on arm64, {}.\n\
         - An answer to the README's query has {} KB. Its `totalCount`, left out above, reads the keys of all customers: \
         {} dollars more per million queries for each 1,000 customers.",
        dollars((many - one) / 49.0),
        number(X86.of(check), 3),
        number(ARM.of(check), 3),
        number(page.response_bytes / 1e3, 0),
        dollars(1e6 * READS.of(1e3 * measured.index_entry_bytes / 8_192.0)),
    )
    .unwrap();
    table
}

pub(crate) fn fixed() -> String {
    let mut table = String::from("| fixed | dollars a month |\n|---|--:|\n");
    let parts = fixed_costs();
    for (part, price) in parts {
        row(&mut table, part, [dollars(price)]);
    }
    row(&mut table, "**total**", [format!("**{}**", dollars(parts.iter().map(|part| part.1).sum()))]);
    table
}

pub(crate) fn load(measured: &Measured) -> String {
    let mut table = String::from("| requests per customer and month | |\n|---|--:|\n");
    for (kind, per_month) in LOAD {
        row(&mut table, kind.name(), [plain(*per_month)]);
    }
    writeln!(
        table,
        "\nA customer with 20 entitlements and 2 subscriptions takes {} bytes of the tables and {} of their indexes.",
        number(measured.stored.tables, 0),
        number(measured.stored.indexes, 0),
    )
    .unwrap();
    table
}

pub(crate) fn prices() -> String {
    let mut table = String::from("| | dollars | per | AWS's page | source and its date |\n|---|--:|---|---|---|\n");
    for price in ALL {
        let decimals = if (price.dollars * 100.0).fract() == 0.0 { number(price.dollars, 2) } else { plain(price.dollars) };
        let cells = [decimals, price.unit.to_owned(), price.page.to_owned(), price.source.to_owned()];
        row(&mut table, price.name, cells);
    }
    table
}
