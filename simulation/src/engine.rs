//! The discrete-event engine: runs the steps of a simulation in order of simulated time.

use std::{cmp::Reverse, collections::BinaryHeap};

use crate::{
    SECOND, Time,
    bucket::Bucket,
    function::{Environment, Function, Pool, Started},
    histogram::Histogram,
    milliseconds,
    queue::{Message, Queue},
    random::{Random, mix},
    seconds,
    setup::{BATCH_MS, RetryPolicy, Setup, Throttle},
    table::Table,
    work::{Kind, TableName},
};

/// How DynamoDB fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Each request gets an error at once.
    Errors,
    /// Requests get no response and time out.
    NoAnswer,
}

/// The load. Rates are per second of simulated time.
#[derive(Clone, Debug)]
pub struct Load {
    /// Number of customers.
    pub customers: u32,
    /// Rate of checks of random customers before `start`.
    pub checks_before_start: f64,
    /// Rate of checks from `start` on.
    pub checks_from_start: f64,
    /// Share of the checks that are of one customer, 0 to 1.
    pub hot_share: f64,
    /// Rate of the events of an ordinary day.
    pub events: f64,
    /// Events that Stigg sends for each customer, from `start` on.
    pub storm: &'static [Kind],
    /// Rate of the storm's events.
    pub storm_rate: f64,
    /// How DynamoDB fails from `start` to `end`.
    pub failure: Option<Failure>,
    /// Start of the measurement. The load before it only starts environments.
    pub start: Time,
    /// End of the failure, or of the measurement of checks. A storm ends with its last event instead.
    pub end: Time,
    /// Maximum time to simulate after the end, until the queue is empty.
    pub max_drain_time: Time,
}

/// The results, counted from [`Load::start`] until the end of the simulation.
#[derive(Clone, Debug, Default)]
pub struct Results {
    /// Events that Stigg sent, without retries.
    pub events: u64,
    /// Deliveries of events, retries included, that API Gateway refused.
    pub refused_by_api: u64,
    /// Deliveries of events, retries included, that Lambda refused.
    pub refused_by_lambda: u64,
    /// Requests to DynamoDB that were throttled, those of checks included.
    pub throttled: u64,
    /// Parked events.
    pub parked: u64,
    /// Maximum number of messages in the queue.
    pub max_queue_length: usize,
    /// Events in the dead-letter queue.
    pub dead_letters: u64,
    /// Events without a 2XX in all tries.
    pub lost: u64,
    /// Times from an event's first delivery until it was applied.
    pub lag: Histogram,
    /// Time from the end of the load until the queue was empty. None if it never was.
    pub drained_after: Option<Time>,
    /// Messages left in the queue, and the rate at which it drained in the last ten minutes.
    pub undrained: (usize, f64),
    /// Durations of the checks that were answered until the end of the load.
    pub checks: Histogram,
    /// Checks that API Gateway refused (429).
    pub checks_refused_by_api: u64,
    /// Checks that Lambda refused (503).
    pub checks_refused_by_lambda: u64,
    /// Checks whose DynamoDB request failed (503).
    pub checks_failed: u64,
    /// Maximum number of concurrent executions.
    pub peak_concurrency: u32,
    /// Number of simulated steps.
    pub steps: u64,
}

impl Results {
    /// Share of the checks without a decision, 0 to 1.
    pub fn undecided(&self) -> f64 {
        let refused = self.checks_refused_by_api + self.checks_refused_by_lambda + self.checks_failed;
        refused as f64 / (refused + self.checks.count()).max(1) as f64
    }
}

