//! What Stigg's JSON says, kind by kind, in the terms of the registers that it writes.
//!
//! An event is applied as far as it can be read. Which members *decide* is said here and nowhere else, from
//! the order in which Stigg's SDKs decide access (see [`crate::access`]):
//!
//! | of | decides |
//! |---|---|
//! | every event | the ids in its keys: customer, resource, feature, subscription, credit currency |
//! | an entitlement | `feature.featureType`; `feature.meterType` of a NUMBER |
//! | … with a meter | `usageLimit`, `hasUnlimitedUsage`, `hasSoftLimit`, `currentUsage`, `usagePeriodEnd` (`nextResetDate`) |
//! | … of type ENUM | `enumValues` |
//! | … paid with credits | `creditBalance`, `creditBalance.remainingBalance`, `usageLimit`, `hasSoftLimit` |
//! | measurement.reported, entitlement.usage_exceeded | `currentUsage`, `usagePeriodEnd` (`nextResetDate`) |
//! | credit_balance.low and its older form | `remainingBalance` (`currentBalance`); a depleted balance is 0 if it can't be read |
//! | subscription.created, .updated, .canceled | `status`: the others say it by their type |
//!
//! A member that decides and has a value of another type makes the event one that can't be applied. Any other
//! member then counts as absent, and is counted ([`Odd`](super::Odd)). So does an entry of a list without a
//! `feature` object (a credit wallet). A `timestamp` that can't be read counts as absent too: the event is
//! one without a time.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet},
    fmt,
};

use serde::{
    Deserialize, Deserializer as _,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    Envelope, Event, EventError, Kind, List, MAX_EMBEDDED_BYTES, MAX_FEATURES, MAX_REGISTER_BYTES, SubscriptionChange,
    digest::digest,
    member::{Date, Name, Object, Odd, Reader, Word},
};
use crate::json_error;
use crate::{
    customer::{Embedded, Profile},
    entitlement::{Balance, Usage},
    id::Id,
    opaque::OpaqueJson,
    subscription::{Dates, Details},
    time,
};

/// The members of the envelope that are read.
const ENVELOPE: [&str; 4] = ["messageId", "timestamp", "entitlementsUpdatedAt", "environmentId"];

/// Reads an event of a kind that is handled: what all events say, what this one says, and what was left out.
pub(super) fn read(kind: Kind, json: &RawValue) -> Result<(Envelope, Event, Odd), EventError> {
    let digest = digest(json.get().as_bytes());
    let digest = digest.map_err(|error| EventError::Undecodable { kind: kind.as_str(), problem: error.to_string() })?;
    let names = match kind {
        Kind::CustomerCreated | Kind::CustomerUpdated => PROFILE.as_slice(),
        Kind::CustomerDeleted => &["id"],
        Kind::EntitlementsUpdated => &["customer", "resource", "entitlements"],
        Kind::MeasurementReported | Kind::EntitlementUsageExceeded => &MEASUREMENT,
        Kind::CreditBalanceLow | Kind::CreditBalanceDepleted | Kind::CreditsBalanceUsageLow | Kind::CreditsBalanceDepleted => {
            &CREDIT_BALANCE
        }
        Kind::SubscriptionCreated
        | Kind::SubscriptionUpdated
        | Kind::SubscriptionCanceled
        | Kind::SubscriptionExpired
        | Kind::SubscriptionTrialExpired => &SUBSCRIPTION,
    };
    let mut reader = Reader { kind, odd: Odd::default() };
    let event = Object::of(json, String::new(), &[&ENVELOPE, names].concat()).ok_or(EventError::NoType)?;
    let envelope = envelope(&mut reader, &event, digest);
    let event = match kind {
        Kind::CustomerCreated | Kind::CustomerUpdated => customer(&mut reader, &event),
        Kind::CustomerDeleted => Ok(Event::CustomerDeleted { customer_id: reader.required(&event, "id")? }),
        Kind::EntitlementsUpdated => entitlements(&mut reader, &event),
        Kind::MeasurementReported | Kind::EntitlementUsageExceeded => measurement(&mut reader, &event),
        Kind::CreditBalanceLow | Kind::CreditsBalanceUsageLow => credit_balance(&mut reader, &event, false),
        Kind::CreditBalanceDepleted | Kind::CreditsBalanceDepleted => credit_balance(&mut reader, &event, true),
        Kind::SubscriptionCreated
        | Kind::SubscriptionUpdated
        | Kind::SubscriptionCanceled
        | Kind::SubscriptionExpired
        | Kind::SubscriptionTrialExpired => subscription(&mut reader, &event),
    }?;
    Ok((envelope, event, reader.odd))
}

