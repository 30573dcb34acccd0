//! The sequential model of the replica: the state after each event was applied once and in order. It stores plain values
//! instead of registers, and a deletion clears the customer.

use std::collections::{BTreeMap, BTreeSet};

use domain::{event::digest, time::to_fixed_width, version::Version};
use serde_json::{Value, json};

/// The start of every history, in milliseconds since 1970.
pub const BASE: i64 = 1_790_000_000_000;

pub const CUSTOMERS: [&str; 2] = ["c", "c#1"];
pub const RESOURCES: [Option<&str>; 2] = [None, Some("1#r")];
pub const FEATURES: [&str; 2] = ["f", "g"];
/// `s` and `t` belong to the first customer, `t` for its resource; `s#1` belongs to the second.
pub const SUBSCRIPTIONS: [&str; 3] = ["s", "s#1", "t"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    CustomerCreated,
    CustomerUpdated,
    CustomerDeleted,
    EntitlementsUpdated,
    MeasurementReported,
    UsageExceeded,
    /// `low` or `depleted`, depending on [`Event::number`]. The older form if the event has a resource.
    CreditBalance,
    SubscriptionCreated,
    SubscriptionUpdated,
    SubscriptionCanceled,
    SubscriptionExpired,
    SubscriptionTrialExpired,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::CustomerCreated => "customer.created",
            Self::CustomerUpdated => "customer.updated",
            Self::CustomerDeleted => "customer.deleted",
            Self::EntitlementsUpdated => "entitlements.updated",
            Self::MeasurementReported => "measurement.reported",
            Self::UsageExceeded => "entitlement.usage_exceeded",
            Self::CreditBalance => "credit_balance",
            Self::SubscriptionCreated => "subscription.created",
            Self::SubscriptionUpdated => "subscription.updated",
            Self::SubscriptionCanceled => "subscription.canceled",
            Self::SubscriptionExpired => "subscription.expired",
            Self::SubscriptionTrialExpired => "subscription.trial_expired",
        }
    }
}

/// The time that an event carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// Milliseconds after [`BASE`].
    Own(i64),
    None,
    /// Later than the receipt by more than the accepted clock skew, even at a redelivery.
    TooFarAhead,
}

/// An event of a history. Where a field does not apply to the kind, it is ignored.
#[derive(Clone, Debug)]
pub struct Event {
    /// Position in the history. Names, limits and usage are derived from it.
    pub number: usize,
    pub kind: Kind,
    pub time: Time,
    /// First receipt, in milliseconds after [`BASE`].
    pub received: i64,
    /// The receipt that the store has, in milliseconds since 1970. Later than `received` if the store failed then.
    pub stored_receipt: Option<i64>,
    /// `timestamp` of a list, in milliseconds after [`BASE`]: the time of the customer that it embeds.
    pub list_timestamp: i64,
    pub customer: usize,
    pub subscription: usize,
    pub resource: usize,
    pub feature: usize,
    /// For each feature: None if the list lacks it, else whether the list has its usage.
    pub list: Vec<Option<bool>>,
    pub has_dates: bool,
    pub has_plan: bool,
    pub is_alive: bool,
    pub usage_limit: Option<u32>,
    /// Whether the list's last feature is paid with credits.
    pub has_credits: bool,
    /// Whether some members have undocumented types. These members must count as absent.
    pub has_malformed_members: bool,
}

type Target = (Kind, Time, i64, i64, usize, usize);
type Content = (usize, usize, Vec<Option<bool>>);
type Flags = (bool, bool, bool, Option<u32>, bool, bool);

impl Event {
    pub fn random(target: Target, content: Content, flags: Flags) -> Self {
        let (kind, time, received, list_timestamp, customer, subscription) = target;
        let (resource, feature, list) = content;
        let (has_dates, has_plan, is_alive, usage_limit, has_credits, has_malformed_members) = flags;
        let customer = if is_of_subscription(kind) { subscription % CUSTOMERS.len() } else { customer };
        Self {
            number: 0,
            kind,
            time,
            received,
            stored_receipt: None,
            list_timestamp,
            customer,
            subscription,
            resource,
            feature,
            list,
            has_dates,
            has_plan,
            is_alive,
            usage_limit,
            has_credits,
            has_malformed_members,
        }
    }

