//! What Stigg sends: a typed event per kind, unknown kinds kept apart.
//!
//! Of every event only the `type` and the key id are needed; other members may be absent or null,
//! and unknown ones are passed over.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    customer::{Embedded, Profile},
    entitlement::{Grant, Usage},
    id::Id,
    subscription::{Dates, Details},
    time, version,
};

/// Why an event can't be taken. The message names the event's type and the field, is fit for the
/// sender, and holds no value of the event's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// The body is not JSON, or nested too deeply.
    #[error("the body is not JSON: line {line}, column {column}")]
    NotJson {
        /// Where reading stopped, from 1.
        line: usize,
        /// Where reading stopped, from 1.
        column: usize,
    },
    /// The body is JSON and no event: no object, or without a text `type`.
    #[error("`type` is missing: an event is a JSON object with a string `type`")]
    NoType,
    /// A known event lacks what it needs, or a member is of another kind than documented.
    #[error("{kind}: `{field}` {problem}")]
    Field {
        /// The event's type.
        kind: &'static str,
        /// The path of the member.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A part of the event is larger than an item of the store can be.
    #[error("{kind}: `{field}` is too large: at most {limit} bytes of JSON can be stored")]
    TooLarge {
        /// The event's type.
        kind: &'static str,
        /// The path of the member.
        field: String,
        /// The limit in bytes.
        limit: usize,
    },
}

/// The most bytes of JSON that one register's opaque part may have: a DynamoDB item takes 409,600
/// bytes, and beside a profile or a grant it holds a smaller register, keys and versions.
pub const MAX_REGISTER_BYTES: usize = 300 * 1024;

/// The most bytes of JSON for the smaller ones: an embedded customer, and a single text.
pub const MAX_EMBEDDED_BYTES: usize = 64 * 1024;

/// A type of event that is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `customer.created`
    CustomerCreated,
    /// `customer.updated`
    CustomerUpdated,
    /// `customer.deleted`
    CustomerDeleted,
    /// `entitlements.updated`
    EntitlementsUpdated,
    /// `measurement.reported`
    MeasurementReported,
    /// `subscription.created`
    SubscriptionCreated,
    /// `subscription.updated`
    SubscriptionUpdated,
    /// `subscription.canceled`
    SubscriptionCanceled,
    /// `subscription.expired`
    SubscriptionExpired,
    /// `subscription.trial_expired`
    SubscriptionTrialExpired,
}

impl Kind {
    /// All that are handled.
    pub const ALL: [Self; 10] = [
        Self::CustomerCreated,
        Self::CustomerUpdated,
        Self::CustomerDeleted,
        Self::EntitlementsUpdated,
        Self::MeasurementReported,
        Self::SubscriptionCreated,
        Self::SubscriptionUpdated,
        Self::SubscriptionCanceled,
        Self::SubscriptionExpired,
        Self::SubscriptionTrialExpired,
    ];

    /// Stigg's `type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CustomerCreated => "customer.created",
            Self::CustomerUpdated => "customer.updated",
            Self::CustomerDeleted => "customer.deleted",
            Self::EntitlementsUpdated => "entitlements.updated",
            Self::MeasurementReported => "measurement.reported",
            Self::SubscriptionCreated => "subscription.created",
            Self::SubscriptionUpdated => "subscription.updated",
            Self::SubscriptionCanceled => "subscription.canceled",
            Self::SubscriptionExpired => "subscription.expired",
            Self::SubscriptionTrialExpired => "subscription.trial_expired",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// What came in.
#[derive(Debug, PartialEq)]
pub enum Received {
    /// An event that is handled.
    Handled(Box<(Envelope, Event)>),
    /// An event of a type that is not.
    Ignored {
        /// Its type.
        kind: String,
    },
}

/// What all events say beside their matter.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// Stigg's id of the message, the same for each delivery.
    pub message_id: Option<String>,
    /// When the event happened; often missing.
    pub timestamp: Option<Timestamp>,
    /// When a list of entitlements was made, which orders lists.
    pub entitlements_updated_at: Option<Timestamp>,
    /// What identifies the body: see [`version::digest`].
    pub digest: String,
}

impl Envelope {
    /// The time that the event says for itself.
    pub fn time(&self) -> Option<Timestamp> {
        self.entitlements_updated_at.or(self.timestamp)
    }

    #[cfg(test)]
    pub(crate) fn parse(body: &[u8]) -> Result<Self, EventError> {
        let event: Value = serde_json::from_slice(body).map_err(not_json)?;
        Self::of(Kind::EntitlementsUpdated, &event, body)
    }

