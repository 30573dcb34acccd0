//! What an invocation takes, warm, beside the floors.

use std::path::Path;

use serde_json::{Value, json};
use testkit::runtime_api::Lambda;

use crate::{
    Options,
    binaries::Binary,
    measure::{Subject, Taken, check, micros},
    plan::{Record, Recorder},
    scenario::{self, Scenario},
    store::{Data, StoreProcess},
    table::Table,
};

/// The data that the example's README query is measured on.
pub const DATA: Data = Data { customers: 1_000, entitlements: 20, subscriptions: 2 };

/// How often the subjects take turns.
const ROUNDS: usize = 7;

/// A kind of request, and what it takes.
pub struct Measured {
    pub record: Record,
    pub function: Taken,
    pub bare: Taken,
    pub empty: Taken,
}

/// What the function asks DynamoDB for when it answers this for the second time.
pub async fn look(scenario: &Scenario, endpoint: &str) -> Record {
    let recorder = Recorder::start(endpoint).await;
    let variables = scenario.function.variables(&recorder.endpoint, Path::new(""));
    let mut lambda = Lambda::start(&scenario.function.path(), variables).await.unwrap();
    lambda.first_poll().await.unwrap();
    // Before all other events of its kind, so that those are applied too.
    check(scenario, &lambda.invoke(&scenario.event(0)).await.unwrap());
    recorder.take();
    check(scenario, &lambda.invoke(&scenario.event(1)).await.unwrap());
    lambda.stop().await.unwrap();
    recorder.take()
}

/// Measures one kind of request beside its floors.
pub async fn measure(scenario: &Scenario, endpoint: &str, options: &Options) -> Measured {
    let folder = tempfile::tempdir().unwrap();
    let record = look(scenario, endpoint).await;
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
    let mut taken = Vec::new();
    for subject in subjects {
        taken.push(subject.end().await);
    }
    let [function, bare, empty] = taken.try_into().unwrap_or_else(|_| unreachable!());
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
    for scenario in scenario::all(DATA).into_iter().filter(|scenario| options.wants(&scenario.name)) {
        let measured = measure(&scenario, &store.endpoint, options).await;
        let Measured { record, function, bare, empty } = &measured;
        let p50_ratio = function.p50.as_secs_f64() / bare.p50.as_secs_f64();
        table.row([
            format!("{}: {}", scenario.function.name(), scenario.name),
            record.requests().to_string(),
            format!("{}, {}", record.read_units, record.write_units),
            format!("{:.0}", micros(function.processor())),
            format!("{:.0}", micros(bare.processor())),
            format!("{:.0}", micros(empty.processor())),
            format!("{:.2}", function.processor_ratio(bare)),
            format!("{:.0}", micros(function.p50)),
            format!("{:.0}", micros(bare.p50)),
            format!("{p50_ratio:.2}"),
            format!("{:.0}", micros(function.p99)),
            format!("{:.1}", function.memory),
            format!("{:.1}", bare.memory),
        ]);
        eprintln!("{}: {:.2} of the bare requests' CPU", scenario.name, function.processor_ratio(bare));
        figures.push(json!({"function": scenario.function.name(), "request": scenario.name,
            "dynamodbRequests": record.requests(), "readUnits": record.read_units, "writeUnits": record.write_units,
            "of": function.to_json(), "bare": bare.to_json(), "empty": empty.to_json(),
            "processorRatio": function.processor_ratio(bare), "p50Ratio": p50_ratio}));
    }
    table.print(&format!("An invocation, warm; {ROUNDS} rounds in turn, {DATA:?}:"));
    figures.into()
}
