//! AWS's documented limits, and Stigg's. November 2026.

/// Units a second of a partition.
///
/// Source: DynamoDB Developer Guide, "Best practices for designing and using partition keys effectively".
pub const PARTITION_WRITES: f64 = 1_000.0;
/// See [`PARTITION_WRITES`].
pub const PARTITION_READS: f64 = 3_000.0;

/// Units a second that a new on-demand table takes.
///
/// Source: DynamoDB Developer Guide, "DynamoDB on-demand capacity mode", initial throughput.
pub const NEW_TABLE_WRITES: f64 = 4_000.0;
/// See [`NEW_TABLE_WRITES`].
pub const NEW_TABLE_READS: f64 = 12_000.0;

/// Units a second that an account lets a table take, reads and writes each, until more is asked for.
///
/// Source: the same page, and "Quotas in Amazon DynamoDB".
pub const TABLE_QUOTA: f64 = 40_000.0;

/// A table takes twice its earlier peak at once, and more can be throttled within 30 minutes.
///
/// Source: the same page.
pub const GROWTH_MINUTES: f64 = 30.0;

/// Concurrent executions of an account. A new account has 10.
///
/// Source: Lambda Developer Guide, "Lambda quotas".
pub const CONCURRENCY: u32 = 1_000;

/// New environments of a function: so many at once, and a tenth of it more each second.
///
/// Source: Lambda Developer Guide, "Lambda scaling behavior".
pub const NEW_ENVIRONMENTS: f64 = 1_000.0;
/// Seconds until as many more are let.
pub const NEW_ENVIRONMENTS_SECONDS: f64 = 10.0;

/// Requests a second for each concurrent execution of the account, or of a function's reserved share.
///
/// Source: Lambda Developer Guide, "Understanding Lambda function scaling", concurrency and requests per second.
pub const REQUESTS_PER_CONCURRENCY: f64 = 10.0;

/// Requests a second of an account's APIs in a region, and the bucket for bursts.
///
/// Source: API Gateway Developer Guide, "Quotas".
pub const API_RATE: f64 = 10_000.0;
/// See [`API_RATE`].
pub const API_BURST: f64 = 5_000.0;

/// When Stigg tries an event again that got no 2XX, in seconds after the answer: three times at once, three every 30 s.
///
/// Source: Stigg's documentation of webhooks. "At once" is taken to be a tenth of a second.
pub const STIGG_RETRIES: [f64; 6] = [0.1, 0.1, 0.1, 30.0, 30.0, 30.0];