    fn of(kind: Kind, event: &Value, body: &[u8]) -> Result<Self, EventError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Incoming {
            message_id: Option<String>,
            #[serde(default, deserialize_with = "time::optional")]
            timestamp: Option<Timestamp>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct IncomingList {
            #[serde(default, deserialize_with = "time::optional")]
            entitlements_updated_at: Option<Timestamp>,
        }
        let Incoming { message_id, timestamp } = read(kind, event)?;
        let entitlements_updated_at = match kind {
            Kind::EntitlementsUpdated => read::<IncomingList>(kind, event)?.entitlements_updated_at,
            _ => None,
        };
        Ok(Self { message_id, timestamp, entitlements_updated_at, digest: version::digest(body) })
    }
}

/// What an event is about, in the terms of the registers that it writes.
#[derive(Debug, PartialEq)]
pub enum Event {
    /// customer.created and customer.updated.
    Customer {
        /// The customer.
        customer_id: Id,
        /// The new profile: what the event does not say is None.
        profile: Box<Profile>,
        /// Whether this is its creation.
        created: bool,
    },
    /// customer.deleted.
    CustomerDeleted {
        /// The customer.
        customer_id: Id,
    },
    /// entitlements.updated.
    Entitlements {
        /// The customer.
        customer_id: Id,
        /// The customer as the event shows it.
        embedded: Embedded,
        /// The complete new list of each scope that the event speaks of.
        lists: Vec<List>,
    },
    /// measurement.reported.
    Measurement {
        /// The customer.
        customer_id: Id,
        /// The resource, None at customer level.
        resource_id: Option<Id>,
        /// The feature.
        feature_id: Id,
        /// What was measured.
        usage: Usage,
    },
    /// Every subscription.*
    Subscription {
        /// The subscription.
        subscription_id: Id,
        /// What the event says of it.
        change: Box<SubscriptionChange>,
        /// The customer that the event shows alive, if it shows one.
        alive: Option<(Id, Embedded)>,
    },
}

/// A complete list of entitlements, of the customer level or of one resource.
#[derive(Debug, PartialEq)]
pub struct List {
    /// The resource, None at customer level.
    pub resource_id: Option<Id>,
    /// Each feature once, with Stigg's JSON of its entitlement, without nulls.
    pub grants: Vec<(Id, String)>,
}

/// What an event says of a subscription: the registers that it writes.
#[derive(Debug, Default, PartialEq)]
pub struct SubscriptionChange {
    /// Its status.
    pub status: Option<String>,
    /// When it runs, if the event carries a start.
    pub dates: Option<Dates>,
    /// Its customer and what it is to, if the event carries a customer and a plan.
    pub details: Option<(Id, Details)>,
    /// Whether this is its creation.
    pub created: bool,
}

impl Event {
    /// The id that the event is about, for logs.
    pub fn subject(&self) -> &Id {
        match self {
            Self::Customer { customer_id, .. }
            | Self::CustomerDeleted { customer_id }
            | Self::Entitlements { customer_id, .. }
            | Self::Measurement { customer_id, .. } => customer_id,
            Self::Subscription { subscription_id, .. } => subscription_id,
        }
    }
}

/// Reads the body of a webhook request.
///
/// # Errors
/// See [`EventError`]; an event of a type that is not handled is never an error.
pub fn parse(body: &[u8]) -> Result<(Option<Kind>, Received), EventError> {
    let event: Value = serde_json::from_slice(body).map_err(not_json)?;
    let kind = event.get("type").and_then(Value::as_str).filter(|kind| !kind.is_empty()).ok_or(EventError::NoType)?;
    let Some(kind) = Kind::parse(kind) else {
        return Ok((None, Received::Ignored { kind: kind.chars().take(100).collect() }));
    };
    let envelope = Envelope::of(kind, &event, body)?;
    let event = match kind {
        Kind::CustomerCreated | Kind::CustomerUpdated => customer(kind, &event),
        Kind::CustomerDeleted => read::<Keyed>(kind, &event).map(|Keyed { id }| Event::CustomerDeleted { customer_id: id }),
        Kind::EntitlementsUpdated => entitlements(&event),
        Kind::MeasurementReported => measurement(&event),
        Kind::SubscriptionCreated
        | Kind::SubscriptionUpdated
        | Kind::SubscriptionCanceled
        | Kind::SubscriptionExpired
        | Kind::SubscriptionTrialExpired => subscription(kind, &event),
    }?;
    Ok((Some(kind), Received::Handled(Box::new((envelope, event)))))
}

#[derive(Deserialize)]
struct Keyed {
    id: Id,
}

