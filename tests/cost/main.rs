//! Computes the tables of docs/cost.md from measured requests, assumptions and AWS's prices, and fails if the page differs.
//! `BYOS_BLESS=1 cargo test --workspace --test cost` updates the page.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::cast_precision_loss)]

mod assumptions;
mod events;
mod measured;
mod model;
mod prices;
mod tables;

use std::path::Path;

/// Replaces the text between a table's markers, `<!-- name -->` and `<!-- /name -->`.
fn replace_table(page: &str, name: &str, table: &str) -> String {
    let (start, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->\n"));
    let (before, rest) = page.split_once(&start).unwrap_or_else(|| panic!("docs/cost.md has no marker {start}"));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("docs/cost.md has no {end}"));
    format!("{before}{start}{table}{end}{after}")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cost_page_has_the_computed_tables() {
    let measured = measured::measure().await;
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cost.md");
    let written = std::fs::read_to_string(&page).unwrap();
    let mut computed = written.clone();
    for (name, table) in [
        ("month", tables::month(&measured)),
        ("routes", tables::routes(&measured)),
        ("options", tables::options(&measured)),
        ("comparison", tables::comparison(&measured)),
        ("millions", tables::millions(&measured)),
        ("fixed", tables::fixed()),
        ("load", tables::load(&measured)),
        ("prices", tables::prices()),
    ] {
        computed = replace_table(&computed, name, &table);
    }
    if std::env::var_os("BYOS_BLESS").is_some() {
        std::fs::write(&page, &computed).unwrap();
    } else {
        assert!(
            computed == written,
            "docs/cost.md is out of date. Update it with BYOS_BLESS=1 cargo test --workspace --test cost"
        );
    }
}

#[test]
fn the_template_has_the_resources_and_defaults_that_the_page_bills() {
    let template = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../template.yaml")).unwrap();
    let count = |start: &str| template.lines().filter(|line| line.trim().starts_with(start)).count() as f64;
    // The customer key's secret is optional and not billed on the page.
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
