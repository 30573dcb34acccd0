//! The deployment: parameters of template.yaml, the account's quotas, and durations.

use crate::{
    SECOND, Time, limits, milliseconds,
    table::WarmThroughput,
    work::{self, Kind},
};

/// A throttle of API Gateway.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Throttle {
    /// Requests per second.
    pub rate: f64,
    /// Requests at once.
    pub burst: f64,
}

/// Parameters and quotas. The default has the values of template.yaml and AWS's documented quotas.
#[derive(Clone, Debug, PartialEq)]
pub struct Setup {
    /// WebhookRateLimit and WebhookBurstLimit.
    pub webhook: Throttle,
    /// CheckAccessRateLimit and CheckAccessBurstLimit.
    pub checks: Throttle,
    /// The account's quota for API Gateway.
    pub api: Throttle,
    /// The account's quota for concurrent executions.
    pub concurrency: u32,
    /// WebhookReservedConcurrency; 0 reserves none.
    pub webhook_reserved: u32,
    /// CheckAccessReservedConcurrency; 0 reserves none.
    pub checks_reserved: u32,
    /// Provisioned concurrency of check-access.
    pub checks_provisioned: u32,
    /// EventQueueConcurrency: concurrent batches of parked events.
    pub queue_concurrency: u32,
    /// CustomersWarmReads and CustomersWarmWrites.
    pub customers: WarmThroughput,
    /// The same for each of the tables Subscriptions and Receipts.
    pub other_tables: WarmThroughput,
    /// The limits of a partition.
    pub partition: WarmThroughput,
    /// The account's quota for a table, in units per second.
    pub table_quota: f64,
    /// Durations.
    pub times: Times,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            webhook: Throttle { rate: 2_000.0, burst: 2_000.0 },
            checks: Throttle { rate: 500.0, burst: 1_000.0 },
            api: Throttle { rate: limits::API_RATE, burst: limits::API_BURST },
            concurrency: limits::CONCURRENCY,
            webhook_reserved: 0,
            checks_reserved: 0,
            checks_provisioned: 0,
            queue_concurrency: 5,
            customers: WarmThroughput::NEW,
            other_tables: WarmThroughput::NEW,
            partition: WarmThroughput { reads: limits::PARTITION_READS, writes: limits::PARTITION_WRITES },
            table_quota: limits::TABLE_QUOTA,
            times: Times::of_memory(256.0),
        }
    }
}

/// Durations.
#[derive(Clone, Debug, PartialEq)]
pub struct Times {
    /// Quantiles of DynamoDB's latency at equal distances, in milliseconds.
    pub store_ms: Vec<f64>,
    /// CPU time of an invocation without its requests to DynamoDB.
    pub invocation: Time,
    /// CPU time of a request to DynamoDB.
    pub request: Time,
    /// Cold start of an environment.
    pub start: Time,
    /// Latency of SendMessage.
    pub park: Time,
    /// Time between two batches of a poller.
    pub poll: Time,
    /// Visibility timeout of the queue; template.yaml, EventQueue.
    pub visibility: Time,
    /// Stigg's waits before each retry, in seconds.
    pub stigg_retries: [f64; 6],
}

impl Times {
    /// Durations at the share of a vCPU that Lambda gives for this memory.
    pub fn of_memory(megabytes: f64) -> Self {
        let cpu_time = |ms: f64| milliseconds(ms * work::MEMORY_OF_A_VCPU_MB / megabytes);
        Self {
            store_ms: work::STORE_MS.to_vec(),
            invocation: cpu_time(work::CPU_MS),
            request: cpu_time(work::CPU_MS_A_REQUEST),
            start: milliseconds(work::START_MS),
            park: milliseconds(work::QUEUE_MS),
            poll: milliseconds(work::POLL_MS),
            visibility: 180 * SECOND,
            stigg_retries: limits::STIGG_RETRIES,
        }
    }
}

/// The SDK's retries of a request to DynamoDB: shared/runtime/src/aws.rs, and aws-smithy-runtime 1.16.2.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// Maximum number of attempts.
    pub attempts: u8,
    /// Time-out of an attempt.
    pub attempt: Time,
    /// Time-out of all attempts together.
    pub total: Time,
    /// Time-out of all requests of an invocation together. Then an event is parked, a check gets a 503, or a batch ends.
    pub limit: Time,
}

impl RetryPolicy {
    /// Retry tokens of a new environment, and their maximum.
    pub const QUOTA: u32 = 500;
    /// Retry tokens for a retry after throttling.
    pub const THROTTLING_COST: u32 = 5;
    /// Retry tokens for a retry after an error of the service or a time-out.
    pub const FAILURE_COST: u32 = 10;
    /// Maximum of the random wait before the first retry. It doubles with each further retry.
    pub const BACKOFF_MS: f64 = 25.0;

    /// The policy of a kind of request. `is_parked` events come from the queue.
    pub fn of(kind: Kind, is_parked: bool) -> Self {
        let policy = |attempts, [attempt, total, limit]: [f64; 3]| Self {
            attempts,
            attempt: milliseconds(attempt),
            total: milliseconds(total),
            limit: milliseconds(limit),
        };
        match kind {
            Kind::Check => policy(3, [450.0, 900.0, 1_900.0]),
            _ if is_parked => policy(4, [3_000.0, 8_000.0, 25_000.0]),
            _ => policy(4, [3_000.0, 8_000.0, 3_000.0]),
        }
    }
}

/// After this time, no further message of a batch is started; functions/webhook, WRITE_TIME_LIMIT.
pub const BATCH_MS: f64 = 20_000.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{BATCH, MOST_RECEIVES};

    #[test]
    fn the_defaults_match_the_template() {
        let template = include_str!("../../template.yaml");
        let Setup { webhook, checks, customers, other_tables, .. } = Setup::default();
        for (parameter, default) in [
            ("WebhookRateLimit", webhook.rate),
            ("WebhookBurstLimit", webhook.burst),
            ("CheckAccessRateLimit", checks.rate),
            ("CheckAccessBurstLimit", checks.burst),
            ("CheckAccessReservedConcurrency", 0.0),
            ("WebhookReservedConcurrency", 0.0),
            ("EventQueueConcurrency", f64::from(Setup::default().queue_concurrency)),
            ("CustomersWarmReads", customers.reads),
            ("CustomersWarmWrites", customers.writes),
            ("SubscriptionsWarmWrites", other_tables.writes),
            ("WebhookMemory", 256.0),
            ("CheckAccessMemory", 256.0),
        ] {
            let definition = format!("  {parameter}:\n    Type: Number\n    Default: {default}\n");
            assert!(template.contains(&definition), "{parameter}");
        }
        let visibility = Times::of_memory(256.0).visibility / SECOND;
        for line in [
            format!("VisibilityTimeout: {visibility}"),
            format!("maxReceiveCount: {MOST_RECEIVES}"),
            format!("BatchSize: {BATCH}"),
        ] {
            assert_eq!(template.matches(&line).count(), 1, "{line}");
        }
    }
}
