//! What the template's alarms and dashboard look at is what the functions send.

use std::collections::BTreeSet;

use runtime::telemetry::MetricSet;
use serde_json::Value;
use template::{TEMPLATE, Template};

/// A metric of the stack's own, and its dimensions; where one is `Function`, with the function.
type Seen = (String, Vec<String>);

fn sent() -> BTreeSet<Seen> {
    let of = |set: &'static MetricSet| {
        set.all().map(|metric| {
            let dimensions = metric.dimensions.iter().map(|name| match *name {
                "Function" => format!("Function={}", set.function),
                name => name.to_owned(),
            });
            (metric.name.to_owned(), dimensions.collect())
        })
    };
    [&webhook::METRICS, &graphql::METRICS, &check_access::METRICS].into_iter().flat_map(of).collect()
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

#[test]
fn every_metric_that_is_sent_is_on_the_dashboard_and_no_alarm_waits_for_one_that_is_not() {
    let template = Template::read(TEMPLATE).unwrap();
    let (mut alarmed, mut shown) = (BTreeSet::new(), BTreeSet::new());
    for (_, alarm) in template.of_type("AWS::CloudWatch::Alarm") {
        in_alarm(alarm, &mut alarmed);
    }
    for (_, dashboard) in template.of_type("AWS::CloudWatch::Dashboard") {
        let yaml_serde::Value::Tagged(body) = &dashboard["DashboardBody"] else { panic!("no !Sub") };
        in_dashboard(&serde_json::from_str(body.value.as_str().unwrap()).unwrap(), &mut shown);
    }
    let sent = sent();
    assert!(alarmed.len() > 5, "{alarmed:?}");
    let unknown: Vec<_> = alarmed.union(&shown).filter(|metric| !sent.contains(*metric)).collect();
    assert!(unknown.is_empty(), "nobody sends {unknown:?}");
    let unseen: Vec<_> = sent.difference(&shown).collect();
    assert!(unseen.is_empty(), "not on the dashboard: {unseen:?}");
}
