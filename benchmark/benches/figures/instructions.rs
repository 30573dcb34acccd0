//! Instructions and allocations, which repeat where times do not.
//!
//! Counted by valgrind's DHAT over the whole process, at two numbers of calls: the difference is what the
//! calls between take. Needs `valgrind`, and is left out where there is none.

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
    functions::{DATA, look},
    measure::check,
    scenario::{self, Scenario},
    store::StoreProcess,
    table::Table,
};

/// Which kinds of requests are counted, and over how many calls.
const COUNTED: [(&str, usize); 6] = [
    ("check, 20 entitlements", 50),
    ("measurement.reported", 50),
    ("customer.updated", 50),
    ("entitlements.updated, 10 features", 20),
    ("one customer with its subscriptions", 30),
    ("README query, first: 50", 4),
];

/// Before the first counted call.
const WARM_UP: usize = 5;

#[derive(Clone, Copy)]
struct Counts {
    instructions: f64,
    bytes: f64,
    blocks: f64,
}

impl Counts {
    /// What each of so many calls took.
    fn each(self, before: Self, calls: usize) -> Self {
        let each = |after: f64, before: f64| (after - before) / calls as f64;
        Self {
            instructions: each(self.instructions, before.instructions),
            bytes: each(self.bytes, before.bytes),
            blocks: each(self.blocks, before.blocks),
        }
    }
}

fn valgrind(output: &Path) -> Command {
    let mut command = Command::new("valgrind");
    command.arg("--tool=dhat").arg(format!("--dhat-out-file={}", output.display()));
    command
}

fn counts(output: &Path) -> Counts {
    let profile: Value = serde_json::from_slice(&std::fs::read(output).unwrap()).unwrap();
    let sum = |member: &str| profile["pps"].as_array().unwrap().iter().filter_map(|point| point[member].as_f64()).sum();
    Counts { instructions: profile["te"].as_f64().unwrap(), bytes: sum("tb"), blocks: sum("tbk") }
}

async fn of_function(binary: Binary, scenario: &Scenario, endpoint: &str, plan: &Path, calls: usize, first: usize) -> Counts {
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
    // On SIGTERM it writes what it counted.
    let id = lambda.process_id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    lambda.ended().await.unwrap();
    counts(&output)
}

/// The parts that are counted by themselves: what src/bin/parts.rs calls them, and what they are done to.
fn parts() -> [(&'static str, &'static str, String); 6] {
    let event = |function: &str, file: &str| {
        let (_, event) = sample::events(function).into_iter().find(|(name, _)| name.contains(file)).unwrap();
        event
    };
    let body = |file: &str| event("webhook", file)["body"].as_str().unwrap().to_owned();
    let lists: Value = serde_json::from_str(&body("08-entitlements")).unwrap();
    let entitlement = lists["entitlements"][3].to_string();
    [
        ("an event of API Gateway's, read", "gateway-event", event("check-access", "granted-metered").to_string()),
        ("measurement.reported, read", "webhook-event", body("05-measurement")),
        ("entitlements.updated with 7 features, read", "webhook-event", body("08-entitlements")),
        ("an entitlement, read", "entitlement", entitlement.clone()),
        ("a decision", "decision", entitlement),
        ("a signature, verified", "signature", body("05-measurement")),
    ]
}

fn of_part(part: &str, input: &str, calls: usize) -> Counts {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("dhat.json");
    let mut command = valgrind(&output);
    command.arg(Binary::Parts.path()).args([part, &calls.to_string()]);
    let mut process = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    process.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    assert!(process.wait().unwrap().success(), "{part}");
    counts(&output)
}

pub async fn run(options: &Options) -> Value {
    if Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("Instructions are not counted: there is no valgrind.\n");
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
    for (name, calls) in COUNTED.into_iter().filter(|(name, _)| options.wants(name)) {
        let scenario = scenarios.iter().find(|scenario| scenario.name == name).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let plan = look(scenario, &store.endpoint).await.write_plan(folder.path());
        let calls = options.count(calls).max(2);
        let mut counted = Vec::new();
        let mut first = 2;
        for binary in [scenario.function, Binary::Bare, Binary::Empty] {
            let before = of_function(binary, scenario, &store.endpoint, &plan, WARM_UP, first).await;
            let after = of_function(binary, scenario, &store.endpoint, &plan, WARM_UP + calls, first + WARM_UP).await;
            first += 2 * WARM_UP + calls;
            counted.push(after.each(before, calls));
        }
        let of = |figure: fn(&Counts) -> f64| counted.iter().map(figure).collect::<Vec<f64>>();
        let (instructions, blocks, bytes) =
            (of(|counts| counts.instructions / 1e3), of(|counts| counts.blocks), of(|counts| counts.bytes / 1e3));
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
        let each = of_part(part, &input, CALLS + 10).each(of_part(part, &input, 10), CALLS);
        table.row([
            name.to_owned(),
            format!("{:.1}", each.instructions / 1e3),
            format!("{:.1}", each.blocks),
            format!("{:.1}", each.bytes / 1e3),
        ]);
        figures.push(json!({"part": name, "instructions": each.instructions, "allocations": each.blocks, "bytes": each.bytes}));
    }
    table.print("The parts that ask nobody:");
    figures.into()
}
