//! An invocation's event. Every function answers in the form for the kind of invocation, and an empty replica grants nothing.
#![no_main]

use check_access::Invocation;
use fuzz::FUNCTIONS;
use lambda_http::{Context, LambdaEvent};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use runtime::gateway::{GatewayEvent, answer};
use webhook::Incoming;

fuzz_target!(|json: &str| {
    let functions = &*FUNCTIONS;
    if let Ok(invocation) = serde_json::from_str::<Invocation>(json) {
        let kind = match &invocation {
            Invocation::Http(_) => "http",
            Invocation::Authorizer(_) => "authorizer",
            Invocation::Direct(_) => "direct",
        };
        let (reply, _) = functions.run(functions.check_access.invoke(LambdaEvent::new(invocation, Context::default())));
        let reply = serde_json::to_value(reply).unwrap();
        match kind {
            "http" => {
                let status = reply["statusCode"].as_u64().unwrap();
                assert!(matches!(status, 200 | 204 | 304 | 400 | 401 | 403 | 404 | 405 | 413), "check-access: {reply}");
                // An id can't contain these texts, since its quotes would be escaped.
                let body = reply["body"].as_str().unwrap_or_default();
                for grant in [r#""hasAccess":true"#, r#""isGranted":true"#, r#""value":true"#] {
                    assert!(!body.contains(grant), "{body}");
                }
            }
            "authorizer" => assert!(reply["isAuthorized"] == false && reply["context"].is_object(), "{reply}"),
            _ => {
                let decisions = reply.as_array().map_or(std::slice::from_ref(&reply), Vec::as_slice);
                assert!(decisions.iter().all(|decision| decision["hasAccess"] == false || decision["error"].is_string()), "{reply}");
            }
        }
    }
    let event = LambdaEvent::new(GatewayEvent::read(json), Context::default());
    let (response, _) = functions.run(answer(|request| functions.graphql.handle(request), event));
    let status = serde_json::to_value(response).unwrap()["statusCode"].as_u64().unwrap();
    assert!(matches!(status, 200 | 204 | 400 | 401 | 404 | 405 | 406 | 413 | 415), "graphql: {status}");

    // Invalid JSON and invalid batches make the function report an error, so that Lambda retries.
    let Ok(incoming) = serde_json::from_str::<Incoming>(json) else { return };
    let (response, _) = functions.run(functions.webhook.call(LambdaEvent::new(incoming, Context::default())));
    let response = serde_json::to_value(response.unwrap()).unwrap();
    let status = response["statusCode"].as_u64();
    assert!(
        matches!(status, Some(200 | 400 | 401 | 405 | 413)) || response["batchItemFailures"].is_array(),
        "webhook: {response}"
    );
    let may_succeed = json.contains("ocal-secret") || json.contains("\\u") || response["batchItemFailures"] != Value::Null;
    assert!(may_succeed || status != Some(200), "accepted without the secret");
});
