//! A list as a field of the schema answers with it: read when the first of its fields is.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use domain::id::Id;
use store::{Index, Projection};
use tokio::sync::OnceCell;

use super::{
    Ask, Column, Position, Row,
    in_memory::{Bounds, bounds},
    stream::{Rows, Stream, all},
    window::{End, Window},
};
use crate::{error::ApiError, load::Loaders};

/// The most rows that are read at once to be sorted or filtered: they are kept no longer than that.
pub(super) const CHUNK: usize = 1_000;

/// Where the rows of a list come from.
#[derive(Clone, Debug)]
pub(crate) enum Source<R> {
    /// All there are.
    List,
    /// Those of these ids, as far as readers see them.
    Ids(Vec<Id>),
    /// These.
    Rows(Vec<R>),
}

impl<R> Source<R> {
    /// Whether an index may have the rows in order.
    pub(crate) fn is_list(&self) -> bool {
        matches!(self, Self::List)
    }
}

/// A page of a list.
#[derive(Debug)]
pub(crate) struct Page<R> {
    pub(crate) rows: Rows<R>,
    pub(crate) has_next: bool,
    pub(crate) has_previous: bool,
}

/// The rows of an answer so far, all lists together.
#[derive(Debug, Default)]
pub(crate) struct Answered(AtomicUsize);

impl Answered {
    fn add(&self, rows: usize, bound: usize) -> Result<(), ApiError> {
        let all = self.0.fetch_add(rows, Ordering::Relaxed).saturating_add(rows);
        if all > bound { Err(ApiError::AnswerTooLong { bound }) } else { Ok(()) }
    }
}

/// A list as it was asked for.
#[derive(Debug)]
pub(crate) struct Listing<R: Row> {
    loaders: Arc<Loaders>,
    source: Source<R>,
    pub(crate) ask: Ask<R::Column>,
    wants_next: bool,
    wants_previous: bool,
    sorted: OnceCell<Result<Arc<Vec<Position>>, ApiError>>,
    page: OnceCell<Result<Arc<Page<R>>, ApiError>>,
}

impl<R: Row> Listing<R> {
    /// `page_info_requested` says whether the next and the previous page are asked after: to know costs
    /// reads.
    pub(crate) fn new(loaders: Arc<Loaders>, source: Source<R>, ask: Ask<R::Column>, page_info_requested: (bool, bool)) -> Self {
        let (wants_next, wants_previous) = page_info_requested;
        Self { loaders, source, ask, wants_next, wants_previous, sorted: OnceCell::new(), page: OnceCell::new() }
    }

    /// Whether the page holds all rows between its first and its last, in primary-key order.
    pub(crate) fn is_contiguous(&self) -> bool {
        let index = self.index().map(|(index, _)| index);
        self.ask.filter.is_empty() && index.is_some() && index == primary_key_index::<R>()
    }

    /// The index that has the list in its order, and the way to read it.
    fn index(&self) -> Option<(Index, super::Direction)> {
        if self.source.is_list() { self.ask.order.index() } else { None }
    }

    pub(crate) async fn page(&self) -> Result<Arc<Page<R>>, ApiError> {
        let read = || async { self.read_page().await.map(Arc::new) };
        self.page.get_or_init(read).await.clone()
    }

    /// How many rows the list has, whatever the page.
    pub(crate) async fn total(&self) -> Result<u64, ApiError> {
        let index = primary_key_index::<R>().filter(|_| self.source.is_list() && self.ask.filter.is_empty());
        let Some(index) = index else {
            return Ok(self.sorted().await?.len().try_into().unwrap_or(u64::MAX));
        };
        let bound = self.loaders.limits.count;
        self.loaders.store.count(index, bound).await?.ok_or(ApiError::TooManyToCount { bound })
    }

    async fn read_page(&self) -> Result<Page<R>, ApiError> {
        let (page, has_more) = match self.index() {
            Some((index, direction)) => {
                let (loaders, ask) = (self.loaders.as_ref(), &self.ask);
                self.read_from_index(&Stream { loaders, ask, index, direction }).await?
            }
            None => self.read_in_memory().await?,
        };
        let Window { end, limit, is_capped, .. } = self.ask.window;
        // A page is never cut silently: whoever asks whether there are more rows is told so.
        let is_told = if end == End::First { self.wants_next } else { self.wants_previous };
        if is_capped && has_more && !is_told {
            return Err(ApiError::PageTooLarge { limit });
        }
        self.loaders.answered.add(page.rows.len(), self.loaders.limits.rows)?;
        Ok(page)
    }

