//! What the template's alarms and dashboard look at is what the functions send.

use std::collections::BTreeSet;

use runtime::telemetry::{Function, METRICS, MetricLevel};
use serde_json::Value;
use template::{TEMPLATE, Template};

/// A metric of the stack's own, and its dimensions; where one is `Function`, with the function.
type Seen = (String, Vec<String>);

/// The metrics that are written at this level.
fn sent(level: MetricLevel) -> BTreeSet<Seen> {
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

/// The metrics of the stack's namespace in an alarm's properties.
fn in_alarm(alarm: &yaml_serde::Value, seen: &mut BTreeSet<Seen>) {
    match alarm {
        yaml_serde::Value::Mapping(members) => {
            if let (Some(name), Some(namespace)) = (alarm.get("MetricName"), alarm.get("Namespace"))
                && matches!(namespace, yaml_serde::Value::Tagged(_))
            {
                let dimensions = alarm.get("Dimensions").and_then(yaml_serde::Value::as_sequence).into_iter().flatten();
                let dimensions = dimensions
                    .map(|dimension| format!("{}={}", dimension["Name"].as_str().unwrap(), dimension["Value"].as_str().unwrap()));
                seen.insert((name.as_str().unwrap().to_owned(), dimensions.collect()));
            }
            members.values().for_each(|member| in_alarm(member, seen));
        }
        yaml_serde::Value::Sequence(parts) => parts.iter().for_each(|part| in_alarm(part, seen)),
        _ => {}
    }
}

/// Those in a dashboard's widgets: lists that begin with the namespace, and searches in it.
fn in_dashboard(part: &Value, seen: &mut BTreeSet<Seen>) {
    const NAMESPACE: &str = "${AWS::StackName}";
    match part {
        Value::Array(parts) => {
            let texts: Vec<&str> = parts.iter().map_while(Value::as_str).collect();
            if let [NAMESPACE, name, dimensions @ ..] = texts.as_slice() {
                let dimensions = dimensions.chunks(2).map(|pair| pair.join("="));
                seen.insert(((*name).to_owned(), dimensions.collect()));
            }
            parts.iter().for_each(|part| in_dashboard(part, seen));
        }
        Value::Object(members) => members.values().for_each(|member| in_dashboard(member, seen)),
        Value::String(text) => {
            let Some(search) = text.strip_prefix("SEARCH('{\"${AWS::StackName}\",") else { return };
            let (dimensions, rest) = search.split_once("} MetricName=\"").unwrap();
            let name = rest.split('"').next().unwrap();
            seen.insert((name.to_owned(), dimensions.split(',').map(str::to_owned).collect()));
        }
        _ => {}
    }
}

/// The text within `!Sub`.
fn substituted(value: &yaml_serde::Value) -> &yaml_serde::Value {
    let yaml_serde::Value::Tagged(tagged) = value else { panic!("no !Sub: {value:?}") };
    &tagged.value
}

#[test]
fn every_metric_that_is_written_is_on_the_dashboard_and_no_alarm_waits_for_one_that_is_not() {
    let template = Template::read(TEMPLATE).unwrap();
    let mut alarmed = BTreeSet::new();
    for (_, alarm) in template.of_type("AWS::CloudWatch::Alarm") {
        in_alarm(alarm, &mut alarmed);
    }
    assert!(alarmed.len() > 5, "{alarmed:?}");
    let unknown: Vec<_> = alarmed.difference(&sent(MetricLevel::Basic)).cloned().collect();
    assert!(unknown.is_empty(), "alarms wait for {unknown:?}");

    let (_, dashboard) = template.of_type("AWS::CloudWatch::Dashboard").next().unwrap();
    let [body, variables] = substituted(&dashboard["DashboardBody"]).as_sequence().unwrap().as_slice() else { panic!("no pair") };
    let [_, detailed, basic] = substituted(&variables["Detailed"]).as_sequence().unwrap().as_slice() else { panic!("no !If") };
    for (level, more) in [(MetricLevel::Basic, basic.as_str()), (MetricLevel::Detailed, substituted(detailed).as_str())] {
        let body = body.as_str().unwrap().replace("${Detailed}", more.unwrap());
        let mut shown = BTreeSet::new();
        in_dashboard(&serde_json::from_str(&body).unwrap(), &mut shown);
        assert_eq!(shown, sent(level), "{level:?}");
    }
}
