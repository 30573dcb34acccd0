//! The binary `local`: its output, signals, ports and stored data.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
#![cfg(unix)]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Child, ChildStdout, Command, Stdio},
};

const BINARY: &str = env!("CARGO_BIN_EXE_local");

/// The binary on a free port.
struct Local {
    process: Child,
    stdout: BufReader<ChildStdout>,
    printed: String,
}

impl Local {
    /// Starts it, and reads its output up to the example with `curl`.
    fn start(command: &mut Command) -> Self {
        let command = command.args(["--port", "0"]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut printed = String::new();
        while !printed.contains("curl") {
            assert_ne!(stdout.read_line(&mut printed).unwrap(), 0, "{printed}");
        }
        Self { process, stdout, printed }
    }

    /// Sends a signal, and asserts that the process ends cleanly.
    fn stop(&mut self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.process.id().to_string()]).status().unwrap().success());
        self.stdout.read_to_string(&mut self.printed).unwrap();
        assert!(self.process.wait().unwrap().success() && self.printed.ends_with("Stopped.\n"), "{}", self.printed);
    }
}

#[test]
fn it_prints_its_endpoints_and_credentials_and_stops_cleanly() {
    let mut local = Local::start(Command::new(BINARY).arg("--seed").env("STIGG_WEBHOOK_SECRET", "another-secret"));
    let printed = local.printed.clone();
    for expected in
        ["Delivered 21 events", "POST /webhook", "another-secret", "Bearer local-token", "DynamoDB             http://127.0.0.1:"]
    {
        assert!(printed.contains(expected), "{expected} is not in {printed}");
    }
    let (_, address) = printed.split_once("served on http://").unwrap();
    let address = address.split(' ').next().unwrap();
    let (_, token) = printed.split_once(&format!("http://{address}/console?token=")).unwrap();
    let token = token.split_whitespace().next().unwrap();
    // `/` redirects to the console, without its token.
    let answer = get(address, "/");
    assert!(answer.starts_with("HTTP/1.1 303") && answer.contains("\r\nlocation: /console\r\n"), "{answer}");
    assert!(get(address, "/console").starts_with("HTTP/1.1 401"), "{answer}");
    assert!(!answer.contains(token) && !answer.contains("set-cookie"), "{answer}");
    let answer = get(address, &format!("/console?token={token}"));
    assert!(answer.contains("\r\nset-cookie: byos-console-"), "{answer}");
    local.stop("-INT");
}

/// Sends a GET. Returns the response's head and body.
fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Needs Linux, where all of 127.0.0.0/8 is loopback. Containers reach the stack at another address than 127.0.0.1.
#[cfg(target_os = "linux")]
#[test]
fn dynamodb_is_served_at_the_given_address() {
    for (address, reached) in [("127.0.0.2", "127.0.0.2"), ("0.0.0.0", "127.0.0.1")] {
        let mut local = Local::start(Command::new(BINARY).args(["--dynamodb-address", address]));
        let printed = &local.printed;
        let (_, endpoint) = printed.split_once("DynamoDB             http://").unwrap();
        let endpoint = endpoint.split(' ').next().unwrap();
        assert!(endpoint.starts_with(reached), "{endpoint}");
        TcpStream::connect(endpoint).unwrap();
        local.stop("-TERM");
    }
}

#[test]
fn a_port_in_use_is_an_error_that_names_the_port_and_the_option() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let output = Command::new(BINARY).args(["--port", &port]).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && error.contains(&port) && error.contains("--port"), "{error}");
}

#[test]
fn data_in_a_folder_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, expected) in [(vec!["--seed"], "Delivered 21 events"), (vec![], "data in")] {
        let mut local = Local::start(Command::new(BINARY).args(arguments).arg("--data").arg(folder.path()));
        let printed = &local.printed;
        assert!(printed.contains(expected), "{printed}");
        let url = printed.split("served on ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
        let check = r#"{"customerId":"customer-alder","featureId":"feature-api-calls"}"#;
        let status = tokio::runtime::Runtime::new().unwrap().block_on(async {
            let request =
                testkit::http::client().post(format!("{url}/check-access")).header("Authorization", "Bearer local-token");
            request.body(check).send().await.unwrap().status()
        });
        assert_eq!(status, 200);
        local.stop("-TERM");
    }
}
