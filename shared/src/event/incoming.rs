//! What Stigg's JSON says, kind by kind, in the terms of the registers that it writes.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Event, EventError, Kind, List, MAX_EMBEDDED_BYTES, MAX_REGISTER_BYTES, SubscriptionChange};
use crate::{
    customer::{Embedded, Profile},
    entitlement::{Grant, Usage},
    id::Id,
    reply,
    subscription::{Dates, Details},
    time,
};

/// Reads an event of a kind that is handled.
pub(super) fn event(kind: Kind, event: &Value) -> Result<Event, EventError> {
    match kind {
        Kind::CustomerCreated | Kind::CustomerUpdated => customer(kind, event),
        Kind::CustomerDeleted => read::<Keyed>(kind, event).map(|Keyed { id }| Event::CustomerDeleted { customer_id: id }),
        Kind::EntitlementsUpdated => entitlements(event),
        Kind::MeasurementReported => measurement(event),
        Kind::SubscriptionCreated
        | Kind::SubscriptionUpdated
        | Kind::SubscriptionCanceled
        | Kind::SubscriptionExpired
        | Kind::SubscriptionTrialExpired => subscription(kind, event),
    }
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

/// Reads a part of an event, and names the member where that fails.
pub(super) fn read<'a, T: Deserialize<'a>>(kind: Kind, event: &'a Value) -> Result<T, EventError> {
    serde_path_to_error::deserialize(event).map_err(|error| {
        let (field, problem) = reply::name_field(&error);
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
