//! What Lambda calls a function with. Whatever it is, there is an answer of HTTP's form, and a check of an
//! empty replica grants nothing.
#![no_main]

use fuzz::FUNCTIONS;
use lambda_http::{Context, LambdaEvent};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use runtime::gateway::{GatewayEvent, answer};
use webhook::Incoming;

fuzz_target!(|json: &str| {
    let functions = &*FUNCTIONS;
    let event = || LambdaEvent::new(GatewayEvent::read(json), Context::default());
    let (answered, _) = functions.run(async {
        let check = answer(|request| functions.check_access.handle(request), event()).await;
        let graphql = answer(|request| functions.graphql.handle(request), event()).await;
        [serde_json::to_value(check).unwrap(), serde_json::to_value(graphql).unwrap()]
    });
    let body = answered[0]["body"].as_str().unwrap_or_default().to_owned();
    let statuses = answered.map(|answer| answer["statusCode"].as_u64().unwrap());
    assert!(matches!(statuses[0], 200 | 304 | 400 | 401 | 403 | 404 | 405 | 413), "check-access: {statuses:?}");
    // Quotes within an id would be escaped.
    for grant in [r#""hasAccess":true"#, r#""isGranted":true"#, r#""value":true"#] {
        assert!(!body.contains(grant), "{body}");
    }
    assert!(matches!(statuses[1], 200 | 204 | 400 | 401 | 404 | 405 | 406 | 413 | 415), "graphql: {statuses:?}");

    // Not JSON, or a batch that is none: Lambda is told so, and calls again.
    let Ok(incoming) = serde_json::from_str::<Incoming>(json) else { return };
    let (answered, _) = functions.run(functions.webhook.call(LambdaEvent::new(incoming, Context::default())));
    let answered = serde_json::to_value(answered.unwrap()).unwrap();
    let status = answered["statusCode"].as_u64();
    assert!(
        matches!(status, Some(200 | 400 | 401 | 405 | 413)) || answered["batchItemFailures"].is_array(),
        "webhook: {answered}"
    );
    let is_secret_there = json.contains("ocal-secret") || json.contains("\\u") || answered["batchItemFailures"] != Value::Null;
    assert!(is_secret_there || status != Some(200), "taken without the secret");
});
