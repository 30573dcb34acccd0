//! AWS's prices in us-east-1, on demand, in dollars, without free tiers. AWS's pages load their tables in the browser, so each
//! figure is from a source that quotes it, with the source's date.

/// Hours of a month, as in AWS's own examples.
pub(crate) const HOURS: f64 = 730.0;

pub(crate) struct Price {
    pub(crate) name: &'static str,
    pub(crate) dollars: f64,
    /// Number of units for `dollars`.
    pub(crate) units: f64,
    pub(crate) unit: &'static str,
    /// AWS's page with the price.
    pub(crate) page: &'static str,
    /// Source of the figure, and its date.
    pub(crate) source: &'static str,
}

impl Price {
    /// Dollars for this number of units.
    pub(crate) fn of(&self, units: f64) -> f64 {
        units * self.dollars / self.units
    }
}

/// Prices that fall with the volume of a month: upper limit of units, and price of the units up to it.
pub(crate) type Tiers<const N: usize> = [(f64, &'static Price); N];

pub(crate) fn tiered<const N: usize>(units: f64, tiers: &Tiers<N>) -> f64 {
    let mut from = 0.0;
    let mut sum = 0.0;
    for (to, price) in tiers {
        sum += price.of((units.min(*to) - from).max(0.0));
        from = *to;
    }
    sum
}

macro_rules! prices {
    ($($name:ident: $title:literal, $dollars:literal / $units:literal $unit:literal, $page:literal, $source:literal;)*) => {
        $(pub(crate) static $name: Price =
            Price { name: $title, dollars: $dollars, units: $units, unit: $unit, page: $page, source: $source };)*
        pub(crate) static ALL: &[&Price] = &[$(&$name),*];
    };
}

prices! {
    WRITES: "DynamoDB writes", 0.625 / 1e6 "million units", "aws.amazon.com/dynamodb/pricing/on-demand", "airbyte.com/data-engineering-resources/dynamodb-pricing, 2025-07-21, after the cut of November 2024";
    READS: "DynamoDB reads", 0.125 / 1e6 "million units", "aws.amazon.com/dynamodb/pricing/on-demand", "airbyte.com/data-engineering-resources/dynamodb-pricing, 2025-07-21, after the cut of November 2024";
    STORAGE: "DynamoDB storage, tables and indexes", 0.25 / 1.0 "GB-month", "aws.amazon.com/dynamodb/pricing", "the page, an undated copy";
    PITR: "DynamoDB point-in-time recovery, tables", 0.20 / 1.0 "GB-month", "aws.amazon.com/dynamodb/pricing/on-demand", "github.com/Rimurutempestx/Amazon-DynamoDB-pricing-and-security, 2023, for Ohio";
    INVOCATIONS: "Lambda requests", 0.20 / 1e6 "million", "aws.amazon.com/lambda/pricing", "cloudchipr.com/blog/aws-lambda-pricing, 2024";
    ARM: "Lambda duration, arm64", 0.0000133334 / 1.0 "GB-second", "aws.amazon.com/lambda/pricing", "cloudchipr.com/blog/aws-lambda-pricing, 2024";
    X86: "Lambda duration, x86_64", 0.0000166667 / 1.0 "GB-second", "aws.amazon.com/lambda/pricing", "cloudchipr.com/blog/aws-lambda-pricing, 2024";
    HTTP_API: "API Gateway, HTTP API, to 300 million a month", 1.00 / 1e6 "million requests of 512 KB", "aws.amazon.com/api-gateway/pricing", "the page's own examples, as of 2026-09-20";
    HTTP_API_NEXT: "… beyond", 0.90 / 1e6 "million requests of 512 KB", "aws.amazon.com/api-gateway/pricing", "the page's own examples, as of 2026-09-20";
    LOGS: "CloudWatch Logs of Lambda, to 10 TB a month", 0.50 / 1.0 "GB ingested", "aws.amazon.com/cloudwatch/pricing", "factualminds.com/blog/amazon-cloudwatch-pricing-metrics-logs-alarms-dashboards, 2026-06-13";
    LOGS_TO_30: "… to 30 TB", 0.25 / 1.0 "GB ingested", "aws.amazon.com/cloudwatch/pricing", "a public repository, undated; duckbillgroup.com/?p=9080, May 2025, has a sum that agrees";
    LOGS_TO_50: "… to 50 TB", 0.10 / 1.0 "GB ingested", "aws.amazon.com/cloudwatch/pricing", "a public repository, undated; duckbillgroup.com/?p=9080, May 2025, has a sum that agrees";
    LOGS_NEXT: "… beyond", 0.05 / 1.0 "GB ingested", "aws.amazon.com/cloudwatch/pricing", "a public repository, undated; duckbillgroup.com/?p=9080, May 2025, has a sum that agrees";
    LOGS_KEPT: "CloudWatch Logs kept", 0.03 / 1.0 "GB-month", "aws.amazon.com/cloudwatch/pricing", "hykell.com/kb/platform-specific-guides/aws-cloudwatch-logs-pricing, undated";
    METRIC: "CloudWatch custom metrics, by the hour they are sent", 0.30 / 1.0 "metric and month", "aws.amazon.com/cloudwatch/pricing", "signoz.io/guides/cloudwatch-pricing, 2026-02-15";
    ALARM: "CloudWatch alarms", 0.10 / 1.0 "alarm and month", "aws.amazon.com/cloudwatch/pricing", "github.com/api-evangelist/cloudwatch, 2026-05-05";
    DASHBOARD: "CloudWatch dashboards", 3.00 / 1.0 "dashboard and month", "aws.amazon.com/cloudwatch/pricing", "factualminds.com/blog/amazon-cloudwatch-pricing-metrics-logs-alarms-dashboards, 2026-06-13";
    TRACES: "X-Ray traces recorded", 5.00 / 1e6 "million", "aws.amazon.com/xray/pricing", "the page, an undated copy";
    SECRET: "Secrets Manager secrets", 0.40 / 1.0 "secret and month", "aws.amazon.com/secrets-manager/pricing", "the page's own examples, as of 2026-09-20";
    SECRET_CALLS: "Secrets Manager calls", 0.05 / 1e4 "10,000", "aws.amazon.com/secrets-manager/pricing", "the page's own examples, as of 2026-09-20";
    QUEUE: "SQS requests, standard queue", 0.40 / 1e6 "million", "aws.amazon.com/sqs/pricing", "cloudburn.io/blog/amazon-sqs-pricing, 2026-03-14";
    TRANSFER: "Data out to the internet, to 10 TB a month", 0.09 / 1.0 "GB", "aws.amazon.com/ec2/pricing/on-demand", "usage.ai/blogs/aws/networking-cost/data-transfer-costs, 2026-06-02";
    TRANSFER_TO_50: "… to 50 TB", 0.085 / 1.0 "GB", "aws.amazon.com/ec2/pricing/on-demand", "usage.ai/blogs/aws/networking-cost/data-transfer-costs, 2026-06-02";
    TRANSFER_TO_150: "… to 150 TB", 0.07 / 1.0 "GB", "aws.amazon.com/ec2/pricing/on-demand", "usage.ai/blogs/aws/networking-cost/data-transfer-costs, 2026-06-02";
    TRANSFER_NEXT: "… beyond", 0.05 / 1.0 "GB", "aws.amazon.com/ec2/pricing/on-demand", "usage.ai/blogs/aws/networking-cost/data-transfer-costs, 2026-06-02";
    FARGATE_CPU: "Fargate, arm64, CPU", 0.03238 / 1.0 "vCPU-hour", "aws.amazon.com/fargate/pricing", "vantage.sh/blog/fargate-pricing, undated";
    FARGATE_MEMORY: "Fargate, arm64, memory", 0.00356 / 1.0 "GB-hour", "aws.amazon.com/fargate/pricing", "vantage.sh/blog/fargate-pricing, undated";
    BALANCER: "Application Load Balancer", 0.0225 / 1.0 "hour", "aws.amazon.com/elasticloadbalancing/pricing", "several public repositories, undated";
    ADDRESS: "Public IPv4 address", 0.005 / 1.0 "hour", "aws.amazon.com/vpc/pricing", "egresscost.com/aws, undated";
    DATABASE: "RDS for PostgreSQL, db.t4g.micro, one zone", 0.016 / 1.0 "hour", "aws.amazon.com/rds/postgresql/pricing", "infratally.com/articles/aws-rds-pricing-explained-2026.html, 2026";
    DATABASE_TWO_ZONES: "RDS for PostgreSQL, db.t4g.micro, Multi-AZ", 0.032 / 1.0 "hour", "aws.amazon.com/rds/postgresql/pricing", "infratally.com/articles/aws-rds-pricing-explained-2026.html, 2026";
    DATABASE_STORAGE: "RDS storage, gp3, one zone; Multi-AZ is billed twice", 0.115 / 1.0 "GB-month", "aws.amazon.com/rds/postgresql/pricing", "usage.ai/blogs/aws/reserved-instances/rds/pricing-calculator, June 2026";
}

pub(crate) static HTTP_API_TIERS: Tiers<2> = [(300e6, &HTTP_API), (f64::INFINITY, &HTTP_API_NEXT)];
pub(crate) static LOG_TIERS: Tiers<4> =
    [(10_000.0, &LOGS), (30_000.0, &LOGS_TO_30), (50_000.0, &LOGS_TO_50), (f64::INFINITY, &LOGS_NEXT)];
pub(crate) static TRANSFER_TIERS: Tiers<4> =
    [(10_000.0, &TRANSFER), (50_000.0, &TRANSFER_TO_50), (150_000.0, &TRANSFER_TO_150), (f64::INFINITY, &TRANSFER_NEXT)];
