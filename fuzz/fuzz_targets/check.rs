//! The body of a check: an empty replica denies what it can read, refuses the rest with a field's name, and
//! grants nothing.
#![no_main]

use fuzz::{FUNCTIONS, TOKEN, post, read};
use lambda_http::RequestExt as _;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|body: &[u8]| {
    let token = format!("Bearer {TOKEN}");
    let request = post(&[("authorization", &token)], body).with_raw_http_path("/check-access");
    let (response, asked) = FUNCTIONS.run(FUNCTIONS.check_access.handle(request));
    let (status, answer) = read(&response);
    match status {
        403 => {
            assert_eq!((&answer["hasAccess"], &answer["accessDeniedReason"]), (&false.into(), &"CustomerNotFound".into()));
            // It asked for what it was asked, and says so.
            let question: Value = serde_json::from_slice(body).unwrap();
            assert_eq!((&answer["customerId"], &answer["featureId"]), (&question["customerId"], &question["featureId"]));
            assert_eq!(answer["resourceId"], question["resourceId"]);
            assert!(!asked.is_empty() && asked.iter().all(|asked| asked.operation == "BatchGetItem"), "{asked:?}");
            let keys = asked[0].input["RequestItems"]["customers"]["Keys"].as_array().unwrap();
            assert!(keys.iter().all(|key| key["customerId"]["S"] == question["customerId"]), "{keys:?}");
        }
        400 => {
            let error = answer["error"].as_str().unwrap();
            assert!(error.contains('`') || error.starts_with("the body is not JSON"), "{error}");
            assert!(asked.is_empty() && error.len() < 1_000, "{error}");
        }
        413 => assert!(asked.is_empty()),
        _ => panic!("{status}: {answer}"),
    }
});
