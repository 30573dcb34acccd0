//! The text output of `byos show`.

use std::fmt::Write as _;

use domain::entitlement::{Balance, Usage, to_number};
use serde_json::{Map, Value};

use console::report::{Entitlement, Report, Scope, StoredRegister, Subscription};

use super::plain;

/// Width of the column of names.
const NAME_WIDTH: usize = 13;

pub(super) fn of(page: &Report) -> String {
    let mut text = String::new();
    let line = &mut |line: String| {
        let _ = writeln!(text, "{}", line.trim_end());
    };
    line(format!("Customer {}: {}, as of {}", plain(page.customer_id.as_str()), page.state, page.read_at));
    customer_lines(page, line);
    for scope in &page.scopes {
        scope_lines(scope, line);
    }
    line(String::new());
    line(format!("Subscriptions: {}", page.subscriptions.len()));
    for subscription in &page.subscriptions {
        subscription_lines(subscription, line);
    }
    text
}

fn customer_lines(page: &Report, line: &mut impl FnMut(String)) {
    if let Some(visible) = &page.visible {
        line(String::new());
        if let Ok(Value::Object(members)) = serde_json::to_value(&visible.profile) {
            for (name, value) in &members {
                line(format!("  {name:23} {}", value_text(value)));
            }
        }
        let created = visible.created_at.as_deref().unwrap_or("unknown: no customer.created event arrived");
        line(format!("  {:23} {created}", "created"));
        line(format!("  {:23} {}", "updated", visible.updated_at));
    }
    line(String::new());
    line("Last events (time, messageId)".to_owned());
    let registers = &page.registers;
    line(register_line("profile", registers.profile.as_ref(), |_| String::new()));
    line(register_line("embedded", registers.embedded.as_ref(), |_| String::new()));
    line(register_line("creation", registers.creation.as_ref(), |()| String::new()));
    line(register_line("tombstone", registers.tombstone.as_ref(), |()| String::new()));
    if page.has_waiting_subscriptions {
        line("  Some subscriptions are not in the indexes: they wait for the customer to become live.".to_owned());
    }
    if let Some(expires_at) = &page.expires_at {
        line(format!("  Removed by TTL after {expires_at}."));
    }
}

fn scope_lines(scope: &Scope, line: &mut impl FnMut(String)) {
    line(String::new());
    match &scope.resource_id {
        None => line("Entitlements at customer level".to_owned()),
        Some(id) => line(format!("Entitlements of the resource {}", plain(id.as_str()))),
    }
    line(register_line("list", scope.list.as_ref(), |length| count_text(*length)));
    for (currency, balance) in &scope.balances {
        let describe = |balance: &Balance| format!("{} of {} left", to_number(balance.remaining_balance), plain(currency));
        line(register_line("balance", Some(balance), describe));
    }
    for entitlement in &scope.entitlements {
        let Entitlement { feature_id, grant, usage, check, .. } = entitlement;
        line(format!("  {}: {}", plain(feature_id.as_str()), decision_text(entitlement)));
        line(format!("    {}", plain(&check.reason)));
        line(format!("    Row {}, {}: {}", check.row, check.condition, plain(&check.found)));
        let grant = grant.as_ref().map_or_else(|| "not in the newest list".to_owned(), grant_text);
        line(format!("  {}", field("grant", &grant)));
        if usage.is_some() {
            line(format!("  {}", register_line("usage", usage.as_ref(), usage_text)));
        }
    }
    if let Some(expires_at) = &scope.expires_at {
        line(format!("  Removed by TTL after {expires_at}."));
    }
}

fn subscription_lines(subscription: &Subscription, line: &mut impl FnMut(String)) {
    let Subscription { subscription_id, hidden, is_listed, expires_at, status, dates, details, creation, .. } = subscription;
    let visibility = match hidden {
        None if *is_listed => "visible".to_owned(),
        None => "visible, but not in the indexes".to_owned(),
        Some(reason) => format!("hidden: {reason}"),
    };
    line(format!("  {}: {visibility}", plain(subscription_id.as_str())));
    line(format!("  {}", register_line("status", status.as_ref(), |status| plain(status))));
    line(format!("  {}", register_line("dates", dates.as_ref(), dates_text)));
    line(format!("  {}", register_line("details", details.as_ref(), details_text)));
    line(format!("  {}", register_line("creation", creation.as_ref(), |()| String::new())));
    if let Some(expires_at) = expires_at {
        line(format!("    Removed by TTL after {expires_at}."));
    }
}

