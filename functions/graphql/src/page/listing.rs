//! A list field of the schema. Nothing is read before one of its subfields is resolved.

use std::{collections::HashMap, sync::Arc};

use domain::id::Id;
use store::{Index, Projection};
use tokio::sync::OnceCell;

use super::{
    Direction, ListQuery, Position,
    in_memory::{Bounds, bounds},
    index_reader::{CHUNK, IndexReader, PageRead, Rows, all_ids},
    window::{End, Window},
};
use crate::{
    column::Column,
    error::ApiError,
    load::{LoadRow, Loaders},
};

/// The rows that a list is selected from.
#[derive(Clone, Debug)]
pub(crate) enum Source<R> {
    /// Every visible row.
    All,
    /// The visible rows among these ids.
    Ids(Vec<Id>),
    /// Rows that are loaded already.
    Rows(Vec<R>),
}

impl<R> Source<R> {
    /// Whether the list may be read from an index.
    pub(crate) fn is_all(&self) -> bool {
        matches!(self, Self::All)
    }
}

#[derive(Debug)]
pub(crate) struct Page<R> {
    pub(crate) rows: Rows<R>,
    pub(crate) has_next: bool,
    pub(crate) has_previous: bool,
}

/// Which fields of `pageInfo` the query selects. Each may cost reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageInfoRequest {
    pub(crate) has_next_page: bool,
    pub(crate) has_previous_page: bool,
}

impl PageInfoRequest {
    /// Whether the query selects the field that shows rows beyond the page.
    fn shows_more(self, end: End) -> bool {
        if end == End::First { self.has_next_page } else { self.has_previous_page }
    }
}

#[derive(Debug)]
pub(crate) struct Listing<R: LoadRow> {
    loaders: Arc<Loaders>,
    source: Source<R>,
    pub(crate) query: ListQuery<R::Column>,
    page_info: PageInfoRequest,
    sorted: OnceCell<Result<Arc<Vec<Position>>, ApiError>>,
    page: OnceCell<Result<Arc<Page<R>>, ApiError>>,
}

impl<R: LoadRow> Listing<R> {
    pub(crate) fn new(loaders: Arc<Loaders>, source: Source<R>, query: ListQuery<R::Column>, page_info: PageInfoRequest) -> Self {
        Self { loaders, source, query, page_info, sorted: OnceCell::new(), page: OnceCell::new() }
    }

    /// Whether the page has all rows between its first and its last in primary-key order.
    pub(crate) fn is_contiguous(&self) -> bool {
        let index = self.index().map(|(index, _)| index);
        self.query.filter.is_empty() && index.is_some() && index == primary_key_index::<R>()
    }

    /// The index that has the list's order, and the direction to read it in.
    fn index(&self) -> Option<(Index, Direction)> {
        if self.source.is_all() { self.query.order.index() } else { None }
    }

    pub(crate) async fn page(&self) -> Result<Arc<Page<R>>, ApiError> {
        let read = || async { self.read_page().await.map(Arc::new) };
        self.page.get_or_init(read).await.clone()
    }

    /// The number of rows of the list, whatever the page.
    pub(crate) async fn total_count(&self) -> Result<u64, ApiError> {
        let index = primary_key_index::<R>().filter(|_| self.source.is_all() && self.query.filter.is_empty());
        let Some(index) = index else {
            return Ok(self.sorted().await?.len().try_into().unwrap_or(u64::MAX));
        };
        let limit = self.loaders.limits.count;
        self.loaders.store.count(index, limit).await?.ok_or(ApiError::TooManyToCount { limit })
    }

    async fn read_page(&self) -> Result<Page<R>, ApiError> {
        let (page, has_more) = match self.index() {
            Some((index, direction)) => {
                let (loaders, query) = (self.loaders.as_ref(), &self.query);
                self.read_from_index(&IndexReader { loaders, query, index, direction }).await?
            }
            None => self.read_in_memory().await?,
        };
        let Window { end, limit, is_capped, .. } = self.query.window;
        if is_capped && has_more && !self.page_info.shows_more(end) {
            return Err(ApiError::PageTooLarge { limit });
        }
        self.loaders.row_budget.spend(page.rows.len())?;
        Ok(page)
    }

