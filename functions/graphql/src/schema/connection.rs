//! Connections: a page of a list, and what is known around it.

use std::sync::{Arc, OnceLock};

use async_graphql::{Context, Object, Result, SimpleObject};

use super::{customer::Customer, scalar::Cursor, subscription::Subscription};
use crate::{
    page::{Listing, Page, Row},
    row::{CustomerRow, SubscriptionRow},
    siblings::Siblings,
};

/// Where the page lies in its list.
#[derive(SimpleObject)]
pub(crate) struct PageInfo {
    /// Whether there are rows after this page.
    has_next_page: bool,
    /// Whether there are rows before this page.
    has_previous_page: bool,
    /// The cursor of the page's first row: give it to `before` for the previous page.
    start_cursor: Option<Cursor>,
    /// The cursor of the page's last row: give it to `after` for the next page.
    end_cursor: Option<Cursor>,
}

/// Whether the next and the previous page are asked after, anywhere below this field.
pub(super) fn page_info_requested(ctx: &Context<'_>) -> (bool, bool) {
    let info = ctx.look_ahead().field("pageInfo");
    (info.field("hasNextPage").exists(), info.field("hasPreviousPage").exists())
}

async fn page_info<R: Row>(listing: &Listing<R>) -> Result<PageInfo> {
    let page = listing.page().await?;
    let cursor =
        |row: Option<&(crate::page::Position, R)>| row.map(|(position, _)| Cursor(position.to_cursor(&listing.ask.order)));
    Ok(PageInfo {
        has_next_page: page.has_next,
        has_previous_page: page.has_previous,
        start_cursor: cursor(page.rows.first()),
        end_cursor: cursor(page.rows.last()),
    })
}

/// A page of customers.
pub(crate) struct CustomersConnection {
    listing: Listing<Arc<CustomerRow>>,
    siblings: OnceLock<Arc<Siblings>>,
}

impl CustomersConnection {
    pub(super) fn new(listing: Listing<Arc<CustomerRow>>) -> Self {
        Self { listing, siblings: OnceLock::new() }
    }

    async fn page(&self) -> Result<(Arc<Page<Arc<CustomerRow>>>, &Arc<Siblings>)> {
        let page = self.listing.page().await?;
        let siblings = self.siblings.get_or_init(|| {
            let customers = page.rows.iter().map(|(_, row)| Arc::clone(row)).collect();
            Siblings::new(customers, self.listing.is_contiguous())
        });
        Ok((page, siblings))
    }
}

/// A page of customers, and what is known around it.
#[Object]
impl CustomersConnection {
    /// The customers of the page.
    async fn nodes(&self) -> Result<Vec<Customer>> {
        let (page, siblings) = self.page().await?;
        let node = |row: &Arc<CustomerRow>| Customer::new(Arc::clone(row), Arc::clone(siblings));
        Ok(page.rows.iter().map(|(_, row)| node(row)).collect())
    }

    /// The customers of the page, each with its cursor.
    async fn edges(&self) -> Result<Vec<CustomersEdge>> {
        let (page, siblings) = self.page().await?;
        let order = &self.listing.ask.order;
        let edge = |(position, row): &(crate::page::Position, Arc<CustomerRow>)| CustomersEdge {
            cursor: Some(Cursor(position.to_cursor(order))),
            node: Customer::new(Arc::clone(row), Arc::clone(siblings)),
        };
        Ok(page.rows.iter().map(edge).collect())
    }

    /// Where the page lies in its list.
    async fn page_info(&self) -> Result<PageInfo> {
        page_info(&self.listing).await
    }

    /// How many customers the list has, whatever the page. Counted only when it is asked for.
    async fn total_count(&self) -> Result<u64> {
        Ok(self.listing.total().await?)
    }
}

/// A customer of a page.
#[derive(SimpleObject)]
pub(crate) struct CustomersEdge {
    /// Where the customer stands in the list.
    cursor: Option<Cursor>,
    /// The customer.
    node: Customer,
}

/// A page of subscriptions.
pub(crate) struct SubscriptionsConnection {
    pub(super) listing: Listing<Arc<SubscriptionRow>>,
}

/// A page of subscriptions, and what is known around it.
#[Object]
impl SubscriptionsConnection {
    /// The subscriptions of the page.
    async fn nodes(&self) -> Result<Vec<Subscription>> {
        let page = self.listing.page().await?;
        Ok(page.rows.iter().map(|(_, row)| Subscription(Arc::clone(row))).collect())
    }

    /// The subscriptions of the page, each with its cursor.
    async fn edges(&self) -> Result<Vec<SubscriptionsEdge>> {
        let page = self.listing.page().await?;
        let order = &self.listing.ask.order;
        let edge = |(position, row): &(crate::page::Position, Arc<SubscriptionRow>)| SubscriptionsEdge {
            cursor: Some(Cursor(position.to_cursor(order))),
            node: Subscription(Arc::clone(row)),
        };
        Ok(page.rows.iter().map(edge).collect())
    }

    /// Where the page lies in its list.
    async fn page_info(&self) -> Result<PageInfo> {
        page_info(&self.listing).await
    }

    /// How many subscriptions the list has, whatever the page. Counted only when it is asked for.
    async fn total_count(&self) -> Result<u64> {
        Ok(self.listing.total().await?)
    }
}

/// A subscription of a page.
#[derive(SimpleObject)]
pub(crate) struct SubscriptionsEdge {
    /// Where the subscription stands in the list.
    cursor: Option<Cursor>,
    /// The subscription.
    node: Subscription,
}
