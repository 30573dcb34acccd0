//! Stigg's events, parsed into the registers that they write.

pub mod dating;
mod digest;
mod entitlements;
mod error;
mod event_type;
mod member;
mod object;
mod parse;
mod summary;
#[cfg(test)]
mod tests;

use jiff::Timestamp;

use crate::{
    customer::{Embedded, Profile},
    entitlement::{Balance, Usage},
    id::Id,
    subscription::{Dates, Details},
};

pub use digest::digest;
pub use error::EventError;
pub use event_type::EventType;
pub use member::UnexpectedMembers;
pub use parse::parse;
pub use summary::EventSummary;

/// Maximum size of one register's JSON in bytes. A DynamoDB item has 409,600 bytes, and beside a profile or an
/// entitlement it holds a smaller register, keys and versions.
pub const MAX_REGISTER_BYTES: usize = 300 * 1024;

/// Maximum size of an embedded customer's JSON in bytes.
pub const MAX_EMBEDDED_BYTES: usize = 64 * 1024;

/// Maximum length of a list. A DynamoDB item has room for some 3,000 entitlements of the documented size.
pub const MAX_FEATURES: usize = 10_000;

#[derive(Debug, PartialEq)]
pub enum Received {
    /// An event of a supported type.
    Handled(Box<Handled>),
    /// An event of another type.
    Ignored { kind: String },
}

/// An event of a supported type.
#[derive(Debug, PartialEq)]
pub struct Handled {
    pub kind: EventType,
    pub envelope: Envelope,
    pub event: Event,
    pub unexpected: UnexpectedMembers,
}

/// The members that all events share.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// Stigg's id of the message, the same for each delivery.
    pub message_id: Option<String>,
    /// When the event happened; often missing.
    pub timestamp: Option<Timestamp>,
    /// When a list of entitlements was computed. Lists are ordered by it.
    pub entitlements_updated_at: Option<Timestamp>,
    /// Stigg's id of the event's environment.
    pub environment_id: Option<Id>,
    /// See [`digest()`].
    pub digest: String,
}

impl Envelope {
    /// The event's own time.
    pub fn time(&self) -> Option<Timestamp> {
        self.entitlements_updated_at.or(self.timestamp)
    }
}

/// An event's content, as values of the registers that it writes. A `resource_id` of None is the customer level.
#[derive(Debug, PartialEq)]
pub enum Event {
    /// customer.created and customer.updated: full snapshots, absent fields become None.
    Customer {
        customer_id: Id,
        profile: Box<Profile>,
        created: bool,
    },
    CustomerDeleted {
        customer_id: Id,
    },
    /// entitlements.updated: the complete new list of each scope in the event.
    Entitlements {
        customer_id: Id,
        lists: Vec<List>,
        /// The customer, if the event shows that it is live: a list is not empty.
        live_customer: Option<Embedded>,
    },
    /// measurement.reported and entitlement.usage_exceeded.
    Measurement {
        customer_id: Id,
        resource_id: Option<Id>,
        feature_id: Id,
        usage: Usage,
    },
    /// credit_balance.low, credit_balance.depleted and their older forms.
    CreditBalance {
        customer_id: Id,
        resource_id: Option<Id>,
        currency_id: Id,
        balance: Balance,
    },
    /// subscription.*
    Subscription {
        subscription_id: Id,
        change: Box<SubscriptionChange>,
        created: bool,
        /// The customer, if the event shows that it is live.
        live_customer: Option<(Id, Embedded)>,
    },
}

/// The complete list of entitlements of one scope.
#[derive(Debug, PartialEq)]
pub struct List {
    pub resource_id: Option<Id>,
    /// Each feature once, with its entitlement as JSON to store. It can be parsed as a
    /// [`Grant`](crate::entitlement::Grant).
    pub grants: Vec<(Id, String)>,
}

/// The registers of a subscription that an event writes.
#[derive(Debug, Default, PartialEq)]
pub struct SubscriptionChange {
    pub status: Option<String>,
    /// Present if the event carries a startDate.
    pub dates: Option<Dates>,
    /// Present if the event carries a customer and a plan.
    pub details: Option<(Id, Details)>,
}

impl Event {
    /// The id of the customer or subscription, for logs.
    pub fn subject(&self) -> &Id {
        match self {
            Self::Customer { customer_id, .. }
            | Self::CustomerDeleted { customer_id }
            | Self::Entitlements { customer_id, .. }
            | Self::Measurement { customer_id, .. }
            | Self::CreditBalance { customer_id, .. } => customer_id,
            Self::Subscription { subscription_id, .. } => subscription_id,
        }
    }
}