/// The caller of an invocation.
#[derive(Debug)]
enum Source {
    Check,
    /// A delivery by Stigg. Holds the number of the try, from 1.
    Stigg(u8),
    /// A batch of the queue. `left` holds the unfinished messages in reverse order.
    Queue {
        poller: u32,
        received: Time,
        left: Vec<Message>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Succeeded,
    StoreFailed,
}

/// A check, an event with all its deliveries, or a batch.
#[derive(Debug)]
struct Job {
    kind: Kind,
    customer: u32,
    /// Time of the first delivery.
    arrived: Time,
    source: Source,
    environment: Environment,
    /// Start of the invocation.
    started: Time,
    /// Index of the current request in [`Kind::requests`].
    request_index: u8,
    /// Attempts of the current request.
    attempts: u8,
    /// Start of the current request's first attempt.
    request_started: Time,
    /// Retry tokens spent on the last retry.
    retry_cost: u32,
    outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    CheckArrives,
    EventArrives,
    StormEventArrives,
    /// A job reaches API Gateway, or Lambda if it is a batch.
    Admit(u32),
    /// A job sends a request to DynamoDB.
    Request(u32),
    /// An invocation ends, or a message of a batch.
    End(u32),
    /// A poller receives from the queue.
    Poll(u32),
    /// Messages may be visible again.
    Wake,
}

struct Simulation<'a> {
    setup: &'a Setup,
    load: &'a Load,
    random: Random,
    now: Time,
    /// Steps by time. The sequence number orders steps of the same time.
    agenda: BinaryHeap<Reverse<(Time, u64, Step)>>,
    sequence: u64,
    jobs: Vec<Option<Job>>,
    free_ids: Vec<u32>,
    /// The account's throttle.
    api: Bucket,
    /// The throttles of webhook and check-access.
    routes: [Bucket; 2],
    /// webhook and check-access.
    functions: [Function; 2],
    /// The account's unreserved concurrency.
    shared: Pool,
    /// Each function's reserved concurrency.
    reserved: [Option<Pool>; 2],
    /// Customers, Subscriptions and Receipts.
    tables: [Table; 3],
    queue: Queue,
    idle_pollers: Vec<u32>,
    storm_sent: u64,
    storm_total: u64,
    /// End of the storm, or of the failure.
    load_ended: Option<Time>,
    /// Scheduled redeliveries by Stigg.
    pending_retries: u64,
    batches_in_flight: u32,
    queue_empty_at: Time,
    /// Messages applied from the queue, by minute.
    drained_per_minute: Vec<u64>,
    results: Results,
}

/// Index of the function for a kind of work.
fn function_of(kind: Kind) -> usize {
    usize::from(kind == Kind::Check)
}

/// Runs a simulation.
pub fn run(setup: &Setup, load: &Load, seed: u64) -> Results {
    let mut simulation = Simulation::new(setup, load, seed);
    simulation.run();
    simulation.results()
}

impl<'a> Simulation<'a> {
    fn new(setup: &'a Setup, load: &'a Load, seed: u64) -> Self {
        let bucket = |throttle: Throttle| Bucket::new(throttle.rate, throttle.burst);
        let reserved = [setup.webhook_reserved, setup.checks_reserved];
        let table = |warm| Table::with_partitions(warm, setup.partition, setup.table_quota);
        Self {
            setup,
            load,
            random: Random::new(seed),
            now: 0,
            agenda: BinaryHeap::new(),
            sequence: 0,
            jobs: Vec::new(),
            free_ids: Vec::new(),
            api: bucket(setup.api),
            routes: [bucket(setup.webhook), bucket(setup.checks)],
            functions: [Function::new(0), Function::new(setup.checks_provisioned)],
            shared: Pool::new(setup.concurrency.saturating_sub(reserved.iter().sum())),
            reserved: reserved.map(|share| (share > 0).then(|| Pool::new(share))),
            tables: [table(setup.customers), table(setup.other_tables), table(setup.other_tables)],
            queue: Queue::default(),
            idle_pollers: (0..setup.queue_concurrency).collect(),
            storm_sent: 0,
            storm_total: u64::from(load.customers) * load.storm.len() as u64,
            load_ended: None,
            pending_retries: 0,
            batches_in_flight: 0,
            queue_empty_at: 0,
            drained_per_minute: Vec::new(),
            results: Results::default(),
        }
    }

