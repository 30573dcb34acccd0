//! Stigg's API, as far as an import and a reconciliation read it.

mod client;
mod page;
mod record;
mod state;

pub use client::{Answer, Counts, Key, KeyError, Options, Stigg, StiggError};
pub use page::{Cursor, Page, Records};
pub use record::{BadRecord, CustomerRecord, MESSAGE_ID, SubscriptionRecord, plan};
pub use state::{Granted, State};
