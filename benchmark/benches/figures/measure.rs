//! Measures a function under sequential invocations: CPU time, latency and memory.

use std::{fs, path::Path, time::Duration};

use serde_json::{Value, json};
use testkit::runtime_api::Lambda;

use crate::{binaries::Binary, scenario::Scenario, store::cpu_time};

/// A running function under measurement.
pub struct Subject {
    lambda: Lambda,
    /// Latency of each invocation.
    times: Vec<Duration>,
    /// CPU time per invocation, for each round.
    cpu: Vec<Duration>,
    /// Number of the last event. [`crate::functions::record_requests`] uses events 0 and 1.
    count: usize,
}

impl Subject {
    pub async fn start(binary: Binary, endpoint: &str, plan: &Path) -> Self {
        let mut lambda = Lambda::start(&binary.path(), binary.variables(endpoint, plan)).await.unwrap();
        lambda.first_poll().await.unwrap();
        Self { lambda, times: Vec::new(), cpu: Vec::new(), count: 1 }
    }

    /// Invocations that are not counted.
    pub async fn warm_up(&mut self, scenario: &Scenario, count: usize) {
        self.call(scenario, count).await;
    }

    /// A round of counted invocations.
    pub async fn round(&mut self, scenario: &Scenario, count: usize) {
        let before = self.cpu_time();
        let times = self.call(scenario, count).await;
        let took = self.cpu_time() - before;
        self.cpu.push(took / u32::try_from(count).unwrap());
        self.times.extend(times);
    }

    async fn call(&mut self, scenario: &Scenario, count: usize) -> Vec<Duration> {
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            self.count += 1;
            let (answer, took) = self.lambda.invoke_timed(&scenario.event(self.count)).await.unwrap();
            check(scenario, &answer);
            times.push(took);
        }
        times
    }

    fn cpu_time(&self) -> Duration {
        cpu_time(self.lambda.process_id().unwrap())
    }

    /// Stops the process and returns the figures.
    pub async fn end(mut self) -> Usage {
        let id = self.lambda.process_id().unwrap();
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
        self.lambda.stop().await.unwrap();
        self.times.sort_unstable();
        let at = |share: usize| self.times[(self.times.len() * share / 100).min(self.times.len() - 1)];
        Usage { p50: at(50), p99: at(99), cpu: self.cpu, memory: peak.unwrap_or_default() / 1e3 }
    }
}

/// Panics if the response is an error, since an error would take less time.
pub fn check(scenario: &Scenario, answer: &Value) {
    let body = answer["body"].as_str().unwrap_or_default();
    assert!(answer["statusCode"] == 200 && !body.contains("\"errors\""), "{}: {answer}", scenario.name);
}

/// CPU time, latency and memory of a function.
pub struct Usage {
    /// CPU time per invocation, for each round.
    pub cpu: Vec<Duration>,
    pub p50: Duration,
    pub p99: Duration,
    /// Maximum resident memory, in MB.
    pub memory: f64,
}

impl Usage {
    /// CPU time per invocation: the median of the rounds.
    pub fn cpu(&self) -> Duration {
        median(self.cpu.clone())
    }

    /// Ratio of the CPU times: the median of the rounds' ratios.
    pub fn cpu_ratio(&self, other: &Self) -> f64 {
        let ratios = self.cpu.iter().zip(&other.cpu).map(|(one, other)| one.as_secs_f64() / other.as_secs_f64());
        let mut ratios: Vec<f64> = ratios.collect();
        ratios.sort_by(f64::total_cmp);
        ratios[ratios.len() / 2]
    }

    pub fn to_json(&self) -> Value {
        json!({"processorMicroseconds": micros(self.cpu()), "p50Microseconds": micros(self.p50),
               "p99Microseconds": micros(self.p99), "memoryMegabytes": self.memory})
    }
}

pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

pub fn micros(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e7).round() / 10.0
}