    fn run(&mut self) {
        if self.load.checks_before_start.max(self.load.checks_from_start) > 0.0 {
            self.schedule(0, Step::CheckArrives);
        }
        if self.load.events > 0.0 {
            self.schedule(0, Step::EventArrives);
        }
        if self.storm_total > 0 {
            self.schedule(self.load.start, Step::StormEventArrives);
        }
        while let Some(Reverse((at, _, step))) = self.agenda.pop() {
            self.now = at;
            if self.storm_total == 0 && at >= self.load.end {
                self.load_ended.get_or_insert(self.load.end);
            }
            if self.is_over() {
                break;
            }
            self.results.steps += 1;
            match step {
                Step::CheckArrives => self.check_arrives(),
                Step::EventArrives => self.event_arrives(),
                Step::StormEventArrives => self.storm_event_arrives(),
                Step::Admit(job) => self.admit(job),
                Step::Request(job) => self.request(job),
                Step::End(job) => self.end(job),
                Step::Poll(poller) => self.poll(poller),
                Step::Wake => self.wake(),
            }
        }
    }

    /// Whether the load has ended and nothing is left to do, or the time limit is reached.
    fn is_over(&self) -> bool {
        let Some(ended) = self.load_ended else { return false };
        let is_idle = self.queue.is_empty() && self.batches_in_flight == 0 && self.pending_retries == 0;
        let is_done = is_idle && self.now > ended + 5 * SECOND;
        is_done || self.now >= ended + self.load.max_drain_time
    }

    fn schedule(&mut self, at: Time, step: Step) {
        self.sequence += 1;
        self.agenda.push(Reverse((at, self.sequence, step)));
    }

    fn is_measuring(&self) -> bool {
        self.now >= self.load.start
    }

    fn add_job(&mut self, job: Job) -> u32 {
        if let Some(id) = self.free_ids.pop() {
            self.jobs[id as usize] = Some(job);
            return id;
        }
        self.jobs.push(Some(job));
        self.jobs.len() as u32 - 1
    }

    fn remove_job(&mut self, id: u32) -> Option<Job> {
        self.free_ids.push(id);
        self.jobs[id as usize].take()
    }

    /// A job that arrives now.
    fn new_job(&self, kind: Kind, customer: u32, source: Source) -> Job {
        let Self { now, .. } = *self;
        Job {
            kind,
            customer,
            arrived: now,
            source,
            environment: 0,
            started: now,
            request_index: 0,
            attempts: 0,
            request_started: now,
            retry_cost: 0,
            outcome: Outcome::Succeeded,
        }
    }

    fn next_arrival(&mut self, rate: f64) -> Time {
        self.now + seconds(self.random.exponential() / rate).max(1)
    }

    fn check_arrives(&mut self) {
        let rate = if self.is_measuring() { self.load.checks_from_start } else { self.load.checks_before_start };
        if rate <= 0.0 {
            return self.schedule(self.load.start.max(self.now + SECOND), Step::CheckArrives);
        }
        let next = self.next_arrival(rate);
        self.schedule(next, Step::CheckArrives);
        let is_hot = self.load.hot_share > 0.0 && self.random.unit() < self.load.hot_share;
        let customer = if is_hot { 0 } else { self.random.below(self.load.customers) };
        let job = self.new_job(Kind::Check, customer, Source::Check);
        let id = self.add_job(job);
        self.admit(id);
    }

    fn event_arrives(&mut self) {
        let next = self.next_arrival(self.load.events);
        self.schedule(next, Step::EventArrives);
        let kind = Kind::random_of_ordinary_day(&mut self.random);
        let customer = self.random.below(self.load.customers);
        self.deliver(kind, customer);
    }

    fn storm_event_arrives(&mut self) {
        let kinds = self.load.storm;
        let customers = u64::from(self.load.customers);
        // The first event of every customer, then the second of every customer.
        let (kind, customer) = (kinds[(self.storm_sent / customers) as usize], self.storm_sent % customers);
        self.storm_sent += 1;
        if self.storm_sent < self.storm_total {
            self.schedule(self.load.start + seconds(self.storm_sent as f64 / self.load.storm_rate), Step::StormEventArrives);
        } else {
            self.load_ended = Some(self.now);
        }
        self.deliver(kind, customer as u32);
    }

