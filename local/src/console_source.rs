//! The console's data about the local stack from outside the tables.

use console::{Activity, Finding, Queue, Source, Verdict};
use futures_util::future::{BoxFuture, FutureExt as _, ready};
use store::Store;

use crate::last_hour::LastHour;

/// The local stack has no queues.
#[derive(Debug)]
pub(crate) struct LocalSource {
    store: Store,
    last_hour: LastHour,
}

impl LocalSource {
    pub(crate) fn new(store: Store, last_hour: LastHour) -> Self {
        Self { store, last_hour }
    }

    async fn table(&self, name: &str) -> Finding {
        let described = self.store.client().describe_table().table_name(name).send().await;
        let (verdict, found, fix) = match described {
            Ok(_) => (Verdict::Ok, "exists".to_owned(), None),
            Err(error) => (Verdict::Fail, error.into_service_error().to_string(), Some("restart the local stack".to_owned())),
        };
        Finding { name: format!("table {name}"), verdict, found, fix }
    }
}

impl Source for LocalSource {
    fn deployment(&self) -> String {
        "the local stack".to_owned()
    }

    fn doctor(&self) -> BoxFuture<'_, Vec<Finding>> {
        async {
            let tables = self.store.tables();
            let mut findings = Vec::new();
            for name in [&tables.customers, &tables.subscriptions, &tables.receipts] {
                findings.push(self.table(name).await);
            }
            findings
        }
        .boxed()
    }

    fn queues(&self) -> BoxFuture<'_, Vec<Queue>> {
        ready(Vec::new()).boxed()
    }

    fn activity(&self) -> Option<Activity> {
        Some(self.last_hour.activity())
    }
}
