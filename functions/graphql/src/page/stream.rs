//! Pages read off an index, in its own order: as fast at ten million rows as at ten.

use std::collections::HashMap;

use domain::id::Id;
use store::{Index, IndexEntry, SortKeyRange};

use super::{
    Ask, Column, Direction, Position, Row,
    listing::CHUNK,
    shard_merge::ShardMerge,
    window::{End, Window},
};
use crate::{error::ApiError, load::Loaders};

/// What to use where a condition has no index.
pub(super) const INSTEAD: &str = "name a customerId, a subscriptionId, an email or a customer's billingId in the condition, \
                                  and page through larger lists with first and after in the order of PRIMARY_KEY or CREATED_AT";

/// A list as it is asked for, in an index's order.
#[derive(Debug)]
pub(super) struct Stream<'a, R: Row> {
    pub(super) loaders: &'a Loaders,
    pub(super) ask: &'a Ask<R::Column>,
    pub(super) index: Index,
    pub(super) direction: Direction,
}

/// Rows with their positions, in the order asked for.
pub(super) type Rows<R> = Vec<(Position, R)>;

impl<R: Row> Stream<'_, R> {
    /// The rows of the page, whether another follows in reading direction within the window, and how many
    /// rows the offset passed. What follows is looked at only if `wants_more`, since it is one more row to
    /// read.
    pub(super) async fn page(&self, wants_more: bool) -> Result<(Rows<R>, bool, usize), ApiError> {
        let Window { end, limit, offset, .. } = self.ask.window;
        let bound = self.loaders.limits.candidates;
        if offset.saturating_add(limit) > bound {
            let instead = "use after with a cursor in place of offset";
            return Err(ApiError::TooManyRows { bound, instead });
        }
        let range = self.range(self.ask.window.after.as_ref(), self.ask.window.before.as_ref());
        let (skipped, mut rows) = self.read(&range, end, offset, limit + usize::from(wants_more)).await?;
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        if end == End::Last {
            rows.reverse();
        }
        Ok((rows, has_more, skipped))
    }

    /// Whether there are rows at or before this position.
    pub(super) async fn has_up_to(&self, position: &Position) -> Result<bool, ApiError> {
        Ok(self.is_there(position).await? || self.has(&self.range(None, Some(position)), End::Last, 1).await?)
    }

    /// Whether there are more than so many rows at or after this position.
    pub(super) async fn has_from(&self, position: &Position, more_than: usize) -> Result<bool, ApiError> {
        let after = more_than + usize::from(!self.is_there(position).await?);
        self.has(&self.range(Some(position), None), End::First, after).await
    }

    /// Whether there are more than so many rows after this position.
    pub(super) async fn has_after(&self, position: &Position, more_than: usize) -> Result<bool, ApiError> {
        self.has(&self.range(Some(position), None), End::First, more_than + 1).await
    }

    /// Whether there are rows before this position.
    pub(super) async fn has_before(&self, position: &Position) -> Result<bool, ApiError> {
        self.has(&self.range(None, Some(position)), End::Last, 1).await
    }

    /// Whether the very row is there still: most often it is, and then one read tells.
    async fn is_there(&self, position: &Position) -> Result<bool, ApiError> {
        let Some(id) = position.id() else { return Ok(false) };
        let rows = R::load(self.loaders, vec![id]).await?;
        Ok(rows.values().any(|row| self.ask.filter.admits(row) && self.ask.order.position(row) == *position))
    }

    async fn has(&self, range: &SortKeyRange, end: End, rows: usize) -> Result<bool, ApiError> {
        let Some(others) = rows.checked_sub(1) else { return Ok(true) };
        let (_, last) = self.read(range, end, others, 1).await?;
        Ok(!last.is_empty())
    }

    /// The range of the index between two positions of the order.
    fn range(&self, after: Option<&Position>, before: Option<&Position>) -> SortKeyRange {
        let sort_key = |position: Option<&Position>| position.and_then(|position| position.to_sort_key(self.index));
        let (after, before) = (sort_key(after), sort_key(before));
        match self.direction {
            Direction::Ascending => SortKeyRange { above: after, below: before },
            Direction::Descending => SortKeyRange { above: before, below: after },
        }
    }

    /// Passes `skip` rows of the range, counted from its end, and returns how many it passed, and the next
    /// `wanted` rows; fewer only if there are no more.
    ///
    /// The index says who is listed, the row says whether it is seen: rows that are not, because
    /// they changed in between or because of the condition, are made up for from further on.
    async fn read(&self, range: &SortKeyRange, end: End, skip: usize, wanted: usize) -> Result<(usize, Rows<R>), ApiError> {
        let bound = self.loaders.limits.candidates;
        let direction = match (end, self.direction) {
            (End::First, direction) => direction,
            (End::Last, Direction::Ascending) => Direction::Descending,
            (End::Last, Direction::Descending) => Direction::Ascending,
        };
        let mut merge = ShardMerge::new(&self.loaders.store, self.index, range, direction);
        let mut rows: Rows<R> = Vec::new();
        let (mut read, mut skipped) = (0, 0);
        loop {
            let missing = skip - skipped + wanted - rows.len();
            // A condition that few rows meet is read for in growing steps.
            let step = if self.ask.filter.is_empty() { missing } else { missing.max(read).min(bound + 1 - read) };
            let entries = merge.next(if self.keeps_all(skip) { step } else { step.min(CHUNK) }).await?;
            read += entries.len();
            let mut found = self.rows(&entries, skip).await?;
            for entry in &entries {
                let Some(row) = found.remove(&entry.id).filter(|row| self.ask.filter.admits(row)) else { continue };
                if skipped < skip {
                    skipped += 1;
                } else if rows.len() < wanted {
                    rows.push((Position::of_entry(self.index, entry), row));
                }
            }
            if rows.len() == wanted || merge.is_at_end() {
                return Ok((skipped, rows));
            }
            if read > bound {
                return Err(ApiError::TooManyRows { bound, instead: INSTEAD });
            }
        }
    }

    /// Whether every row that is read is one of the page.
    fn keeps_all(&self, skip: usize) -> bool {
        skip == 0 && self.ask.filter.is_empty()
    }

    /// The rows at these entries. Those that are read for an offset or a condition may be many, and few are
    /// kept.
    async fn rows(&self, entries: &[IndexEntry], skip: usize) -> Result<HashMap<Id, R>, ApiError> {
        let ids: Vec<Id> = entries.iter().map(|entry| entry.id.clone()).collect();
        if self.keeps_all(skip) {
            return R::load(self.loaders, ids).await;
        }
        let _one_at_a_time = self.loaders.in_memory.acquire().await;
        R::read(self.loaders, &ids, self.loaders.parts).await
    }
}

/// The ids of every row that an index lists, as long as they are few enough.
pub(super) async fn all<R: Row>(loaders: &Loaders) -> Result<Vec<Id>, ApiError> {
    let bound = loaders.limits.candidates;
    let Some(index) = R::Column::index(&[R::Column::PRIMARY_KEY]) else {
        return Ok(Vec::new());
    };
    let mut merge = ShardMerge::new(&loaders.store, index, &SortKeyRange::default(), Direction::Ascending);
    let entries = merge.next(bound + 1).await?;
    if entries.len() > bound {
        return Err(ApiError::TooManyRows { bound, instead: INSTEAD });
    }
    Ok(entries.into_iter().map(|entry| entry.id).collect())
}
