//! Repeats a part of the functions that needs no I/O, so that its instructions can be counted: `parts PART CALLS`. The part's
//! input comes from standard input.

use std::{env, error::Error, hint::black_box, io};

use domain::{
    access::{AccessRequest, AccessView, decide},
    customer::CustomerState,
    entitlement::{Entitlement, Grant},
    event,
    id::Id,
    register::Register,
    version::Version,
};
use jiff::Timestamp;
use runtime::{
    gateway::GatewayEvent,
    signature::{SignedHeaders, SigningKey, SigningKeys},
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (part, calls) = (arguments.next().unwrap_or_default(), arguments.next().unwrap_or_default().parse::<usize>()?);
    let input = io::read_to_string(io::stdin())?;
    let repeat = |mut call: Box<dyn FnMut() -> Result<(), Box<dyn Error>> + '_>| (0..calls).try_for_each(|_| call());
    match part.as_str() {
        "gateway-event" => repeat(Box::new(|| {
            black_box(GatewayEvent::read(black_box(&input)));
            Ok(())
        })),
        "webhook-event" => repeat(Box::new(|| {
            black_box(event::parse(black_box(input.as_bytes()))?);
            Ok(())
        })),
        "entitlement" => repeat(Box::new(|| {
            black_box(serde_json::from_str::<Grant>(black_box(&input))?);
            Ok(())
        })),
        "decision" => {
            let now: Timestamp = "2026-11-24T10:00:00Z".parse()?;
            let version = Version::new(now, "message");
            let grant = Register { version, value: serde_json::from_str(&input)? };
            let entitlement = Some(Entitlement::new(grant, None, None));
            let view = AccessView { customer_state: CustomerState::Live, list: Some(1), entitlement };
            let request = AccessRequest {
                customer_id: Id::try_from("customer-alder")?,
                feature_id: Id::try_from("feature-api-calls")?,
                resource_id: None,
                requested_usage: 1.0,
                requested_values: Vec::new(),
            };
            repeat(Box::new(|| {
                black_box(decide(black_box(&view), &request, now));
                Ok(())
            }))
        }
        "signature" => {
            let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
            let (key, keys) = (SigningKey::parse(secret)?, SigningKeys::new(secret, None)?);
            let now = Timestamp::from_second(1_790_000_000)?;
            let signature = key.sign("msg_1", now.as_second(), input.as_bytes());
            let timestamp = now.as_second().to_string();
            repeat(Box::new(|| {
                let headers = SignedHeaders { id: Some("msg_1"), timestamp: Some(&timestamp), signature: Some(&signature) };
                Ok(keys.verify(black_box(headers), input.as_bytes(), now)?)
            }))
        }
        unknown => Err(format!("unknown part {unknown}").into()),
    }
}