    /// The page, and whether the window has rows beyond it.
    async fn read_from_index(&self, reader: &IndexReader<'_, R>) -> Result<(Page<R>, bool), ApiError> {
        let Window { after, before, end, limit, is_capped, has_size, offset } = &self.query.window;
        if *limit == 0 {
            return Ok((Page { rows: Vec::new(), has_next: false, has_previous: false }, false));
        }
        let look_ahead = self.page_info.shows_more(*end) || *is_capped;
        let PageRead { rows, has_more, skipped } = reader.page(look_ahead).await?;
        let (mut has_next, mut has_previous) = match end {
            End::First => (has_more, *offset > 0),
            End::Last => (false, has_more),
        };
        // The window is empty if `before` is not after `after`. Then only the cursor at the page's start counts.
        let is_empty = match (after, before) {
            (Some(after), Some(before)) => self.query.order.compare(after, before).is_ge(),
            _ => false,
        };
        if self.page_info.has_next_page && !has_next {
            has_next = match (end, after, before) {
                (_, _, Some(before)) if !has_size => reader.has_from(before, 0).await?,
                (End::First, Some(after), Some(_)) if is_empty => reader.has_after(after, *offset).await?,
                // Rows of the offset that lie beyond `before` are skipped from there.
                (_, _, Some(before)) => reader.has_from(before, offset - skipped).await?,
                (_, _, None) => false,
            };
        }
        if self.page_info.has_previous_page && !has_previous {
            has_previous = match (end, after, before) {
                (End::Last, Some(_), Some(before)) if is_empty => reader.has_before(before).await?,
                (_, Some(after), _) => reader.has_up_to(after).await?,
                (_, None, _) => false,
            };
        }
        Ok((Page { rows, has_next, has_previous }, has_more))
    }

    /// The page, and whether the window has rows beyond it.
    async fn read_in_memory(&self) -> Result<(Page<R>, bool), ApiError> {
        let sorted = self.sorted().await?;
        let Bounds { page, has_next, has_previous, has_more } = bounds(&sorted, &self.query.order, &self.query.window);
        let positions = sorted.get(page).unwrap_or_default();
        let mut found = self.rows_at(positions).await?;
        // A row may have been deleted since it was sorted.
        let row = |position: &Position| Some((position.clone(), found.remove(&position.id()?)?));
        Ok((Page { rows: positions.iter().filter_map(row).collect(), has_next, has_previous }, has_more))
    }

    async fn rows_at(&self, positions: &[Position]) -> Result<HashMap<Id, R>, ApiError> {
        let ids = positions.iter().filter_map(Position::id);
        match &self.source {
            Source::Rows(rows) => {
                let mut rows: HashMap<Id, R> = rows.iter().map(|row| (row.id().clone(), row.clone())).collect();
                Ok(ids.filter_map(|id| rows.remove_entry(&id)).collect())
            }
            Source::All | Source::Ids(_) => R::load(&self.loaders, ids.collect()).await,
        }
    }

    /// The positions of all rows that meet the condition, sorted.
    async fn sorted(&self) -> Result<Arc<Vec<Position>>, ApiError> {
        let sort = || async {
            let mut positions = self.positions().await?;
            positions.sort_unstable_by(|a, b| self.query.order.compare(a, b));
            Ok(Arc::new(positions))
        };
        self.sorted.get_or_init(sort).await.clone()
    }

    async fn positions(&self) -> Result<Vec<Position>, ApiError> {
        let ids = match &self.source {
            Source::Rows(rows) => return Ok(self.positions_of(rows.iter())),
            Source::Ids(ids) if ids.len() <= CHUNK => {
                let rows = R::load(&self.loaders, ids.clone()).await?;
                return Ok(self.positions_of(rows.values()));
            }
            Source::Ids(ids) => ids.clone(),
            Source::All => all_ids::<R>(&self.loaders).await?,
        };
        let _permit = self.loaders.in_memory.acquire().await;
        let mut positions = Vec::with_capacity(ids.len());
        for ids in ids.chunks(CHUNK) {
            let rows = R::read(&self.loaders, ids, self.loaders.parts.min(Projection::Profiles)).await?;
            positions.extend(self.positions_of(rows.values()));
        }
        Ok(positions)
    }

    fn positions_of<'a>(&self, rows: impl Iterator<Item = &'a R>) -> Vec<Position> {
        rows.filter(|row| self.query.filter.matches(*row)).map(|row| self.query.order.position(row)).collect()
    }
}

fn primary_key_index<R: LoadRow>() -> Option<Index> {
    R::Column::index(&[R::Column::PRIMARY_KEY])
}
