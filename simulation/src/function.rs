//! A Lambda function: its environments, retry quotas, and concurrency.

use crate::{Time, bucket::Bucket, limits, setup::RetryPolicy};

/// Number of an execution environment of a function.
pub type Environment = u32;

/// The environment for an invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    /// An idle environment.
    Warm(Environment),
    /// A new environment, which has to start first.
    Cold(Environment),
    /// No environment: Lambda answers with 429, and API Gateway with its own error.
    Throttled,
}

/// A limit on concurrent executions and on requests per second: the account's unreserved concurrency, or a function's
/// reserved share.
#[derive(Clone, Debug)]
pub struct Pool {
    limit: u32,
    in_flight: u32,
    peak: u32,
    rate: Bucket,
}

impl Pool {
    /// A pool of `limit` concurrent executions.
    pub fn new(limit: u32) -> Self {
        let rate = f64::from(limit) * limits::REQUESTS_PER_CONCURRENCY;
        Self { limit, in_flight: 0, peak: 0, rate: Bucket::with_one_second_burst(rate, 0) }
    }

    /// Maximum number of concurrent executions so far.
    pub fn peak(&self) -> u32 {
        self.peak
    }

    fn admits(&mut self, now: Time) -> bool {
        self.in_flight < self.limit && self.rate.take(now, 1.0)
    }
}

/// The environments of a function.
#[derive(Clone, Debug)]
pub struct Function {
    idle: Vec<Environment>,
    /// Retry tokens left in each environment's SDK.
    retry_tokens: Vec<u32>,
    /// Limits the number of new environments.
    scaling: Bucket,
}

impl Function {
    /// A function with this many provisioned (idle) environments.
    pub fn new(provisioned: u32) -> Self {
        let refill = limits::NEW_ENVIRONMENTS / limits::NEW_ENVIRONMENTS_SECONDS;
        Self {
            idle: (0..provisioned).collect(),
            retry_tokens: vec![RetryPolicy::QUOTA; provisioned as usize],
            scaling: Bucket::new(refill, limits::NEW_ENVIRONMENTS),
        }
    }

    /// Starts an invocation in the environment that became idle last, or in a new one.
    pub fn start(&mut self, now: Time, pool: &mut Pool) -> Started {
        if !pool.admits(now) {
            return Started::Throttled;
        }
        let started = if let Some(environment) = self.idle.pop() {
            Started::Warm(environment)
        } else if self.scaling.take(now, 1.0) {
            self.retry_tokens.push(RetryPolicy::QUOTA);
            Started::Cold(self.retry_tokens.len() as Environment - 1)
        } else {
            return Started::Throttled;
        };
        pool.in_flight += 1;
        pool.peak = pool.peak.max(pool.in_flight);
        started
    }

    /// Ends an invocation. Its environment is idle again.
    pub fn end(&mut self, environment: Environment, pool: &mut Pool) {
        pool.in_flight -= 1;
        self.idle.push(environment);
    }

    /// Takes the tokens for a retry. False if the environment has too few left.
    pub fn spend_retry_tokens(&mut self, environment: Environment, cost: u32) -> bool {
        let tokens = &mut self.retry_tokens[environment as usize];
        let is_enough = *tokens >= cost;
        if is_enough {
            *tokens -= cost;
        }
        is_enough
    }

    /// Returns tokens after a successful request: the cost of its last retry, or one token if it was not retried.
    pub fn return_retry_tokens(&mut self, environment: Environment, tokens: u32) {
        let left = &mut self.retry_tokens[environment as usize];
        *left = (*left + tokens).min(RetryPolicy::QUOTA);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SECOND;

    #[test]
    fn concurrency_is_limited_by_the_pool() {
        let (mut function, mut pool) = (Function::new(0), Pool::new(10));
        let started: Vec<Started> = (0..12).map(|_| function.start(0, &mut pool)).collect();
        assert_eq!(started.iter().filter(|started| matches!(started, Started::Cold(_))).count(), 10);
        assert_eq!(started[11], Started::Throttled);
        function.end(3, &mut pool);
        assert_eq!(function.start(0, &mut pool), Started::Warm(3));
        assert_eq!(pool.peak(), 10);
    }

    #[test]
    fn a_function_starts_1_000_environments_at_once_and_100_a_second() {
        let (mut function, mut pool) = (Function::new(0), Pool::new(100_000));
        let mut start = |now: Time| (0..5_000).filter(|_| function.start(now, &mut pool) != Started::Throttled).count();
        assert_eq!(start(0), 1_000);
        assert_eq!(start(SECOND), 100);
        assert_eq!(start(100 * SECOND), 1_000);
    }

    #[test]
    fn short_invocations_are_limited_to_ten_a_second_per_concurrent_execution() {
        let (mut function, mut pool) = (Function::new(0), Pool::new(100));
        let mut count = 0;
        for n in 0..50_000_u64 {
            if let Started::Warm(environment) | Started::Cold(environment) = function.start(n * 100, &mut pool) {
                function.end(environment, &mut pool);
                count += 1;
            }
        }
        // Five seconds at the rate, and the full bucket at the beginning.
        assert!((5_900..=6_000).contains(&count), "{count}");
    }

    #[test]
    fn provisioned_environments_have_no_cold_start() {
        let (mut function, mut pool) = (Function::new(1), Pool::new(10));
        assert_eq!(function.start(0, &mut pool), Started::Warm(0));
        assert_eq!(function.start(0, &mut pool), Started::Cold(1));
    }

    #[test]
    fn an_environment_stops_retrying_without_tokens() {
        let (mut function, mut pool) = (Function::new(1), Pool::new(10));
        function.start(0, &mut pool);
        assert_eq!((0..200).filter(|_| function.spend_retry_tokens(0, RetryPolicy::THROTTLING_COST)).count(), 100);
        (0..5).for_each(|_| function.return_retry_tokens(0, 1));
        assert!(function.spend_retry_tokens(0, RetryPolicy::THROTTLING_COST));
        assert!(!function.spend_retry_tokens(0, RetryPolicy::THROTTLING_COST));
    }
}
