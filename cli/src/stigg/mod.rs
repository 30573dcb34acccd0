//! Stigg's API, as far as an import and a reconciliation read it.

mod client;
mod options;
mod page;
mod record;
mod state;

pub use client::{Answer, Counts, Stigg, StiggError};
pub use options::{Key, KeyError, Options};
pub use page::{Cursor, Page, Records};
pub use record::{BadRecord, CustomerRecord, MESSAGE_ID, SubscriptionRecord, plan};
pub use state::{GrantedEntitlement, State};
