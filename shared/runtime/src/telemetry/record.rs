//! What a function records of a request.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use super::milliseconds;
use domain::{access::AccessDeniedReason, event::UnexpectedMembers, id::Id};
use store::{Store, StoreCost};

/// The functions.
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

/// One request: the log line's fields, and what its metrics are made of. Ids, types, outcomes, counts and times; no
/// name, e-mail address, secret or body.
#[derive(Debug, Serialize)]
pub struct RequestRecord<'a> {
    /// Lambda's id of the invocation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<&'a str>,
    /// The method of HTTP, empty for an invocation without HTTP. On a terminal only.
    #[serde(skip)]
    pub method: &'a str,
    /// The path as the caller sent it. On a terminal only: it can hold anything.
    #[serde(skip)]
    pub path: &'a str,
    /// The route, without the path's parameters.
    pub route: &'static str,
    /// None for an invocation without HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The outcome in one word.
    pub outcome: &'static str,
    /// What only one function records.
    #[serde(flatten)]
    pub details: Details<'a>,
    /// Requests to DynamoDB.
    #[serde(flatten)]
    pub store: StoreUse,
    /// Whether a request to DynamoDB failed for good.
    #[serde(skip_serializing_if = "is_false")]
    pub store_failed: bool,
    /// Why the caller was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejected: Option<Rejection>,
    /// How long the request took.
    pub milliseconds: f64,
    /// What went wrong, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<&'a str>,
    /// Whether everything went as it should, so that the line may be left out by sampling.
    #[serde(skip)]
    pub is_routine: bool,
}

impl RequestRecord<'_> {
    /// Whether an event is lost: its line has the level ERROR.
    pub(super) fn is_error(&self) -> bool {
        matches!(self.details, Details::Event(EventDetails { event_refused: true, .. }))
    }
}

/// What only one function records.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Details<'a> {
    /// Of an event, by webhook.
    Event(&'a EventDetails),
    /// Of decisions, by check-access.
    Check(&'a CheckDetails),
    /// Of queries, by graphql.
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

    /// The id or name that a person looks for.
    pub(super) fn id(&self) -> Option<&str> {
        match self {
            Self::Event(event) => event.subject.as_deref().or(event.message_id.as_deref()),
            Self::Check(check) => check.customer_id.as_ref().map(Id::as_str),
            Self::Query(query) => query.operation.as_deref(),
        }
    }
}

/// An event.
#[derive(Debug, Default, Serialize)]
pub struct EventDetails {
    /// The type as sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
    /// A type that is handled, `other`, or `none`: for metrics, so that no sender can make up new ones.
    #[serde(skip)]
    pub metric_type: &'static str,
    /// Stigg's `messageId`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// The id of the customer or subscription.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// From the event's time to its receipt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_seconds: Option<i64>,
    /// How long it waited in the queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queued_seconds: Option<i64>,
    /// Its time was too far ahead of its receipt.
    #[serde(skip_serializing_if = "is_false")]
    pub time_disbelieved: bool,
    /// Members that count as absent because of their values.
    #[serde(flatten, serialize_with = "serialize_odd")]
    pub odd: UnexpectedMembers,
    /// It names another environment than the replica's.
    #[serde(skip_serializing_if = "is_false")]
    pub other_environment: bool,
    /// It had the secret and is refused for good: it is lost, unless Stigg's support sends it again.
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

/// A check, or several.
#[derive(Debug, Default, Serialize)]
pub struct CheckDetails {
    /// The customer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer_id: Option<Id>,
    /// The feature, where one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feature_id: Option<Id>,
    /// The resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_id: Option<Id>,
    /// Decisions in the answer, of lists, batches and flags too.
    #[serde(skip_serializing_if = "Decisions::is_at_most_one")]
    pub decisions: Decisions,
}

/// How many decisions of a request were granted, and denied for each reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Decisions(BTreeMap<&'static str, u64>);

impl Decisions {
    /// What a granted decision is called, where a denied one has its reason.
    pub const GRANTED: &'static str = "Granted";

    /// Each reason with its count.
    pub fn by_reason(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.0.iter().map(|(reason, count)| (*reason, *count))
    }

    fn is_at_most_one(&self) -> bool {
        self.0.values().sum::<u64>() <= 1
    }
}

/// Of decisions, each None where access is granted.
impl FromIterator<Option<AccessDeniedReason>> for Decisions {
    fn from_iter<T: IntoIterator<Item = Option<AccessDeniedReason>>>(decisions: T) -> Self {
        let mut counts = BTreeMap::new();
        for denied in decisions {
            *counts.entry(denied.map_or(Self::GRANTED, AccessDeniedReason::as_str)).or_default() += 1;
        }
        Self(counts)
    }
}

/// GraphQL queries.
#[derive(Debug, Default, Serialize)]
pub struct QueryDetails {
    /// The operation's name; of a batch, all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// Queries in the request.
    pub queries: usize,
    /// Errors in the answers.
    pub errors: usize,
    /// Bytes of the body of the answer.
    pub bytes: usize,
}

/// Requests to DynamoDB that a request made.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct StoreUse {
    dynamodb_requests: u32,
    dynamodb_capacity: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    dynamodb_milliseconds: Option<f64>,
}

impl StoreUse {
    /// What was spent through this store since [`Store::metered`].
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
    /// A wrong secret, signature or token, or none.
    Secret,
    /// A browser's customer key that is wrong, or none. Not counted with the secrets: any visitor of a page can cause it.
    CustomerKey,
    /// An address that is not allowed.
    Source,
}

fn is_false(value: &bool) -> bool {
    !value
}