    fn deliver(&mut self, kind: Kind, customer: u32) {
        self.results.events += u64::from(self.is_measuring());
        let job = self.new_job(kind, customer, Source::Stigg(1));
        let id = self.add_job(job);
        self.admit(id);
    }

    /// Passes API Gateway's throttles, then starts an invocation and its first request.
    fn admit(&mut self, id: u32) {
        let now = self.now;
        let is_measuring = self.is_measuring();
        let Some(job) = &mut self.jobs[id as usize] else { return };
        let function = function_of(job.kind);
        let is_queued = matches!(job.source, Source::Queue { .. });
        if let Source::Stigg(2..) = job.source {
            self.pending_retries -= 1;
        }
        let is_admitted = is_queued || (self.routes[function].take(now, 1.0) && self.api.take(now, 1.0));
        if !is_admitted {
            let is_check = function == 1;
            self.results.refused_by_api += u64::from(is_measuring && !is_check);
            self.results.checks_refused_by_api += u64::from(is_measuring && is_check && self.load_ended.is_none());
            return self.refuse(id);
        }
        let pool = self.reserved[function].as_mut().unwrap_or(&mut self.shared);
        let ready = match self.functions[function].start(now, pool) {
            Started::Warm(environment) => {
                job.environment = environment;
                now
            }
            Started::Cold(environment) => {
                job.environment = environment;
                now + self.setup.times.start
            }
            Started::Throttled if is_queued => return self.schedule(now + SECOND, Step::Admit(id)),
            Started::Throttled => {
                let is_check = function == 1;
                self.results.refused_by_lambda += u64::from(is_measuring && !is_check);
                self.results.checks_refused_by_lambda += u64::from(is_measuring && is_check && self.load_ended.is_none());
                return self.refuse(id);
            }
        };
        (job.started, job.request_index, job.attempts, job.request_started) = (ready, 0, 0, ready);
        if ready == now { self.request(id) } else { self.schedule(ready, Step::Request(id)) }
    }

    /// API Gateway or Lambda refused the job. Schedules Stigg's retry, if one is left.
    fn refuse(&mut self, id: u32) {
        let retries = self.setup.times.stigg_retries;
        let Some(job) = &mut self.jobs[id as usize] else { return };
        match &mut job.source {
            Source::Stigg(tries) if usize::from(*tries) <= retries.len() => {
                let wait = seconds(retries[usize::from(*tries) - 1]);
                *tries += 1;
                self.pending_retries += 1;
                self.schedule(self.now + wait, Step::Admit(id));
            }
            Source::Stigg(_) => {
                self.results.lost += u64::from(job.arrived >= self.load.start);
                self.remove_job(id);
            }
            _ => {
                self.remove_job(id);
            }
        }
    }

    fn failure(&self) -> Option<Failure> {
        self.load.failure.filter(|_| (self.load.start..self.load.end).contains(&self.now))
    }

