//! What measured requests and assumptions come to, at AWS's prices.

use crate::{
    assumptions::{
        ACCESS_LOG, ALARM_METRICS, CHECK_LOG_SAMPLING, CPU_MS, CPU_MS_A_REQUEST, DETAILED_METRICS, DISK_GB, EVENT_LOG_SAMPLING,
        HEADERS, LAG_BYTES, LOAD, MEMORY_OF_A_VCPU_MB, METRICS, METRICS_INTERVAL_SECONDS, PEAK, QUEUE_REQUESTS,
        SECRET_READS_AN_HOUR, SECRETS, SYSTEM_LOG, TASK_GB, TASK_VCPU, TRACED, WAIT_MS, node_cpu_ms,
    },
    measured::{Function, Kind, Measured, Taken},
    prices::{
        ADDRESS, ALARM, ARM, BALANCER, DASHBOARD, DATABASE, DATABASE_STORAGE, DATABASE_TWO_ZONES, FARGATE_CPU, FARGATE_MEMORY,
        HOURS, HTTP_API_TIERS, INVOCATIONS, LOG_TIERS, LOGS_KEPT, METRIC, PITR, QUEUE, READS, SECRET, SECRET_CALLS, STORAGE,
        TRACES, TRANSFER_TIERS, WRITES, tiered,
    },
};

/// Decisions of a batch.
pub(crate) const BATCH: f64 = 20.0;

/// How checks reach the function.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) name: &'static str,
    /// Through API Gateway.
    gateway: bool,
    /// The answer leaves AWS.
    leaves: bool,
    pub(crate) batched: bool,
}

pub(crate) const API_GATEWAY: Way = Way { name: "API Gateway", gateway: true, leaves: true, batched: false };
pub(crate) const FUNCTION_URL: Way = Way { name: "function URL", gateway: false, leaves: true, batched: false };
pub(crate) const DIRECT: Way = Way { name: "direct invocation", gateway: false, leaves: false, batched: false };

impl Way {
    pub(crate) fn in_batches(self) -> Self {
        Self { batched: true, ..self }
    }

    /// The same load, with checks in batches where this way has them.
    fn load(self) -> Vec<(Kind, f64)> {
        let is_check = |kind: &Kind| self.batched && kind.function() == Function::CheckAccess;
        let checks: f64 = LOAD.iter().filter(|(kind, _)| is_check(kind)).map(|(_, often)| often).sum();
        let others = LOAD.iter().copied().filter(|(kind, _)| !is_check(kind));
        others.chain((checks > 0.0).then_some((Kind::Batch20, checks / BATCH))).collect()
    }
}

/// What the template's parameters choose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) check_log_sampling: f64,
    pub(crate) event_log_sampling: f64,
    pub(crate) access_logs: bool,
    pub(crate) system_logs: bool,
    pub(crate) tracing: bool,
    pub(crate) detailed_metrics: bool,
    pub(crate) dashboard: bool,
}

impl Options {
    pub(crate) const DEFAULT: Self = Self {
        check_log_sampling: CHECK_LOG_SAMPLING,
        event_log_sampling: EVENT_LOG_SAMPLING,
        access_logs: false,
        system_logs: false,
        tracing: false,
        detailed_metrics: false,
        dashboard: false,
    };

    fn log_sampling(&self, function: Function) -> f64 {
        match function {
            Function::Webhook => self.event_log_sampling,
            Function::CheckAccess => self.check_log_sampling,
            Function::Graphql => 1.0,
        }
    }
}

/// A GB, as it is billed at the most.
const GB: f64 = 1e9;

/// API Gateway counts a request anew for each 512 KB of it.
const METERED_BYTES: f64 = 512.0 * 1_024.0;

/// How long a request is billed for: the waits for DynamoDB, and its CPU time on the share of a vCPU
/// that the memory brings. Up to four requests are taken to wait for each other; more go out 32 at once.
pub(crate) fn billed_ms(taken: &Taken) -> f64 {
    let steps = if taken.requests <= 4.0 { taken.requests } else { 4.0 + (taken.requests / 32.0).floor() };
    let cpu = (CPU_MS + CPU_MS_A_REQUEST * taken.requests) * taken.cpu_factor;
    (steps * WAIT_MS + cpu * MEMORY_OF_A_VCPU_MB / taken.memory_mb).ceil()
}

