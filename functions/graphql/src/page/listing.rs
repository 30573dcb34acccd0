//! A list as a field of the schema answers with it: read when the first of its fields is.

use std::sync::Arc;

use futures_util::future::try_join_all;
use shared::{id::Id, store::SHARDS};
use tokio::sync::OnceCell;

use super::{
    Ask, Column, Row,
    gathered::cut,
    stream::{Rows, Stream, all},
    window::{End, Window},
};
use crate::{error::ApiError, load::Loaders};

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

/// A page of a list.
#[derive(Debug)]
pub(crate) struct Page<R> {
    pub(crate) rows: Rows<R>,
    pub(crate) has_next: bool,
    pub(crate) has_previous: bool,
}

/// A list as it was asked for.
#[derive(Debug)]
pub(crate) struct Listing<R: Row> {
    loaders: Arc<Loaders>,
    source: Source<R>,
    pub(crate) ask: Ask<R::Column>,
    wants_next: bool,
    wants_previous: bool,
    gathered: OnceCell<Result<Arc<Vec<R>>, ApiError>>,
    page: OnceCell<Result<Arc<Page<R>>, ApiError>>,
}

impl<R: Row> Listing<R> {
    /// `wants` says whether the next and the previous page are asked after: to know costs reads.
    pub(crate) fn new(loaders: Arc<Loaders>, source: Source<R>, ask: Ask<R::Column>, wants: (bool, bool)) -> Self {
        Self {
            loaders,
            source,
            ask,
            wants_next: wants.0,
            wants_previous: wants.1,
            gathered: OnceCell::new(),
            page: OnceCell::new(),
        }
    }

    /// Whether the page holds all rows between its first and its last, in primary-key order.
    pub(crate) fn is_contiguous(&self) -> bool {
        let by_primary_key = R::Column::index(&[R::Column::PRIMARY_KEY]);
        matches!(self.source, Source::List)
            && self.ask.filter.is_empty()
            && self.ask.order.index().map(|(index, _)| index) == by_primary_key
    }

    pub(crate) async fn page(&self) -> Result<Arc<Page<R>>, ApiError> {
        let read = || async { self.read_page().await.map(Arc::new) };
        self.page.get_or_init(read).await.clone()
    }

    /// How many rows the list has, whatever the page.
    pub(crate) async fn total(&self) -> Result<u64, ApiError> {
        if !matches!(self.source, Source::List) || !self.ask.filter.is_empty() {
            return Ok(self.gathered().await?.len().try_into().unwrap_or(u64::MAX));
        }
        let bound = self.loaders.limits.count;
        let too_many = || ApiError::TooManyToCount { bound };
        let Some(index) = R::Column::index(&[R::Column::PRIMARY_KEY]) else {
            return Ok(0);
        };
        let counts = (0..SHARDS).map(|shard| self.loaders.store.count(index, shard, bound));
        let counts: Option<Vec<u64>> = try_join_all(counts).await?.into_iter().collect();
        let total = counts.ok_or_else(too_many)?.into_iter().sum();
        if total > bound { Err(too_many()) } else { Ok(total) }
    }

    async fn read_page(&self) -> Result<Page<R>, ApiError> {
        match (&self.source, self.ask.order.index()) {
            (Source::List, Some((index, direction))) => {
                let (loaders, ask) = (self.loaders.as_ref(), &self.ask);
                self.read_off(&Stream { loaders, ask, index, direction }).await
            }
            _ => {
                let cut = cut(&self.gathered().await?, &self.ask);
                Ok(Page { rows: cut.rows, has_next: cut.has_next, has_previous: cut.has_previous })
            }
        }
    }

    async fn read_off(&self, stream: &Stream<'_, R>) -> Result<Page<R>, ApiError> {
        let Window { after, before, end, limit, offset } = &self.ask.window;
        let (rows, has_more) = stream.page(if *end == End::First { self.wants_next } else { self.wants_previous }).await?;
        let (mut has_next, mut has_previous) = match end {
            End::First => (has_more, *offset > 0),
            End::Last => (false, has_more),
        };
        if *limit == 0 {
            return Ok(Page { rows, has_next: false, has_previous: false });
        }
        if let Some(before) = before.as_ref().filter(|_| self.wants_next && !has_next) {
            has_next = stream.has_from(before).await?;
        }
        if let Some(after) = after.as_ref().filter(|_| self.wants_previous && !has_previous) {
            has_previous = stream.has_up_to(after).await?;
        }
        Ok(Page { rows, has_next, has_previous })
    }

    /// All rows of the list, in no order.
    async fn gathered(&self) -> Result<Arc<Vec<R>>, ApiError> {
        let gather = || async { self.gather().await.map(Arc::new) };
        self.gathered.get_or_init(gather).await.clone()
    }

    async fn gather(&self) -> Result<Vec<R>, ApiError> {
        let mut rows = match &self.source {
            Source::List => all(&self.loaders).await?,
            Source::Ids(ids) => R::load(&self.loaders, ids.clone()).await?.into_values().collect(),
            Source::Rows(rows) => rows.clone(),
        };
        rows.retain(|row| self.ask.filter.admits(row));
        Ok(rows)
    }
}
