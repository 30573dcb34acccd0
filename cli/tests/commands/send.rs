//! `byos send`.

use serde_json::json;

use crate::stack::{Local, run};

const EVENT: &str = r#"{"type":"customer.created","messageId":"m","timestamp":"2026-11-01T00:00:00Z","id":"c"}"#;

#[tokio::test]
async fn sample_events_are_applied_and_resent_ones_are_stale() {
    let local = Local::start().await;
    for (applied, stale) in [(20, 0), (0, 20)] {
        let output = local.byos(&["send", "--sample", "--json"]).await;
        let outcomes: Vec<_> = output.json_lines().iter().map(|line| line["outcome"].as_str().unwrap().to_owned()).collect();
        let count = |outcome: &str| outcomes.iter().filter(|&one| one == outcome).count();
        assert_eq!((output.code, count("applied"), count("stale"), count("ignored")), (0, applied, stale, 1), "{output:?}");
    }
}

#[tokio::test]
async fn an_event_is_read_from_a_file_or_from_standard_input() {
    let local = Local::start().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), EVENT).unwrap();
    let output = local.byos(&["send", file.path().to_str().unwrap()]).await;
    assert!(output.code == 0 && output.out.contains("200 applied") && output.out.ends_with("1 accepted.\n"), "{output:?}");
    let output = local.byos_with(&["send", "-", "--json"], &[], EVENT).await;
    let line = &output.json_lines()[0];
    assert_eq!((&line["outcome"], &line["messageId"], &line["tries"]), (&json!("stale"), &json!("m"), &json!(1)));
}

#[tokio::test]
async fn a_rejected_event_exits_with_1_and_prints_no_secret() {
    let local = Local::start().await;
    let secret = [("STIGG_WEBHOOK_SECRET", "a-wrong-secret")];
    let output = local.byos_with(&["send", "-", "--no-retry"], &secret, EVENT).await;
    assert_eq!(output.code, 1);
    assert!(output.out.contains("401 the header Stigg-Webhooks-Secret is missing or wrong"), "{output:?}");
    assert!(!format!("{output:?}").contains("a-wrong-secret"));
    let output = local.byos(&["send", "-", "--no-retry", "--secret", "local-secret"]).await;
    assert!(output.code == 1 && output.err.contains("standard input contains no event"), "{output:?}");
}

#[tokio::test]
async fn a_missing_file_is_a_usage_error_and_a_missing_secret_names_the_options() {
    assert_eq!(run(&["send"], &[], "").await.code, 2);
    let output = run(&["send", "-", "--url", "https://api.example.com"], &[], EVENT).await;
    assert!(output.code == 1 && output.err.contains("--secret") && output.err.contains("--stack"), "{output:?}");
}
