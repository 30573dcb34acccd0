//! Size of the binaries, and duration of their start and of the connection to DynamoDB.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use testkit::runtime_api::Lambda;

use crate::{
    Options,
    binaries::Binary,
    functions::{DATA, record_requests},
    measure::{check, median, micros},
    plan::Recorder,
    scenario::{self, Scenario},
    store::StoreProcess,
    table::Table,
    tls::Terminator,
};

/// Number of starts of each binary, in turn.
const STARTS: usize = 31;

/// Number of warm invocations after the first one.
const WARM: usize = 15;

/// The durations of the starts.
#[derive(Default)]
struct Starts {
    /// From the start of the process to its first poll of the Runtime API.
    to_poll: Vec<Duration>,
    /// Part of `to_poll`: opening the connection to DynamoDB.
    connecting: Vec<Duration>,
    /// Part of `connecting`: the wait for DynamoDB's response.
    waiting: Vec<Duration>,
    /// The first invocation.
    first: Vec<Duration>,
    /// A warm invocation.
    warm: Vec<Duration>,
}

/// Starts a function and invokes it. Returns the time to the first poll, of the first and of a warm invocation.
async fn start(
    binary: Binary,
    scenario: &Scenario,
    endpoint: &str,
    plan: &Path,
    more: &[(&'static str, String)],
) -> [Duration; 3] {
    let mut variables = binary.variables(endpoint, plan);
    variables.extend(more.iter().cloned());
    let mut lambda = Lambda::start(&binary.path(), variables).await.unwrap();
    let to_poll = lambda.first_poll().await.unwrap();
    let mut times = Vec::new();
    for n in 0..=WARM {
        let (answer, took) = lambda.invoke_timed(&scenario.event(n)).await.unwrap();
        check(scenario, &answer);
        times.push(took);
    }
    lambda.stop().await.unwrap();
    [to_poll, times[0], median(times[1..].to_vec())]
}

/// Size of a file compressed like a deployment package.
fn gzipped_size(bytes: &[u8]) -> usize {
    let mut gzip = Command::new("gzip").args(["-9", "-c"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = gzip.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&bytes));
    let size = gzip.wait_with_output().unwrap().stdout.len();
    writer.join().unwrap().unwrap();
    size
}

fn scenario_of(function: Binary, scenarios: &[Scenario]) -> &Scenario {
    let name = match function {
        Binary::Webhook => "measurement.reported",
        Binary::Graphql => "one customer with its subscriptions",
        _ => "check, 20 entitlements",
    };
    scenarios.iter().find(|scenario| scenario.name == name).unwrap()
}

pub async fn run(options: &Options) -> Value {
    let store = StoreProcess::start(DATA);
    let scenarios = scenario::all(DATA);
    json!({
        "processes": processes(&store.endpoint, &scenarios, options).await,
        "connections": connections(&store.endpoint, &scenarios, options).await,
    })
}

/// A binary, its root certificates, and the variables that select them.
type Case<'a> = (Binary, &'static str, &'a [(&'static str, String)]);

/// The system's file with all root certificates. template.yaml names Amazon Linux 2023's.
const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

