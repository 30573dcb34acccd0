//! CPU time, latency, memory and starts of the functions, compared with minimal reference functions.
//!
//! `cargo bench -p benchmark` runs all parts; `-- functions`, `instructions`, `start`, `memory`, `http` and `growth` select
//! parts. `--only TEXT` selects the kinds of requests whose names contain the text, `--json FILE` writes the figures,
//! `--quick` sends a tenth of the requests.
//!
//! The functions' release binaries run over Lambda's Runtime API against an embedded DynamoDB in another process. In turn
//! with each function, the same events go to two reference functions (src/bin): an empty handler, and a bare one that sends
//! the same requests to DynamoDB with the same client and nothing else. The difference to the bare one is the function's own.
//!
//! Not measured: AWS. DynamoDB's own time, the network and Lambda's start of an environment come on top.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::cast_precision_loss, unreachable_pub)]

mod binaries;
mod functions;
mod growth;
mod instructions;
mod measure;
mod memory;
mod over_http;
mod plan;
mod quota;
mod scenario;
mod start;
mod store;
mod table;
mod tls;

use serde_json::{Map, Value, json};

/// As in the binary `local`, since this process also runs the local stack.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The command line.
pub struct Options {
    /// Sends a tenth of the requests.
    pub is_quick: bool,
    parts: Vec<String>,
    only: String,
    json: Option<String>,
}

impl Options {
    fn read() -> Self {
        let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
        let mut options = Self { is_quick: false, parts: Vec::new(), only: String::new(), json: None };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--quick" => options.is_quick = true,
                "--only" => options.only = arguments.next().expect("--only needs a text"),
                "--json" => options.json = Some(arguments.next().expect("--json needs a file name")),
                part => options.parts.push(part.to_owned()),
            }
        }
        options
    }

    /// Whether `--only` selects this kind of request.
    pub fn selects(&self, name: &str) -> bool {
        name.contains(&self.only)
    }

    /// The count, or a tenth of it with `--quick`.
    pub fn count(&self, count: usize) -> usize {
        if self.is_quick { count.div_ceil(10) } else { count }
    }
}

async fn run(options: &Options) {
    binaries::build();
    let mut figures = Map::new();
    figures.insert("machine".to_owned(), machine());
    for part in ["functions", "instructions", "start", "memory", "http", "growth"] {
        if !options.parts.is_empty() && !options.parts.iter().any(|selected| selected == part) {
            continue;
        }
        let measured = match part {
            "functions" => functions::run(options).await,
            "instructions" => instructions::run(options).await,
            "start" => start::run(options).await,
            "memory" => memory::run(options).await,
            "http" => over_http::run(options).await,
            _ => growth::run(options).await,
        };
        figures.insert(part.to_owned(), measured);
        // Written after each part, since the whole run takes long.
        if let Some(file) = &options.json {
            std::fs::write(file, format!("{:#}\n", Value::Object(figures.clone()))).unwrap();
        }
    }
}

fn machine() -> Value {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let machine = json!({"processor": model.trim_start_matches([' ', '\t', ':']), "cores": cores});
    println!("{} × {}, {}\n", cores, machine["processor"].as_str().unwrap_or_default(), jiff::Timestamp::now());
    machine
}

fn main() {
    // `cargo test --benches` runs this binary without `--bench`, only to see that it builds.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if let Some(role) = store::role() {
        runtime.block_on(store::serve(role));
    } else if let Some(role) = over_http::role() {
        runtime.block_on(over_http::serve(role));
    } else {
        runtime.block_on(run(&Options::read()));
    }
}
