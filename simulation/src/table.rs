//! A table of DynamoDB on demand: partitions of which each takes so much, and that split as their load grows.

use crate::{SECOND, Time, bucket::Bucket, limits, seconds};

/// Units a second that a table takes from the first moment on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Warm {
    /// Read units.
    pub reads: f64,
    /// Write units.
    pub writes: f64,
}

impl Warm {
    /// A new table's.
    pub const NEW: Self = Self { reads: limits::NEW_TABLE_READS, writes: limits::NEW_TABLE_WRITES };
}

/// What a request takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Units {
    /// So many read units.
    Read(f64),
    /// So many write units.
    Write(f64),
}

/// One kind of unit of a partition.
#[derive(Clone, Debug)]
struct Throughput {
    bucket: Bucket,
    /// What was taken in this minute.
    taken: f64,
    minute: u64,
    /// The most that a minute took on average, units a second, since the partition was last looked at.
    peak: f64,
}

impl Throughput {
    fn new(rate: f64, now: Time) -> Self {
        Self { bucket: Bucket::of_a_second(rate, now), taken: 0.0, minute: minute_of(now), peak: 0.0 }
    }

    fn turn(&mut self, now: Time) {
        let minute = minute_of(now);
        if minute != self.minute {
            self.peak = self.peak.max(self.taken / 60.0);
            (self.taken, self.minute) = (0.0, minute);
        }
    }

    fn take(&mut self, now: Time, units: f64) -> bool {
        self.turn(now);
        let is_taken = self.bucket.take(now, units);
        if is_taken {
            self.taken += units;
        }
        is_taken
    }
}

fn minute_of(now: Time) -> u64 {
    now / (60 * SECOND)
}

/// The keys from `from` to the next partition's.
#[derive(Clone, Debug)]
struct Partition {
    from: u64,
    reads: Throughput,
    writes: Throughput,
}

impl Partition {
    fn new(from: u64, rates: Warm, now: Time) -> Self {
        Self { from, reads: Throughput::new(rates.reads, now), writes: Throughput::new(rates.writes, now) }
    }
}

/// A table.
#[derive(Clone, Debug)]
pub struct Table {
    partitions: Vec<Partition>,
    of_partition: Warm,
    /// The account's quota for the table.
    quota: [Bucket; 2],
    looked_at: Time,
}

impl Table {
    /// A table with room for this much, cut into as many partitions as that needs.
    pub fn new(warm: Warm, quota: f64) -> Self {
        Self::of_partitions(warm, Warm { reads: limits::PARTITION_READS, writes: limits::PARTITION_WRITES }, quota)
    }

    /// One whose partitions take so much each, as no table of AWS's does: for comparing with a table of a test's own.
    pub fn of_partitions(warm: Warm, of_partition: Warm, quota: f64) -> Self {
        let count = (warm.reads / of_partition.reads).max(warm.writes / of_partition.writes).ceil().max(1.0) as u64;
        let partitions =
            (0..count).map(|n| Partition::new((u128::from(n) * (1 << 64) / u128::from(count)) as u64, of_partition, 0));
        Self {
            partitions: partitions.collect(),
            of_partition,
            quota: [Bucket::of_a_second(quota, 0), Bucket::of_a_second(quota, 0)],
            looked_at: 0,
        }
    }

    /// How many partitions it has.
    pub fn partitions(&self) -> usize {
        self.partitions.len()
    }

    /// Takes the units for an item with this hash, or throttles the request.
    pub fn take(&mut self, now: Time, hash: u64, units: Units) -> bool {
        self.grow(now);
        let place = self.partitions.partition_point(|partition| partition.from <= hash) - 1;
        let partition = &mut self.partitions[place];
        let [read_quota, write_quota] = &mut self.quota;
        match units {
            Units::Read(units) => partition.reads.take(now, units) && read_quota.take(now, units),
            Units::Write(units) => partition.writes.take(now, units) && write_quota.take(now, units),
        }
    }

