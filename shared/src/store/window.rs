//! Many writes beside one another, but not too many.

use futures_util::{TryStreamExt as _, stream::FuturesUnordered};

use super::{CONCURRENT, StoreError};

/// Writes that are under way, at most [`CONCURRENT`] of them.
pub(super) struct Window<F> {
    pending: FuturesUnordered<F>,
}

impl<F: Future<Output = Result<(), StoreError>>> Window<F> {
    pub(super) fn new() -> Self {
        Self { pending: FuturesUnordered::new() }
    }

    /// Adds a write, once there is room for it.
    pub(super) async fn push(&mut self, write: F) -> Result<(), StoreError> {
        if self.pending.len() >= CONCURRENT {
            self.pending.try_next().await?;
        }
        self.pending.push(write);
        Ok(())
    }

    /// Waits until all are done.
    pub(super) async fn finish(mut self) -> Result<(), StoreError> {
        while self.pending.try_next().await?.is_some() {}
        Ok(())
    }
}
