//! What the stack is deployed with: parameters of template.yaml, quotas of the account, and how long things take.

use crate::{
    SECOND, Time, limits, milliseconds,
    table::Warm,
    work::{self, Kind},
};

/// What API Gateway lets through.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Throttle {
    /// Requests a second in the long run.
    pub rate: f64,
    /// Requests at once.
    pub burst: f64,
}

/// Parameters and quotas. The default is template.yaml's in an account of the documented quotas.
#[derive(Clone, Debug, PartialEq)]
pub struct Setup {
    /// WebhookRateLimit and WebhookBurstLimit.
    pub webhook: Throttle,
    /// CheckAccessRateLimit and CheckAccessBurstLimit.
    pub checks: Throttle,
    /// The account's quota for all APIs.
    pub api: Throttle,
    /// The account's quota for concurrent executions.
    pub concurrency: u32,
    /// WebhookReservedConcurrency; 0 reserves none.
    pub webhook_reserved: u32,
    /// CheckAccessReservedConcurrency; 0 reserves none.
    pub checks_reserved: u32,
    /// Environments of check-access that stand ready.
    pub checks_provisioned: u32,
    /// EventQueueConcurrency: batches of parked events at once.
    pub drains: u32,
    /// CustomersWarmReads and CustomersWarmWrites.
    pub customers: Warm,
    /// The subscriptions' and receipts' tables.
    pub others: Warm,
    /// What a partition takes.
    pub partition: Warm,
    /// The account's quota for a table.
    pub table_quota: f64,
    /// How long things take.
    pub times: Times,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            webhook: Throttle { rate: 500.0, burst: 1_000.0 },
            checks: Throttle { rate: 500.0, burst: 1_000.0 },
            api: Throttle { rate: limits::API_RATE, burst: limits::API_BURST },
            concurrency: limits::CONCURRENCY,
            webhook_reserved: 0,
            checks_reserved: 0,
            checks_provisioned: 0,
            drains: 5,
            customers: Warm::NEW,
            others: Warm::NEW,
            partition: Warm { reads: limits::PARTITION_READS, writes: limits::PARTITION_WRITES },
            table_quota: limits::TABLE_QUOTA,
            times: Times::of_memory(128.0),
        }
    }
}

/// How long things take.
#[derive(Clone, Debug, PartialEq)]
pub struct Times {
    /// DynamoDB's answer by quantiles, in milliseconds.
    pub store_ms: Vec<f64>,
    /// CPU beside the requests.
    pub invocation: Time,
    /// CPU of each request to DynamoDB.
    pub request: Time,
    /// The start of an environment.
    pub start: Time,
    /// SQS takes a message.
    pub park: Time,
    /// Between two batches.
    pub poll: Time,
    /// Until a message that was received and not deleted comes again; template.yaml, EventQueue.
    pub visibility: Time,
    /// Until a retry of Stigg's, after each answer.
    pub stigg_retries: [f64; 6],
}

impl Times {
    /// With the share of a vCPU that so many MB bring.
    pub fn of_memory(megabytes: f64) -> Self {
        let stretched = |ms: f64| milliseconds(ms * work::MEMORY_OF_A_VCPU_MB / megabytes);
        Self {
            store_ms: work::STORE_MS.to_vec(),
            invocation: stretched(work::CPU_MS),
            request: stretched(work::CPU_MS_A_REQUEST),
            start: milliseconds(work::START_MS),
            park: milliseconds(work::QUEUE_MS),
            poll: milliseconds(work::POLL_MS),
            visibility: 180 * SECOND,
            stigg_retries: limits::STIGG_RETRIES,
        }
    }
}

/// What the SDK does about a request that fails: shared/runtime/src/aws.rs, and aws-smithy-runtime 1.16.2.
#[derive(Clone, Copy, Debug)]
pub struct Retries {
    /// The most attempts.
    pub attempts: u8,
    /// For one attempt.
    pub attempt: Time,
    /// For all attempts together.
    pub total: Time,
    /// For all requests of an invocation together: until an event is parked, a check is refused, a batch ends.
    pub limit: Time,
}

impl Retries {
    /// What an environment may spend at first, and at most.
    pub const TOKENS: u32 = 500;
    /// What a retry after a refusal costs.
    pub const REFUSED: u32 = 5;
    /// What a retry after an error of the service or no answer costs.
    pub const FAILED: u32 = 10;
    /// The wait before the first retry is random and at most this; it doubles with each.
    pub const BACKOFF_MS: f64 = 25.0;

    /// Of an invocation for this, from the queue or not.
    pub fn of(kind: Kind, is_parked: bool) -> Self {
        let of = |attempts, [attempt, total, limit]: [f64; 3]| Self {
            attempts,
            attempt: milliseconds(attempt),
            total: milliseconds(total),
            limit: milliseconds(limit),
        };
        match kind {
            Kind::Check => of(3, [450.0, 900.0, 1_900.0]),
            _ if is_parked => of(4, [3_000.0, 8_000.0, 25_000.0]),
            _ => of(4, [3_000.0, 8_000.0, 3_000.0]),
        }
    }
}

/// After this no message of a batch is begun; functions/webhook, WRITE_TIME_LIMIT.
pub const BATCH_MS: f64 = 20_000.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{BATCH, MOST_RECEIVES};

    #[test]
    fn the_defaults_are_the_templates() {
        let template = include_str!("../../template.yaml");
        let Setup { webhook, checks, customers, others, .. } = Setup::default();
        for (parameter, default) in [
            ("WebhookRateLimit", webhook.rate),
            ("WebhookBurstLimit", webhook.burst),
            ("CheckAccessRateLimit", checks.rate),
            ("CheckAccessBurstLimit", checks.burst),
            ("CheckAccessReservedConcurrency", 0.0),
            ("WebhookReservedConcurrency", 0.0),
            ("EventQueueConcurrency", f64::from(Setup::default().drains)),
            ("CustomersWarmReads", customers.reads),
            ("CustomersWarmWrites", customers.writes),
            ("SubscriptionsWarmWrites", others.writes),
            ("WebhookMemory", 128.0),
            ("CheckAccessMemory", 128.0),
        ] {
            let written = format!("  {parameter}:\n    Type: Number\n    Default: {default}\n");
            assert!(template.contains(&written), "{parameter}");
        }
        let visibility = Times::of_memory(128.0).visibility / SECOND;
        for line in [
            format!("VisibilityTimeout: {visibility}"),
            format!("maxReceiveCount: {MOST_RECEIVES}"),
            format!("BatchSize: {BATCH}"),
        ] {
            assert_eq!(template.matches(&line).count(), 1, "{line}");
        }
    }
}
