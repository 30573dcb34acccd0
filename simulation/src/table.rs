//! An on-demand DynamoDB table: partitions with a limited throughput each, which split under load.

use crate::{SECOND, Time, bucket::Bucket, limits, seconds};

/// Units per second that a table accepts without growing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WarmThroughput {
    /// Read units.
    pub reads: f64,
    /// Write units.
    pub writes: f64,
}

impl WarmThroughput {
    /// The throughput of a new table.
    pub const NEW: Self = Self { reads: limits::NEW_TABLE_READS, writes: limits::NEW_TABLE_WRITES };
}

/// The capacity that a request consumes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Units {
    /// Read units.
    Read(f64),
    /// Write units.
    Write(f64),
}

/// A partition's throughput in one kind of unit.
#[derive(Clone, Debug)]
struct Throughput {
    bucket: Bucket,
    /// Units consumed in this minute.
    consumed: f64,
    minute: u64,
    /// Maximum of the minutes' averages since the last growth, in units per second.
    peak: f64,
}

impl Throughput {
    fn new(rate: f64, now: Time) -> Self {
        Self { bucket: Bucket::with_one_second_burst(rate, now), consumed: 0.0, minute: minute_of(now), peak: 0.0 }
    }

    /// Ends the minute if it is over.
    fn update_minute(&mut self, now: Time) {
        let minute = minute_of(now);
        if minute != self.minute {
            self.peak = self.peak.max(self.consumed / 60.0);
            (self.consumed, self.minute) = (0.0, minute);
        }
    }

    fn take(&mut self, now: Time, units: f64) -> bool {
        self.update_minute(now);
        let is_accepted = self.bucket.take(now, units);
        if is_accepted {
            self.consumed += units;
        }
        is_accepted
    }
}

fn minute_of(now: Time) -> u64 {
    now / (60 * SECOND)
}

/// A partition. Its keys have the hashes from `from` to the next partition's `from`.
#[derive(Clone, Debug)]
struct Partition {
    from: u64,
    reads: Throughput,
    writes: Throughput,
}

impl Partition {
    fn new(from: u64, rates: WarmThroughput, now: Time) -> Self {
        Self { from, reads: Throughput::new(rates.reads, now), writes: Throughput::new(rates.writes, now) }
    }
}

/// An on-demand table.
#[derive(Clone, Debug)]
pub struct Table {
    partitions: Vec<Partition>,
    partition_limits: WarmThroughput,
    /// The account's quota for the table: reads, writes.
    quota: [Bucket; 2],
    grown_at: Time,
}

impl Table {
    /// A table with as many partitions as this throughput needs.
    pub fn new(warm: WarmThroughput, quota: f64) -> Self {
        Self::with_partitions(warm, WarmThroughput { reads: limits::PARTITION_READS, writes: limits::PARTITION_WRITES }, quota)
    }

    /// Like [`Self::new`], with other limits of a partition, for tests at a smaller scale.
    pub fn with_partitions(warm: WarmThroughput, partition_limits: WarmThroughput, quota: f64) -> Self {
        let count = (warm.reads / partition_limits.reads).max(warm.writes / partition_limits.writes).ceil().max(1.0) as u64;
        let partitions =
            (0..count).map(|n| Partition::new((u128::from(n) * (1 << 64) / u128::from(count)) as u64, partition_limits, 0));
        Self {
            partitions: partitions.collect(),
            partition_limits,
            quota: [Bucket::with_one_second_burst(quota, 0), Bucket::with_one_second_burst(quota, 0)],
            grown_at: 0,
        }
    }

    /// Number of partitions.
    pub fn partitions(&self) -> usize {
        self.partitions.len()
    }

    /// Consumes units for an item with this hash. False if the request is throttled.
    pub fn take(&mut self, now: Time, hash: u64, units: Units) -> bool {
        self.grow(now);
        let index = self.partitions.partition_point(|partition| partition.from <= hash) - 1;
        let partition = &mut self.partitions[index];
        let [read_quota, write_quota] = &mut self.quota;
        match units {
            Units::Read(units) => partition.reads.take(now, units) && read_quota.take(now, units),
            Units::Write(units) => partition.writes.take(now, units) && write_quota.take(now, units),
        }
    }

