//! What Stigg sends: a typed event per kind, unknown kinds kept apart.
//!
//! Of every event only the `type` and the key id are needed; other members may be absent or null,
//! and unknown ones are passed over.

mod incoming;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    customer::{Embedded, Profile},
    entitlement::Usage,
    id::Id,
    subscription::{Dates, Details},
    time, version,
};
use incoming::read;

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
    #[error("`type` is missing or not a string: an event is a JSON object with a string `type`")]
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
pub fn parse(body: &[u8]) -> Result<Received, EventError> {
    let event: Value = serde_json::from_slice(body).map_err(not_json)?;
    let kind = event.get("type").and_then(Value::as_str).filter(|kind| !kind.is_empty()).ok_or(EventError::NoType)?;
    let Some(kind) = Kind::parse(kind) else {
        return Ok(Received::Ignored { kind: kind.chars().take(100).collect() });
    };
    let envelope = Envelope::of(kind, &event, body)?;
    let event = incoming::event(kind, &event)?;
    Ok(Received::Handled(Box::new(Handled { kind, envelope, event })))
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
