//! Reads a list from an index that has its order, in time that does not depend on the length of the list.

use std::collections::HashMap;

use domain::id::Id;
use store::{Index, IndexEntry, SortKeyRange};

use super::{
    Direction, ListQuery, Position,
    shard_merge::ShardMerge,
    window::{End, Window},
};
use crate::{
    column::Column,
    error::ApiError,
    load::{LoadRow, Loaders},
};

/// Maximum number of rows that are in memory at once while rows are sorted, filtered or skipped.
pub(super) const CHUNK: usize = 1_000;

const USE_AN_INDEX: &str = "use customerId, subscriptionId, email or a customer's billingId in the condition, or page \
                            through the list with first and after in the order PRIMARY_KEY or CREATED_AT";

#[derive(Debug)]
pub(super) struct IndexReader<'a, R: LoadRow> {
    pub(super) loaders: &'a Loaders,
    pub(super) query: &'a ListQuery<R::Column>,
    pub(super) index: Index,
    pub(super) direction: Direction,
}

/// Rows with their positions, in the order of the list.
pub(super) type Rows<R> = Vec<(Position, R)>;

pub(super) struct PageRead<R> {
    pub(super) rows: Rows<R>,
    /// Whether the window has rows beyond the page. False without `look_ahead`.
    pub(super) has_more: bool,
    /// How many rows of the offset the window had.
    pub(super) skipped: usize,
}

impl<R: LoadRow> IndexReader<'_, R> {
    /// Reads the page. `look_ahead` reads one row more, for `has_more`.
    pub(super) async fn page(&self, look_ahead: bool) -> Result<PageRead<R>, ApiError> {
        let Window { end, limit: size, offset, .. } = self.query.window;
        let limit = self.loaders.limits.candidates;
        if offset.saturating_add(size) > limit {
            return Err(ApiError::TooManyRows { limit, suggestion: "use after with a cursor instead of offset" });
        }
        let range = self.range(self.query.window.after.as_ref(), self.query.window.before.as_ref());
        let (skipped, mut rows) = self.read(&range, end, offset, size + usize::from(look_ahead)).await?;
        let has_more = rows.len() > size;
        rows.truncate(size);
        if end == End::Last {
            rows.reverse();
        }
        Ok(PageRead { rows, has_more, skipped })
    }

    /// Whether there are rows at or before this position.
    pub(super) async fn has_up_to(&self, position: &Position) -> Result<bool, ApiError> {
        Ok(self.exists(position).await? || self.has(&self.range(None, Some(position)), End::Last, 1).await?)
    }

    /// Whether there are more than `count` rows at or after this position.
    pub(super) async fn has_from(&self, position: &Position, count: usize) -> Result<bool, ApiError> {
        let after = count + usize::from(!self.exists(position).await?);
        self.has(&self.range(Some(position), None), End::First, after).await
    }

    /// Whether there are more than `count` rows after this position.
    pub(super) async fn has_after(&self, position: &Position, count: usize) -> Result<bool, ApiError> {
        self.has(&self.range(Some(position), None), End::First, count + 1).await
    }

    /// Whether there are rows before this position.
    pub(super) async fn has_before(&self, position: &Position) -> Result<bool, ApiError> {
        self.has(&self.range(None, Some(position)), End::Last, 1).await
    }

    /// Whether the row at this position still exists there. It mostly does, which saves a range read.
    async fn exists(&self, position: &Position) -> Result<bool, ApiError> {
        let Some(id) = position.id() else { return Ok(false) };
        let rows = R::load(self.loaders, vec![id]).await?;
        Ok(rows.values().any(|row| self.query.filter.matches(row) && self.query.order.position(row) == *position))
    }

    /// Whether the range has at least `count` rows.
    async fn has(&self, range: &SortKeyRange, end: End, count: usize) -> Result<bool, ApiError> {
        let Some(others) = count.checked_sub(1) else { return Ok(true) };
        let (_, last) = self.read(range, end, others, 1).await?;
        Ok(!last.is_empty())
    }

    /// The range of sort keys between two positions, both exclusive.
    fn range(&self, after: Option<&Position>, before: Option<&Position>) -> SortKeyRange {
        let sort_key = |position: Option<&Position>| position.and_then(|position| position.to_sort_key(self.index));
        let (after, before) = (sort_key(after), sort_key(before));
        match self.direction {
            Direction::Ascending => SortKeyRange { above: after, below: before },
            Direction::Descending => SortKeyRange { above: before, below: after },
        }
    }

    /// Skips `skip` rows of the range, counted from this end, and returns the number skipped and the next `count`
    /// rows; fewer only at the end of the range.
    ///
    /// Index entries whose row is no longer visible or does not meet the condition are replaced by later ones.
    async fn read(&self, range: &SortKeyRange, end: End, skip: usize, count: usize) -> Result<(usize, Rows<R>), ApiError> {
        let limit = self.loaders.limits.candidates;
        let direction = if end == End::First { self.direction } else { self.direction.reversed() };
        let mut merge = ShardMerge::new(&self.loaders.store, self.index, range, direction);
        let mut rows: Rows<R> = Vec::new();
        let (mut read, mut skipped) = (0, 0);
        loop {
            let missing = skip - skipped + count - rows.len();
            // With a condition, double the step: few rows may meet it.
            let step = if self.query.filter.is_empty() { missing } else { missing.max(read).min(limit + 1 - read) };
            let entries = merge.next(if self.keeps_all(skip) { step } else { step.min(CHUNK) }).await?;
            read += entries.len();
            let mut found = self.rows(&entries, skip).await?;
            for entry in &entries {
                let Some(row) = found.remove(&entry.id).filter(|row| self.query.filter.matches(row)) else { continue };
                if skipped < skip {
                    skipped += 1;
                } else if rows.len() < count {
                    rows.push((Position::from_index(self.index, entry), row));
                }
            }
            if rows.len() == count || merge.is_at_end() {
                return Ok((skipped, rows));
            }
            if read > limit {
                return Err(ApiError::TooManyRows { limit, suggestion: USE_AN_INDEX });
            }
        }
    }

    /// Whether every row that is read belongs to the page.
    fn keeps_all(&self, skip: usize) -> bool {
        skip == 0 && self.query.filter.is_empty()
    }

    /// Rows that are read only to be skipped or filtered are not cached.
    async fn rows(&self, entries: &[IndexEntry], skip: usize) -> Result<HashMap<Id, R>, ApiError> {
        let ids: Vec<Id> = entries.iter().map(|entry| entry.id.clone()).collect();
        if self.keeps_all(skip) {
            return R::load(self.loaders, ids).await;
        }
        let _permit = self.loaders.in_memory.acquire().await;
        R::read(self.loaders, &ids, self.loaders.parts).await
    }
}

/// The ids of all rows, or an error if there are too many to sort.
pub(super) async fn all_ids<R: LoadRow>(loaders: &Loaders) -> Result<Vec<Id>, ApiError> {
    let limit = loaders.limits.candidates;
    let Some(index) = R::Column::index(&[R::Column::PRIMARY_KEY]) else {
        return Ok(Vec::new());
    };
    let mut merge = ShardMerge::new(&loaders.store, index, &SortKeyRange::default(), Direction::Ascending);
    let entries = merge.next(limit + 1).await?;
    if entries.len() > limit {
        return Err(ApiError::TooManyRows { limit, suggestion: USE_AN_INDEX });
    }
    Ok(entries.into_iter().map(|entry| entry.id).collect())
}
