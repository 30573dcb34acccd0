//! The assumptions of docs/cost.md. To compute with your own figures, change them here and run
//! `BYOS_BLESS=1 cargo test --workspace --test cost`.

use crate::measured::Kind;

/// Requests per customer and month.
pub(crate) const LOAD: &[(Kind, f64)] = &[
    (Kind::CustomerCreated, 0.05),
    (Kind::CustomerUpdated, 0.5),
    (Kind::CustomerDeleted, 0.02),
    (Kind::SubscriptionCreated, 0.06),
    (Kind::SubscriptionUpdated, 1.0),
    (Kind::SubscriptionCanceled, 0.03),
    (Kind::SubscriptionExpired, 0.02),
    (Kind::SubscriptionTrialExpired, 0.02),
    (Kind::Entitlements20, 3.0),
    (Kind::Measurement, 57.0),
    (Kind::MeasurementWithoutTime, 3.0),
    (Kind::Check, 570.0),
    (Kind::CheckOfResource, 30.0),
    (Kind::OneCustomer, 1.0),
    (Kind::Page, 0.04),
    (Kind::PageWithEntitlements, 0.01),
];

/// Numbers of customers.
pub(crate) const SIZES: [f64; 3] = [1e3, 1e5, 1e7];

/// Ratio of the load's peak to its average.
pub(crate) const PEAK: f64 = 4.0;

/// Memory of webhook and check-access, as in the template.
pub(crate) const MEMORY_MB: f64 = 256.0;
pub(crate) const GRAPHQL_MEMORY_MB: f64 = 512.0;

/// Memory at which Lambda gives a whole vCPU. The share of a vCPU is proportional to the memory.
pub(crate) const MEMORY_OF_A_VCPU_MB: f64 = 1_769.0;

/// Wait for DynamoDB per step of concurrent requests. Lambda bills it.
pub(crate) const WAIT_MS: f64 = 5.0;

/// CPU time of an invocation on a whole vCPU, without and per request to DynamoDB. Well above the measurements of
/// `cargo bench -p benchmark` (docs/performance.md): 0.3 ms for a check (1 request), 0.3 for customer.updated (1), 0.9 for
/// a customer with subscriptions (3), 7 for the README's query with entitlements (14).
pub(crate) const CPU_MS: f64 = 0.3;
pub(crate) const CPU_MS_A_REQUEST: f64 = 0.5;

/// CPU time of a batch of 20 checks, relative to one check. Measured: 1.28.
pub(crate) const CPU_OF_A_BATCH: f64 = 1.5;

/// One in this many decided checks and accepted events is logged, as in the template. All queries are logged.
pub(crate) const CHECK_LOG_SAMPLING: f64 = 100.0;
pub(crate) const EVENT_LOG_SAMPLING: f64 = 1.0;

/// Each environment writes its metrics at most this often. Each event adds the bytes of its lag to the line.
pub(crate) const METRICS_INTERVAL_SECONDS: f64 = 10.0;
pub(crate) const LAG_BYTES: f64 = 6.0;

/// Bytes per request in API Gateway's access log, and of Lambda's own lines (start and report). Both logs are off in the
/// template.
pub(crate) const ACCESS_LOG_BYTES: f64 = 400.0;
pub(crate) const SYSTEM_LOG_BYTES: f64 = 450.0;

/// Status line and headers of a response.
pub(crate) const HEADER_BYTES: f64 = 500.0;

/// Share of requests that Lambda traces if tracing is on, besides the first of each second.
pub(crate) const TRACED_SHARE: f64 = 0.05;

/// As in the template, which a test checks. Alarms are billed by the metrics they watch.
pub(crate) const SECRETS: f64 = 3.0;
pub(crate) const ALARM_METRICS: f64 = 19.0;

/// Metrics, counted by values of dimensions: Events 2 (applied, stale), Decisions 2, EventLag 1, 3 for errors, and the 6
/// detailed ones that API Gateway sends for POST /webhook.
pub(crate) const METRICS: f64 = 14.0;

/// Additional metrics with MetricsLevel=detailed: Events by type 12 (ten types applied, two stale), Decisions 3 (four reasons
/// instead of one), StoreLatency 3.
pub(crate) const DETAILED_METRICS: f64 = 18.0;

/// Requests a month of Lambda's five pollers of the event queue. Each long poll lasts 20 seconds.
pub(crate) const QUEUE_REQUESTS: f64 = 5.0 * 3_600.0 / 20.0 * crate::prices::HOURS;

/// Secret reads of an environment.
pub(crate) const SECRET_READS_AN_HOUR: f64 = 12.0;

/// CPU time of a request to the Node example in ms, measured at 16 connections. It is assumed to include the database's,
/// since Node alone took 6.7 of the page's 16 ms.
pub(crate) fn node_cpu_ms(kind: Kind) -> f64 {
    match kind {
        Kind::Check | Kind::CheckOfResource => 0.57,
        Kind::Measurement | Kind::MeasurementWithoutTime => 1.2,
        Kind::OneCustomer => 0.86,
        Kind::Page | Kind::PageWithEntitlements => 16.0,
        // Measured for customer.updated, and assumed for the others.
        _ => 0.67,
    }
}

/// The smallest Fargate task.
pub(crate) const TASK_VCPU: f64 = 0.25;
pub(crate) const TASK_GB: f64 = 0.5;

/// The smallest disk of RDS.
pub(crate) const DISK_GB: f64 = 20.0;