fn envelope(reader: &mut Reader, event: &Object<'_>, digest: String) -> Envelope {
    let is_list = reader.kind == Kind::EntitlementsUpdated;
    let mut date = |name| reader.tolerant(event, name).map(|Date(time)| time);
    let timestamp = date("timestamp");
    let entitlements_updated_at = if is_list { date("entitlementsUpdatedAt") } else { None };
    let environment_id = reader.tolerant(event, "environmentId");
    Envelope { message_id: reader.tolerant(event, "messageId"), timestamp, entitlements_updated_at, environment_id, digest }
}

const PROFILE: [&str; 9] =
    ["id", "name", "email", "billingId", "crmId", "billingCurrency", "metadata", "excludeFromExperiment", "experimentInfo"];

fn customer(reader: &mut Reader, event: &Object<'_>) -> Result<Event, EventError> {
    let customer_id = reader.required(event, "id")?;
    check_size(reader, event, &PROFILE, MAX_REGISTER_BYTES)?;
    let profile = Profile {
        name: reader.tolerant(event, "name"),
        email: reader.tolerant(event, "email"),
        billing_id: reader.tolerant(event, "billingId"),
        crm_id: opaque(event, "crmId"),
        billing_currency: opaque(event, "billingCurrency"),
        metadata: opaque(event, "metadata"),
        exclude_from_experiment: opaque(event, "excludeFromExperiment"),
        experiment_info: opaque(event, "experimentInfo"),
    };
    Ok(Event::Customer { customer_id, profile: Box::new(profile), created: reader.kind == Kind::CustomerCreated })
}

/// The customer that another event is about.
fn embedded(reader: &mut Reader, customer: &Object<'_>) -> Result<(Id, Embedded), EventError> {
    let id = reader.required(customer, "id")?;
    check_size(reader, customer, &EMBEDDED[1..], MAX_EMBEDDED_BYTES)?;
    let embedded = Embedded {
        name: reader.tolerant(customer, "name"),
        email: reader.tolerant(customer, "email"),
        billing_id: reader.tolerant(customer, "billingId"),
    };
    Ok((id, embedded))
}

const EMBEDDED: [&str; 4] = ["id", "name", "email", "billingId"];

/// The resource that an event is about: None at customer level.
fn resource(reader: &Reader, event: &Object<'_>) -> Result<Option<Id>, EventError> {
    let resource = reader.object(event, "resource", &["id"])?;
    resource.map(|resource| reader.required(&resource, "id")).transpose()
}

