//! A client of Stigg's REST and Edge APIs, and their records converted to events.

mod client;
mod options;
mod page;
mod record;
mod state;

pub use client::{Counts, Stigg, StiggError, StiggResponse};
pub use options::{Key, KeyError, Options};
pub use page::{Cursor, Page, Records};
pub use record::{BadRecord, CustomerRecord, MESSAGE_ID, SubscriptionRecord, plan_fields};
pub use state::{EntitlementState, GrantedEntitlement};
