//! Results of comparing the replica with Stigg.

use domain::id::Id;
use serde::Serialize;
use serde_json::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DifferenceKind {
    /// In Stigg, not visible in the replica.
    Missing,
    /// Visible in the replica, not in Stigg.
    Extra,
    /// In both, with different values.
    Differs,
}

/// The part of the replica that a difference is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "part", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub enum Subject {
    /// The customer or its profile.
    Customer,
    /// An entitlement list: customer level without a resource.
    List {
        resource_id: Option<Id>,
    },
    Entitlement {
        resource_id: Option<Id>,
        feature_id: Id,
    },
    Subscription {
        subscription_id: Id,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    pub customer_id: Id,
    #[serde(rename = "difference")]
    pub kind: DifferenceKind,
    #[serde(flatten)]
    pub subject: Subject,
    /// Set if the kind is `Differs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Stigg's value. May be personal data, so it is printed only with `--values`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stigg: Option<Value>,
    /// The replica's value; see `stigg`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replica: Option<Value>,
    #[serde(rename = "mended")]
    pub fixed: FixStatus,
}

/// Whether a difference was fixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FixStatus {
    /// Not written.
    No,
    /// The replica now equals Stigg.
    Yes,
    /// Not written: the replica's version is not older than Stigg's data.
    Newer,
}

/// A record, or part of one, that was skipped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Skipped {
    /// The record's id, if it has one.
    pub id: Option<String>,
    /// The record's kind, such as `customer`.
    pub record: &'static str,
    /// Contains no values of the record.
    pub reason: String,
}

/// The result of comparing one record, or one customer with its subscriptions and entitlements.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    pub differences: Vec<Difference>,
    /// Entitlements whose usage differs and may still be updated by an event in flight.
    pub drift: u64,
    /// Entitlement lists compared.
    pub lists: u64,
    /// Writes: one for a customer with its list, one for a subscription, one for a resource's list.
    pub writes: u64,
    pub skipped: Vec<Skipped>,
    /// A 404 from Stigg could not be confirmed.
    pub is_unconfirmed: bool,
}

/// Why a record is skipped for which Stigg answered 404.
pub(super) const UNCONFIRMED: &str =
    "Stigg answers 404 for this and all other records of the replica: check the address and the key";

impl Comparison {
    /// Skips a record for which Stigg answered 404, as it did for all other records of the replica.
    pub(super) fn skip_unconfirmed(&mut self, record: &'static str, id: &Id) {
        self.skip(record, id, UNCONFIRMED);
        self.is_unconfirmed = true;
    }

    /// Whether fixing deletes the customer or one of its subscriptions.
    pub fn has_deletion(&self) -> bool {
        let is_deletion = |difference: &Difference| {
            difference.kind == DifferenceKind::Extra
                && matches!(difference.subject, Subject::Customer | Subject::Subscription { .. })
        };
        self.differences.iter().any(is_deletion)
    }

    pub fn add(&mut self, other: Self) {
        self.differences.extend(other.differences);
        self.skipped.extend(other.skipped);
        self.drift += other.drift;
        self.lists += other.lists;
        self.writes += other.writes;
        self.is_unconfirmed |= other.is_unconfirmed;
    }

    pub(super) fn skip(&mut self, record: &'static str, id: &Id, reason: impl ToString) {
        self.skipped.push(Skipped { id: Some(id.to_string()), record, reason: reason.to_string() });
    }
}
