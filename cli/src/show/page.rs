//! What is shown of a customer, as JSON has it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use shared::{
    access::{AccessDeniedReason, AccessRequest, DecidedOn, explain},
    customer::{Customer, Profile, Register, Standing, is_above},
    entitlement::{FeatureState, Usage},
    id::Id,
    store::{StoreError, WholeCustomer, WholeFeature, WholeSubscription},
    time::to_fixed_width,
    version::Version,
};

/// A customer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page {
    pub(super) customer_id: Id,
    pub(super) standing: &'static str,
    /// When it was read: what a check says depends on it.
    pub(super) read_at: String,
    /// What readers see.
    pub(super) visible: Option<Visible>,
    pub(super) is_listed: bool,
    pub(super) has_unlisted_subscriptions: bool,
    pub(super) expires_at: Option<String>,
    pub(super) registers: Registers,
    /// The customer level first, then each resource.
    pub(super) scopes: Vec<Scope>,
    pub(super) subscriptions: Vec<Subscription>,
}

/// A customer as readers see it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Visible {
    #[serde(flatten)]
    pub(super) profile: Profile,
    pub(super) created_at: Option<String>,
    pub(super) updated_at: String,
}

/// A customer's registers.
#[derive(Debug, Serialize)]
pub(super) struct Registers {
    pub(super) profile: Option<Part<Value>>,
    pub(super) embedded: Option<Part<Value>>,
    pub(super) deletion: Option<Part<()>>,
    pub(super) creation: Option<Part<()>>,
    pub(super) list: Option<Part<u64>>,
}

/// A register, and the event that wrote it last.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Part<T> {
    pub(super) version: Version,
    /// The event's time.
    pub(super) time: String,
    /// The event's messageId; the digest of its body where it has none, and after a bar where it has no
    /// time either.
    pub(super) message_id: String,
    /// Whether it lies above the customer's deletion. What does not is as good as gone.
    pub(super) exists: bool,
    pub(super) value: T,
}

/// The customer level, or a resource.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Scope {
    pub(super) resource_id: Option<Id>,
    /// The length of its newest list.
    pub(super) list: Option<Part<u64>>,
    pub(super) entitlements: Vec<Entitlement>,
}

/// A feature in a scope.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entitlement {
    pub(super) feature_id: Id,
    pub(super) state: &'static str,
    pub(super) grant: Option<Part<Value>>,
    pub(super) usage: Option<Part<Usage>>,
    pub(super) expires_at: Option<String>,
    pub(super) check: Check,
}

/// What the next check would say, if it requested nothing.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Check {
    pub(super) has_access: bool,
    pub(super) access_denied_reason: Option<AccessDeniedReason>,
    pub(super) reason: String,
    /// The row of the decision table that decides, when it does, and what it was held against.
    pub(super) row: &'static str,
    pub(super) condition: &'static str,
    pub(super) found: String,
    #[serde(flatten)]
    pub(super) decided_on: DecidedOn,
}

/// A subscription.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Subscription {
    pub(super) subscription_id: Id,
    /// Why readers don't see it; None where they do.
    pub(super) hidden: Option<&'static str>,
    pub(super) is_listed: bool,
    pub(super) expires_at: Option<String>,
    /// What the customer's pointer to it was written for.
    pub(super) pointer: Option<Version>,
    pub(super) status: Option<Part<String>>,
    pub(super) dates: Option<Part<Value>>,
    pub(super) details: Option<Part<Value>>,
    pub(super) creation: Option<Part<()>>,
}

impl Scope {
    fn new(resource_id: Option<Id>, list: Option<Part<u64>>) -> Self {
        Self { resource_id, list, entitlements: Vec::new() }
    }
}

impl<T> Part<T> {
    fn new(version: &Version, value: T, deletion: Option<&Version>) -> Self {
        let message_id = version.as_str().get(version.time_text().len() + 1..).unwrap_or_default();
        Self {
            time: version.time_text().to_owned(),
            message_id: message_id.to_owned(),
            exists: is_above(version, deletion),
            version: version.clone(),
            value,
        }
    }
}

