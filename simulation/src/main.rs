//! Prints the tables of docs/scale.md, row by row. Arguments select parts; without any, all parts are printed.

use std::{io::Write as _, process::ExitCode, time::Instant};

use simulation::{
    report::{header, parameters, row},
    scenario::Part,
};

fn main() -> ExitCode {
    let names: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = names.iter().find(|name| Part::ALL.iter().all(|part| part.name() != *name)) {
        eprintln!("unknown part {unknown}: use plan, month, outage or checks");
        return ExitCode::FAILURE;
    }
    for part in Part::ALL.into_iter().filter(|part| names.is_empty() || names.iter().any(|name| name == part.name())) {
        print!("<!-- {} -->\n{}", part.name(), header(part));
        for scenario in part.scenarios() {
            let started = Instant::now();
            let (text, results) = row(&scenario);
            print!("{text}");
            let _ = std::io::stdout().flush();
            eprintln!("{:.1} million steps in {:.1} s", results.steps as f64 / 1e6, started.elapsed().as_secs_f64());
        }
        println!("\n{}<!-- /{} -->\n", parameters(part), part.name());
    }
    ExitCode::SUCCESS
}
