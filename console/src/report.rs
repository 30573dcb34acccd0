//! A customer's stored data and the decision of a check for each feature: the JSON of `byos show`, and the data of the
//! console's customer page.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    access::{AccessDeniedReason, AccessRequest, AccessView, EntitlementSnapshot, denies_one_more, explain},
    customer::{Customer, CustomerState, Profile},
    entitlement::{self, Balance, EntitlementList, Usage},
    id::Id,
    register::{Register, is_above},
    time::to_fixed_width,
    version::Version,
};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use store::{StoreError, StoredCustomer, StoredScope, StoredSubscription};

/// All data of a customer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The customer.
    pub customer_id: Id,
    /// Live, deleted or unknown.
    #[serde(rename = "standing")]
    pub state: &'static str,
    /// When it was read: what a check says depends on it.
    pub read_at: String,
    /// None if readers see no customer.
    pub visible: Option<Visible>,
    /// Whether it is in the indexes.
    pub is_listed: bool,
    /// Whether subscriptions wait for it to become live.
    pub has_waiting_subscriptions: bool,
    /// When TTL removes the customer's item.
    pub expires_at: Option<String>,
    /// The customer's own registers.
    pub registers: Registers,
    /// The customer level first, then the resources.
    pub scopes: Vec<Scope>,
    /// The subscriptions that the customer has pointers to.
    pub subscriptions: Vec<Subscription>,
}

/// A customer as readers see it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Visible {
    /// The customer's data.
    #[serde(flatten)]
    pub profile: Profile,
    /// None if no customer.created was received.
    pub created_at: Option<String>,
    /// The time of the newest visible register.
    pub updated_at: String,
}

/// A customer's registers.
#[derive(Debug, Serialize)]
pub struct Registers {
    /// Written by customer.created and customer.updated.
    pub profile: Option<StoredRegister<Value>>,
    /// Written by other events that show that the customer is live.
    pub embedded: Option<StoredRegister<Value>>,
    /// Written by customer.deleted.
    pub tombstone: Option<StoredRegister<()>>,
    /// Written by customer.created.
    pub creation: Option<StoredRegister<()>>,
}

/// A register, with the event that wrote it last.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredRegister<T> {
    /// The version of the last write.
    pub version: Version,
    /// The event's time.
    pub time: String,
    /// The event's messageId, or the digest of an event without one; `<messageId>|<digest>` if the event has no time.
    pub message_id: String,
    /// Whether it is above the customer's tombstone. If not, it is deleted.
    pub exists: bool,
    /// The register's value.
    pub value: T,
}

/// The customer level, or a resource.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Scope {
    /// The resource; None at customer level.
    pub resource_id: Option<Id>,
    /// Number of entitlements in the newest list.
    pub list: Option<StoredRegister<usize>>,
    /// By currency.
    pub balances: BTreeMap<String, StoredRegister<Balance>>,
    /// Sorted by feature id.
    pub entitlements: Vec<Entitlement>,
    /// When TTL removes the scope's first item.
    pub expires_at: Option<String>,
}

/// A feature in a scope: an entry of its list, usage, or both.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entitlement {
    /// The feature.
    pub feature_id: Id,
    /// The list's entry.
    pub grant: Option<Value>,
    /// The usage register.
    pub usage: Option<StoredRegister<Usage>>,
    /// The decision of a check that requests nothing.
    pub check: Check,
    /// Whether that check is granted, but a check that requests one more is denied.
    pub denies_one_more: bool,
    /// The entry, merged with usage and credits. None if the newest visible list does not contain the feature.
    #[serde(skip)]
    pub merged: Option<entitlement::Entitlement>,
}

/// The decision of a check that requests nothing.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// Whether access is granted.
    pub has_access: bool,
    /// None if access is granted.
    pub access_denied_reason: Option<AccessDeniedReason>,
    /// The reason for people.
    pub reason: String,
    /// The number of the rule that decides, in the decision table.
    pub row: &'static str,
    /// The rule's condition.
    pub condition: &'static str,
    /// The data that the condition was applied to.
    pub found: String,
    /// The numbers behind the decision.
    #[serde(flatten)]
    pub snapshot: EntitlementSnapshot,
}

/// A subscription.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Subscription {
    /// The subscription's id.
    pub subscription_id: Id,
    /// Why it is hidden from readers. None if it is visible.
    pub hidden: Option<&'static str>,
    /// Whether it is in the indexes.
    pub is_listed: bool,
    /// When TTL removes its item.
    pub expires_at: Option<String>,
    /// The version of the event that wrote the customer's pointer.
    pub pointer: Option<Version>,
    /// Stigg's status.
    pub status: Option<StoredRegister<String>>,
    /// Start, end, cancellation, trial end and billing period.
    pub dates: Option<StoredRegister<Value>>,
    /// Customer, resource, plan, add-ons, billing and metadata.
    pub details: Option<StoredRegister<Value>>,
    /// Written by subscription.created.
    pub creation: Option<StoredRegister<()>>,
}