    /// The first receipt, in milliseconds since 1970.
    pub fn receipt(&self) -> i64 {
        BASE + self.received
    }

    /// Whether clocks at any time after [`BASE`] treat the event's time alike. A time too far ahead at [`BASE`] is
    /// accepted by a later clock.
    pub fn is_clock_independent(&self) -> bool {
        self.time != Time::TooFarAhead
    }

    /// Whether the event has no acceptable time of its own, so that its receipt counts.
    pub fn is_dated_by_receipt(&self) -> bool {
        !matches!(self.time, Time::Own(_))
    }

    fn own_time(&self) -> Option<i64> {
        match self.time {
            Time::Own(offset) => Some(BASE + offset),
            Time::None => None,
            // 22 hours, as in Stigg's documented list. Its `timestamp` shows also later that this is too far ahead.
            Time::TooFarAhead if self.kind == Kind::EntitlementsUpdated => Some(self.receipt() + 22 * 3_600_000),
            Time::TooFarAhead => Some(self.receipt() + 72 * 3_600_000),
        }
    }

    fn message_id(&self) -> String {
        format!("m{}", self.number)
    }

    /// The version by the rules: the event's time if it is acceptable, else the receipt.
    pub fn version(&self) -> Version {
        match self.time {
            Time::Own(offset) => at(BASE + offset, &self.message_id()),
            // A list without `entitlementsUpdatedAt` still has a `timestamp`.
            Time::None if self.kind == Kind::EntitlementsUpdated => self.embedded_version(),
            Time::None | Time::TooFarAhead => at(
                self.stored_receipt.unwrap_or(self.receipt()),
                &format!("{}|{}", self.message_id(), digest(self.body().as_bytes()).unwrap()),
            ),
        }
    }

    /// The version of the embedded customer.
    fn embedded_version(&self) -> Version {
        match self.kind {
            Kind::EntitlementsUpdated => at(BASE + self.list_timestamp, &self.message_id()),
            _ => self.version(),
        }
    }

    fn name(&self) -> String {
        format!("name {}", self.number)
    }

