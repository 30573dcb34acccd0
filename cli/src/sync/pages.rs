//! Compares all records that Stigg lists, page by page. At most two pages are in memory.

use std::collections::HashMap;

use domain::id::Id;
use futures_util::{StreamExt as _, future::join, stream};
use jiff::Timestamp;
use serde_json::Value;
use store::{CustomerRow, Projection, SubscriptionRow};

use super::{Comparison, Fatal, Skipped, Synchronizer};
use crate::stigg::{BadRecord, Cursor, CustomerRecord, Page, Records, StiggError, SubscriptionRecord};

#[derive(Debug)]
pub enum Progress {
    Record {
        /// The ids of the record and its customer; None if the record is unreadable.
        ids: Option<(Id, Id)>,
        comparison: Comparison,
    },
    /// A page is done: all its records were reported.
    Page {
        /// None after the last page.
        next: Option<Cursor>,
    },
}

impl Synchronizer {
    /// Compares all records of a kind, starting at `from`, and calls `on_progress` for each. The next page is fetched while one is
    /// compared.
    ///
    /// # Errors
    /// [`Fatal`], or the error of `on_progress`.
    pub async fn compare_all<E: From<Fatal>>(
        &self,
        records: Records,
        from: Option<Cursor>,
        concurrency: usize,
        mut on_progress: impl AsyncFnMut(Progress) -> Result<(), E>,
    ) -> Result<(), E> {
        let fetch = async |from: Option<&Cursor>| self.stigg.page(records, None, from).await;
        let fatal = |error: StiggError| E::from(Fatal::Stigg(error));
        let mut page = fetch(from.as_ref()).await.map_err(fatal)?;
        loop {
            let next = page.next.clone();
            let following = async {
                match &next {
                    Some(cursor) => Some(fetch(Some(cursor)).await),
                    None => None,
                }
            };
            let (done, following) = join(self.compare_page(records, page, concurrency, &mut on_progress), following).await;
            done?;
            on_progress(Progress::Page { next: next.clone() }).await?;
            match following {
                Some(following) => page = following.map_err(fatal)?,
                None => return Ok(()),
            }
        }
    }

    async fn compare_page<E: From<Fatal>>(
        &self,
        records: Records,
        page: Page,
        concurrency: usize,
        on_progress: &mut impl AsyncFnMut(Progress) -> Result<(), E>,
    ) -> Result<(), E> {
        match records {
            Records::Customers => {
                let read = read(&page.records, "customer", CustomerRecord::read);
                let ids = read.iter().filter_map(|read| read.as_ref().ok()).map(|record| record.id.clone());
                let rows = self.customer_rows(ids.collect()).await?;
                let compare = async |read: Result<CustomerRecord, Skipped>| {
                    let record = match read {
                        Ok(record) => record,
                        Err(skipped) => return Ok(unreadable(skipped)),
                    };
                    let comparison = self.customer(&record, page.read_at, rows.get(&record.id)).await?;
                    if rows.contains_key(&record.id) {
                        self.confirmations.note(records, &record.id);
                    }
                    Ok(Progress::Record { ids: Some((record.id.clone(), record.id)), comparison })
                };
                report_each(stream::iter(read.into_iter().map(compare)).buffer_unordered(concurrency), on_progress).await
            }
            Records::Subscriptions => {
                let read = read(&page.records, "subscription", SubscriptionRecord::read);
                let (rows, customers) = self.rows_of(read.iter().filter_map(|read| read.as_ref().ok())).await?;
                let compare = async |read: Result<SubscriptionRecord, Skipped>| {
                    let record = match read {
                        Ok(record) => record,
                        Err(skipped) => return Ok(unreadable(skipped)),
                    };
                    let customer = customers.get(&record.customer_id);
                    let comparison = self.subscription(&record, page.read_at, rows.get(&record.id), customer).await?;
                    if rows.contains_key(&record.id) {
                        self.confirmations.note(records, &record.id);
                    }
                    Ok(Progress::Record { ids: Some((record.id, record.customer_id)), comparison })
                };
                report_each(stream::iter(read.into_iter().map(compare)).buffer_unordered(concurrency), on_progress).await
            }
        }
    }

    /// Strongly consistent: an import may just have written the customers.
    pub(super) async fn customer_rows(&self, mut ids: Vec<Id>) -> Result<HashMap<Id, CustomerRow>, Fatal> {
        ids.sort();
        ids.dedup();
        let rows = self.store.customers_consistently(&ids, Projection::Entitlements).await?;
        Ok(rows.into_iter().map(|row| (row.customer_id.clone(), row)).collect())
    }

    pub(super) async fn rows_of(
        &self,
        records: impl Iterator<Item = &SubscriptionRecord> + Clone,
    ) -> Result<(HashMap<Id, SubscriptionRow>, HashMap<Id, CustomerRow>), Fatal> {
        let mut ids: Vec<Id> = records.clone().map(|record| record.id.clone()).collect();
        ids.sort();
        ids.dedup();
        let customers = self.customer_rows(records.map(|record| record.customer_id.clone()).collect()).await?;
        let rows = self.store.subscriptions(&ids).await?;
        Ok((rows.into_iter().map(|row| (row.subscription_id.clone(), row)).collect(), customers))
    }
}

async fn report_each<E: From<Fatal>>(
    compared: impl futures_util::Stream<Item = Result<Progress, Fatal>>,
    on_progress: &mut impl AsyncFnMut(Progress) -> Result<(), E>,
) -> Result<(), E> {
    let mut compared = std::pin::pin!(compared);
    while let Some(progress) = compared.next().await {
        on_progress(progress?).await?;
    }
    Ok(())
}

fn unreadable(skipped: Skipped) -> Progress {
    Progress::Record { ids: None, comparison: Comparison { skipped: vec![skipped], ..Comparison::default() } }
}

fn read<T>(records: &[Value], what: &'static str, read: impl Fn(&Value) -> Result<T, BadRecord>) -> Vec<Result<T, Skipped>> {
    let read_one = |record: &Value| {
        read(record).map_err(|bad| {
            let id = record.get("id").and_then(Value::as_str).map(|id| id.chars().take(100).collect());
            Skipped { id, record: what, reason: bad.to_string() }
        })
    };
    records.iter().map(read_one).collect()
}

#[derive(Debug, Default)]
pub struct InspectedCustomer {
    pub comparison: Comparison,
    /// Why it was not compared completely. None if it was.
    pub not_compared: Option<String>,
    /// When Stigg answered that it does not know a customer that is visible in the replica.
    pub unknown_at: Option<Timestamp>,
}
