//! The body of a check. An empty replica denies every valid check, and rejects an invalid one with the name of the field.
#![no_main]

use fuzz::{FUNCTIONS, TOKEN, post, read};
use lambda_http::RequestExt as _;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|body: &[u8]| {
    let token = format!("Bearer {TOKEN}");
    let request = post(&[("authorization", &token)], body).with_raw_http_path("/check-access");
    let (response, requests) = FUNCTIONS.run(FUNCTIONS.check_access.handle(request));
    let (status, answer) = read(&response);
    match status {
        403 => {
            assert_eq!((&answer["hasAccess"], &answer["accessDeniedReason"]), (&false.into(), &"CustomerNotFound".into()));
            // The decision and the store's keys have the ids of the body.
            let check: Value = serde_json::from_slice(body).unwrap();
            assert_eq!((&answer["customerId"], &answer["featureId"]), (&check["customerId"], &check["featureId"]));
            assert_eq!(answer["resourceId"], check["resourceId"]);
            assert!(!requests.is_empty() && requests.iter().all(|request| request.operation == "BatchGetItem"), "{requests:?}");
            let keys = requests[0].input["RequestItems"]["customers"]["Keys"].as_array().unwrap();
            assert!(keys.iter().all(|key| key["customerId"]["S"] == check["customerId"]), "{keys:?}");
        }
        400 => {
            let error = answer["error"].as_str().unwrap();
            assert!(error.contains('`') || error.starts_with("the body is not JSON"), "{error}");
            assert!(requests.is_empty() && error.len() < 1_000, "{error}");
        }
        413 => assert!(requests.is_empty()),
        _ => panic!("{status}: {answer}"),
    }
});
