//! What the functions take, beside the least that they could take.
//!
//! `cargo bench -p benchmark` for all of it, or `-- functions`, `instructions`, `start`, `memory`, `http`, `growth`
//! for parts; `--only TEXT` for the kinds of requests with that in their names, `--json FILE` keeps the figures,
//! `--quick` takes a tenth of the requests.
//!
//! The release binaries of the functions are driven over Lambda's Runtime API against an embedded DynamoDB
//! in another process. Beside each runs, in turn with it, the same request to an empty handler of
//! lambda_http and to one that makes the same requests to DynamoDB by the same client and nothing else
//! (src/bin). What a function takes beyond the latter is its own.
//!
//! Not measured: AWS. DynamoDB's own time, the network and Lambda's set-up of an environment come on top.
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

/// As in `byos`, which the local stack in this process stands for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What the command line says.
pub struct Options {
    /// Takes a tenth of the requests.
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
                "--only" => options.only = arguments.next().expect("--only takes a text"),
                "--json" => options.json = Some(arguments.next().expect("--json takes a file's name")),
                part => options.parts.push(part.to_owned()),
            }
        }
        options
    }

    /// Whether this kind of request is asked for.
    pub fn wants(&self, name: &str) -> bool {
        name.contains(&self.only)
    }

    /// So many, or a tenth.
    pub fn count(&self, count: usize) -> usize {
        if self.is_quick { count.div_ceil(10) } else { count }
    }
}

async fn run(options: &Options) {
    binaries::build();
    let mut figures = Map::new();
    figures.insert("machine".to_owned(), machine());
    for part in ["functions", "instructions", "start", "memory", "http", "growth"] {
        if !options.parts.is_empty() && !options.parts.iter().any(|wanted| wanted == part) {
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
        // Kept as far as they are there: all of it takes a while.
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
    // `cargo test --benches` only asks whether it builds.
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
