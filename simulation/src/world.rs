//! What happens, one event after the other.

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
    setup::{BATCH_MS, Retries, Setup, Throttle},
    table::Table,
    work::{Kind, TableName},
};

/// How DynamoDB fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It answers with an error at once.
    Errors,
    /// It does not answer.
    Silence,
}

/// What comes in.
#[derive(Clone, Debug)]
pub struct Load {
    /// Customers with numbers below this.
    pub customers: u32,
    /// Checks a second, of customers at random.
    pub checks: f64,
    /// From the begin on, so many instead.
    pub checks_from_begin: f64,
    /// This share of the checks is of one customer.
    pub hot: f64,
    /// Events a second as on any day.
    pub events: f64,
    /// Stigg sends these for each customer, from the begin on.
    pub storm: &'static [Kind],
    /// Of those it sends so many a second.
    pub storm_rate: f64,
    /// DynamoDB fails so, from the begin to the end.
    pub failure: Option<Failure>,
    /// When it begins.
    pub begin: Time,
    /// When the failure, or the checks, end; a storm ends by itself.
    pub end: Time,
    /// How long it is watched after that at most.
    pub after: Time,
}

/// What was seen from the begin on, in the storm and after it.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Events that Stigg sent.
    pub events: u64,
    /// Deliveries that API Gateway refused.
    pub refused_by_api: u64,
    /// Deliveries that found no environment.
    pub refused_by_lambda: u64,
    /// Requests that DynamoDB throttled, checks' included.
    pub throttled: u64,
    /// Events that were parked.
    pub parked: u64,
    /// The most that were parked at once.
    pub most_waiting: usize,
    /// Dead letters.
    pub dead: u64,
    /// Events that Stigg gave up.
    pub lost: u64,
    /// From an event's first delivery until it was applied.
    pub lag: Histogram,
    /// From the end until no event waited any more; None if some still did.
    pub drained: Option<Time>,
    /// How many still waited, and how many a second were drained in the last ten minutes.
    pub left: (usize, f64),
    /// Checks until the end that were answered, and how long they took.
    pub checks: Histogram,
    /// Checks that API Gateway refused: 429.
    pub checks_refused_by_api: u64,
    /// That found no environment: 503.
    pub checks_refused_by_lambda: u64,
    /// That DynamoDB did not answer: 503.
    pub checks_failed: u64,
    /// Executions at once.
    pub most_concurrent: u32,
    /// Simulated steps.
    pub steps: u64,
}

impl Seen {
    /// The share of the checks that got no decision.
    pub fn undecided(&self) -> f64 {
        let refused = self.checks_refused_by_api + self.checks_refused_by_lambda + self.checks_failed;
        refused as f64 / (refused + self.checks.count()).max(1) as f64
    }
}

/// Where an invocation comes from.
#[derive(Debug)]
enum Source {
    Check,
    /// Stigg, for the n-th time.
    Stigg(u8),
    /// The queue: the slot of the poller, when the batch was received, and what of it is left to do, the next last.
    Queue {
        slot: u32,
        received: Time,
        left: Vec<Message>,
    },
}

/// How an invocation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Applied,
    StoreFailed,
}

#[derive(Debug)]
struct Job {
    kind: Kind,
    customer: u32,
    /// When it first came.
    first: Time,
    source: Source,
    environment: Environment,
    /// When the invocation began.
    begun: Time,
    /// The request that is under way, its attempts, when its first was made.
    step: u8,
    attempts: u8,
    step_begun: Time,
    /// What the last retry cost.
    paid: u32,
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Check,
    Event,
    Storm,
    Begin(u32),
    Request(u32),
    End(u32),
    Poll(u32),
    Wake,
}

