//! A message of the queue. It contains an event, or the batch reports it as failed. Parking and unparking does not change an
//! event.
#![no_main]

use fuzz::{FUNCTIONS, now};
use libfuzzer_sys::fuzz_target;
use runtime::parked::Parked;
use webhook::{Batch, MAX_BODY_BYTES, Message};

fuzz_target!(|input: &[u8]| {
    let text = String::from_utf8_lossy(input);
    let messages = vec![Message { message_id: "1".to_owned(), body: text.to_string() }];
    let (failures, requests) = FUNCTIONS.run(FUNCTIONS.webhook.drain(Batch { messages }, None));
    let failed = failures.batch_item_failures.len();
    match Parked::of_message(&text, MAX_BODY_BYTES) {
        Ok(parked) => {
            assert!(parked.body.len() <= MAX_BODY_BYTES);
            let reparked = Parked::of_message(&parked.to_message().unwrap(), MAX_BODY_BYTES).unwrap();
            assert_eq!((&reparked.body, &reparked.kind, &reparked.message_id), (&parked.body, &parked.kind, &parked.message_id));
            let is_valid = domain::event::parse(&parked.body).is_ok();
            assert_eq!(failed, usize::from(!is_valid));
        }
        Err(_) => assert!(failed == 1 && requests.is_empty()),
    }

    let parked = Parked { received_at: now(), kind: "customer.created".to_owned(), message_id: None, body: input.to_vec() };
    assert_eq!(Parked::of_message(&parked.to_message().unwrap(), MAX_BODY_BYTES).as_ref(), Ok(&parked));
    if !input.is_empty() {
        assert!(Parked::of_message(&parked.to_message().unwrap(), input.len() - 1).is_err());
    }
});
