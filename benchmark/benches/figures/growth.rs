//! The same requests with 1,000, 100,000 and 1,000,000 customers in the store.

use std::path::Path;

use serde_json::{Value, json};

use crate::{
    Options,
    functions::record_requests,
    measure::{Subject, micros},
    scenario,
    store::{Data, StoreProcess},
    table::Table,
};

const SIZES: [usize; 3] = [1_000, 100_000, 1_000_000];

const ROUNDS: usize = 5;

pub async fn run(options: &Options) -> Value {
    let sizes = SIZES.map(|size| Data { customers: options.count(size), entitlements: 1, subscriptions: 1 });
    let stores = sizes.map(StoreProcess::start);
    let names = sizes.map(|data| data.customers.to_string());
    let head = ["request", "DynamoDB requests", "units"].map(str::to_owned).into_iter();
    let head = head.chain(names.iter().map(|name| format!("CPU at {name}, µs"))).chain(["last to first".to_owned()]);
    let head = head.chain(names.iter().map(|name| format!("p50 at {name}, µs"))).chain(["last to first".to_owned()]);
    let head: Vec<String> = head.collect();
    let mut table = Table::new(&head.iter().map(String::as_str).collect::<Vec<_>>());
    let mut figures = Vec::new();
    let kinds = scenario::independent_of_size(sizes[0]).len();
    for kind in (0..kinds).filter(|kind| options.selects(&scenario::independent_of_size(sizes[0])[*kind].name)) {
        let mut cases = Vec::new();
        for (data, store) in sizes.iter().zip(&stores) {
            let scenario = scenario::independent_of_size(*data).swap_remove(kind);
            let record = record_requests(&scenario, &store.endpoint).await;
            let mut subject = Subject::start(scenario.function, &store.endpoint, Path::new("")).await;
            subject.warm_up(&scenario, options.count(scenario.count).div_ceil(2)).await;
            cases.push((scenario, record, subject));
        }
        for _ in 0..ROUNDS {
            for (scenario, _, subject) in &mut cases {
                subject.round(scenario, options.count(scenario.count)).await;
            }
        }
        let name = cases[0].0.name.clone();
        let (mut requests, mut units, mut usages) = (Vec::new(), Vec::new(), Vec::new());
        for (_, record, subject) in cases {
            requests.push(record.requests());
            units.push(record.read_units + record.write_units);
            usages.push(subject.end().await);
        }
        let cpu: Vec<f64> = usages.iter().map(|usage| micros(usage.cpu())).collect();
        let p50: Vec<f64> = usages.iter().map(|usage| micros(usage.p50)).collect();
        let mut row = vec![name.clone(), distinct(&requests), distinct(&units)];
        for times in [&cpu, &p50] {
            row.extend(times.iter().map(|time| format!("{time:.0}")));
            row.push(format!("{:.2}", times[times.len() - 1] / times[0]));
        }
        table.row(row);
        eprintln!("{name}: CPU {cpu:?} µs");
        figures.push(json!({"request": name, "customers": sizes.map(|data| data.customers), "dynamodbRequests": requests,
                            "units": units, "processorMicroseconds": cpu, "p50Microseconds": p50}));
    }
    table.print(&format!("With more customers (one entitlement and one subscription each); {ROUNDS} rounds in turn:"));
    figures.into()
}

/// The value if all are equal, else all values.
fn distinct<T: PartialEq + ToString>(values: &[T]) -> String {
    if values.windows(2).all(|pair| pair[0] == pair[1]) {
        return values[0].to_string();
    }
    values.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}