    /// Sends an attempt of the current request.
    fn request(&mut self, id: u32) {
        let (now, failure) = (self.now, self.failure());
        let is_measuring = self.is_measuring();
        let latency = milliseconds(self.random.of_quantiles(&self.setup.times.store_ms));
        let Some(job) = &mut self.jobs[id as usize] else { return };
        let requests = job.kind.requests();
        let (table, units) = requests[usize::from(job.request_index)];
        let policy = RetryPolicy::of(job.kind, matches!(job.source, Source::Queue { .. }));
        let deadline = (job.request_started + policy.total).min(job.started + policy.limit);
        let function = function_of(job.kind);
        job.attempts += 1;
        // The invocation's own CPU time is added to the first request, since the sum is the same.
        let overhead = if job.request_index == 0 && job.attempts == 1 { self.setup.times.invocation } else { 0 };
        let answered = now + overhead + self.setup.times.request + latency;
        let (answered, cost) = match failure {
            Some(Failure::NoAnswer) => ((now + policy.attempt).min(deadline), RetryPolicy::FAILURE_COST),
            Some(Failure::Errors) => (answered, RetryPolicy::FAILURE_COST),
            None => {
                let table = match table {
                    TableName::Customers => 0,
                    TableName::Subscriptions => 1,
                    TableName::Receipts => 2,
                };
                // Items of different tables have different keys.
                let hash = mix(u64::from(job.customer) + ((table as u64) << 40));
                if self.tables[table].take(now, hash, units) {
                    let tokens = if job.attempts > 1 { job.retry_cost } else { 1 };
                    self.functions[function].return_retry_tokens(job.environment, tokens);
                    (job.request_index, job.attempts, job.request_started) = (job.request_index + 1, 0, answered);
                    if usize::from(job.request_index) < requests.len() {
                        return self.schedule(answered, Step::Request(id));
                    }
                    job.outcome = Outcome::Succeeded;
                    return self.schedule(answered, Step::End(id));
                }
                self.results.throttled += u64::from(is_measuring);
                (answered, RetryPolicy::THROTTLING_COST)
            }
        };
        let backoff = RetryPolicy::BACKOFF_MS * f64::from(1_u32 << (job.attempts - 1).min(16)) * self.random.unit();
        let retry_at = answered + milliseconds(backoff);
        let may_retry = job.attempts < policy.attempts && answered < deadline;
        // The SDK spends the tokens before it waits; the time limit may end the wait.
        let retries = may_retry && self.functions[function].spend_retry_tokens(job.environment, cost);
        if retries && retry_at < deadline {
            job.retry_cost = cost;
            return self.schedule(retry_at, Step::Request(id));
        }
        job.outcome = Outcome::StoreFailed;
        let parking = if matches!(job.source, Source::Stigg(_)) { self.setup.times.park } else { 0 };
        let failed = if retries { deadline } else { answered };
        self.schedule(failed + parking, Step::End(id));
    }

    /// Ends an invocation, or continues a batch with its next message.
    fn end(&mut self, id: u32) {
        let now = self.now;
        if let Some(job) = &mut self.jobs[id as usize]
            && let Source::Queue { left, .. } = &mut job.source
            && job.outcome == Outcome::Succeeded
        {
            if let Some(done) = left.pop()
                && done.arrived() >= self.load.start
            {
                self.results.lag.add(now - done.arrived());
            }
            let minute = (now / (60 * SECOND)) as usize;
            if self.drained_per_minute.len() <= minute {
                self.drained_per_minute.resize(minute + 1, 0);
            }
            self.drained_per_minute[minute] += 1;
            if let Some(next) = left.last()
                && now < job.started + milliseconds(BATCH_MS)
            {
                (job.kind, job.customer, job.request_index, job.attempts, job.request_started) =
                    (next.kind, next.customer, 0, 0, now);
                return self.request(id);
            }
        }
        let Some(job) = self.remove_job(id) else { return };
        let function = function_of(job.kind);
        let pool = self.reserved[function].as_mut().unwrap_or(&mut self.shared);
        self.functions[function].end(job.environment, pool);
        match job.source {
            Source::Check => {
                if job.arrived >= self.load.start && self.load_ended.is_none() {
                    match job.outcome {
                        Outcome::Succeeded => self.results.checks.add(now - job.arrived),
                        Outcome::StoreFailed => self.results.checks_failed += 1,
                    }
                }
            }
            Source::Stigg(_) if job.outcome == Outcome::Succeeded => {
                if job.arrived >= self.load.start {
                    self.results.lag.add(now - job.arrived);
                }
            }
            Source::Stigg(_) => {
                self.results.parked += u64::from(job.arrived >= self.load.start);
                let arrived_ms = (job.arrived / 1_000) as u32;
                self.queue.park(Message { customer: job.customer, arrived_ms, kind: job.kind, receives: 0 });
                self.wake();
            }
            Source::Queue { poller, received, left } => {
                self.batches_in_flight -= 1;
                if !left.is_empty() {
                    let visible_at = (received + self.setup.times.visibility).max(now);
                    self.queue.give_back(visible_at, left);
                    self.schedule(visible_at, Step::Wake);
                }
                if self.queue.is_empty() && self.batches_in_flight == 0 {
                    self.queue_empty_at = now;
                }
                self.schedule(now + self.setup.times.poll, Step::Poll(poller));
            }
        }
    }

