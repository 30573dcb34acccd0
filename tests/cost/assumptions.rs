//! What is assumed. To put in your own figures, change them here and run
//! `BYOS_BLESS=1 cargo test --workspace --test cost`.

use crate::measured::Kind;

/// How often each thing happens in a month, for each customer.
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

/// Customers of the months that are computed.
pub(crate) const SIZES: [f64; 3] = [1e3, 1e5, 1e7];

/// The busiest moment has this many times the average.
pub(crate) const PEAK: f64 = 4.0;

/// The functions' memory, as in the template; graphql's is another.
pub(crate) const MEMORY_MB: f64 = 128.0;
pub(crate) const GRAPHQL_MEMORY_MB: f64 = 256.0;

/// How much memory brings a whole vCPU; less brings as much less.
pub(crate) const MEMORY_OF_A_VCPU_MB: f64 = 1_769.0;

/// What DynamoDB lets a step of requests wait, which Lambda bills.
pub(crate) const WAIT_MS: f64 = 5.0;

/// CPU time of a request, and of each of its requests to DynamoDB. Chosen to lie well above what
/// `cargo bench -p benchmark` measured of the functions on a whole core (docs/performance.md): 0.32 ms
/// for a check (1 request), 0.35 for customer.updated (1), 0.94 for a customer with subscriptions (3), 20
/// for the README's query with entitlements (64).
pub(crate) const CPU_MS: f64 = 0.3;
pub(crate) const CPU_MS_A_REQUEST: f64 = 0.5;

/// How many times the CPU time of a check a batch of 20 takes. Assumed, not measured.
pub(crate) const CPU_OF_A_BATCH: f64 = 2.0;

/// Of decided checks and of taken events one in so many is logged, as in the template. Queries are logged always.
pub(crate) const CHECK_LOG_SAMPLING: f64 = 100.0;
pub(crate) const EVENT_LOG_SAMPLING: f64 = 1.0;

/// Each environment writes its metrics at most once in so many seconds, with the values of lags beside.
pub(crate) const METRICS_INTERVAL_SECONDS: f64 = 10.0;
pub(crate) const LAG_BYTES: f64 = 6.0;

/// Bytes of a request's line in API Gateway's access log, and of Lambda's own lines on it (start and report). Both
/// are off in the template.
pub(crate) const ACCESS_LOG: f64 = 400.0;
pub(crate) const SYSTEM_LOG: f64 = 450.0;

/// An answer's status line and headers.
pub(crate) const HEADERS: f64 = 500.0;

/// The share of requests that Lambda traces beyond the first of each second, where tracing is on.
pub(crate) const TRACED: f64 = 0.05;

/// The template has as many; the test looks. An alarm is billed by the metrics that it looks at.
pub(crate) const SECRETS: f64 = 3.0;
pub(crate) const ALARM_METRICS: f64 = 19.0;

/// Metrics with their dimensions' values: Events 2 (applied, stale), Decisions 2, EventLag 1, 3 of those that count
/// what went wrong, and the 6 detailed ones that API Gateway sends for POST /webhook.
pub(crate) const METRICS: f64 = 14.0;

/// What MetricsLevel=detailed adds: Events by type 12 (the ten types applied, two stale), Decisions 3 (four reasons
/// instead of one), StoreLatency 3.
pub(crate) const DETAILED_METRICS: f64 = 18.0;

/// Lambda waits for parked events with five pollers, of 20 seconds a request.
pub(crate) const QUEUE_REQUESTS: f64 = 5.0 * 3_600.0 / 20.0 * crate::prices::HOURS;

/// How often an environment reads its secret again.
pub(crate) const SECRET_READS_AN_HOUR: f64 = 12.0;

/// CPU of a request of the Node example, in ms, measured at 16 connections. Its database's is taken to be
/// in it, since Node alone was told to be 6.7 ms of the page's 16.
pub(crate) fn node_cpu_ms(kind: Kind) -> f64 {
    match kind {
        Kind::Check | Kind::CheckOfResource => 0.57,
        Kind::Measurement | Kind::MeasurementWithoutTime => 1.2,
        Kind::OneCustomer => 0.86,
        Kind::Page | Kind::PageWithEntitlements => 16.0,
        // Of customer.updated; for the others there is no figure.
        _ => 0.67,
    }
}

/// The always-on set-up's task, the smallest of Fargate.
pub(crate) const TASK_VCPU: f64 = 0.25;
pub(crate) const TASK_GB: f64 = 0.5;

/// The smallest disk that RDS gives.
pub(crate) const DISK_GB: f64 = 20.0;