fn entitlements(reader: &mut Reader, event: &Object<'_>) -> Result<Event, EventError> {
    let (customer_id, embedded) = embedded(reader, &reader.required_object(event, "customer", &EMBEDDED)?)?;
    // Absent in the older form, whose entries each name a resource; null is the customer level.
    let scope = event.text("resource").map(|_| resource(reader, event)).transpose()?;
    let is_older_form = scope.is_none();
    let mut lists: Vec<List> = scope.map(|resource_id| List { resource_id, grants: Vec::new() }).into_iter().collect();
    let entries: &RawValue = reader.required(event, "entitlements")?;
    for (index, entry) in list_of(reader, entries, "entitlements")?.into_iter().enumerate() {
        let Some((resource_id, feature_id, json)) = entitlement(reader, entry, format!("entitlements[{index}]"), is_older_form)?
        else {
            continue;
        };
        let grant = (feature_id, json);
        match lists.iter_mut().find(|list| !is_older_form || list.resource_id == resource_id) {
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
    Ok(Event::Entitlements { customer_id, embedded, lists })
}

/// The entries of a list, none of them read yet.
fn list_of<'e>(reader: &Reader, json: &'e RawValue, name: &str) -> Result<Vec<&'e RawValue>, EventError> {
    struct Entries;

    impl<'e> Visitor<'e> for Entries {
        type Value = Option<Vec<&'e RawValue>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'e>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut entries = Vec::new();
            while let Some(entry) = list.next_element()? {
                if entries.len() == MAX_FEATURES {
                    while list.next_element::<IgnoredAny>()?.is_some() {}
                    return Ok(None);
                }
                entries.push(entry);
            }
            Ok(Some(entries))
        }
    }

    let entries = serde_json::Deserializer::from_str(json.get()).deserialize_seq(Entries);
    let entries = entries.map_err(|error| reader.error(name.to_owned(), crate::json_error::problem(&error)))?;
    entries.ok_or_else(|| reader.error(name.to_owned(), format!("has more than {MAX_FEATURES} entries")))
}

/// A list that names a feature twice means the last one, on every replica.
fn keep_last_of_each_feature(grants: &mut Vec<(Id, String)>) {
    let mut seen = HashSet::new();
    let is_last: Vec<bool> = grants.iter().rev().map(|(feature, _)| seen.insert(feature)).collect();
    drop(seen);
    let mut is_last = is_last.into_iter().rev();
    grants.retain(|_| is_last.next().unwrap_or(true));
}

/// What a member of an entitlement has to be for those who read the stored list.
#[derive(Clone, Copy)]
enum Shape {
    Number,
    Flag,
    Text,
    Id,
    Date,
    Texts,
    /// An object with an `id`.
    Keyed,
    Object(&'static [(&'static str, Shape)]),
    Any,
}

/// An entitlement's members that are read. All others are kept as they are.
const ENTITLEMENT: [(&str, Shape); 14] = [
    ("feature", Shape::Object(&[("id", Shape::Id), ("featureType", Shape::Text), ("meterType", Shape::Text)])),
    ("resourceId", Shape::Id),
    ("usageLimit", Shape::Number),
    ("hasUnlimitedUsage", Shape::Flag),
    ("hasSoftLimit", Shape::Flag),
    ("currentUsage", Shape::Number),
    ("usagePeriodAnchor", Shape::Date),
    ("usagePeriodStart", Shape::Date),
    ("usagePeriodEnd", Shape::Date),
    ("nextResetDate", Shape::Date),
    ("resetPeriod", Shape::Text),
    ("enumValues", Shape::Texts),
    (
        "creditBalance",
        Shape::Object(&[("creditCurrency", Shape::Keyed), ("totalGranted", Shape::Number), ("remainingBalance", Shape::Number)]),
    ),
    ("resetPeriodConfiguration", Shape::Any),
];

/// Which members decide about a feature: the rows on entitlements of the table above.
struct Deciding {
    is_number: bool,
    is_metered: bool,
    is_enum: bool,
    has_credits: bool,
}

impl Deciding {
    fn of(feature_type: Option<&str>, meter_type: Option<&str>, has_credits: bool) -> Self {
        let is_type = |name| feature_type.is_some_and(|feature_type| feature_type.eq_ignore_ascii_case(name));
        let has_meter = meter_type.is_some_and(|meter| !meter.eq_ignore_ascii_case("none"));
        let is_number = is_type("NUMBER");
        Self { is_number, is_metered: is_number && has_meter, is_enum: is_type("ENUM"), has_credits }
    }

    fn includes(&self, member: &str) -> bool {
        match member {
            "feature.id" | "feature.featureType" => true,
            "feature.meterType" => self.is_number,
            "usageLimit" | "hasSoftLimit" => self.is_metered || self.has_credits,
            "hasUnlimitedUsage" | "currentUsage" | "usagePeriodEnd" | "nextResetDate" => self.is_metered,
            "enumValues" => self.is_enum,
            "creditBalance" | "creditBalance.remainingBalance" => true,
            _ => false,
        }
    }
}

