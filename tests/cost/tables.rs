//! The tables of docs/cost.md.

use std::fmt::Write as _;

use crate::{
    assumptions::{LOAD, PEAK, SIZES, TASK_VCPU},
    measured::{Kind, Measured},
    model::{
        API_GATEWAY, BATCH, DIRECT, FUNCTION_URL, KINDS, Month, Options, Usage, Way, always_on, billed_ms, fargate_vcpu, fixed,
        million,
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

/// A number without a tail of zeros.
fn plain(value: f64) -> String {
    let text = number(value, 10);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn months(measured: &Measured) -> [Month; 3] {
    SIZES.map(|customers| Month::of(measured, customers))
}

fn row(table: &mut String, what: &str, cells: impl IntoIterator<Item = String>) {
    let cells: Vec<String> = cells.into_iter().collect();
    writeln!(table, "| {what} | {} |", cells.join(" | ")).unwrap();
}

pub(crate) fn month(measured: &Measured) -> String {
    let months = months(measured);
    let mut table = String::from("| dollars a month | 1,000 customers | 100,000 | 10 million |\n|---|--:|--:|--:|\n");
    type Line = (&'static str, fn(&Month) -> f64);
    let lines: [Line; 8] = [
        ("fixed: see below", |month| month.fixed),
        ("API Gateway", |month| month.bill.gateway),
        ("Lambda", |month| month.bill.lambda),
        ("DynamoDB, reads and writes", |month| month.bill.dynamodb),
        ("DynamoDB, storage and point-in-time recovery", |month| month.storage),
        ("logs", |month| month.bill.logs),
        ("data out", |month| month.bill.transfer),
        ("Secrets Manager, calls", |month| month.secret_reads),
    ];
    for (what, of) in lines {
        row(&mut table, what, months.iter().map(|month| dollars(of(month))));
    }
    row(&mut table, "**together**", months.iter().map(|month| format!("**{}**", dollars(month.sum()))));
    let each = months.iter().zip(SIZES).map(|(month, customers)| number(month.sum() / customers, 4));
    row(&mut table, "for each customer", each);
    let busy = months.iter().map(|month| {
        let each = month.requests_a_second();
        number(each, usize::from(each < 100.0))
    });
    row(&mut table, "requests a second, on average", busy);
    row(&mut table, "GB stored", months.iter().map(|month| number(month.stored_gb, if month.stored_gb < 1.0 { 2 } else { 0 })));
    table
}

pub(crate) fn beside(measured: &Measured) -> String {
    let mut table = String::from("| dollars a month | one of each | two of each |\n|---|--:|--:|\n");
    let parts = always_on();
    for (what, one, two) in parts {
        row(&mut table, what, [dollars(one), dollars(two)]);
    }
    let [one, two] = [parts.iter().map(|part| part.1).sum::<f64>(), parts.iter().map(|part| part.2).sum::<f64>()];
    row(&mut table, "**together**", [format!("**{}**", dollars(one)), format!("**{}**", dollars(two))]);

    let ways = [API_GATEWAY, FUNCTION_URL].map(|way| (way, SIZES.map(|customers| of_way(measured, customers, way))));
    table += "\n| dollars a month | 1,000 customers | 100,000 | 10 million |\n|---|--:|--:|--:|\n";
    for (way, months) in &ways {
        row(&mut table, &format!("this stack, checks by {}", way.name), months.iter().map(|month| dollars(month.sum())));
    }
    for (way, months) in &ways {
        let more = months.iter().map(|month| {
            let more = month.sum() - two;
            if month.node_vcpus >= 2.0 * TASK_VCPU { "—".to_owned() } else { signed(more) }
        });
        row(&mut table, &format!("… more than two of each, by {} (— where those can't carry it)", way.name), more);
    }
    let months = months(measured);
    row(
        &mut table,
        &format!("vCPUs that the example and its database keep busy at the peak ({PEAK} × the average)"),
        months.iter().map(|month| plain((month.node_vcpus * 1e4).round() / 1e4)),
    );
    let enough = |month: &Month| if month.node_vcpus < TASK_VCPU { "yes" } else { "no" }.to_owned();
    row(&mut table, "which the set-up of one of each has", months.iter().map(enough));

    let as_dear = |dollars: f64, way: Way| {
        let thousands = (1..).find(|thousands| of_way(measured, f64::from(*thousands) * 1e3, way).sum() >= dollars).unwrap();
        number(f64::from(thousands) * 1e3, 0)
    };
    let [_, large, largest] = &months;
    writeln!(
        table,
        "\nThe always-on machines win from some {} customers on with one of each, and from {} with two of each; \
         where checks take the function URL, from {} and {}. \
         A task of {TASK_VCPU} vCPU is busy all of the peak at some {},000 customers, if all of the CPU is its own. \
         At 10 million the example needs some {} vCPUs to be half busy at the peak: {} dollars a month of Fargate, \
         and a database to match, which is not priced here.",
        as_dear(one, API_GATEWAY),
        as_dear(two, API_GATEWAY),
        as_dear(one, FUNCTION_URL),
        as_dear(two, FUNCTION_URL),
        number((TASK_VCPU / large.node_vcpus * SIZES[1] / 1e3).floor(), 0),
        number((2.0 * largest.node_vcpus).ceil(), 0),
        dollars((2.0 * largest.node_vcpus).ceil() * fargate_vcpu()),
    )
    .unwrap();
    table
}

fn of_way(measured: &Measured, customers: f64, way: Way) -> Month {
    Month::with(measured, customers, way, &Options::DEFAULT)
}

/// Dollars with their sign.
fn signed(value: f64) -> String {
    if value < 0.0 { format!("−{}", dollars(-value)) } else { format!("+{}", dollars(value)) }
}

pub(crate) fn ways(measured: &Measured) -> String {
    let mut table = String::from(
        "| checks by | a million checks | 1,000 customers, a month | 100,000 | 10 million |\n|---|--:|--:|--:|--:|\n",
    );
    for way in [API_GATEWAY, FUNCTION_URL, DIRECT] {
        for way in [way, way.in_batches()] {
            let (kind, checks) = if way.batched { (Kind::Batch20, BATCH) } else { (Kind::Check, 1.0) };
            let million = million(measured, kind, way).sum() / checks;
            let months = SIZES.map(|customers| dollars(of_way(measured, customers, way).sum()));
            let name = if way.batched { format!("{}, 20 at a time", way.name) } else { way.name.to_owned() };
            row(&mut table, &name, [dollars(million)].into_iter().chain(months));
        }
    }
    table
}

pub(crate) fn options(measured: &Measured) -> String {
    let mut table = String::from("| parameter | 1,000 customers | 100,000 | 10 million |\n|---|--:|--:|--:|\n");
    let default = Options::DEFAULT;
    for (what, options) in [
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
        row(&mut table, what, more);
    }
    table
}

pub(crate) fn millions(measured: &Measured) -> String {
    let mut table = String::from(
        "| a million of | DynamoDB requests, write units, read units of each | billed ms | API Gateway | Lambda | DynamoDB | logs | \
         data out | together, dollars |\n|---|---|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for kind in KINDS {
        let taken = measured.of(*kind);
        let bill = million(measured, *kind, API_GATEWAY);
        let counts = [taken.requests, taken.write_units, taken.read_units].map(plain).join(", ");
        let parts = [bill.gateway, bill.lambda, bill.dynamodb, bill.logs, bill.transfer].map(dollars);
        let cells = [counts, plain(billed_ms(&taken))].into_iter().chain(parts).chain([format!("**{}**", dollars(bill.sum()))]);
        row(&mut table, kind.name(), cells);
    }
    let [one, many] = [Kind::Entitlements1, Kind::Entitlements50].map(|kind| million(measured, kind, API_GATEWAY).dynamodb);
    let check = Usage::of(measured, Kind::Check, 1e6, API_GATEWAY, &Options::DEFAULT).gb_seconds;
    let page = measured.of(Kind::PageWithEntitlements);
    writeln!(
        table,
        "\n- A feature more in a list is {} dollars of DynamoDB more a million lists.\n\
         - On x86_64 the duration of a million checks costs {} dollars; on arm64, {}.\n\
         - An answer to the README's query has {} KB. Its `totalCount`, left out above, reads the keys of all customers: \
         {} dollars more a million queries for each 1,000 customers.",
        dollars((many - one) / 49.0),
        number(X86.of(check), 3),
        number(ARM.of(check), 3),
        number(page.bytes / 1e3, 0),
        dollars(1e6 * READS.of(1e3 * measured.listed / 8_192.0)),
    )
    .unwrap();
    table
}

pub(crate) fn base() -> String {
    let mut table = String::from("| fixed | dollars a month |\n|---|--:|\n");
    let parts = fixed();
    for (what, price) in parts {
        row(&mut table, what, [dollars(price)]);
    }
    row(&mut table, "**together**", [format!("**{}**", dollars(parts.iter().map(|part| part.1).sum()))]);
    table
}

pub(crate) fn load(measured: &Measured) -> String {
    let mut table = String::from("| for each customer, a month | |\n|---|--:|\n");
    for (kind, often) in LOAD {
        row(&mut table, kind.name(), [plain(*often)]);
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
    let mut table = String::from("| | dollars | for a | AWS's page | read where and when |\n|---|--:|---|---|---|\n");
    for price in ALL {
        let decimals = if (price.dollars * 100.0).fract() == 0.0 { number(price.dollars, 2) } else { plain(price.dollars) };
        let cells = [decimals, price.unit.to_owned(), price.page.to_owned(), price.read.to_owned()];
        row(&mut table, price.what, cells);
    }
    table
}
