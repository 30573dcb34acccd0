//! The page for people.

use std::fmt::Write as _;

use domain::entitlement::{Balance, Usage, to_number};
use serde_json::{Map, Value};

use console::report::{Check, Entitlement, Report, Scope, StoredRegister, Subscription};

use super::plain;

/// The width of the column of names.
const NAME: usize = 13;

/// The page, each line ended.
pub(super) fn of(page: &Report) -> String {
    let mut text = String::new();
    let line = &mut |line: String| {
        let _ = writeln!(text, "{}", line.trim_end());
    };
    line(format!("Customer {}: {}, as of {}", plain(page.customer_id.as_str()), page.standing, page.read_at));
    customer(page, line);
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

fn customer(page: &Report, line: &mut impl FnMut(String)) {
    if let Some(visible) = &page.visible {
        line(String::new());
        if let Ok(Value::Object(members)) = serde_json::to_value(&visible.profile) {
            for (name, value) in &members {
                line(format!("  {name:23} {}", word(value)));
            }
        }
        let created = visible.created_at.as_deref().unwrap_or("not known: no customer.created came");
        line(format!("  {:23} {created}", "created"));
        line(format!("  {:23} {}", "updated", visible.updated_at));
    }
    line(String::new());
    line("Last events, as time and messageId".to_owned());
    let registers = &page.registers;
    line(part("profile", registers.profile.as_ref(), |_| String::new()));
    line(part("embedded", registers.embedded.as_ref(), |_| String::new()));
    line(part("creation", registers.creation.as_ref(), |()| String::new()));
    line(part("tombstone", registers.tombstone.as_ref(), |()| String::new()));
    if page.has_waiting_subscriptions {
        line("  Some of its subscriptions are not in the indexes: they wait for it to become live.".to_owned());
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
    line(part("list", scope.list.as_ref(), |length| entitlements(*length)));
    for (currency, balance) in &scope.balances {
        let says = |balance: &Balance| format!("{} of {} left", to_number(balance.remaining_balance), plain(currency));
        line(part("balance", Some(balance), says));
    }
    for Entitlement { feature_id, grant, usage, check, .. } in &scope.entitlements {
        line(format!("  {}: {}", plain(feature_id.as_str()), verdict(check)));
        line(format!("    {}", plain(&check.reason)));
        line(format!("    Row {}, {}: {}", check.row, check.condition, plain(&check.found)));
        let says = grant.as_ref().map_or_else(|| "not in the newest list".to_owned(), granted);
        line(format!("  {}", field("grant", &says)));
        if usage.is_some() {
            line(format!("  {}", part("usage", usage.as_ref(), measured)));
        }
    }
    if let Some(expires_at) = &scope.expires_at {
        line(format!("  Removed by TTL after {expires_at}."));
    }
}

fn subscription_lines(subscription: &Subscription, line: &mut impl FnMut(String)) {
    let Subscription { subscription_id, hidden, is_listed, expires_at, status, dates, details, creation, .. } = subscription;
    let seen = match hidden {
        None if *is_listed => "visible".to_owned(),
        None => "visible, but not in the indexes".to_owned(),
        Some(reason) => format!("hidden: {reason}"),
    };
    line(format!("  {}: {seen}", plain(subscription_id.as_str())));
    line(format!("  {}", part("status", status.as_ref(), |status| plain(status))));
    line(format!("  {}", part("dates", dates.as_ref(), ran)));
    line(format!("  {}", part("details", details.as_ref(), bought)));
    line(format!("  {}", part("creation", creation.as_ref(), |()| String::new())));
    if let Some(expires_at) = expires_at {
        line(format!("    Removed by TTL after {expires_at}."));
    }
}

fn field(name: &str, value: &str) -> String {
    format!("  {name:NAME$} {value}")
}

/// A register's line: its event, and what it says.
fn part<T>(name: &str, part: Option<&StoredRegister<T>>, says: impl FnOnce(&T) -> String) -> String {
    let Some(part) = part else { return field(name, "–") };
    let below = if part.exists { "" } else { " (below the tombstone: deleted)" };
    field(name, &format!("{} {:36}  {}{below}", part.time, plain(&part.message_id), says(&part.value)))
}

fn entitlements(length: usize) -> String {
    format!("{length} entitlement{}", if length == 1 { "" } else { "s" })
}

fn verdict(check: &Check) -> String {
    match check.access_denied_reason {
        None => "granted".to_owned(),
        Some(reason) => format!("denied, {reason:?}"),
    }
}

/// What of a grant decides.
fn granted(grant: &Value) -> String {
    let feature = grant.get("feature").unwrap_or(&Value::Null);
    let word_of = |object: &Value, name: &str| object.get(name).filter(|value| !value.is_null()).map(word);
    let mut words: Vec<String> = ["featureType", "meterType"].iter().filter_map(|name| word_of(feature, name)).collect();
    for name in ["usageLimit", "currentUsage", "enumValues", "usagePeriodEnd", "nextResetDate", "resetPeriod"] {
        words.extend(word_of(grant, name).map(|word| format!("{name} {word}")));
    }
    for name in ["hasUnlimitedUsage", "hasSoftLimit"] {
        if grant.get(name) == Some(&Value::Bool(true)) {
            words.push(name.to_owned());
        }
    }
    if let Some(credits) = grant.get("creditBalance").and_then(|credits| word_of(credits, "remainingBalance")) {
        words.push(format!("remainingBalance {credits}"));
    }
    words.join(", ")
}

fn measured(usage: &Usage) -> String {
    let json = serde_json::to_value(usage).unwrap_or_default();
    let rest = json.as_object().map(|members| members_of(members, &["currentUsage"])).unwrap_or_default();
    let used = format!("{} used", to_number(usage.current_usage));
    if rest.is_empty() { used } else { format!("{used}, {rest}") }
}

fn ran(dates: &Value) -> String {
    dates.as_object().map(|members| members_of(members, &[])).unwrap_or_default()
}

fn bought(details: &Value) -> String {
    let Value::Object(members) = details else { return String::new() };
    let plan = members.get("planName").map(word).unwrap_or_default();
    // The whole plan and the add-ons are in the JSON form.
    let left_out = ["planName", "planId", "customerId", "plan", "addons", "metadata"];
    let rest = members_of(members, &left_out);
    if rest.is_empty() { plan } else { format!("{plan}, {rest}") }
}

fn members_of(members: &Map<String, Value>, left_out: &[&str]) -> String {
    let shown = members.iter().filter(|(name, value)| !left_out.contains(&name.as_str()) && !value.is_null());
    shown.map(|(name, value)| format!("{name} {}", word(value))).collect::<Vec<_>>().join(", ")
}

/// A value in one word; a list as its members.
fn word(value: &Value) -> String {
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
    fn what_comes_from_outside_can_not_steer_a_terminal() {
        assert_eq!(word(&serde_json::json!("x\u{7}")), "x\\u{7}");
    }

    #[test]
    fn whole_numbers_are_written_without_a_fraction() {
        assert_eq!(word(&serde_json::json!(5000.0)), "5000");
        assert_eq!(
            measured(&serde_json::from_str(r#"{"currentUsage":2.5,"resetPeriod":"MONTH"}"#).unwrap()),
            "2.5 used, resetPeriod MONTH"
        );
    }
}
