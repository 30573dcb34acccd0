//! The record of one request.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use super::milliseconds;
use domain::{access::AccessDeniedReason, event::UnexpectedMembers, id::Id};
use store::{Store, StoreCost};

/// The replica's functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// `webhook`.
    Webhook,
    /// `graphql`.
    Graphql,
    /// `check-access`.
    CheckAccess,
}

impl Function {
    /// The function's name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Graphql => "graphql",
            Self::CheckAccess => "check-access",
        }
    }
}

/// One request: the fields of its log line, and the data for metrics. Contains ids, types, outcomes, counts and times, but no
/// names, e-mail addresses, secrets or bodies.
#[derive(Debug, Serialize)]
pub struct RequestRecord<'a> {
    /// Lambda's invocation id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<&'a str>,
    /// The HTTP method; empty for a direct invocation. Logged on a terminal only.
    #[serde(skip)]
    pub method: &'a str,
    /// The path as the caller sent it. Logged on a terminal only, since it can contain any text.
    #[serde(skip)]
    pub path: &'a str,
    /// The route, without path parameters.
    pub route: &'static str,
    /// None for a direct invocation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// One word, such as `applied` or `granted`.
    pub outcome: &'static str,
    /// The fields of one function.
    #[serde(flatten)]
    pub details: Details<'a>,
    /// The request's use of DynamoDB.
    #[serde(flatten)]
    pub store: StoreUse,
    /// Whether a request to DynamoDB failed after all retries.
    #[serde(skip_serializing_if = "is_false")]
    pub store_failed: bool,
    /// Why the caller was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejected: Option<Rejection>,
    /// The request's duration.
    pub milliseconds: f64,
    /// An error message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<&'a str>,
    /// Whether the request succeeded. Sampling omits only lines of routine requests.
    #[serde(skip)]
    pub is_routine: bool,
}

impl RequestRecord<'_> {
    /// Whether an event is lost. Its line has the level ERROR.
    pub(super) fn is_error(&self) -> bool {
        matches!(self.details, Details::Event(EventDetails { event_refused: true, .. }))
    }
}

/// The fields of one function's requests.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Details<'a> {
    /// webhook.
    Event(&'a EventDetails),
    /// check-access.
    Check(&'a CheckDetails),
    /// graphql.
    Query(&'a QueryDetails),
}

impl Details<'_> {
    pub(super) fn function(&self) -> Function {
        match self {
            Self::Event(_) => Function::Webhook,
            Self::Check(_) => Function::CheckAccess,
            Self::Query(_) => Function::Graphql,
        }
    }

    /// The id or name to show on a terminal.
    pub(super) fn id(&self) -> Option<&str> {
        match self {
            Self::Event(event) => event.subject.as_deref().or(event.message_id.as_deref()),
            Self::Check(check) => check.customer_id.as_ref().map(Id::as_str),
            Self::Query(query) => query.operation.as_deref(),
        }
    }
}

/// The fields of an event.
#[derive(Debug, Default, Serialize)]
pub struct EventDetails {
    /// The type as sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
    /// The type in metrics: a handled type, `other` or `none`. Senders can't create new values.
    #[serde(skip)]
    pub metric_type: &'static str,
    /// Stigg's `messageId`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// The id of the customer or subscription.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Time from the event's time to its receipt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_seconds: Option<i64>,
    /// Time in the queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queued_seconds: Option<i64>,
    /// Whether the event's time was not believed, because it is too far ahead of its receipt.
    #[serde(skip_serializing_if = "is_false")]
    pub time_disbelieved: bool,
    /// Members that count as absent because of an unexpected type.
    #[serde(flatten, serialize_with = "serialize_odd")]
    pub odd: UnexpectedMembers,
    /// Whether the event is from another environment than the replica's.
    #[serde(skip_serializing_if = "is_false")]
    pub other_environment: bool,
    /// Whether an authenticated event was rejected permanently. It is lost unless Stigg's support resends it.
    #[serde(skip_serializing_if = "is_false")]
    pub event_refused: bool,
}

fn serialize_odd<S: serde::Serializer>(odd: &UnexpectedMembers, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Members {
        odd_members: usize,
        odd_paths: String,
    }
    let members = (odd.count > 0).then(|| Members { odd_members: odd.count, odd_paths: odd.paths.join(", ") });
    members.serialize(serializer)
}

/// The fields of checks.
#[derive(Debug, Default, Serialize)]
pub struct CheckDetails {
    /// The customer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer_id: Option<Id>,
    /// The feature. None if the request lists all features.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feature_id: Option<Id>,
    /// The resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_id: Option<Id>,
    /// The decisions in the response, including lists, batches and flags.
    #[serde(skip_serializing_if = "Decisions::is_at_most_one")]
    pub decisions: Decisions,
}

/// Number of decisions in a response, by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Decisions(BTreeMap<&'static str, u64>);

impl Decisions {
    /// The reason of a granted decision.
    pub const GRANTED: &'static str = "Granted";

    /// The reasons and their counts.
    pub fn by_reason(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.0.iter().map(|(reason, count)| (*reason, *count))
    }

    fn is_at_most_one(&self) -> bool {
        self.0.values().sum::<u64>() <= 1
    }
}

/// Counts decisions. None is a granted one.
impl FromIterator<Option<AccessDeniedReason>> for Decisions {
    fn from_iter<T: IntoIterator<Item = Option<AccessDeniedReason>>>(decisions: T) -> Self {
        let mut counts = BTreeMap::new();
        for denied in decisions {
            *counts.entry(denied.map_or(Self::GRANTED, AccessDeniedReason::as_str)).or_default() += 1;
        }
        Self(counts)
    }
}

/// The fields of GraphQL queries.
#[derive(Debug, Default, Serialize)]
pub struct QueryDetails {
    /// The operation's name; for a batch, all names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// Number of queries in the request.
    pub queries: usize,
    /// Number of errors in the response.
    pub errors: usize,
    /// Size of the response's body.
    pub bytes: usize,
}

/// A request's use of DynamoDB: requests, capacity units, and time.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct StoreUse {
    dynamodb_requests: u32,
    dynamodb_capacity: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    dynamodb_milliseconds: Option<f64>,
}

impl StoreUse {
    /// The cost since [`Store::with_cost_tracking`].
    pub fn of(store: &Store) -> Self {
        Self::new(store.cost(), store.time_in_flight())
    }

    pub(super) fn new(StoreCost { requests, capacity }: StoreCost, waited: Duration) -> Self {
        Self {
            dynamodb_requests: requests,
            dynamodb_capacity: capacity,
            dynamodb_milliseconds: (requests > 0).then(|| milliseconds(waited)),
        }
    }

    pub(super) fn milliseconds(&self) -> Option<f64> {
        self.dynamodb_milliseconds
    }
}

/// Why a caller was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rejection {
    /// A wrong or missing secret, signature or token.
    Secret,
    /// A browser's wrong or missing customer key. Not counted as a secret, since every visitor of a page can send one.
    CustomerKey,
    /// A source address that is not allowed.
    Source,
}

fn is_false(value: &bool) -> bool {
    !value
}
