//! The body of an event. It is rejected with the name of the field, or gets a valid version, is written under the keys of its
//! ids, and reads back unchanged.
#![no_main]

use std::collections::HashSet;

use fuzz::{FUNCTIONS, SECRET, StoreRequest, now, post, read};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use domain::{customer::Profile, entitlement::{ENTITLEMENT_FIELDS, Grant, Usage}, event::{Event, EventError, Handled, Received, dating::{MAX_CLOCK_SKEW, receipt_key, versions}, self}, id::Id, subscription::Details, time, version::Version};

fuzz_target!(|body: &[u8]| {
    let parsed = event::parse(body);
    match &parsed {
        Ok(Received::Handled(handled)) => {
            check(handled);
            check_digest(body);
        }
        Ok(Received::Ignored { kind }) => assert!(!kind.is_empty() && kind.chars().count() <= 100),
        Err(EventError::Field { field, problem, .. }) => {
            assert!(!field.is_empty() && !problem.is_empty() && problem.len() < 200, "{field}: {problem}");
        }
        Err(EventError::TooLarge { field, .. }) => assert!(!field.is_empty()),
        // The parser does not return these.
        Err(EventError::TooLargeToStore { kind } | EventError::OtherEnvironment { kind }) => panic!("{kind}"),
        Err(EventError::Undecodable { problem, .. }) => assert!(problem.len() < 200, "{problem}"),
        Err(EventError::NotJson { .. } | EventError::NoType) => {}
    }
    let request = post(&[("stigg-webhooks-secret", SECRET)], body);
    let (response, requests) = FUNCTIONS.run(FUNCTIONS.webhook.handle(request));
    let (status, answer) = read(&response);
    let writes = requests.iter().any(|request| matches!(request.operation.as_str(), "UpdateItem" | "PutItem"));
    match parsed {
        // Another environment than an earlier input's.
        Ok(Received::Handled(handled)) if handled.envelope.environment_id.is_some() && status == 400 => {
            assert!(!writes && answer["error"].as_str().unwrap().contains("`environmentId`"), "{answer}");
        }
        Ok(Received::Handled(handled)) => {
            // The store accepts every write. Only a subscription event may have no register to write.
            assert!(status == 200 && (writes || matches!(handled.event, Event::Subscription { .. })), "{answer}");
            check_keys(&handled.event, &requests);
        }
        Ok(Received::Ignored { .. }) => assert_eq!((status, writes), (200, false), "{answer}"),
        Err(EventError::TooLarge { .. }) => assert_eq!((status, writes), (413, false), "{answer}"),
        Err(_) => assert_eq!((status, writes), (400, false), "{answer}"),
    }
});