impl<T> StoredRegister<T> {
    /// A register of a customer with this tombstone.
    pub fn new(version: &Version, value: T, tombstone: Option<&Version>) -> Self {
        let message_id = version.as_str().get(version.time_text().len() + 1..).unwrap_or_default();
        Self {
            time: version.time_text().to_owned(),
            message_id: message_id.to_owned(),
            exists: is_above(version, tombstone),
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

impl Report {
    /// The report of a stored customer, with decisions as of `now`.
    ///
    /// # Errors
    /// If a stored entitlement can't be read.
    pub fn of(customer_id: &Id, stored: &StoredCustomer, now: Timestamp) -> Result<Self, StoreError> {
        let registers = &stored.registers;
        let tombstone = registers.tombstone.as_ref();
        let mark = |version: &Version| StoredRegister::new(version, (), tombstone);
        let scopes = stored.scopes.iter().map(|(id, scope)| self::scope(customer_id, stored, id.as_ref(), scope, now));
        Ok(Self {
            customer_id: customer_id.clone(),
            state: match registers.state() {
                CustomerState::Live => "live",
                CustomerState::Archived => "deleted",
                CustomerState::Unknown => "unknown",
            },
            read_at: to_fixed_width(now),
            visible: registers.visible().map(|Customer { profile, created_at, updated_at }| Visible {
                profile,
                created_at,
                updated_at,
            }),
            is_listed: stored.is_listed,
            has_waiting_subscriptions: stored.has_waiting_subscriptions,
            expires_at: date(stored.expires_at),
            registers: Registers {
                profile: registers
                    .profile
                    .as_ref()
                    .map(|register| StoredRegister::new(&register.version, json(&register.value), tombstone)),
                embedded: registers
                    .embedded
                    .as_ref()
                    .map(|register| StoredRegister::new(&register.version, json(&register.value), tombstone)),
                tombstone: tombstone.map(|version| StoredRegister { exists: true, ..mark(version) }),
                creation: registers.creation.as_ref().map(mark),
            },
            scopes: scopes.collect::<Result<_, StoreError>>()?,
            subscriptions: stored.subscriptions.iter().map(|it| subscription(customer_id, stored, it)).collect(),
        })
    }
}

fn scope(
    customer_id: &Id,
    stored: &StoredCustomer,
    resource_id: Option<&Id>,
    StoredScope { registers, expires_at }: &StoredScope,
    now: Timestamp,
) -> Result<Scope, StoreError> {
    let tombstone = stored.registers.tombstone.as_ref();
    let list = registers.list.as_ref();
    let listed = list.into_iter().flat_map(|list| list.value.iter()).filter_map(|(id, _)| Id::try_from(id).ok());
    let features: BTreeSet<Id> = listed.chain(registers.usage.keys().cloned()).collect();
    let entitlement = |feature_id: Id| {
        let request = AccessRequest {
            customer_id: customer_id.clone(),
            feature_id,
            resource_id: resource_id.cloned(),
            requested_usage: 0.0,
            requested_values: Vec::new(),
        };
        let view = AccessView::of(&stored.registers, registers, &request.feature_id)?;
        let explanation = explain(&view, &request, now);
        let denies_one_more = denies_one_more(&view, &request, now);
        let (decision, last) = (explanation.decision, explanation.steps.last());
        let feature_id = request.feature_id;
        let grant = list.and_then(|list| list.value.get(feature_id.as_str()));
        Ok(Entitlement {
            grant: grant.map(|json| serde_json::from_str(json).unwrap_or_default()),
            usage: registers
                .usage
                .get(&feature_id)
                .map(|register| StoredRegister::new(&register.version, register.value.clone(), tombstone)),
            feature_id,
            check: Check {
                has_access: decision.has_access(),
                access_denied_reason: decision.denied,
                reason: decision.reason,
                row: last.map_or("", |step| step.rule.number()),
                condition: last.map_or("", |step| step.rule.condition()),
                found: last.map(|step| step.found.clone()).unwrap_or_default(),
                snapshot: decision.snapshot,
            },
            denies_one_more,
            merged: view.entitlement,
        })
    };
    let length = |register: &Register<EntitlementList>| StoredRegister::new(&register.version, register.value.len(), tombstone);
    let balance = |register: &Register<Balance>| StoredRegister::new(&register.version, register.value.clone(), tombstone);
    Ok(Scope {
        resource_id: resource_id.cloned(),
        list: list.map(length),
        balances: registers.balances.iter().map(|(currency, register)| (currency.clone(), balance(register))).collect(),
        entitlements: features.into_iter().map(entitlement).collect::<Result<_, StoreError>>()?,
        expires_at: date(*expires_at),
    })
}

fn subscription(customer_id: &Id, stored: &StoredCustomer, it: &StoredSubscription) -> Subscription {
    let tombstone = stored.registers.tombstone.as_ref();
    let registers = &it.registers;
    let owner = registers.customer_id();
    let hidden = if registers.versions().next().is_none() {
        Some("it does not exist: only the customer's pointer to it is left")
    } else if owner.is_some_and(|owner| owner != customer_id) {
        Some("it belongs to another customer now")
    } else if !registers.is_complete() {
        Some("it is incomplete: status, dates or details are missing")
    } else if registers.visible(tombstone).is_none() {
        Some("status, dates or details are not above the customer's tombstone")
    } else if stored.registers.state() != CustomerState::Live {
        Some("its customer is not live")
    } else {
        None
    };
    let details = registers.details.as_ref().map(|register| {
        let (owner, details) = &register.value;
        let mut value = json(details);
        if let Value::Object(members) = &mut value {
            members.insert("customerId".to_owned(), owner.as_str().into());
        }
        StoredRegister::new(&register.version, value, tombstone)
    });
    Subscription {
        subscription_id: it.subscription_id.clone(),
        hidden,
        is_listed: it.is_listed,
        expires_at: date(it.expires_at),
        pointer: it.pointer.clone(),
        status: registers
            .status
            .as_ref()
            .map(|register| StoredRegister::new(&register.version, register.value.clone(), tombstone)),
        dates: registers.dates.as_ref().map(|register| StoredRegister::new(&register.version, json(&register.value), tombstone)),
        details,
        creation: registers.creation.as_ref().map(|version| StoredRegister::new(version, (), tombstone)),
    }
}
