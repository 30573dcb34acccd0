//! Connections: a page of a list, with its cursors and its total count.

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
};

use async_graphql::{Context, Object, OutputType, Result, SimpleObject, TypeName};

use super::{
    arguments::{Condition, ListArguments, OrderBy},
    scalar::Cursor,
};
use crate::{
    load::{LoadRow, Loaders},
    page::{Filter, Listing, Page, PageInfoRequest, Position, Source},
};

/// An object type whose rows are listed.
pub(super) trait Node: OutputType {
    /// The names of the connection and the edge.
    const CONNECTION: &'static str;
    const EDGE: &'static str;

    type Row: LoadRow;

    /// What the nodes of a page share.
    type Shared: Send + Sync;

    fn shared(page: &Page<Self::Row>, is_contiguous: bool) -> Self::Shared;

    fn new(row: &Self::Row, shared: &Self::Shared) -> Self;
}

pub(crate) struct Connection<N: Node> {
    listing: Listing<N::Row>,
    shared: OnceLock<N::Shared>,
}

impl<N: Node> Connection<N> {
    pub(super) fn new<O, W>(
        ctx: &Context<'_>,
        arguments: ListArguments<O, W>,
        filter: Filter<O::Column>,
        source: Source<N::Row>,
    ) -> Result<Self>
    where
        N::Row: LoadRow<Column = O::Column>,
        O: OrderBy,
        W: Condition<Column = O::Column>,
    {
        let loaders = Loaders::from_context(ctx)?;
        let query = arguments.list_query(filter, source.is_all(), loaders.limits.page)?;
        let page_info = ctx.look_ahead().field("pageInfo");
        let page_info = PageInfoRequest {
            has_next_page: page_info.field("hasNextPage").exists(),
            has_previous_page: page_info.field("hasPreviousPage").exists(),
        };
        Ok(Self { listing: Listing::new(Arc::clone(loaders), source, query, page_info), shared: OnceLock::new() })
    }

    fn node(&self, page: &Page<N::Row>, row: &N::Row) -> N {
        let shared = self.shared.get_or_init(|| N::shared(page, self.listing.is_contiguous()));
        N::new(row, shared)
    }

    fn cursor(&self, position: &Position) -> Cursor {
        Cursor(position.to_cursor(&self.listing.query.order))
    }
}

impl<N: Node> TypeName for Connection<N> {
    fn type_name() -> Cow<'static, str> {
        N::CONNECTION.into()
    }
}

/// A page of a list.
#[Object(name_type)]
impl<N: Node> Connection<N> {
    /// The rows of the page.
    async fn nodes(&self) -> Result<Vec<N>> {
        let page = self.listing.page().await?;
        Ok(page.rows.iter().map(|(_, row)| self.node(&page, row)).collect())
    }

    /// The rows of the page, each with its cursor.
    async fn edges(&self) -> Result<Vec<Edge<N>>> {
        let page = self.listing.page().await?;
        let edge =
            |(position, row): &(Position, N::Row)| Edge { cursor: Some(self.cursor(position)), node: self.node(&page, row) };
        Ok(page.rows.iter().map(edge).collect())
    }

    /// The position of the page in the list.
    async fn page_info(&self) -> Result<PageInfo> {
        let page = self.listing.page().await?;
        let cursor = |row: Option<&(Position, N::Row)>| row.map(|(position, _)| self.cursor(position));
        Ok(PageInfo {
            has_next_page: page.has_next,
            has_previous_page: page.has_previous,
            start_cursor: cursor(page.rows.first()),
            end_cursor: cursor(page.rows.last()),
        })
    }

    /// Number of rows of the list, all pages together. Read only if it is selected.
    async fn total_count(&self) -> Result<u64> {
        Ok(self.listing.total_count().await?)
    }
}

/// A row of a page.
#[derive(SimpleObject)]
#[graphql(name_type)]
pub(crate) struct Edge<N: Node> {
    /// The position of the row in the list.
    cursor: Option<Cursor>,
    /// The row.
    node: N,
}

impl<N: Node> TypeName for Edge<N> {
    fn type_name() -> Cow<'static, str> {
        N::EDGE.into()
    }
}

/// The position of a page in its list.
#[derive(SimpleObject)]
pub(crate) struct PageInfo {
    /// Whether there are rows after this page.
    has_next_page: bool,
    /// Whether there are rows before this page.
    has_previous_page: bool,
    /// Cursor of the first row; pass it to `before` for the previous page.
    start_cursor: Option<Cursor>,
    /// Cursor of the last row; pass it to `after` for the next page.
    end_cursor: Option<Cursor>,
}