/// The amounts that AWS bills, of a million requests or of a month.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) requests: f64,
    gateway_requests: f64,
    pub(crate) gb_seconds: f64,
    write_units: f64,
    read_units: f64,
    log_gb: f64,
    out_gb: f64,
    traces: f64,
}

impl Usage {
    /// Of so many requests of a kind, with traces and the lines of metrics left out.
    pub(crate) fn of(measured: &Measured, kind: Kind, requests: f64, way: Way, options: &Options) -> Self {
        let taken = &measured.of(kind);
        let function = kind.function();
        let (gateway, leaves) = if function == Function::CheckAccess { (way.gateway, way.leaves) } else { (true, true) };
        let if_so = |holds: bool, amount: f64| if holds { amount } else { 0.0 };
        let line = taken.line / options.log_sampling(function)
            + if_so(options.access_logs && gateway, ACCESS_LOG)
            + if_so(options.system_logs, SYSTEM_LOG);
        Self {
            requests,
            gateway_requests: if_so(gateway, requests * (taken.bytes / METERED_BYTES).ceil()),
            gb_seconds: requests * billed_ms(taken) / 1e3 * taken.memory_mb / 1_024.0,
            write_units: requests * taken.write_units,
            read_units: requests * taken.read_units,
            log_gb: requests * line / GB,
            out_gb: if_so(leaves, requests * (taken.bytes + HEADERS) / GB),
            traces: 0.0,
        }
    }

    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.gateway_requests += other.gateway_requests;
        self.gb_seconds += other.gb_seconds;
        self.write_units += other.write_units;
        self.read_units += other.read_units;
        self.log_gb += other.log_gb;
        self.out_gb += other.out_gb;
        self.traces += other.traces;
    }

    pub(crate) fn bill(&self) -> Bill {
        Bill {
            gateway: tiered(self.gateway_requests, &HTTP_API_TIERS),
            lambda: INVOCATIONS.of(self.requests) + ARM.of(self.gb_seconds),
            dynamodb: WRITES.of(self.write_units) + READS.of(self.read_units),
            // Kept for the template's 30 days, and counted as if nothing was compressed.
            logs: tiered(self.log_gb, &LOG_TIERS) + LOGS_KEPT.of(self.log_gb),
            traces: TRACES.of(self.traces),
            transfer: tiered(self.out_gb, &TRANSFER_TIERS),
        }
    }
}

/// Dollars.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bill {
    pub(crate) gateway: f64,
    pub(crate) lambda: f64,
    pub(crate) dynamodb: f64,
    pub(crate) logs: f64,
    pub(crate) traces: f64,
    pub(crate) transfer: f64,
}

impl Bill {
    pub(crate) fn sum(&self) -> f64 {
        self.gateway + self.lambda + self.dynamodb + self.logs + self.traces + self.transfer
    }
}

/// A million requests of a kind, among many.
pub(crate) fn million(measured: &Measured, kind: Kind, way: Way) -> Bill {
    Usage::of(measured, kind, 1e6, way, &Options::DEFAULT).bill()
}