fn json(value: impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

fn date(time: Option<Timestamp>) -> Option<String> {
    time.map(to_fixed_width)
}

impl Page {
    /// What is shown of a customer at `now`.
    pub(super) fn of(customer_id: &Id, whole: &WholeCustomer, now: Timestamp) -> Result<Self, StoreError> {
        let registers = &whole.registers;
        let deletion = registers.deletion.as_ref();
        let mark = |version: &Version| Part::new(version, (), deletion);
        let list = |register: &Register<u64>| Part::new(&register.version, register.value, deletion);
        let mut scopes = BTreeMap::from([(None, Scope::new(None, registers.list.as_ref().map(list)))]);
        for resource in &whole.resources {
            let id = Some(resource.resource_id.clone());
            scopes.insert(id.clone(), Scope::new(id, resource.list.as_ref().map(list)));
        }
        for feature in &whole.features {
            let id = feature.row.resource_id.clone();
            let entitlement = entitlement(customer_id, whole, feature, now)?;
            // Usage can come before a resource's list.
            scopes.entry(id.clone()).or_insert_with(|| Scope::new(id, None)).entitlements.push(entitlement);
        }
        Ok(Self {
            customer_id: customer_id.clone(),
            standing: match registers.standing() {
                Standing::Live => "live",
                Standing::Archived => "deleted",
                Standing::Unknown => "unknown",
            },
            read_at: to_fixed_width(now),
            visible: registers.visible().map(|Customer { profile, created_at, updated_at }| Visible {
                profile,
                created_at,
                updated_at,
            }),
            is_listed: whole.is_listed,
            has_unlisted_subscriptions: whole.has_unlisted_subscriptions,
            expires_at: date(whole.expires_at),
            registers: Registers {
                profile: registers.profile.as_ref().map(|part| Part::new(&part.version, json(&part.value), deletion)),
                embedded: registers.embedded.as_ref().map(|part| Part::new(&part.version, json(&part.value), deletion)),
                deletion: deletion.map(|version| Part { exists: true, ..mark(version) }),
                creation: registers.creation.as_ref().map(mark),
                list: registers.list.as_ref().map(list),
            },
            scopes: scopes.into_values().collect(),
            subscriptions: whole.subscriptions.iter().map(|it| subscription(customer_id, whole, it)).collect(),
        })
    }
}

fn entitlement(
    customer_id: &Id,
    whole: &WholeCustomer,
    WholeFeature { row, expires_at }: &WholeFeature,
    now: Timestamp,
) -> Result<Entitlement, StoreError> {
    let deletion = whole.registers.deletion.as_ref();
    let request = AccessRequest {
        customer_id: customer_id.clone(),
        feature_id: row.feature_id.clone(),
        resource_id: row.resource_id.clone(),
        requested_usage: 0.0,
        requested_values: Vec::new(),
    };
    let view = whole.access_view(row.resource_id.as_ref(), &row.feature_id)?;
    let explanation = explain(&view, &request, now);
    let (decision, last) = (explanation.decision, explanation.steps.last());
    let stigg = |json: &str| serde_json::from_str::<Value>(json).unwrap_or_default();
    Ok(Entitlement {
        feature_id: row.feature_id.clone(),
        state: match view.feature {
            FeatureState::Granted(_) => "granted",
            FeatureState::Revoked => "revoked",
            FeatureState::Absent => "absent",
        },
        grant: row.grant.as_ref().map(|part| Part::new(&part.version, stigg(&part.value), deletion)),
        usage: row.usage.as_ref().map(|part| Part::new(&part.version, part.value.clone(), deletion)),
        expires_at: date(*expires_at),
        check: Check {
            has_access: decision.has_access(),
            access_denied_reason: decision.denied,
            reason: decision.reason,
            row: last.map_or("", |step| step.row.number()),
            condition: last.map_or("", |step| step.row.condition()),
            found: last.map(|step| step.found.clone()).unwrap_or_default(),
            decided_on: decision.decided_on,
        },
    })
}

fn subscription(customer_id: &Id, whole: &WholeCustomer, it: &WholeSubscription) -> Subscription {
    let deletion = whole.registers.deletion.as_ref();
    let registers = &it.registers;
    let owner = registers.customer_id();
    let hidden = if registers.versions().next().is_none() {
        Some("it is gone: only the customer's pointer to it is left")
    } else if owner.is_some_and(|owner| owner != customer_id) {
        Some("it is another customer's by now")
    } else if !registers.is_complete() {
        Some("it is not complete: status, dates and details have not all come")
    } else if registers.visible(deletion).is_none() {
        Some("a part of it lies below the customer's deletion")
    } else if whole.registers.standing() != Standing::Live {
        Some("its customer is not live")
    } else {
        None
    };
    let details = registers.details.as_ref().map(|part| {
        let (owner, details) = &part.value;
        let mut value = json(details);
        if let Value::Object(members) = &mut value {
            members.insert("customerId".to_owned(), owner.as_str().into());
        }
        Part::new(&part.version, value, deletion)
    });
    Subscription {
        subscription_id: it.subscription_id.clone(),
        hidden,
        is_listed: it.is_listed,
        expires_at: date(it.expires_at),
        pointer: it.pointer.clone(),
        status: registers.status.as_ref().map(|part| Part::new(&part.version, part.value.clone(), deletion)),
        dates: registers.dates.as_ref().map(|part| Part::new(&part.version, json(&part.value), deletion)),
        details,
        creation: registers.creation.as_ref().map(|version| Part::new(version, (), deletion)),
    }
}
