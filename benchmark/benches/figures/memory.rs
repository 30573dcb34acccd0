//! What an invocation takes with the share of a CPU that Lambda gives by memory, DynamoDB answering after 4 ms.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{
    proxy::{Fault, Proxy},
    runtime_api::Lambda,
};

use crate::{
    Options,
    functions::DATA,
    measure::{check, median, micros},
    quota::Quota,
    scenario::{self, Scenario},
    store::StoreProcess,
    table::Table,
};

const MEMORY_MB: [u32; 5] = [128, 256, 512, 1_024, 1_769];

/// DynamoDB's answer comes so much after the embedded store's.
const WAIT: Duration = Duration::from_millis(4);

/// Invocations that are counted, of a function that is called without a break and of one that rests.
const COUNT: usize = 200;

/// The rest: longer than a period of the quota, and no multiple of it.
const REST: Duration = Duration::from_millis(33);

/// Starts that are counted.
const STARTS: usize = 15;

/// Dollars for a request, and for a GB-second on arm64; tests/cost/prices.rs.
const REQUEST_DOLLARS: f64 = 0.20 / 1e6;
const SECOND_DOLLARS: f64 = 0.000_013_333_4;

const NAMES: [&str; 5] = [
    "check, 20 entitlements",
    "Edge, 20 entitlements",
    "measurement.reported",
    "entitlements.updated, 50 features",
    "README query, first: 50",
];

/// A function that is called with one kind of request.
struct Called<'a> {
    lambda: Lambda,
    scenario: &'a Scenario,
    /// The last event.
    count: usize,
}

impl<'a> Called<'a> {
    /// Starts it, up to the first poll. The events after this one are those it is called with.
    async fn start(scenario: &'a Scenario, quota: &Quota, endpoint: &str, count: usize) -> (Self, Duration) {
        let mut variables = scenario.function.variables(endpoint, std::path::Path::new(""));
        // As template.yaml names Amazon Linux 2023's.
        variables.push(("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt".to_owned()));
        let mut lambda = Lambda::start_command(quota.command(&scenario.function.path()), variables).await.unwrap();
        let to_poll = lambda.first_poll().await.unwrap();
        (Self { lambda, scenario, count }, to_poll)
    }

    async fn call(&mut self) -> Duration {
        self.count += 1;
        let (answer, took) = self.lambda.invoke_timed(&self.scenario.event(self.count)).await.unwrap();
        check(self.scenario, &answer);
        took
    }

    async fn calls(&mut self, count: usize, rest: Duration) -> Vec<Duration> {
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            tokio::time::sleep(rest).await;
            times.push(self.call().await);
        }
        times.sort_unstable();
        times
    }
}

/// What Lambda bills for these on average: each rounded up to a millisecond.
fn billed_ms(times: &[Duration]) -> f64 {
    times.iter().map(|time| (time.as_secs_f64() * 1e3).ceil()).sum::<f64>() / times.len() as f64
}

/// Of a million of them.
fn dollars(billed_ms: f64, megabytes: u32) -> f64 {
    1e6 * (REQUEST_DOLLARS + billed_ms / 1e3 * f64::from(megabytes) / 1_024.0 * SECOND_DOLLARS)
}

pub async fn run(options: &Options) -> Value {
    if let Err(error) = Quota::of_memory(MEMORY_MB[0]) {
        eprintln!("no control group can be made ({error}): the part memory is left out");
        return Value::Null;
    }
    let store = StoreProcess::start(DATA);
    let proxy = Proxy::start(&store.endpoint, 0, None).await.unwrap();
    proxy.fail_with(Fault::Slow(WAIT));
    let all = scenario::all(DATA);
    let mut table = Table::new(&[
        "request",
        "MB",
        "p50, ms",
        "p99, ms",
        "without a break: p50, ms",
        "p99, ms",
        "billed ms",
        "dollars a million",
        "start to first poll, ms",
        "to the first answer, ms",
    ]);
    let mut figures = Vec::new();
    for name in NAMES.into_iter().filter(|name| options.wants(name)) {
        let scenario = all.iter().find(|scenario| scenario.name == name).unwrap();
        // Events that are never sent twice: they would change nothing.
        let mut count = 0;
        for megabytes in MEMORY_MB {
            let quota = Quota::of_memory(megabytes).unwrap();
            let (mut to_polls, mut to_answers) = (Vec::new(), Vec::new());
            for _ in 0..options.count(STARTS) {
                let (mut called, to_poll) = Called::start(scenario, &quota, &proxy.endpoint, count).await;
                to_answers.push(to_poll + called.call().await);
                to_polls.push(to_poll);
                count = called.count;
                called.lambda.stop().await.unwrap();
            }
            let (mut called, _) = Called::start(scenario, &quota, &proxy.endpoint, count).await;
            called.calls(options.count(COUNT), Duration::ZERO).await;
            let rested = called.calls(options.count(COUNT), REST).await;
            let busy = called.calls(options.count(COUNT), Duration::ZERO).await;
            count = called.count;
            called.lambda.stop().await.unwrap();
            let at = |times: &[Duration], share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
            let times = [at(&rested, 50), at(&rested, 99), at(&busy, 50), at(&busy, 99)];
            let billed = billed_ms(&[rested, busy].concat());
            let (to_poll, to_answer) = (median(to_polls), median(to_answers));
            let ms = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1e3);
            let price = dollars(billed, megabytes);
            table.row(
                [format!("{}: {name}", scenario.function.name()), megabytes.to_string()]
                    .into_iter()
                    .chain(times.map(ms))
                    .chain([format!("{billed:.1}"), format!("{price:.2}"), ms(to_poll), ms(to_answer)]),
            );
            eprintln!("{name}, {megabytes} MB: {:.1} ms", micros(times[0]) / 1e3);
            figures.push(json!({"function": scenario.function.name(), "request": name, "megabytes": megabytes,
                "p50Microseconds": micros(times[0]), "p99Microseconds": micros(times[1]), "busyP50Microseconds": micros(times[2]),
                "busyP99Microseconds": micros(times[3]), "billedMilliseconds": billed, "dollarsAMillion": price,
                "toFirstNextMicroseconds": micros(to_poll), "toFirstAnswerMicroseconds": micros(to_answer)}));
        }
    }
    table.print(&format!(
        "With the share of a CPU that memory brings, a quota for each 20 ms; DynamoDB's answers {WAIT:?} later than the embedded store's. \
         p50 and p99 with a rest of {REST:?} between invocations, and without; {} of each:",
        options.count(COUNT)
    ));
    figures.into()
}
