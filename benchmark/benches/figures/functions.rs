//! Warm invocations of the functions, compared with the reference functions.

use std::path::Path;

use serde_json::{Value, json};
use testkit::runtime_api::Lambda;

use crate::{
    Options,
    binaries::Binary,
    measure::{Subject, Usage, check, micros},
    plan::{Record, Recorder},
    scenario::{self, Scenario},
    store::{Data, StoreProcess},
    table::Table,
};

/// The store's data for most parts.
pub const DATA: Data = Data { customers: 1_000, entitlements: 20, subscriptions: 2 };

/// Number of rounds. In each, all subjects take turns.
const ROUNDS: usize = 7;

/// The figures of a kind of request.
pub struct Measured {
    pub record: Record,
    pub function: Usage,
    pub bare: Usage,
    pub empty: Usage,
}

/// Records the function's DynamoDB requests for an event, in a warm process.
pub async fn record_requests(scenario: &Scenario, endpoint: &str) -> Record {
    let recorder = Recorder::start(endpoint).await;
    let variables = scenario.function.variables(&recorder.endpoint, Path::new(""));
    let mut lambda = Lambda::start(&scenario.function.path(), variables).await.unwrap();
    lambda.first_poll().await.unwrap();
    // Events 0 and 1 are older than the measured ones, so that those are applied too.
    check(scenario, &lambda.invoke(&scenario.event(0)).await.unwrap());
    recorder.take();
    check(scenario, &lambda.invoke(&scenario.event(1)).await.unwrap());
    lambda.stop().await.unwrap();
    recorder.take()
}

/// Measures a kind of request with the function and both reference functions.
pub async fn measure(scenario: &Scenario, endpoint: &str, options: &Options) -> Measured {
    let folder = tempfile::tempdir().unwrap();
    let record = record_requests(scenario, endpoint).await;
    let plan = record.write_plan(folder.path());
    let count = options.count(scenario.count);
    let mut subjects = Vec::new();
    for binary in [scenario.function, Binary::Bare, Binary::Empty] {
        let mut subject = Subject::start(binary, endpoint, &plan).await;
        subject.warm_up(scenario, count.div_ceil(2)).await;
        subjects.push(subject);
    }
    for _ in 0..ROUNDS {
        for subject in &mut subjects {
            subject.round(scenario, count).await;
        }
    }
    let mut usages = Vec::new();
    for subject in subjects {
        usages.push(subject.end().await);
    }
    let [function, bare, empty] = usages.try_into().unwrap_or_else(|_| unreachable!());
    Measured { record, function, bare, empty }
}

pub async fn run(options: &Options) -> Value {
    let store = StoreProcess::start(DATA);
    let mut table = Table::new(&[
        "request",
        "DynamoDB requests",
        "read, write units",
        "CPU, µs",
        "bare",
        "empty",
        "of the bare",
        "p50, µs",
        "bare",
        "of the bare",
        "p99, µs",
        "memory, MB",
        "bare",
    ]);
    let mut figures = Vec::new();
    for scenario in scenario::all(DATA).into_iter().filter(|scenario| options.selects(&scenario.name)) {
        let measured = measure(&scenario, &store.endpoint, options).await;
        let Measured { record, function, bare, empty } = &measured;
        let p50_ratio = function.p50.as_secs_f64() / bare.p50.as_secs_f64();
        table.row([
            format!("{}: {}", scenario.function.name(), scenario.name),
            record.requests().to_string(),
            format!("{}, {}", record.read_units, record.write_units),
            format!("{:.0}", micros(function.cpu())),
            format!("{:.0}", micros(bare.cpu())),
            format!("{:.0}", micros(empty.cpu())),
            format!("{:.2}", function.cpu_ratio(bare)),
            format!("{:.0}", micros(function.p50)),
            format!("{:.0}", micros(bare.p50)),
            format!("{p50_ratio:.2}"),
            format!("{:.0}", micros(function.p99)),
            format!("{:.1}", function.memory),
            format!("{:.1}", bare.memory),
        ]);
        eprintln!("{}: {:.2} of the bare requests' CPU", scenario.name, function.cpu_ratio(bare));
        figures.push(json!({"function": scenario.function.name(), "request": scenario.name,
            "dynamodbRequests": record.requests(), "readUnits": record.read_units, "writeUnits": record.write_units,
            "of": function.to_json(), "bare": bare.to_json(), "empty": empty.to_json(),
            "processorRatio": function.cpu_ratio(bare), "p50Ratio": p50_ratio}));
    }
    table.print(&format!("Warm invocations; {ROUNDS} rounds in turn, {DATA:?}:"));
    figures.into()
}