    /// Lets an idle poller poll the queue.
    fn wake(&mut self) {
        if let Some(poller) = self.idle_pollers.pop() {
            self.poll(poller);
        }
    }

    fn poll(&mut self, poller: u32) {
        let mut left = self.queue.receive(self.now);
        left.reverse();
        let Some(first) = left.last().copied() else { return self.idle_pollers.push(poller) };
        self.batches_in_flight += 1;
        let job = self.new_job(first.kind, first.customer, Source::Queue { poller, received: self.now, left });
        let id = self.add_job(job);
        self.admit(id);
    }

    fn results(mut self) -> Results {
        let ended = self.load_ended.unwrap_or(self.now);
        let undrained = self.queue.len() + self.batches_in_flight as usize * crate::queue::BATCH;
        let drained: u64 = self.drained_per_minute.iter().rev().skip(1).take(10).sum();
        self.results.undrained = (undrained, drained as f64 / 600.0);
        self.results.drained_after = (undrained == 0).then(|| self.queue_empty_at.saturating_sub(ended));
        self.results.max_queue_length = self.queue.peak;
        self.results.dead_letters = self.queue.dead_letters;
        let reserved: u32 = self.reserved.iter().flatten().map(Pool::peak).sum();
        self.results.peak_concurrency = self.shared.peak() + reserved;
        self.results
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::WarmThroughput;

    const QUIET: Load = Load {
        customers: 10_000,
        checks_before_start: 0.0,
        checks_from_start: 0.0,
        hot_share: 0.0,
        events: 0.0,
        storm: &[],
        storm_rate: 1.0,
        failure: None,
        start: SECOND,
        end: SECOND,
        max_drain_time: 7_200 * SECOND,
    };

    fn storm(rate: f64) -> Load {
        Load { storm: &[Kind::List], storm_rate: rate, ..QUIET.clone() }
    }

    fn roomy() -> Setup {
        let unlimited = Throttle { rate: 1e5, burst: 1e5 };
        Setup { webhook: unlimited, checks: unlimited, api: unlimited, concurrency: 20_000, ..Setup::default() }
    }

    #[test]
    fn a_storm_within_all_limits_is_applied_at_once() {
        let results = run(&roomy(), &storm(1_000.0), 1);
        assert_eq!(
            (results.events, results.lag.count(), results.parked, results.lost, results.throttled),
            (10_000, 10_000, 0, 0, 0)
        );
        // DynamoDB's latency, 0.8 ms of CPU at a seventh of a vCPU, and some cold starts.
        assert!((8_000..12_000).contains(&results.lag.quantile(0.5).unwrap()), "{:?}", results.lag.quantile(0.5));
        assert_eq!(results.drained_after, Some(0));
    }

    #[test]
    fn events_that_the_table_throttles_are_parked_and_drained_without_loss() {
        // 3,000 lists a second of three write units each. The table accepts 4,000 units.
        let results = run(&roomy(), &storm(3_000.0), 1);
        assert!(results.throttled > 1_000 && results.parked > 1_000, "{results:?}");
        assert_eq!((results.lag.count(), results.lost, results.dead_letters), (10_000, 0, 0));
        assert!(results.drained_after.is_some_and(|drained| drained > SECOND), "{:?}", results.drained_after);
    }

    #[test]
    fn a_warm_table_throttles_almost_no_events() {
        let setup = Setup { customers: WarmThroughput { reads: 12_000.0, writes: 14_000.0 }, ..roomy() };
        let results = run(&setup, &storm(3_000.0), 1);
        // By chance, a partition can get more than its share for a moment.
        assert!(results.parked < 100, "{}", results.parked);
    }

    #[test]
    fn events_that_the_api_refuses_seven_times_are_lost() {
        let setup = Setup { webhook: Throttle { rate: 10.0, burst: 10.0 }, ..roomy() };
        let results = run(&setup, &storm(1_000.0), 1);
        assert_eq!(results.lost + results.lag.count(), 10_000);
        // 10 a second are accepted: in the first ten seconds, and in ten seconds each 30, 60 and 90 seconds later.
        assert!((400..450).contains(&results.lag.count()), "{}", results.lag.count());
        let setup = Setup { webhook: Throttle { rate: 500.0, burst: 1_000.0 }, ..roomy() };
        assert_eq!(run(&setup, &storm(100.0), 1).lost, 0);
    }

    #[test]
    fn events_parked_during_an_outage_are_drained_afterwards() {
        for failure in [Failure::Errors, Failure::NoAnswer] {
            let load = Load { events: 20.0, failure: Some(failure), end: 601 * SECOND, ..QUIET.clone() };
            let results = run(&roomy(), &load, 1);
            assert!((11_500..12_500).contains(&results.parked), "{failure:?}: {}", results.parked);
            assert_eq!((results.lost, results.dead_letters, results.undrained.0), (0, 0, 0), "{failure:?}");
            // The last failed messages are visible again after three minutes.
            assert!(
                results.drained_after.is_some_and(|drained| drained <= 400 * SECOND),
                "{failure:?}: {:?}",
                results.drained_after
            );
        }
    }

    #[test]
    fn without_an_answer_of_the_store_an_event_waits_three_seconds_and_a_check_less_than_one() {
        let load =
            Load { events: 100.0, checks_from_start: 100.0, failure: Some(Failure::NoAnswer), end: 60 * SECOND, ..QUIET.clone() };
        let results = run(&roomy(), &load, 1);
        // 100 × 3 s, 100 × 0.9 s and five batches; more by chance, and during cold starts.
        assert!((390..520).contains(&results.peak_concurrency), "{}", results.peak_concurrency);
        assert_eq!((results.checks.count(), results.checks_failed > 5_000), (0, true));
    }

    #[test]
    fn checks_use_up_the_concurrency_for_events_unless_it_is_reserved() {
        let load =
            Load { events: 20.0, checks_from_start: 500.0, failure: Some(Failure::NoAnswer), end: 601 * SECOND, ..QUIET.clone() };
        let setup = Setup { concurrency: 200, ..roomy() };
        let results = run(&setup, &load, 1);
        assert!(results.refused_by_lambda > 1_000 && results.lost > 0, "{} {}", results.refused_by_lambda, results.lost);
        let results = run(&Setup { webhook_reserved: 100, ..setup }, &load, 1);
        assert_eq!((results.refused_by_lambda, results.lost), (0, 0));
    }

    #[test]
    fn checks_of_one_customer_are_limited_by_its_partition() {
        let load = Load { checks_from_start: 10_000.0, hot_share: 0.5, end: 20 * SECOND, ..QUIET.clone() };
        let customers = WarmThroughput { reads: 60_000.0, writes: 4_000.0 };
        let setup = Setup { customers, table_quota: 1e5, checks_provisioned: 500, ..roomy() };
        assert!(run(&setup, &load, 1).undecided() > 0.05);
        assert!(run(&setup, &Load { hot_share: 0.0, ..load }, 1).undecided() < 0.001);
    }

    #[test]
    fn the_same_seed_gives_the_same_figures() {
        let figures = |seed| {
            let results = run(&Setup::default(), &Load { events: 50.0, ..storm(3_000.0) }, seed);
            (results.throttled, results.parked, results.lost, results.lag.quantile(0.99), results.steps)
        };
        assert_eq!(figures(1), figures(1));
        assert_ne!(figures(1), figures(2));
    }
}