    /// Every half hour, splits each partition that used more than half of its limits in its busiest minute. So the table
    /// accepts twice its peak, as AWS documents.
    fn grow(&mut self, now: Time) {
        if now < self.grown_at + seconds(60.0 * limits::GROWTH_MINUTES) {
            return;
        }
        self.grown_at = now;
        let partition_limits = self.partition_limits;
        let mut grown = Vec::with_capacity(self.partitions.len());
        let mut partitions = std::mem::take(&mut self.partitions).into_iter().peekable();
        while let Some(mut partition) = partitions.next() {
            partition.reads.update_minute(now);
            partition.writes.update_minute(now);
            let is_hot =
                partition.reads.peak > partition_limits.reads / 2.0 || partition.writes.peak > partition_limits.writes / 2.0;
            (partition.reads.peak, partition.writes.peak) = (0.0, 0.0);
            let width = partitions.peek().map_or(u64::MAX, |next| next.from) - partition.from;
            let middle = partition.from + width / 2;
            grown.push(partition);
            if is_hot {
                grown.push(Partition::new(middle, partition_limits, now));
            }
        }
        self.partitions = grown;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::mix;

    /// Sends `count` writes in one second, to the hashes of their numbers. Returns the number of accepted writes.
    fn accepted_writes(table: &mut Table, from: Time, count: u64, hash: impl Fn(u64) -> u64) -> u64 {
        (0..count).filter(|n| table.take(from + n * SECOND / count, hash(*n), Units::Write(1.0))).count() as u64
    }

    /// Sends `count` writes a second for some minutes. Returns the number of accepted writes in the last second.
    fn sustained_writes(table: &mut Table, minutes: std::ops::Range<u64>, count: u64, hash: impl Fn(u64) -> u64) -> u64 {
        (minutes.start * 60..minutes.end * 60).map(|second| accepted_writes(table, second * SECOND, count, &hash)).last().unwrap()
    }

    #[test]
    fn a_new_table_accepts_4_000_writes_and_12_000_reads_a_second() {
        let mut table = Table::new(WarmThroughput::NEW, limits::TABLE_QUOTA);
        assert_eq!(table.partitions(), 4);
        // In the first second, the full buckets add to the rate.
        let last = sustained_writes(&mut table, 0..1, 20_000, mix);
        assert!((3_900..=4_100).contains(&last), "{last}");
        let reads = (0..40_000).filter(|n| table.take(100 * SECOND + n * 25, mix(*n), Units::Read(0.5))).count();
        assert!((39_000..=40_000).contains(&reads), "{reads}");
    }

    #[test]
    fn one_key_is_limited_to_a_partitions_throughput_even_in_a_warm_table() {
        let mut table = Table::new(WarmThroughput { reads: 12_000.0, writes: 30_000.0 }, limits::TABLE_QUOTA);
        assert_eq!(table.partitions(), 30);
        let last = sustained_writes(&mut table, 0..1, 10_000, |_| 7);
        assert!((990..=1_010).contains(&last), "{last}");
    }

    #[test]
    fn a_table_under_load_doubles_after_half_an_hour_and_not_before() {
        let mut table = Table::new(WarmThroughput::NEW, limits::TABLE_QUOTA);
        sustained_writes(&mut table, 0..2, 6_000, mix);
        assert!(accepted_writes(&mut table, 29 * 60 * SECOND, 20_000, mix) < 8_100);
        assert_eq!(table.partitions(), 4);
        let last = sustained_writes(&mut table, 30..31, 20_000, mix);
        assert_eq!(table.partitions(), 8);
        assert!((7_800..=8_200).contains(&last), "{last}");
    }

    #[test]
    fn a_table_that_uses_less_than_half_of_its_throughput_does_not_split() {
        let mut table = Table::new(WarmThroughput::NEW, limits::TABLE_QUOTA);
        sustained_writes(&mut table, 0..2, 1_500, mix);
        sustained_writes(&mut table, 30..31, 1_500, mix);
        assert_eq!(table.partitions(), 4);
    }

    #[test]
    fn only_the_hot_partition_splits_and_both_halves_serve_its_keys() {
        let mut table = Table::new(WarmThroughput::NEW, limits::TABLE_QUOTA);
        let lowest = |n: u64| mix(n) / 4;
        sustained_writes(&mut table, 0..2, 900, lowest);
        let last = sustained_writes(&mut table, 30..31, 4_000, lowest);
        assert_eq!(table.partitions(), 5);
        assert!((1_900..=2_100).contains(&last), "{last}");
    }

    #[test]
    fn the_accounts_quota_limits_the_whole_table() {
        let mut table = Table::new(WarmThroughput { reads: 12_000.0, writes: 80_000.0 }, 40_000.0);
        let last = sustained_writes(&mut table, 0..1, 80_000, mix);
        assert!((39_000..=41_000).contains(&last), "{last}");
    }
}
