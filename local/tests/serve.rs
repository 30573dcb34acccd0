//! The binary `byos` itself: what it prints, how it stops, and what a taken port says.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
#![cfg(unix)]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
};

#[test]
fn it_serves_says_what_and_stops_cleanly() {
    let mut process = Command::new(env!("CARGO_BIN_EXE_local"))
        .args(["--seed", "--port", "0"])
        .env("STIGG_WEBHOOK_SECRET", "another-secret")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap());
    let mut printed = String::new();
    while !printed.contains("curl") {
        assert_ne!(lines.read_line(&mut printed).unwrap(), 0, "{printed}");
    }
    for expected in
        ["Delivered 21 events", "POST /webhook", "another-secret", "Bearer local-token", "DynamoDB             http://127.0.0.1:"]
    {
        assert!(printed.contains(expected), "{expected} is not in {printed}");
    }
    let (_, address) = printed.split_once("served on http://").unwrap();
    let address = address.split(' ').next().unwrap();
    let (_, token) = printed.split_once(&format!("http://{address}/console?token=")).unwrap();
    let token = token.split_whitespace().next().unwrap();
    // `/` leads to the console, and does not let anybody in.
    let answer = get(address, "/");
    assert!(answer.starts_with("HTTP/1.1 303") && answer.contains("\r\nlocation: /console\r\n"), "{answer}");
    assert!(get(address, "/console").starts_with("HTTP/1.1 401"), "{answer}");
    assert!(!answer.contains(token) && !answer.contains("set-cookie"), "{answer}");
    let answer = get(address, &format!("/console?token={token}"));
    assert!(answer.contains("\r\nset-cookie: byos-console-"), "{answer}");
    assert!(Command::new("kill").args(["-INT", &process.id().to_string()]).status().unwrap().success());
    lines.read_to_string(&mut printed).unwrap();
    assert!(process.wait().unwrap().success() && printed.ends_with("Stopped.\n"), "{printed}");
}

/// What is answered to a request for this path, head and body.
fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Linux has more loopback addresses than one. Containers reach this one at the bridge's.
#[cfg(target_os = "linux")]
#[test]
fn dynamodb_is_served_at_the_address_given() {
    for (address, reached) in [("127.0.0.2", "127.0.0.2"), ("0.0.0.0", "127.0.0.1")] {
        let mut process = Command::new(env!("CARGO_BIN_EXE_local"))
            .args(["--port", "0", "--dynamodb-address", address])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap());
        let mut printed = String::new();
        while !printed.contains("curl") {
            assert_ne!(lines.read_line(&mut printed).unwrap(), 0, "{printed}");
        }
        let (_, endpoint) = printed.split_once("DynamoDB             http://").unwrap();
        let endpoint = endpoint.split(' ').next().unwrap();
        assert!(endpoint.starts_with(reached), "{endpoint}");
        TcpStream::connect(endpoint).unwrap();
        assert!(Command::new("kill").args(["-TERM", &process.id().to_string()]).status().unwrap().success());
        assert!(process.wait().unwrap().success());
    }
}

#[test]
fn a_taken_port_is_a_clear_error() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_local")).args(["--port", &port]).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && error.contains(&port) && error.contains("--port"), "{error}");
}

#[test]
fn data_in_a_folder_are_there_again_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, expected) in [(vec!["--seed"], "Delivered 21 events"), (vec![], "data in")] {
        let mut process = Command::new(env!("CARGO_BIN_EXE_local"))
            .args(arguments)
            .args(["--port", "0", "--data"])
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap());
        let mut printed = String::new();
        while !printed.contains("curl") {
            assert_ne!(lines.read_line(&mut printed).unwrap(), 0, "{printed}");
        }
        assert!(printed.contains(expected), "{printed}");
        let url = printed.split("served on ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
        let check = r#"{"customerId":"customer-alder","featureId":"feature-api-calls"}"#;
        let status = tokio::runtime::Runtime::new().unwrap().block_on(async {
            let request =
                testkit::http::client().post(format!("{url}/check-access")).header("Authorization", "Bearer local-token");
            request.body(check).send().await.unwrap().status()
        });
        assert_eq!(status, 200);
        assert!(Command::new("kill").args(["-TERM", &process.id().to_string()]).status().unwrap().success());
        assert!(process.wait().unwrap().success());
    }
}
