//! Instructions and allocations, which are reproducible, unlike times.
//!
//! valgrind's DHAT counts them for a whole process. Each process runs twice with different numbers of calls; the difference
//! is the cost of the additional calls. The part is skipped if there is no `valgrind`.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use template::sample;
use testkit::runtime_api::Lambda;

use crate::{
    Options,
    binaries::Binary,
    functions::{DATA, record_requests},
    measure::check,
    scenario::{self, Scenario},
    store::StoreProcess,
    table::Table,
};

/// The measured kinds of requests, and the number of calls of each.
const COUNTED: [(&str, usize); 6] = [
    ("check, 20 entitlements", 50),
    ("measurement.reported", 50),
    ("customer.updated", 50),
    ("entitlements.updated, 10 features", 20),
    ("one customer with its subscriptions", 30),
    ("README query, first: 50", 4),
];

/// Calls before the first counted one.
const WARM_UP: usize = 5;

#[derive(Clone, Copy)]
struct Counts {
    instructions: f64,
    bytes: f64,
    blocks: f64,
}

impl Counts {
    /// The difference per call.
    fn per_call(self, before: Self, calls: usize) -> Self {
        let per_call = |after: f64, before: f64| (after - before) / calls as f64;
        Self {
            instructions: per_call(self.instructions, before.instructions),
            bytes: per_call(self.bytes, before.bytes),
            blocks: per_call(self.blocks, before.blocks),
        }
    }
}

fn valgrind(output: &Path) -> Command {
    let mut command = Command::new("valgrind");
    command.arg("--tool=dhat").arg(format!("--dhat-out-file={}", output.display()));
    command
}

fn read_counts(output: &Path) -> Counts {
    let profile: Value = serde_json::from_slice(&std::fs::read(output).unwrap()).unwrap();
    let sum = |member: &str| profile["pps"].as_array().unwrap().iter().filter_map(|point| point[member].as_f64()).sum();
    Counts { instructions: profile["te"].as_f64().unwrap(), bytes: sum("tb"), blocks: sum("tbk") }
}

async fn count_function(binary: Binary, scenario: &Scenario, endpoint: &str, plan: &Path, calls: usize, first: usize) -> Counts {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("dhat.json");
    let mut command = valgrind(&output);
    command.arg(binary.path());
    let mut variables = binary.variables(endpoint, plan);
    variables.push(("PATH", std::env::var("PATH").unwrap_or_default()));
    let mut lambda = Lambda::start_command(command.into(), variables).await.unwrap();
    lambda.first_poll().await.unwrap();
    for n in first..first + calls {
        check(scenario, &lambda.invoke(&scenario.event(n)).await.unwrap());
    }
    // valgrind writes its output when the process ends.
    let id = lambda.process_id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    lambda.ended().await.unwrap();
    read_counts(&output)
}

/// The parts that are counted separately: title, argument of src/bin/parts.rs, input.
fn parts() -> [(&'static str, &'static str, String); 6] {
    let event = |function: &str, file: &str| {
        let (_, event) = sample::events(function).into_iter().find(|(name, _)| name.contains(file)).unwrap();
        event
    };
    let body = |file: &str| event("webhook", file)["body"].as_str().unwrap().to_owned();
    let lists: Value = serde_json::from_str(&body("08-entitlements")).unwrap();
    let entitlement = lists["entitlements"][3].to_string();
    [
        ("parse an event of API Gateway", "gateway-event", event("check-access", "granted-metered").to_string()),
        ("parse measurement.reported", "webhook-event", body("05-measurement")),
        ("parse entitlements.updated with 7 features", "webhook-event", body("08-entitlements")),
        ("parse an entitlement", "entitlement", entitlement.clone()),
        ("decide a check", "decision", entitlement),
        ("verify a signature", "signature", body("05-measurement")),
    ]
}

fn count_part(part: &str, input: &str, calls: usize) -> Counts {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("dhat.json");
    let mut command = valgrind(&output);
    command.arg(Binary::Parts.path()).args([part, &calls.to_string()]);
    let mut process = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    process.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    assert!(process.wait().unwrap().success(), "{part}");
    read_counts(&output)
}

pub async fn run(options: &Options) -> Value {
    if Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("Instructions are skipped: valgrind is not installed.\n");
        return Value::Null;
    }
    let store = StoreProcess::start(DATA);
    let mut figures = Vec::new();
    let head = [
        "an invocation",
        "thousand instructions",
        "bare",
        "empty",
        "of the bare",
        "allocations",
        "bare",
        "empty",
        "kB",
        "bare",
        "empty",
    ];
    let mut table = Table::new(&head);
    let scenarios = scenario::all(DATA);
    for (name, calls) in COUNTED.into_iter().filter(|(name, _)| options.selects(name)) {
        let scenario = scenarios.iter().find(|scenario| scenario.name == name).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let plan = record_requests(scenario, &store.endpoint).await.write_plan(folder.path());
        let calls = options.count(calls).max(2);
        let mut counted = Vec::new();
        let mut first = 2;
        for binary in [scenario.function, Binary::Bare, Binary::Empty] {
            let before = count_function(binary, scenario, &store.endpoint, &plan, WARM_UP, first).await;
            let after = count_function(binary, scenario, &store.endpoint, &plan, WARM_UP + calls, first + WARM_UP).await;
            first += 2 * WARM_UP + calls;
            counted.push(after.per_call(before, calls));
        }
        let figures_of = |figure: fn(&Counts) -> f64| counted.iter().map(figure).collect::<Vec<f64>>();
        let (instructions, blocks, bytes) = (
            figures_of(|counts| counts.instructions / 1e3),
            figures_of(|counts| counts.blocks),
            figures_of(|counts| counts.bytes / 1e3),
        );
        let cells = |values: &[f64]| values.iter().map(|value| format!("{value:.0}")).collect::<Vec<_>>();
        let ratio = instructions[0] / instructions[1];
        let mut row = vec![format!("{}: {name}", scenario.function.name())];
        row.extend(cells(&instructions));
        row.push(format!("{ratio:.2}"));
        row.extend(cells(&blocks));
        row.extend(cells(&bytes));
        table.row(row);
        eprintln!("{name}: {ratio:.2} of the bare requests' instructions");
        figures.push(json!({"request": name, "kiloinstructions": instructions, "allocations": blocks, "kilobytes": bytes}));
    }
    table.print("Instructions and allocations of an invocation (function, bare, empty):");

    let mut table = Table::new(&["a call", "thousand instructions", "allocations", "kB"]);
    for (name, part, input) in parts() {
        const CALLS: usize = 1_000;
        let per_call = count_part(part, &input, CALLS + 10).per_call(count_part(part, &input, 10), CALLS);
        table.row([
            name.to_owned(),
            format!("{:.1}", per_call.instructions / 1e3),
            format!("{:.1}", per_call.blocks),
            format!("{:.1}", per_call.bytes / 1e3),
        ]);
        figures.push(
            json!({"part": name, "instructions": per_call.instructions, "allocations": per_call.blocks, "bytes": per_call.bytes}),
        );
    }
    table.print("Parts without I/O:");
    figures.into()
}