async fn processes(endpoint: &str, scenarios: &[Scenario], options: &Options) -> Value {
    let recorder = Recorder::start(endpoint).await;
    let bundle = vec![("SSL_CERT_FILE", BUNDLE.to_owned())];
    let cases: Vec<Case> = Binary::FUNCTIONS
        .iter()
        .flat_map(|binary| [(*binary, "one file", bundle.as_slice()), (*binary, "all files", [].as_slice())])
        .chain([(Binary::Empty, "none", [].as_slice())])
        .collect();
    let mut starts: Vec<Starts> = cases.iter().map(|_| Starts::default()).collect();
    for _ in 0..options.count(STARTS) {
        for ((binary, _, more), starts) in cases.iter().zip(&mut starts) {
            recorder.take();
            let mut variables = binary.variables(&recorder.endpoint, Path::new(""));
            variables.extend(more.iter().cloned());
            let mut lambda = Lambda::start(&binary.path(), variables).await.unwrap();
            starts.to_poll.push(lambda.first_poll().await.unwrap());
            let span = recorder.take().span;
            starts.waiting.push(span.map_or(Duration::ZERO, |(first, last)| last - first));
            let scenario = scenario_of(*binary, scenarios);
            let (answer, took) = lambda.invoke_timed(&scenario.event(0)).await.unwrap();
            check(scenario, &answer);
            starts.first.push(took);
            starts.connecting.push(logged_connection_time(&lambda.stop().await.unwrap()));
        }
    }
    let without = |starts: &Starts, part: &[Duration]| {
        median(starts.to_poll.iter().zip(part).map(|(to_poll, part)| to_poll.saturating_sub(*part)).collect())
    };
    let empty = median(starts.last().unwrap().to_poll.clone());
    let ratio_to_empty = |time: Duration| time.as_secs_f64() / empty.as_secs_f64();
    let milliseconds = |time: Duration| format!("{:.2}", time.as_secs_f64() * 1e3);
    let mut table = Table::new(&[
        "binary",
        "root certificates",
        "MB",
        "gzip -9, MB",
        "start to first /next, ms",
        "of that, the connection",
        "of that, DynamoDB's response",
        "without the connection",
        "its ratio to empty",
        "ratio to empty without DynamoDB's response",
        "first response, ms later",
    ]);
    let mut figures = Vec::new();
    for ((binary, roots, _), starts) in cases.into_iter().zip(starts) {
        let bytes = std::fs::read(binary.path()).unwrap();
        let (size, compressed) = (bytes.len() as f64 / 1e6, gzipped_size(&bytes) as f64 / 1e6);
        let without_connection = without(&starts, &starts.connecting);
        let without_response = without(&starts, &starts.waiting);
        let Starts { to_poll, connecting, waiting, first, .. } = starts;
        let [to_poll, connecting, waiting, first] = [to_poll, connecting, waiting, first].map(median);
        let name = binary.name();
        let cells = [size, compressed].map(|size| format!("{size:.2}"));
        table.row([name.to_owned(), roots.to_owned()].into_iter().chain(cells).chain([
            milliseconds(to_poll),
            milliseconds(connecting),
            milliseconds(waiting),
            milliseconds(without_connection),
            format!("{:.2}", ratio_to_empty(without_connection)),
            format!("{:.2}", ratio_to_empty(without_response)),
            milliseconds(first),
        ]));
        figures.push(json!({"binary": name, "roots": roots, "megabytes": size, "gzippedMegabytes": compressed, "toFirstNextMicroseconds": micros(to_poll),
            "connectionMicroseconds": micros(connecting), "waitedMicroseconds": micros(waiting), "restMicroseconds": micros(without_connection),
            "ratio": ratio_to_empty(without_connection), "ratioWithConnection": ratio_to_empty(without_response), "firstAnswerMicroseconds": micros(first)}));
    }
    table.print(&format!("The binaries; median of {} starts in turn, the secret in a variable:", options.count(STARTS)));
    figures.into()
}

/// The duration of opening the connection, from the function's log. Zero for the reference functions.
fn logged_connection_time(printed: &str) -> Duration {
    let mut lines = printed.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let milliseconds = lines.find_map(|line| line["connection_milliseconds"].as_f64());
    Duration::from_secs_f64(milliseconds.unwrap_or_default() / 1e3)
}

/// Compares the first invocation after a start that opens the connection with one that has to open it.
async fn connections(endpoint: &str, scenarios: &[Scenario], options: &Options) -> Value {
    let terminator = Terminator::start(endpoint).await;
    let trust = [("SSL_CERT_FILE", terminator.roots().display().to_string())];
    let scenario = scenario_of(Binary::CheckAccess, scenarios);
    let folder = tempfile::tempdir().unwrap();
    let plan = record_requests(scenario, endpoint).await.write_plan(folder.path());
    let subjects = [("check-access: opened at start", Binary::CheckAccess), ("bare: opened by the first request", Binary::Bare)];
    let endpoints = [("HTTP", endpoint), ("TLS", terminator.endpoint.as_str())];
    let mut starts: Vec<Starts> = (0..4).map(|_| Starts::default()).collect();
    for _ in 0..options.count(STARTS) {
        let cases = endpoints.iter().flat_map(|(_, endpoint)| subjects.map(|(_, binary)| (binary, *endpoint)));
        for ((binary, endpoint), starts) in cases.zip(&mut starts) {
            let [to_poll, first, warm] = start(binary, scenario, endpoint, &plan, &trust).await;
            starts.to_poll.push(to_poll);
            starts.first.push(first);
            starts.warm.push(warm);
        }
    }
    let mut table = Table::new(&[
        "the connection",
        "over",
        "start to first /next, ms",
        "first request, ms",
        "warm request, ms",
        "first to warm",
    ]);
    let mut figures = Vec::new();
    let cases = endpoints.iter().flat_map(|(over, _)| subjects.map(|(what, _)| (what, *over)));
    for ((what, over), Starts { to_poll, first, warm, .. }) in cases.zip(starts) {
        let times = [to_poll, first, warm].map(median);
        let ratio = times[1].as_secs_f64() / times[2].as_secs_f64();
        let cells = times.map(|time| format!("{:.2}", time.as_secs_f64() * 1e3));
        table.row([what.to_owned(), over.to_owned()].into_iter().chain(cells).chain([format!("{ratio:.1}")]));
        figures.push(json!({"what": what, "over": over, "toFirstNextMicroseconds": micros(times[0]),
            "firstMicroseconds": micros(times[1]), "warmMicroseconds": micros(times[2])}));
    }
    table.print("The connection to DynamoDB, opened at start or by the first request; the benchmark itself terminates TLS:");
    figures.into()
}
