//! `byos check`.

use serde_json::{Value, json};
use template::sample;

use crate::stack::Local;

#[tokio::test]
async fn check_has_the_decision_of_check_access_and_shows_the_steps() {
    let local = Local::with_sample_data().await;
    for (name, event) in sample::events("check-access") {
        let request: Value = serde_json::from_str(event["body"].as_str().unwrap()).unwrap();
        let text = |member: &str| request[member].as_str().map(str::to_owned);
        let mut arguments =
            vec!["check".to_owned(), text("customerId").unwrap(), text("featureId").unwrap(), "--json".to_owned()];
        if let Some(usage) = request["requestedUsage"].as_f64() {
            arguments.extend(["--usage".to_owned(), usage.to_string()]);
        }
        if let Some(resource) = text("resourceId") {
            arguments.extend(["--resource".to_owned(), resource]);
        }
        for value in request["requestedValues"].as_array().into_iter().flatten() {
            arguments.extend(["--value".to_owned(), value.as_str().unwrap().to_owned()]);
        }
        let output = local.byos(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let mut explained = output.json();
        let steps = explained.as_object_mut().unwrap().remove("steps").unwrap();
        assert_eq!(explained, local.check_access(&request).await, "{name}");
        assert_eq!(output.code, if explained["hasAccess"] == json!(true) { 0 } else { 3 }, "{name}");
        let deciding: Vec<_> = steps.as_array().unwrap().iter().filter(|step| step["decides"] == json!(true)).collect();
        assert!(deciding.len() == 1 && deciding[0] == steps.as_array().unwrap().last().unwrap(), "{name}: {steps}");
    }
}

#[tokio::test]
async fn the_text_output_shows_each_rule_up_to_the_deciding_one() {
    let local = Local::with_sample_data().await;
    let output = local.byos(&["check", "customer-alder", "feature-seats", "--usage", "1"]).await;
    assert_eq!(output.code, 3);
    for expected in [
        "customer-alder, feature-seats: denied, RequestedUsageExceedingLimit\n",
        "  3a  no list, or an empty one         7 features in the newest list\n",
        "→ 11  otherwise                        5 used, 1 requested, 5 allowed\n",
    ] {
        assert!(output.out.contains(expected), "{expected} is not in {}", output.out);
    }
    assert_eq!(local.byos(&["check", "customer-alder", "feature-seats", "--usage", "-1"]).await.code, 2);

    // A granted check of a feature at its limit warns.
    for (feature, is_at_limit) in [("feature-seats", true), ("feature-api-calls", false), ("feature-sso", false)] {
        let output = local.byos(&["check", "customer-alder", feature]).await;
        assert_eq!(output.code, 0, "{output:?}");
        assert_eq!(output.out.ends_with("\nOne more is denied: see --usage 1\n"), is_at_limit, "{output:?}");
    }
}