    async fn read_from_index(&self, stream: &Stream<'_, R>) -> Result<(Page<R>, bool), ApiError> {
        let Window { after, before, end, limit, is_capped, has_size, offset } = &self.ask.window;
        if *limit == 0 {
            return Ok((Page { rows: Vec::new(), has_next: false, has_previous: false }, false));
        }
        let is_asked_for_more = if *end == End::First { self.wants_next } else { self.wants_previous };
        let (rows, has_more, skipped) = stream.page(is_asked_for_more || *is_capped).await?;
        let (mut has_next, mut has_previous) = match end {
            End::First => (has_more, *offset > 0),
            End::Last => (false, has_more),
        };
        // Of two cursors in the wrong order, the one that the page is read from decides.
        let is_empty = match (after, before) {
            (Some(after), Some(before)) => self.ask.order.compare(after, before).is_ge(),
            _ => false,
        };
        if self.wants_next && !has_next {
            has_next = match (end, after, before) {
                (_, _, Some(before)) if !has_size => stream.has_from(before, 0).await?,
                (End::First, Some(after), Some(_)) if is_empty => stream.has_after(after, *offset).await?,
                // Of an offset beyond the window, what is left counts on beyond `before`.
                (_, _, Some(before)) => stream.has_from(before, offset - skipped).await?,
                (_, _, None) => false,
            };
        }
        if self.wants_previous && !has_previous {
            has_previous = match (end, after, before) {
                (End::Last, Some(_), Some(before)) if is_empty => stream.has_before(before).await?,
                (_, Some(after), _) => stream.has_up_to(after).await?,
                (_, None, _) => false,
            };
        }
        Ok((Page { rows, has_next, has_previous }, has_more))
    }

    async fn read_in_memory(&self) -> Result<(Page<R>, bool), ApiError> {
        let sorted = self.sorted().await?;
        let Bounds { page, has_next, has_previous, has_more } = bounds(&sorted, &self.ask.order, &self.ask.window);
        let positions = sorted.get(page).unwrap_or_default();
        let mut found = self.rows_of(positions).await?;
        // A row that is gone since it was sorted is left out.
        let row = |position: &Position| Some((position.clone(), found.remove(&position.id()?)?));
        Ok((Page { rows: positions.iter().filter_map(row).collect(), has_next, has_previous }, has_more))
    }

    async fn rows_of(&self, positions: &[Position]) -> Result<HashMap<Id, R>, ApiError> {
        let ids = positions.iter().filter_map(Position::id);
        match &self.source {
            Source::Rows(rows) => {
                let mut rows: HashMap<Id, R> = rows.iter().map(|row| (row.id().clone(), row.clone())).collect();
                Ok(ids.filter_map(|id| rows.remove_entry(&id)).collect())
            }
            Source::List | Source::Ids(_) => R::load(&self.loaders, ids.collect()).await,
        }
    }

    /// The positions of all rows of the list, sorted.
    async fn sorted(&self) -> Result<Arc<Vec<Position>>, ApiError> {
        let sort = || async {
            let mut positions = self.positions().await?;
            positions.sort_unstable_by(|a, b| self.ask.order.compare(a, b));
            Ok(Arc::new(positions))
        };
        self.sorted.get_or_init(sort).await.clone()
    }

    async fn positions(&self) -> Result<Vec<Position>, ApiError> {
        let ids = match &self.source {
            Source::Rows(rows) => return Ok(self.admitted(rows.iter())),
            Source::Ids(ids) if ids.len() <= CHUNK => {
                let rows = R::load(&self.loaders, ids.clone()).await?;
                return Ok(self.admitted(rows.values()));
            }
            Source::Ids(ids) => ids.clone(),
            Source::List => all::<R>(&self.loaders).await?,
        };
        let _one_at_a_time = self.loaders.in_memory.acquire().await;
        let mut positions = Vec::with_capacity(ids.len());
        for ids in ids.chunks(CHUNK) {
            let rows = R::read(&self.loaders, ids, self.loaders.parts.min(Projection::Profiles)).await?;
            positions.extend(self.admitted(rows.values()));
        }
        Ok(positions)
    }

    fn admitted<'a>(&self, rows: impl Iterator<Item = &'a R>) -> Vec<Position> {
        rows.filter(|row| self.ask.filter.admits(*row)).map(|row| self.ask.order.position(row)).collect()
    }
}

fn primary_key_index<R: Row>() -> Option<Index> {
    R::Column::index(&[R::Column::PRIMARY_KEY])
}