struct World<'a> {
    setup: &'a Setup,
    load: &'a Load,
    random: Random,
    now: Time,
    upcoming: BinaryHeap<Reverse<(Time, u64, What)>>,
    order: u64,
    jobs: Vec<Option<Job>>,
    free: Vec<u32>,
    api: Bucket,
    routes: [Bucket; 2],
    functions: [Function; 2],
    /// The account's, and the functions' own where they have a reserved share.
    shared: Pool,
    reserved: [Option<Pool>; 2],
    tables: [Table; 3],
    queue: Queue,
    idle: Vec<u32>,
    storm_sent: u64,
    storm_total: u64,
    /// When the storm ended, or the failure.
    ended: Option<Time>,
    /// Deliveries that Stigg will make again.
    pending: u64,
    draining: u32,
    drained_at: Time,
    /// Messages that were drained in each minute.
    drained: Vec<u64>,
    seen: Seen,
}

/// The function of a kind of work.
fn function_of(kind: Kind) -> usize {
    usize::from(kind == Kind::Check)
}

/// Runs it.
pub fn run(setup: &Setup, load: &Load, seed: u64) -> Seen {
    let mut world = World::new(setup, load, seed);
    world.run();
    world.seen()
}

impl<'a> World<'a> {
    fn new(setup: &'a Setup, load: &'a Load, seed: u64) -> Self {
        let bucket = |throttle: Throttle| Bucket::new(throttle.rate, throttle.burst);
        let reserved = [setup.webhook_reserved, setup.checks_reserved];
        let table = |warm| Table::of_partitions(warm, setup.partition, setup.table_quota);
        Self {
            setup,
            load,
            random: Random::new(seed),
            now: 0,
            upcoming: BinaryHeap::new(),
            order: 0,
            jobs: Vec::new(),
            free: Vec::new(),
            api: bucket(setup.api),
            routes: [bucket(setup.webhook), bucket(setup.checks)],
            functions: [Function::new(0), Function::new(setup.checks_provisioned)],
            shared: Pool::new(setup.concurrency.saturating_sub(reserved.iter().sum())),
            reserved: reserved.map(|share| (share > 0).then(|| Pool::new(share))),
            tables: [table(setup.customers), table(setup.others), table(setup.others)],
            queue: Queue::default(),
            idle: (0..setup.drains).collect(),
            storm_sent: 0,
            storm_total: u64::from(load.customers) * load.storm.len() as u64,
            ended: None,
            pending: 0,
            draining: 0,
            drained_at: 0,
            drained: Vec::new(),
            seen: Seen::default(),
        }
    }

    fn run(&mut self) {
        if self.load.checks.max(self.load.checks_from_begin) > 0.0 {
            self.at(0, What::Check);
        }
        if self.load.events > 0.0 {
            self.at(0, What::Event);
        }
        if self.storm_total > 0 {
            self.at(self.load.begin, What::Storm);
        }
        while let Some(Reverse((at, _, what))) = self.upcoming.pop() {
            self.now = at;
            if self.storm_total == 0 && at >= self.load.end {
                self.ended.get_or_insert(self.load.end);
            }
            if self.is_over() {
                break;
            }
            self.seen.steps += 1;
            match what {
                What::Check => self.check_comes(),
                What::Event => self.event_comes(),
                What::Storm => self.storm_comes(),
                What::Begin(job) => self.begin(job),
                What::Request(job) => self.request(job),
                What::End(job) => self.end(job),
                What::Poll(slot) => self.poll(slot),
                What::Wake => self.wake(),
            }
        }
    }

    /// Once all is done, and Stigg's tries are over too; or after the time that it is watched.
    fn is_over(&self) -> bool {
        let Some(ended) = self.ended else { return false };
        let is_done = self.queue.is_empty() && self.draining == 0 && self.pending == 0 && self.now > ended + 5 * SECOND;
        is_done || self.now >= ended + self.load.after
    }

    fn at(&mut self, at: Time, what: What) {
        self.order += 1;
        self.upcoming.push(Reverse((at, self.order, what)));
    }

    /// Whether it is the time that is reported on.
    fn counts(&self) -> bool {
        self.now >= self.load.begin
    }

    fn put(&mut self, job: Job) -> u32 {
        if let Some(place) = self.free.pop() {
            self.jobs[place as usize] = Some(job);
            return place;
        }
        self.jobs.push(Some(job));
        self.jobs.len() as u32 - 1
    }

    fn remove(&mut self, place: u32) -> Option<Job> {
        self.free.push(place);
        self.jobs[place as usize].take()
    }