fn customer(kind: Kind, event: &Value) -> Result<Event, EventError> {
    let Keyed { id } = read(kind, event)?;
    let profile: Profile = read(kind, event)?;
    check_size(kind, "metadata", &profile, MAX_REGISTER_BYTES)?;
    Ok(Event::Customer { customer_id: id, profile: Box::new(profile), created: kind == Kind::CustomerCreated })
}

/// The customer that another event is about.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IncomingCustomer {
    id: Id,
    name: Option<String>,
    email: Option<String>,
    billing_id: Option<String>,
}

impl IncomingCustomer {
    fn embedded(self, kind: Kind) -> Result<(Id, Embedded), EventError> {
        let Self { id, name, email, billing_id } = self;
        let embedded = Embedded { name, email, billing_id };
        check_size(kind, "customer", &embedded, MAX_EMBEDDED_BYTES)?;
        Ok((id, embedded))
    }
}

#[derive(Deserialize)]
struct IncomingEntitlements {
    customer: IncomingCustomer,
    /// None: absent, as in the older form. Some(None): null, the customer level.
    #[serde(default, deserialize_with = "present")]
    resource: Option<Option<Keyed>>,
    /// The members that decide are read here, so that a wrong one is refused with its name instead of
    /// stored; the JSON is stored as it came.
    entitlements: Vec<Grant>,
}

fn entitlements(event: &Value) -> Result<Event, EventError> {
    let kind = Kind::EntitlementsUpdated;
    let incoming: IncomingEntitlements = read(kind, event)?;
    let stored = event.get("entitlements").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut lists: Vec<List> = Vec::new();
    if let Some(scope) = incoming.resource {
        lists.push(List { resource_id: scope.map(|resource| resource.id), grants: Vec::new() });
    }
    let is_older_form = lists.is_empty();
    for (index, (grant, json)) in incoming.entitlements.into_iter().zip(stored).enumerate() {
        let scope = lists.iter().position(|list| !is_older_form || list.resource_id == grant.resource_id);
        let json = without_nulls(json).to_string();
        if json.len() > MAX_REGISTER_BYTES {
            let field = format!("entitlements[{index}]");
            return Err(EventError::TooLarge { kind: kind.as_str(), field, limit: MAX_REGISTER_BYTES });
        }
        let Grant { feature, resource_id, .. } = grant;
        let grant = (feature.id, json);
        match scope.and_then(|scope| lists.get_mut(scope)) {
            Some(list) => list.grants.push(grant),
            None => lists.push(List { resource_id, grants: vec![grant] }),
        }
    }
    if lists.is_empty() {
        lists.push(List { resource_id: None, grants: Vec::new() });
    }
    for list in &mut lists {
        keep_last_of_each_feature(&mut list.grants);
    }
    let (customer_id, embedded) = incoming.customer.embedded(kind)?;
    Ok(Event::Entitlements { customer_id, embedded, lists })
}

/// A list that names a feature twice means the last one, on every replica.
fn keep_last_of_each_feature(grants: &mut Vec<(Id, String)>) {
    let mut seen = std::collections::HashSet::new();
    grants.reverse();
    grants.retain(|(feature, _)| seen.insert(feature.clone()));
    grants.reverse();
}

