//! What a comparison of the replica with Stigg finds.

use domain::id::Id;
use serde::Serialize;
use serde_json::Value;

/// How the replica differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DifferenceKind {
    /// Stigg has it, the replica does not show it.
    Missing,
    /// The replica shows it, Stigg does not have it.
    Extra,
    /// Both have it, with another value.
    Differs,
}

/// What differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "part", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub enum Subject {
    /// The customer, or what it is like.
    Customer,
    /// A list of entitlements: of the customer level, or of a resource.
    List {
        /// The resource.
        resource_id: Option<Id>,
    },
    /// One entitlement of a list.
    Entitlement {
        /// The resource.
        resource_id: Option<Id>,
        /// The feature.
        feature_id: Id,
    },
    /// A subscription.
    Subscription {
        /// The subscription.
        subscription_id: Id,
    },
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// The customer that it is about.
    pub customer_id: Id,
    /// How the replica differs.
    #[serde(rename = "difference")]
    pub kind: DifferenceKind,
    /// What differs.
    #[serde(flatten)]
    pub subject: Subject,
    /// The field, where it is one that differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What Stigg says: e-mail addresses and the like, so it is shown only to who asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stigg: Option<Value>,
    /// What the replica says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replica: Option<Value>,
    /// What became of it.
    #[serde(rename = "mended")]
    pub fixed: FixStatus,
}

/// What became of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FixStatus {
    /// Nothing was written.
    No,
    /// The replica now says what Stigg says.
    Yes,
    /// The replica has heard something newer than what was read, or something as new is on its way.
    Newer,
}

/// A part of a record that was passed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Skipped {
    /// The id of the record, where it has one.
    pub id: Option<String>,
    /// What it is.
    pub record: &'static str,
    /// Why, without values of the record's.
    pub reason: String,
}

/// What was found of one record, or of one customer with all that hangs on it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// What differs.
    pub differences: Vec<Difference>,
    /// Entitlements whose usage differs and may still be on its way.
    pub drift: u64,
    /// Lists of entitlements that were compared.
    pub lists: u64,
    /// Events written.
    pub writes: u64,
    /// What was passed over.
    pub skipped: Vec<Skipped>,
    /// Whether Stigg answered 404 for a record that it may know all the same: see [`Comparison::skip_unconfirmed`].
    pub is_unconfirmed: bool,
}

impl Comparison {
    /// Passes a record over for which Stigg answered 404, as it did for every other one of the replica.
    pub(super) fn skip_unconfirmed(&mut self, record: &'static str, id: &Id) {
        let reason = "Stigg answers 404 for it, and for every other one of the replica: are the address and the key right?";
        self.skip(record, id, reason);
        self.is_unconfirmed = true;
    }

    /// Whether Stigg lacks the customer or a subscription of it, so that mending deletes something.
    pub fn has_deletion(&self) -> bool {
        let is_deletion = |difference: &Difference| {
            difference.kind == DifferenceKind::Extra
                && matches!(difference.subject, Subject::Customer | Subject::Subscription { .. })
        };
        self.differences.iter().any(is_deletion)
    }

    /// Adds what else was found.
    pub fn add(&mut self, other: Self) {
        self.differences.extend(other.differences);
        self.skipped.extend(other.skipped);
        self.drift += other.drift;
        self.lists += other.lists;
        self.writes += other.writes;
        self.is_unconfirmed |= other.is_unconfirmed;
    }

    /// Notes a part of a record as passed over.
    pub(super) fn skip(&mut self, record: &'static str, id: &Id, reason: impl ToString) {
        self.skipped.push(Skipped { id: Some(id.to_string()), record, reason: reason.to_string() });
    }
}