    /// A job that comes now.
    fn job(&self, kind: Kind, customer: u32, source: Source) -> Job {
        let Self { now, .. } = *self;
        Job {
            kind,
            customer,
            first: now,
            source,
            environment: 0,
            begun: now,
            step: 0,
            attempts: 0,
            step_begun: now,
            paid: 0,
            end: End::Applied,
        }
    }

    fn next_after(&mut self, rate: f64) -> Time {
        self.now + seconds(self.random.exponential() / rate).max(1)
    }

    fn check_comes(&mut self) {
        let rate = if self.counts() { self.load.checks_from_begin } else { self.load.checks };
        if rate <= 0.0 {
            return self.at(self.load.begin.max(self.now + SECOND), What::Check);
        }
        let next = self.next_after(rate);
        self.at(next, What::Check);
        let is_hot = self.load.hot > 0.0 && self.random.unit() < self.load.hot;
        let customer = if is_hot { 0 } else { self.random.below(self.load.customers) };
        let job = self.job(Kind::Check, customer, Source::Check);
        let place = self.put(job);
        self.begin(place);
    }

    fn event_comes(&mut self) {
        let next = self.next_after(self.load.events);
        self.at(next, What::Event);
        let kind = Kind::of_a_day(&mut self.random);
        let customer = self.random.below(self.load.customers);
        self.deliver(kind, customer);
    }

    fn storm_comes(&mut self) {
        let kinds = self.load.storm;
        let customers = u64::from(self.load.customers);
        // All customers' first, then all customers' second.
        let (kind, customer) = (kinds[(self.storm_sent / customers) as usize], self.storm_sent % customers);
        self.storm_sent += 1;
        if self.storm_sent < self.storm_total {
            self.at(self.load.begin + seconds(self.storm_sent as f64 / self.load.storm_rate), What::Storm);
        } else {
            self.ended = Some(self.now);
        }
        self.deliver(kind, customer as u32);
    }

    fn deliver(&mut self, kind: Kind, customer: u32) {
        self.seen.events += u64::from(self.counts());
        let job = self.job(kind, customer, Source::Stigg(1));
        let place = self.put(job);
        self.begin(place);
    }

    /// The request comes in: through API Gateway, to an environment, to DynamoDB.
    fn begin(&mut self, place: u32) {
        let now = self.now;
        let counts = self.counts();
        let Some(job) = &mut self.jobs[place as usize] else { return };
        let function = function_of(job.kind);
        let is_queued = matches!(job.source, Source::Queue { .. });
        if let Source::Stigg(2..) = job.source {
            self.pending -= 1;
        }
        let is_let_in = is_queued || (self.routes[function].take(now, 1.0) && self.api.take(now, 1.0));
        if !is_let_in {
            let is_check = function == 1;
            self.seen.refused_by_api += u64::from(counts && !is_check);
            self.seen.checks_refused_by_api += u64::from(counts && is_check && self.ended.is_none());
            return self.refused(place);
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
            Started::Throttled if is_queued => return self.at(now + SECOND, What::Begin(place)),
            Started::Throttled => {
                let is_check = function == 1;
                self.seen.refused_by_lambda += u64::from(counts && !is_check);
                self.seen.checks_refused_by_lambda += u64::from(counts && is_check && self.ended.is_none());
                return self.refused(place);
            }
        };
        (job.begun, job.step, job.attempts, job.step_begun) = (ready, 0, 0, ready);
        if ready == now { self.request(place) } else { self.at(ready, What::Request(place)) }
    }

    /// The caller got no answer of the function's.
    fn refused(&mut self, place: u32) {
        let retries = self.setup.times.stigg_retries;
        let Some(job) = &mut self.jobs[place as usize] else { return };
        match &mut job.source {
            Source::Stigg(count) if usize::from(*count) <= retries.len() => {
                let wait = seconds(retries[usize::from(*count) - 1]);
                *count += 1;
                self.pending += 1;
                self.at(self.now + wait, What::Begin(place));
            }
            Source::Stigg(_) => {
                self.seen.lost += u64::from(job.first >= self.load.begin);
                self.remove(place);
            }
            _ => {
                self.remove(place);
            }
        }
    }

