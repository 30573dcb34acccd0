//! A plain model of the replica: what events come to when each comes once and in order. It keeps one
//! value where the replica keeps registers, and wipes a customer when it is deleted.

use std::collections::{BTreeMap, BTreeSet};

use domain::{event::digest, time::to_fixed_width, version::Version};
use serde_json::{Value, json};

/// The moment that the events of a history begin at, in milliseconds since 1970.
pub const BASE: i64 = 1_790_000_000_000;

pub const CUSTOMERS: [&str; 2] = ["c", "c#1"];
pub const RESOURCES: [Option<&str>; 2] = [None, Some("1#r")];
pub const FEATURES: [&str; 2] = ["f", "g"];
/// Each belongs to the customer of the same index, the third to the first, for its resource.
pub const SUBSCRIPTIONS: [&str; 3] = ["s", "s#1", "t"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    CustomerCreated,
    CustomerUpdated,
    CustomerDeleted,
    EntitlementsUpdated,
    MeasurementReported,
    UsageExceeded,
    /// Low or depleted, by its number; in the older form where it is of a resource.
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

/// What an event says of its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// Milliseconds after the base.
    Own(i64),
    None,
    /// After its receipt, by more than is believed, also when it is delivered again.
    TooFarAhead,
}

/// An event of a history, by what it says.
#[derive(Clone, Debug)]
pub struct Event {
    pub number: usize,
    pub kind: Kind,
    pub time: Time,
    pub received: i64,
    /// When it was first received as far as the store remembers, in milliseconds since 1970: later than its
    /// receipt if the store could not be reached then.
    pub remembered: Option<i64>,
    /// When a list shows its customer, where it says that apart.
    pub shown: i64,
    pub customer: usize,
    pub subscription: usize,
    pub resource: usize,
    pub feature: usize,
    /// Of each feature: whether a list has it, and then whether with usage.
    pub list: Vec<Option<bool>>,
    pub has_dates: bool,
    pub has_plan: bool,
    pub is_alive: bool,
    pub usage_limit: Option<u32>,
    /// A list's last feature is paid with credits.
    pub is_paid: bool,
    /// It has members of other types than documented, which decide nothing.
    pub is_odd: bool,
}

type Who = (Kind, Time, i64, i64, usize, usize);
type What = (usize, usize, Vec<Option<bool>>);
type Carries = (bool, bool, bool, Option<u32>, bool, bool);

impl Event {
    pub fn random(who: Who, what: What, carries: Carries) -> Self {
        let (kind, time, received, shown, customer, subscription) = who;
        let (resource, feature, list) = what;
        let (has_dates, has_plan, is_alive, usage_limit, is_paid, is_odd) = carries;
        let customer = if is_of_subscription(kind) { subscription % CUSTOMERS.len() } else { customer };
        let list_event = Self {
            number: 0,
            kind,
            time,
            received,
            remembered: None,
            shown,
            customer,
            subscription,
            resource,
            feature,
            list,
            has_dates,
            has_plan,
            is_alive,
            usage_limit,
            is_paid,
            is_odd,
        };
        Self { customer, ..list_event }
    }

    /// When it is first received, in milliseconds since 1970.
    pub fn receipt(&self) -> i64 {
        BASE + self.received
    }

    /// Whether it says nothing of a time that a clock long after the base would believe and one at the base
    /// would not.
    pub fn time_is_timely(&self) -> bool {
        self.time != Time::TooFarAhead
    }

    /// Whether it is dated by its receipt, having no time of its own that is believed.
    pub fn receipt_dates_it(&self) -> bool {
        !matches!(self.time, Time::Own(_))
    }

    fn own_time(&self) -> Option<i64> {
        match self.time {
            Time::Own(offset) => Some(BASE + offset),
            Time::None => None,
            // Stigg's documented list is 22 hours ahead of its own timestamp, which tells that later too.
            Time::TooFarAhead if self.kind == Kind::EntitlementsUpdated => Some(self.receipt() + 22 * 3_600_000),
            Time::TooFarAhead => Some(self.receipt() + 72 * 3_600_000),
        }
    }

    fn message_id(&self) -> String {
        format!("m{}", self.number)
    }

    /// The version by the rules: own time where it is believed, else the receipt.
    pub fn version(&self) -> Version {
        match self.time {
            Time::Own(offset) => at(BASE + offset, &self.message_id()),
            // Such a list says a timestamp all the same.
            Time::None if self.kind == Kind::EntitlementsUpdated => self.shown_version(),
            Time::None | Time::TooFarAhead => at(
                self.remembered.unwrap_or(self.receipt()),
                &format!("{}|{}", self.message_id(), digest(self.body().as_bytes()).unwrap()),
            ),
        }
    }

