//! Latency and price of invocations at Lambda's share of a CPU for several sizes of memory. DynamoDB's responses are delayed
//! by 4 ms.

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

/// Delay of the embedded store's responses.
const DYNAMODB_DELAY: Duration = Duration::from_millis(4);

/// Counted invocations, without pauses and with them.
const COUNT: usize = 200;

/// Pause between invocations. Longer than a period of the quota, and not a multiple of it.
const PAUSE: Duration = Duration::from_millis(33);

/// Counted starts.
const STARTS: usize = 15;

/// Lambda's price of a request and of a GB-second on arm64, in dollars; tests/cost/prices.rs.
const REQUEST_DOLLARS: f64 = 0.20 / 1e6;
const GB_SECOND_DOLLARS: f64 = 0.000_013_333_4;

const NAMES: [&str; 5] = [
    "check, 20 entitlements",
    "Edge, 20 entitlements",
    "measurement.reported",
    "entitlements.updated, 50 features",
    "README query, first: 50",
];

/// A running function that gets one kind of request.
struct Subject<'a> {
    lambda: Lambda,
    scenario: &'a Scenario,
    /// Number of the last event.
    count: usize,
}

impl<'a> Subject<'a> {
    /// Starts the function up to its first poll. Events start after number `count`. Also returns the time to the first poll.
    async fn start(scenario: &'a Scenario, quota: &Quota, endpoint: &str, count: usize) -> (Self, Duration) {
        let mut variables = scenario.function.variables(endpoint, std::path::Path::new(""));
        // As in template.yaml, which names Amazon Linux 2023's file.
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

    /// Returns the sorted latencies.
    async fn calls(&mut self, count: usize, pause: Duration) -> Vec<Duration> {
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            tokio::time::sleep(pause).await;
            times.push(self.call().await);
        }
        times.sort_unstable();
        times
    }
}

/// The average billed duration. Lambda rounds each invocation up to a millisecond.
fn billed_ms(times: &[Duration]) -> f64 {
    times.iter().map(|time| (time.as_secs_f64() * 1e3).ceil()).sum::<f64>() / times.len() as f64
}

/// The price of a million invocations.
fn dollars_per_million(billed_ms: f64, megabytes: u32) -> f64 {
    1e6 * (REQUEST_DOLLARS + billed_ms / 1e3 * f64::from(megabytes) / 1_024.0 * GB_SECOND_DOLLARS)
}

pub async fn run(options: &Options) -> Value {
    if let Err(error) = Quota::of_memory(MEMORY_MB[0]) {
        eprintln!("Part memory is skipped: can't create a control group: {error}");
        return Value::Null;
    }
    let store = StoreProcess::start(DATA);
    let proxy = Proxy::start(&store.endpoint, 0, None).await.unwrap();
    proxy.fail_with(Fault::Slow(DYNAMODB_DELAY));
    let all = scenario::all(DATA);
    let mut table = Table::new(&[
        "request",
        "MB",
        "p50, ms",
        "p99, ms",
        "without a pause: p50, ms",
        "p99, ms",
        "billed ms",
        "dollars a million",
        "start to first poll, ms",
        "to the first answer, ms",
    ]);
    let mut figures = Vec::new();
    for name in NAMES.into_iter().filter(|name| options.selects(name)) {
        let scenario = all.iter().find(|scenario| scenario.name == name).unwrap();
        // Event numbers continue over all sizes, since a repeated event would be stale.
        let mut count = 0;
        for megabytes in MEMORY_MB {
            let quota = Quota::of_memory(megabytes).unwrap();
            let (mut to_polls, mut to_answers) = (Vec::new(), Vec::new());
            for _ in 0..options.count(STARTS) {
                let (mut subject, to_poll) = Subject::start(scenario, &quota, &proxy.endpoint, count).await;
                to_answers.push(to_poll + subject.call().await);
                to_polls.push(to_poll);
                count = subject.count;
                subject.lambda.stop().await.unwrap();
            }
            let (mut subject, _) = Subject::start(scenario, &quota, &proxy.endpoint, count).await;
            subject.calls(options.count(COUNT), Duration::ZERO).await;
            let paused = subject.calls(options.count(COUNT), PAUSE).await;
            let busy = subject.calls(options.count(COUNT), Duration::ZERO).await;
            count = subject.count;
            subject.lambda.stop().await.unwrap();
            let at = |times: &[Duration], share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
            let times = [at(&paused, 50), at(&paused, 99), at(&busy, 50), at(&busy, 99)];
            let billed = billed_ms(&[paused, busy].concat());
            let (to_poll, to_answer) = (median(to_polls), median(to_answers));
            let ms = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1e3);
            let price = dollars_per_million(billed, megabytes);
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
        "At the share of a CPU for this memory, as a quota per 20 ms; DynamoDB's responses {DYNAMODB_DELAY:?} later than the embedded store's. \
         p50 and p99 with a pause of {PAUSE:?} between invocations, and without; {} of each:",
        options.count(COUNT)
    ));
    figures.into()
}
