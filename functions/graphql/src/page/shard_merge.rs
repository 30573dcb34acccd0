//! The entries of an index's shards, merged into one order.

use std::collections::VecDeque;

use futures_util::future::try_join_all;
use store::{Index, IndexEntry, IndexPage, SHARDS, SortKeyRange};

use super::Direction;
use crate::{error::ApiError, reads::Reads};

/// The part of a shard that lies ahead.
#[derive(Debug)]
struct Lane {
    shard: u8,
    ahead: SortKeyRange,
    waiting: VecDeque<IndexEntry>,
    has_more: bool,
}

/// Reads a range of an index, all shards side by side.
#[derive(Debug)]
pub(super) struct ShardMerge<'a> {
    store: &'a Reads,
    index: Index,
    direction: Direction,
    lanes: Vec<Lane>,
}

impl<'a> ShardMerge<'a> {
    pub(super) fn new(store: &'a Reads, index: Index, range: &SortKeyRange, direction: Direction) -> Self {
        let lane = |shard| Lane { shard, ahead: range.clone(), waiting: VecDeque::new(), has_more: true };
        Self { store, index, direction, lanes: (0..SHARDS).map(lane).collect() }
    }

    /// The next entries, at most so many; fewer only at the end. One request a shard, all at once.
    pub(super) async fn next(&mut self, count: usize) -> Result<Vec<IndexEntry>, ApiError> {
        let (store, index) = (self.store, self.index);
        let is_descending = self.direction == Direction::Descending;
        // Any of the next entries may be in any shard: each must show as many, or its end.
        let reads = self.lanes.iter_mut().map(|lane| async move {
            let missing = count.saturating_sub(lane.waiting.len());
            if missing > 0 && lane.has_more {
                let IndexPage { entries, has_more } =
                    store.query_index(index, lane.shard, &lane.ahead, is_descending, missing).await?;
                if let Some(last) = entries.last() {
                    let passed = Some(last.sort.clone());
                    match is_descending {
                        true => lane.ahead.below = passed,
                        false => lane.ahead.above = passed,
                    }
                }
                lane.has_more = has_more;
                lane.waiting.extend(entries);
            }
            Ok::<_, ApiError>(())
        });
        try_join_all(reads).await?;
        Ok(std::iter::from_fn(|| self.pop()).take(count).collect())
    }

    /// Whether no entry lies ahead.
    pub(super) fn is_at_end(&self) -> bool {
        self.lanes.iter().all(|lane| lane.waiting.is_empty() && !lane.has_more)
    }

    fn pop(&mut self) -> Option<IndexEntry> {
        let waiting = self.lanes.iter_mut().filter(|lane| !lane.waiting.is_empty());
        let next = match self.direction {
            Direction::Ascending => waiting.min_by(|a, b| a.waiting.front().cmp(&b.waiting.front())),
            Direction::Descending => waiting.max_by(|a, b| a.waiting.front().cmp(&b.waiting.front())),
        };
        next?.waiting.pop_front()
    }
}
