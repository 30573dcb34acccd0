//! Tells a query that was refused from one that was carried out, which HTTP's status depends on.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_graphql::{
    Response,
    extensions::{Extension, ExtensionContext, ExtensionFactory, NextExecute},
};

/// Whether the query was found good and its fields were asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Began(Arc<AtomicBool>);

impl Began {
    pub(crate) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Sets a request's [`Began`].
#[derive(Debug)]
pub(crate) struct Phase;

impl ExtensionFactory for Phase {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self)
    }
}

#[async_graphql::async_trait::async_trait]
impl Extension for Phase {
    async fn execute(&self, ctx: &ExtensionContext<'_>, operation_name: Option<&str>, next: NextExecute<'_>) -> Response {
        if let Ok(began) = ctx.data::<Began>() {
            began.0.store(true, Ordering::Relaxed);
        }
        next.run(ctx, operation_name).await
    }
}