    /// Every half hour, cuts each partition in two that was more than half full in its busiest minute. So the table then
    /// takes twice what it took at most, which is what AWS promises.
    fn grow(&mut self, now: Time) {
        if now < self.looked_at + seconds(60.0 * limits::GROWTH_MINUTES) {
            return;
        }
        self.looked_at = now;
        let of_partition = self.of_partition;
        let mut grown = Vec::with_capacity(self.partitions.len());
        let mut partitions = std::mem::take(&mut self.partitions).into_iter().peekable();
        while let Some(mut partition) = partitions.next() {
            partition.reads.turn(now);
            partition.writes.turn(now);
            let is_hot = partition.reads.peak > of_partition.reads / 2.0 || partition.writes.peak > of_partition.writes / 2.0;
            (partition.reads.peak, partition.writes.peak) = (0.0, 0.0);
            let width = partitions.peek().map_or(u64::MAX, |next| next.from) - partition.from;
            let middle = partition.from + width / 2;
            grown.push(partition);
            if is_hot {
                grown.push(Partition::new(middle, of_partition, now));
            }
        }
        self.partitions = grown;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::mix;

    /// How many of so many writes a second for a second, of hashes that this makes, are taken.
    fn taken(table: &mut Table, from: Time, count: u64, hash: impl Fn(u64) -> u64) -> u64 {
        (0..count).filter(|n| table.take(from + n * SECOND / count, hash(*n), Units::Write(1.0))).count() as u64
    }

    /// The same for some minutes: what the last second takes.
    fn sustained(table: &mut Table, minutes: std::ops::Range<u64>, count: u64, hash: impl Fn(u64) -> u64) -> u64 {
        (minutes.start * 60..minutes.end * 60).map(|second| taken(table, second * SECOND, count, &hash)).last().unwrap()
    }

    #[test]
    fn a_new_table_takes_4_000_writes_and_12_000_reads_a_second() {
        let mut table = Table::new(Warm::NEW, limits::TABLE_QUOTA);
        assert_eq!(table.partitions(), 4);
        // The first second has a bucket's content beside its rate.
        let last = sustained(&mut table, 0..1, 20_000, mix);
        assert!((3_900..=4_100).contains(&last), "{last}");
        let reads = (0..40_000).filter(|n| table.take(100 * SECOND + n * 25, mix(*n), Units::Read(0.5))).count();
        assert!((39_000..=40_000).contains(&reads), "{reads}");
    }

    #[test]
    fn one_key_gets_no_more_than_a_partition_however_warm_the_table_is() {
        let mut table = Table::new(Warm { reads: 12_000.0, writes: 30_000.0 }, limits::TABLE_QUOTA);
        assert_eq!(table.partitions(), 30);
        let last = sustained(&mut table, 0..1, 10_000, |_| 7);
        assert!((990..=1_010).contains(&last), "{last}");
    }

    #[test]
    fn a_table_under_load_doubles_after_half_an_hour_and_not_before() {
        let mut table = Table::new(Warm::NEW, limits::TABLE_QUOTA);
        sustained(&mut table, 0..2, 6_000, mix);
        assert!(taken(&mut table, 29 * 60 * SECOND, 20_000, mix) < 8_100);
        assert_eq!(table.partitions(), 4);
        let last = sustained(&mut table, 30..31, 20_000, mix);
        assert_eq!(table.partitions(), 8);
        assert!((7_800..=8_200).contains(&last), "{last}");
    }

    #[test]
    fn a_table_that_is_less_than_half_full_stays_as_it_is() {
        let mut table = Table::new(Warm::NEW, limits::TABLE_QUOTA);
        sustained(&mut table, 0..2, 1_500, mix);
        sustained(&mut table, 30..31, 1_500, mix);
        assert_eq!(table.partitions(), 4);
    }

    #[test]
    fn only_the_hot_partition_splits_and_both_halves_take_its_keys() {
        let mut table = Table::new(Warm::NEW, limits::TABLE_QUOTA);
        let lowest = |n: u64| mix(n) / 4;
        sustained(&mut table, 0..2, 900, lowest);
        let last = sustained(&mut table, 30..31, 4_000, lowest);
        assert_eq!(table.partitions(), 5);
        assert!((1_900..=2_100).contains(&last), "{last}");
    }

    #[test]
    fn the_accounts_quota_holds_for_the_whole_table() {
        let mut table = Table::new(Warm { reads: 12_000.0, writes: 80_000.0 }, 40_000.0);
        let last = sustained(&mut table, 0..1, 80_000, mix);
        assert!((39_000..=41_000).contains(&last), "{last}");
    }
}
