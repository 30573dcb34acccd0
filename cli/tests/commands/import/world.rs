//! Histories as Stigg could have made them, and what its API says in the midst of one.

use std::collections::HashMap;

use domain::time::to_fixed_width;
use jiff::Timestamp;
use serde_json::json;

use super::fake_stigg::{Data, entitlement, state};
use testkit::model::{
    BASE, CUSTOMERS, Check, Customer, Event, FEATURES, Kind, RESOURCES, SUBSCRIPTIONS, Time, is_of_subscription,
};

/// Milliseconds between one event and the next.
pub(crate) const STEP: i64 = 10_000;

/// The subscription that is for a resource, and the customer that it is of.
const OF_RESOURCE: (usize, usize) = (2, 0);

/// When an event happens, in milliseconds after the base.
pub(crate) fn moment(index: usize) -> i64 {
    STEP * (i64::try_from(index).unwrap() + 1)
}

/// Makes of random events a history that Stigg could have made: nothing hangs on a customer that is
/// not there, a subscription is created before it changes, lists say usage, and an event that says no
/// time is received when it happens.
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
        } else if event.customer != OF_RESOURCE.1 || !is_complete(OF_RESOURCE.0) {
            event.resource = 0;
        }
        let version = event.version();
        customer.apply(event, &version);
    }
    events
}

/// What Stigg's API says at a moment, in milliseconds after the base.
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
            let resource = RESOURCES[usize::from(subscription == OF_RESOURCE.0)];
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
