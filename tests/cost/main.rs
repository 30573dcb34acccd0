//! docs/cost.md: its tables are what the functions' measured requests come to at AWS's prices, and
//! nothing else. `BYOS_BLESS=1 cargo test --workspace --test cost` writes them anew.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::cast_precision_loss)]

mod assumptions;
mod events;
mod measured;
mod model;
mod prices;
mod tables;

use std::path::Path;

/// The page with what stands between a table's marks replaced.
fn with(page: &str, name: &str, table: &str) -> String {
    let (start, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->\n"));
    let (before, rest) = page.split_once(&start).unwrap_or_else(|| panic!("docs/cost.md has no {start}"));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("docs/cost.md has no {end}"));
    format!("{before}{start}{table}{end}{after}")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_says_what_measured_requests_cost() {
    let measured = measured::measure().await;
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cost.md");
    let written = std::fs::read_to_string(&page).unwrap();
    let mut computed = written.clone();
    for (name, table) in [
        ("month", tables::month(&measured)),
        ("ways", tables::ways(&measured)),
        ("options", tables::options(&measured)),
        ("beside", tables::beside(&measured)),
        ("millions", tables::millions(&measured)),
        ("fixed", tables::base()),
        ("load", tables::load(&measured)),
        ("prices", tables::prices()),
    ] {
        computed = with(&computed, name, &table);
    }
    if std::env::var_os("BYOS_BLESS").is_some() {
        std::fs::write(&page, &computed).unwrap();
    } else {
        assert!(computed == written, "docs/cost.md is not what is measured: BYOS_BLESS=1 cargo test --workspace --test cost");
    }
}

#[test]
fn the_template_has_what_the_page_bills() {
    let template = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../template.yaml")).unwrap();
    let count = |what: &str| template.lines().filter(|line| line.trim().starts_with(what)).count() as f64;
    // One more where customer keys are verified.
    assert_eq!(count("Type: AWS::SecretsManager::Secret"), assumptions::SECRETS + 1.0);
    assert_eq!(count("MetricName:"), assumptions::ALARM_METRICS);
    assert_eq!(count("Type: AWS::CloudWatch::Dashboard"), 1.0);
    for (parameter, default) in [
        ("CheckLogSampling", assumptions::CHECK_LOG_SAMPLING.to_string()),
        ("EventLogSampling", assumptions::EVENT_LOG_SAMPLING.to_string()),
        ("MetricsLevel", "basic".to_owned()),
        ("Dashboard", "\"off\"".to_owned()),
        ("ApiAccessLogs", "\"off\"".to_owned()),
        ("SystemLogLevel", "WARN".to_owned()),
        ("Tracing", "PassThrough".to_owned()),
        ("CheckAccessFunctionUrl", "\"off\"".to_owned()),
    ] {
        let (_, definition) = template.split_once(&format!("\n  {parameter}:\n    Type: ")).unwrap();
        let found = definition.lines().find_map(|line| line.trim().strip_prefix("Default: "));
        assert_eq!(found, Some(default.as_str()), "{parameter}");
    }
    for (function, megabytes) in [
        ("Webhook", assumptions::MEMORY_MB),
        ("CheckAccess", assumptions::MEMORY_MB),
        ("Graphql", assumptions::GRAPHQL_MEMORY_MB),
    ] {
        let parameter = format!("  {function}Memory:\n    Type: Number\n    Default: {megabytes}\n");
        assert!(template.contains(&parameter) && count(&format!("MemorySize: !Ref {function}Memory")) == 1.0, "{function}");
    }
}