fn measurement(event: &Value) -> Result<Event, EventError> {
    #[derive(Deserialize)]
    struct Incoming {
        customer: Keyed,
        feature: Keyed,
        resource: Option<Keyed>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct OlderForm {
        #[serde(default, deserialize_with = "time::optional")]
        next_reset_date: Option<Timestamp>,
    }
    let kind = Kind::MeasurementReported;
    let Incoming { customer, feature, resource } = read(kind, event)?;
    let OlderForm { next_reset_date } = read(kind, event)?;
    let mut usage: Usage = read(kind, event)?;
    usage.usage_period_end = usage.usage_period_end.or(next_reset_date);
    check_text(kind, "resetPeriod", usage.reset_period.as_deref())?;
    Ok(Event::Measurement {
        customer_id: customer.id,
        resource_id: resource.map(|resource| resource.id),
        feature_id: feature.id,
        usage,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IncomingSubscription {
    id: Id,
    status: Option<String>,
    #[serde(default, deserialize_with = "time::optional")]
    start_date: Option<Timestamp>,
    #[serde(default, deserialize_with = "time::optional")]
    end_date: Option<Timestamp>,
    #[serde(default, deserialize_with = "time::optional")]
    cancellation_date: Option<Timestamp>,
    #[serde(default, deserialize_with = "time::optional")]
    trial_end_date: Option<Timestamp>,
    #[serde(default, deserialize_with = "time::optional")]
    current_billing_period_start: Option<Timestamp>,
    #[serde(default, deserialize_with = "time::optional")]
    current_billing_period_end: Option<Timestamp>,
    customer: Option<IncomingCustomer>,
    plan: Option<IncomingPlan>,
    resource: Option<Keyed>,
    billing_id: Option<String>,
    addons: Option<Vec<Value>>,
    billing_period: Option<Value>,
    billing_currency: Option<Value>,
    is_trial_subscription: Option<bool>,
    payment_collection: Option<Value>,
    metadata: Option<Value>,
}

#[derive(Deserialize)]
struct IncomingPlan {
    id: Id,
    name: Option<String>,
}

/// The statuses that show a subscription's customer alive, in created and updated events.
const ALIVE: [&str; 4] = ["ACTIVE", "IN_TRIAL", "NOT_STARTED", "PAYMENT_PENDING"];

fn subscription(kind: Kind, event: &Value) -> Result<Event, EventError> {
    let incoming: IncomingSubscription = read(kind, event)?;
    check_text(kind, "status", incoming.status.as_deref())?;
    let status = match kind {
        // Their documented examples still say ACTIVE.
        Kind::SubscriptionExpired | Kind::SubscriptionTrialExpired => Some("EXPIRED".to_owned()),
        Kind::SubscriptionCanceled => Some(incoming.status.unwrap_or_else(|| "CANCELED".to_owned())),
        _ => incoming.status,
    };
    let is_alive = matches!(kind, Kind::SubscriptionCreated | Kind::SubscriptionUpdated)
        && status.as_deref().is_some_and(|status| ALIVE.contains(&status));
    let dates = incoming.start_date.map(|start| Dates {
        start_date: time::to_fixed_width(start),
        end_date: incoming.end_date.map(time::to_fixed_width),
        cancellation_date: incoming.cancellation_date.map(time::to_fixed_width),
        trial_end_date: incoming.trial_end_date.map(time::to_fixed_width),
        current_billing_period_start: incoming.current_billing_period_start.map(time::to_fixed_width),
        current_billing_period_end: incoming.current_billing_period_end.map(time::to_fixed_width),
    });
    let customer = incoming.customer.map(|customer| customer.embedded(kind)).transpose()?;
    let details = match (&customer, incoming.plan) {
        (Some((customer_id, _)), Some(plan)) => {
            let details = Details {
                plan_name: plan.name.unwrap_or_else(|| plan.id.to_string()),
                plan_id: plan.id,
                resource_id: incoming.resource.map(|resource| resource.id),
                billing_id: incoming.billing_id,
                plan: event.get("plan").map(without_nulls),
                addons: incoming.addons.map(Value::Array),
                billing_period: incoming.billing_period,
                billing_currency: incoming.billing_currency,
                is_trial_subscription: incoming.is_trial_subscription,
                payment_collection: incoming.payment_collection,
                metadata: incoming.metadata,
            };
            check_size(kind, "metadata", &details, MAX_REGISTER_BYTES)?;
            Some((customer_id.clone(), details))
        }
        _ => None,
    };
    Ok(Event::Subscription {
        subscription_id: incoming.id,
        change: Box::new(SubscriptionChange { status, dates, details, created: kind == Kind::SubscriptionCreated }),
        alive: customer.filter(|_| is_alive),
    })
}

fn not_json(error: serde_json::Error) -> EventError {
    EventError::NotJson { line: error.line(), column: error.column() }
}

/// Reads a part of an event, and names the member where that fails.
fn read<'a, T: Deserialize<'a>>(kind: Kind, event: &'a Value) -> Result<T, EventError> {
    serde_path_to_error::deserialize(event).map_err(|error| {
        let (field, problem) = crate::reply::name_field(&error);
        EventError::Field { kind: kind.as_str(), field, problem }
    })
}

/// Tells a member that is null from one that is absent.
fn present<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Option<Option<Keyed>>, D::Error> {
    Option::deserialize(input).map(Some)
}

fn check_size(kind: Kind, field: &str, part: &impl serde::Serialize, limit: usize) -> Result<(), EventError> {
    match serde_json::to_string(part) {
        Ok(json) if json.len() <= limit => Ok(()),
        _ => Err(EventError::TooLarge { kind: kind.as_str(), field: field.to_owned(), limit }),
    }
}

fn check_text(kind: Kind, field: &str, text: Option<&str>) -> Result<(), EventError> {
    if text.is_none_or(|text| text.len() <= Id::MAX_BYTES) {
        return Ok(());
    }
    Err(EventError::TooLarge { kind: kind.as_str(), field: field.to_owned(), limit: Id::MAX_BYTES })
}

/// The same JSON without the members that are null, in objects within objects; lists stay as they
/// are.
fn without_nulls(json: &Value) -> Value {
    match json {
        Value::Object(members) => {
            let kept = members.iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(name, value)| (name.clone(), without_nulls(value))).collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}
