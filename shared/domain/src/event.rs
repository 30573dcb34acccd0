//! What Stigg sends: a typed event per kind, unknown kinds kept apart.
//!
//! Of every event only the `type` and the key id are needed; other members may be absent or null,
//! and unknown ones are passed over. What a member of an unexpected type does is said in [`incoming`].

pub mod dating;
mod digest;
mod incoming;
mod member;
mod outline;

use jiff::Timestamp;
use serde_json::value::RawValue;

use crate::{
    customer::{Embedded, Profile},
    entitlement::{Balance, Usage},
    id::Id,
    subscription::{Dates, Details},
};

pub use digest::digest;
pub use member::Odd;
pub use outline::Outline;

/// Why an event can't be taken. The message names the event's type and the field, is fit for the
/// sender, and holds no value of the event's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// The body is not JSON.
    #[error("the body is not JSON: line {line}, column {column}")]
    NotJson {
        /// Where reading stopped, from 1.
        line: usize,
        /// Where reading stopped, from 1.
        column: usize,
    },
    /// The body is JSON and no event: no object, or without a text `type`.
    #[error("`type` is missing or not a string: an event is a JSON object with a string `type`")]
    NoType,
    /// A known event is JSON and can't be decoded: nested deeper than 127, a number beyond a double, or half of
    /// a surrogate pair.
    #[error("{kind}: the body can't be decoded: {problem}")]
    Undecodable {
        /// The event's type.
        kind: &'static str,
        /// What can't, and where.
        problem: String,
    },
    /// A known event lacks what it needs, or a member that decides is of another type than documented.
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
    /// The event names another environment of Stigg's than the replica belongs to.
    #[error("{kind}: `environmentId` is not the environment of this replica")]
    OtherEnvironment {
        /// The event's type.
        kind: &'static str,
    },
    /// All parts together are larger than an item of the store can be.
    #[error("{kind}: the event is too large: DynamoDB stores at most 400 KB in an item")]
    TooLargeToStore {
        /// The event's type.
        kind: &'static str,
    },
}

impl EventError {
    /// The event can be read, and is larger than an item of the store can be.
    pub fn too_large_to_store(kind: Kind) -> Self {
        Self::TooLargeToStore { kind: kind.as_str() }
    }

    /// Whether this is an event of a type that is handled, so that it must not be lost.
    pub fn is_of_known_event(&self) -> bool {
        match self {
            Self::Undecodable { .. }
            | Self::Field { .. }
            | Self::TooLarge { .. }
            | Self::TooLargeToStore { .. }
            | Self::OtherEnvironment { .. } => true,
            Self::NotJson { .. } | Self::NoType => false,
        }
    }
}

/// The most bytes of JSON that one register's opaque part may have: a DynamoDB item takes 409,600
/// bytes, and beside a profile or a grant it holds a smaller register, keys and versions.
pub const MAX_REGISTER_BYTES: usize = 300 * 1024;

/// The most bytes of JSON for the smaller ones: an embedded customer, and a single text.
pub const MAX_EMBEDDED_BYTES: usize = 64 * 1024;

/// Most entries of a list. An item of DynamoDB has room for some 3,000 entitlements of documented size.
pub const MAX_FEATURES: usize = 10_000;

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
    /// `entitlement.usage_exceeded`
    EntitlementUsageExceeded,
    /// `credit_balance.low`
    CreditBalanceLow,
    /// `credit_balance.depleted`
    CreditBalanceDepleted,
    /// `credits.balance.usage_low`, the older form of `credit_balance.low`
    CreditsBalanceUsageLow,
    /// `credits.balance.depleted`, the older form of `credit_balance.depleted`
    CreditsBalanceDepleted,
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
    pub const ALL: [Self; 15] = [
        Self::CustomerCreated,
        Self::CustomerUpdated,
        Self::CustomerDeleted,
        Self::EntitlementsUpdated,
        Self::MeasurementReported,
        Self::EntitlementUsageExceeded,
        Self::CreditBalanceLow,
        Self::CreditBalanceDepleted,
        Self::CreditsBalanceUsageLow,
        Self::CreditsBalanceDepleted,
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
            Self::EntitlementUsageExceeded => "entitlement.usage_exceeded",
            Self::CreditBalanceLow => "credit_balance.low",
            Self::CreditBalanceDepleted => "credit_balance.depleted",
            Self::CreditsBalanceUsageLow => "credits.balance.usage_low",
            Self::CreditsBalanceDepleted => "credits.balance.depleted",
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
    Handled(Box<Handled>),
    /// An event of a type that is not.
    Ignored {
        /// Its type.
        kind: String,
    },
}

