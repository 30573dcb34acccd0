//! Merges the shards of an index into one sorted list.

use std::collections::VecDeque;

use futures_util::future::try_join_all;
use store::{Index, IndexEntry, IndexPage, SHARDS, SortKeyRange};

use super::Direction;
use crate::{error::ApiError, reads::Reads};

#[derive(Debug)]
struct Shard {
    number: u8,
    /// The range that was not read yet.
    unread: SortKeyRange,
    /// Entries that were read and not returned yet.
    buffer: VecDeque<IndexEntry>,
    has_more: bool,
}

/// Reads a range of an index from all shards.
#[derive(Debug)]
pub(super) struct ShardMerge<'a> {
    store: &'a Reads,
    index: Index,
    direction: Direction,
    shards: Vec<Shard>,
}

impl<'a> ShardMerge<'a> {
    pub(super) fn new(store: &'a Reads, index: Index, range: &SortKeyRange, direction: Direction) -> Self {
        let shard = |number| Shard { number, unread: range.clone(), buffer: VecDeque::new(), has_more: true };
        Self { store, index, direction, shards: (0..SHARDS).map(shard).collect() }
    }

    /// The next `count` entries; fewer only at the end. One request per shard, concurrently.
    pub(super) async fn next(&mut self, count: usize) -> Result<Vec<IndexEntry>, ApiError> {
        let (store, index) = (self.store, self.index);
        let is_descending = self.direction == Direction::Descending;
        // All of the next entries may be in the same shard.
        let reads = self.shards.iter_mut().map(|shard| async move {
            let missing = count.saturating_sub(shard.buffer.len());
            if missing > 0 && shard.has_more {
                let IndexPage { entries, has_more } =
                    store.query_index(index, shard.number, &shard.unread, is_descending, missing).await?;
                if let Some(last) = entries.last() {
                    let read_to = Some(last.sort.clone());
                    match is_descending {
                        true => shard.unread.below = read_to,
                        false => shard.unread.above = read_to,
                    }
                }
                shard.has_more = has_more;
                shard.buffer.extend(entries);
            }
            Ok::<_, ApiError>(())
        });
        try_join_all(reads).await?;
        Ok(std::iter::from_fn(|| self.pop()).take(count).collect())
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.shards.iter().all(|shard| shard.buffer.is_empty() && !shard.has_more)
    }

    fn pop(&mut self) -> Option<IndexEntry> {
        let shards = self.shards.iter_mut().filter(|shard| !shard.buffer.is_empty());
        let next = match self.direction {
            Direction::Ascending => shards.min_by(|a, b| a.buffer.front().cmp(&b.buffer.front())),
            Direction::Descending => shards.max_by(|a, b| a.buffer.front().cmp(&b.buffer.front())),
        };
        next?.buffer.pop_front()
    }
}
