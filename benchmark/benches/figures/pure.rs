//! The parts of the functions that ask nobody, to count their instructions.

use std::hint::black_box;

use byos::story;
use jiff::Timestamp;
use serde_json::Value;
use shared::{
    access::{AccessRequest, AccessView, decide},
    customer::{Register, Standing},
    entitlement::{Grant, merge},
    event,
    gateway::GatewayEvent,
    id::Id,
    signature::{SignedHeaders, SigningKey, SigningKeys},
    version::{Version, versions},
};

pub const ROLE: &str = "BENCHMARK_PART";

pub const PARTS: [&str; 6] = [
    "an event of API Gateway's, read",
    "measurement.reported, read",
    "entitlements.updated with 7 features, read",
    "an entitlement, read",
    "a decision",
    "a signature, verified",
];

/// The part and how often, if the process is to repeat one.
pub fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

fn body(file: &str) -> String {
    let (_, event) = story::events("webhook").into_iter().find(|(name, _)| name.contains(file)).unwrap();
    event["body"].as_str().unwrap().to_owned()
}

/// Does the part so often.
pub fn repeat(role: &str) {
    let (part, calls) = role.rsplit_once(',').unwrap();
    let calls: usize = calls.parse().unwrap();
    let again = |mut call: Box<dyn FnMut()>| (0..calls).for_each(|_| call());
    let lists: Value = serde_json::from_str(&body("08-entitlements")).unwrap();
    let entitlement = lists["entitlements"][3].to_string();
    let id = |text: &str| Id::try_from(text).unwrap();
    match PARTS.iter().position(|name| *name == part).unwrap() {
        0 => {
            let mut events = story::events("check-access").into_iter();
            let event = events.find(|(name, _)| name.contains("granted-metered")).unwrap().1.to_string();
            again(Box::new(|| drop(black_box(GatewayEvent::read(black_box(&event))))));
        }
        1 => {
            let body = body("05-measurement");
            again(Box::new(|| drop(black_box(event::parse(black_box(body.as_bytes())).unwrap()))));
        }
        2 => {
            let body = body("08-entitlements");
            again(Box::new(|| drop(black_box(event::parse(black_box(body.as_bytes())).unwrap()))));
        }
        3 => again(Box::new(|| drop(black_box(serde_json::from_str::<Grant>(black_box(&entitlement)).unwrap())))),
        4 => {
            let event::Received::Handled(handled) = event::parse(body("08-entitlements").as_bytes()).unwrap() else {
                unreachable!()
            };
            let now: Timestamp = "2026-11-24T10:00:00Z".parse().unwrap();
            let version: Version = versions(&handled.envelope, now).event;
            let grant = || Register { version: version.clone(), value: serde_json::from_str::<Grant>(&entitlement).unwrap() };
            let view = AccessView { standing: Standing::Live, list: Some(7), feature: merge(Some(grant()), None, &version) };
            let request = AccessRequest {
                customer_id: id("customer-alder"),
                feature_id: id("feature-api-calls"),
                resource_id: None,
                requested_usage: 1.0,
                requested_values: Vec::new(),
            };
            again(Box::new(|| drop(black_box(decide(black_box(&view), &request, now)))));
        }
        _ => {
            let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
            let (key, keys) = (SigningKey::parse(secret).unwrap(), SigningKeys::new(secret, None).unwrap());
            let (body, now) = (body("05-measurement"), Timestamp::from_second(1_790_000_000).unwrap());
            let signature = key.sign("msg_1", now.as_second(), body.as_bytes());
            let timestamp = now.as_second().to_string();
            again(Box::new(|| {
                let headers = SignedHeaders { id: Some("msg_1"), timestamp: Some(&timestamp), signature: Some(&signature) };
                keys.verify(black_box(headers), body.as_bytes(), now).unwrap();
            }));
        }
    }
}