    fn failure(&self) -> Option<Failure> {
        self.load.failure.filter(|_| (self.load.begin..self.load.end).contains(&self.now))
    }

    /// An attempt at the request that is to be made next.
    fn request(&mut self, place: u32) {
        let (now, failure) = (self.now, self.failure());
        let counts = self.counts();
        let waited = milliseconds(self.random.of_quantiles(&self.setup.times.store_ms));
        let Some(job) = &mut self.jobs[place as usize] else { return };
        let requests = job.kind.requests();
        let (table, units) = requests[usize::from(job.step)];
        let retries = Retries::of(job.kind, matches!(job.source, Source::Queue { .. }));
        let limit = (job.step_begun + retries.total).min(job.begun + retries.limit);
        let function = function_of(job.kind);
        job.attempts += 1;
        // The time before the first request passes here, after it: it is the same in all.
        let before = if job.step == 0 && job.attempts == 1 { self.setup.times.invocation } else { 0 };
        let answered = now + before + self.setup.times.request + waited;
        let (answered, cost) = match failure {
            Some(Failure::Silence) => ((now + retries.attempt).min(limit), Retries::FAILED),
            Some(Failure::Errors) => (answered, Retries::FAILED),
            None => {
                let table = match table {
                    TableName::Customers => 0,
                    TableName::Subscriptions => 1,
                    TableName::Receipts => 2,
                };
                // Subscriptions and receipts have keys of their own.
                let hash = mix(u64::from(job.customer) + ((table as u64) << 40));
                if self.tables[table].take(now, hash, units) {
                    let back = if job.attempts > 1 { job.paid } else { 1 };
                    self.functions[function].earn(job.environment, back);
                    (job.step, job.attempts, job.step_begun) = (job.step + 1, 0, answered);
                    if usize::from(job.step) < requests.len() {
                        return self.at(answered, What::Request(place));
                    }
                    job.end = End::Applied;
                    return self.at(answered, What::End(place));
                }
                self.seen.throttled += u64::from(counts);
                (answered, Retries::REFUSED)
            }
        };
        let backoff = Retries::BACKOFF_MS * f64::from(1_u32 << (job.attempts - 1).min(16)) * self.random.unit();
        let again = answered + milliseconds(backoff);
        let may_retry = job.attempts < retries.attempts && answered < limit;
        if may_retry && self.functions[function].pay(job.environment, cost) {
            job.paid = cost;
            if again < limit {
                return self.at(again, What::Request(place));
            }
            job.end = End::StoreFailed;
            return self.at(limit, What::End(place));
        }
        job.end = End::StoreFailed;
        let parking = if matches!(job.source, Source::Stigg(_)) { self.setup.times.park } else { 0 };
        self.at(answered + parking, What::End(place));
    }

    /// The invocation ends, or a message of a batch does.
    fn end(&mut self, place: u32) {
        let now = self.now;
        if let Some(job) = &mut self.jobs[place as usize]
            && let Source::Queue { left, .. } = &mut job.source
            && job.end == End::Applied
        {
            if let Some(done) = left.pop()
                && u64::from(done.first) * 1_000 >= self.load.begin
            {
                self.seen.lag.add(now - u64::from(done.first) * 1_000);
            }
            let minute = (now / (60 * SECOND)) as usize;
            if self.drained.len() <= minute {
                self.drained.resize(minute + 1, 0);
            }
            self.drained[minute] += 1;
            if let Some(next) = left.last()
                && now < job.begun + milliseconds(BATCH_MS)
            {
                (job.kind, job.customer, job.step, job.attempts, job.step_begun) = (next.kind, next.customer, 0, 0, now);
                return self.request(place);
            }
        }
        let Some(job) = self.remove(place) else { return };
        let function = function_of(job.kind);
        let pool = self.reserved[function].as_mut().unwrap_or(&mut self.shared);
        self.functions[function].end(job.environment, pool);
        match job.source {
            Source::Check => {
                if job.first >= self.load.begin && self.ended.is_none() {
                    match job.end {
                        End::Applied => self.seen.checks.add(now - job.first),
                        End::StoreFailed => self.seen.checks_failed += 1,
                    }
                }
            }
            Source::Stigg(_) if job.end == End::Applied => {
                if job.first >= self.load.begin {
                    self.seen.lag.add(now - job.first);
                }
            }
            Source::Stigg(_) => {
                self.seen.parked += u64::from(job.first >= self.load.begin);
                let first = (job.first / 1_000) as u32;
                self.queue.park(Message { customer: job.customer, first, kind: job.kind, receives: 0 });
                self.wake();
            }
            Source::Queue { slot, received, left } => {
                self.draining -= 1;
                if !left.is_empty() {
                    let visible = (received + self.setup.times.visibility).max(now);
                    self.queue.give_back(visible, left);
                    self.at(visible, What::Wake);
                }
                if self.queue.is_empty() && self.draining == 0 {
                    self.drained_at = now;
                }
                self.at(now + self.setup.times.poll, What::Poll(slot));
            }
        }
    }