/// Reads an entry of a list: its resource where the entry names it, its feature, and its JSON without nulls
/// and without what can't be read. None if it has no feature.
fn entitlement(
    reader: &mut Reader,
    json: &RawValue,
    path: String,
    is_older_form: bool,
) -> Result<Option<(Option<Id>, Id, String)>, EventError> {
    if json.get().len() > MAX_REGISTER_BYTES {
        return Err(EventError::TooLarge { kind: reader.kind.as_str(), field: path, limit: MAX_REGISTER_BYTES });
    }
    let Some(entry) = Object::of(json, format!("{path}."), &["feature", "resourceId", "creditBalance"]) else {
        reader.odd.add(path);
        return Ok(None);
    };
    let Ok(Some(feature)) = reader.object(&entry, "feature", &["id", "featureType", "meterType"]) else {
        reader.odd.add(entry.path_of("feature"));
        return Ok(None);
    };
    let feature_id = reader.required(&feature, "id")?;
    let resource_id = if is_older_form { reader.decisive(&entry, "resourceId")? } else { None };
    let feature_type: Option<String> = reader.decisive(&feature, "featureType")?;
    let meter_type = feature.get("meterType").and_then(|json| serde_json::from_str::<String>(json.get()).ok());
    let has_credits = entry.get("creditBalance").is_some();
    let deciding = Deciding::of(feature_type.as_deref(), meter_type.as_deref(), has_credits);
    let mut written = String::with_capacity(json.get().len());
    write_entitlement(reader, json, &ENTITLEMENT, (&path, ""), &deciding, &mut written)?;
    Ok(Some((resource_id, feature_id, written)))
}

/// Writes an entitlement, or an object in it, without nulls and without members that can't be read: `path` is
/// the entitlement's, and the object's in it.
fn write_entitlement(
    reader: &mut Reader,
    json: &RawValue,
    shapes: &[(&str, Shape)],
    path: (&str, &str),
    deciding: &Deciding,
    written: &mut String,
) -> Result<(), EventError> {
    let mut members = Members::begin(written);
    for (name, value) in members_of(json).unwrap_or_default() {
        let shape = shapes.iter().find(|(known, _)| *known == name).map_or(Shape::Any, |(_, shape)| *shape);
        let member = format!("{}{name}", path.1);
        let problem = match shape {
            Shape::Any => None,
            Shape::Number => misfit::<f64>(value),
            Shape::Flag => misfit::<bool>(value),
            Shape::Text => misfit::<Cow<'_, str>>(value),
            Shape::Texts => misfit::<Vec<String>>(value),
            Shape::Id => misfit::<Id>(value),
            Shape::Keyed => misfit::<Keyed>(value),
            Shape::Date => misfit::<Date>(value),
            Shape::Object(_) => misfit::<BTreeMap<String, IgnoredAny>>(value),
        };
        if let Some(problem) = problem {
            let field = format!("{}.{member}", path.0);
            if deciding.includes(&member) {
                return Err(reader.error(field, problem));
            }
            reader.odd.add(field);
            continue;
        }
        members.name(name);
        match shape {
            Shape::Object(shapes) => {
                write_entitlement(reader, value, shapes, (path.0, &format!("{member}.")), deciding, members.written)?;
            }
            Shape::Date => write_date(value, members.written),
            _ => write_without_nulls(value, members.written),
        }
    }
    members.end();
    Ok(())
}

/// What is wrong with a value that should be a T.
fn misfit<'e, T: Deserialize<'e>>(json: &'e RawValue) -> Option<String> {
    serde_json::from_str::<T>(json.get()).err().map(|error| json_error::problem(&error))
}

#[derive(Deserialize)]
struct Keyed {
    #[serde(rename = "id")]
    _id: Id,
}

/// Writes a date-time as it came, and one that lacks its time or offset in full.
fn write_date(json: &RawValue, written: &mut String) {
    let text = serde_json::from_str::<Cow<'_, str>>(json.get()).unwrap_or_default();
    match (time::parse(&text), time::parse_tolerant(&text)) {
        (Err(_), Ok(time)) => {
            written.push('"');
            written.push_str(&time::to_fixed_width(time));
            written.push('"');
        }
        _ => written.push_str(json.get()),
    }
}

