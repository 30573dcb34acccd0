//! The tables of docs/cost.md.

use std::fmt::Write as _;

use crate::{
    assumptions::{LOAD, PEAK, SIZES, TASK_VCPU},
    measured::{Kind, Measured},
    model::{KINDS, Month, Usage, always_on, billed_ms, fargate_vcpu, fixed, million},
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
    let lines: [Line; 9] = [
        ("fixed: see below", |month| month.fixed),
        ("API Gateway", |month| month.bill.gateway),
        ("Lambda", |month| month.bill.lambda),
        ("DynamoDB, reads and writes", |month| month.bill.dynamodb),
        ("DynamoDB, storage and point-in-time recovery", |month| month.storage),
        ("logs", |month| month.bill.logs),
        ("X-Ray", |month| month.bill.traces),
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

    let months = months(measured);
    table += "\n| | 1,000 customers | 100,000 | 10 million |\n|---|--:|--:|--:|\n";
    row(&mut table, "this stack, dollars a month", months.iter().map(|month| dollars(month.sum())));
    row(
        &mut table,
        &format!("vCPUs that the example and its database keep busy at the peak ({PEAK} × the average)"),
        months.iter().map(|month| plain((month.node_vcpus * 1e4).round() / 1e4)),
    );
    let enough = |month: &Month| if month.node_vcpus < TASK_VCPU { "yes" } else { "no" }.to_owned();
    row(&mut table, "which the set-up of one of each has", months.iter().map(enough));

    let as_dear = |dollars: f64| {
        let thousands = (1..).find(|thousands| Month::of(measured, f64::from(*thousands) * 1e3).sum() >= dollars).unwrap();
        number(f64::from(thousands) * 1e3, 0)
    };
    let [_, large, largest] = &months;
    writeln!(
        table,
        "\nSo one of each costs what this stack costs at some {} customers, and two of each at some {}; \
         a task of {TASK_VCPU} vCPU is busy all of the peak at some {},000 customers, if all of the CPU is its own. \
         At 10 million the example needs some {} vCPUs to be half busy at the peak: {} dollars a month of Fargate, \
         and a database to match, which is not priced here.",
        as_dear(one),
        as_dear(two),
        number((TASK_VCPU / large.node_vcpus * SIZES[1] / 1e3).floor(), 0),
        number((2.0 * largest.node_vcpus).ceil(), 0),
        dollars((2.0 * largest.node_vcpus).ceil() * fargate_vcpu()),
    )
    .unwrap();
    table
}

pub(crate) fn millions(measured: &Measured) -> String {
    let mut table = String::from(
        "| a million of | DynamoDB requests, write units, read units of each | billed ms | API Gateway | Lambda | DynamoDB | logs | \
         X-Ray | data out | together, dollars |\n|---|---|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for kind in KINDS {
        let taken = measured.of(*kind);
        let bill = million(&taken);
        let counts = [taken.requests, taken.write_units, taken.read_units].map(plain).join(", ");
        let parts = [bill.gateway, bill.lambda, bill.dynamodb, bill.logs, bill.traces, bill.transfer].map(dollars);
        let cells = [counts, plain(billed_ms(&taken))].into_iter().chain(parts).chain([format!("**{}**", dollars(bill.sum()))]);
        row(&mut table, kind.name(), cells);
    }
    let [one, many] = [Kind::Entitlements1, Kind::Entitlements50].map(|kind| million(&measured.of(kind)).dynamodb);
    let check = Usage::of(&measured.of(Kind::Check), 1e6).gb_seconds;
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
