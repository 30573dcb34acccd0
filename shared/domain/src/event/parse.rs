//! Parses Stigg's JSON into events.
//!
//! Which members *decide* about access, by the order in which Stigg's SDKs decide (see [`crate::access`]):
//!
//! | in | deciding members |
//! |---|---|
//! | every event | ids of the customer, resource, feature, subscription and credit currency |
//! | an entitlement | `feature.featureType`; `feature.meterType` of a NUMBER |
//! | … with a meter | `usageLimit`, `hasUnlimitedUsage`, `hasSoftLimit`, `currentUsage`, `usagePeriodEnd` (`nextResetDate`) |
//! | … of type ENUM | `enumValues` |
//! | … paid with credits | `creditBalance`, `creditBalance.remainingBalance`, `usageLimit`, `hasSoftLimit` |
//! | measurement.reported, entitlement.usage_exceeded | `currentUsage`, `usagePeriodEnd` (`nextResetDate`) |
//! | credit_balance.low and its older form | `remainingBalance` (`currentBalance`); an invalid balance of a depleted event counts as 0 |
//! | subscription.created, .updated, .canceled | `status`; the other events' type implies it |
//!
//! An event is rejected if a deciding member has a value of the wrong type. Any other member then counts as absent and
//! is reported ([`UnexpectedMembers`]). The same applies to an entry of a list without a `feature` object (a credit
//! wallet). An invalid `timestamp` counts as absent too: the event then has no time.

use serde_json::value::RawValue;

use super::{
    Envelope, Event, EventError, EventType, Handled, MAX_EMBEDDED_BYTES, MAX_REGISTER_BYTES, Received, SubscriptionChange,
    UnexpectedMembers,
    digest::digest,
    entitlements,
    member::{Date, MemberReader, Object, ShortText},
    object::without_nulls,
    summary,
};
use crate::{
    customer::{Embedded, Profile},
    entitlement::{Balance, Usage},
    id::Id,
    opaque::OpaqueJson,
    subscription::{Dates, Details},
    time,
};

/// Parses the body of a webhook request. An event of an unsupported type is never an error.
pub fn parse(body: &[u8]) -> Result<Received, EventError> {
    let not_json = |error: serde_json::Error| EventError::NotJson { line: error.line(), column: error.column() };
    let json: &RawValue = serde_json::from_slice(body).map_err(not_json)?;
    let kind = summary::type_of(json).ok_or(EventError::NoType)?;
    let Some(kind) = EventType::parse(&kind) else {
        return Ok(Received::Ignored { kind: kind.chars().take(summary::MAX_TYPE_CHARS).collect() });
    };
    read(kind, json).map(|handled| Received::Handled(Box::new(handled)))
}

const ENVELOPE: [&str; 4] = ["messageId", "timestamp", "entitlementsUpdatedAt", "environmentId"];