/// An object's members in the order of their names, without those that are null. Of one that comes twice the
/// last one counts.
fn members_of(json: &RawValue) -> serde_json::Result<BTreeMap<Cow<'_, str>, &RawValue>> {
    struct Members;

    impl<'e> Visitor<'e> for Members {
        type Value = BTreeMap<Cow<'e, str>, &'e RawValue>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'e>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = BTreeMap::new();
            while let Some((Name(name), value)) = map.next_entry::<_, &RawValue>()? {
                members.insert(name, value);
            }
            members.retain(|_, value| value.get() != "null");
            Ok(members)
        }
    }

    serde_json::Deserializer::from_str(json.get()).deserialize_map(Members)
}

/// The same JSON without the members that are null.
fn without_nulls(json: &RawValue) -> OpaqueJson {
    let mut written = String::new();
    write_without_nulls(json, &mut written);
    RawValue::from_string(written).unwrap_or_else(|_| json.to_owned()).into()
}

/// Writes JSON without the members that are null, in objects within objects; lists stay as they are.
fn write_without_nulls(json: &RawValue, written: &mut String) {
    let Ok(members) = members_of(json) else { return written.push_str(json.get()) };
    let mut object = Members::begin(written);
    for (name, value) in members {
        object.name(name);
        write_without_nulls(value, object.written);
    }
    object.end();
}

/// An object while it is written.
struct Members<'a> {
    written: &'a mut String,
    separator: char,
}

impl<'a> Members<'a> {
    fn begin(written: &'a mut String) -> Self {
        Self { written, separator: '{' }
    }

    fn name(&mut self, name: Cow<'_, str>) {
        self.written.push(std::mem::replace(&mut self.separator, ','));
        match name {
            // It stood in JSON without escapes.
            Cow::Borrowed(name) => self.written.extend(["\"", name, "\""]),
            Cow::Owned(name) => self.written.push_str(&serde_json::to_string(&name).unwrap_or_default()),
        }
        self.written.push(':');
    }

