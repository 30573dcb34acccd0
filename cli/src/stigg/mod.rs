//! A client of Stigg's REST and Edge APIs, and their records converted to events.

mod client;
mod options;
mod page;
mod record;
mod state;

pub use client::{Counts, Stigg, StiggError, StiggResponse};
pub use options::{Key, KeyError, Options};
pub use page::{Cursor, Page, Records};
pub use record::{BadRecord, CustomerRecord, SubscriptionRecord, plan_fields, version_at};
pub use state::{EntitlementState, GrantedEntitlement, list_event};
