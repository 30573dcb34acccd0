//! The template's alarms and dashboard use the metrics that the functions write.

use std::collections::BTreeSet;

use runtime::telemetry::{Function, METRICS, MetricLevel};
use serde_json::Value;
use template::{TEMPLATE, Template};

/// A metric in the stack's namespace: its name and dimensions. `Function` has its value, `Function=<function>`.
type Metric = (String, Vec<String>);

fn written_metrics(level: MetricLevel) -> BTreeSet<Metric> {
    let functions = [Function::Webhook, Function::Graphql, Function::CheckAccess];
    let series = METRICS.iter().filter(|metric| metric.level <= level).flat_map(|metric| {
        functions.map(|function| {
            let dimensions = metric.dimensions.iter().map(|name| match *name {
                "Function" => format!("Function={}", function.as_str()),
                name => name.to_owned(),
            });
            (metric.name.to_owned(), dimensions.collect())
        })
    });
    series.collect()
}

/// Adds the metrics of the stack's namespace in an alarm's properties.
fn add_alarm_metrics(alarm: &yaml_serde::Value, found: &mut BTreeSet<Metric>) {
    match alarm {
        yaml_serde::Value::Mapping(members) => {
            if let (Some(name), Some(namespace)) = (alarm.get("MetricName"), alarm.get("Namespace"))
                && matches!(namespace, yaml_serde::Value::Tagged(_))
            {
                let dimensions = alarm.get("Dimensions").and_then(yaml_serde::Value::as_sequence).into_iter().flatten();
                let dimensions = dimensions
                    .map(|dimension| format!("{}={}", dimension["Name"].as_str().unwrap(), dimension["Value"].as_str().unwrap()));
                found.insert((name.as_str().unwrap().to_owned(), dimensions.collect()));
            }
            members.values().for_each(|member| add_alarm_metrics(member, found));
        }
        yaml_serde::Value::Sequence(parts) => parts.iter().for_each(|part| add_alarm_metrics(part, found)),
        _ => {}
    }
}

/// Adds the metrics in a dashboard's widgets: lists that begin with the namespace, and SEARCH expressions.
fn add_dashboard_metrics(part: &Value, found: &mut BTreeSet<Metric>) {
    const NAMESPACE: &str = "${AWS::StackName}";
    match part {
        Value::Array(parts) => {
            let texts: Vec<&str> = parts.iter().map_while(Value::as_str).collect();
            if let [NAMESPACE, name, dimensions @ ..] = texts.as_slice() {
                let dimensions = dimensions.chunks(2).map(|pair| pair.join("="));
                found.insert(((*name).to_owned(), dimensions.collect()));
            }
            parts.iter().for_each(|part| add_dashboard_metrics(part, found));
        }
        Value::Object(members) => members.values().for_each(|member| add_dashboard_metrics(member, found)),
        Value::String(text) => {
            let Some(search) = text.strip_prefix("SEARCH('{\"${AWS::StackName}\",") else { return };
            let (dimensions, rest) = search.split_once("} MetricName=\"").unwrap();
            let name = rest.split('"').next().unwrap();
            found.insert((name.to_owned(), dimensions.split(',').map(str::to_owned).collect()));
        }
        _ => {}
    }
}

/// The argument of `!Sub`.
fn sub_argument(value: &yaml_serde::Value) -> &yaml_serde::Value {
    let yaml_serde::Value::Tagged(tagged) = value else { panic!("not a !Sub: {value:?}") };
    &tagged.value
}

#[test]
fn the_dashboard_shows_all_written_metrics_and_alarms_use_no_others() {
    let template = Template::read(TEMPLATE).unwrap();
    let mut alarmed = BTreeSet::new();
    for (_, alarm) in template.of_type("AWS::CloudWatch::Alarm") {
        add_alarm_metrics(alarm, &mut alarmed);
    }
    assert!(alarmed.len() > 5, "{alarmed:?}");
    let unknown: Vec<_> = alarmed.difference(&written_metrics(MetricLevel::Basic)).cloned().collect();
    assert!(unknown.is_empty(), "alarms use metrics that no function writes: {unknown:?}");

    let (_, dashboard) = template.of_type("AWS::CloudWatch::Dashboard").next().unwrap();
    let [body, variables] = sub_argument(&dashboard["DashboardBody"]).as_sequence().unwrap().as_slice() else {
        panic!("not a pair")
    };
    let [_, detailed, basic] = sub_argument(&variables["Detailed"]).as_sequence().unwrap().as_slice() else {
        panic!("not an !If")
    };
    for (level, widgets) in [(MetricLevel::Basic, basic.as_str()), (MetricLevel::Detailed, sub_argument(detailed).as_str())] {
        let body = body.as_str().unwrap().replace("${Detailed}", widgets.unwrap());
        let mut shown = BTreeSet::new();
        add_dashboard_metrics(&serde_json::from_str(&body).unwrap(), &mut shown);
        assert_eq!(shown, written_metrics(level), "{level:?}");
    }
}