fn read(kind: EventType, json: &RawValue) -> Result<Handled, EventError> {
    type Parser = fn(&mut MemberReader, &Object<'_>) -> Result<Event, EventError>;
    let (members, parser): (&[&'static str], Parser) = match kind {
        EventType::CustomerCreated | EventType::CustomerUpdated => (&PROFILE, customer),
        EventType::CustomerDeleted => {
            (&["id"], |reader, event| Ok(Event::CustomerDeleted { customer_id: reader.required(event, "id")? }))
        }
        EventType::EntitlementsUpdated => (&["customer", "resource", "entitlements"], entitlement_lists),
        EventType::MeasurementReported | EventType::EntitlementUsageExceeded => (&MEASUREMENT, measurement),
        EventType::CreditBalanceLow | EventType::CreditsBalanceUsageLow => {
            (&CREDIT_BALANCE, |reader, event| credit_balance(reader, event, false))
        }
        EventType::CreditBalanceDepleted | EventType::CreditsBalanceDepleted => {
            (&CREDIT_BALANCE, |reader, event| credit_balance(reader, event, true))
        }
        EventType::SubscriptionCreated
        | EventType::SubscriptionUpdated
        | EventType::SubscriptionCanceled
        | EventType::SubscriptionExpired
        | EventType::SubscriptionTrialExpired => (&SUBSCRIPTION, subscription),
    };
    let digest = digest(json.get().as_bytes());
    let digest = digest.map_err(|error| EventError::Undecodable { kind: kind.as_str(), problem: error.to_string() })?;
    let mut reader = MemberReader { kind, unexpected: UnexpectedMembers::default() };
    let event = Object::of(json, String::new(), &[&ENVELOPE, members].concat()).ok_or(EventError::NoType)?;
    let envelope = envelope(&mut reader, &event, digest);
    let event = parser(&mut reader, &event)?;
    Ok(Handled { kind, envelope, event, unexpected: reader.unexpected })
}

fn envelope(reader: &mut MemberReader, event: &Object<'_>, digest: String) -> Envelope {
    let is_list = reader.kind == EventType::EntitlementsUpdated;
    let mut date = |name| reader.lenient(event, name).map(|Date(time)| time);
    let timestamp = date("timestamp");
    let entitlements_updated_at = if is_list { date("entitlementsUpdatedAt") } else { None };
    let environment_id = reader.lenient(event, "environmentId");
    Envelope { message_id: reader.lenient(event, "messageId"), timestamp, entitlements_updated_at, environment_id, digest }
}

const PROFILE: [&str; 9] =
    ["id", "name", "email", "billingId", "crmId", "billingCurrency", "metadata", "excludeFromExperiment", "experimentInfo"];

fn customer(reader: &mut MemberReader, event: &Object<'_>) -> Result<Event, EventError> {
    let customer_id = reader.required(event, "id")?;
    check_size(reader, event, &PROFILE, MAX_REGISTER_BYTES)?;
    let profile = Profile {
        name: reader.lenient(event, "name"),
        email: reader.lenient(event, "email"),
        billing_id: reader.lenient(event, "billingId"),
        crm_id: opaque(event, "crmId"),
        billing_currency: opaque(event, "billingCurrency"),
        metadata: opaque(event, "metadata"),
        exclude_from_experiment: opaque(event, "excludeFromExperiment"),
        experiment_info: opaque(event, "experimentInfo"),
    };
    Ok(Event::Customer { customer_id, profile: Box::new(profile), created: reader.kind == EventType::CustomerCreated })
}

/// The customer data carried by an event of another type.
fn embedded(reader: &mut MemberReader, customer: &Object<'_>) -> Result<(Id, Embedded), EventError> {
    let id = reader.required(customer, "id")?;
    check_size(reader, customer, &EMBEDDED[1..], MAX_EMBEDDED_BYTES)?;
    let embedded = Embedded {
        name: reader.lenient(customer, "name"),
        email: reader.lenient(customer, "email"),
        billing_id: reader.lenient(customer, "billingId"),
    };
    Ok((id, embedded))
}

const EMBEDDED: [&str; 4] = ["id", "name", "email", "billingId"];

/// None is the customer level.
fn resource(reader: &MemberReader, event: &Object<'_>) -> Result<Option<Id>, EventError> {
    let resource = reader.object(event, "resource", &["id"])?;
    resource.map(|resource| reader.required(&resource, "id")).transpose()
}

fn entitlement_lists(reader: &mut MemberReader, event: &Object<'_>) -> Result<Event, EventError> {
    let (customer_id, embedded) = embedded(reader, &reader.required_object(event, "customer", &EMBEDDED)?)?;
    // Absent in the older form, null at customer level.
    let scope = event.text("resource").map(|_| resource(reader, event)).transpose()?;
    let entries: &RawValue = reader.required(event, "entitlements")?;
    let lists = entitlements::lists(reader, entries, scope)?;
    let is_live = lists.iter().any(|list| !list.grants.is_empty());
    Ok(Event::Entitlements { customer_id, lists, live_customer: is_live.then_some(embedded) })
}

const MEASUREMENT: [&str; 9] = [
    "customer",
    "resource",
    "feature",
    "currentUsage",
    "usagePeriodAnchor",
    "usagePeriodStart",
    "usagePeriodEnd",
    "nextResetDate",
    "resetPeriod",
];

fn measurement(reader: &mut MemberReader, event: &Object<'_>) -> Result<Event, EventError> {
    let key = |name| reader.required(&reader.required_object(event, name, &["id"])?, "id");
    let (customer_id, feature_id) = (key("customer")?, key("feature")?);
    let resource_id = resource(reader, event)?;
    let current_usage = reader.required(event, "currentUsage")?;
    let end = |name| Ok(reader.deciding(event, name)?.map(|Date(end)| end));
    let (usage_period_end, next_reset_date) = (end("usagePeriodEnd")?, end("nextResetDate")?);
    let usage = Usage {
        current_usage,
        usage_period_anchor: reader.lenient(event, "usagePeriodAnchor").map(|Date(time)| time),
        usage_period_start: reader.lenient(event, "usagePeriodStart").map(|Date(time)| time),
        usage_period_end: usage_period_end.or(next_reset_date),
        reset_period: reader.lenient(event, "resetPeriod").map(|ShortText(text)| text),
    };
    Ok(Event::Measurement { customer_id, resource_id, feature_id, usage })
}

/// The members of both forms: the older one is flat and has a resource.
const CREDIT_BALANCE: [&str; 9] = [
    "customer",
    "customerId",
    "creditCurrency",
    "currencyId",
    "resource",
    "resourceId",
    "totalGranted",
    "remainingBalance",
    "currentBalance",
];

fn credit_balance(reader: &mut MemberReader, event: &Object<'_>, is_depleted: bool) -> Result<Event, EventError> {
    let key = |object, flat| match reader.object(event, object, &["id"])? {
        Some(object) => reader.required(&object, "id"),
        None => reader.deciding(event, flat)?.ok_or_else(|| reader.error(object.to_owned(), "is missing")),
    };
    let (customer_id, currency_id) = (key("customer", "customerId")?, key("creditCurrency", "currencyId")?);
    let resource_id = match reader.deciding(event, "resourceId")? {
        Some(resource_id) => Some(resource_id),
        None => resource(reader, event)?,
    };
    let remaining = if event.get("currentBalance").is_some() { "currentBalance" } else { "remainingBalance" };
    let remaining_balance =
        if is_depleted { reader.lenient(event, remaining).unwrap_or(0.0) } else { reader.required(event, remaining)? };
    let balance = Balance { total_granted: reader.lenient(event, "totalGranted"), remaining_balance };
    Ok(Event::CreditBalance { customer_id, resource_id, currency_id, balance })
}

const SUBSCRIPTION: [&str; 18] = [
    "id",
    "status",
    "startDate",
    "endDate",
    "cancellationDate",
    "trialEndDate",
    "currentBillingPeriodStart",
    "currentBillingPeriodEnd",
    "customer",
    "plan",
    "resource",
    "billingId",
    "addons",
    "billingPeriod",
    "billingCurrency",
    "isTrialSubscription",
    "paymentCollection",
    "metadata",
];

/// The statuses of created and updated events that show that the customer is live.
const LIVE_STATUSES: [&str; 4] = ["ACTIVE", "IN_TRIAL", "NOT_STARTED", "PAYMENT_PENDING"];

fn subscription(reader: &mut MemberReader, event: &Object<'_>) -> Result<Event, EventError> {
    let kind = reader.kind;
    let subscription_id = reader.required(event, "id")?;
    let status = match kind {
        // Stigg's documented examples have ACTIVE.
        EventType::SubscriptionExpired | EventType::SubscriptionTrialExpired => Some("EXPIRED".to_owned()),
        _ => reader.deciding(event, "status")?.map(|ShortText(status)| status),
    };
    let status = status.or_else(|| (kind == EventType::SubscriptionCanceled).then(|| "CANCELED".to_owned()));
    let is_live = matches!(kind, EventType::SubscriptionCreated | EventType::SubscriptionUpdated)
        && status.as_deref().is_some_and(|status| LIVE_STATUSES.contains(&status));
    let mut date = |name| reader.lenient(event, name).map(|Date(date)| time::to_fixed_width(date));
    let dates = date("startDate").map(|start_date| Dates {
        start_date,
        end_date: date("endDate"),
        cancellation_date: date("cancellationDate"),
        trial_end_date: date("trialEndDate"),
        current_billing_period_start: date("currentBillingPeriodStart"),
        current_billing_period_end: date("currentBillingPeriodEnd"),
    });
    let customer = reader.object(event, "customer", &EMBEDDED)?;
    let customer = customer.map(|customer| embedded(reader, &customer)).transpose()?;
    let details = match &customer {
        Some((customer_id, _)) => details(reader, event)?.map(|details| (customer_id.clone(), details)),
        None => None,
    };
    Ok(Event::Subscription {
        subscription_id,
        change: Box::new(SubscriptionChange { status, dates, details }),
        created: kind == EventType::SubscriptionCreated,
        live_customer: customer.filter(|_| is_live),
    })
}

/// None if the event has no plan.
fn details(reader: &mut MemberReader, event: &Object<'_>) -> Result<Option<Details>, EventError> {
    let Some(plan) = event.get("plan") else { return Ok(None) };
    let members = SUBSCRIPTION.split_at(9).1; // from `plan` on
    check_size(reader, event, members, MAX_REGISTER_BYTES)?;
    let plan_object = reader.required_object(event, "plan", &["id", "name"]);
    let Ok((plan_id, plan_object)) = plan_object.and_then(|plan| Ok((reader.required::<Id>(&plan, "id")?, plan))) else {
        reader.unexpected.add("plan".to_owned());
        return Ok(None);
    };
    let plan_name: Option<String> = reader.lenient(&plan_object, "name");
    let resource_id = resource(reader, event).unwrap_or_else(|_| {
        reader.unexpected.add("resource".to_owned());
        None
    });
    let is_list = |json: &&RawValue| json.get().starts_with('[');
    let addons = event.get("addons");
    if addons.is_some_and(|addons| !is_list(&addons)) {
        reader.unexpected.add("addons".to_owned());
    }
    Ok(Some(Details {
        plan_name: plan_name.unwrap_or_else(|| plan_id.to_string()),
        plan_id,
        resource_id,
        billing_id: reader.lenient(event, "billingId"),
        plan: Some(without_nulls(plan)),
        addons: addons.filter(is_list).map(|addons| addons.to_owned().into()),
        billing_period: opaque(event, "billingPeriod"),
        billing_currency: opaque(event, "billingCurrency"),
        is_trial_subscription: reader.lenient(event, "isTrialSubscription"),
        payment_collection: opaque(event, "paymentCollection"),
        metadata: opaque(event, "metadata"),
    }))
}

fn opaque(event: &Object<'_>, name: &str) -> Option<OpaqueJson> {
    event.get(name).map(|json| json.to_owned().into())
}

/// Checks the size of these members together.
fn check_size(reader: &MemberReader, object: &Object<'_>, names: &[&'static str], limit: usize) -> Result<(), EventError> {
    let (size, largest) = object.size(names);
    if size <= limit {
        return Ok(());
    }
    Err(EventError::TooLarge { kind: reader.kind.as_str(), field: object.path_of(largest), limit })
}
