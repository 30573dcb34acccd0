//! Computes bills from measured requests, assumptions and AWS's prices.

use crate::{
    assumptions::{
        ACCESS_LOG_BYTES, ALARM_METRICS, CHECK_LOG_SAMPLING, CPU_MS, CPU_MS_A_REQUEST, DETAILED_METRICS, DISK_GB,
        EVENT_LOG_SAMPLING, HEADER_BYTES, LAG_BYTES, LOAD, MEMORY_OF_A_VCPU_MB, METRICS, METRICS_INTERVAL_SECONDS, PEAK,
        QUEUE_REQUESTS, SECRET_READS_AN_HOUR, SECRETS, SYSTEM_LOG_BYTES, TASK_GB, TASK_VCPU, TRACED_SHARE, WAIT_MS, node_cpu_ms,
    },
    measured::{Function, Kind, Measured, RequestCost},
    prices::{
        ADDRESS, ALARM, ARM, BALANCER, DASHBOARD, DATABASE, DATABASE_STORAGE, DATABASE_TWO_ZONES, FARGATE_CPU, FARGATE_MEMORY,
        HOURS, HTTP_API_TIERS, INVOCATIONS, LOG_TIERS, LOGS_KEPT, METRIC, PITR, QUEUE, READS, SECRET, SECRET_CALLS, STORAGE,
        TRACES, TRANSFER_TIERS, WRITES, tiered,
    },
};

/// Checks per batch.
pub(crate) const BATCH: f64 = 20.0;

/// How checks reach the function.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route {
    pub(crate) name: &'static str,
    uses_api_gateway: bool,
    /// Whether the response is billed as data transfer out of AWS.
    leaves_aws: bool,
    pub(crate) batched: bool,
}

pub(crate) const API_GATEWAY: Route = Route { name: "API Gateway", uses_api_gateway: true, leaves_aws: true, batched: false };
pub(crate) const FUNCTION_URL: Route = Route { name: "function URL", uses_api_gateway: false, leaves_aws: true, batched: false };
pub(crate) const DIRECT: Route = Route { name: "direct invocation", uses_api_gateway: false, leaves_aws: false, batched: false };

impl Route {
    pub(crate) fn in_batches(self) -> Self {
        Self { batched: true, ..self }
    }

    /// The assumed load. If this route is batched, checks are replaced by batches.
    fn load(self) -> Vec<(Kind, f64)> {
        let is_check = |kind: &Kind| self.batched && kind.function() == Function::CheckAccess;
        let checks: f64 = LOAD.iter().filter(|(kind, _)| is_check(kind)).map(|(_, per_month)| per_month).sum();
        let others = LOAD.iter().copied().filter(|(kind, _)| !is_check(kind));
        others.chain((checks > 0.0).then_some((Kind::Batch20, checks / BATCH))).collect()
    }
}

/// Parameters of the template that change the bill.
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

/// Bytes in a GB. AWS bills some services by the larger GiB, so this never underestimates.
const GB: f64 = 1e9;

/// API Gateway bills each 512 KB as a request.
const BILLED_REQUEST_BYTES: f64 = 512.0 * 1_024.0;

/// Billed duration: the waits for DynamoDB, and the CPU time at the function's share of a vCPU. Assumes that the first four
/// requests are sequential, and that further ones run 32 at a time.
pub(crate) fn billed_ms(cost: &RequestCost) -> f64 {
    let steps = if cost.requests <= 4.0 { cost.requests } else { 4.0 + (cost.requests / 32.0).floor() };
    let cpu = (CPU_MS + CPU_MS_A_REQUEST * cost.requests) * cost.cpu_factor;
    (steps * WAIT_MS + cpu * MEMORY_OF_A_VCPU_MB / cost.memory_mb).ceil()
}

/// Billed quantities.
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
    /// The quantities of this number of requests, without traces and metric lines.
    pub(crate) fn of(measured: &Measured, kind: Kind, requests: f64, route: Route, options: &Options) -> Self {
        let cost = &measured.cost_of(kind);
        let function = kind.function();
        let is_check = function == Function::CheckAccess;
        let (gateway, leaves) = (route.uses_api_gateway || !is_check, route.leaves_aws || !is_check);
        let amount_if = |holds: bool, amount: f64| if holds { amount } else { 0.0 };
        let log_bytes = cost.log_bytes / options.log_sampling(function)
            + amount_if(options.access_logs && gateway, ACCESS_LOG_BYTES)
            + amount_if(options.system_logs, SYSTEM_LOG_BYTES);
        Self {
            requests,
            gateway_requests: amount_if(gateway, requests * (cost.response_bytes / BILLED_REQUEST_BYTES).ceil()),
            gb_seconds: requests * billed_ms(cost) / 1e3 * cost.memory_mb / 1_024.0,
            write_units: requests * cost.write_units,
            read_units: requests * cost.read_units,
            log_gb: requests * log_bytes / GB,
            out_gb: amount_if(leaves, requests * (cost.response_bytes + HEADER_BYTES) / GB),
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
            // Kept for 30 days, as in the template. Compression is ignored.
            logs: tiered(self.log_gb, &LOG_TIERS) + LOGS_KEPT.of(self.log_gb),
            traces: TRACES.of(self.traces),
            transfer: tiered(self.out_gb, &TRANSFER_TIERS),
        }
    }
}