/// What is billed each month whatever happens.
pub(crate) fn fixed() -> [(&'static str, f64); 4] {
    [
        ("secrets, three", SECRET.of(SECRETS)),
        ("alarms, by the 19 metrics that they look at", ALARM.of(ALARM_METRICS)),
        ("custom metrics, 14, each sent in every hour", METRIC.of(METRICS)),
        ("waiting for parked events", QUEUE.of(QUEUE_REQUESTS)),
    ]
}

/// A month with so many customers.
pub(crate) struct Month {
    pub(crate) usage: Usage,
    pub(crate) bill: Bill,
    pub(crate) fixed: f64,
    pub(crate) storage: f64,
    pub(crate) stored_gb: f64,
    pub(crate) secret_reads: f64,
    /// vCPUs that the Node example and its database keep busy at the peak.
    pub(crate) node_vcpus: f64,
}

impl Month {
    pub(crate) fn of(measured: &Measured, customers: f64) -> Self {
        Self::with(measured, customers, API_GATEWAY, &Options::DEFAULT)
    }

    pub(crate) fn with(measured: &Measured, customers: f64, way: Way, options: &Options) -> Self {
        let seconds = HOURS * 3_600.0;
        let mut usage = Usage::default();
        let mut secret_reads = 0.0;
        for function in [Function::Webhook, Function::CheckAccess, Function::Graphql] {
            let mut own = Usage::default();
            let mut metrics: f64 = 0.0;
            for (kind, often) in way.load().into_iter().filter(|(kind, _)| kind.function() == function) {
                own.add(&Usage::of(measured, kind, customers * often, way, options));
                metrics = metrics.max(measured.of(kind).metrics);
            }
            if options.tracing {
                // The first request of each second is traced, and a share of the others.
                own.traces = own.requests.min(seconds + (own.requests - seconds) * TRACED);
            }
            let busy_seconds = own.gb_seconds / (function.memory_mb() / 1_024.0);
            let environments = (busy_seconds / seconds * PEAK).ceil();
            secret_reads += environments * SECRET_READS_AN_HOUR * HOURS;
            let writes = own.requests.min(environments * seconds / METRICS_INTERVAL_SECONDS);
            let lags = if function == Function::Webhook { own.requests * LAG_BYTES } else { 0.0 };
            own.log_gb += (writes * metrics + lags) / GB;
            usage.add(&own);
        }
        let node_ms: f64 = LOAD.iter().map(|(kind, often)| customers * often * node_cpu_ms(*kind)).sum();
        let mut fixed: f64 = fixed().iter().map(|(_, dollars)| dollars).sum();
        fixed += if options.detailed_metrics { METRIC.of(DETAILED_METRICS) } else { 0.0 };
        fixed += if options.dashboard { DASHBOARD.of(1.0) } else { 0.0 };
        let [tables, indexes] = [measured.stored.tables, measured.stored.indexes].map(|bytes| bytes * customers / GB);
        Self {
            usage,
            bill: usage.bill(),
            fixed,
            storage: STORAGE.of(tables + indexes) + PITR.of(tables),
            stored_gb: tables + indexes,
            secret_reads: SECRET_CALLS.of(secret_reads),
            node_vcpus: node_ms / 1e3 / seconds * PEAK,
        }
    }

    pub(crate) fn sum(&self) -> f64 {
        self.bill.sum() + self.fixed + self.storage + self.secret_reads
    }

    pub(crate) fn requests_a_second(&self) -> f64 {
        self.usage.requests / HOURS / 3_600.0
    }
}

/// The always-on set-up of the Node example, a month: its parts, with one task and a database in one
/// zone, and with two of each.
pub(crate) fn always_on() -> [(&'static str, f64, f64); 5] {
    let task = FARGATE_CPU.of(TASK_VCPU * HOURS) + FARGATE_MEMORY.of(TASK_GB * HOURS);
    let [one, two] = [DATABASE.of(HOURS), DATABASE_TWO_ZONES.of(HOURS)];
    let disk = DATABASE_STORAGE.of(DISK_GB);
    // The load balancer has an address in each of two zones; a task without one would need NAT.
    let address = ADDRESS.of(HOURS);
    [
        ("Fargate, arm64, 0.25 vCPU and 0.5 GB", task, 2.0 * task),
        ("Application Load Balancer, by the hour", BALANCER.of(HOURS), BALANCER.of(HOURS)),
        ("public IPv4 addresses, of the balancer and the tasks", 3.0 * address, 4.0 * address),
        ("RDS for PostgreSQL, db.t4g.micro", one, two),
        ("its disk, 20 GB", disk, 2.0 * disk),
    ]
}

/// A vCPU of Fargate with 2 GB, the least that goes with it, for a month.
pub(crate) fn fargate_vcpu() -> f64 {
    FARGATE_CPU.of(HOURS) + FARGATE_MEMORY.of(2.0 * HOURS)
}

/// All kinds, in the order of the table.
pub(crate) const KINDS: &[Kind] = &[
    Kind::CustomerCreated,
    Kind::CustomerUpdated,
    Kind::CustomerDeleted,
    Kind::SubscriptionCreated,
    Kind::SubscriptionUpdated,
    Kind::SubscriptionCanceled,
    Kind::SubscriptionExpired,
    Kind::SubscriptionTrialExpired,
    Kind::Entitlements1,
    Kind::Entitlements20,
    Kind::Entitlements50,
    Kind::Measurement,
    Kind::MeasurementWithoutTime,
    Kind::Check,
    Kind::CheckOfResource,
    Kind::Batch20,
    Kind::OneCustomer,
    Kind::Page,
    Kind::PageWithEntitlements,
];