fn field(name: &str, value: &str) -> String {
    format!("  {name:NAME_WIDTH$} {value}")
}

/// A register's line: the event that wrote it, and its value.
fn register_line<T>(name: &str, register: Option<&StoredRegister<T>>, describe: impl FnOnce(&T) -> String) -> String {
    let Some(register) = register else { return field(name, "–") };
    let below = if register.exists { "" } else { " (below the tombstone: deleted)" };
    field(name, &format!("{} {:36}  {}{below}", register.time, plain(&register.message_id), describe(&register.value)))
}

fn count_text(length: usize) -> String {
    format!("{length} entitlement{}", if length == 1 { "" } else { "s" })
}

fn decision_text(entitlement: &Entitlement) -> String {
    match entitlement.check.access_denied_reason {
        None if entitlement.denies_one_more => "granted, but one more is denied".to_owned(),
        None => "granted".to_owned(),
        Some(reason) => format!("denied, {reason:?}"),
    }
}

/// The fields of a grant that decisions depend on.
fn grant_text(grant: &Value) -> String {
    let feature = grant.get("feature").unwrap_or(&Value::Null);
    let text_of = |object: &Value, name: &str| object.get(name).filter(|value| !value.is_null()).map(value_text);
    let mut parts: Vec<String> = ["featureType", "meterType"].iter().filter_map(|name| text_of(feature, name)).collect();
    for name in ["usageLimit", "currentUsage", "enumValues", "usagePeriodEnd", "nextResetDate", "resetPeriod"] {
        parts.extend(text_of(grant, name).map(|value| format!("{name} {value}")));
    }
    for name in ["hasUnlimitedUsage", "hasSoftLimit"] {
        if grant.get(name) == Some(&Value::Bool(true)) {
            parts.push(name.to_owned());
        }
    }
    if let Some(remaining) = grant.get("creditBalance").and_then(|balance| text_of(balance, "remainingBalance")) {
        parts.push(format!("remainingBalance {remaining}"));
    }
    parts.join(", ")
}

fn usage_text(usage: &Usage) -> String {
    let json = serde_json::to_value(usage).unwrap_or_default();
    let rest = json.as_object().map(|members| members_of(members, &["currentUsage"])).unwrap_or_default();
    let used = format!("{} used", to_number(usage.current_usage));
    if rest.is_empty() { used } else { format!("{used}, {rest}") }
}

fn dates_text(dates: &Value) -> String {
    dates.as_object().map(|members| members_of(members, &[])).unwrap_or_default()
}

fn details_text(details: &Value) -> String {
    let Value::Object(members) = details else { return String::new() };
    let plan = members.get("planName").map(value_text).unwrap_or_default();
    // Left out for brevity; `--json` has them.
    let omitted = ["planName", "planId", "customerId", "plan", "addons", "metadata"];
    let rest = members_of(members, &omitted);
    if rest.is_empty() { plan } else { format!("{plan}, {rest}") }
}

fn members_of(members: &Map<String, Value>, omitted: &[&str]) -> String {
    let shown = members.iter().filter(|(name, value)| !omitted.contains(&name.as_str()) && !value.is_null());
    shown.map(|(name, value)| format!("{name} {}", value_text(value))).collect::<Vec<_>>().join(", ")
}

fn value_text(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => plain(text),
        Value::Number(number) => number.as_f64().map_or_else(|| number.to_string(), |number| to_number(number).to_string()),
        other => plain(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(value_text(&serde_json::json!("x\u{7}")), "x\\u{7}");
    }

    #[test]
    fn whole_numbers_are_written_without_a_fraction() {
        assert_eq!(value_text(&serde_json::json!(5000.0)), "5000");
        assert_eq!(
            usage_text(&serde_json::from_str(r#"{"currentUsage":2.5,"resetPeriod":"MONTH"}"#).unwrap()),
            "2.5 used, resetPeriod MONTH"
        );
    }
}