fn check(handled: &Handled) {
    let envelope = &handled.envelope;
    let dated = versions(envelope, now());
    for version in [&dated.event, &dated.embedded] {
        assert_eq!(Version::from_stored(version.as_str()).as_ref(), Some(version));
        assert!(version.time().duration_since(now()) <= MAX_CLOCK_SKEW, "{version}");
        assert_eq!(time::to_fixed_width(version.time()), version.time_text());
        // Versions are parts of keys, which have a limited length.
        assert!(version.as_str().len() <= time::FIXED_WIDTH + 2 + Id::MAX_BYTES + 32);
    }
    assert_eq!(dated, versions(envelope, now()));
    assert!((1..=Id::MAX_BYTES + 33).contains(&receipt_key(envelope).len()));
    if let Some(time) = envelope.time() {
        let (earlier, later) = (Version::new(time, "m"), Version::new(now(), "m"));
        let by_time = time::to_millisecond(time).cmp(&now());
        assert_eq!(earlier.cmp(&later), by_time, "versions sort by time");
    }
    // Stored values read back unchanged.
    match &handled.event {
        Event::Customer { profile, .. } => {
            let stored = serde_json::to_string(profile).unwrap();
            assert_eq!(&serde_json::from_str::<Profile>(&stored).unwrap(), profile.as_ref());
        }
        Event::Entitlements { lists, .. } => {
            let scopes: HashSet<_> = lists.iter().map(|list| &list.resource_id).collect();
            assert!(!lists.is_empty() && scopes.len() == lists.len());
            for list in lists {
                let features: HashSet<_> = list.grants.iter().map(|(feature, _)| feature).collect();
                assert_eq!(features.len(), list.grants.len());
                for (feature, json) in &list.grants {
                    assert_eq!(&serde_json::from_str::<Grant>(json).unwrap().feature.id, feature);
                    let value: Value = serde_json::from_str(json).unwrap();
                    let is_expected = |name: &str, member: &Value| !member.is_null() || ENTITLEMENT_FIELDS.contains(&name);
                    assert!(value.as_object().unwrap().iter().all(|(name, member)| is_expected(name, member)), "{json}");
                }
            }
        }
        Event::Measurement { usage, .. } => {
            assert!(usage.current_usage.is_finite());
            let stored = serde_json::to_string(usage).unwrap();
            assert_eq!(&serde_json::from_str::<Usage>(&stored).unwrap(), usage);
        }
        Event::Subscription { change, .. } => {
            if let Some((_, details)) = &change.details {
                let stored = serde_json::to_string(details).unwrap();
                assert_eq!(&serde_json::from_str::<Details>(&stored).unwrap(), details);
            }
            for date in change.dates.iter().flat_map(|dates| [Some(&dates.start_date), dates.end_date.as_ref()]).flatten() {
                assert_eq!(&time::to_fixed_width(time::parse(date).unwrap()), date);
            }
        }
        Event::CreditBalance { balance, .. } => {
            assert!(balance.remaining_balance.is_finite() && balance.total_granted.is_none_or(f64::is_finite));
        }
        Event::CustomerDeleted { .. } => {}
    }
}

/// The digest does not depend on white space.
fn check_digest(body: &[u8]) {
    let event: Value = serde_json::from_slice(body).unwrap();
    let [compact, pretty] = [serde_json::to_vec(&event), serde_json::to_vec_pretty(&event)].map(Result::unwrap);
    assert_eq!(event::digest(&compact).unwrap(), event::digest(&pretty).unwrap());
}

/// The written keys contain the event's ids. Builds the expected keys without the store's own code.
fn check_keys(event: &Event, requests: &[StoreRequest]) {
    let keys: Vec<(&str, &str)> = requests
        .iter()
        .filter_map(|request| {
            let key = match request.operation.as_str() {
                "UpdateItem" => &request.input["Key"],
                "PutItem" => &request.input["Item"],
                _ => return None,
            };
            Some((key["customerId"]["S"].as_str()?, key["item"]["S"].as_str()?))
        })
        .collect();
    let is_written = |customer: &Id, item: &str| keys.contains(&(customer.as_str(), item));
    let is_scope_written = |customer: &Id, resource: Option<&Id>| match resource {
        None => is_written(customer, "PROFILE"),
        Some(resource) => is_written(customer, &format!("RESOURCE#{resource}")),
    };
    let are_expected_keys_written = match event {
        Event::Measurement { customer_id, resource_id, .. } => {
            is_written(customer_id, &format!("USAGE#{}", resource_id.as_ref().map_or("", Id::as_str)))
        }
        Event::CreditBalance { customer_id, resource_id, .. } => is_scope_written(customer_id, resource_id.as_ref()),
        Event::Entitlements { customer_id, lists, .. } => {
            lists.iter().all(|list| is_scope_written(customer_id, list.resource_id.as_ref()))
        }
        Event::Customer { customer_id, .. } | Event::CustomerDeleted { customer_id } => is_written(customer_id, "PROFILE"),
        Event::Subscription { .. } => true,
    };
    assert!(are_expected_keys_written, "{keys:?}");
}