    fn status(&self) -> &'static str {
        match self.kind {
            Kind::SubscriptionExpired | Kind::SubscriptionTrialExpired => "EXPIRED",
            Kind::SubscriptionCanceled => "CANCELED",
            _ if self.is_alive => "ACTIVE",
            _ => "CANCELED",
        }
    }

    fn type_name(&self) -> &'static str {
        match (self.kind, self.resource, self.balance()) {
            (Kind::CreditBalance, 0, 0) => "credit_balance.depleted",
            (Kind::CreditBalance, 0, _) => "credit_balance.low",
            (Kind::CreditBalance, _, 0) => "credits.balance.depleted",
            (Kind::CreditBalance, ..) => "credits.balance.usage_low",
            (kind, ..) => kind.name(),
        }
    }

    /// The remaining credits in a balance event or a list.
    fn balance(&self) -> usize {
        self.number % 3
    }

    /// The event as Stigg would send it.
    pub fn body(&self) -> String {
        let time = |millisecond: i64| to_fixed_width(jiff::Timestamp::from_millisecond(millisecond).unwrap());
        let customer =
            json!({"id": CUSTOMERS[self.customer], "name": self.name(), "email": format!("{}@example.com", self.number)});
        let mut event = json!({"type": self.type_name(), "messageId": self.message_id()});
        let time_field = if self.kind == Kind::EntitlementsUpdated { "entitlementsUpdatedAt" } else { "timestamp" };
        if let Some(own) = self.own_time() {
            event[time_field] = time(own).into();
        }
        let mut add = |more: Value| event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        match self.kind {
            Kind::CustomerCreated | Kind::CustomerUpdated | Kind::CustomerDeleted => add(customer),
            Kind::EntitlementsUpdated => {
                let entitlements = FEATURES.iter().zip(&self.list).enumerate().filter_map(|(index, (feature, grant))| {
                    let usage = grant.as_ref()?.then_some(self.number);
                    let feature = json!({"id": feature, "featureType": "NUMBER", "meterType": "Fluctuating"});
                    let mut entitlement = json!({"feature": feature, "usageLimit": 100 + self.number, "currentUsage": usage});
                    if self.has_credits_for(index) {
                        let balance =
                            json!({"creditCurrency": {"id": "tokens"}, "totalGranted": 9, "remainingBalance": self.balance()});
                        (entitlement["usageLimit"], entitlement["creditBalance"]) = (Value::Null, balance);
                    }
                    Some(entitlement)
                });
                let resource = RESOURCES[self.resource].map(|id| json!({ "id": id }));
                add(json!({"customer": customer, "resource": resource, "entitlements": entitlements.collect::<Vec<_>>(),
                           "timestamp": time(BASE + self.list_timestamp)}));
            }
            // The newer form has no resource.
            Kind::CreditBalance if self.resource == 0 => add(json!({
                "customer": {"id": CUSTOMERS[self.customer]},
                "creditCurrency": {"id": "tokens"},
                "remainingBalance": (self.balance() > 0).then_some(self.balance()),
            })),
            Kind::CreditBalance => add(json!({
                "customerId": CUSTOMERS[self.customer],
                "resourceId": RESOURCES[self.resource],
                "currencyId": "tokens",
                "currentBalance": (self.balance() > 0).then_some(self.balance()),
            })),
            Kind::MeasurementReported | Kind::UsageExceeded => add(json!({
                "customer": {"id": CUSTOMERS[self.customer]},
                "resource": RESOURCES[self.resource].map(|id| json!({ "id": id })),
                "feature": {"id": FEATURES[self.feature]},
                "currentUsage": self.number,
                "usageLimit": self.usage_limit,
            })),
            _ => {
                add(
                    json!({"id": SUBSCRIPTIONS[self.subscription], "status": if self.kind == Kind::SubscriptionExpired { "ACTIVE" } else { self.status() }}),
                );
                if self.carries_dates() {
                    add(json!({"startDate": time(BASE + i64::try_from(self.number).unwrap())}));
                }
                if self.carries_plan() {
                    let resource = RESOURCES[usize::from(self.subscription == 2)].map(|id| json!({ "id": id }));
                    add(json!({"plan": {"id": format!("plan-{}", self.number)}, "resource": resource}));
                }
                if self.carries_customer() {
                    add(json!({"customer": customer}));
                }
            }
        }
        if self.has_malformed_members {
            self.add_malformed_members(&mut event);
        }
        event.to_string()
    }

    fn add_malformed_members(&self, event: &mut Value) {
        match self.kind {
            Kind::CustomerCreated | Kind::CustomerUpdated | Kind::CustomerDeleted => event["billingId"] = 5.into(),
            Kind::EntitlementsUpdated => {
                event["customer"]["billingId"] = 5.into();
                let entitlements = event["entitlements"].as_array_mut().unwrap();
                for entitlement in entitlements.iter_mut() {
                    entitlement["usagePeriodStart"] = "soon".into();
                    entitlement["enumValues"] = json!([{}]);
                }
                entitlements.push(json!({"feature": null, "creditBalance": {"remainingBalance": 5}}));
            }
            Kind::MeasurementReported | Kind::UsageExceeded => event["resetPeriod"] = 5.into(),
            Kind::CreditBalance => event["totalGranted"] = "many".into(),
            _ => (event["endDate"], event["addons"], event["isTrialSubscription"]) = ("".into(), json!({}), "false".into()),
        }
        event["eventId"] = json!([]);
    }

    /// The body of a redelivery: the same content in different bytes.
    pub fn repeated_body(&self) -> String {
        let event: Value = serde_json::from_str(&self.body()).unwrap();
        let members = event.as_object().unwrap().iter().rev().map(|(name, value)| format!("{name:?}: {value}"));
        format!("{{{}, \"traceId\": \"again\"}}", members.collect::<Vec<_>>().join(", "))
    }

    /// Whether the feature of this list is paid with credits.
    fn has_credits_for(&self, feature: usize) -> bool {
        self.has_credits && feature + 1 == FEATURES.len()
    }

    fn carries_dates(&self) -> bool {
        match self.kind {
            Kind::SubscriptionTrialExpired => false,
            Kind::SubscriptionCreated => self.has_dates || self.has_plan,
            _ => self.has_dates,
        }
    }

    fn carries_plan(&self) -> bool {
        match self.kind {
            Kind::SubscriptionExpired | Kind::SubscriptionTrialExpired => false,
            Kind::SubscriptionCreated => self.has_plan || !self.has_dates,
            _ => self.has_plan,
        }
    }

    fn carries_customer(&self) -> bool {
        !matches!(self.kind, Kind::SubscriptionExpired | Kind::SubscriptionTrialExpired)
    }

    /// Whether the event embeds a live customer.
    fn embeds_live_customer(&self) -> bool {
        match self.kind {
            Kind::EntitlementsUpdated => self.list.iter().any(Option::is_some),
            Kind::SubscriptionCreated | Kind::SubscriptionUpdated => self.status() == "ACTIVE",
            _ => false,
        }
    }
}