/// An event that is handled.
#[derive(Debug, PartialEq)]
pub struct Handled {
    /// Its type.
    pub kind: Kind,
    /// What all events say.
    pub envelope: Envelope,
    /// What it is about.
    pub event: Event,
    /// Members that count as absent because of their values.
    pub odd: Odd,
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
    /// Stigg's id of the environment that it is from.
    pub environment_id: Option<Id>,
    /// What identifies its content: see [`digest`].
    pub digest: String,
}

impl Envelope {
    /// The time that the event says for itself.
    pub fn time(&self) -> Option<Timestamp> {
        self.entitlements_updated_at.or(self.timestamp)
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
    /// measurement.reported and entitlement.usage_exceeded.
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
    /// credit_balance.low, credit_balance.depleted and their older forms.
    CreditBalance {
        /// The customer.
        customer_id: Id,
        /// The resource, None at customer level.
        resource_id: Option<Id>,
        /// The kind of credits.
        currency_id: Id,
        /// How many were granted and are left.
        balance: Balance,
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
    /// Each feature once, with Stigg's JSON of its entitlement, without nulls and without members that can't be
    /// read: it can be read as a [`Grant`](crate::entitlement::Grant).
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
            | Self::Measurement { customer_id, .. }
            | Self::CreditBalance { customer_id, .. } => customer_id,
            Self::Subscription { subscription_id, .. } => subscription_id,
        }
    }
}

/// Reads the body of a webhook request.
///
/// # Errors
/// See [`EventError`]; an event of a type that is not handled is never an error.
pub fn parse(body: &[u8]) -> Result<Received, EventError> {
    let json: &RawValue = serde_json::from_slice(body).map_err(not_json)?;
    let kind = outline::type_of(json).ok_or(EventError::NoType)?;
    let Some(kind) = Kind::parse(&kind) else {
        return Ok(Received::Ignored { kind: kind.chars().take(100).collect() });
    };
    let (envelope, event, odd) = incoming::read(kind, json)?;
    Ok(Received::Handled(Box::new(Handled { kind, envelope, event, odd })))
}

