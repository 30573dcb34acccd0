//! One invocation after the other: what they take of the processor, of time and of memory.

use std::{fs, path::Path, time::Duration};

use serde_json::{Value, json};
use testkit::runtime_api::Lambda;

use crate::{binaries::Binary, scenario::Scenario, store::processor_time};

/// A function that is called again and again.
pub struct Subject {
    lambda: Lambda,
    times: Vec<Duration>,
    /// Of each round, for one invocation.
    processor: Vec<Duration>,
    /// The last event; the first two are [`crate::functions::look`]'s.
    count: usize,
}

impl Subject {
    pub async fn start(binary: Binary, endpoint: &str, plan: &Path) -> Self {
        let mut lambda = Lambda::start(&binary.path(), binary.variables(endpoint, plan)).await.unwrap();
        lambda.first_poll().await.unwrap();
        Self { lambda, times: Vec::new(), processor: Vec::new(), count: 1 }
    }

    /// So many invocations that are not counted.
    pub async fn warm_up(&mut self, scenario: &Scenario, count: usize) {
        self.call(scenario, count).await;
    }

    /// So many that are.
    pub async fn round(&mut self, scenario: &Scenario, count: usize) {
        let before = self.processor_time();
        let times = self.call(scenario, count).await;
        let took = self.processor_time() - before;
        self.processor.push(took / u32::try_from(count).unwrap());
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

    fn processor_time(&self) -> Duration {
        processor_time(self.lambda.process_id().unwrap())
    }

    /// The figures, and the end of the process.
    pub async fn end(mut self) -> Taken {
        let id = self.lambda.process_id().unwrap();
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
        self.lambda.stop().await.unwrap();
        self.times.sort_unstable();
        let at = |share: usize| self.times[(self.times.len() * share / 100).min(self.times.len() - 1)];
        Taken { p50: at(50), p99: at(99), processor: self.processor, memory: peak.unwrap_or_default() / 1e3 }
    }
}

/// An answer that is none would be quick.
pub fn check(scenario: &Scenario, answer: &Value) {
    let body = answer["body"].as_str().unwrap_or_default();
    assert!(answer["statusCode"] == 200 && !body.contains("\"errors\""), "{}: {answer}", scenario.name);
}

/// What a function took.
pub struct Taken {
    /// For one invocation, in each round.
    pub processor: Vec<Duration>,
    pub p50: Duration,
    pub p99: Duration,
    /// The most memory that it had, in MB.
    pub memory: f64,
}

impl Taken {
    /// Of the processor, for one invocation: the median of the rounds.
    pub fn processor(&self) -> Duration {
        median(self.processor.clone())
    }

    /// How many times as much of the processor as the other took, round by round: the median.
    pub fn processor_ratio(&self, other: &Self) -> f64 {
        let ratios = self.processor.iter().zip(&other.processor).map(|(one, other)| one.as_secs_f64() / other.as_secs_f64());
        let mut ratios: Vec<f64> = ratios.collect();
        ratios.sort_by(f64::total_cmp);
        ratios[ratios.len() / 2]
    }

    pub fn to_json(&self) -> Value {
        json!({"processorMicroseconds": micros(self.processor()), "p50Microseconds": micros(self.p50),
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