pub fn is_of_subscription(kind: Kind) -> bool {
    kind.name().starts_with("subscription.")
}

fn at(millisecond: i64, id: &str) -> Version {
    Version::new(jiff::Timestamp::from_millisecond(millisecond).unwrap(), id)
}

/// A customer with its lists, usage, balances and subscriptions. Keys are indices into [`RESOURCES`], [`FEATURES`] and
/// [`SUBSCRIPTIONS`].
#[derive(Default)]
pub struct Customer {
    profile: Option<String>,
    embedded: Option<String>,
    pub was_deleted: bool,
    pub created_at: Option<String>,
    pub lists: BTreeMap<usize, BTreeMap<usize, Grant>>,
    usage: BTreeMap<(usize, usize), Usage>,
    balances: BTreeMap<usize, (Version, usize)>,
    pub subscriptions: BTreeMap<usize, Subscription>,
}

pub struct Grant {
    at: Version,
    /// Ignored if `balance` is set.
    limit: usize,
    usage: Option<usize>,
    balance: Option<usize>,
}

struct Usage {
    at: Version,
    usage: usize,
}

/// The answer to a check.
#[derive(Default)]
pub struct Check {
    /// None if access is granted.
    denied: Option<&'static str>,
    pub usage: Option<usize>,
    pub limit: Option<usize>,
    balance: Option<usize>,
}

#[derive(Default)]
pub struct Subscription {
    pub status: &'static str,
    /// [`Event::number`] of the event with the newest dates.
    pub dates: Option<usize>,
    /// [`Event::number`] of the event with the newest plan.
    pub plan: Option<usize>,
}