fn not_json(error: serde_json::Error) -> EventError {
    EventError::NotJson { line: error.line(), column: error.column() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(body: &str) -> Event {
        match parse(body.as_bytes()).unwrap() {
            Received::Handled(handled) => handled.event,
            Received::Ignored { kind } => panic!("{kind} is ignored"),
        }
    }

    fn lists(entitlements: &str) -> Vec<(Option<String>, Vec<String>)> {
        let body = format!(r#"{{"type":"entitlements.updated","customer":{{"id":"c"}},{entitlements}}}"#);
        let Event::Entitlements { lists, .. } = parsed(&body) else { panic!("no list") };
        let features = |list: &List| list.grants.iter().map(|(feature, _)| feature.to_string()).collect();
        lists.iter().map(|list| (list.resource_id.as_ref().map(Id::to_string), features(list))).collect()
    }

    #[test]
    fn a_list_is_of_its_resource_or_in_the_older_form_of_each_entitlements() {
        let none = None::<String>;
        let of = |resource: &str| Some(resource.to_owned());
        let entitlement =
            |feature: &str, resource: &str| format!(r#"{{"feature":{{"id":"{feature}"}},"resourceId":{resource}}}"#);
        let mixed = [entitlement("f", "null"), entitlement("g", "\"r\""), entitlement("h", "\"r\"")].join(",");
        for (event, expected) in [
            (r#""resource":null,"entitlements":[]"#.to_owned(), vec![(none.clone(), vec![])]),
            (r#""entitlements":[]"#.to_owned(), vec![(none.clone(), vec![])]),
            (r#""resource":{"id":"r"},"entitlements":[]"#.to_owned(), vec![(of("r"), vec![])]),
            (format!(r#""entitlements":[{mixed}]"#), vec![(none.clone(), vec!["f"]), (of("r"), vec!["g", "h"])]),
            (format!(r#""resource":null,"entitlements":[{mixed}]"#), vec![(none, vec!["f", "g", "h"])]),
            (format!(r#""resource":{{"id":"q"}},"entitlements":[{mixed}]"#), vec![(of("q"), vec!["f", "g", "h"])]),
        ] {
            let expected: Vec<(Option<String>, Vec<String>)> = expected
                .into_iter()
                .map(|(scope, features)| (scope, features.into_iter().map(str::to_owned).collect()))
                .collect();
            assert_eq!(lists(&event), expected, "{event}");
        }
    }

    #[test]
    fn a_feature_that_a_list_names_twice_is_as_the_last_one_says() {
        let body = r#"{"type":"entitlements.updated","customer":{"id":"c"},"entitlements":[
            {"feature":{"id":"f"},"usageLimit":1,"resetPeriod":null},{"feature":{"id":"f"},"usageLimit":2,"resetPeriod":null}]}"#;
        let Event::Entitlements { lists, .. } = parsed(body) else { panic!("no list") };
        let grants: Vec<&str> = lists[0].grants.iter().map(|(_, json)| json.as_str()).collect();
        assert_eq!(grants, [r#"{"feature":{"id":"f"},"usageLimit":2}"#]);
    }

    /// The paths of what counts as absent.
    fn odd(body: &str) -> Vec<String> {
        match parse(body.as_bytes()) {
            Ok(Received::Handled(handled)) => {
                assert_eq!(handled.odd.count, handled.odd.paths.len(), "{body}");
                handled.odd.paths
            }
            other => panic!("{body}: {other:?}"),
        }
    }

    fn refused(body: &str) -> String {
        let error = parse(body.as_bytes()).unwrap_err();
        assert!(error.is_of_known_event(), "{error}");
        error.to_string()
    }

    /// A list with one entitlement, which is given, and one without anything odd.
    fn list_with(entitlement: &str) -> String {
        format!(
            r#"{{"type":"entitlements.updated","customer":{{"id":"c"}},"resource":null,
                "entitlements":[{{"feature":{{"id":"e","featureType":"BOOLEAN"}}}},{entitlement}]}}"#
        )
    }

    const METERED: &str = r#""feature":{"id":"f","featureType":"NUMBER","meterType":"FLUCTUATING"}"#;

    #[test]
    fn members_that_decide_nothing_count_as_absent_when_they_are_of_another_type() {
        let boolean = r#""feature":{"id":"f","featureType":"BOOLEAN"}"#;
        for (body, expected) in [
            (list_with(&format!(r#"{{{METERED},"usagePeriodStart":"2026-09-01"}}"#)), vec![]),
            (list_with(&format!(r#"{{{METERED},"usagePeriodStart":"soon"}}"#)), vec!["entitlements[1].usagePeriodStart"]),
            (list_with(&format!(r#"{{{boolean},"enumValues":[{{}}]}}"#)), vec!["entitlements[1].enumValues"]),
            (list_with(&format!(r#"{{{boolean},"usageLimit":"1"}}"#)), vec!["entitlements[1].usageLimit"]),
            (
                list_with(r#"{"feature":{"id":"f","featureType":"BOOLEAN","meterType":5}}"#),
                vec!["entitlements[1].feature.meterType"],
            ),
            (list_with(r#"{"feature":null,"creditBalance":{"remainingBalance":5}}"#), vec!["entitlements[1].feature"]),
            (list_with(r#"{"currency":{"currencyId":"tokens"}}"#), vec!["entitlements[1].feature"]),
            (list_with("7"), vec!["entitlements[1]"]),
            (
                list_with("{}").replace(r#"{"id":"c"}"#, r#"{"id":"c","billingId":5,"name":{},"email":[]}"#),
                vec!["customer.name", "customer.email", "customer.billingId", "entitlements[1].feature"],
            ),
            (
                list_with(&format!(r#"{{{boolean},"creditBalance":{{"remainingBalance":1,"totalGranted":"x","creditCurrency":"y"}}}}"#)),
                vec!["entitlements[1].creditBalance.creditCurrency", "entitlements[1].creditBalance.totalGranted"],
            ),
            (r#"{"type":"customer.deleted","id":"c","timestamp":""}"#.to_owned(), vec!["timestamp"]),
            (r#"{"type":"customer.created","id":"c","messageId":5,"name":5}"#.to_owned(), vec!["messageId", "name"]),
            (
                r#"{"type":"subscription.canceled","id":"s","startDate":"2026-01-01T00:00:00Z","endDate":"","customer":{"id":"c"},
                    "plan":{"id":"p"},"isTrialSubscription":"false","addons":{},"resource":"r"}"#
                    .to_owned(),
                vec!["endDate", "resource", "addons", "isTrialSubscription"],
            ),
            (r#"{"type":"subscription.updated","id":"s","customer":{"id":"c"},"plan":"p"}"#.to_owned(), vec!["plan"]),
            (
                r#"{"type":"measurement.reported","customer":{"id":"c"},"feature":{"id":"f"},"currentUsage":1,"resetPeriod":5}"#
                    .to_owned(),
                vec!["resetPeriod"],
            ),
        ] {
            assert_eq!(odd(&body), expected, "{body}");
        }
        let many = vec!["7"; 100].join(",");
        let Ok(Received::Handled(handled)) = parse(list_with(&many).as_bytes()) else { panic!("refused") };
        assert_eq!((handled.odd.count, handled.odd.paths.len()), (100, 5));
    }

    #[test]
    fn members_that_decide_are_refused_by_name_when_they_are_of_another_type() {
        let entitlement = |members: &str| list_with(&format!("{{{members}}}"));
        let measurement = |members: &str| format!(r#"{{"type":"measurement.reported",{members}}}"#);
        let keys = r#""customer":{"id":"c"},"feature":{"id":"f"}"#;
        for (body, expected) in [
            (entitlement(r#""feature":{"id":"f","featureType":5}"#), "entitlements[1].feature.featureType` must be a string"),
            (
                entitlement(r#""feature":{"id":"f","featureType":"NUMBER","meterType":5}"#),
                "entitlements[1].feature.meterType` must be a string",
            ),
            (entitlement(r#""feature":{"id":""}"#), "entitlements[1].feature.id` must not be empty"),
            (entitlement(r#""feature":{}"#), "entitlements[1].feature.id` is missing"),
            (entitlement(&format!(r#"{METERED},"usageLimit":"10""#)), "entitlements[1].usageLimit` must be a number"),
            (entitlement(&format!(r#"{METERED},"currentUsage":[]"#)), "entitlements[1].currentUsage` must be a number"),
            (entitlement(&format!(r#"{METERED},"hasSoftLimit":1"#)), "entitlements[1].hasSoftLimit` must be true or false"),
            (
                entitlement(&format!(r#"{METERED},"usagePeriodEnd":"soon""#)),
                "entitlements[1].usagePeriodEnd` must be a date-time",
            ),
            (
                entitlement(r#""feature":{"id":"f","featureType":"ENUM"},"enumValues":[{}]"#),
                "entitlements[1].enumValues` must be a string",
            ),
            (
                entitlement(r#""feature":{"id":"f","featureType":"BOOLEAN"},"creditBalance":{"remainingBalance":"5"}"#),
                "entitlements[1].creditBalance.remainingBalance` must be a number",
            ),
            (
                entitlement(r#""feature":{"id":"f","featureType":"BOOLEAN"},"creditBalance":5"#),
                "entitlements[1].creditBalance` must be an object",
            ),
            (r#"{"type":"entitlements.updated","customer":{"id":"c"}}"#.to_owned(), "entitlements` is missing"),
            (r#"{"type":"entitlements.updated","entitlements":[]}"#.to_owned(), "customer` is missing"),
            (
                r#"{"type":"entitlements.updated","customer":{"id":"c"},"resource":"r","entitlements":[]}"#.to_owned(),
                "resource` must be an object",
            ),
            (
                format!(
                    r#"{{"type":"entitlements.updated","customer":{{"id":"c"}},"entitlements":[{}7]}}"#,
                    "7,".repeat(MAX_FEATURES)
                ),
                "entitlements` has more than 10000 entries",
            ),
            (measurement(&format!(r#"{keys},"currentUsage":"1""#)), "currentUsage` must be a number"),
            (measurement(keys), "currentUsage` is missing"),
            (measurement(&format!(r#"{keys},"currentUsage":1,"usagePeriodEnd":5"#)), "usagePeriodEnd` must be a"),
            (r#"{"type":"subscription.updated","id":"s","status":5}"#.to_owned(), "status` must be a string"),
            (r#"{"type":"subscription.updated","id":"s","customer":{}}"#.to_owned(), "customer.id` is missing"),
            (r#"{"type":"customer.deleted"}"#.to_owned(), "id` is missing"),
            (r#"{"type":"customer.deleted","id":null}"#.to_owned(), "id` is missing"),
        ] {
            let error = refused(&body);
            assert!(error.contains(expected), "{error}: {expected}");
        }
    }

    #[test]
    fn a_date_in_a_list_is_stored_in_full_and_other_members_as_they_came() {
        let body = list_with(&format!(
            r#"{{"b" : [ null, {{"a":null}} ], "a\u0022":"\u00e9", {METERED}, "usagePeriodStart":"2026-09-01",
                "usagePeriodEnd":"2026-10-01T00:00:00.5+02:00", "c":{{"d":null,"e":{{}}}}, "usageLimit":null, "resetPeriod": 5}}"#
        ));
        let Event::Entitlements { lists, .. } = parsed(&body) else { panic!("no list") };
        assert_eq!(
            lists[0].grants[1].1,
            r#"{"a\"":"\u00e9","b":[ null, {"a":null} ],"c":{"e":{}},"feature":{"featureType":"NUMBER","id":"f","meterType":"FLUCTUATING"},"usagePeriodEnd":"2026-10-01T00:00:00.5+02:00","usagePeriodStart":"2026-09-01T00:00:00.000Z"}"#
        );
    }

    #[test]
    fn a_known_event_that_is_json_and_can_not_be_decoded_is_told_from_what_is_no_json() {
        let nested = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for metadata in ["1e999", r#""\ud800""#, nested.as_str()] {
            let error = refused(&format!(r#"{{"type":"customer.created","id":"c","metadata":{metadata}}}"#));
            assert!(error.starts_with("customer.created: the body can't be decoded: "), "{error}");
        }
        assert!(!parse(br#"{"type":"customer.created","id":"c","#).unwrap_err().is_of_known_event());
    }

    #[test]
    fn a_credit_balance_is_read_in_both_forms_and_a_depleted_one_is_0_if_it_can_not_be_read() {
        let newer = r#""customer":{"id":"c"},"creditCurrency":{"id":"tokens","name":"Tokens"}"#;
        let older = r#""customerId":"c","resourceId":"r","currencyId":"tokens""#;
        let resource = Some(Id::try_from("r").unwrap());
        for (kind, members, resource, total_granted, remaining_balance) in [
            ("credit_balance.low", format!(r#"{newer},"totalGranted":100,"remainingBalance":7.5"#), &None, Some(100.0), 7.5),
            ("credit_balance.low", format!(r#"{newer},"totalGranted":"x","remainingBalance":7"#), &None, None, 7.0),
            ("credit_balance.depleted", format!(r#"{newer},"totalGranted":100,"remainingBalance":0"#), &None, Some(100.0), 0.0),
            ("credit_balance.depleted", format!(r#"{newer},"remainingBalance":"none""#), &None, None, 0.0),
            ("credit_balance.depleted", newer.to_owned(), &None, None, 0.0),
            (
                "credits.balance.usage_low",
                format!(r#"{older},"totalGranted":100,"currentBalance":7"#),
                &resource,
                Some(100.0),
                7.0,
            ),
            ("credits.balance.depleted", older.to_owned(), &resource, None, 0.0),
            ("credits.balance.depleted", older.replace("\"r\"", "null"), &None, None, 0.0),
        ] {
            let event = parsed(&format!(r#"{{"type":"{kind}",{members}}}"#));
            let [customer_id, currency_id] = ["c", "tokens"].map(|id| Id::try_from(id).unwrap());
            let balance = Balance { total_granted, remaining_balance };
            let expected = Event::CreditBalance { customer_id, resource_id: resource.clone(), currency_id, balance };
            assert_eq!(event, expected, "{kind} {members}");
        }
        for (kind, members, expected) in [
            ("credit_balance.low", newer.to_owned(), "`remainingBalance` is missing"),
            ("credit_balance.low", format!(r#"{newer},"remainingBalance":"7""#), "`remainingBalance` must be a number"),
            ("credits.balance.usage_low", format!(r#"{older},"currentBalance":"7""#), "`currentBalance` must be a number"),
            ("credit_balance.depleted", r#""customer":{"id":"c"}"#.to_owned(), "`creditCurrency` is missing"),
            ("credit_balance.depleted", newer.replace("\"c\"", "5"), "`customer.id` must be a string"),
            ("credits.balance.depleted", older.replace("\"r\"", "5"), "`resourceId` must be a string"),
        ] {
            let error = refused(&format!(r#"{{"type":"{kind}",{members}}}"#));
            assert!(error.ends_with(expected), "{error}: {expected}");
        }
    }

    #[test]
    fn a_subscription_event_writes_what_it_carries_and_shows_its_customer_alive_or_not() {
        let subscription = |kind: &str, members: &str| {
            let Event::Subscription { change, alive, .. } =
                parsed(&format!(r#"{{"type":"subscription.{kind}","id":"s"{members}}}"#))
            else {
                panic!("no subscription")
            };
            let details = change.details.map(|(_, details)| details.plan_name);
            (change.status, change.dates.is_some(), details, change.created, alive.is_some())
        };
        let status = |status: &str| Some(status.to_owned());
        let customer = r#","customer":{"id":"c","name":null}"#;
        let whole = format!(r#"{customer},"plan":{{"id":"p"}},"startDate":"2026-01-01T00:00:00Z","endDate":null"#);
        for (kind, members, expected) in [
            ("created", format!(r#","status":"IN_TRIAL"{whole}"#), (status("IN_TRIAL"), true, status("p"), true, true)),
            ("updated", format!(r#","status":"ACTIVE"{customer}"#), (status("ACTIVE"), false, None, false, true)),
            ("updated", format!(r#","status":"CANCELED"{customer}"#), (status("CANCELED"), false, None, false, false)),
            ("updated", String::new(), (None, false, None, false, false)),
            ("canceled", whole, (status("CANCELED"), true, status("p"), false, false)),
            ("expired", r#","status":"ACTIVE""#.to_owned(), (status("EXPIRED"), false, None, false, false)),
            ("trial_expired", r#","status":"ACTIVE""#.to_owned(), (status("EXPIRED"), false, None, false, false)),
        ] {
            assert_eq!(subscription(kind, &members), expected, "subscription.{kind}{members}");
        }
    }

    #[test]
    fn a_measurement_takes_the_older_name_of_its_periods_end() {
        let body = r#"{"type":"measurement.reported","customer":{"id":"c"},"feature":{"id":"f"},"resource":null,"currentUsage":3,
            "nextResetDate":"2026-12-01T00:00:00Z"}"#;
        let Event::Measurement { usage, resource_id, .. } = parsed(body) else { panic!("no measurement") };
        assert_eq!((usage.usage_period_end, resource_id), (Some("2026-12-01T00:00:00Z".parse().unwrap()), None));
    }

    /// The usage that an event of this number measures, as it is read and as it is read back from the store.
    fn measured(number: &str) -> [f64; 2] {
        let body = format!(
            r#"{{"type":"measurement.reported","customer":{{"id":"c"}},"feature":{{"id":"f"}},"currentUsage":{number}}}"#
        );
        let Event::Measurement { usage, .. } = parsed(&body) else { panic!("no measurement") };
        let stored: Usage = serde_json::from_str(&serde_json::to_string(&usage).unwrap()).unwrap();
        [usage.current_usage, stored.current_usage]
    }

    #[test]
    fn ten_tenths_are_a_little_less_than_one_as_in_javascript() {
        let sum: f64 = [0.1; 10].iter().sum();
        assert_eq!(measured("0.9999999999999999"), [sum; 2]);
        assert!(sum < 1.0);
        // Found by fuzzing.
        assert_eq!(measured("1.7000001462189506e308"), [1.700_000_146_218_950_6e308; 2]);
    }

    fn odd_value() -> impl Strategy<Value = String> {
        const VALUES: [&str; 18] = [
            "null",
            "0",
            "-1.5",
            "true",
            "\"\"",
            "\"x\"",
            "\"NUMBER\"",
            "\"ENUM\"",
            "\"FLUCTUATING\"",
            "\"2026-01-01\"",
            "\"2026-01-01T00:00:00Z\"",
            "[]",
            "[\"a\"]",
            "[{}]",
            "{}",
            r#"{"id":"x"}"#,
            r#"{"remainingBalance":1}"#,
            r#"{"remainingBalance":"1","creditCurrency":{"id":5}}"#,
        ];
        proptest::sample::select(VALUES.as_slice()).prop_map(str::to_owned)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4_096, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn whatever_a_list_says_what_is_stored_of_it_can_be_read(
            members in proptest::collection::vec((0..15_usize, odd_value()), 0..8),
            feature in proptest::collection::vec((0..3_usize, odd_value()), 0..3),
        ) {
            const NAMES: [&str; 15] = [
                "resourceId", "usageLimit", "hasUnlimitedUsage", "hasSoftLimit", "currentUsage", "usagePeriodAnchor",
                "usagePeriodStart", "usagePeriodEnd", "nextResetDate", "resetPeriod", "resetPeriodConfiguration", "enumValues",
                "creditBalance", "a", "b",
            ];
            let member = |(name, value): &(usize, String)| format!(r#","{}":{value}"#, NAMES[*name]);
            let of_feature = |(name, value): &(usize, String)| format!(r#","{}":{value}"#, ["featureType", "meterType", "name"][*name]);
            let members: String = members.iter().map(member).collect();
            let feature: String = feature.iter().map(of_feature).collect();
            let body = list_with(&format!(r#"{{"feature":{{"id":"f"{feature}}}{members}}}"#));
            match parse(body.as_bytes()) {
                Ok(Received::Handled(handled)) => {
                    let Event::Entitlements { lists, .. } = handled.event else { panic!("no list") };
                    for (feature, json) in &lists[0].grants {
                        let grant: Result<crate::entitlement::Grant, _> = serde_json::from_str(json);
                        prop_assert!(grant.is_ok_and(|grant| grant.feature.id == *feature), "{json}");
                    }
                }
                Err(EventError::Field { .. }) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_048, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn a_number_is_the_double_that_it_was_written_from(
            number in prop_oneof![0.0..1_000.0, prop::num::f64::POSITIVE | prop::num::f64::NEGATIVE | prop::num::f64::SUBNORMAL],
        ) {
            prop_assert_eq!(measured(&format!("{number:e}")), [number; 2]);
            prop_assert_eq!(measured(&format!("{number}")), [number; 2]);
        }
    }
}
