//! Documented limits of AWS and Stigg, as of November 2026.

/// Write units per second of a partition.
///
/// Source: DynamoDB Developer Guide, "Best practices for designing and using partition keys effectively".
pub const PARTITION_WRITES: f64 = 1_000.0;
/// Read units per second of a partition.
pub const PARTITION_READS: f64 = 3_000.0;

/// Write units per second of a new on-demand table.
///
/// Source: DynamoDB Developer Guide, "DynamoDB on-demand capacity mode", initial throughput.
pub const NEW_TABLE_WRITES: f64 = 4_000.0;
/// Read units per second of a new on-demand table.
pub const NEW_TABLE_READS: f64 = 12_000.0;

/// The account's default quota for a table: units per second, for reads and for writes each.
///
/// Source: the same page, and "Quotas in Amazon DynamoDB".
pub const TABLE_QUOTA: f64 = 40_000.0;

/// A table accepts twice its previous peak at once. A larger load within 30 minutes can be throttled.
///
/// Source: the same page.
pub const GROWTH_MINUTES: f64 = 30.0;

/// The account's quota for concurrent executions. A new account has 10.
///
/// Source: Lambda Developer Guide, "Lambda quotas".
pub const CONCURRENCY: u32 = 1_000;

/// Number of environments that a function can start at once, and again in each period of [`NEW_ENVIRONMENTS_SECONDS`].
///
/// Source: Lambda Developer Guide, "Lambda scaling behavior".
pub const NEW_ENVIRONMENTS: f64 = 1_000.0;
/// See [`NEW_ENVIRONMENTS`].
pub const NEW_ENVIRONMENTS_SECONDS: f64 = 10.0;

/// Requests per second for each concurrent execution of the account, or of a function's reserved share.
///
/// Source: Lambda Developer Guide, "Understanding Lambda function scaling", concurrency and requests per second.
pub const REQUESTS_PER_CONCURRENCY: f64 = 10.0;

/// The account's quota for all APIs in a region: requests per second.
///
/// Source: API Gateway Developer Guide, "Quotas".
pub const API_RATE: f64 = 10_000.0;
/// The account's quota for all APIs in a region: requests at once.
pub const API_BURST: f64 = 5_000.0;

/// Stigg's waits before it retries an event without a 2XX, in seconds: three retries at once, then three every 30 s.
///
/// Source: Stigg's documentation of webhooks. "At once" is assumed to be 0.1 s.
pub const STIGG_RETRIES: [f64; 6] = [0.1, 0.1, 0.1, 30.0, 30.0, 30.0];
