//! A customer's credits, by scope and currency.

use std::collections::BTreeSet;

use domain::entitlement::Balance;
use maud::{Markup, html};

use super::{NEAR_LIMIT, View, scope_name};
use crate::{
    layout::{Tone, bar, event, id, table},
    report::Scope,
    text::number,
};

struct Credits<'a> {
    scope: &'a Scope,
    currency: &'a str,
    balance: &'a Balance,
    source: BalanceSource,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum BalanceSource {
    /// The balance register, which is newer than the list.
    Register,
    /// The list, which is newer than the balance register or the only source.
    List,
    /// The balance register, in a currency that no entitlement of the list uses.
    UnusedRegister,
}

impl View<'_> {
    pub(super) fn credits(&self) -> Markup {
        let credits = self.all_credits();
        let rows = html! {
            @for credits in &credits {
                tr {
                    th scope="row" { (id(credits.currency)) }
                    td { (scope_name(credits.scope)) }
                    td { (credits_left(credits.balance)) }
                    td { (self.source(credits)) }
                }
            }
        };
        html! {
            @if !credits.is_empty() {
                section aria-labelledby="credits" {
                    h2 #credits { "Credits" }
                    (table("credits", "", &["Currency", "Scope", "Balance", "Source"], &rows))
                }
            }
        }
    }

    /// Credits that entitlements use, then the others.
    fn all_credits(&self) -> Vec<Credits<'_>> {
        let (mut all, mut seen) = (Vec::new(), BTreeSet::new());
        for (scope, entitlement) in self.rows() {
            let Some(merged) = &entitlement.merged else { continue };
            if let (Some(currency), Some(balance)) = (merged.grant.currency_id(), &merged.balance)
                && seen.insert((scope.resource_id.as_ref(), currency))
            {
                let source = if merged.is_balance_newer { BalanceSource::Register } else { BalanceSource::List };
                all.push(Credits { scope, currency, balance, source });
            }
        }
        for scope in &self.report.scopes {
            for (currency, register) in &scope.balances {
                if seen.insert((scope.resource_id.as_ref(), currency)) {
                    all.push(Credits { scope, currency, balance: &register.value, source: BalanceSource::UnusedRegister });
                }
            }
        }
        all
    }

    fn source(&self, Credits { scope, currency, source, .. }: &Credits<'_>) -> Markup {
        html! {
            @match source {
                BalanceSource::List => { "the list" @if let Some(list) = &scope.list { (event(list, self.now)) } }
                BalanceSource::Register | BalanceSource::UnusedRegister => {
                    "a balance event"
                    @if *source == BalanceSource::UnusedRegister { "; no entitlement of the newest list uses this currency" }
                    @if let Some(register) = scope.balances.get(*currency) { (event(register, self.now)) }
                }
            }
        }
    }
}

/// The credits left; with a bar if the granted total is known.
pub(super) fn credits_left(balance: &Balance) -> Markup {
    let left = balance.remaining_balance;
    let total = balance.total_granted.filter(|total| *total > 0.0);
    let share = total.map(|total| left / total);
    let tone = match share {
        _ if left <= 0.0 => Tone::Bad,
        Some(share) if share <= 1.0 - NEAR_LIMIT => Tone::Warn,
        _ => Tone::Good,
    };
    html! {
        div.gauge {
            p { b { (number(left)) } @if let Some(total) = total { " of " (number(total)) } " credits left" }
            @if let Some(share) = share { (bar(share, tone)) }
        }
    }
}
