//! Histories of events that Stigg could send, and the state of its API at any time of a history.

use std::collections::HashMap;

use domain::time::to_fixed_width;
use jiff::Timestamp;
use serde_json::json;

use super::fake_stigg::{Data, entitlement, state};
use testkit::model::{
    BASE, CUSTOMERS, Check, Customer, Event, FEATURES, Kind, RESOURCES, SUBSCRIPTIONS, Time, is_of_subscription,
};

/// Milliseconds between events.
pub(crate) const STEP: i64 = 10_000;

/// The only subscription for a resource, and its customer.
const RESOURCE_SUBSCRIPTION: (usize, usize) = (2, 0);

/// An event's time, in milliseconds after [`BASE`].
pub(crate) fn moment(index: usize) -> i64 {
    STEP * (i64::try_from(index).unwrap() + 1)
}

/// Turns random events into a history that Stigg could send: customers and subscriptions are created before they change,
/// lists carry usage, and events without a time are received when they happen.
pub(crate) fn realistic(mut events: Vec<Event>) -> Vec<Event> {
    let mut customers: Vec<Customer> = CUSTOMERS.iter().map(|_| Customer::default()).collect();
    for (index, event) in events.iter_mut().enumerate() {
        event.number = index;
        (event.received, event.list_timestamp) = (moment(index), moment(index));
        if let Time::Own(own) = &mut event.time {
            *own = moment(index);
        }
        event.usage_limit = None;
        for grant in event.list.iter_mut().flatten() {
            *grant = true;
        }
        let customer = &mut customers[event.customer];
        let is_live = customer.name().is_some();
        let is_complete = |subscription: usize| customer.complete().any(|(complete, ..)| complete == subscription);
        if !is_live {
            event.kind = Kind::CustomerCreated;
        } else if event.kind == Kind::CustomerCreated {
            event.kind = Kind::CustomerUpdated;
        } else if is_of_subscription(event.kind) {
            if !is_complete(event.subscription) {
                event.kind = Kind::SubscriptionCreated;
                (event.has_dates, event.has_plan) = (true, true);
            } else if event.kind == Kind::SubscriptionCreated {
                event.kind = Kind::SubscriptionUpdated;
            }
        } else if event.customer != RESOURCE_SUBSCRIPTION.1 || !is_complete(RESOURCE_SUBSCRIPTION.0) {
            event.resource = 0;
        }
        let version = event.version();
        customer.apply(event, &version);
    }
    events
}

/// Stigg's records at a time, in milliseconds after [`BASE`].
pub(crate) fn data_at(events: &[Event], now: i64) -> Data {
    let mut customers: Vec<Customer> = CUSTOMERS.iter().map(|_| Customer::default()).collect();
    let mut usage_updated_at: HashMap<(usize, usize, usize), i64> = HashMap::new();
    for (index, event) in events.iter().enumerate().take_while(|(index, _)| moment(*index) <= now) {
        customers[event.customer].apply(event, &event.version());
        match event.kind {
            Kind::EntitlementsUpdated => {
                for feature in 0..FEATURES.len() {
                    usage_updated_at.insert((event.customer, event.resource, feature), moment(index));
                }
            }
            Kind::MeasurementReported | Kind::UsageExceeded => {
                usage_updated_at.insert((event.customer, event.resource, event.feature), moment(index));
            }
            _ => {}
        }
    }
    let time = |millisecond: i64| to_fixed_width(Timestamp::from_millisecond(BASE + millisecond).unwrap());
    let mut data = Data::default();
    for (index, (customer, id)) in customers.iter().zip(CUSTOMERS).enumerate() {
        let Some(name) = customer.name() else {
            if customer.was_deleted {
                data.customers.push(json!({"id": id, "archivedAt": time(now)}));
            }
            continue;
        };
        let email = format!("{}@example.com", name.strip_prefix("name ").unwrap());
        data.customers
            .push(json!({"id": id, "name": name, "email": email, "archivedAt": null, "createdAt": customer.created_at}));
        for (subscription, dates, plan, status) in customer.complete() {
            let resource = RESOURCES[usize::from(subscription == RESOURCE_SUBSCRIPTION.0)];
            data.subscriptions.push(json!({
                "id": SUBSCRIPTIONS[subscription], "customerId": id, "planId": format!("plan-{plan}"), "status": status,
                "startDate": time(i64::try_from(dates).unwrap()), "resourceId": resource,
            }));
        }
        for (resource, list) in &customer.lists {
            let granted = list.keys().map(|feature| {
                let Check { usage, limit, .. } = customer.check(*resource, *feature);
                let updated_at = usage_updated_at.get(&(index, *resource, *feature)).map(|at| time(*at));
                let number = |number: Option<usize>| u32::try_from(number.unwrap_or_default()).unwrap();
                let mut entitlement = entitlement(FEATURES[*feature], number(limit), number(usage));
                entitlement["usageUpdatedAt"] = updated_at.into();
                entitlement
            });
            let state = state(granted.collect(), Vec::new());
            data.states.insert((id.to_owned(), RESOURCES[*resource].map(str::to_owned)), state);
        }
    }
    data
}
