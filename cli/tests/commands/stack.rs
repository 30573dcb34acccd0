//! Serves a local stack in this process, and runs the binary against it.

use std::process::Stdio;

use local::{embedded::Embedded, serve::Stack};
use runtime::clock::Clock;
use serde_json::Value;
use tokio::{io::AsyncWriteExt as _, process::Command};

/// A served local stack.
pub(crate) struct Local {
    pub(crate) url: String,
    pub(crate) embedded: Embedded,
}

/// A command's exit code, standard output and standard error.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Output {
    /// Parses standard output as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Parses each line of standard output as JSON.
    pub(crate) fn json_lines(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Local {
    pub(crate) async fn start() -> Self {
        let embedded = Embedded::in_memory().await.unwrap();
        let stack = Stack::on(embedded.store.clone(), "local-secret", "local-token", Clock::system()).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, stack.router()).await });
        Self { url, embedded }
    }

    pub(crate) async fn with_sample_data() -> Self {
        let local = Self::start().await;
        let output = local.byos(&["send", "--sample"]).await;
        assert_eq!(output.code, 0, "{output:?}");
        local
    }

    /// Sends events to the webhook. All must be accepted.
    pub(crate) async fn send(&self, events: &[Value]) {
        let events: Vec<String> = events.iter().map(Value::to_string).collect();
        let output = self.byos_with(&["send", "-", "--no-retry"], &[], &events.join("\n")).await;
        assert_eq!(output.code, 0, "{output:?}");
    }

    /// The response's body of POST /check-access.
    pub(crate) async fn check_access(&self, body: &Value) -> Value {
        let request = testkit::http::client().post(format!("{}/check-access", self.url));
        let request = request.header("Authorization", "Bearer local-token").body(body.to_string());
        request.send().await.unwrap().json().await.unwrap()
    }

    /// Runs the binary against this stack.
    pub(crate) async fn byos(&self, arguments: &[&str]) -> Output {
        self.byos_with(arguments, &[], "").await
    }

    /// Runs the binary against this stack, with more variables and standard input.
    pub(crate) async fn byos_with(&self, arguments: &[&str], environment: &[(&str, &str)], input: &str) -> Output {
        let target = [("BYOS_URL", self.url.as_str()), ("DYNAMODB_ENDPOINT", self.embedded.endpoint.as_str())];
        run(arguments, &[&target, environment].concat(), input).await
    }
}

/// Runs the binary with only these environment variables.
pub(crate) async fn run(arguments: &[&str], environment: &[(&str, &str)], input: &str) -> Output {
    let mut process = Command::new(env!("CARGO_BIN_EXE_byos"))
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = process.stdin.take().unwrap();
    // Fails if the command has already ended without reading.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = process.wait_with_output().await.unwrap();
    Output {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}
