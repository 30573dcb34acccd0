//! What the console asks about the local stack.

use console::{Activity, Finding, Queue, Source, Verdict};
use futures_util::future::{BoxFuture, FutureExt as _, ready};
use store::Store;

use crate::last_hour::LastHour;

/// The local stack, for the console. It has no queues.
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
        let (verdict, found, mend) = match described {
            Ok(_) => (Verdict::Ok, "there".to_owned(), None),
            Err(error) => (Verdict::Fail, error.into_service_error().to_string(), Some("start the local stack anew".to_owned())),
        };
        Finding { name: format!("table {name}"), verdict, found, mend }
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