    /// The version of the customer that it shows.
    fn shown_version(&self) -> Version {
        if self.kind == Kind::EntitlementsUpdated { at(BASE + self.shown, &self.message_id()) } else { self.version() }
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

    /// The credits that are left by an event of them, or by a list.
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
                    if self.pays_for(index) {
                        let balance =
                            json!({"creditCurrency": {"id": "tokens"}, "totalGranted": 9, "remainingBalance": self.balance()});
                        (entitlement["usageLimit"], entitlement["creditBalance"]) = (Value::Null, balance);
                    }
                    Some(entitlement)
                });
                let resource = RESOURCES[self.resource].map(|id| json!({ "id": id }));
                add(json!({"customer": customer, "resource": resource, "entitlements": entitlements.collect::<Vec<_>>(),
                           "timestamp": time(BASE + self.shown)}));
            }
            // The newer form names no resource.
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
        if self.is_odd {
            self.add_odd_members(&mut event);
        }
        event.to_string()
    }

    /// Members that count as absent.
    fn add_odd_members(&self, event: &mut Value) {
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

    /// The event as Stigg would send it once more: the same content, and not the same bytes.
    pub fn repeated_body(&self) -> String {
        let event: Value = serde_json::from_str(&self.body()).unwrap();
        let members = event.as_object().unwrap().iter().rev().map(|(name, value)| format!("{name:?}: {value}"));
        format!("{{{}, \"traceId\": \"again\"}}", members.collect::<Vec<_>>().join(", "))
    }

    /// Whether this list's feature is paid with credits.
    fn pays_for(&self, feature: usize) -> bool {
        self.is_paid && feature + 1 == FEATURES.len()
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

    fn shows_alive(&self) -> bool {
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

/// A customer with all that hangs on it.
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
    /// Unless credits pay for it.
    limit: usize,
    usage: Option<usize>,
    balance: Option<usize>,
}

struct Usage {
    at: Version,
    usage: usize,
}

/// The answer to a check; None grants.
#[derive(Default)]
pub struct Check {
    denied: Option<&'static str>,
    pub usage: Option<usize>,
    pub limit: Option<usize>,
    balance: Option<usize>,
}

/// Dates and plan are known by the number of the event that told them.
#[derive(Default)]
pub struct Subscription {
    pub status: &'static str,
    pub dates: Option<usize>,
    pub plan: Option<usize>,
}

/// What one event does, in the order of versions: a list can show its customer at another moment.
enum Step<'a> {
    Event(&'a Event),
    Shows(&'a Event),
}

/// What all checks say and what the lists hold, after these events in order.
pub fn answers(events: &[Event]) -> Value {
    let mut steps: Vec<(Version, u8, Step<'_>)> = Vec::new();
    for event in events {
        steps.push((event.version(), 0, Step::Event(event)));
        if event.shows_alive() {
            steps.push((event.shown_version(), 1, Step::Shows(event)));
        }
    }
    steps.sort_by(|one, other| (&one.0, one.1).cmp(&(&other.0, other.1)));
    let mut customers: Vec<Customer> = CUSTOMERS.iter().map(|_| Customer::default()).collect();
    for (version, _, step) in steps {
        match step {
            Step::Event(event) => customers[event.customer].apply(event, &version),
            Step::Shows(event) => customers[event.customer].embedded = Some(event.name()),
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
    let shown = live().map(|(customer, id)| {
        json!({
            "id": id,
            "name": customer.name(),
            "createdAt": customer.created_at,
            "subscriptions": customer.subscriptions(),
            "isFoundByEmail": true,
        })
    });
    let customer_ids: BTreeSet<_> = live().map(|(_, id)| id).collect();
    let shown_subscriptions: BTreeSet<_> = live()
        .flat_map(|(customer, _)| customer.complete())
        .map(|(index, _, plan, status)| (SUBSCRIPTIONS[index], status, format!("plan-{plan}")))
        .collect();
    let subscription_ids: BTreeSet<_> = live().flat_map(|(customer, _)| customer.subscriptions()).collect();
    json!({
        "shownCustomers": customer_ids,
        "shownSubscriptions": shown_subscriptions,
        "checks": checks,
        "customers": shown.collect::<Vec<_>>(),
        "listedCustomers": customer_ids,
        "listedSubscriptions": subscription_ids,
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
                    let balance = event.pays_for(feature).then(|| event.balance());
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

    /// The complete subscriptions: index, number of the dates, number of the plan, status.
    pub fn complete(&self) -> impl Iterator<Item = (usize, usize, usize, &'static str)> {
        self.subscriptions
            .iter()
            .filter_map(|(index, Subscription { status, dates, plan })| Some((*index, (*dates)?, (*plan)?, *status)))
    }

    fn subscriptions(&self) -> Vec<&'static str> {
        self.complete().map(|(index, ..)| SUBSCRIPTIONS[index]).collect()
    }

    /// What a check answers of a unit of a feature.
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