/// A bill in dollars.
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

/// The bill of a million requests.
pub(crate) fn bill_of_million(measured: &Measured, kind: Kind, route: Route) -> Bill {
    Usage::of(measured, kind, 1e6, route, &Options::DEFAULT).bill()
}

/// Dollars a month without any request.
pub(crate) fn fixed_costs() -> [(&'static str, f64); 4] {
    [
        ("three secrets", SECRET.of(SECRETS)),
        ("alarms on 19 metrics", ALARM.of(ALARM_METRICS)),
        ("14 custom metrics, sent every hour", METRIC.of(METRICS)),
        ("polling for parked events", QUEUE.of(QUEUE_REQUESTS)),
    ]
}

/// The bill of a month, in dollars.
pub(crate) struct Month {
    pub(crate) usage: Usage,
    pub(crate) bill: Bill,
    pub(crate) fixed: f64,
    pub(crate) storage: f64,
    pub(crate) stored_gb: f64,
    pub(crate) secret_reads: f64,
    /// vCPUs that the Node example and its database need at the peak.
    pub(crate) node_vcpus: f64,
}

impl Month {
    pub(crate) fn of(measured: &Measured, customers: f64) -> Self {
        Self::with(measured, customers, API_GATEWAY, &Options::DEFAULT)
    }

    pub(crate) fn with(measured: &Measured, customers: f64, route: Route, options: &Options) -> Self {
        let seconds = HOURS * 3_600.0;
        let mut usage = Usage::default();
        let mut secret_reads = 0.0;
        for function in [Function::Webhook, Function::CheckAccess, Function::Graphql] {
            let mut subtotal = Usage::default();
            let mut metric_bytes: f64 = 0.0;
            for (kind, per_month) in route.load().into_iter().filter(|(kind, _)| kind.function() == function) {
                subtotal.add(&Usage::of(measured, kind, customers * per_month, route, options));
                metric_bytes = metric_bytes.max(measured.cost_of(kind).metric_bytes);
            }
            if options.tracing {
                // X-Ray traces the first request of each second, and a share of the others.
                subtotal.traces = subtotal.requests.min(seconds + (subtotal.requests - seconds) * TRACED_SHARE);
            }
            let busy_seconds = subtotal.gb_seconds / (function.memory_mb() / 1_024.0);
            let environments = (busy_seconds / seconds * PEAK).ceil();
            secret_reads += environments * SECRET_READS_AN_HOUR * HOURS;
            let writes = subtotal.requests.min(environments * seconds / METRICS_INTERVAL_SECONDS);
            let lag_bytes = if function == Function::Webhook { subtotal.requests * LAG_BYTES } else { 0.0 };
            subtotal.log_gb += (writes * metric_bytes + lag_bytes) / GB;
            usage.add(&subtotal);
        }
        let node_ms: f64 = LOAD.iter().map(|(kind, per_month)| customers * per_month * node_cpu_ms(*kind)).sum();
        let mut fixed: f64 = fixed_costs().iter().map(|(_, dollars)| dollars).sum();
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

/// The Node example on always-on machines: each part in dollars a month, with one task and a database in one zone, and with
/// two of each.
pub(crate) fn always_on() -> [(&'static str, f64, f64); 5] {
    let task = FARGATE_CPU.of(TASK_VCPU * HOURS) + FARGATE_MEMORY.of(TASK_GB * HOURS);
    let [one, two] = [DATABASE.of(HOURS), DATABASE_TWO_ZONES.of(HOURS)];
    let disk = DATABASE_STORAGE.of(DISK_GB);
    // The load balancer has an address in each of two zones. A task without an address would need NAT.
    let address = ADDRESS.of(HOURS);
    [
        ("Fargate, arm64, 0.25 vCPU and 0.5 GB", task, 2.0 * task),
        ("Application Load Balancer, by the hour", BALANCER.of(HOURS), BALANCER.of(HOURS)),
        ("public IPv4 addresses, of the balancer and the tasks", 3.0 * address, 4.0 * address),
        ("RDS for PostgreSQL, db.t4g.micro", one, two),
        ("its disk, 20 GB", disk, 2.0 * disk),
    ]
}

/// Dollars a month for a vCPU of Fargate with 2 GB, its minimum.
pub(crate) fn fargate_vcpu() -> f64 {
    FARGATE_CPU.of(HOURS) + FARGATE_MEMORY.of(2.0 * HOURS)
}

/// All kinds, in the order of the table per million requests.
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