    /// A poller that waits looks into the queue.
    fn wake(&mut self) {
        if let Some(slot) = self.idle.pop() {
            self.poll(slot);
        }
    }

    fn poll(&mut self, slot: u32) {
        let mut left = self.queue.receive(self.now);
        left.reverse();
        let Some(first) = left.last().copied() else { return self.idle.push(slot) };
        self.draining += 1;
        let job = self.job(first.kind, first.customer, Source::Queue { slot, received: self.now, left });
        let place = self.put(job);
        self.begin(place);
    }

    fn seen(mut self) -> Seen {
        let ended = self.ended.unwrap_or(self.now);
        let waiting = self.queue.len() + self.draining as usize * crate::queue::BATCH;
        let last: u64 = self.drained.iter().rev().skip(1).take(10).sum();
        self.seen.left = (waiting, last as f64 / 600.0);
        self.seen.drained = (waiting == 0).then(|| self.drained_at.saturating_sub(ended));
        self.seen.most_waiting = self.queue.most;
        self.seen.dead = self.queue.dead;
        let own: u32 = self.reserved.iter().flatten().map(Pool::most).sum();
        self.seen.most_concurrent = self.shared.most() + own;
        self.seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Warm;

    const QUIET: Load = Load {
        customers: 10_000,
        checks: 0.0,
        checks_from_begin: 0.0,
        hot: 0.0,
        events: 0.0,
        storm: &[],
        storm_rate: 1.0,
        failure: None,
        begin: SECOND,
        end: SECOND,
        after: 7_200 * SECOND,
    };

    fn storm(rate: f64) -> Load {
        Load { storm: &[Kind::List], storm_rate: rate, ..QUIET.clone() }
    }

    fn roomy() -> Setup {
        let much = Throttle { rate: 1e5, burst: 1e5 };
        Setup { webhook: much, checks: much, api: much, concurrency: 20_000, ..Setup::default() }
    }

    #[test]
    fn a_storm_within_all_limits_is_applied_at_once() {
        let seen = run(&roomy(), &storm(1_000.0), 1);
        assert_eq!((seen.events, seen.lag.count(), seen.parked, seen.lost, seen.throttled), (10_000, 10_000, 0, 0, 0));
        // The wait for DynamoDB, and 0.8 ms of CPU at a fourteenth of a vCPU; a start for some.
        assert!((14_000..18_000).contains(&seen.lag.quantile(0.5).unwrap()), "{:?}", seen.lag.quantile(0.5));
        assert_eq!(seen.drained, Some(0));
    }

    #[test]
    fn what_the_table_does_not_take_is_parked_and_drained_and_nothing_is_lost() {
        // 3,000 lists of three units a second; the table takes 4,000 units.
        let seen = run(&roomy(), &storm(3_000.0), 1);
        assert!(seen.throttled > 1_000 && seen.parked > 1_000, "{seen:?}");
        assert_eq!((seen.lag.count(), seen.lost, seen.dead), (10_000, 0, 0));
        assert!(seen.drained.is_some_and(|drained| drained > SECOND), "{:?}", seen.drained);
    }

    #[test]
    fn a_warm_table_parks_nothing() {
        let setup = Setup { customers: Warm { reads: 12_000.0, writes: 14_000.0 }, ..roomy() };
        let seen = run(&setup, &storm(3_000.0), 1);
        // By chance some partition gets more than its part for a moment.
        assert!(seen.parked < 100, "{}", seen.parked);
    }

    #[test]
    fn what_the_api_refuses_seven_times_is_lost() {
        let setup = Setup { webhook: Throttle { rate: 10.0, burst: 10.0 }, ..roomy() };
        let seen = run(&setup, &storm(1_000.0), 1);
        assert_eq!(seen.lost + seen.lag.count(), 10_000);
        // 10 a second, in the ten seconds of the first tries and in each ten 30, 60 and 90 seconds later.
        assert!((400..450).contains(&seen.lag.count()), "{}", seen.lag.count());
        let setup = Setup { webhook: Throttle { rate: 500.0, burst: 1_000.0 }, ..roomy() };
        assert_eq!(run(&setup, &storm(100.0), 1).lost, 0);
    }

    #[test]
    fn an_outage_parks_what_comes_and_drains_it_afterwards() {
        for failure in [Failure::Errors, Failure::Silence] {
            let load = Load { events: 20.0, failure: Some(failure), end: 601 * SECOND, ..QUIET.clone() };
            let seen = run(&roomy(), &load, 1);
            assert!((11_500..12_500).contains(&seen.parked), "{failure:?}: {}", seen.parked);
            assert_eq!((seen.lost, seen.dead, seen.left.0), (0, 0, 0), "{failure:?}");
            // What failed last comes again after three minutes.
            assert!(seen.drained.is_some_and(|drained| drained <= 400 * SECOND), "{failure:?}: {:?}", seen.drained);
        }
    }

    #[test]
    fn a_silent_store_holds_an_event_for_three_seconds_and_a_check_for_less_than_one() {
        let load =
            Load { events: 100.0, checks_from_begin: 100.0, failure: Some(Failure::Silence), end: 60 * SECOND, ..QUIET.clone() };
        let seen = run(&roomy(), &load, 1);
        // 100 × 3 s, 100 × 0.9 s, five batches; some more by chance, and while environments start.
        assert!((390..520).contains(&seen.most_concurrent), "{}", seen.most_concurrent);
        assert_eq!((seen.checks.count(), seen.checks_failed > 5_000), (0, true));
    }

    #[test]
    fn checks_take_the_environments_of_events_unless_those_have_their_own() {
        let load =
            Load { events: 20.0, checks_from_begin: 500.0, failure: Some(Failure::Silence), end: 601 * SECOND, ..QUIET.clone() };
        let setup = Setup { concurrency: 200, ..roomy() };
        let seen = run(&setup, &load, 1);
        assert!(seen.refused_by_lambda > 1_000 && seen.lost > 0, "{} {}", seen.refused_by_lambda, seen.lost);
        let seen = run(&Setup { webhook_reserved: 100, ..setup }, &load, 1);
        assert_eq!((seen.refused_by_lambda, seen.lost), (0, 0));
    }

    #[test]
    fn a_hot_customer_is_throttled_by_one_partition() {
        let load = Load { checks_from_begin: 10_000.0, hot: 0.5, end: 20 * SECOND, ..QUIET.clone() };
        let customers = Warm { reads: 60_000.0, writes: 4_000.0 };
        let setup = Setup { customers, table_quota: 1e5, checks_provisioned: 500, ..roomy() };
        assert!(run(&setup, &load, 1).undecided() > 0.05);
        assert!(run(&setup, &Load { hot: 0.0, ..load }, 1).undecided() < 0.001);
    }

    #[test]
    fn the_same_seed_gives_the_same_figures() {
        let figures = |seed| {
            let seen = run(&Setup::default(), &Load { events: 50.0, ..storm(3_000.0) }, seed);
            (seen.throttled, seen.parked, seen.lost, seen.lag.quantile(0.99), seen.steps)
        };
        assert_eq!(figures(1), figures(1));
        assert_ne!(figures(1), figures(2));
    }
}
