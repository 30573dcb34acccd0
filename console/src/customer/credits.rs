//! The credits of a customer, by scope and currency.

use std::collections::BTreeSet;

use domain::entitlement::Balance;
use maud::{Markup, html};

use super::{NEAR, View, scope_name};
use crate::{
    layout::{Tone, bar, event, id, table},
    report::Scope,
    text::number,
};

/// The credits of one currency in a scope.
struct Credits<'a> {
    scope: &'a Scope,
    currency: &'a str,
    balance: &'a Balance,
    from: From,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    /// The balance register is newer than the list.
    Register,
    /// The list is newer, or the only one.
    List,
    /// A balance register, and no entitlement of the list is paid with it.
    RegisterAlone,
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
                    (table("credits", "", &["Currency", "Scope", "Balance", "From"], &rows))
                }
            }
        }
    }

    /// The credits that entitlements are paid with, then those that none is paid with.
    fn all_credits(&self) -> Vec<Credits<'_>> {
        let (mut all, mut seen) = (Vec::new(), BTreeSet::new());
        for (scope, entitlement) in self.rows() {
            let Some(merged) = &entitlement.merged else { continue };
            if let (Some(currency), Some(balance)) = (merged.grant.currency_id(), &merged.balance)
                && seen.insert((scope.resource_id.as_ref(), currency))
            {
                let from = if merged.is_balance_newer { From::Register } else { From::List };
                all.push(Credits { scope, currency, balance, from });
            }
        }
        for scope in &self.report.scopes {
            for (currency, register) in &scope.balances {
                if seen.insert((scope.resource_id.as_ref(), currency)) {
                    all.push(Credits { scope, currency, balance: &register.value, from: From::RegisterAlone });
                }
            }
        }
        all
    }

    fn source(&self, Credits { scope, currency, from, .. }: &Credits<'_>) -> Markup {
        html! {
            @match from {
                From::List => { "the list" @if let Some(list) = &scope.list { (event(list, self.now)) } }
                From::Register | From::RegisterAlone => {
                    "a balance event"
                    @if *from == From::RegisterAlone { "; no entitlement of the newest list is paid with it" }
                    @if let Some(register) = scope.balances.get(*currency) { (event(register, self.now)) }
                }
            }
        }
    }
}

/// What is left of credits, as a bar where it is known how many were granted.
pub(super) fn credits_left(balance: &Balance) -> Markup {
    let left = balance.remaining_balance;
    let total = balance.total_granted.filter(|total| *total > 0.0);
    let share = total.map(|total| left / total);
    let tone = match share {
        _ if left <= 0.0 => Tone::Bad,
        Some(share) if share <= 1.0 - NEAR => Tone::Warn,
        _ => Tone::Good,
    };
    html! {
        div.gauge {
            p { b { (number(left)) } @if let Some(total) = total { " of " (number(total)) } " credits left" }
            @if let Some(share) = share { (bar(share, tone)) }
        }
    }
}