/// The steps of an event. They are sorted by version: a list and its embedded customer have different versions.
enum Step<'a> {
    Apply(&'a Event),
    EmbedCustomer(&'a Event),
}

/// The answers to all checks and queries, and the entries of the indexes, after these events in order of version.
pub fn answers(events: &[Event]) -> Value {
    let mut steps: Vec<(Version, u8, Step<'_>)> = Vec::new();
    for event in events {
        steps.push((event.version(), 0, Step::Apply(event)));
        if event.embeds_live_customer() {
            steps.push((event.embedded_version(), 1, Step::EmbedCustomer(event)));
        }
    }
    steps.sort_by(|one, other| (&one.0, one.1).cmp(&(&other.0, other.1)));
    let mut customers: Vec<Customer> = CUSTOMERS.iter().map(|_| Customer::default()).collect();
    for (version, _, step) in steps {
        match step {
            Step::Apply(event) => customers[event.customer].apply(event, &version),
            Step::EmbedCustomer(event) => customers[event.customer].embedded = Some(event.name()),
        }
    }
    let mut checks = Vec::new();
    for (customer, id) in customers.iter().zip(CUSTOMERS) {
        for (resource, resource_id) in RESOURCES.iter().enumerate() {
            for (feature, feature_id) in FEATURES.iter().enumerate() {
                let Check { denied, usage, limit, balance } = customer.check(resource, feature);
                checks.push(json!([id, resource_id, feature_id, denied, usage, limit, balance]));
            }
        }
    }
    let live = || customers.iter().zip(CUSTOMERS).filter(|(customer, _)| customer.name().is_some());
    let live_customers = live().map(|(customer, id)| {
        json!({
            "id": id,
            "name": customer.name(),
            "createdAt": customer.created_at,
            "subscriptions": customer.subscriptions(),
            "isFoundByEmail": true,
        })
    });
    let customer_ids: BTreeSet<_> = live().map(|(_, id)| id).collect();
    let queried_subscriptions: BTreeSet<_> = live()
        .flat_map(|(customer, _)| customer.complete())
        .map(|(index, _, plan, status)| (SUBSCRIPTIONS[index], status, format!("plan-{plan}")))
        .collect();
    let subscription_ids: BTreeSet<_> = live().flat_map(|(customer, _)| customer.subscriptions()).collect();
    json!({
        "queriedCustomers": customer_ids,
        "queriedSubscriptions": queried_subscriptions,
        "checks": checks,
        "customers": live_customers.collect::<Vec<_>>(),
        "indexedCustomers": customer_ids,
        "indexedSubscriptions": subscription_ids,
    })
}

impl Customer {
    pub fn apply(&mut self, event: &Event, version: &Version) {
        match event.kind {
            Kind::CustomerCreated => {
                self.profile = Some(event.name());
                self.created_at = Some(version.time_text().to_owned());
            }
            Kind::CustomerUpdated => self.profile = Some(event.name()),
            Kind::CustomerDeleted => *self = Self { was_deleted: true, ..Self::default() },
            Kind::EntitlementsUpdated => {
                let grants = event.list.iter().enumerate().filter_map(|(feature, grant)| {
                    let usage = grant.as_ref()?.then_some(event.number);
                    let balance = event.has_credits_for(feature).then(|| event.balance());
                    Some((feature, Grant { at: version.clone(), limit: 100 + event.number, usage, balance }))
                });
                self.lists.insert(event.resource, grants.collect());
            }
            Kind::CreditBalance => {
                self.balances.insert(event.resource, (version.clone(), event.balance()));
            }
            Kind::MeasurementReported | Kind::UsageExceeded => {
                let usage = Usage { at: version.clone(), usage: event.number };
                self.usage.insert((event.resource, event.feature), usage);
            }
            _ => {
                let subscription = self.subscriptions.entry(event.subscription).or_default();
                subscription.status = event.status();
                subscription.dates = event.carries_dates().then_some(event.number).or(subscription.dates);
                subscription.plan = event.carries_plan().then_some(event.number).or(subscription.plan);
            }
        }
    }

    pub fn name(&self) -> Option<&String> {
        self.profile.as_ref().or(self.embedded.as_ref())
    }

    /// Subscriptions with dates and a plan: index, dates, plan, status.
    pub fn complete(&self) -> impl Iterator<Item = (usize, usize, usize, &'static str)> {
        self.subscriptions
            .iter()
            .filter_map(|(index, Subscription { status, dates, plan })| Some((*index, (*dates)?, (*plan)?, *status)))
    }

    fn subscriptions(&self) -> Vec<&'static str> {
        self.complete().map(|(index, ..)| SUBSCRIPTIONS[index]).collect()
    }

    /// The decision of a check of one unit.
    pub fn check(&self, resource: usize, feature: usize) -> Check {
        let denied = |reason| Check { denied: Some(reason), ..Check::default() };
        if self.name().is_none() {
            return denied(if self.was_deleted { "CustomerIsArchived" } else { "CustomerNotFound" });
        }
        let Some(list) = self.lists.get(&resource) else {
            return denied(if resource == 0 { "NoActiveSubscription" } else { "CustomerResourceNotFound" });
        };
        if list.is_empty() {
            return denied("NoActiveSubscription");
        }
        let Some(grant) = list.get(&feature) else { return denied("NoFeatureEntitlementInSubscription") };
        let measured = self.usage.get(&(resource, feature));
        let newer = measured.filter(|measured| measured.at > grant.at);
        let usage = match (newer, grant.usage) {
            (Some(newer), _) => newer.usage,
            (None, Some(usage)) => usage,
            (None, None) => measured.map_or(0, |measured| measured.usage),
        };
        if let Some(listed) = grant.balance {
            let newer = self.balances.get(&resource).filter(|(at, _)| *at > grant.at);
            let balance = newer.map_or(listed, |(_, balance)| *balance);
            let denied = (balance == 0).then_some("InsufficientCredits");
            return Check { denied, usage: Some(usage), limit: None, balance: Some(balance) };
        }
        // Limits come from the list alone.
        let denied = (usage >= grant.limit).then_some("RequestedUsageExceedingLimit");
        Check { denied, usage: Some(usage), limit: Some(grant.limit), balance: None }
    }
}
