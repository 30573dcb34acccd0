//! A function of Lambda's: its environments, and the account's concurrency that they share.

use crate::{Time, bucket::Bucket, limits, setup::Retries};

/// An environment of a function's, by its number.
pub type Environment = u32;

/// Whether an invocation got an environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    /// One that has answered before.
    Warm(Environment),
    /// A new one, which starts first.
    Cold(Environment),
    /// None: Lambda answers with 429, and API Gateway with an error of its own.
    Throttled,
}

/// Executions that functions without a reserved share have in common.
#[derive(Clone, Debug)]
pub struct Pool {
    limit: u32,
    under_way: u32,
    most: u32,
    rate: Bucket,
}

impl Pool {
    /// A pool of so many at once.
    pub fn new(limit: u32) -> Self {
        let rate = f64::from(limit) * limits::REQUESTS_PER_CONCURRENCY;
        Self { limit, under_way: 0, most: 0, rate: Bucket::of_a_second(rate, 0) }
    }

    /// The most that were under way at once.
    pub fn most(&self) -> u32 {
        self.most
    }

    fn has_room(&mut self, now: Time) -> bool {
        self.under_way < self.limit && self.rate.take(now, 1.0)
    }
}

/// A function.
#[derive(Clone, Debug)]
pub struct Function {
    idle: Vec<Environment>,
    /// What each environment's SDK may still spend on retries.
    retry_tokens: Vec<u32>,
    scaling: Bucket,
}

impl Function {
    /// One with so many environments that stand ready.
    pub fn new(provisioned: u32) -> Self {
        let refill = limits::NEW_ENVIRONMENTS / limits::NEW_ENVIRONMENTS_SECONDS;
        Self {
            idle: (0..provisioned).collect(),
            retry_tokens: vec![Retries::TOKENS; provisioned as usize],
            scaling: Bucket::new(refill, limits::NEW_ENVIRONMENTS),
        }
    }

    /// Starts an invocation in the environment that was last idle, or in a new one.
    pub fn start(&mut self, now: Time, pool: &mut Pool) -> Started {
        if !pool.has_room(now) {
            return Started::Throttled;
        }
        let started = if let Some(environment) = self.idle.pop() {
            Started::Warm(environment)
        } else if self.scaling.take(now, 1.0) {
            self.retry_tokens.push(Retries::TOKENS);
            Started::Cold(self.retry_tokens.len() as Environment - 1)
        } else {
            return Started::Throttled;
        };
        pool.under_way += 1;
        pool.most = pool.most.max(pool.under_way);
        started
    }

    /// Ends an invocation.
    pub fn end(&mut self, environment: Environment, pool: &mut Pool) {
        pool.under_way -= 1;
        self.idle.push(environment);
    }

    /// Pays for a retry, if the environment has not used up what it may spend.
    pub fn pay(&mut self, environment: Environment, cost: u32) -> bool {
        let tokens = &mut self.retry_tokens[environment as usize];
        let is_paid = *tokens >= cost;
        if is_paid {
            *tokens -= cost;
        }
        is_paid
    }

    /// Gives back what the last retry of a request cost that succeeded; one token after a first attempt.
    pub fn earn(&mut self, environment: Environment, tokens: u32) {
        let all = &mut self.retry_tokens[environment as usize];
        *all = (*all + tokens).min(Retries::TOKENS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SECOND;

    #[test]
    fn no_more_run_at_once_than_the_account_has() {
        let (mut function, mut pool) = (Function::new(0), Pool::new(10));
        let started: Vec<Started> = (0..12).map(|_| function.start(0, &mut pool)).collect();
        assert_eq!(started.iter().filter(|started| matches!(started, Started::Cold(_))).count(), 10);
        assert_eq!(started[11], Started::Throttled);
        function.end(3, &mut pool);
        assert_eq!(function.start(0, &mut pool), Started::Warm(3));
        assert_eq!(pool.most(), 10);
    }

    #[test]
    fn new_environments_come_a_thousand_at_once_and_a_hundred_a_second() {
        let (mut function, mut pool) = (Function::new(0), Pool::new(100_000));
        let mut start = |now: Time| (0..5_000).filter(|_| function.start(now, &mut pool) != Started::Throttled).count();
        assert_eq!(start(0), 1_000);
        assert_eq!(start(SECOND), 100);
        assert_eq!(start(100 * SECOND), 1_000);
    }

    #[test]
    fn short_invocations_are_held_to_ten_a_second_for_each_concurrent_one() {
        let (mut function, mut pool) = (Function::new(0), Pool::new(100));
        let mut count = 0;
        for n in 0..50_000_u64 {
            if let Started::Warm(environment) | Started::Cold(environment) = function.start(n * 100, &mut pool) {
                function.end(environment, &mut pool);
                count += 1;
            }
        }
        // Five seconds, and the bucket that was full at first.
        assert!((5_900..=6_000).contains(&count), "{count}");
    }

    #[test]
    fn provisioned_environments_do_not_start_first() {
        let (mut function, mut pool) = (Function::new(1), Pool::new(10));
        assert_eq!(function.start(0, &mut pool), Started::Warm(0));
        assert_eq!(function.start(0, &mut pool), Started::Cold(1));
    }

    #[test]
    fn an_environment_stops_retrying_once_its_tokens_are_spent() {
        let (mut function, mut pool) = (Function::new(1), Pool::new(10));
        function.start(0, &mut pool);
        assert_eq!((0..200).filter(|_| function.pay(0, Retries::REFUSED)).count(), 100);
        (0..5).for_each(|_| function.earn(0, 1));
        assert!(function.pay(0, Retries::REFUSED) && !function.pay(0, Retries::REFUSED));
    }
}