    fn end(self) {
        self.written.push_str(if self.separator == '{' { "{}" } else { "}" });
    }
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

fn measurement(reader: &mut Reader, event: &Object<'_>) -> Result<Event, EventError> {
    let key = |name| reader.required(&reader.required_object(event, name, &["id"])?, "id");
    let (customer_id, feature_id) = (key("customer")?, key("feature")?);
    let resource_id = resource(reader, event)?;
    let current_usage = reader.required(event, "currentUsage")?;
    let end = |name| Ok(reader.decisive(event, name)?.map(|Date(end)| end));
    let (usage_period_end, next_reset_date) = (end("usagePeriodEnd")?, end("nextResetDate")?);
    let usage = Usage {
        current_usage,
        usage_period_anchor: reader.tolerant(event, "usagePeriodAnchor").map(|Date(time)| time),
        usage_period_start: reader.tolerant(event, "usagePeriodStart").map(|Date(time)| time),
        usage_period_end: usage_period_end.or(next_reset_date),
        reset_period: reader.tolerant(event, "resetPeriod").map(|Word(text)| text),
    };
    Ok(Event::Measurement { customer_id, resource_id, feature_id, usage })
}

/// Members of both forms: the older one is flat, and names the resource.
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

fn credit_balance(reader: &mut Reader, event: &Object<'_>, is_depleted: bool) -> Result<Event, EventError> {
    let key = |object, flat| match reader.object(event, object, &["id"])? {
        Some(object) => reader.required(&object, "id"),
        None => reader.decisive(event, flat)?.ok_or_else(|| reader.error(object.to_owned(), "is missing")),
    };
    let (customer_id, currency_id) = (key("customer", "customerId")?, key("creditCurrency", "currencyId")?);
    let resource_id = match reader.decisive(event, "resourceId")? {
        Some(resource_id) => Some(resource_id),
        None => resource(reader, event)?,
    };
    let remaining = if event.get("currentBalance").is_some() { "currentBalance" } else { "remainingBalance" };
    let remaining_balance =
        if is_depleted { reader.tolerant(event, remaining).unwrap_or(0.0) } else { reader.required(event, remaining)? };
    let balance = Balance { total_granted: reader.tolerant(event, "totalGranted"), remaining_balance };
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

/// The statuses that show a subscription's customer alive, in created and updated events.
const ALIVE: [&str; 4] = ["ACTIVE", "IN_TRIAL", "NOT_STARTED", "PAYMENT_PENDING"];

fn subscription(reader: &mut Reader, event: &Object<'_>) -> Result<Event, EventError> {
    let kind = reader.kind;
    let subscription_id = reader.required(event, "id")?;
    let status = match kind {
        // Their documented examples still say ACTIVE.
        Kind::SubscriptionExpired | Kind::SubscriptionTrialExpired => Some("EXPIRED".to_owned()),
        _ => reader.decisive(event, "status")?.map(|Word(status)| status),
    };
    let status = status.or_else(|| (kind == Kind::SubscriptionCanceled).then(|| "CANCELED".to_owned()));
    let is_alive = matches!(kind, Kind::SubscriptionCreated | Kind::SubscriptionUpdated)
        && status.as_deref().is_some_and(|status| ALIVE.contains(&status));
    let mut date = |name| reader.tolerant(event, name).map(|Date(date)| time::to_fixed_width(date));
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
    let change = SubscriptionChange { status, dates, details, created: kind == Kind::SubscriptionCreated };
    Ok(Event::Subscription { subscription_id, change: Box::new(change), alive: customer.filter(|_| is_alive) })
}

/// What a subscription is to, if the event carries a plan.
fn details(reader: &mut Reader, event: &Object<'_>) -> Result<Option<Details>, EventError> {
    let Some(plan) = event.get("plan") else { return Ok(None) };
    check_size(reader, event, &SUBSCRIPTION[9..], MAX_REGISTER_BYTES)?;
    let id_of = |json, path: String| Object::of(json, path, &["id", "name"]);
    let Some((plan_id, plan_object)) =
        id_of(plan, "plan.".to_owned()).and_then(|plan| Some((reader.required::<Id>(&plan, "id").ok()?, plan)))
    else {
        reader.odd.add("plan".to_owned());
        return Ok(None);
    };
    let plan_name: Option<String> = reader.tolerant(&plan_object, "name");
    let resource_id = resource(reader, event).unwrap_or_else(|_| {
        reader.odd.add("resource".to_owned());
        None
    });
    let is_list = |json: &&RawValue| json.get().starts_with('[');
    let addons = event.get("addons");
    if addons.is_some_and(|addons| !is_list(&addons)) {
        reader.odd.add("addons".to_owned());
    }
    Ok(Some(Details {
        plan_name: plan_name.unwrap_or_else(|| plan_id.to_string()),
        plan_id,
        resource_id,
        billing_id: reader.tolerant(event, "billingId"),
        plan: Some(without_nulls(plan)),
        addons: addons.filter(is_list).map(|addons| addons.to_owned().into()),
        billing_period: opaque(event, "billingPeriod"),
        billing_currency: opaque(event, "billingCurrency"),
        is_trial_subscription: reader.tolerant(event, "isTrialSubscription"),
        payment_collection: opaque(event, "paymentCollection"),
        metadata: opaque(event, "metadata"),
    }))
}

fn opaque(event: &Object<'_>, name: &str) -> Option<OpaqueJson> {
    event.get(name).map(|json| json.to_owned().into())
}

/// The members together must not be larger than what can be stored of them.
fn check_size(reader: &Reader, object: &Object<'_>, names: &[&'static str], limit: usize) -> Result<(), EventError> {
    let (size, largest) = object.size(names);
    if size <= limit {
        return Ok(());
    }
    Err(EventError::TooLarge { kind: reader.kind.as_str(), field: object.path_of(largest), limit })
}
